"""Records with what each changed: filters, directions, pages."""

from __future__ import annotations

import datetime
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_state.debugger import Debugger, InvalidStatePath, SliceDiff, TimelineEntry
from eliza_state.diff import Difference, Field, Index, Key, diff
from eliza_state.errors import RegistrationError, StateError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from tests.effort import examples
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Said, TalkModule, modules
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.test_past import EVENTS

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


async def positions(debugger: Debugger, **filters: Any) -> list[int]:
    return [entry.position async for entry in debugger.timeline(**filters)]


async def test_a_record_tells_what_it_changed(debugger: Debugger) -> None:
    (entry,) = [entry async for entry in debugger.timeline(below=TALK, after_position=2, limit=1)]

    assert entry.record.event == "said"
    assert entry.changes == (
        SliceDiff(
            TALK,
            "talk",
            (
                Difference((Field("texts"), Index(1)), "added", after="Hello yourself"),
                Difference((Field("counts"), Key("bo")), "added", after=1),
            ),
        ),
    )


async def test_scopes_above_come_first(debugger: Debugger) -> None:
    entry = await anext(debugger.timeline(after_position=1))

    assert [(change.path.level, change.module) for change in entry.changes] == [
        (None, "totals"),
        ("conversation", "talk"),
    ]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"newest_first": True}, [8, 7, 6, 5, 4, 3, 2, 1]),
        ({"below": TALK}, [2, 3, 6, 7]),
        ({"below": ROOM.encode(), "newest_first": True, "limit": 2}, [8, 7]),
        ({"event": "said"}, [2, 3, 5, 7]),
        ({"event": Said, "below": OTHER}, [5]),
        ({"module": "people"}, [1, 3]),
        ({"module": TalkModule}, [2, 3, 5, 7, 8]),
        ({"module": "talk", "inside": "counts[bo]"}, [3]),
        ({"module": "talk", "inside": "counts[ada]", "newest_first": True}, [7, 5, 2]),
        ({"module": "talk", "inside": "closed"}, [8]),
        ({"module": "talk", "inside": "texts[0]"}, [2, 5]),
        ({"text": "HELLO"}, [2, 3]),
        ({"text": "amount"}, [4]),
        ({"text": "said"}, []),
        ({"since": START + datetime.timedelta(seconds=6)}, [7, 8]),
        ({"until": START + datetime.timedelta(seconds=1.5)}, [1, 2]),
        ({"after_position": 5}, [6, 7, 8]),
        ({"before_position": 3}, [1, 2]),
        ({"before_position": 5, "newest_first": True, "limit": 2}, [4, 3]),
        ({"after_position": 2, "before_position": 5}, [3, 4]),
        ({"limit": 0}, []),
        ({"below": "agent:nobody"}, []),
    ],
)
async def test_filters(debugger: Debugger, filters: Any, expected: list[int]) -> None:
    assert await positions(debugger, **filters) == expected


async def test_it_ends_where_it_began(debugger: Debugger, manager: StateManager) -> None:
    seen: list[int] = []
    async for entry in debugger.timeline():
        seen.append(entry.position)
        await manager.dispatch(Said(user="ada", text="again"), to=TALK)

    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ({"inside": "texts"}, StateError, "name it as `module` as well"),
        ({"module": "talks"}, RegistrationError, "no module 'talks' is registered"),
        ({"module": "talk", "inside": "text"}, InvalidStatePath, "did you mean 'texts'"),
        ({"since": datetime.datetime(2026, 1, 1)}, StateError, "a time with a time zone"),  # noqa: DTZ001
    ],
)
async def test_a_filter_that_cannot_be_is_refused_at_once(
    debugger: Debugger, filters: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        debugger.timeline(**filters)


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(EVENTS, max_size=40), st.booleans(), st.integers(0, 40))
async def test_it_tells_what_the_dispatches_told(facts: Any, newest_first: bool, after: int) -> None:
    async with StateManager.open(modules=modules()) as manager:
        changes = [await manager.dispatch(fact, to=path) for fact, path in facts]
        expected = [
            [
                SliceDiff(slice_.path, slice_.module, diff(slice_.before, slice_.after))
                for slice_ in change.slices
                if slice_.module != "presence"
            ]
            for change in changes[after:]
        ]
        found = [
            list(entry.changes)
            async for entry in Debugger(manager).timeline(after_position=after, newest_first=newest_first)
        ]

        assert found == (expected[::-1] if newest_first else expected)


@event("keyed")
class Keyed:
    name: str
    token: Secret[str]


@attrs.frozen
class Vault:
    name: str = ""
    token: Secret[str] | None = None


class VaultModule(StateModule[Vault]):
    name = "vault"
    level = "agent"

    @reduces(Keyed)
    def key(self, state: Vault, event: Keyed) -> Vault:
        return evolve(state, name=event.name, token=event.token)


@pytest.fixture
async def vault(opened: Open, url: str) -> Debugger:
    """A store with a secret in it."""
    manager = await opened(url, modules=[VaultModule()])
    await manager.dispatch(Keyed(name="mine", token=Secret("hunter2")), to=AGENT)
    return Debugger(manager)


class TestSecrets:
    async def test_they_never_match(self, vault: Debugger) -> None:
        assert await positions(vault, text="mine") == [1]
        assert await positions(vault, text="hunter2") == []
        assert await positions(vault, text="SECRET") == []

    async def test_they_are_masked(self, vault: Debugger) -> None:
        entry: TimelineEntry = await anext(vault.timeline())
        snapshot = await vault.snapshot()
        told = [str(entry.to_json()), repr(entry), str(snapshot.to_json()), repr(snapshot.scopes)]
        told.append((await (await vault.at(0)).diff()).render(colour=True))
        told.append(str((await (await vault.at(0)).diff()).to_json_patch()))

        assert "hunter2" not in "".join(told)
        assert entry.to_json()["payload"] == {"name": "mine", "token": "[SECRET]"}
