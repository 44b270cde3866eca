"""How a journal connects to PostgreSQL: nothing waits longer than it is told to, on neither side."""

from __future__ import annotations

import select
import time
from collections.abc import Generator, Sequence
from typing import Any, Final, TypeVar

import psycopg
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError

from eliza_state.errors import StoreError

RV = TypeVar("RV")

ANSWER_WITHIN_MS: Final = 10_000

_LEAST_CONNECT_S: Final = 2  # libpq takes no less
# On a machine with more to do than it can, a process may get no turn for a second.
_LEAST_PAUSE_S: Final = 3
_GRACE_S: Final = 1  # the server's own timeouts say more


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is given up when an answer takes longer than `answer_within_s`.

    A server that is stopped, or behind a network that swallows everything, says nothing: neither its own
    timeouts nor those of TCP end that wait in any case.
    """

    answer_within_s: float

    def wait(self, gen: Generator[Any, Any, RV], *arguments: Any, **options: Any) -> RV:
        """Drive an exchange with the server; one that takes too long ends the connection."""
        return super().wait(self._bounded(gen), *arguments, **options)

    def _bounded(self, gen: Generator[Any, Any, RV]) -> Generator[Any, Any, RV]:
        deadline = time.monotonic() + self.answer_within_s
        ready: Any = None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                answer: RV = end.value
                return answer
            ready = yield wanted
            # Nothing is ready, now and then, so that whoever waits can look around.
            if not ready and time.monotonic() > deadline:
                self.pgconn.finish()
                raise psycopg.OperationalError(f"the server has not answered for {self.answer_within_s:g} s")


def answer_within_ms(url: URL) -> int:
    """Return how long an answer is waited for; `StoreError` where the URL gives what is no such number."""
    given = url.query.get("answer_within_ms", str(ANSWER_WITHIN_MS))
    try:
        number = int(str(given))
    except ValueError:
        number = 0
    if number < 1:
        raise StoreError(f"answer_within_ms is a number of milliseconds from 1, got {given!r}")
    return number


def engine_of(
    url: URL, *, name: str, read_only: bool, lock_timeout_s: float, answer_within_s: float, connections: int
) -> Engine:
    """Return an engine whose connections run each statement by itself, unless they are told to begin.

    `?` stands for a parameter in what goes through `exec_driver_sql`.
    """
    bound_s = lock_timeout_s + answer_within_s
    timeout_ms = f"{bound_s * 1_000:.0f}"
    settings = {
        "lock_timeout": f"{lock_timeout_s * 1_000:.0f}",
        "statement_timeout": timeout_ms,
        # A client that is gone without a word must not keep a lock from others.
        "idle_in_transaction_session_timeout": f"{max(lock_timeout_s, _LEAST_PAUSE_S) * 1_000:.0f}",
        "default_transaction_read_only": "on" if read_only else "off",
        **_keepalives("tcp_keepalives_", bound_s),
    }
    arguments: dict[str, Any] = {
        "connect_timeout": str(max(_LEAST_CONNECT_S, round(answer_within_s))),
        "tcp_user_timeout": timeout_ms,
        **_keepalives("keepalives_", bound_s),
    }
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=connections,
        max_overflow=connections,
        pool_timeout=bound_s,
        hide_parameters=True,
        use_native_hstore=False,
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, positional: Sequence[Any], given: dict[str, Any]) -> Any:
        options = [given.get("options", ""), *(f"-c{setting}={value}" for setting, value in settings.items())]
        told = {"application_name": name, "options": " ".join(options).strip()}
        connection = BoundedConnection.connect(*positional, **{**arguments, **given, **told})
        connection.answer_within_s = bound_s + _GRACE_S
        # As text, arrays take a batch of small values twice as long as all the rest of it.
        connection.adapters.register_dumper(list, ListBinaryDumper)
        # Else a number's size is part of its type, and a statement is prepared anew for each mix of sizes.
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        return connection

    event.listen(engine, "checkout", _look_at)
    event.listen(engine, "before_cursor_execute", _with_places, retval=True)
    return engine


def _keepalives(prefix: str, bound_s: float) -> dict[str, str]:
    """Have TCP ask after a second of silence, or some, and give up within the bound."""
    pause_s = max(1, round(bound_s / 4))
    return {f"{prefix}idle": str(pause_s), f"{prefix}interval": str(pause_s), f"{prefix}count": "3"}


def _look_at(driver: Any, _record: Any, _proxy: Any) -> None:
    if is_cut(driver):
        raise InvalidatePoolError  # has the pool connect anew: most likely the others have ended as well


def _with_places(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    """Return a statement in the driver's own writing: what SQLAlchemy has compiled is that already."""
    is_compiled = isinstance(parameters, dict) or (parameters and isinstance(parameters[0], dict))
    return statement if is_compiled else statement.replace("?", "%s"), parameters


def is_cut(driver: psycopg.Connection[Any]) -> bool:
    """Tell, without asking the server, whether an idle connection has ended."""
    try:
        while not driver.closed and _is_readable(driver.fileno()):
            driver.pgconn.consume_input()
    except psycopg.Error:
        return True
    return bool(driver.closed)


def _is_readable(file: int) -> bool:
    if not hasattr(select, "poll"):  # Windows, whose `select` takes any number
        return bool(select.select([file], [], [], 0)[0])
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(0))
