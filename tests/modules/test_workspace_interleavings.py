"""Whatever comes in whatever order: no message is lost, their order is kept, one token is valid at most."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eliza_modules.workspace import (
    MemoryStored,
    WorkspaceMessageAdded,
    WorkspaceMessageReceived,
    WorkspaceModule,
    WorkspaceReset,
    WorkspaceRunClaimed,
    WorkspaceRunCompleted,
    WorkspaceRunReleased,
    WorkspaceRunRenewed,
)
from eliza_state.errors import Rejected
from eliza_state.testing import START, TreeDriver
from tests.effort import examples

ADA = "agent:eliza/user:ada"
LEASE_MS = 10


class Interleavings(RuleBasedStateMachine):
    """Holders that come, die and come back; the model is a list of messages and the one that is run."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = TreeDriver(WorkspaceModule())
        self.now = START
        self.received = 0
        self.waiting: list[str] = []
        self.running: str | None = None
        self.token = 0
        self.lease_until = START
        self.history: list[str] = []
        self.before: list[str] = []
        self.memory: dict[str, str] = {}
        self.memory_before: dict[str, str] = {}

    @property
    def state(self):
        return self.tree.state(WorkspaceModule, of=ADA)

    def is_leased(self) -> bool:
        return self.running is not None and self.now < self.lease_until

    def send(self, event) -> bool:
        """Send an event, and tell whether it was taken."""
        with suppress(Rejected):
            self.tree.send(ADA, event)
            return True
        return False

    def take_back(self) -> None:
        self.history, self.memory = self.before, self.memory_before

    @rule(ms=st.integers(1, 2 * LEASE_MS))
    def time_passes(self, ms):
        self.now += timedelta(milliseconds=ms)

    @rule(policy=st.sampled_from(["enqueue", "reject", "interrupt", "rollback"]))
    def a_message_comes(self, policy):
        self.received += 1
        name = f"m{self.received}"
        assert self.send(WorkspaceMessageReceived(id=name, text=name, at=self.now, policy=policy))
        if not self.is_leased() or policy == "enqueue":
            self.waiting.append(name)
        elif policy != "reject":
            self.waiting.insert(0, name)
            self.running = None
            if policy == "rollback":
                self.take_back()

    @precondition(lambda self: self.waiting or self.running)
    @rule()
    def somebody_claims(self):
        token = self.state.last_token + 1
        event = WorkspaceRunClaimed(run=f"r{token}", holder="p", token=token, at=self.now, lease_ms=LEASE_MS)
        assert self.send(event) is not self.is_leased()
        if self.is_leased():
            return
        if self.running is not None:
            self.waiting.insert(0, self.running)
            self.take_back()
        self.before, self.memory_before = self.history, dict(self.memory)
        self.running = self.waiting.pop(0)
        self.history = [*self.history, self.running]
        self.token = token
        self.lease_until = self.now + timedelta(milliseconds=LEASE_MS)

    @precondition(lambda self: self.token)
    @rule(back=st.integers(0, 2), what=st.sampled_from(["say", "remember", "renew", "complete", "release"]))
    def a_holder_writes(self, back, what):
        token = self.token - back
        event = {
            "say": WorkspaceMessageAdded(token=token, role="tool", content="x", at=self.now),
            "remember": MemoryStored(key="k", value=str(self.received), at=self.now, token=token),
            "renew": WorkspaceRunRenewed(token=token, at=self.now, lease_ms=LEASE_MS),
            "complete": WorkspaceRunCompleted(token=token, at=self.now, response="done"),
            "release": WorkspaceRunReleased(token=token, at=self.now),
        }[what]
        assert self.send(event) is (self.running is not None and not back)
        if self.running is None or back:
            return
        if what == "say":
            self.history = [*self.history, "x"]
        elif what == "remember":
            self.memory = {"k": str(self.received)}
        elif what == "renew":
            self.lease_until = self.now + timedelta(milliseconds=LEASE_MS)
        elif what == "complete":
            self.history, self.running = [*self.history, "done"], None
        else:
            self.waiting.insert(0, self.running)
            self.running = None
            self.take_back()

    @rule()
    def the_workspace_is_reset(self):
        assert self.send(WorkspaceReset(position=0))
        self.waiting, self.running, self.history, self.memory = [], None, [], {}

    @invariant()
    def the_workspace_is_as_the_model(self):
        state = self.state
        assert self.waiting == [each.id for each in state.queue]
        assert self.running == (None if state.active_run is None else state.active_run.message.id)
        assert self.history[-50:] == [each.content for each in state.messages]
        assert self.memory == {key: entry.value for key, entry in state.memory.items()}

    @invariant()
    def one_token_is_valid_at_most(self):
        state = self.state
        valid = [token for token in range(1, state.last_token + 2) if state.is_held(token)]
        assert valid == ([] if self.running is None else [state.last_token])

    def teardown(self):
        assert self.state == self.tree.restored(WorkspaceModule, of=ADA)


Interleavings.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
TestInterleavings = Interleavings.TestCase
