"""Facts that reducers fold: frozen attrs classes with a name, a schema version and upcasters.

>>> @event("goal_added")
... class GoalAdded:
...     id: str
...     description: str
>>> event_type(GoalAdded).name
'goal_added'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, cast, dataclass_transform

import attrs

from eliza_state.errors import InvalidEvent, RegistrationError

C = TypeVar("C", bound=type)

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Turn the plain payload of one schema version into the next version's; gets a copy it may change."""

_NAME = re.compile(r"[a-z][a-z0-9_.]{0,127}")
_ATTRIBUTE = "__event_type__"


@attrs.frozen
class EventType:
    """What the framework knows of one event class.

    `upcasters[n]` turns a payload of schema version n into one of version n + 1. `ends_scope` says that the
    addressed scope takes no further events after this one.
    """

    name: str
    cls: type
    version: int = 1
    upcasters: Mapping[int, Upcaster] = attrs.field(factory=dict[int, Upcaster])
    ends_scope: bool = False

    def upcast(self, payload: dict[str, Any], version: int) -> dict[str, Any]:
        """Return the payload in today's schema version.

        Raises `InvalidEvent` for a version from the future: its meaning is not known here.
        """
        if version > self.version:
            raise InvalidEvent(
                f"{self.name} is known here up to schema version {self.version}, got version {version};"
                " run the newer code"
            )
        for step in range(version, self.version):
            payload = self.upcasters[step](dict(payload))
        return payload


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(attrs.field,))
def event(
    name: str,
    *,
    version: int = 1,
    upcasters: Mapping[int, Upcaster] | None = None,
    ends_scope: bool = False,
) -> Callable[[C], C]:
    """Declare a class as an event: a frozen attrs class with keyword-only fields, registered under `name`.

    `version` is the schema version of its payload; `upcasters` must hold one function for every earlier
    version (1 … version - 1). Declaring an event changes nothing global: a store knows the events that its
    modules handle.
    Raises `RegistrationError` for a malformed name, a version below 1, a missing upcaster or an attrs class
    that is not frozen.
    """
    steps = dict(upcasters or {})
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise RegistrationError(f"an event's name is lower case such as 'message_received', got {name!r}")
    if type(version) is not int or version < 1:
        raise RegistrationError(f"{name}: the schema version counts from 1, got {version!r}")
    if set(steps) != set(range(1, version)):
        wanted = sorted(set(range(1, version)))
        raise RegistrationError(
            f"{name}: version {version} needs upcasters from {wanted}, got {sorted(steps)}"
        )

    def declare(cls: C) -> C:
        # A subclass of an attrs class is one itself only when it says so.
        frozen: Any = cls if "__attrs_attrs__" in vars(cls) else attrs.frozen(kw_only=True)(cls)
        if frozen.__setattr__ is not EventType.__setattr__:  # attrs has one for all frozen classes
            raise RegistrationError(
                f"{name}: an event is frozen; declare {cls.__qualname__} with attrs.frozen"
            )
        setattr(frozen, _ATTRIBUTE, EventType(name, frozen, version, steps, ends_scope))
        return cast("C", frozen)

    return declare


def event_type(cls: type) -> EventType:
    """Return what `@event` declared on exactly this class.

    Raises `RegistrationError` for a class without it; a subclass does not inherit its parent's name.
    """
    found: EventType | None = vars(cls).get(_ATTRIBUTE) if isinstance(cls, type) else None
    if found is None:
        named = getattr(cls, "__qualname__", repr(cls))
        raise RegistrationError(f"{named} is no event; declare it with @event('its_name')")
    return found


@event("scope_erased")
class ScopeErased:
    """Records of a scope, up to a position, lost their content for good; see `Scope.erase`.

    The framework's own: it is on the journal of every store, addressed to the scope that lost the records,
    and nobody dispatches it. `count` is how many there were, `events` are the names of their events.
    """

    until: int
    count: int
    events: tuple[str, ...] = ()


ERASURE: Final = event_type(ScopeErased).name
"""The name of the event that says that records were erased."""


@event("scope_restored")
class ScopeRestored:
    """A scope was given back the state it had at an earlier position; see `Debugger.restore`.

    The framework's own: it is on the journal of every store, addressed to the scope, and nobody dispatches
    it. From its record on, the scope's slices are those of `position` and what comes after the record; what
    came in between stays on the journal. The last record at or below the scope by then is named by its id,
    `record`, and its path from the scope on, `below`: it counts where records have other positions than they
    had, as in a copy of a part. An empty `record` is the beginning. `last_event` names the event last
    addressed to the scope by then, erasures left out (empty: none).
    """

    position: int
    record: str = ""
    below: str = ""
    last_event: str = ""


RESTORE: Final = event_type(ScopeRestored).name
"""The name of the event that says that a scope was restored."""

FRAMEWORK_EVENTS: Final = {kind.name: kind for kind in map(event_type, (ScopeErased, ScopeRestored))}
"""The framework's own events by name: known in every store, and reduced by no module."""
