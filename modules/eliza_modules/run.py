"""The runs of an agent: what it was asked to do, how far it got, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import dropwhile, islice
from typing import Any, Final, Literal, TypeAlias
from uuid import uuid4

import attrs

from eliza_modules.moment import moment, objection_to
from eliza_modules.refusal import refuse
from eliza_state.change import Change
from eliza_state.clock import Clock, now_us
from eliza_state.collections import Entities, Set
from eliza_state.errors import RegistrationError, StateError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from eliza_state.scope import Scope

RunStatus: TypeAlias = Literal[
    "pending", "investigating", "active", "waiting_for_approval", "completed", "failed", "cancelled"
]

TRANSITIONS: Final[Mapping[RunStatus, tuple[RunStatus, ...]]] = {
    "pending": ("investigating", "active", "waiting_for_approval", "failed", "cancelled"),
    "investigating": ("active", "waiting_for_approval", "completed", "failed", "cancelled"),
    "active": ("investigating", "waiting_for_approval", "completed", "failed", "cancelled"),
    "waiting_for_approval": ("investigating", "active", "failed", "cancelled"),
    "completed": (),
    "failed": (),
    "cancelled": (),
}
"""Which status may follow which; a run is finished where none may follow."""

RESUMABLE: Final[frozenset[RunStatus]] = frozenset({"pending", "investigating"})
"""A run in one of these has done nothing to the world yet: after a restart it can be taken up again."""

KEEP_FINISHED: Final = 1_000
"""How many finished runs an agent keeps unless its module says otherwise."""

_RESERVED: Final = "index"
"""`run:index` is the list of ids among an agent's well-known keys."""


class UnknownRun(StateError, LookupError):
    """The agent has no run of this id, or keeps it no longer."""


@attrs.frozen(kw_only=True)
class Run:
    """One run.

    `input` is what it was asked and `result` what came of it, any value that can be written, None for
    nothing. `error` says why it failed or was cancelled. `parent` is the id of the run that began this one.
    `updated_at` is the time of its last transition, `finished_at` None until it is finished.
    """

    id: str
    status: RunStatus = "pending"
    input: Any = None
    result: Any = None
    error: str | None = None
    parent: str | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Tell whether no transition leads on from here."""
        return not TRANSITIONS[self.status]


@attrs.frozen(kw_only=True)
class RunsState:
    """The runs of an agent in the order of their creation.

    Of their ids, those not finished are in `unfinished`, in the same order, and all others in `finished`, in
    the order in which they finished.
    """

    runs: Entities[Run] = attrs.field(factory=Entities[Run])
    unfinished: Set[str] = attrs.field(factory=Set[str])
    finished: Set[str] = attrs.field(factory=Set[str])


@event("run_created")
class RunCreated:
    """The agent was given something to do. `id` is unique among the runs that the agent keeps."""

    id: str
    at: datetime
    input: Any = None
    parent: str | None = None


@event("run_investigated")
class RunInvestigated:
    """The agent began to look into the matter of a run, without changing anything in the world yet."""

    id: str
    at: datetime


@event("run_started")
class RunStarted:
    """The agent began, or went on, to act."""

    id: str
    at: datetime


@event("run_held")
class RunHeld:
    """The run was stopped until somebody approves of what it is about to do."""

    id: str
    at: datetime


@event("run_completed")
class RunCompleted:
    """The run reached its end; the result is any value that can be written, secrets included."""

    id: str
    at: datetime
    result: Any = None


@event("run_failed")
class RunFailed:
    """The run ended in an error, told as a text for people."""

    id: str
    at: datetime
    error: str


@event("run_cancelled")
class RunCancelled:
    """The run was given up; `reason` is a text for people."""

    id: str
    at: datetime
    reason: str | None = None


LEADS_TO: Final[Mapping[type, RunStatus]] = {
    RunInvestigated: "investigating",
    RunStarted: "active",
    RunHeld: "waiting_for_approval",
    RunCompleted: "completed",
    RunFailed: "failed",
    RunCancelled: "cancelled",
}
"""The status that each event brings a run to."""


class RunModule(StateModule[RunsState]):
    """Keep the runs of an agent.

    Rejects a run without an id, with the id of a run that is kept or with the id "index", a run that is its
    own parent, news of a run that is not kept, a transition that is not in `TRANSITIONS`, and a naive time.

    Of the finished runs the last `keep_finished` to finish are kept, at least 1; unfinished ones are always
    kept. A lower number takes effect when the next run finishes. Raises `RegistrationError` for another one.
    """

    name = "run"
    level = "agent"

    def __init__(self, *, keep_finished: int = KEEP_FINISHED) -> None:
        if type(keep_finished) is not int or keep_finished < 1:
            raise RegistrationError(f"keep_finished counts runs, at least 1, got {keep_finished!r}")
        self.keep_finished = keep_finished

    def blocks_archive(self, state: RunsState) -> bool:
        """Hold an agent back that has an unfinished run."""
        return len(state.unfinished) > 0

    @reduces(RunCreated)
    def create(self, state: RunsState, event: RunCreated, path: Path) -> RunsState:
        """Put the run behind the others, as a pending one."""
        objection = _objection_to_run(state, event)
        if objection is not None:
            return refuse(self, state, path, objection)
        run = Run(
            id=event.id, input=event.input, parent=event.parent, created_at=event.at, updated_at=event.at
        )
        return evolve(state, runs=state.runs.add(run), unfinished=state.unfinished.add(run.id))

    @reduces(*LEADS_TO)
    def move(self, state: RunsState, event: Any, path: Path) -> RunsState:
        """Take the run to the status that the event leads to."""
        status = LEADS_TO[type(event)]
        objection = _objection_to_move(state, event, status)
        if objection is not None:
            return refuse(self, state, path, objection)
        runs = state.runs.update(event.id, status=status, updated_at=event.at, **_outcome(event))
        if TRANSITIONS[status]:
            return evolve(state, runs=runs)
        return self._without_oldest(
            runs, unfinished=state.unfinished.remove(event.id), finished=state.finished.add(event.id)
        )

    def _without_oldest(self, runs: Entities[Run], *, unfinished: Set[str], finished: Set[str]) -> RunsState:
        while len(finished) > self.keep_finished:
            oldest = next(iter(finished))
            runs, finished = runs.remove(oldest), finished.remove(oldest)
        return RunsState(runs=runs, unfinished=unfinished, finished=finished)


def _outcome(event: Any) -> dict[str, Any]:
    match event:
        case RunCompleted():
            return {"finished_at": event.at, "result": event.result}
        case RunFailed():
            return {"finished_at": event.at, "error": event.error}
        case RunCancelled():
            return {"finished_at": event.at, "error": event.reason}
        case _:
            return {}


def _objection_to_run(state: RunsState, event: RunCreated) -> str | None:
    if not event.id or event.id == _RESERVED:
        return f"a run's id is a non-empty text other than {_RESERVED!r}, got {event.id!r}"
    if event.id in state.runs:
        return f"there is a run {event.id!r} already; give each run an id of its own"
    if event.parent is not None and event.parent in ("", event.id):
        return f"a run's parent is the id of another run, got {event.parent!r}"
    return objection_to(event.at)


def _objection_to_move(state: RunsState, event: Any, status: RunStatus) -> str | None:
    run = state.runs.get(event.id)
    if run is None:
        return f"there is no run {event.id!r}"
    if run.is_finished:
        return f"run {run.id!r} is {run.status} and stays so; it does not become {status}"
    allowed = TRANSITIONS[run.status]
    if status not in allowed:
        return f"run {run.id!r} is {run.status}, from where it becomes {_any_of(allowed)}, not {status}"
    return objection_to(event.at)


def _any_of(words: tuple[str, ...]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}"


@attrs.frozen
class Runs:
    """Create, move and read the runs of one agent.

    `scope` is the handle on the agent, in a store with a `RunModule`; `clock` gives the times of events, in
    microseconds since 1970. Each method that changes a run returns it as it then is, once that is stored,
    and raises `Rejected` where the module does. A transition that takes place is one that the table allows
    after all that was stored before it, by whichever process. What another process has done shows, and is
    no reason to refuse any more, after `manager.refresh()` or the next write that takes place.
    """

    scope: Scope
    clock: Clock = attrs.field(default=now_us, kw_only=True)

    async def create(
        self,
        input: Any = None,  # noqa: A002  # the field's own word
        *,
        id: str | None = None,  # noqa: A002  # the field's own word
        parent: str | None = None,
    ) -> Run:
        """Create a pending run; its id is a UUID unless given."""
        run = str(uuid4()) if id is None else id
        return await self._dispatch(RunCreated(id=run, at=self._now(), input=input, parent=parent))

    async def investigate(self, run: str) -> Run:
        """Begin to look into the matter."""
        return await self._dispatch(RunInvestigated(id=run, at=self._now()))

    async def start(self, run: str) -> Run:
        """Begin, or go on, to act: the run is active."""
        return await self._dispatch(RunStarted(id=run, at=self._now()))

    async def wait_for_approval(self, run: str) -> Run:
        """Stop until somebody approves."""
        return await self._dispatch(RunHeld(id=run, at=self._now()))

    async def complete(self, run: str, *, result: Any = None) -> Run:
        """Finish with a result, any value that can be written."""
        return await self._dispatch(RunCompleted(id=run, at=self._now(), result=result))

    async def fail(self, run: str, *, error: str) -> Run:
        """Finish with an error, told as a text for people."""
        return await self._dispatch(RunFailed(id=run, at=self._now(), error=error))

    async def cancel(self, run: str, *, reason: str | None = None) -> Run:
        """Give the run up."""
        return await self._dispatch(RunCancelled(id=run, at=self._now(), reason=reason))

    async def get(self, run: str) -> Run:
        """Return a run; `UnknownRun` if the agent has none of this id, or keeps it no longer."""
        found = (await self.scope.state(RunModule)).runs.get(run)
        if found is None:
            raise self._unknown(run)
        return found

    async def list(
        self, *, status: RunStatus | None = None, limit: int = 50, before: str | None = None
    ) -> tuple[Run, ...]:
        """Return runs, the newest first: at most `limit` of those in a status, or of all.

        To page, pass the id of the last run seen as `before`, whatever its status is by then.
        Raises `UnknownRun` if that one is not kept any more, `StateError` for another status or limit.
        """
        if status is not None and status not in TRANSITIONS:
            raise StateError(f"a run's status is one of {', '.join(TRANSITIONS)}, got {status!r}")
        if type(limit) is not int or limit < 1:
            raise StateError(f"limit counts runs, at least 1, got {limit!r}")
        kept = (await self.scope.state(RunModule)).runs
        runs = reversed(kept)
        if before is not None:
            if before not in kept:
                raise self._unknown(before)
            runs = islice(dropwhile(lambda run: run.id != before, runs), 1, None)
        return tuple(islice((run for run in runs if status in (None, run.status)), limit))

    async def resumable(self) -> tuple[Run, ...]:
        """Return the pending and investigating runs, oldest first: what to take up after a restart."""
        state = await self.scope.state(RunModule)
        unfinished = (state.runs[run] for run in state.unfinished)
        return tuple(run for run in unfinished if run.status in RESUMABLE)

    def _now(self) -> datetime:
        return moment(None, self.clock)

    def _unknown(self, run: str) -> UnknownRun:
        return UnknownRun(f"{self.scope.path.encode()!r} keeps no run {run!r}")

    async def _dispatch(self, event: Any) -> Run:
        change = await self.scope.dispatch(event)
        return _state_after(change).runs[event.id]


def _state_after(change: Change) -> RunsState:
    """The runs as the change left them; every transition changes them."""
    return next(state for state in change.after.values() if isinstance(state, RunsState))
