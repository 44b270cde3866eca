"""No plugin meets another: names and keys built to collide, attributes that lead nowhere, own values."""

from __future__ import annotations

import types
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.plugins import KeyChange, Plugins, PluginState
from eliza_state.problems import Problems
from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.backend import Backend
from tests.eliza_state.plugins.theirs import TheirsListed

NAMES = [
    "a", "ab", "a:b", "a/b", "a%2Fb", "a%", "%", "a/", "/a", "//", "..", ".", "../a", "a/../b", "a_", "a*",
    "A", "a\x00", "\x00", "a\x00b", "a\n", "ä", "a\u0308", "🦊", "🦊🦊", "\U0010ffff", "\uffff", " ", "'",
    '"', "plugin", "plugin/a", "; drop table plugin_state", "__class__", "x" * 512,
]  # fmt: skip
KEYS = ["k", "b:c", "c", "b/k", "../ab/k", "a/k", "%2F", "k\x00", "\x00", "🦊", "\U0010ffff", ".."]
TEXTS = st.text(st.sampled_from("ab:/%.2F\x00_*\U0010ffff"), min_size=1, max_size=6)


async def test_plugins_never_share_a_key(plugins: Plugins):
    for name in NAMES:
        for key in KEYS:
            await plugins[name].set(key, [name, key])
    found = {(name, key): await plugins[name].get(key) for name in NAMES for key in KEYS}

    assert found == {(name, key): [name, key] for name in NAMES for key in KEYS}
    assert sorted(NAMES) == await plugins.names()


@pytest.mark.parametrize("name", NAMES)
async def test_a_plugin_lists_its_own_keys_whatever_the_prefix(name: str):
    async with Plugins.in_database() as plugins:
        for other in NAMES:
            if other != name:
                await plugins[other].set("k", other)

        assert [] == await plugins[name].keys()
        for prefix in ("", *KEYS, *NAMES):
            assert [] == await plugins[name].keys(prefix=prefix)


async def test_purging_one_leaves_all_others(plugins: Plugins):
    for name in NAMES:
        await plugins[name].set("k", name)
    for name in NAMES[: len(NAMES) // 2]:
        assert 1 == await plugins.purge(name)

    assert sorted(NAMES[len(NAMES) // 2 :]) == await plugins.names()


@settings(max_examples=100)
@given(st.dictionaries(st.tuples(TEXTS, TEXTS), st.integers(), max_size=20))
async def test_pairs_of_name_and_key_are_kept_apart(values: dict[tuple[str, str], int]):
    async with Plugins.in_database() as plugins:
        for (name, key), value in values.items():
            await plugins[name].set(key, value)
        found = {(name, key): await plugins[name].get(key) for name, key in values}
        listed = {(name, key) for name in await plugins.names() for key in await plugins[name].keys()}

    assert values == found
    assert set(values) == listed


class Impostor(str):
    """A text that lies wherever it is asked."""

    __slots__ = ()

    def __radd__(self, other: str) -> str:
        return "plugin/victim/key"

    def translate(self, table: Any) -> str:
        return "../victim/key"

    def encode(self, *_: Any) -> bytes:
        return b"k"

    def startswith(self, *_: Any) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("victim")


async def test_a_key_that_lies_about_itself_is_its_plain_text(plugins: Plugins):
    await plugins["victim"].set("key", "kept")
    evil = plugins["evil"]
    await evil.set(Impostor("mine"), "overwritten")

    assert ["mine"] == await evil.keys()
    assert "overwritten" == await evil.get(Impostor("mine"))
    assert "none" == await evil.get(Impostor("key"), "none")
    assert "kept" == await plugins["victim"].get("key")


async def test_a_name_that_lies_about_itself_is_its_plain_text(plugins: Plugins):
    assert plugins["evil"] is plugins[Impostor("evil")]
    assert "evil" == plugins[Impostor("evil")].name
    assert plugins["victim"] is not plugins[Impostor("evil")]


async def test_nobody_hears_a_neighbour(plugins: Plugins):
    heard: dict[str, list[str]] = {name: [] for name in ("a", "ab", "a/b", "..")}
    for name, keys in heard.items():
        plugins[name].listen(lambda change, keys=keys: keys.append(change.key))
    await plugins["a"].set("b:c", 1)
    await plugins["a"].delete("b:c")

    assert {"a": ["b:c", "b:c"], "ab": [], "a/b": [], "..": []} == heard


# Attributes


FUNCTIONS = (
    "__self__",
    "__func__",
    "__closure__",
    "__defaults__",
    "__kwdefaults__",
    "__dict__",
    "__wrapped__",
)
CALLABLE = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType,
)  # fmt: skip
OUTSIDE = (type, types.ModuleType, types.CodeType, str, bytes, int, float, type(None))


def led_to(item: object) -> list[object]:
    """What attributes and items of one object lead to; for functions and methods, what they hold."""
    if isinstance(item, types.CellType):
        return [item.cell_contents]
    if isinstance(item, CALLABLE):
        return [getattr(item, name, None) for name in FUNCTIONS]
    found = [getattr(item, name, None) for name in {*dir(item), *FUNCTIONS, "_inside"}]
    if isinstance(item, dict):
        found += [*item.keys(), *item.values()]
    elif isinstance(item, list | tuple | set | frozenset):
        found += item
    return found


def reachable(start: object) -> list[object]:
    """Everything that attributes lead to from an object; each is kept, so that its id stays its own."""
    seen: dict[int, object] = {}
    waiting = [start]
    while waiting:
        item = waiting.pop()
        if id(item) not in seen and not isinstance(item, OUTSIDE):
            seen[id(item)] = item
            # The methods of what methods hold are its own again: bound anew each time, they have no end.
            waiting += [other for other in led_to(item) if not isinstance(other, types.MethodWrapperType)]
    return [*seen.values()]


def test_the_walk_finds_what_lies_in_closures_methods_and_attributes():
    goal = Problems()

    class Holder:
        def __init__(self):
            self.act = lambda: goal

        def method(self):
            pass

    assert goal in reachable([Holder().method])


async def test_no_attribute_of_what_a_plugin_holds_leads_to_a_storage_or_a_neighbour(plugins: Plugins):
    victim, evil = plugins["victim"], plugins["evil"]
    changes: list[KeyChange] = []
    victim.listen(print)
    held = [evil, evil.share("a", writable=True), evil.listen(changes.append), victim.share("public/")]
    await evil.set("key", {"a": 1})

    for start in (*held, *changes):
        found = reachable(start)
        assert not [
            item
            for item in found
            if isinstance(item, Plugins | Storage | Backend | Problems) or item is victim or item is print
        ]


async def test_what_holds_a_container_may_not_add_to_it(trader: PluginState):
    with pytest.raises(AttributeError):
        trader.other = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        trader._inside  # noqa: B018


# Values


@attrs.define
class Held:
    values: dict[str, Any]


async def own_storage(kind: str) -> Plugins:
    if kind == "theirs":
        return Plugins(MemoryStorage(), state_factory=lambda _: TheirsListed())
    return Plugins.in_database()


@pytest.mark.parametrize("kind", ["shared", "theirs"])
async def test_changing_what_was_handed_in_or_out_changes_nothing_stored(kind: str):
    async with await own_storage(kind) as plugins:
        state = plugins["trader"]
        value: dict[str, Any] = {"list": [1]}
        await state.set("key", value)
        value["list"].append("handed in")
        found = await state.get("key")
        found["list"].append("handed out")

        assert {"list": [1]} == await state.get("key")


async def test_changing_what_an_update_got_or_returned_changes_nothing_stored(trader: PluginState):
    trader.listen(lambda change: change.after.append("heard"))
    returned: list[Any] = []

    def function(value: list[Any]) -> list[Any]:
        value.append("got")
        return returned

    await trader.set("key", [1])
    result = await trader.update("key", function)
    returned.append("returned")
    result.append("result")

    assert [] == await trader.get("key")


@pytest.mark.parametrize("kind", ["shared", "theirs"])
async def test_receivers_cannot_change_what_others_hear_or_what_is_stored(kind: str):
    heard: list[Any] = []

    def spoil(change: KeyChange) -> None:
        for value in (change.before, change.after):
            if isinstance(value, dict):
                value["list"].append("spoilt")

    async with await own_storage(kind) as plugins:
        state = plugins["trader"]
        state.listen(spoil)
        state.listen(heard.append)
        value: dict[str, Any] = {"list": [1]}
        await state.set("key", value)
        await state.set("key", {"list": [2]})

        assert [{"list": [1]}, {"list": [2]}] == [change.after for change in heard]
        assert {"list": [1]} == heard[1].before
        assert ({"list": [1]}, {"list": [2]}) == (value, await state.get("key"))


async def test_changing_what_an_update_returned_changes_nothing_that_waits_to_be_heard(plugins: Plugins):
    heard: list[Any] = []

    async def receive(change: KeyChange) -> None:
        heard.append(change.after)

    trader, held = plugins["trader"], [1]
    trader.listen(receive)
    result = await trader.update("key", lambda _: held)
    held.append(2)
    result.append(3)
    await plugins.settled()

    assert [[1]] == heard
