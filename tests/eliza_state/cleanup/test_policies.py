"""What a policy may say."""

from __future__ import annotations

import datetime

import pytest

from eliza_state.cleanup import DEFAULT_POLICIES, IdleScopes, OldMessages, Orphans
from eliza_state.errors import StateError


@pytest.mark.parametrize("after", [datetime.timedelta(0), -datetime.timedelta(days=1)])
def test_idle_is_after_some_time(after: datetime.timedelta) -> None:
    with pytest.raises(StateError, match="after is a time above 0"):
        IdleScopes(after=after)


def test_what_becomes_of_idle_scopes_is_known() -> None:
    with pytest.raises(ValueError, match="action"):
        IdleScopes(action="forget")  # type: ignore[arg-type]


def test_old_messages_are_bounded_by_something() -> None:
    with pytest.raises(StateError, match="give one of them"):
        OldMessages()


def test_a_bound_is_a_number_of_messages() -> None:
    with pytest.raises(StateError, match="number of messages, got -1"):
        OldMessages(max_count=-1)


def test_no_default_erases_anything() -> None:
    idle = [policy.action for policy in DEFAULT_POLICIES if isinstance(policy, IdleScopes)]

    assert idle == ["archive"]
    assert not any(policy.erase for policy in DEFAULT_POLICIES if isinstance(policy, Orphans))
