"""The observers of an agent: what looks at the world every so often, how often, and when it last did."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import attrs

from eliza_modules.moment import moment, objection_to
from eliza_modules.refusal import refuse
from eliza_state.clock import Clock, now_us
from eliza_state.collections import Map
from eliza_state.errors import StateError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from eliza_state.scope import Scope


class UnknownObserver(StateError, LookupError):
    """The agent has no observer of this name."""


@attrs.frozen(kw_only=True)
class Observer:
    """An observer: its interval in milliseconds, and when it last ran, None for never."""

    name: str
    interval_ms: int
    last_run: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Tell whether it may run: it never did, or `now` and its last run are an interval or more apart.

        Apart either way: a last run that lies an interval or more ahead was told by a clock that has been set
        back since, and says nothing. One that lies less ahead counts, because the clocks of two processes are
        never quite the same. So nobody waits two intervals, whatever a clock does.
        """
        if self.last_run is None:
            return True
        return abs(now - self.last_run) >= timedelta(milliseconds=self.interval_ms)


@attrs.frozen(kw_only=True)
class ObserversState:
    """The observers of an agent by name, in the order in which they were first scheduled."""

    observers: Map[str, Observer] = attrs.field(factory=Map[str, Observer])


@event("observer_scheduled")
class ObserverScheduled:
    """The observer is to run once in an interval: a new one, or one that is known, whose last run stays."""

    name: str
    interval_ms: int


@event("observer_ran")
class ObserverRan:
    """The observer began to run."""

    name: str
    at: datetime


@event("observer_removed")
class ObserverRemoved:
    """The observer is not to run any more; when it last did is forgotten."""

    name: str


class ObserverModule(StateModule[ObserversState]):
    """Keep the intervals and the last runs of an agent's observers.

    Rejects an empty name, an interval below 1 ms, news of an observer that is not scheduled, and a naive
    time. Whether an observer may run is for `Observers.claim` to say: a run that took place is a fact.
    """

    name = "observer"
    level = "agent"

    @reduces(ObserverScheduled)
    def schedule(self, state: ObserversState, event: ObserverScheduled, path: Path) -> ObserversState:
        """Set the interval."""
        if not event.name:
            return refuse(self, state, path, "an observer's name is a non-empty text, got ''")
        if type(event.interval_ms) is not int or event.interval_ms < 1:
            reason = f"an interval is a whole number of milliseconds from 1 on, got {event.interval_ms!r}"
            return refuse(self, state, path, reason)
        known = state.observers.get(event.name) or Observer(name=event.name, interval_ms=event.interval_ms)
        return _with(state, evolve(known, interval_ms=event.interval_ms))

    @reduces(ObserverRan)
    def run(self, state: ObserversState, event: ObserverRan, path: Path) -> ObserversState:
        """Note when it last ran."""
        known = state.observers.get(event.name)
        if known is None:
            return refuse(self, state, path, _unknown(event.name, state.observers))
        objection = objection_to(event.at)
        if objection is not None:
            return refuse(self, state, path, objection)
        return _with(state, evolve(known, last_run=event.at))

    @reduces(ObserverRemoved)
    def remove(self, state: ObserversState, event: ObserverRemoved, path: Path) -> ObserversState:
        """Drop it."""
        if event.name not in state.observers:
            return refuse(self, state, path, _unknown(event.name, state.observers))
        return evolve(state, observers=state.observers.delete(event.name))


def _with(state: ObserversState, observer: Observer) -> ObserversState:
    if observer == state.observers.get(observer.name):
        return state
    return evolve(state, observers=state.observers.set(observer.name, observer))


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"there is no observer {name!r}; scheduled are {', '.join(known) or 'none'}"


@attrs.frozen
class Observers:
    """Schedule the observers of one agent, and hand each of its runs to one process.

    `scope` is the handle on the agent, in a store with an `ObserverModule`; `clock` gives the time where none
    is given, in microseconds since 1970.
    """

    scope: Scope
    clock: Clock = attrs.field(default=now_us, kw_only=True)

    async def schedule(self, name: str, *, interval_ms: int) -> None:
        """Let an observer run once in `interval_ms`, from now on.

        A known one keeps its last run, so this may be called at every start. Raises `Rejected` for an empty
        name and an interval below 1.
        """
        event = ObserverScheduled(name=name, interval_ms=interval_ms)

        def decide(state: ObserversState) -> list[ObserverScheduled]:
            known = state.observers.get(name)
            return [] if known is not None and known.interval_ms == interval_ms else [event]

        await self.scope.execute(decide, module=ObserverModule)

    async def remove(self, name: str) -> None:
        """Schedule an observer no more; `Rejected` if it is not scheduled."""
        await self.scope.dispatch(ObserverRemoved(name=name))

    async def get(self, name: str) -> Observer:
        """Return an observer; `UnknownObserver` if it is not scheduled."""
        return _found(await self.scope.state(ObserverModule), name)

    async def all(self) -> tuple[Observer, ...]:
        """Return all observers, the one first scheduled first."""
        return tuple((await self.scope.state(ObserverModule)).observers.values())

    async def due(self, now: datetime | None = None) -> tuple[str, ...]:
        """Return the names of those that may run, as far as is known here; `StateError` for a naive time."""
        at = moment(now, self.clock)
        return tuple(observer.name for observer in await self.all() if observer.is_due(at))

    async def claim(self, name: str, now: datetime | None = None) -> bool:
        """Take an observer's run, and tell whether it is the caller's: of several that ask, one is told yes.

        It is taken before it has run, so a process that is killed meanwhile leaves it out until the next
        interval. `Observer.is_due` says when a run may be taken; between processes that holds as far as
        their clocks are less than an interval apart.
        Raises `UnknownObserver` for one that is not scheduled, `StateError` for a naive time.
        """
        at = moment(now, self.clock)

        def decide(state: ObserversState) -> list[ObserverRan]:
            return [ObserverRan(name=name, at=at)] if _found(state, name).is_due(at) else []

        return bool(await self.scope.execute(decide, module=ObserverModule))


def _found(state: ObserversState, name: str) -> Observer:
    observer = state.observers.get(name)
    if observer is None:
        raise UnknownObserver(_unknown(name, state.observers))
    return observer
