"""Google's Agent Development Kit: each message is an event that is appended to a session."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final

from benchmarks.appending.openai_agents import engine_of
from benchmarks.appending.sides import START_S, Append, Side, Store, user_of
from benchmarks.peers import peer
from benchmarks.talk import TEXT

_events: Any = peer("google.adk.events")
_types: Any = peer("google.genai.types")

APPLICATION: Final = "eliza"
USER: Final = "ada"


def said(number: int, *, talk: int) -> Any:
    """Return a message as the kit has it."""
    content = _types.Content(role="user", parts=[_types.Part(text=TEXT)])
    return _events.Event(
        id=f"c{talk}-m{number}", author=user_of(number), content=content, timestamp=float(START_S + number)
    )


@contextlib.asynccontextmanager
async def in_database(store: Store) -> AsyncGenerator[Append]:
    """Open the service over aiosqlite, or asyncpg where there is a server."""
    engine = engine_of(store)
    service = peer("google.adk.sessions").DatabaseSessionService(db_engine=engine)
    sessions = [await _filled(service, talk, store.history) for talk in range(store.talks)]

    async def append(talk: int, number: int) -> None:
        await service.append_event(sessions[talk], said(number, talk=talk))

    yield append
    await engine.dispose()


async def _filled(service: Any, talk: int, history: int) -> Any:
    """Return a session with its history, which goes to the service's table in one transaction."""
    name = {"app_name": APPLICATION, "user_id": USER, "session_id": f"c{talk}"}
    session = await service.create_session(**name)
    schema = peer("google.adk.sessions.schemas.v1")
    async with service.database_session_factory() as transaction:
        # An event of the history has a time before the session's own, which is now.
        transaction.add_all(
            schema.StorageEvent.from_event(session, said(number, talk=talk)) for number in range(history)
        )
        await transaction.commit()
    return await service.get_session(**name)


SQLITE: Final = Side(
    "ADK DatabaseSessionService", in_database, "WAL, synchronous=FULL set, where it would not use WAL"
)
POSTGRES: Final = Side("ADK DatabaseSessionService", in_database, "asyncpg")
