"""A store with a secret in every place that can hold one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import attrs

from eliza_modules.approval import ApprovalModule, Approvals
from eliza_modules.run import RunModule, Runs
from eliza_modules.settings import SettingChanged, settings
from eliza_modules.workspace import ToolServerInstalled, WorkspaceModule
from eliza_modules.workspace_memory import WorkspaceMemory
from eliza_serializers import Secret
from eliza_serializers.sealing import SecretKeys
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.errors import Rejected
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from tests.secrets.search import made

AGENT = "agent:eliza"
USER = "agent:eliza/user:ada"
ROOM = "agent:eliza/room:general"


@attrs.frozen
class Login:
    user: str
    password: Secret[str]


@attrs.frozen
class Account:
    id: str
    login: Login


@event("vault_filled")
class VaultFilled:
    """All that a payload can hold; `refuse` and `fail` make the reducer do so."""

    name: str
    field: Secret[str]
    in_dict: dict[str, Secret[str]] = attrs.field(factory=dict[str, Secret[str]])
    in_list: list[Any] = attrs.field(factory=list[Any])
    in_object: Login | None = None
    state: Any = None
    refuse: bool = False
    fail: bool = False


@event("pin_chosen")
class PinTyped:
    """What a pin was chosen by in the first version."""

    typed: Secret[str]


@event("pin_chosen", version=2, upcasters={1: lambda old: {"pin": old["typed"]}})
class PinChosen:
    """A pin was chosen."""

    pin: Secret[str]


@attrs.frozen
class Vault:
    """All that a state can hold."""

    field: Secret[str] | None = None
    in_dict: Mapping[str, Secret[str]] = attrs.field(factory=dict[str, Secret[str]])
    by_name: Map[str, Secret[str]] = attrs.field(factory=Map[str, Secret[str]])
    by_secret: Map[Secret[str], int] = attrs.field(factory=Map[Secret[str], int])
    known: Set[Secret[str]] = attrs.field(factory=Set[Secret[str]])
    log: Log[Secret[str]] = attrs.field(factory=Log[Secret[str]])
    accounts: Entities[Account] = attrs.field(factory=Entities[Account])
    filled: tuple[VaultFilled, ...] = ()


class VaultModule(StateModule[Vault]):
    """Keep what comes, wherever it can be kept."""

    name = "vault"
    level = "room"

    @reduces(VaultFilled)
    def fill(self, state: Vault, event: VaultFilled) -> Vault:
        if event.refuse:
            raise Rejected(f"no more of {event}")
        if event.fail:
            raise ValueError(event, event.field)
        given = event.state or {}
        return evolve(
            state,
            field=given.get("field"),
            in_dict={"a": given["in_dict"]} if given else {},
            by_name=state.by_name.set("a", event.field).set("b", given.get("in_map", event.field)),
            by_secret=state.by_secret.set(given.get("as_key", event.field), 1),
            known=state.known.add(given.get("in_set", event.field)),
            log=state.log.append(given.get("in_log", event.field)),
            accounts=state.accounts.upsert(
                Account(event.name, Login(event.name, given.get("in_entities", event.field)))
            ),
            filled=(*state.filled, attrs.evolve(event, state=None)),
        )


@attrs.frozen
class Pins:
    """The pins that were chosen."""

    all: tuple[Secret[str], ...] = ()


class FirstPinModule(StateModule[Pins]):
    """The module of the first version."""

    name = "pins"
    level = "room"

    @reduces(PinTyped)
    def choose(self, state: Pins, event: PinTyped) -> Pins:
        return evolve(state, all=(*state.all, event.typed))


class PinModule(StateModule[Pins]):
    """The module of today."""

    name = "pins"
    level = "room"

    @reduces(PinChosen)
    def choose(self, state: Pins, event: PinChosen) -> Pins:
        return evolve(state, all=(*state.all, event.pin))


SETTINGS = settings("agent", "room")
OTHERS = [VaultModule(), WorkspaceModule(), RunModule(), ApprovalModule(), *SETTINGS]
MODULES = [*OTHERS, PinModule()]
"""What the store is opened with; also for `--modules`."""


@attrs.frozen
class Planted:
    """An open store, and the secrets in it by the places where they are."""

    manager: StateManager
    secrets: dict[str, str]


def filled(secrets: dict[str, str]) -> VaultFilled:
    """The event that brings a secret to every place in event and state."""
    given = {name: Secret(secrets[f"state {place}"]) for name, place in _IN_STATE.items()}
    return VaultFilled(
        name="ada",
        field=Secret(secrets["event field"]),
        in_dict={"a": Secret(secrets["event in dict"])},
        in_list=[{"a": (Secret(secrets["event in list"]),)}],
        in_object=Login("ada", Secret(secrets["event in object"])),
        state=given,
    )


_IN_STATE = {
    "field": "field",
    "in_dict": "in dict",
    "in_map": "in Map",
    "as_key": "as a key of a Map",
    "in_set": "in Set",
    "in_log": "in Log",
    "in_entities": "in Entities",
}


Kind = Literal["memory", "plain", "sealed", "locked"]
"""A store in memory, one whose secrets are in plain, one with keys, and one that was sealed with others."""

KEYS = SecretKeys({"test": b"k" * 32})


@asynccontextmanager
async def planted(folder: Path, kind: Kind, **options: Any) -> AsyncIterator[Planted]:
    """Plant the secrets in a store and open it anew, so that what is read was written before."""
    secrets = made()
    if kind == "memory":
        async with StateManager.open(modules=MODULES) as manager:
            await _plant(manager, secrets)
            await manager.dispatch(PinChosen(pin=Secret(secrets["older schema version"])), to=ROOM)
            yield Planted(manager, secrets)
        return
    url = f"sqlite:///{folder / 'state.db'}"
    keys = None if kind == "plain" else KEYS
    first = [*OTHERS, FirstPinModule()]
    async with StateManager.open(url, modules=first, secret_keys=keys, **options) as manager:
        await _plant(manager, secrets)
        await manager.dispatch(PinTyped(typed=Secret(secrets["older schema version"])), to=ROOM)
    keys = KEYS if kind == "sealed" else None
    async with StateManager.open(url, modules=MODULES, secret_keys=keys, **options) as manager:
        yield Planted(manager, secrets)


async def _plant(manager: StateManager, secrets: dict[str, str]) -> None:
    await manager.dispatch(filled(secrets), to=ROOM, id="filled")
    user, agent = manager.at(USER), manager.at(AGENT)
    await WorkspaceMemory(user).set("password", secrets["workspace memory"], secret=True)
    config = {"url": "http://tools", "headers": {"key": Secret(secrets["tool server"])}}
    await user.dispatch(ToolServerInstalled(name="tools", config=config))
    run = await Runs(agent).create({"token": Secret(secrets["run input"])}, id="r1")
    await Runs(agent).start(run.id)
    await Runs(agent).complete(run.id, result=[Secret(secrets["run result"])])
    subject = {"card": Secret(secrets["approval subject"])}
    await Approvals(agent, manager=manager).request(subject, id="a1")
    await agent.dispatch(SettingChanged(key="token", value=Secret(secrets["setting"])))
    await manager.plugins["trader"].set("key", {"deep": [Secret(secrets["plugin value"])]})
