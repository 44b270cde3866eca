"""State modules: the reducers that own one slice of the state each.

>>> @attrs.frozen
... class Count:
...     value: int = 0
>>> class CountModule(StateModule[Count]):
...     name = "count"
...     level = "room"
...
...     @reduces(MessageReceived)
...     def count(self, state: Count, event: MessageReceived) -> Count:
...         return evolve(state, value=state.value + 1)
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, Self, TypeAlias, TypeVar, get_args, get_origin

import attrs

from eliza_state.errors import RegistrationError
from eliza_state.event import event_type
from eliza_state.indexes import Indexes, check_indexes
from eliza_state.path import Path

S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])

Migration: TypeAlias = Callable[[Any], Any]
"""Turn the plain data of a state of one version into the next version's; gets data it may change."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HANDLES = "__reduces__"
_NO_MIGRATIONS: Final[Mapping[int, Migration]] = MappingProxyType({})


@attrs.frozen
class Handler:
    """One reducer: `reduce(state, event)`, with the event's path as third argument if it `takes_path`."""

    reduce: Callable[..., Any]
    takes_path: bool = False


def reduces(*events: type) -> Callable[[F], F]:
    """Declare a method of a `StateModule` as the reducer for the given event classes.

    The method takes `(self, state, event)` or `(self, state, event, path)`, where `path` is the address of
    the event (a scope at the module's level or below), and returns the new state: the same object when
    nothing changed. It must be pure: no I/O, no clock, no random numbers, nothing outside its arguments.
    """
    if not events:
        raise RegistrationError("@reduces takes at least one event class")
    for cls in events:
        event_type(cls)

    def mark(method: F) -> F:
        setattr(method, _HANDLES, events)
        return method

    return mark


class StateModule(Generic[S]):
    """Own one slice: its initial value, its shape, its reducers and its migrations.

    Subclass as `StateModule[YourState]` with `name` and `level`, and either methods marked `@reduces` or an
    own `reduce` together with `handles`.

    - `name` names the slice; unique within a store.
    - `level` is the level of the hierarchy at which every scope holds such a slice.
    - `version` counts the shapes of the state; a snapshot of another version is used only if it can be
      migrated.
    - `migrations[n]` turns the plain data of a state of version n into that of version n + 1, so that a
      snapshot of an older version is brought up to today's instead of folding the records. It promises to
      equal that fold. A snapshot that no unbroken row of them leads from is not used. The data is a dict for
      a state of an attrs class, its collections as plain lists and dicts; see `eliza_state.slice_migration`.
    - `indexes` says by what the entries of its collections are found, as in
      `{"messages": (Index("user"), Index("at", ordered=True))}`; see `eliza_state.indexes`.
    - `volatile` slices are neither journaled nor snapshotted: they last as long as the process.
    - `restorable` slices take part when their scope is restored to a past state; those that must never go
      back, such as how far somebody has read, say `restorable = False` and stay as they are.
    - `since_position` is the journal position after which the module starts to see records (0: all).
    - `state_type` is taken from the type argument; name it where there is none.
    """

    name: str
    level: str
    version: ClassVar[int] = 1
    migrations: ClassVar[Mapping[int, Migration]] = _NO_MIGRATIONS
    indexes: ClassVar[Indexes] = MappingProxyType({})
    volatile: ClassVar[bool] = False
    restorable: ClassVar[bool] = True
    handles: ClassVar[tuple[type, ...]] = ()
    state_type: ClassVar[Any] = None
    since_position: int = 0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.state_type is None:
            cls.state_type = _type_argument(cls)

    def at(self, level: str) -> Self:
        """Return the same module for another level: `theme` becomes `theme_room`, with a slice of its own.

        Register each of them. An event reaches all that lie on its way to the root, so a reducer that means
        the addressed scope alone takes the path and compares levels. `Scope.inherited` reads them together.
        """
        if level == self.level:
            return self
        module = copy.copy(self)
        module.name, module.level = f"{self.name}_{level}", level
        return module

    def initial_state(self) -> S:
        """Return the state of a scope that no event has reached; by default `state_type()`."""
        initial: S = self.state_type()
        return initial

    def reduce(self, state: S, event: Any) -> S:
        """Return the state after `event`; the same object when nothing changed or it is not handled."""
        handler = self.handlers().get(type(event))
        if handler is None:
            return state
        reduced: S = (
            handler.reduce(state, event, Path()) if handler.takes_path else handler.reduce(state, event)
        )
        return reduced

    def serialize(self, state: S) -> Any:
        """Return the state as a value the serializer can write; by default the state itself.

        The framework writes it by `state_type`. Override together with `deserialize` for a state that has
        no such description; then the whole slice is stored as one piece.
        """
        return state

    def deserialize(self, data: Any) -> S:
        """Return the state that `serialize` gave; by default its argument."""
        restored: S = data
        return restored

    def own_values(self, state: S) -> Mapping[str, Any]:
        """Return what a scope's own state sets, for `Scope.inherited`; what it leaves out is inherited.

        By default a mapping sets its items, and an object of an attrs class those fields that differ (`!=`)
        from the initial state's: one that was set to its initial value again is inherited. Override where
        that is a difference, or for another kind of state. Raises `RegistrationError` for a state that is
        neither.
        """
        if isinstance(state, Mapping):
            return state
        cls: Any = type(state)
        if not attrs.has(cls):
            kind = type(self).__qualname__
            raise RegistrationError(
                f"{kind} can be inherited once it says what its state sets: a mapping or an attrs class does,"
                f" for {state!r:.60} override `own_values`"
            )
        initial = self.initial_state()
        values = {field.name: getattr(state, field.name) for field in attrs.fields(cls)}
        return {name: value for name, value in values.items() if value != getattr(initial, name)}

    def blocks_archive(self, state: S) -> bool:
        """Tell whether a scope whose slice is `state` is to stay out of the archive for now.

        By default it is not. Override where a state says that something is still under way.
        """
        return False

    def handlers(self) -> Mapping[type, Handler]:
        """Return the reducer of each event class that this module handles."""
        whole = self.handles and type(self).reduce is not StateModule.reduce
        if whole:
            return dict.fromkeys(self.handles, Handler(self.reduce))
        return {
            cls: Handler(method.__get__(self), takes_path=_positional(method) == 4)
            for method in _marked(type(self))
            for cls in getattr(method, _HANDLES)
        }


def check_module(module: StateModule[Any]) -> None:
    """Raise `RegistrationError`, naming module and method, unless the declaration can work."""
    kind = type(module).__qualname__
    for attribute in ("name", "level"):
        value = getattr(module, attribute, None)
        if not isinstance(value, str) or _NAME.fullmatch(value) is None:
            raise RegistrationError(f"{kind} needs `{attribute}`, a lower-case word, got {value!r}")
    if type(module.version) is not int or module.version < 1:
        raise RegistrationError(f"{kind}: `version` counts from 1, got {module.version!r}")
    if module.state_type is None and type(module).initial_state is StateModule.initial_state:
        raise RegistrationError(f"{kind} names no state; write `class {kind}(StateModule[YourState])`")
    _check_migrations(module, kind)
    _check_reducers(module, kind)
    check_indexes(module)


def _check_migrations(module: StateModule[Any], kind: str) -> None:
    migrations: Any = module.migrations
    if not isinstance(migrations, Mapping):
        raise RegistrationError(
            f"{kind}: `migrations` maps versions to functions, as in {{1: add_title}}, got {migrations!r:.60}"
        )
    for version, step in migrations.items():
        if type(version) is not int or not 1 <= version < module.version:
            raise RegistrationError(
                f"{kind} is at version {module.version}: its migrations are from earlier versions,"
                f" counted from 1, got one from {version!r}"
            )
        if not callable(step):
            raise RegistrationError(
                f"{kind}: the migration from version {version} is a function, got {step!r:.60}"
            )


def _check_reducers(module: StateModule[Any], kind: str) -> None:
    marked = _marked(type(module))
    overridden = type(module).reduce is not StateModule.reduce
    if overridden and marked:
        raise RegistrationError(f"{kind} overrides `reduce` and marks methods with @reduces; choose one")
    if overridden and not module.handles:
        raise RegistrationError(
            f"{kind} overrides `reduce`, so it declares `handles`, the event classes it takes"
        )
    if module.handles and not overridden:
        raise RegistrationError(
            f"{kind} declares `handles` without its own `reduce`; mark methods with @reduces"
        )
    if not overridden and not marked:
        raise RegistrationError(f"{kind} handles no event; mark a method with @reduces(SomeEvent)")
    for cls in module.handles:
        event_type(cls)
    seen: dict[type, str] = {}
    for method in marked:
        _check_signature(method, kind)
        for cls in getattr(method, _HANDLES):
            if cls in seen:
                raise RegistrationError(
                    f"{kind}: {seen[cls]} and {method.__name__} both reduce {cls.__qualname__}"
                )
            seen[cls] = method.__name__


def _check_signature(method: Callable[..., Any], kind: str) -> None:
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        raise RegistrationError(
            f"{kind}.{method.__name__} is a plain function: reducers do not wait or yield"
        )
    if _positional(method) not in (3, 4):
        raise RegistrationError(
            f"{kind}.{method.__name__} takes (self, state, event) or (self, state, event, path),"
            f" got {inspect.signature(method)}"
        )


def _positional(method: Callable[..., Any]) -> int:
    parameters = inspect.signature(method).parameters.values()
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        return -1
    return len(parameters)


def _marked(cls: type) -> list[Callable[..., Any]]:
    """The methods marked `@reduces`, in the order of their definition, overridden ones left out."""
    members: dict[str, Any] = {}
    for parent in reversed(cls.__mro__):
        members.update(vars(parent))
    return [member for member in members.values() if inspect.isfunction(member) and hasattr(member, _HANDLES)]


def _type_argument(cls: type) -> Any:
    for parent in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(parent)
        if isinstance(origin, type) and issubclass(origin, StateModule):
            argument = get_args(parent)[0]
            return None if isinstance(argument, TypeVar) else argument
    return None


@attrs.frozen
class Composition:
    """Several modules of one level under one name; made by `compose`."""

    name: str
    modules: tuple[StateModule[Any], ...]


def compose(name: str, *modules: StateModule[Any]) -> Composition:
    """Put several modules of one level under one name.

    Each keeps its own slice, called `name.module`; `state(name)` gives them together as a mapping from
    module name to state. Raises `RegistrationError` for no modules or modules of different levels.
    """
    if _NAME.fullmatch(name) is None:
        raise RegistrationError(f"a composition's name is a lower-case word, got {name!r}")
    levels = sorted({module.level for module in modules})
    if len(levels) != 1:
        raise RegistrationError(f"composition {name!r} takes modules of one level, got levels {levels}")
    return Composition(name, modules)
