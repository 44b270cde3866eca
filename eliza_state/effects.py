"""Effects: coroutines that run once a change is committed, and may wait for later ones.

async def answer(change, context):
    confirmed = context.take(Confirmed, below=change.path, timeout_s=60)
    await context.dispatch(QuestionAsked(text="really?"))
    if await confirmed is not None:
        await context.dispatch(OrderPlaced(id=change.event.id))

effects = Effects(manager)
effects.on(OrderWanted, answer, policy="latest")

Patterned on the listener middleware of Redux Toolkit (`take`, `condition`) and on redux-saga (`takeLatest`,
`takeLeading`, `debounce`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import partial
from typing import Any, Final, Literal, Protocol, Self, TypeAlias

import attrs

from eliza_state.change import Change
from eliza_state.delivery import is_coroutine_function, name_of
from eliza_state.errors import RegistrationError, StateError
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.problems import Problem, Problems
from eliza_state.scope import Scope
from eliza_state.signals import QUEUE_SIZE, Subscription

MAX_RUNNING: Final = 16

Effect: TypeAlias = Callable[[Change, "EffectContext"], Awaitable[None]]
"""A coroutine function that takes the change and what it may do."""

Policy: TypeAlias = Literal["parallel", "latest", "leading"]
"""What a change does while an effect runs: run beside it, replace it, or nothing."""

Key: TypeAlias = Callable[[Change], Hashable]
"""Says which changes belong together: those with equal keys."""


class Manager(Protocol):
    """What effects need of a manager. `StateManager` is one; it stands above this module."""

    problems: Problems

    def at(self, path: Path | str) -> Scope:
        """Return the handle on the scope of a path."""
        ...

    def subscribe(
        self,
        receiver: Callable[[Change], None],
        *,
        below: Path | str | Scope | None = None,
        event: type | str | None = None,
        origin: Literal["local"] | None = None,
    ) -> Subscription:
        """Call a plain receiver for every change that the filters let through."""
        ...


class EffectContext:
    """What an effect may do, in the name of the change that started it."""

    def __init__(self, manager: Manager, change: Change) -> None:
        self._manager = manager
        self._change = change
        self._taken: set[asyncio.Future[Change | None]] = set()

    def _scope(self, place: Path | str | Scope | None) -> Scope:
        if isinstance(place, Scope):
            return place
        return self._manager.at(self._change.path if place is None else place)

    async def dispatch(
        self,
        event: Any,
        payload: Mapping[str, Any] | None = None,
        *,
        to: Path | str | Scope | None = None,
        id: str | None = None,  # noqa: A002  # the record's id; the field's own word
        expected_version: int | None = None,
    ) -> Change:
        """Dispatch an event, to the change's own scope unless told otherwise; see `Scope.dispatch`.

        Its `cause` is the id of the change's record.
        """
        cause = self._change.record.id
        return await self._scope(to).dispatch(
            event, payload, id=id, cause=cause, expected_version=expected_version
        )

    async def state(
        self, module: str | type[StateModule[Any]] | None = None, *, of: Path | str | Scope | None = None
    ) -> Any:
        """Return the present state of a scope, the change's own unless told otherwise; see `Scope.state`."""
        return await self._scope(of).state(module)

    def take(
        self,
        event: type | str,
        *,
        below: Path | str | Scope | None = None,
        where: Callable[[Change], bool] | None = None,
        timeout_s: float | None = None,
    ) -> asyncio.Future[Change | None]:
        """Return what to await for the next change by this event; `None` once `timeout_s` has passed.

        It listens from the call on, also before it is awaited, so an answer cannot come between a question
        and the wait for it. `below` is a scope (itself and all below it), `where` tells whether it is the
        wanted change; what it raises is raised to who awaits. Changes of other processes count too.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Change | None] = loop.create_future()

        def receive(change: Change) -> None:
            if future.done():
                return
            try:
                if where is None or where(change):
                    future.set_result(change)
            except Exception as error:  # noqa: BLE001  # the effect's own function: the effect shall know
                future.set_exception(error)

        subscription = self._manager.subscribe(receive, below=below, event=event)
        future.add_done_callback(lambda _: subscription.cancel())
        if timeout_s is not None:
            timer = loop.call_later(timeout_s, _give_up, future)
            future.add_done_callback(lambda _: timer.cancel())
        self._taken.add(future)
        return future

    async def condition(
        self,
        predicate: Callable[[Any], bool],
        *,
        module: str | type[StateModule[Any]] | None = None,
        of: Path | str | Scope | None = None,
        timeout_s: float | None = None,
    ) -> bool:
        """Wait until `predicate(state)` holds; return `False` once `timeout_s` has passed.

        `state` is the slice of `module`, or all slices by name, of a scope: the change's own unless told
        otherwise. It is looked at at once, then after changes at or below that scope.
        """
        scope = self._scope(of)
        changed = asyncio.Event()
        limit = asyncio.timeout(timeout_s)
        with self._manager.subscribe(lambda _: changed.set(), below=scope):
            try:
                async with limit:
                    while not predicate(await scope.state(module)):
                        await changed.wait()
                        changed.clear()
            except TimeoutError:
                if not limit.expired():
                    raise
                return False
        return True

    def close(self) -> None:
        """End what `take` still listens for; called when the effect has ended."""
        for future in self._taken:
            if not future.cancel() and not future.cancelled():
                future.exception()  # whoever wanted to know has asked


@attrs.frozen
class _Rules:
    """How the runs of one effect relate to each other."""

    policy: Policy
    max_running: int
    debounce_s: float
    key: Key


@attrs.define(eq=False)
class _Run:
    task: asyncio.Task[None]
    change: Change
    is_stopped: bool = False

    def stop(self) -> None:
        self.is_stopped = True
        self.task.cancel()


class Listener:
    """One effect registered for changes; `cancel()`, or leaving it as a context, ends it."""

    def __init__(
        self, manager: Manager, effect: Effect, rules: _Rules, *, over: Callable[[Listener], None]
    ) -> None:
        """Made by `Effects.on`; `over` is called once it is cancelled and idle."""
        self._manager = manager
        self._effect = effect
        self._rules = rules
        self._over = over
        # Changes in the order of their coming, by key.
        self._delayed: dict[Hashable, tuple[asyncio.TimerHandle, Change]] = {}
        self._waiting: dict[Hashable, Change] = {}
        self._running: dict[Hashable, _Run] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_over = False
        self.subscription: Subscription | None = None

    @property
    def name(self) -> str:
        """The name of the effect's function."""
        return name_of(self._effect)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, waits or is held back."""
        return self._idle.is_set()

    @property
    def running(self) -> int:
        """How many runs are under way."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many changes wait for a run, or are held back."""
        return len(self._waiting) + len(self._delayed)

    def hear(self, change: Change) -> None:
        """Take in a change; changes of other processes start no effects here."""
        if change.origin != "local":
            return
        try:
            key = self._rules.key(change)
            hash(key)
        except Exception as error:  # noqa: BLE001  # the application's own function
            self._failed(change, error)
            return
        self._idle.clear()
        if self._rules.debounce_s:
            self._hold_back(key, change)
        else:
            self._admit(key, change)

    def _hold_back(self, key: Hashable, change: Change) -> None:
        earlier = self._delayed.pop(key, None)
        if earlier is None and len(self._delayed) >= QUEUE_SIZE:
            earlier = self._delayed.pop(next(iter(self._delayed)))
            self._lost(earlier[1])
        if earlier is not None:
            earlier[0].cancel()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._rules.debounce_s, self._release, key, change)
        self._delayed[key] = timer, change

    def _release(self, key: Hashable, change: Change) -> None:
        del self._delayed[key]
        self._admit(key, change)

    def _admit(self, key: Hashable, change: Change) -> None:
        policy = self._rules.policy
        if policy == "leading" and (key in self._running or key in self._waiting):
            self._settle()
            return
        if policy == "latest":
            self._waiting.pop(key, None)
            if key in self._running:
                self._running[key].stop()
        if len(self._waiting) >= QUEUE_SIZE:
            self._lost(self._waiting.pop(next(iter(self._waiting))))
        self._waiting[object() if policy == "parallel" else key] = change
        self._start()

    def _start(self) -> None:
        """Start the runs that may: the longest waiting first, none beside another one of its key."""
        free = self._rules.max_running - len(self._running)
        ready = [key for key in self._waiting if key not in self._running] if free > 0 else []
        for key in ready[:free]:
            change = self._waiting.pop(key)
            task = asyncio.get_running_loop().create_task(self._run(change))
            self._running[key] = _Run(task, change)
            task.add_done_callback(partial(self._ended, key))
        self._settle()

    async def _run(self, change: Change) -> None:
        context = EffectContext(self._manager, change)
        try:
            await self._effect(change, context)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._failed(change, error)  # something that it awaited was cancelled, not the effect
        except Exception as error:  # noqa: BLE001  # one effect must not stop the others
            self._failed(change, error)
        finally:
            context.close()

    def _ended(self, key: Hashable, task: asyncio.Task[None]) -> None:
        run = self._running.pop(key)
        if task.cancelling() and not run.is_stopped:
            # Nobody here cancelled it: the event loop ends, and takes no further tasks.
            self.cancel()
        self._start()

    def _settle(self) -> None:
        if not (self._running or self._waiting or self._delayed):
            self._idle.set()
            if self._is_over:
                self._over(self)

    def _failed(self, change: Change, error: BaseException) -> None:
        where = f"{change.record.event} at position {change.position}"
        message = f"effect {name_of(self._effect)} failed on {where}: {error!r}"
        self._manager.problems.report(Problem("effect", message, change.path, error))

    def _lost(self, change: Change) -> None:
        message = f"effect {name_of(self._effect)} does not keep up; a change was dropped for it"
        self._manager.problems.report(Problem("overflow", message, change.path))

    async def settled(self) -> None:
        """Wait until nothing runs, waits or is held back."""
        await self._idle.wait()

    def is_at_work(self, path: Path) -> bool:
        """Tell whether a change at or below a path has a run under way, waits for one or is held back."""
        delayed = (change for _, change in self._delayed.values())
        running = (run.change for run in self._running.values())
        changes = (*delayed, *self._waiting.values(), *running)
        return any(change.path == path or change.path.is_below(path) for change in changes)

    def cancel(self) -> None:
        """Hear no more, drop what waits and cancel what runs, except the run that calls this."""
        self._is_over = True
        if self.subscription is not None:
            self.subscription.cancel()
        for timer, _ in self._delayed.values():
            timer.cancel()
        self._delayed.clear()
        self._waiting.clear()
        for run in self._running.values():
            if run.task is not asyncio.current_task():
                run.stop()
        self._settle()

    async def ended(self) -> None:
        """Wait until the runs that `cancel` cancelled have ended."""
        tasks = {run.task for run in self._running.values()} - {asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class Effects:
    """The effects of one manager; `close()`, or leaving it as a context, ends them.

    Effects are started by this process's own changes, once they are announced, and are not run again after
    a restart: what has to happen in any case is a follower's business (`eliza_state.followers`).
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._listeners: dict[Listener, None] = {}
        self._closed = False

    def on(
        self,
        event: type | str | None,
        effect: Effect,
        *,
        below: Path | str | Scope | None = None,
        policy: Policy = "parallel",
        max_running: int = MAX_RUNNING,
        debounce_ms: int = 0,
        key: Key | None = None,
    ) -> Listener:
        """Run `effect(change, context)` after each change by an event (`None`: by any).

        `below` is a scope (itself and all below it). Changes with equal keys belong together: by default
        those of one scope, with `key=lambda change: None` all. `policy` says what a change does while an
        effect of its key runs: `parallel` starts another one beside it; `latest` cancels that one, and
        starts when it has ended; `leading` is ignored. With `debounce_ms` a change counts once that time has
        passed without another one of its key. At most `max_running` run at once, of all keys together;
        1,024 changes more may wait, past which the oldest is dropped and reported as `overflow`.
        What an effect raises is reported as `effect` and stops nobody.
        Raises `RegistrationError` for an effect that is no coroutine function or options that make no sense,
        `StateError` when closed.
        """
        if self._closed:
            raise StateError("the effects are closed; open the store anew")
        if key is not None and policy == "parallel" and not debounce_ms:
            raise RegistrationError("runs in parallel have no use for a key; choose another policy")
        rules = _Rules(policy, max_running, debounce_ms / 1_000, key or _path_of)
        _check(effect, rules)
        listener = Listener(self._manager, effect, rules, over=self._forget)
        listener.subscription = self._manager.subscribe(
            listener.hear, below=below, event=event, origin="local"
        )
        self._listeners[listener] = None
        return listener

    def _forget(self, listener: Listener) -> None:
        self._listeners.pop(listener, None)

    def __len__(self) -> int:
        """Return how many effects are registered."""
        return len(self._listeners)

    @property
    def running(self) -> int:
        """How many runs are under way."""
        return sum(listener.running for listener in self._listeners)

    @property
    def waiting(self) -> int:
        """How many changes wait for a run, or are held back."""
        return sum(listener.waiting for listener in self._listeners)

    def work_at(self, path: Path) -> str:
        """Say which effects a scope, or one below it, keeps busy; empty where it keeps none."""
        names = [listener.name for listener in self._listeners if listener.is_at_work(path)]
        return f"effect {names[0]} is at work on its changes" if names else ""

    async def settled(self) -> None:
        """Wait until no effect runs, waits or is held back; one that waits for an event is waited for."""
        while busy := [listener for listener in self._listeners if not listener.is_idle]:
            for listener in busy:
                await listener.settled()

    async def close(self) -> None:
        """Cancel all effects and wait for their end; twice does nothing."""
        self._closed = True
        listeners = tuple(self._listeners)
        for listener in listeners:
            listener.cancel()
        for listener in listeners:
            await listener.ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _give_up(future: asyncio.Future[Change | None]) -> None:
    if not future.done():
        future.set_result(None)


def _path_of(change: Change) -> Path:
    return change.path


def _check(effect: Effect, rules: _Rules) -> None:
    if not is_coroutine_function(effect):
        raise RegistrationError(
            f"an effect is a coroutine function, got {effect!r}; subscribe() takes plain ones"
        )
    if rules.policy not in ("parallel", "latest", "leading"):
        raise RegistrationError(f"policy is 'parallel', 'latest' or 'leading', got {rules.policy!r}")
    if rules.max_running < 1:
        raise RegistrationError(f"max_running is at least 1, got {rules.max_running!r}")
    if rules.debounce_s < 0:
        raise RegistrationError(f"debounce_ms is 0 or more, got {rules.debounce_s * 1_000:g}")
