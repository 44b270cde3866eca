"""The reducers of a workspace: messages, runs and their tokens, memory, tool servers, reset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eliza_modules.workspace import (
    DebugModeSwitched,
    MemoryDeleted,
    MemoryStored,
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
from eliza_modules.workspace_state import WorkspaceState
from eliza_serializers import JsonSerializer, Secret
from eliza_serializers.sealing import SecretKeys
from eliza_state.errors import RegistrationError, Rejected
from eliza_state.testing import TreeDriver

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
ADA = "agent:eliza/user:ada"


def later(ms):
    return AT + timedelta(milliseconds=ms)


def message(name, **fields):
    return WorkspaceMessageReceived(**{"id": name, "text": f"text of {name}", "at": AT, **fields})


def claim(token, *, at=AT, run="r1", holder="p1", lease_ms=1_000):
    return WorkspaceRunClaimed(run=run, holder=holder, token=token, at=at, lease_ms=lease_ms)


def complete(token, response=None):
    return WorkspaceRunCompleted(token=token, at=AT, response=response)


def added(token, content="on it", role="assistant"):
    return WorkspaceMessageAdded(token=token, role=role, content=content, at=AT)


def stored(key, value, token=None, at=AT):
    return MemoryStored(key=key, value=value, at=at, token=token)


class Driver:
    """One workspace and what is sent to it."""

    def __init__(self, **options):
        self.tree = TreeDriver(WorkspaceModule(**options))

    def send(self, *events) -> WorkspaceState:
        self.tree.send(ADA, *events)
        return self.state

    @property
    def state(self) -> WorkspaceState:
        return self.tree.state(WorkspaceModule, of=ADA)


@pytest.fixture
def ada():
    return Driver()


def waiting(state):
    return [each.id for each in state.queue]


def history(state):
    return [(each.role, each.content) for each in state.messages]


def test_the_first_message_makes_the_workspace(ada):
    state = ada.send(message("m1", chat="c1", platform="web"))

    assert (state.user, state.chat, state.platform) == ("ada", "c1", "web")
    assert ["m1"] == waiting(state)


def test_the_chat_is_where_the_user_was_heard_last(ada):
    state = ada.send(message("m1", chat="c1", platform="web"), message("m2", chat="c2"))

    assert (state.chat, state.platform) == ("c2", "web")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": ""}, "non-empty"),
        ({"policy": "lose"}, "one of enqueue, reject"),
        ({"at": datetime(2024, 5, 1)}, "time zone"),  # noqa: DTZ001
    ],
)
def test_a_malformed_message_is_refused(ada, fields, reason):
    with pytest.raises(Rejected, match=reason):
        ada.send(message("m1", **fields))


@pytest.mark.parametrize("events", [[], [claim(1)], [claim(1), complete(1)]])
def test_a_message_that_is_known_is_taken_once(ada, events):
    """Whether it waits, is being run, or is in the history."""
    before = ada.send(message("m1"), *events)

    assert before is ada.send(message("m1", text="again"))


def test_a_claim_takes_the_oldest_message_into_the_history(ada):
    state = ada.send(message("m1"), message("m2"), claim(1))

    assert (state.active_run.message.id, waiting(state)) == ("m1", ["m2"])
    assert history(state) == [("user", "text of m1")]
    assert (state.active_run.token, state.active_run.lease_until) == (1, later(1_000))


def test_a_second_claim_is_refused_while_the_lease_lasts(ada):
    ada.send(message("m1"), message("m2"), claim(1))

    with pytest.raises(Rejected, match="run 'r1' has the workspace until"):
        ada.send(claim(2, at=later(999)))


@pytest.mark.parametrize("token", [0, -1])
def test_a_claim_has_a_token_above_the_last_one(ada, token):
    ada.send(message("m1"))

    with pytest.raises(Rejected, match="the next token is 1"):
        ada.send(claim(token))


def test_without_a_message_there_is_nothing_to_claim(ada):
    with pytest.raises(Rejected, match="no message waits"):
        ada.send(claim(1))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (claim(1, run=""), "an id and a holder"),
        (claim(1, holder=""), "an id and a holder"),
        (claim(1, lease_ms=0), "1 to 86400000 milliseconds"),
        (claim(1, lease_ms=86_400_001), "1 to 86400000 milliseconds"),
        (claim(1, at=datetime(2024, 5, 1)), "time zone"),  # noqa: DTZ001
    ],
)
def test_a_malformed_claim_is_refused(ada, event, reason):
    ada.send(message("m1"))

    with pytest.raises(Rejected, match=reason):
        ada.send(event)


def test_a_run_whose_lease_is_over_is_superseded_and_leaves_no_trace(ada):
    ada.send(message("m1"), message("m2"), stored("city", "Paris"), claim(1))
    ada.send(added(1), stored("city", "London", token=1), stored("name", "Ada", token=1))
    state = ada.send(claim(2, at=later(1_000), holder="p2"))

    assert (state.active_run.message.id, state.active_run.message.attempts) == ("m1", 2)
    assert history(state) == [("user", "text of m1")]
    assert {"city": "Paris"} == {key: entry.value for key, entry in state.memory.items()}
    assert ["m2"] == waiting(state)


LATE = [
    added(1),
    complete(1, "late"),
    stored("a", "late", token=1),
    MemoryDeleted(key="city", token=1),
    WorkspaceRunReleased(token=1, at=AT),
    WorkspaceRunRenewed(token=1, at=AT, lease_ms=1),
]
ENDS = {
    "superseded": claim(2, at=later(1_000)),
    "interrupted": message("m2", policy="interrupt"),
    "rolled back": message("m2", policy="rollback"),
    "reset": WorkspaceReset(position=0),
    "completed": complete(1),
    "released": WorkspaceRunReleased(token=1, at=AT),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("event", LATE, ids=lambda event: type(event).__name__)
def test_a_late_holder_cannot_write(ada, end, event):
    before = ada.send(stored("city", "Paris"), message("m1"), claim(1), ENDS[end])

    with pytest.raises(Rejected, match="token 1 does not hold the workspace"):
        ada.send(event)
    assert before is ada.state


def test_a_renewed_lease_lasts_from_then_on(ada):
    ada.send(message("m1"), claim(1))
    state = ada.send(WorkspaceRunRenewed(token=1, at=later(900), lease_ms=1_000))

    assert state.is_running(later(1_899))
    assert not state.is_running(later(1_900))


def test_a_completed_run_leaves_its_response(ada):
    state = ada.send(message("m1"), claim(1), added(1, "42", role="tool"), complete(1, "hello"))

    assert history(state) == [("user", "text of m1"), ("tool", "42"), ("assistant", "hello")]
    assert state.active_run is None


def test_a_role_is_a_known_one(ada):
    ada.send(message("m1"), claim(1))

    with pytest.raises(Rejected, match="one of user, assistant"):
        ada.send(added(1, role="nobody"))


def test_a_released_message_is_the_next_one_again(ada):
    state = ada.send(message("m1"), message("m2"), claim(1), added(1))
    state = ada.send(WorkspaceRunReleased(token=1, at=AT))

    assert (waiting(state), history(state)) == (["m1", "m2"], [])


def test_messages_wait_during_a_run(ada):
    state = ada.send(message("m1"), claim(1), message("m2"), message("m3"))

    assert ["m2", "m3"] == waiting(state)


def test_a_message_may_be_refused_during_a_run_and_only_then(ada):
    ada.send(message("m1", policy="reject"), claim(1))
    before = ada.state

    assert before is ada.send(message("m2", policy="reject"))
    assert ["m3"] == waiting(ada.send(message("m3", policy="reject", at=later(1_000))))


def test_an_interrupting_message_is_the_next_one_and_what_was_written_stays(ada):
    ada.send(message("m1"), claim(1), message("m2"), added(1), stored("city", "London", token=1))
    state = ada.send(message("m3", policy="interrupt"))

    assert (state.active_run, waiting(state)) == (None, ["m3", "m2"])
    assert history(state) == [("user", "text of m1"), ("assistant", "on it")]
    assert "London" == state.memory["city"].value


def test_a_rollback_takes_back_what_the_run_wrote(ada):
    ada.send(stored("city", "Paris"), stored("old", "kept"), message("m0"), claim(1), complete(1, "hi"))
    ada.send(message("m1"), claim(2), added(2), stored("city", "London", token=2))
    ada.send(stored("city", "Rome", token=2), MemoryDeleted(key="old", token=2), stored("new", "x", token=2))
    state = ada.send(message("m2", policy="rollback"))

    assert history(state) == [("user", "text of m0"), ("assistant", "hi")]
    assert {"city": "Paris", "old": "kept"} == {key: each.value for key, each in state.memory.items()}
    assert ["m2"] == waiting(state)


def test_a_rollback_leaves_what_was_remembered_beside_the_run(ada):
    ada.send(message("m1"), claim(1), stored("city", "London", token=1), stored("city", "Rome"))
    state = ada.send(stored("name", "Ada"), message("m2", policy="rollback"))

    assert {"city": "Rome", "name": "Ada"} == {key: each.value for key, each in state.memory.items()}


def test_a_rollback_brings_back_what_the_run_had_pushed_out():
    ada = Driver(keep_messages=2)
    before = ada.send(message("m0"), claim(1), complete(1, "hi"))
    ada.send(message("m1"), claim(2), added(2), added(2))
    state = ada.send(message("m2", policy="rollback"))

    assert before.messages == state.messages


def test_without_a_run_every_policy_queues(ada):
    for policy in ("enqueue", "reject", "interrupt", "rollback"):
        ada.send(message(policy, policy=policy))

    assert ["enqueue", "reject", "interrupt", "rollback"] == waiting(ada.state)


def test_the_history_keeps_the_last_messages(ada):
    ada.send(message("m1"), claim(1))
    state = ada.send(*(added(1, str(number)) for number in range(60)))

    assert [str(number) for number in range(10, 60)] == [each.content for each in state.messages]


@pytest.mark.parametrize("number", [0, True, 1.5])
def test_a_history_keeps_at_least_one_message(number):
    with pytest.raises(RegistrationError, match="keep_messages counts messages"):
        WorkspaceModule(keep_messages=number)


def test_a_secret_memory_is_kept_as_one(ada):
    state = ada.send(stored("key", Secret("abc")), stored("city", "Paris"))

    assert state.memory["key"].is_secret
    assert "abc" == state.memory["key"].value.reveal()
    assert not state.memory["city"].is_secret


def test_a_memory_keeps_the_time_of_its_first_value(ada):
    state = ada.send(stored("city", "Paris"), stored("city", "Rome", at=later(5)))

    assert ("Rome", AT) == (state.memory["city"].value, state.memory["city"].created_at)


def test_the_same_memory_changes_nothing(ada):
    before = ada.send(stored("city", "Paris"))

    assert before is ada.send(stored("city", "Paris", at=later(5)))


def test_a_secret_memory_is_kept_where_its_key_is_missing(ada):
    sealing = JsonSerializer(secrets=SecretKeys({"a": b"k" * 32}))
    locked = JsonSerializer().decode(sealing.encode(Secret("abc")))
    state = ada.send(stored("key", locked))

    assert locked == state.memory["key"].value


def test_a_text_that_becomes_a_secret_is_a_change(ada):
    ada.send(stored("key", "abc"))

    assert ada.send(stored("key", Secret("abc"))).memory["key"].is_secret


@pytest.mark.parametrize(("key", "value"), [("", "a"), ("a\nb", "a"), ("a", 1), ("a", Secret(1))])
def test_a_memory_has_a_key_of_one_line_and_a_text(ada, key, value):
    with pytest.raises(Rejected, match="a memory's"):
        ada.send(stored(key, value))


def test_what_is_not_remembered_cannot_be_forgotten(ada):
    with pytest.raises(Rejected, match="nothing is remembered under 'city'"):
        ada.send(MemoryDeleted(key="city"))


def test_tool_servers_come_and_go(ada):
    state = ada.send(ToolServerInstalled(name="search", config={"url": "a"}))
    assert {"search": {"url": "a"}} == dict(state.tool_servers)
    state = ada.send(ToolServerRemoved(name="search"))

    assert {} == dict(state.tool_servers)
    with pytest.raises(Rejected, match="no tool server 'search'"):
        ada.send(ToolServerRemoved(name="search"))
    with pytest.raises(Rejected, match="name is a non-empty text"):
        ada.send(ToolServerInstalled(name="", config={}))


def test_debug_mode_is_switched(ada):
    state = ada.send(DebugModeSwitched(on=True))

    assert state.debug
    assert state is ada.send(DebugModeSwitched(on=True))


def test_a_reset_forgets_all_but_the_tokens(ada):
    ada.send(message("m1"), claim(1), message("m2"), stored("city", "Paris"), DebugModeSwitched(on=True))
    state = ada.send(ToolServerInstalled(name="search", config={}), WorkspaceReset(position=7))

    assert WorkspaceState(last_token=1, reset_position=7) == state
    assert state is ada.send(WorkspaceReset(position=7))


def test_a_message_from_before_the_reset_changes_nothing_and_a_later_one_begins_anew(ada):
    before = ada.send(message("m1", position=3), WorkspaceReset(position=7))
    assert before is ada.send(message("m2", position=7))
    state = ada.send(message("m3", position=8))

    assert ("ada", ["m3"]) == (state.user, waiting(state))


def test_a_message_that_has_no_position_is_new(ada):
    assert ["m1"] == waiting(ada.send(WorkspaceReset(position=7), message("m1")))


def test_tokens_go_on_after_a_reset(ada):
    ada.send(message("m1"), claim(1), WorkspaceReset(position=0), message("m2"))

    assert 2 == ada.send(claim(2)).active_run.token
