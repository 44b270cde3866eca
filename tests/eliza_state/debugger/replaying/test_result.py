"""What a replay tells people and programs."""

from __future__ import annotations

import json

import attrs

from eliza_serializers import Secret
from eliza_state.debugger import Debugger
from eliza_state.event import event
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces


@event("signed_in")
class SignedIn:
    token: Secret[str]


@attrs.frozen
class Session:
    token: Secret[str] | None = None


class SessionModule(StateModule[Session]):
    name = "session"
    level = "agent"

    @reduces(SignedIn)
    def sign_in(self, _: Session, event: SignedIn) -> Session:
        return Session(token=event.token)


async def test_it_renders_where_the_courses_part_and_what_differs_in_the_end(debugger: Debugger) -> None:
    replay = await debugger.replay("agent:eliza", first=1, skip=4)

    assert (
        "8 records from position 1 to 8: 1 skipped\n"
        "first divergence at position 4, drawn at agent:eliza\n"
        "  agent:eliza: budget\n"
        "  ~ left: 7 → 10\n"
        "in the end\n"
        "  agent:eliza: budget\n"
        "  ~ left: 7 → 10"
    ) == replay.render()


async def test_it_says_that_nothing_differs(debugger: Debugger) -> None:
    replay = await debugger.replay(first=2, last=3)

    assert "2 records from position 2 to 3: as they are\nnothing differs, at no position" == replay.render()


async def test_it_is_json_for_programs(debugger: Debugger) -> None:
    replay = await debugger.replay("agent:eliza", first=1, skip=4)

    told = json.loads(json.dumps(replay.to_json()))
    assert (8, 1, False) == (told["records"], told["skipped"], told["is_same"])
    assert [(4, "drawn", "budget")] == [
        (found["position"], found["event"], found["module"]) for found in told["divergences"]
    ]
    assert [{"at": "left", "kind": "changed", "before": 7, "after": 10}] == told["diff"][0]["differences"]


async def test_secrets_stay_masked() -> None:
    async with StateManager.open(modules=[SessionModule()]) as manager:
        await manager.dispatch(SignedIn(token=Secret("hunter2")), to="agent:eliza")
        replay = await Debugger(manager).replay(edit={1: {"token": "other"}})

    assert 1 == len(replay.diff)
    assert "hunter2" not in replay.render() + json.dumps(replay.to_json()) + repr(replay)
    assert "other" not in json.dumps(replay.to_json()["diff"])
