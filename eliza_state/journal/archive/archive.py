"""The archive of a SQL journal: what lies in it, and the lock that lets one process at a time change it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, TypeAlias, TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.errors import Busy, StoreError
from eliza_state.journal.archive import rows
from eliza_state.journal.archive.blocks import Blocks, DamagedBlock, SegmentGone
from eliza_state.journal.archive.merging import Merging
from eliza_state.journal.archive.reading import AllRecords
from eliza_state.journal.archive.rows import BlockRow
from eliza_state.journal.archive.segment import Segments
from eliza_state.journal.contract import InArchive
from eliza_state.journal.databases import Database
from eliza_state.journal.interning import Interning
from eliza_state.path import Path

T = TypeVar("T")

Writing: TypeAlias = Callable[[str], AbstractContextManager[Connection]]
"""Begin a transaction for a purpose, which errors name, and commit it in the end."""

_TRIES: Final = 100
_LOCK: Final = "archive.lock"
_CHECKED_SCOPES: Final = 50_000
_PAGE_ROWS: Final = 1_000
_LAST_OWN: Final = "SELECT position FROM record WHERE path = ? ORDER BY version DESC LIMIT 1"
_LAST_BELOW: Final = "SELECT position FROM below WHERE scope = ? ORDER BY position DESC LIMIT 1"


class Listed(NamedTuple):
    """A scope in the archive with its blocks, in the order of their positions."""

    path: Path
    blocks: tuple[BlockRow, ...]


class JournalArchive:
    """Look into the archive of a journal, and keep others from changing it.

    `writing` begins a transaction of the journal's, which keeps other writers out.
    """

    def __init__(
        self, database: Database, segments: Segments, *, interning: Interning, epoch: str, writing: Writing
    ) -> None:
        self.database = database
        self.segments = segments
        self.interning = interning
        self.epoch = epoch
        self.writing = writing
        self.blocks = Blocks(segments, epoch=epoch)
        self.records = AllRecords(interning, self.blocks)
        self._generation = 0
        self._live: set[int] = set()

    def reading(self) -> AbstractContextManager[Connection]:
        """Lend a connection to read with."""
        return self.database.reading("read")

    def look(self, look: Callable[[Connection], T]) -> T:
        """Return what a function finds by a connection; it is asked again where something has moved."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(SegmentGone), self.reading() as connection:
                found, is_settled = self.records.at_one_time(connection, look)
                if is_settled:
                    return found
        with self.reading() as connection:
            return look(connection)

    def tables(self, path: Path) -> Merging:
        """Return what reads the records of a scope that the tables have."""
        return Merging(
            reading=self.reading, records=self.records, path=path, page_rows=_PAGE_ROWS, tables_only=True
        )

    def readable(self, *, until: int, lost: Callable[[BlockRow, DamagedBlock], None]) -> Iterator[Record]:
        """Yield all records up to a position that can be read; `lost` is told of blocks that cannot."""
        merging = Merging(
            reading=self.reading, records=self.records, path=Path(), page_rows=_PAGE_ROWS, lost=lost
        )
        return merging.read(after=0, until=until, limit=None)

    # For who moves records

    def last_movable(self, path: Path) -> int:
        """Return the position of the last row of a scope that could be archived.

        It is 0 where there is none, and for a scope that is in the archive, or below one that is.
        """
        with self.reading() as connection:
            if self.records.archived_scope(connection, path) is not None:
                return 0
            return self.last_in_tables(connection, path)

    def last_in_tables(self, connection: Connection, path: Path) -> int:
        """Return the position of the last record that the tables have at or below a path; 0 if none."""
        scope = self.interning.find_path(connection, path)
        found = (connection.exec_driver_sql(query, (scope,)).scalar() for query in (_LAST_OWN, _LAST_BELOW))
        return 0 if scope is None else max(int(position or 0) for position in found)

    # For who appends

    def is_live(self, scopes: set[int], generation: int) -> bool:
        """Tell, without asking the tables, that no scope is in the archive; `False` where that is unknown."""
        return not generation or (generation == self._generation and scopes <= self._live)

    def check(self, connection: Connection, scopes: set[int], generation: int) -> None:
        """Raise `InArchive` if one of the scopes, by their integers, is in the archive.

        What was not is not asked about again until the archive's `generation` is another one.
        """
        if generation != self._generation or len(self._live) > _CHECKED_SCOPES:
            self._generation, self._live = generation, set()
        if not generation:
            return
        new = scopes - self._live
        held = rows.held(connection, new) if new else set[int]()
        if held:
            raise InArchive([self.interning.path_of(connection, scope) for scope in sorted(held)])
        self._live |= new

    # For anyone

    def scope_of(self, path: Path) -> Path | None:
        """Return the scope in the archive that a scope is or is below, the highest; `None` if none."""
        return self.look(lambda connection: self.records.archived_scope(connection, path))

    def state_of(self, path: Path) -> bytes | None:
        """Return the final state that was archived for a scope; `None` if there is none."""
        return self.look(lambda connection: self.records.state(connection, path))

    def listed(self, below: Path, *, after: int = 0, limit: int | None = None) -> list[Listed]:
        """Return what is in the archive at or below a scope, by last positions, from after one on."""
        with self.reading() as connection:
            found = self._listed(connection, below)
        behind = [one for one in found if one.blocks[-1].last_position > after]
        return behind if limit is None else behind[:limit]

    def _listed(self, connection: Connection, below: Path) -> list[Listed]:
        if not rows.generation(connection):
            return []
        blocks: dict[int, list[BlockRow]] = {}
        for row in self._at_or_below(connection, below):
            blocks.setdefault(row.path, []).append(row)
        in_order = sorted(blocks.values(), key=lambda one: one[-1].last_position)
        return [Listed(self.interning.path_of(connection, one[0].path), tuple(one)) for one in in_order]

    def _at_or_below(self, connection: Connection, path: Path) -> list[BlockRow]:
        """Return the blocks of a scope and of those below it, in the order of their positions."""
        last = self.records.head(connection)
        if not path.steps:
            return rows.within(connection, after=0, until=last)
        scope = self.interning.find_path(connection, path)
        if scope is None:
            return []
        own = rows.of_scopes(connection, [scope])
        return sorted([*own, *rows.below(connection, scope, after=0, until=last)])

    def each_block(self) -> Iterator[tuple[Path, BlockRow]]:
        """Yield every block with its scope, in the order of their last positions."""
        last = 0
        while True:
            with self.reading() as connection:
                page = rows.in_order(connection, after=last, limit=_PAGE_ROWS)
                paths = [self.records.scope_of(connection, row) for row in page]
            yield from zip(paths, page, strict=True)
            if len(page) < _PAGE_ROWS:
                return
            last = page[-1].last_position

    def is_named(self, row: BlockRow) -> bool:
        """Tell whether a block is still where it was."""
        with self.reading() as connection:
            return row in rows.in_segment(connection, row.segment)

    def concerned(self, path: Path) -> list[Listed]:
        """Return what is in the archive at, above or below a scope."""
        with self.reading() as connection:
            found = {one.path: one for one in self._listed(connection, path)}
            for above in path.chain():
                scope = self.interning.find_path(connection, above) if above.steps else None
                blocks = () if scope is None else tuple(rows.of_scopes(connection, [scope]))
                if blocks:
                    found.setdefault(above, Listed(above, blocks))
        return list(found.values())

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Keep all others, in any process, from changing the archive. Raises `Busy` where somebody does."""
        with translated("make the folder of the archive"):
            self.segments.prepare()
        lock = FileLock(self.segments.path(_LOCK), thread_local=False, is_singleton=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise Busy(f"another process works on the archive {str(self.segments.folder)!r}") from None
        except OSError as error:
            raise StoreError(f"cannot lock the archive with {lock.lock_file!r}: {error}") from error
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def translated(purpose: str) -> Generator[None]:
    """Turn what the operating system raises into `StoreError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {purpose}: {error}") from error
