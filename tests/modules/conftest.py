"""A chat system without a store: the ready-made modules over a dict of scopes."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from eliza_modules import (
    AgentModule,
    ConversationModule,
    MessageModule,
    RoomModule,
    SystemModule,
    UserModule,
)
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.tree import Tree

_AGENT = Path().child("agent", "eliza")
_ROOM = _AGENT.child("room", "general")
_CONVERSATION = _ROOM.child("conversation", "c1")

SAMPLES = {
    "global": Path(),
    "agent": _AGENT,
    "room": _ROOM,
    "conversation": _CONVERSATION,
    "message": _CONVERSATION.child("message", "m1"),
    "user": _AGENT.child("user", "ada"),
}
"""One scope of each level."""


class Changed(NamedTuple):
    """A slice that an event changed, the depth of its scope on the chain first."""

    depth: int
    name: str
    before: Any
    after: Any


class World:
    """Fold (path, event) pairs over a dict of scopes.

    A path may be given as the name of a level: then it is that level's one sample scope. A module may be
    replaced by another one of its name.
    """

    def __init__(self, *replacements: StateModule[Any]) -> None:
        modules = (
            SystemModule(),
            AgentModule(),
            RoomModule(),
            ConversationModule(),
            MessageModule(),
            UserModule(),
        )
        self.tree = Tree(({module.name: module for module in (*modules, *replacements)}).values())
        self.scopes: dict[Path, dict[str, Any]] = {}

    def send(self, to: Path | str, *events: Any) -> list[Changed]:
        """Reduce events at their address and along its chain; return what changed, root first."""
        path = self.path(to)
        changed: list[Changed] = []
        for event in events:
            chain = [self._slices(scope) for scope in path.chain()]
            plan = self.tree.plan(type(event), self.tree.hierarchy.level(path))
            transitions = self.tree.reduce(plan, chain, event, path)
            for depth, name, before, after in transitions:
                chain[depth][name] = after
                changed.append(Changed(depth, name, before, after))
        return changed

    def state(self, of: Path | str) -> Any:
        """Return the state of the ready-made module of a scope's level."""
        path = self.path(of)
        (state,) = self._slices(path).values()
        return state

    def path(self, to: Path | str) -> Path:
        """Return the sample scope of a level, or the path itself."""
        return SAMPLES[to] if isinstance(to, str) else to

    def _slices(self, path: Path) -> dict[str, Any]:
        if path not in self.scopes:
            self.scopes[path] = self.tree.initial(self.tree.hierarchy.level(path))
        return self.scopes[path]


@pytest.fixture
def world() -> World:
    """A chat system in which nothing has happened yet."""
    return World()


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    """Make a chat system; for tests that need one with options of its own, or many."""
    return World
