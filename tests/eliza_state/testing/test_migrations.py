"""The checks for upcasters and migrations: they pass what is right and name what is not."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_state.errors import RegistrationError
from eliza_state.event import event
from eliza_state.testing import check_migrations, check_upcast
from tests.eliza_state.generations import (
    ROOM,
    FoldingShelfModule,
    Lent,
    Listed,
    OldListed,
    OldShelfModule,
    ShelfModule,
)

FACTS = [
    (OldListed(title="t1", pages=700), ROOM),
    (Lent(title="t1", to="ada"), ROOM),
    (OldListed(title="t2", pages=5), ROOM.parent.child("room", "other")),
]


def test_a_payload_is_upcast_to_todays_event() -> None:
    events = check_upcast(Listed, {1: {"title": "t1", "pages": 7}, 2: {"name": "t2", "size": 8}})

    assert {1: Listed(name="t1", size=7), 2: Listed(name="t2", size=8)} == events


@pytest.mark.parametrize(
    "payload", [{"title": "t1"}, {"title": "t1", "pages": "7"}, {"title": None, "pages": 1}]
)
def test_a_payload_that_cannot_be_upcast_is_told_with_its_version(payload: Any) -> None:
    with pytest.raises(AssertionError, match="listed in schema version 1 cannot be upcast to 2"):
        check_upcast(Listed, {1: payload})


def test_an_upcaster_that_leaves_a_field_is_told() -> None:
    @event("listed", version=2, upcasters={1: lambda old: {**old, "size": 1}})
    class Careless:
        name: str
        size: int

    with pytest.raises(AssertionError, match="unknown field"):
        check_upcast(Careless, {1: {"name": "t1", "pages": 1}})


def test_migrations_that_equal_the_fold_pass() -> None:
    check_migrations(OldShelfModule(), ShelfModule(), FACTS)


def test_a_migration_that_differs_is_told_with_scope_and_field() -> None:
    class OffByOne(ShelfModule):
        migrations = {1: lambda old: {**ShelfModule.migrations[1](old), "listed": old["count"] + 1}}  # noqa: RUF012

    with pytest.raises(AssertionError, match=r"(?s)agent:eliza/room:general.*listed: 1 → 2"):
        check_migrations(OldShelfModule(), OffByOne(), FACTS)


def test_a_migration_that_fails_is_told() -> None:
    class Raising(ShelfModule):
        migrations = {1: lambda old: old["nothing"]}  # noqa: RUF012

    with pytest.raises(AssertionError, match="the migration from version 1 failed: KeyError"):
        check_migrations(OldShelfModule(), Raising(), FACTS)


def test_a_gap_is_told() -> None:
    with pytest.raises(AssertionError, match="has no migration from version 1"):
        check_migrations(OldShelfModule(), FoldingShelfModule(), FACTS)


def test_a_module_that_cannot_work_is_told() -> None:
    class Broken(ShelfModule):
        migrations = {2: lambda old: old}  # noqa: RUF012

    with pytest.raises(RegistrationError, match="earlier versions"):
        check_migrations(OldShelfModule(), Broken(), FACTS)
