"""The approvals of an agent: what it asks people before it acts, and what they answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, TypeAlias
from uuid import uuid4

import attrs

from eliza_modules.moment import moment, objection_to
from eliza_modules.refusal import refuse
from eliza_state.change import Change
from eliza_state.clock import Clock, now_us
from eliza_state.collections import Entities
from eliza_state.errors import RegistrationError, Rejected, StateError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from eliza_state.scope import Scope

ApprovalStatus: TypeAlias = Literal["pending", "approved", "denied", "expired", "cancelled"]

HISTORY_LIMIT: Final = 1_000
"""How many answered approvals an agent keeps unless its module says otherwise."""

REFRESH_INTERVAL_MS: Final = 1_000
"""How often somebody who waits looks for the answers of other processes, unless told otherwise."""


class UnknownApproval(StateError, LookupError):
    """The agent has no approval of this id, or keeps it no longer."""


@attrs.frozen(kw_only=True)
class Answer:
    """How an approval came to its end: when, by whom and why; None where nobody said."""

    at: datetime
    by: str | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True)
class Approval:
    """Something that waits, or waited, for a person's yes.

    `subject` is what is asked, any value that can be written. `answer` is None while it is pending. It is to
    be answered before `deadline`, where it has one.
    """

    id: str
    subject: Any
    requested_at: datetime
    requested_by: str | None = None
    deadline: datetime | None = None
    status: ApprovalStatus = "pending"
    answer: Answer | None = None

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether it is pending at its deadline, or past it: nobody may answer it any more."""
        return self.status == "pending" and self.deadline is not None and now >= self.deadline


@attrs.frozen(kw_only=True)
class ApprovalsState:
    """The approvals of an agent: the pending ones as they came, the answered ones as they were answered."""

    pending: Entities[Approval] = attrs.field(factory=Entities[Approval])
    history: Entities[Approval] = attrs.field(factory=Entities[Approval])


@event("approval_requested")
class ApprovalRequested:
    """The agent asked. `id` is unique among the approvals that the agent keeps."""

    id: str
    at: datetime
    subject: Any
    by: str | None = None
    deadline: datetime | None = None


@event("approval_granted")
class ApprovalGranted:
    """Somebody said yes."""

    id: str
    at: datetime
    by: str
    reason: str | None = None


@event("approval_denied")
class ApprovalDenied:
    """Somebody said no."""

    id: str
    at: datetime
    by: str
    reason: str | None = None


@event("approval_expired")
class ApprovalExpired:
    """Nobody answered before the deadline."""

    id: str
    at: datetime


@event("approval_cancelled")
class ApprovalCancelled:
    """The question was taken back."""

    id: str
    at: datetime
    by: str | None = None
    reason: str | None = None


OUTCOMES: Final[Mapping[type, ApprovalStatus]] = {
    ApprovalGranted: "approved",
    ApprovalDenied: "denied",
    ApprovalExpired: "expired",
    ApprovalCancelled: "cancelled",
}
"""The status that each event brings a pending approval to."""


class ApprovalModule(StateModule[ApprovalsState]):
    """Keep what an agent asks people, and their answers.

    Rejects a request without an id or with that of an approval that is kept, a deadline that does not lie
    after the request, an answer of nobody, or to what is not pending or is past its deadline, an expiry
    before the deadline or without one, and a naive time.

    `history_limit` bounds the answered approvals that are kept, at least 1; the oldest go first. A history
    that is stored already follows a lower limit with the next answer. Raises `RegistrationError` for another.
    """

    name = "approval"
    level = "agent"

    def __init__(self, *, history_limit: int = HISTORY_LIMIT) -> None:
        if type(history_limit) is not int or history_limit < 1:
            raise RegistrationError(f"history_limit counts approvals, at least 1, got {history_limit!r}")
        self.history_limit = history_limit

    def blocks_archive(self, state: ApprovalsState) -> bool:
        """Hold an agent back that waits for an answer."""
        return len(state.pending) > 0

    @reduces(ApprovalRequested)
    def request(self, state: ApprovalsState, event: ApprovalRequested, path: Path) -> ApprovalsState:
        """Put the approval behind the other pending ones."""
        objection = _objection_to_request(state, event)
        if objection is not None:
            return refuse(self, state, path, objection)
        approval = Approval(
            id=event.id,
            subject=event.subject,
            requested_at=event.at,
            requested_by=event.by,
            deadline=event.deadline,
        )
        return evolve(state, pending=state.pending.add(approval))

    @reduces(*OUTCOMES)
    def answer(self, state: ApprovalsState, event: Any, path: Path) -> ApprovalsState:
        """Move the approval from the pending ones to the history, with its answer."""
        objection = _objection_to_answer(state, event)
        if objection is not None:
            return refuse(self, state, path, objection)
        answered = evolve(state.pending[event.id], status=OUTCOMES[type(event)], answer=_answer_of(event))
        history = state.history.add(answered)
        while len(history) > self.history_limit:
            history = history.remove(history.at(0).id)
        return ApprovalsState(pending=state.pending.remove(event.id), history=history)


def _answer_of(event: Any) -> Answer:
    if isinstance(event, ApprovalExpired):
        return Answer(at=event.at)
    return Answer(at=event.at, by=event.by, reason=event.reason)


def _objection_to_request(state: ApprovalsState, event: ApprovalRequested) -> str | None:
    if not event.id:
        return "an approval's id is a non-empty text, got ''"
    if event.id in state.pending or event.id in state.history:
        return f"there is an approval {event.id!r} already; give each one an id of its own"
    if event.deadline is None:
        return objection_to(event.at)
    objection = objection_to(event.at) or objection_to(event.deadline)
    if objection is None and event.deadline <= event.at:
        return f"a deadline lies ahead, got {event.deadline.isoformat()} at {event.at.isoformat()}"
    return objection


def _objection_to_answer(state: ApprovalsState, event: Any) -> str | None:
    approval = state.pending.get(event.id)
    if approval is None:
        return _not_pending(state.history.get(event.id), event.id)
    objection = objection_to(event.at)
    if objection is not None:
        return objection
    if isinstance(event, ApprovalExpired):
        return None if approval.is_overdue(event.at) else _not_overdue(approval)
    if approval.is_overdue(event.at):
        return _overdue(approval)
    if event.by == "":
        return "whoever answers is named by a non-empty text, got ''"
    return None


def _not_pending(answered: Approval | None, identifier: str) -> str:
    if answered is None:
        return f"there is no approval {identifier!r}"
    assert answered.answer is not None
    by = f" by {answered.answer.by!r}" if answered.answer.by else ""
    return f"approval {identifier!r} is {answered.status}{by} since {answered.answer.at.isoformat()}"


def _overdue(approval: Approval) -> str:
    assert approval.deadline is not None
    deadline = approval.deadline.isoformat()
    return f"approval {approval.id!r} was to be answered before {deadline}; it can only expire"


def _not_overdue(approval: Approval) -> str:
    if approval.deadline is None:
        return f"approval {approval.id!r} has no deadline; it cannot expire"
    return f"approval {approval.id!r} does not expire before {approval.deadline.isoformat()}"


@attrs.define(eq=False)
class Approvals:
    """Ask, answer and wait for answers, for one agent.

    `scope` is the handle on the agent, in a store of `manager` with an `ApprovalModule`; `clock` gives the
    times of events, in microseconds since 1970. Each method that changes an approval returns it as it then
    is, once that is stored, and raises `Rejected` where the module does: of several answers to one approval,
    in one process or in many, one is taken and the others are refused.
    """

    scope: Scope
    manager: StateManager = attrs.field(kw_only=True)
    clock: Clock = attrs.field(default=now_us, kw_only=True)
    refresh_interval_ms: int = attrs.field(
        default=REFRESH_INTERVAL_MS, kw_only=True, validator=attrs.validators.ge(1)
    )
    _next_refresh_s: float = attrs.field(default=0.0, init=False, repr=False)
    """When those who wait look for others' answers next, by the loop's clock; one does it for all."""

    async def request(
        self,
        subject: Any,
        *,
        id: str | None = None,  # noqa: A002  # the field's own word
        by: str | None = None,
        deadline: datetime | None = None,
    ) -> Approval:
        """Ask for an approval of `subject`, any value that can be written; its id is a UUID unless given."""
        approval = str(uuid4()) if id is None else id
        event = ApprovalRequested(id=approval, at=self._now(), subject=subject, by=by, deadline=deadline)
        change = await self.scope.dispatch(event)
        return _state_after(change).pending[approval]

    async def approve(self, approval: str, *, by: str, reason: str | None = None) -> Approval:
        """Say yes."""
        return await self._answer(ApprovalGranted(id=approval, at=self._now(), by=by, reason=reason))

    async def deny(self, approval: str, *, by: str, reason: str | None = None) -> Approval:
        """Say no."""
        return await self._answer(ApprovalDenied(id=approval, at=self._now(), by=by, reason=reason))

    async def cancel(self, approval: str, *, by: str | None = None, reason: str | None = None) -> Approval:
        """Take the question back."""
        return await self._answer(ApprovalCancelled(id=approval, at=self._now(), by=by, reason=reason))

    async def expire_due(self, now: datetime | None = None) -> tuple[Approval, ...]:
        """Expire what is pending at its deadline or past it, as one step, and return that.

        Raises `StateError` for a naive time.
        """
        at = moment(now, self.clock)
        await self.manager.refresh()

        def decide(state: ApprovalsState) -> list[ApprovalExpired]:
            overdue = (approval for approval in state.pending if approval.is_overdue(at))
            return [ApprovalExpired(id=approval.id, at=at) for approval in overdue]

        changes = await self.scope.execute(decide, module=ApprovalModule)
        return tuple(_state_after(change).history[change.event.id] for change in changes)

    async def get(self, approval: str) -> Approval:
        """Return an approval; `UnknownApproval` if the agent has none of this id, or keeps it no longer."""
        state = await self.scope.state(ApprovalModule)
        found = state.pending.get(approval) or state.history.get(approval)
        if found is None:
            raise UnknownApproval(f"{self.scope.path.encode()!r} keeps no approval {approval!r}")
        return found

    async def pending(self) -> tuple[Approval, ...]:
        """Return what is pending, oldest first; also what is past its deadline until somebody expires it."""
        return tuple((await self.scope.state(ApprovalModule)).pending)

    async def history(self, *, limit: int = 50) -> tuple[Approval, ...]:
        """Return the approvals answered last, the last one first, at most `limit`."""
        if type(limit) is not int or limit < 1:
            raise StateError(f"limit counts approvals, at least 1, got {limit!r}")
        return tuple(islice(reversed((await self.scope.state(ApprovalModule)).history), limit))

    async def decision(self, approval: str, timeout: float | None = None) -> Approval:
        """Wait until an approval is pending no more, and return it with its answer.

        An answer given in this process is told at once; that of another process is found by
        `manager.refresh()`, at the start and every `refresh_interval_ms`. At its deadline it is expired from
        here. Who waits may be killed and wait again, in another process too.
        Raises `TimeoutError` after `timeout` seconds, `UnknownApproval` as `get` does, and `StoreError` once
        the manager is closed.
        """
        async with asyncio.timeout(timeout):
            told: asyncio.Future[Approval] = asyncio.get_running_loop().create_future()

            def hear(change: Change) -> None:
                answered = _answered_by(change, approval)
                if answered is not None and not told.done():
                    told.set_result(answered)

            with self.manager.subscribe(hear, below=self.scope):
                await self._refresh()
                return await self._answered(approval, told)

    async def _answered(self, identifier: str, told: asyncio.Future[Approval]) -> Approval:
        loop = asyncio.get_running_loop()
        while not told.done():
            approval = await self.get(identifier)
            if approval.answer is not None:
                return approval
            now = self._now()
            if approval.is_overdue(now):
                with contextlib.suppress(Rejected):  # somebody was faster, and what they said has been told
                    await self.scope.dispatch(ApprovalExpired(id=identifier, at=now))
                continue
            pause_s = self._next_refresh_s - loop.time()
            if approval.deadline is not None:
                pause_s = min(pause_s, (approval.deadline - now).total_seconds())
            await asyncio.wait([told], timeout=pause_s)
            if loop.time() >= self._next_refresh_s:
                await self._refresh()
        return told.result()

    async def _refresh(self) -> None:
        self._next_refresh_s = asyncio.get_running_loop().time() + self.refresh_interval_ms / 1_000
        await self.manager.refresh()

    async def _answer(self, event: Any) -> Approval:
        if event.id not in (await self.scope.state(ApprovalModule)).pending:
            await self.manager.refresh()  # another process may have asked
        change = await self.scope.dispatch(event)
        return _state_after(change).history[event.id]

    def _now(self) -> datetime:
        return moment(None, self.clock)


def _state_after(change: Change) -> ApprovalsState:
    """The approvals as the change left them."""
    return next(state for state in change.after.values() if isinstance(state, ApprovalsState))


def _answered_by(change: Change, identifier: str) -> Approval | None:
    """The approval, if this change answered it; at the agent's own scope or, by a stranger, below it."""
    if type(change.event) not in OUTCOMES or change.event.id != identifier:
        return None
    states = (part.after for part in change.slices if isinstance(part.after, ApprovalsState))
    return next((state.history.get(identifier) for state in states), None)
