"""Reading off the event loop: what a scope that nobody wrote to costs."""

from __future__ import annotations

from sqlalchemy import Engine, event

from tests.eliza_state.chat import ROOM, TALK, Joined


async def test_a_scope_that_nobody_wrote_to_costs_a_server_one_question(opened, postgres_store):
    manager = await opened(postgres_store)
    await manager.dispatch(Joined(user="ada"), to=ROOM)
    asked: list[str] = []

    def hear(_connection, _cursor, statement, *_rest):
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        await manager.at(TALK).state()
    finally:
        event.remove(Engine, "before_cursor_execute", hear)

    assert [True] == ["FROM path WHERE" in statement for statement in asked]
