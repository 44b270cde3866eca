"""Writing a test for pytest from the records of a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from eliza_state.change import Record
from eliza_state.debugger.looking import Looking, ModuleName
from eliza_state.debugger.ranges import pages, range_of
from eliza_state.debugger.written_tests.expressions import Expressions, text
from eliza_state.debugger.written_tests.imports import Imports
from eliza_state.debugger.written_tests.layout import Group, Item, Node, statement
from eliza_state.debugger.written_tests.scenario import Scenario, Slice, Staging, Step
from eliza_state.errors import StateError
from eliza_state.module import StateModule, compose
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path
from eliza_state.testing import TreeDriver

MOST_RECORDS: Final = 1_000
_COMMENT_WIDTH: Final = 80


async def written_test(
    looking: Looking, path: Path | str, *, first: int, last: int | None, module: ModuleName | None
) -> str:
    """Return the text of a test; see `Debugger.make_test`."""
    wanted = await range_of(looking, path, first=first, last=last)
    records: list[Record] = []
    async for page in pages(looking, wanted):
        records += page
        if len(records) > MOST_RECORDS:
            raise StateError(f"a test of more than {MOST_RECORDS:,} records is for nobody; narrow the range")
    names = None if module is None else frozenset({looking.anywhere(module, None)[0]})
    staging = Staging(looking.history, wanted, names=names)
    scenario = await looking.run(partial(staging.scenario, records))
    return _Writing(scenario, looking.tree.hierarchy).text()


class _Writing:
    """Write one scenario as the text of a module."""

    def __init__(self, scenario: Scenario, hierarchy: Hierarchy) -> None:
        self._scenario = scenario
        self._hierarchy = hierarchy
        self._imports = Imports()
        self._expressions = Expressions(self._imports)
        self._places = _constants(scenario, hierarchy)

    def text(self) -> str:
        """Return the text."""
        records = self._scenario.records
        where = records.path.encode() or "the root"
        level = self._hierarchy.level(records.path)
        body = "\n".join(self._body())
        title = f"The records of {where} from position {records.first} to {records.last}."
        constants = "\n".join(f"{name} = {text(path.encode())}" for path, name in self._places.items())
        function = f"def test_{level}_from_position_{records.first}_to_{records.last}():"
        docstring = title.replace("\\", "\\\\").replace('"', '\\"')
        return f'"""{docstring}"""\n\n{self._imports.text()}\n\n{constants}\n\n\n{function}\n{body}\n'

    def _body(self) -> Iterator[str]:
        scenario = self._scenario
        yield statement("driver = ", self._driver())
        if scenario.given:
            yield "\n    # given"
            for one in scenario.given:
                yield from self._given(one)
        yield "\n    # when"
        for step in scenario.steps:
            yield from self._sent(step)
        for number, one in enumerate(scenario.then):
            yield from self._compared(one, is_first=not number)

    def _driver(self) -> Node:
        modules = self._scenario.modules
        arguments: list[tuple[str, Node]] = [("", self._module(name, one)) for name, one in modules.items()]
        if _nested(self._hierarchy) != _nested(DEFAULT_HIERARCHY):
            levels = self._expressions.node(_nested(self._hierarchy))
            arguments.append(("hierarchy", self._expressions.call(Hierarchy, ("", levels))))
        return self._expressions.call(TreeDriver, *arguments)

    def _module(self, name: str, module: StateModule[Any]) -> Node:
        """Return the expression that makes a module; `StateError` where none is known."""
        made: Node = self._expressions.call(type(module))
        fresh = _made(type(module))
        if fresh is not None and not _is_same(fresh, module):
            fresh = fresh.at(module.level)
            made = f"{self._imports.name(type(module))}().at({text(module.level)})"
        if fresh is None or not _is_same(fresh, module):
            raise StateError(
                f"the module {name!r} was made with arguments, which a test cannot know; register one of a"
                " class that needs none"
            )
        prefix, dot, _ = name.rpartition(".")
        if not dot:
            return made
        return self._expressions.call(compose, ("", text(prefix)), ("", made))

    def _given(self, one: Slice) -> Iterator[str]:
        state = self._told(one.state, one.name)
        items = (Item("", self._called(one)), Item("", state), Item("of=", self._places[one.path]))
        yield from self._with_comment(statement("", Group("driver.given(", items, ")")))

    def _sent(self, step: Step) -> Iterator[str]:
        record = step.record
        if step.restored:
            what = f"gives back the state of position {step.target}"
            yield f"    # {record.event} at position {record.position} {what}"
            for one in step.restored:
                yield from self._given(one)
        elif step.event is not None:
            event = self._told(step.event, f"the event at position {record.position}")
            items = (Item("", self._places[record.path]), Item("", event))
            yield from self._with_comment(statement("", Group("driver.send(", items, ")")))
        elif step.left_out:
            why = " ".join(step.left_out.split())
            why = why if len(why) <= _COMMENT_WIDTH else f"{why[: _COMMENT_WIDTH - 1]}…"
            yield f"    # {record.event or 'a record'} at position {record.position} is left out: {why}"

    def _compared(self, one: Slice, *, is_first: bool) -> Iterator[str]:
        items = (Item("", self._called(one)), Item("of=", self._places[one.path]))
        state = self._told(one.state, one.name)
        yield "\n    # then" if is_first else ""
        yield statement("found = ", Group("driver.state(", items, ")"))
        yield from self._with_comment(statement("expected = ", state))
        yield "    assert expected == found"

    def _told(self, value: Any, place: str) -> Node:
        self._expressions.secrets = 0
        return self._expressions.node(value, place)

    def _with_comment(self, written: str) -> Iterator[str]:
        if self._expressions.secrets:
            yield "    # each Secret holds a placeholder: what was in it is not told"
        yield written

    def _called(self, one: Slice) -> str:
        """Return how a driver finds a slice: by its module's class, or by its name where that is not it."""
        twins = [name for name, module in self._scenario.modules.items() if type(module) is type(one.module)]
        is_alone = len(twins) == 1 and "." not in one.name
        return self._imports.name(type(one.module)) if is_alone else text(one.name)


def _constants(scenario: Scenario, hierarchy: Hierarchy) -> Mapping[Path, str]:
    """Return what to call each scope, in the order in which they are met."""
    paths = [one.path for one in (*scenario.given, *scenario.then)]
    paths += [step.record.path for step in scenario.steps if step.event is not None]
    found: dict[Path, str] = {}
    for path in sorted(dict.fromkeys(paths), key=lambda path: len(path.steps)):
        level = hierarchy.level(path).upper()
        number = sum(hierarchy.level(known).upper() == level for known in found)
        found[path] = f"{level}_{number + 1}" if number else level
    return found


def _nested(hierarchy: Hierarchy) -> dict[str, Any]:
    """Return the levels of a hierarchy, as it is made from."""
    nested: dict[str, Any] = {}
    for level in hierarchy.levels:
        below = nested
        for above in hierarchy.chain(level):
            below = below.setdefault(above, {})
    return nested


def _made(cls: type[StateModule[Any]]) -> StateModule[Any] | None:
    try:
        return cls()
    except TypeError:
        return None


def _is_same(fresh: StateModule[Any], module: StateModule[Any]) -> bool:
    """Tell whether a module is as its class makes it; a driver does not ask since when it sees records."""
    left_out = {"since_position"}
    mine, own = (
        {name: value for name, value in vars(it).items() if name not in left_out} for it in (fresh, module)
    )
    return (fresh.name, fresh.level, mine) == (module.name, module.level, own)
