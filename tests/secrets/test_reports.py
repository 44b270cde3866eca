"""What is told later, to problems and logs, shows no secret: effects, followers, receivers, records."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from eliza_serializers import Secret
from eliza_state.errors import StoreError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from tests.secrets.failures import event as vault_filled
from tests.secrets.planted import (
    KEYS,
    MODULES,
    OTHERS,
    ROOM,
    FirstPinModule,
    Kind,
    PinTyped,
    VaultFilled,
    planted,
)
from tests.secrets.search import found_in, made
from tests.secrets.test_failures import told


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that any logger says."""
    caplog.set_level(logging.DEBUG)
    return caplog


def reported(manager: StateManager) -> list[str]:
    problems = list(manager.problems)
    errors = [problem.error for problem in problems if problem.error is not None]
    return [*map(repr, problems), *map(str, problems), *(text for error in errors for text in told(error))]


class Reporting:
    """A store in which something is wrong, and what is told of it."""

    def __init__(self, url: str, secrets: dict[str, str]) -> None:
        self.url = url
        self.secrets = secrets

    @asynccontextmanager
    async def opened(self, *modules: Any) -> AsyncIterator[StateManager]:
        async with StateManager.open(self.url, modules=modules or MODULES, secret_keys=KEYS) as manager:
            yield manager


@pytest.fixture
def store(tmp_path: Path) -> Reporting:
    return Reporting(f"sqlite:///{tmp_path / 'state.db'}", made())


def assert_hidden(manager: StateManager, secrets: dict[str, str], log: pytest.LogCaptureFixture) -> None:
    shown = [*reported(manager), log.text]

    assert reported(manager)
    assert not {place: text for text in shown for place in found_in(text, secrets)}


@pytest.mark.parametrize("kind", ["memory", "plain", "sealed", "locked"])
async def test_opening_and_using_a_store_logs_no_secret(
    tmp_path: Path, kind: Kind, log: pytest.LogCaptureFixture
):
    async with planted(tmp_path, kind) as store:
        await store.manager.state()
        await store.manager.plugins["trader"].get("key")

    assert not found_in(log.text, store.secrets)


async def test_an_effect_that_raises_the_change(store: Reporting, log: pytest.LogCaptureFixture):
    async def effect(change: Any, context: Any) -> None:
        raise ValueError(change, change.event, change.event.field)

    async with store.opened() as manager:
        manager.on(VaultFilled, effect)
        await manager.dispatch(vault_filled(store.secrets), to=ROOM)
        await manager.effects.settled()

        assert_hidden(manager, store.secrets, log)


async def test_a_receiver_that_raises_the_change(store: Reporting, log: pytest.LogCaptureFixture):
    def receive(change: Any) -> None:
        raise ValueError(change, change.event, change.event.field)

    async with store.opened() as manager:
        manager.subscribe(receive)
        await manager.dispatch(vault_filled(store.secrets), to=ROOM)

        assert_hidden(manager, store.secrets, log)


async def test_a_follower_that_raises_the_event(store: Reporting, log: pytest.LogCaptureFixture):
    def handle(recorded: Any, write: Any) -> None:
        raise ValueError(recorded, recorded.event)

    async with store.opened() as manager:
        await manager.dispatch(vault_filled(store.secrets), to=ROOM)
        follower = await manager.follow("teller", handle, on_error="skip", retries=0)
        await follower.settled()

        assert_hidden(manager, store.secrets, log)


async def test_a_plugin_s_listener_that_raises_the_value(store: Reporting, log: pytest.LogCaptureFixture):
    def hear(change: Any) -> None:
        raise ValueError(change, change.after)

    async with store.opened() as manager:
        manager.plugins["trader"].listen(hear)
        await manager.plugins["trader"].set("key", [Secret(store.secrets["plugin value"])])

        assert_hidden(manager, store.secrets, log)


@event("pin_chosen", version=2, upcasters={1: lambda old: (_ for _ in ()).throw(ValueError(old))})
class PinLost:
    """A pin whose upcaster raises what it got."""

    pin: Secret[str]


@event("pin_chosen", version=2, upcasters={1: lambda old: {"pin": 5, "typed": old["typed"]}})
class PinMistyped:
    """A pin whose upcaster gives what does not fit."""

    pin: Secret[int]


@attrs.frozen
class Pins:
    all: tuple[Any, ...] = ()


def module(cls: type) -> StateModule[Pins]:
    class OwnModule(StateModule[Pins]):
        name = "pins"
        level = "room"

        @reduces(cls)
        def choose(self, state: Pins, event: Any) -> Pins:
            return evolve(state, all=(*state.all, event.pin))

    return OwnModule()


class FailingModule(StateModule[Pins]):
    """A module whose reducer raises what it got, in a fold."""

    name = "pins"
    level = "room"

    @reduces(PinTyped)
    def choose(self, state: Pins, event: PinTyped) -> Pins:
        raise ValueError(state, event, event.typed)


@pytest.mark.parametrize("broken", [module(PinLost), module(PinMistyped), FailingModule()])
async def test_a_record_that_today_s_code_cannot_take(
    store: Reporting, log: pytest.LogCaptureFixture, broken: Any
):
    async with store.opened(*OTHERS, FirstPinModule()) as manager:
        await manager.dispatch(PinTyped(typed=Secret(store.secrets["older schema version"])), to=ROOM)
    async with store.opened(*OTHERS, broken) as manager:
        await manager.at(ROOM).state()

        assert_hidden(manager, store.secrets, log)


async def test_a_state_that_cannot_be_written(
    store: Reporting, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    class OddModule(FirstPinModule):
        @reduces(PinTyped)
        def choose(self, state: Any, event: PinTyped) -> Any:
            return evolve(state, all=(event.typed, {"odd": object(), "b": event.typed}))

    monkeypatch.setattr("eliza_state.snapshotter.MIN_CLOSING_TAIL", 1)
    async with store.opened(OddModule()) as manager:
        await manager.dispatch(PinTyped(typed=Secret(store.secrets["older schema version"])), to=ROOM)

    assert_hidden(manager, store.secrets, log)


def forbid(path: Path, table: str) -> None:
    """Let a database refuse whatever is written to a table from now on."""
    with closing(sqlite3.connect(path)) as database:
        for change in ("INSERT", "UPDATE"):
            refusal = "BEGIN SELECT RAISE(ABORT, 'not now'); END"
            database.execute(f"CREATE TRIGGER refuse_{change} BEFORE {change} ON {table} {refusal}")


async def test_a_journal_that_refuses_a_record(tmp_path: Path, log: pytest.LogCaptureFixture):
    secrets = made()
    async with StateManager.open(f"sqlite:///{tmp_path / 'state.db'}", modules=MODULES) as manager:
        forbid(tmp_path / "state.db", "record")
        with pytest.raises(StoreError) as caught:
            await manager.dispatch(vault_filled(secrets), to=ROOM)

    assert not [text for text in (*told(caught.value), log.text) if found_in(text, secrets)]


async def test_a_database_that_refuses_a_plugin_s_value(tmp_path: Path, log: pytest.LogCaptureFixture):
    secrets = made()
    async with StateManager.open(f"sqlite:///{tmp_path / 'state.db'}", modules=MODULES) as manager:
        await manager.plugins["trader"].set("key", 1)
        forbid(tmp_path / "state.db-plugins", "plugin_state")
        with pytest.raises(StoreError) as caught:
            await manager.plugins["trader"].set("key", Secret(secrets["plugin value"]))

    assert not [text for text in (*told(caught.value), log.text) if found_in(text, secrets)]


async def test_a_database_that_refuses_a_snapshot(
    tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("eliza_state.snapshotter.MIN_CLOSING_TAIL", 1)
    secrets, url = made(), f"sqlite:///{tmp_path / 'state.db'}"
    async with StateManager.open(url, modules=MODULES) as manager:
        await manager.dispatch(vault_filled(secrets), to=ROOM)
    forbid(tmp_path / "state.db-snapshots", "eliza_state_kv")
    async with StateManager.open(url, modules=MODULES) as manager:
        await manager.dispatch(vault_filled(secrets), to=ROOM)

    assert_hidden(manager, secrets, log)
