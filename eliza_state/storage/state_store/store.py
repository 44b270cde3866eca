"""The state of an agent: keys and values in memory, written behind to a file or a table, or nowhere.

>>> from eliza_state.storage.state_store.persistence import StatePersistence
>>> from eliza_state.storage.state_store.store import StateStore
>>> persistence = StatePersistence(enabled=True, type="file", path="data/agent-state.json")
>>> with StateStore.open(persistence) as state:
...     count = state.get("my-plugin:checkCount", 0)
...     state.set("my-plugin:checkCount", count + 1)
...     state["run:index"] = ["abc-123", "def-456"]

No event loop is needed, and none is held up: the disk is a thread's affair. With `type="database"` the state
is a table, in a database that the application may use for other things as well:

>>> persistence = StatePersistence(enabled=True, type="database", table_name="agent_state")
>>> state = StateStore.open(persistence, database=engine)  # or a URL: "sqlite:///agent.db"

By convention a plugin begins its keys with its name and a colon.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Generator, ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import URL, Engine

from eliza_serializers import Serializer
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.files import Files
from eliza_state.storage.backend import GONE
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.immutable import WrittenForm, kept
from eliza_state.storage.keys import check_name
from eliza_state.storage.state_store.file import StateFile
from eliza_state.storage.state_store.persistence import StatePersistence, check_interval
from eliza_state.storage.state_store.sink import Change, StateSink, Stored
from eliza_state.storage.state_store.table import StateTable
from eliza_state.storage.state_store.writer import StateWriter

_logger = logging.getLogger(__name__)
_KEPT_PROBLEMS: Final = 100
_MISSING: Final = object()


class StateStore(MutableMapping[str, Any]):
    """Keep values under text keys in memory, and write what has changed to a file or a table a while later.

    A key is any non-empty Unicode text of at most 512 bytes in UTF-8; others raise `InvalidKey`. A value is
    what `eliza_serializers` can write; others raise `SerializationError`, and nothing changes. Changing an
    object that was set or got changes nothing in the store: it is written when it is set, and what could
    change is made anew for each reader.

    Memory is the truth: reading never waits, and shows at once what was set. All that has changed since the
    last write goes in one, so that a killed process loses the last `flush_interval_ms` at most, and nothing
    from before them; closing writes it, and so does the end of the process. Where a write fails, what it held
    stays in memory and comes with the next one, after a pause that doubles up to 30 seconds; it is reported
    (`problems`). What waits to be written is one value a key, the newest: however long that lasts, it takes
    no more memory than the state itself.

    Any thread may call; what touches several keys (`update`, `clear`) or reads and changes (`pop`, `popitem`,
    `setdefault`) is one step for others. One process has a file at a time. A table may be written by several,
    each with a memory of its own: what others write is seen when it is opened, and the last writer wins.

    With an interval of 0, changes return when they are on the disk. They raise `StoreError` if that fails;
    then they hold for readers, and are written later, all the same.
    """

    def __init__(
        self,
        sink: StateSink | None = None,
        *,
        flush_interval_ms: float = 1_000,
        serializer: Serializer | None = None,
    ) -> None:
        """Read what a sink holds, and write to it; `None` for memory alone. Closing closes the sink."""
        check_interval(flush_interval_ms)
        if serializer is not None and serializer.name != "json":
            raise ValueError(f"state is written as JSON, got the serializer {serializer.name!r}")
        self._encoding = Encoding[Any](serializer="json" if serializer is None else serializer)
        self._values: dict[str, Any] = {}
        self._unreadable: dict[str, DamagedValue] = {}
        self._problems: deque[StoreError] = deque(maxlen=_KEPT_PROBLEMS)
        self._is_open = True
        self._has_ended = False
        self._place = "memory" if sink is None else sink.name
        self._writer: StateWriter | None = None
        self._lock = threading.Lock()
        if sink is not None:
            self._load(sink.load())
            self._writer = StateWriter(sink, flush_interval_ms=flush_interval_ms, report=self._report)
            self._lock = self._writer.lock

    def _load(self, stored: Stored) -> None:
        damaged = [DamagedValue(key, reason) for key, reason in stored.unreadable.items()]
        for key, content in stored.contents.items():
            try:
                self._values[key] = kept(self._encoding.decode(content, key=key), content)
            except DamagedValue as error:
                damaged.append(error)
        self._unreadable = {error.key: error for error in damaged}
        for problem in (*stored.problems, *damaged):
            self._report(problem)

    @classmethod
    def open(
        cls,
        persistence: StatePersistence | None = None,
        *,
        database: str | URL | Engine | None = None,
        serializer: Serializer | None = None,
        timeout_ms: int = 5_000,
        files: Files | None = None,
        clock: Clock = now_us,
    ) -> Self:
        """Open the state where the configuration says; without one, in memory.

        `database` is for `type="database"`: an engine stays the application's, that of a URL is the store's
        own. Without one, a warning is logged, and the state is in memory. `serializer` is a JSON serializer,
        for example one with classes registered. A write waits up to `timeout_ms` for a lock or a connection
        of the database.

        A file that cannot be read is set aside and reported, and the state starts empty; so is a value that
        cannot be read, except that it stays where it is until its key is set or deleted (`unreadable`).
        Raises `StoreError` for a file that another process has open, and for what cannot be opened.
        """
        chosen = StatePersistence() if persistence is None else persistence
        sink: StateSink | None = None
        if chosen.place == "file":
            sink = StateFile(chosen.path, files=files, clock=clock)
        elif chosen.place == "database" and database is not None:
            table_name = chosen.table_name
            sink = StateTable(database, table_name=table_name, timeout_ms=timeout_ms, clock=clock)
        try:
            store = cls(sink, flush_interval_ms=chosen.flush_interval_ms, serializer=serializer)
        except BaseException:
            if sink is not None:
                sink.close()
            raise
        if chosen.place == "database" and sink is None:
            store._report(
                StoreError("no database is configured; state is in memory and ends with the process")
            )
        return store

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._place}, {len(self._values)} keys>"

    @property
    def problems(self) -> tuple[StoreError, ...]:
        """What went wrong, the last hundred: what could not be read at the start, and failed writes."""
        return tuple(self._problems)

    @property
    def unreadable(self) -> Mapping[str, DamagedValue]:
        """The keys under which something else is stored than a value, which was left as it is."""
        return dict(self._unreadable)

    @property
    def pending(self) -> int:
        """How many keys have changed since they were last written."""
        return 0 if self._writer is None else self._writer.pending

    # reading

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default` if it does not exist."""
        found = self._values.get(key, _MISSING)
        return self._absent(key, default) if found is _MISSING else self._value_of(key, found)

    def _absent(self, key: str, default: Any) -> Any:
        self._check_open()
        check_name(key)
        return default

    def _value_of(self, key: str, found: Any) -> Any:
        return self._encoding.decode(found.content, key=key) if type(found) is WrittenForm else found

    def has(self, key: str) -> bool:
        """Tell whether a key exists."""
        return key in self._values or self._absent(key, False)

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        self._check_open()
        return key in self._values

    def __len__(self) -> int:
        self._check_open()
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys as they are now, whatever changes meanwhile."""
        self._check_open()
        with self._lock:
            return iter(list(self._values))

    def snapshot(self) -> dict[str, Any]:
        """Return all keys with their values, as they are at one moment."""
        self._check_open()
        with self._lock:
            values = self._values.copy()
        return {key: self._value_of(key, found) for key, found in values.items()}

    def items(self) -> ItemsView[str, Any]:
        """Return the keys with their values, as they are at one moment."""
        return self.snapshot().items()

    def values(self) -> ValuesView[Any]:
        """Return the values, as they are at one moment."""
        return self.snapshot().values()

    # changing

    def set(self, key: str, value: Any) -> None:
        """Store a value. Raises `SerializationError` for one that cannot be written; nothing changes then."""
        content, value = self._written(key, value)
        with self._changing() as changes:
            self._put(changes, key, content, value)

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Store the values of a mapping, or of pairs, in one step: all or, where one cannot be, none."""
        new = {key: self._written(key, value) for key, value in dict(other, **values).items()}
        with self._changing() as changes:
            for key, (content, value) in new.items():
                self._put(changes, key, content, value)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key; if it does not exist, store `default` and return that."""
        content, value = self._written(key, default)
        with self._changing() as changes:
            found = self._values.get(key, _MISSING)
            if found is _MISSING:
                found = value
                self._put(changes, key, content, value)
        return self._value_of(key, found)

    def _written(self, key: str, value: Any) -> tuple[bytes, Any]:
        """Return a value as it is written, and as it is kept."""
        check_name(key)
        if self._writer is not None:
            self._writer.check(key)
        content = self._encoding.encode(value, key=key)
        return content, kept(value, content)

    def _put(self, changes: dict[str, Change], key: str, content: bytes, value: Any) -> None:
        changes[key] = content
        self._values[key] = value
        self._unreadable.pop(key, None)

    def delete(self, key: str) -> bool:
        """Remove a key and tell whether it existed."""
        check_name(key)
        with self._changing() as changes:
            return self._take(changes, key) is not _MISSING

    def _take(self, changes: dict[str, Change], key: str) -> Any:
        if key in self._values or key in self._unreadable:
            changes[key] = GONE
            self._unreadable.pop(key, None)
        return self._values.pop(key, _MISSING)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        """Remove a key and return its value; if it does not exist, `default` or else raise `KeyError`."""
        check_name(key)
        with self._changing() as changes:
            found = self._take(changes, key)
        if found is not _MISSING:
            return self._value_of(key, found)
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[str, Any]:
        """Remove the key that was added last, and return it with its value; `KeyError` if there is none."""
        with self._changing() as changes:
            key = next(reversed(self._values), None)
            if key is None:
                raise KeyError("the state is empty")
            found = self._take(changes, key)
        return key, self._value_of(key, found)

    def clear(self) -> None:
        """Remove all keys, those that could not be read included."""
        with self._changing() as changes:
            for key in (*self._values, *self._unreadable):
                self._take(changes, key)

    @contextlib.contextmanager
    def _changing(self) -> Generator[dict[str, Change]]:
        """Hold the lock while values are changed; whoever changes one notes it in the mapping before."""
        if self._writer is not None:
            self._writer.check_process()
        changes: dict[str, Change] = {}
        with self._lock:
            self._check_open()
            try:
                yield changes
            finally:
                if changes and self._writer is not None:
                    self._writer.changed(changes)
        if changes and self._writer is not None and self._writer.is_durable:
            self._writer.flush()

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError("the state is closed; open it anew")

    # writing

    def _report(self, problem: StoreError) -> None:
        self._problems.append(problem)
        _logger.warning("%s", problem)

    def flush(self) -> None:
        """Return when everything is written. Raises `StoreError` if that fails; then nothing is lost.

        In a coroutine: `await asyncio.to_thread(state.flush)`.
        """
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write what is not yet written, and release what is held; twice does nothing.

        Raises `StoreError` if writing fails; then the store stays open and can be closed again.
        """
        if self._writer is not None:
            self._writer.check_process()
        self._is_open = False
        try:
            while not self._ended():
                self.flush()
        except BaseException:
            self._is_open = not self._has_ended
            raise

    def _ended(self) -> bool:
        """End if there is nothing to write any more, and tell whether that is so."""
        with self._lock:
            if self._writer is not None and not self._writer.is_clean:
                return False
            is_first = not self._has_ended
            self._is_open, self._has_ended = False, True
            self._values.clear()
        if is_first and self._writer is not None:
            self._writer.end()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
