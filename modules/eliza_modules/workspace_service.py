"""What a bot calls: messages in, one run at a time out, whatever happens to the process in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias
from uuid import uuid4

import attrs

from eliza_modules.moment import moment
from eliza_modules.workspace import (
    DebugModeSwitched,
    ToolServerInstalled,
    ToolServerRemoved,
    WorkspaceMessageAdded,
    WorkspaceMessageReceived,
    WorkspaceModule,
    WorkspaceReset,
    WorkspaceRunClaimed,
    WorkspaceRunCompleted,
    WorkspaceRunReleased,
    WorkspaceRunRenewed,
)
from eliza_modules.workspace_claim import RunLost, dispatch
from eliza_modules.workspace_context import AgentState, Keys, WorkspaceContext
from eliza_modules.workspace_erasure import erase_workspace
from eliza_modules.workspace_memory import WorkspaceMemory
from eliza_modules.workspace_state import ActiveRun, Policy, QueuedMessage, Role, WorkspaceState
from eliza_state.change import Change
from eliza_state.clock import Clock, now_us
from eliza_state.erasure import Erased
from eliza_state.errors import StateError, StoreError
from eliza_state.manager import StateManager
from eliza_state.scope import Scope

LEASE_MS: Final = 60_000
"""How long a run has the workspace unless it says otherwise; it is renewed three times in that time."""

Hook: TypeAlias = Callable[[WorkspaceContext, str | None], Awaitable[None]]
"""Called with the context and the response of a run that was completed."""


class WorkspaceBusy(StateError):
    """A run is going on, and by its policy the message was not taken."""


@attrs.define(eq=False)
class Workspace:
    """The workspace of one user: take messages, run them one at a time, remember, forget.

    `scope` is the handle on the user, in a store of `manager` with a `WorkspaceModule`. `keys` holds the
    agent-wide keys. `clock` gives the times of events and leases, in microseconds since 1970.
    `on_run_complete` is called after a completion is stored: not if the process is killed right then.
    """

    scope: Scope
    manager: StateManager = attrs.field(kw_only=True)
    keys: Keys = attrs.field(kw_only=True)
    on_run_complete: Hook | None = attrs.field(default=None, kw_only=True)
    clock: Clock = attrs.field(default=now_us, kw_only=True)

    async def state(self) -> WorkspaceState:
        """Return the workspace; an empty one before the user's first message."""
        return await self.scope.state(WorkspaceModule)

    def context(self, run: ActiveRun | None = None) -> WorkspaceContext:
        """Return what agents, tools and hooks are handed; what is remembered in a run is the run's."""
        token = None if run is None else run.token
        return WorkspaceContext(
            user_id=self.scope.path.steps[-1][1],
            state=AgentState(self.keys),
            memory=WorkspaceMemory(self.scope, token=token, clock=self.clock),
            run=run,
        )

    # Messages

    async def receive(
        self,
        text: str,
        *,
        id: str | None = None,  # noqa: A002  # the field's own word
        chat: str = "",
        platform: str = "",
        source: str = "",
        policy: Policy = "enqueue",
    ) -> bool:
        """Take a message, and tell whether it is new: one whose `id` the workspace knows changes nothing.

        During a run, `policy` says what happens: it waits (`enqueue`), or it is the next one and the run is
        stopped, what that wrote kept (`interrupt`) or taken back (`rollback`), or `WorkspaceBusy` is raised
        (`reject`).
        """
        event = WorkspaceMessageReceived(
            id=str(uuid4()) if id is None else id,
            text=text,
            at=moment(None, self.clock),
            chat=chat,
            platform=platform,
            source=source,
            policy=policy,
        )

        def decide(state: WorkspaceState) -> list[WorkspaceMessageReceived]:
            if state.knows(event.id):
                return []
            if policy == "reject" and state.is_running(event.at):
                raise WorkspaceBusy(f"a run is going on at {self.scope.path.encode()!r}; try again later")
            return [event]

        return bool(await self.scope.execute(decide, module=WorkspaceModule))

    async def reset(self) -> Erased:
        """Forget the workspace, and every message that was recorded until now, had it arrived or not.

        A run that is going on is stopped; it cannot write any more. The content of what made the workspace
        is erased (`Scope.erase`): tell how much that was. If that was cut off, the next reset does it.
        """
        position = await self.manager.refresh()

        def decide(state: WorkspaceState) -> list[WorkspaceReset]:
            reached = max(position, state.reset_position)
            return [WorkspaceReset(position=reached, last_token=state.last_token)]

        (change,) = await self.scope.execute(decide, module=WorkspaceModule)
        return await erase_workspace(self.scope, until=change.position - 1)

    # Runs

    async def claim(
        self, run_id: str | None = None, *, holder: str, lease_ms: int = LEASE_MS
    ) -> WorkspaceRun | None:
        """Take the workspace for a run of the next message; None if none waits or another run has it.

        A run whose lease is over is superseded: what it wrote is taken back, its message is the next one. A
        lease is judged by the clock of who claims. Raises `Rejected` for an empty id or holder and for a
        lease that is no whole number of milliseconds from 1 to a day.
        """
        await self.manager.refresh()
        run, at = str(uuid4()) if run_id is None else run_id, moment(None, self.clock)

        def decide(state: WorkspaceState) -> list[WorkspaceRunClaimed]:
            if not state.is_waiting(at):
                return []
            token = state.last_token + 1
            return [WorkspaceRunClaimed(run=run, holder=holder, token=token, at=at, lease_ms=lease_ms)]

        changes = await self.scope.execute(decide, module=WorkspaceModule)
        if not changes:
            return None
        state = _state_after(changes[0])
        assert state is not None
        assert state.active_run is not None
        return WorkspaceRun(self, state.active_run, lease_ms=lease_ms)

    @asynccontextmanager
    async def run(
        self, run_id: str | None = None, *, holder: str, lease_ms: int = LEASE_MS
    ) -> AsyncGenerator[WorkspaceRun | None]:
        """Claim as `claim` does, keep the lease while the block runs, and end the run with it.

        A block that ends completes the run, if it has not; one that raises or is cancelled gives it back, to
        be run again. When the run loses the workspace, the block is cancelled, and `RunLost` is raised: at
        once if this process hears of it, else when the lease is renewed.
        """
        run = await self.claim(run_id, holder=holder, lease_ms=lease_ms)
        if run is None:
            yield None
            return
        try:
            async with run.kept():
                yield run
        except BaseException:
            if not run.has_ended:
                with suppress(RunLost):
                    await run.release()
            raise
        if not run.has_ended:
            await run.complete()

    async def drain(
        self,
        handle: Callable[[WorkspaceRun], Awaitable[str | None]],
        *,
        holder: str,
        lease_ms: int = LEASE_MS,
    ) -> int:
        """Run what waits, in order, until nothing does or another holder has a run; return how many ended.

        `handle(run)` returns the response, None for none. A run that loses the workspace is left, and the
        next one taken. What `handle` raises is raised here; the message is the next one again.
        """
        count = 0
        while True:
            run: WorkspaceRun | None = None
            try:
                async with self.run(holder=holder, lease_ms=lease_ms) as run:
                    if run is None:
                        return count
                    response = await handle(run)
                    if not run.has_ended:
                        await run.complete(response)
            except RunLost as lost:
                # That of another workspace, which `handle` worked on too, is an error like any other.
                if run is None or (lost.path, lost.token) != (self.scope.path.encode(), run.token):
                    raise
            else:
                count += 1

    # The rest

    async def install_tool_server(self, name: str, config: Mapping[str, Any]) -> None:
        """Keep a tool server's configuration under its name; put keys and passwords in it as `Secret`."""
        await self.scope.dispatch(ToolServerInstalled(name=name, config=config))

    async def remove_tool_server(self, name: str) -> None:
        """Drop a configuration; `Rejected` if there is none."""
        await self.scope.dispatch(ToolServerRemoved(name=name))

    async def switch_debug(self, *, on: bool) -> None:
        """Switch debug mode on or off."""
        await self.scope.dispatch(DebugModeSwitched(on=on))


@attrs.define(eq=False)
class WorkspaceRun:
    """A run that has the workspace; made by `Workspace.claim` and `Workspace.run`.

    Each method that writes raises `RunLost`, changing nothing, once the run has ended or lost the workspace.
    """

    workspace: Workspace
    active: ActiveRun
    lease_ms: int = attrs.field(kw_only=True)
    has_ended: bool = attrs.field(default=False, init=False)
    """Whether it was completed, given back, or lost, as far as is known here."""

    @property
    def id(self) -> str:
        """The id of the run."""
        return self.active.id

    @property
    def token(self) -> int:
        """The number that entitles to write; a later claim has a higher one."""
        return self.active.token

    @property
    def message(self) -> QueuedMessage:
        """What is to be answered; its `attempts` counts this run too."""
        return self.active.message

    @property
    def context(self) -> WorkspaceContext:
        """What tools and hooks are handed."""
        return self.workspace.context(self.active)

    async def say(self, content: str, *, role: Role = "assistant") -> None:
        """Append to the history."""
        event = WorkspaceMessageAdded(token=self.token, role=role, content=content, at=self._now())
        await dispatch(self.workspace.scope, event)

    async def renew(self) -> None:
        """Let the lease last from now on; `Workspace.run` does it by itself."""
        event = WorkspaceRunRenewed(token=self.token, at=self._now(), lease_ms=self.lease_ms)
        await dispatch(self.workspace.scope, event)

    async def complete(self, response: str | None = None) -> None:
        """End the run, with a response for the history, and call `on_run_complete`; its errors are raised."""
        await self._end(WorkspaceRunCompleted(token=self.token, at=self._now(), response=response))
        if self.workspace.on_run_complete is not None:
            await self.workspace.on_run_complete(self.context, response)

    async def release(self) -> None:
        """Give the run back: what it wrote is taken back, and its message is the next one again."""
        await self._end(WorkspaceRunReleased(token=self.token, at=self._now()))

    async def _end(self, event: Any) -> None:
        has_ended, self.has_ended = self.has_ended, True  # it is no loss that it loses the workspace by this
        try:
            await dispatch(self.workspace.scope, event)
        except RunLost:
            raise
        except BaseException:
            self.has_ended = has_ended
            raise

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Renew the lease while the block runs, and cancel the block when the workspace is lost."""
        task = asyncio.current_task()
        assert task is not None
        requests = task.cancelling()
        is_stopped = False

        def stop() -> None:
            nonlocal is_stopped
            if not self.has_ended:
                self.has_ended = is_stopped = True
                task.cancel()

        def hear(change: Change) -> None:
            state = _state_after(change)
            if state is not None and not state.is_held(self.token):
                stop()

        with self.workspace.manager.subscribe(hear, below=self.workspace.scope):
            renewing = asyncio.create_task(self._keep_renewing(stop))
            try:
                yield
                if is_stopped:
                    await asyncio.sleep(0)  # the cancellation arrives here, not somewhere behind the block
            except asyncio.CancelledError:
                # As in asyncio.timeout: a cancellation by others besides counts for more.
                if is_stopped and task.uncancel() <= requests:
                    raise RunLost(path=self.workspace.scope.path.encode(), token=self.token) from None
                raise
            finally:
                renewing.cancel()

    async def _keep_renewing(self, stop: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self.lease_ms / 3_000)
            try:
                await self.renew()
            except RunLost:
                stop()
                return
            except StoreError:
                continue  # the lease may end before the store is back; the token keeps the order then

    def _now(self) -> Any:
        return moment(None, self.workspace.clock)


def _state_after(change: Change) -> WorkspaceState | None:
    """The workspace as the change left it; None if it left it alone."""
    return next((state for state in change.after.values() if isinstance(state, WorkspaceState)), None)


async def waiting_users(agent: Scope, *, clock: Clock = now_us) -> list[Scope]:
    """Return the users of an agent with a message that waits, also one whose run was killed: after a restart.

    Every user of the agent is looked at. A run whose lease is not over yet is waited for by its holder.
    """
    at = moment(None, clock)
    users = [scope for scope in await agent.children() if scope.level == WorkspaceModule.level]
    return [scope for scope in users if (await scope.state(WorkspaceModule)).is_waiting(at)]
