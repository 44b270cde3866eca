"""The pure heart: which reducers an event reaches along a path, and what they make of it.

A scope's state is a mapping from slice name to state. `Tree` knows the registered modules by level; it
turns (slices of the chain, event) into the slices that changed, or folds records into slices. Nothing
here waits, reads a clock or keeps state besides the registrations.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from eliza_state.codec import PLAIN, Codec
from eliza_state.errors import ReducerError, RegistrationError, Rejected, StoreError, UnknownTransition
from eliza_state.event import FRAMEWORK_EVENTS, EventType, event_type
from eliza_state.module import Composition, Handler, StateModule, check_module
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path

Slices: TypeAlias = Mapping[str, Any]
"""Slice name → state, of one scope."""

EventVersion: TypeAlias = tuple[str, int]
"""An event's name, and a schema version of its records."""

Transition: TypeAlias = tuple[int, str, Any, Any]
"""One slice that an event changed: the depth of its scope on the chain, its name, before and after."""


@attrs.frozen
class Stage:
    """One reducer on the way of an event: the depth of its scope on the chain, its slice, its handler."""

    depth: int
    name: str
    reduce: Callable[..., Any]
    takes_path: bool
    module: StateModule[Any]


@attrs.frozen
class Plan:
    """The steps of one event class addressed to one level, root first.

    `stored` is false when volatile modules alone handle the event: then no record is written.
    """

    event: EventType
    steps: tuple[Stage, ...]
    stored: bool


class Tree:
    """Hold the registered modules along a hierarchy and reduce events over a chain of scopes.

    Raises `RegistrationError` for a module whose declaration cannot work, whose level is not in the
    hierarchy, whose slice name is taken, or whose event shares its name with another class.
    """

    def __init__(
        self,
        modules: Iterable[StateModule[Any] | Composition] = (),
        *,
        hierarchy: Hierarchy = DEFAULT_HIERARCHY,
        codec: Codec = PLAIN,
    ) -> None:
        self.hierarchy = hierarchy
        self.codec = codec
        """How their events and states are written."""
        self._slices: dict[str, dict[str, StateModule[Any]]] = {level: {} for level in hierarchy.levels}
        self.stored_levels: set[str] = set()
        """The levels with modules whose slices are stored."""
        self._names: dict[str, str] = {}
        # Known in every store, with or without a module that handles it.
        self._events: dict[str, EventType] = dict(FRAMEWORK_EVENTS)
        self._handlers: dict[str, Mapping[type, Handler]] = {}
        self._handled: dict[str, Mapping[str, int]] = {}
        self.plans: dict[str, dict[type, Plan]] = {level: {} for level in hierarchy.levels}
        self.register(*modules)

    def register(self, *modules: StateModule[Any] | Composition) -> None:
        """Add modules, those of a composition under its name, after those registered before; all or none."""
        members: dict[str, StateModule[Any]] = {}
        for module in modules:
            for name, member in _named(module):
                if name in members:
                    raise RegistrationError(f"two modules are named {name!r}; names are unique")
                members[name] = member
        events = dict(self._events)
        for name, member in members.items():
            self._check(name, member, events)
        for name, member in members.items():
            self._handlers[name] = handlers = member.handlers()
            self._handled[name] = {kind.name: kind.version for kind in map(event_type, handlers)}
            # A new mapping: a reader in another thread may be going through the present one.
            self._slices[member.level] = {**self._slices[member.level], name: member}
            if not member.volatile:
                self.stored_levels.add(member.level)
            self._names[name] = member.level
        self._events = events
        for plans in self.plans.values():
            plans.clear()

    def _check(self, name: str, module: StateModule[Any], events: dict[str, EventType]) -> None:
        check_module(module)
        if module.level not in self._slices:
            known = ", ".join(self._slices)
            raise RegistrationError(
                f"module {name!r} lives at level {module.level!r}; the levels are {known}"
            )
        if name in self._names:
            raise RegistrationError(
                f"a module named {name!r} is registered already, at {self._names[name]!r}"
            )
        for cls in module.handlers():
            kind = event_type(cls)
            if kind is FRAMEWORK_EVENTS.get(kind.name):
                raise RegistrationError(
                    f"module {name!r} handles {kind.name!r}, which tells of the framework's own doing and is"
                    " not reduced; subscribe to it instead"
                )
            known_kind = events.setdefault(kind.name, kind)
            if known_kind.cls is not cls:
                raise RegistrationError(
                    f"module {name!r} handles {cls.__module__}.{cls.__qualname__}, but the event name"
                    f" {kind.name!r} belongs to {known_kind.cls.__module__}.{known_kind.cls.__qualname__}"
                )

    def modules(self, level: str) -> Mapping[str, StateModule[Any]]:
        """Return the modules of a level by slice name, in registration order."""
        return self._slices[level]

    def slice_name(self, module: str | type[StateModule[Any]] | StateModule[Any], *, level: str) -> str:
        """Return the name of a module's slice at a level.

        Raises `RegistrationError` naming the modules of that level when there is no such module.
        """
        for name, member in self._slices[level].items():
            if name == module or member is module or (isinstance(module, type) and type(member) is module):
                return name
        wanted = (
            module if isinstance(module, str) else getattr(module, "__qualname__", type(module).__qualname__)
        )
        known = ", ".join(self._slices[level]) or "none"
        raise RegistrationError(f"no module {wanted!r} at level {level!r}; registered there: {known}")

    def event_type(self, name: str) -> EventType | None:
        """Return the event class known under a name; `None` if no module handles one of that name."""
        return self._events.get(name)

    def ending_events(self) -> tuple[str, ...]:
        """Return the names of the events that end the scope they are addressed to."""
        return tuple(name for name, kind in self._events.items() if kind.ends_scope)

    def handled(self, name: str) -> Mapping[str, int]:
        """Return the events that the module of a slice handles: their names and today's schema versions."""
        return self._handled[name]

    def newest_unknown(self, events: Iterable[EventVersion]) -> EventVersion | None:
        """Return the one of the events that is furthest beyond the schema version known here, if any is.

        An event that no module handles is not known at all, and so none of these.
        """
        newer = [
            (version - kind.version, name, version)
            for name, version in events
            if (kind := self._events.get(name)) is not None and version > kind.version
        ]
        return max(newer)[1:] if newer else None

    def initial(self, level: str) -> dict[str, Any]:
        """Return the slices of a scope that no event has reached."""
        return {name: module.initial_state() for name, module in self._slices[level].items()}

    def plan(self, cls: type, level: str) -> Plan:
        """Return the steps of an event class addressed to a level; no steps when nobody handles it."""
        plan = self.plans[level].get(cls)
        if plan is None:
            plan = self.plans[level][cls] = self.make_plan(cls, level)
        return plan

    def make_plan(self, cls: type, level: str) -> Plan:
        """Return what `plan` does, not remembered: for threads that must not outrun a registration."""
        steps = tuple(
            Stage(depth, name, handlers[cls].reduce, handlers[cls].takes_path, module)
            for depth, above in enumerate(self.hierarchy.chain(level))
            for name, module in self._slices[above].items()
            if cls in (handlers := self._handlers[name])
        )
        return Plan(event_type(cls), steps, any(not step.module.volatile for step in steps))

    def unknown(self, name: str, path: Path) -> UnknownTransition:
        """Return the error for an event that nobody on the path's chain handles."""
        nearest = tuple(difflib.get_close_matches(name, self._events, n=3))
        return UnknownTransition(name, path=path.encode(), nearest=nearest)

    def reduce(self, plan: Plan, chain: Sequence[Slices], event: Any, path: Path) -> list[Transition]:
        """Reduce an event over the slices of a chain, root first, and return what changed.

        Raises `Rejected` when a module at the addressed level refuses, `ReducerError` for any other
        exception; ancestors take facts as they come and may not refuse. Nothing is changed in place.
        """
        transitions: list[Transition] = []
        for step in plan.steps:
            depth, name = step.depth, step.name
            before = chain[depth][name]
            try:
                after = step.reduce(before, event, path) if step.takes_path else step.reduce(before, event)
            except Rejected as refusal:
                if depth == len(chain) - 1:
                    raise Rejected(refusal.reason, path=path.encode(), event=plan.event.name) from None
                raise self._bug(plan, name, path, refusal) from refusal
            except StoreError:
                # What the reducer touched had to be read from the store: no fault of the module's.
                raise
            except Exception as error:  # whatever a reducer raises is its module's bug
                raise self._bug(plan, name, path, error) from error
            if after is not before:
                transitions.append((depth, name, before, after))
        return transitions

    def _bug(self, plan: Plan, name: str, path: Path, error: Exception) -> ReducerError:
        return ReducerError(module=name, event=plan.event.name, path=path.encode(), error=error)


def _named(module: StateModule[Any] | Composition) -> list[tuple[str, StateModule[Any]]]:
    """The slice names of a module, or of a composition's members."""
    if isinstance(module, Composition):
        return [(f"{module.name}.{member.name}", member) for member in module.modules]
    return [(getattr(module, "name", ""), module)]
