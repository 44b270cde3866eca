"""Settings of several levels, over restarts too."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from eliza_modules.settings import (
    AT_EVERY_LEVEL,
    SettingChanged,
    SettingRemoved,
    SettingsModule,
    SettingsState,
    settings,
)
from eliza_serializers import Secret
from eliza_state import StateManager
from eliza_state.errors import InvalidEvent, RegistrationError, Rejected, StateError, UnknownTransition
from eliza_state.path import DEFAULT_HIERARCHY, Path
from tests.effort import examples

LEVELS = ("global", "agent", "room", "conversation")
TALK = Path().child("agent", "eliza").child("room", "general").child("conversation", "c1")
ROOT, AGENT, ROOM, _ = TALK.chain()


@pytest.fixture(params=["memory", "sqlite"])
def url(request, tmp_path):
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
async def manager(url):
    async with StateManager.open(url, modules=settings(*LEVELS)) as opened:
        yield opened


async def change(manager, path, **values):
    for key, value in values.items():
        await manager.dispatch(SettingChanged(key=key, value=value), to=path)


async def held(manager, path):
    return await manager.at(path).inherited(SettingsModule)


async def own(manager, path):
    return dict((await manager.at(path).state(SettingsModule)).settings)


async def test_nothing_is_set_at_first(manager):
    assert await held(manager, TALK) == {}
    assert SettingsState() == await manager.at(TALK).state(SettingsModule)


async def test_a_setting_holds_below_the_scope_that_sets_it(manager):
    await change(manager, ROOM, language="de")

    assert [{}, {}, {"language": "de"}, {"language": "de"}] == [await held(manager, p) for p in TALK.chain()]
    assert (await held(manager, TALK)).origin("language") == ROOM
    assert await held(manager, AGENT.child("room", "other")) == {}


@pytest.mark.parametrize("path", [*TALK.chain()], ids=LEVELS)
async def test_an_event_changes_the_addressed_scope_alone(manager, path):
    event = SettingChanged(key="language", value="de")
    done = await manager.dispatch(event, to=path)
    taken = await manager.dispatch(SettingRemoved(key="language"), to=path)

    assert [path] == [slice_.path for slice_ in done.slices] == [slice_.path for slice_ in taken.slices]


async def test_the_nearest_setting_holds(manager):
    await change(manager, TALK, language="fr")
    await change(manager, ROOT, language="en", tone="dry")

    assert await held(manager, TALK) == {"language": "fr", "tone": "dry"}


async def test_none_hides_what_is_set_above(manager):
    await change(manager, ROOT, language="en")
    await change(manager, ROOM, language=None)

    assert (await held(manager, TALK))["language"] is None


async def test_a_removed_setting_is_inherited_again(manager):
    await change(manager, ROOT, language="en")
    await change(manager, ROOM, language="de")
    await manager.dispatch(SettingRemoved(key="language"), to=ROOM)
    view = await held(manager, TALK)

    assert (view["language"], view.origin("language")) == ("en", ROOT)


async def test_what_is_not_set_here_cannot_be_removed_here(manager):
    await change(manager, ROOT, language="en")

    with pytest.raises(Rejected, match="'language' is not set here"):
        await manager.dispatch(SettingRemoved(key="language"), to=ROOM)
    assert await held(manager, TALK) == {"language": "en"}


async def test_the_same_value_again_changes_nothing(manager):
    await change(manager, ROOM, language="de")
    again = await manager.dispatch("setting_changed", {"key": "language", "value": "de"}, to=ROOM)

    assert again.slices == ()


@pytest.mark.parametrize("key", ["", 3, None, ("a",), ["a"]])
async def test_a_key_is_a_text(manager, key):
    for event in (SettingChanged(key=key, value=1), SettingRemoved(key=key)):
        with pytest.raises(StateError):
            await manager.dispatch(event, to=ROOM)

    assert await own(manager, ROOM) == {}
    assert await manager.position() == 0


async def test_a_value_that_cannot_be_written_is_refused(tmp_path):
    async with StateManager.open(f"sqlite:///{tmp_path / 's.db'}", modules=settings("room")) as manager:
        await change(manager, ROOM, language="de")
        with pytest.raises(InvalidEvent, match=r"value.*lock"):
            await change(manager, ROOM, language={"lock": asyncio.Lock()})

        assert await own(manager, ROOM) == {"language": "de"}


async def test_values_come_back_as_they_were(tmp_path):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    values = {"sizes": (1, 2), "until": date(2024, 5, 1), "words": {"a"}, "none": None, "by": {1: [2.5]}}
    async with StateManager.open(url, modules=settings("agent")) as manager:
        await change(manager, AGENT, **values, token=Secret("abc"))
    async with StateManager.open(url, modules=settings("agent")) as manager:
        found = dict(await held(manager, TALK))

    assert "abc" not in repr(found)
    assert found.pop("token").reveal() == "abc"
    assert (values, repr(values)) == (found, repr(found))


async def test_a_setting_of_before_its_level_was_registered_shows_once_it_is(url):
    async with StateManager.open(url, modules=settings("global")) as manager:
        ignored = await manager.dispatch(SettingChanged(key="language", value="de"), to=ROOM)
        before = await held(manager, ROOM)
        await manager.register_module(*settings("room"))

        assert (ignored.slices, before) == ((), {})
        assert await held(manager, TALK) == {"language": "de"}


async def test_a_scope_above_all_settings_takes_none(url):
    async with StateManager.open(url, modules=settings("room")) as manager:
        with pytest.raises(UnknownTransition):
            await change(manager, AGENT, language="de")
        with pytest.raises(RegistrationError):
            await held(manager, AGENT)


# Registering


def test_each_level_has_a_slice_of_its_own_name():
    assert [("settings", "global"), ("settings_agent", "agent")] == [
        (module.name, module.level) for module in settings("global", "agent")
    ]


def test_the_command_line_knows_settings_of_every_level():
    assert DEFAULT_HIERARCHY.levels == tuple(module.level for module in AT_EVERY_LEVEL)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((), "name at least one"),
        (("rom",), "lives at level 'rom'; the levels are global"),
        (("room", "agent", "room"), "two modules are named 'settings_room'"),
        ((3,), "SettingsModule needs"),
    ],
)
async def test_wrong_levels_are_refused(levels, message):
    with pytest.raises(RegistrationError, match=message):
        await StateManager.open(modules=settings(*levels))


# Against dicts

PATHS = [*TALK.chain(), AGENT.child("room", "other"), ROOM.child("conversation", "c2")]
KEYS = st.sampled_from(["language", "tone"])
EVENTS = st.one_of(
    st.builds(SettingChanged, key=KEYS, value=st.sampled_from([None, 0, False, "de", [1]])),
    st.builds(SettingRemoved, key=KEYS),
)


def expected(sets, path):
    """The fold of the scopes' dicts along the chain."""
    folded = {}
    for scope in path.chain():
        folded |= sets[scope]
    return folded


@tries(max_examples=examples(60))
@given(st.lists(st.tuples(st.sampled_from(PATHS), EVENTS), max_size=20))
def test_the_view_is_the_fold_of_dicts_along_the_chain(steps):
    async def check():
        sets = {path: {} for path in PATHS}
        async with StateManager.open(modules=settings(*LEVELS)) as manager:
            history = [{path: {} for path in PATHS}]
            for path, event in steps:
                try:
                    await manager.dispatch(event, to=path)
                except Rejected:
                    assert event.key not in sets[path]
                    continue
                if isinstance(event, SettingChanged):
                    sets[path][event.key] = event.value
                else:
                    del sets[path][event.key]
                history.append({scope: dict(values) for scope, values in sets.items()})
            for path in PATHS:
                view = await held(manager, path)

                assert expected(sets, path) == view
                assert repr(expected(sets, path)) == repr(dict(view))
            for at, past in enumerate(history):
                assert expected(past, TALK) == await manager.at(TALK).inherited(SettingsModule, at=at)

    asyncio.run(check())
