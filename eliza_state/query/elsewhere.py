"""The scopes that are not in memory: asked through the index file, or opened one after the other.

One thread does that, so that what one query writes to the file the next one finds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs

from eliza_state.errors import Busy, StoreError
from eliza_state.indexes import Column
from eliza_state.journal.contract import Erasure, Journal
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.query.explanation import Explanation
from eliza_state.query.facts import Facts, ScopeRequest
from eliza_state.query.order import Row
from eliza_state.query.states import States
from eliza_state.query.stored import Reader, Request
from eliza_state.query.upkeep import Ahead, Pending, Unusable, Upkeep, scopes_of
from eliza_state.reading import Reading
from eliza_state.tree import Tree

if TYPE_CHECKING:
    from eliza_state.query.index_file import IndexFile, Session

T = TypeVar("T")

_TRIES: Final = 3
_REMOVED_AT_ONCE: Final = 2_000
_CLOSED: Final = "the manager is closed; open the store anew"

Report: TypeAlias = Callable[[Problem], None]


@attrs.define(eq=False, kw_only=True)
class Job:
    """A request with what the file has to be told first; `use_file` if it is to be asked at all.

    Afterwards `is_written` says whether the file was told, `unusable` why it never can be.
    """

    request: Request
    pending: Pending
    explanation: Explanation
    use_file: bool
    is_written: bool = False
    unusable: str = ""


class Elsewhere:
    """Answer for scopes that are not held in memory.

    The index file is beside the `database`; there is none for a store in memory.
    """

    def __init__(
        self,
        tree: Tree,
        journal: Journal,
        *,
        reading: Reading,
        database: str | None,
        read_only: bool,
        report: Report,
    ) -> None:
        self._tree = tree
        self._journal = journal
        self._reading = reading
        self._report = report
        self._facts = Facts(tree, journal)
        self._file = self._upkeep = None
        if database is not None:
            # Only where there is a file: a store in memory does without SQLAlchemy.
            from eliza_state.query.index_file import IndexFile  # noqa: PLC0415

            self._file = IndexFile(database, epoch=journal.epoch, read_only=read_only, report=self._rebuilt)
            self._upkeep = Upkeep(self._file, journal, tree.hierarchy)
        self._thread = ThreadPoolExecutor(1, "eliza-state-queries") if journal.durable else None
        self._stopping = self._closed = False

    def _rebuilt(self, message: str, error: Exception | None) -> None:
        self._report(Problem("index", message, error=error))

    @property
    def can_store(self) -> bool:
        """Whether there is an index file, or may be one."""
        return self._file is not None and (not self._file.read_only or self._file.exists)

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function in the thread and return what it returns or raises; `StoreError` once closed."""
        if self._closed:
            raise StoreError(_CLOSED)
        if self._thread is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def stop(self) -> None:
        """Give up what goes through all scopes, which may take long; what it is for raises `StoreError`."""
        self._stopping = True
        if self._upkeep is not None:
            self._upkeep.is_stopped = True

    async def close(self) -> None:
        """Close the file and end the thread, once what it does is done."""
        if self._file is not None and not self._closed:
            await self.run(self._file.close)
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown()

    # In the thread

    def rows(self, job: Job) -> list[Row]:
        """Return the matches; `Ahead` when the file is past the position that is asked for."""
        reader = self._reader(job)
        found = self._ask_file(job, reader.select)
        if found is None:
            return reader.scan(self._scopes(job))
        selected, changed = found
        return [*reader.read(selected), *reader.scan(changed)]

    def count(self, job: Job) -> int:
        """Return how many matches there are; `Ahead` as in `rows`."""
        reader = self._reader(job)
        found = self._ask_file(job, reader.count)
        if found is None:
            return sum(1 for _ in self._each(job, reader))
        counted, changed = found
        return counted + sum(1 for _ in reader.each(changed))

    def groups(self, job: Job, column: Column) -> Counter[Any]:
        """Return how many matches have which value of a column; `Ahead` as in `rows`."""
        reader = self._reader(job)
        found = self._ask_file(job, partial(reader.groups, column=column))
        if found is None:
            return Counter(values[0] for values, _ in self._each(job, reader))
        counted, changed = found
        return counted + Counter(values[0] for values, _ in reader.each(changed))

    def _each(self, job: Job, reader: Reader) -> Iterator[Row]:
        """Yield the matches where the indexes of the file alone cannot count them."""
        found = self._ask_file(job, reader.select)
        if found is None:
            yield from reader.each(self._scopes(job))
        else:
            selected, changed = found
            yield from reader.read(selected)
            yield from reader.each(changed)

    def write(self, job: Job) -> None:
        """Write what changed, if the file has rows of the collection."""
        self._ask_file(job, lambda _session, _changed: None, build=False)

    def _reader(self, job: Job) -> Reader:
        return Reader(job.request, open_state=self._states(job).of, explanation=job.explanation)

    def _states(self, job: Job) -> States:
        layout, until = job.request.layout, job.request.until
        return States(
            self._tree, self._journal, self._reading, layout=layout, until=until, report=self._report
        )

    def _scopes(self, job: Job) -> Iterator[Path]:
        """Yield all scopes at and below the path of a request."""
        level = job.request.layout.level
        if not job.explanation.stored:
            job.explanation.stored = "each scope is opened and looked through"
        for path in scopes_of(self._journal, self._tree.hierarchy, level, below=job.request.path):
            if self._stopping:
                raise StoreError(_CLOSED)
            yield path

    # The file

    def _ask_file(
        self, job: Job, ask: Callable[[Session, frozenset[Path]], T | None], *, build: bool = True
    ) -> tuple[T, list[Path]] | None:
        """Bring the file to the position and ask it; `None` if it cannot answer.

        With the answer come scopes in range that have changed since the file was written, where it cannot be.
        """
        if self._file is None or not job.use_file:
            return None
        for _ in range(_TRIES):
            try:
                if build:
                    self._build(self._file, job)
                with self._file.session() as session:
                    changed = self._bring(session, job)
                    answer = ask(session, changed)
                job.is_written = not self._file.read_only
                return None if answer is None else (answer, self._in_range(changed, job))
            except Busy:
                continue  # another process writes: only for some milliseconds
            except StoreError:
                continue  # reported; the file is gone, and is made anew
            except Unusable as error:
                job.explanation.stored = f"each scope is opened and looked through: {error.reason}"
                job.unusable = error.reason if error.is_final else ""
                return None
        job.explanation.stored = "each scope is opened and looked through: the index file cannot be used now"
        return None

    def _build(self, file: IndexFile, job: Job) -> None:
        """Make the rows of the collection if they are not there, or others are."""
        assert self._upkeep is not None
        layout = job.request.layout
        state = self._upkeep.state_of(layout)
        if state == "ready":
            return
        if file.read_only:
            raise Unusable("it has no index file that could be read")
        if state == "outdated":
            message = f"the indexes of {layout.name} were made for another declaration and are made anew"
            self._report(Problem("index", message))
        known, states = job.request.states, self._states(job)

        def open_states(paths: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
            yield from ((path, known[path]) for path in paths if path in known)
            yield from states.of_each([path for path in paths if path not in known])

        self._upkeep.build(layout, until=job.request.until, open_states=open_states)

    def _bring(self, session: Session, job: Job) -> frozenset[Path]:
        """Write what changed; or return the scopes that did, where nothing can be written."""
        assert self._upkeep is not None
        assert self._file is not None
        layout, until = job.request.layout, job.request.until
        if not self._file.read_only:
            open_states = self._states(job).of_each
            self._upkeep.bring(session, layout, job.pending, until=until, open_states=open_states)
            return frozenset()
        position = session.position(layout)
        if position is None:
            raise Unusable("it has no index file that could be read")
        if position > until:
            raise Ahead(position)
        return frozenset(self._upkeep.reached(layout.level, after=position, until=until))

    def _in_range(self, changed: frozenset[Path], job: Job) -> list[Path]:
        below, held = job.request.path, job.request.held
        return [path for path in changed if (path == below or path.is_below(below)) and path not in held]

    # Scopes themselves

    def scopes(self, request: ScopeRequest, until: int) -> list[Row]:
        """Return the scopes that are asked for, in no order; `Ahead` as in `rows`."""
        for _ in range(_TRIES):
            if self._file is None or not self.can_store:
                break
            try:
                with self._file.session() as session:
                    position = self._facts.position(session)
                    if position > until:
                        raise Ahead(position)
                    if not self._file.read_only:
                        self._facts.bring(session, until)
                    elif position < until:
                        break
                    return self._facts.select(session, request)
            except StoreError:
                continue  # another process writes, or the file is made anew
        return request.rows(self._facts.read(request.path, until), is_sorted=False)

    # Upkeep

    def catch_up(self, until: int, limit: int) -> bool:
        """Write what some records say of scopes to the file; tell whether there are more up to a position."""
        if self._file is None or self._file.read_only:
            return False
        with self._file.session() as session:
            position = self._facts.position(session)
            if position >= until:
                return False
            reached = min(position + limit, until)
            self._facts.bring(session, reached)
        if reached < until:
            return True
        self._file.checkpoint()
        return False

    def names(self) -> list[str]:
        """Return the names of the collections that the file has rows of."""
        if self._file is None or not self._file.exists:
            return []
        with self._file.session() as session:
            return session.names()

    def remove(self, name: str) -> bool:
        """Remove some rows of a collection from the file; tell whether there are more."""
        if self._file is None or self._file.read_only or not self._file.exists:
            return False
        with self._file.session() as session:
            return session.remove(name, limit=_REMOVED_AT_ONCE)

    def free_bytes(self) -> int:
        """Return how much of the file holds nothing any more."""
        return 0 if self._file is None else self._file.free_bytes()

    def give_back(self, *, max_bytes: int) -> int:
        """Cut up to so many free bytes off the file; return how many went."""
        return 0 if self._file is None else self._file.give_back(max_bytes=max_bytes)

    def forget(self, erasures: Sequence[Erasure]) -> bool:
        """Remove the rows of scopes that lost records, and tell whether they are gone from the file as well.

        The next query makes them anew, from what is left. Raises `StoreError` where that is not possible now.
        """
        if self._file is None or not self._file.exists:
            return True
        with self._file.session() as session:
            for path, position in erasures:
                session.forget(path, before=position)
        return self._file.expunge()
