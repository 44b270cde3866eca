"""The system: what all agents share, and what happened in total."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from eliza_modules.agent import AgentStarted, AgentStopped
from eliza_modules.conversation import (
    ConversationEnded,
    GoalCompleted,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
)
from eliza_modules.refusal import refuse
from eliza_modules.room import UserJoined, UserLeft
from eliza_modules.update import is_unchanged
from eliza_state.collections import Map, Set
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path


@attrs.frozen(kw_only=True)
class Metrics:
    """How often things happened, everywhere together: events, whether they changed anything or not."""

    messages: int = 0
    edits: int = 0
    deletions: int = 0
    joins: int = 0
    departures: int = 0
    goals_completed: int = 0
    conversations_ended: int = 0


@attrs.frozen(kw_only=True)
class SystemState:
    """What all agents share: settings, resources, totals, and the ids of the agents that run."""

    config: Map[str, Any] = attrs.field(factory=Map[str, Any])
    shared_resources: Map[str, Any] = attrs.field(factory=Map[str, Any])
    metrics: Metrics = Metrics()
    running_agents: Set[str] = attrs.field(factory=Set[str])


@event("config_changed")
class ConfigChanged:
    """A setting of the system was set; the value is plain data, None included."""

    key: str
    value: Any


@event("resource_shared")
class ResourceShared:
    """Something was put where all agents find it, in the place of what was there; the value is plain data."""

    key: str
    value: Any


_COUNTED: Final[Mapping[type, str]] = {
    MessageReceived: "messages",
    MessageEdited: "edits",
    MessageDeleted: "deletions",
    UserJoined: "joins",
    UserLeft: "departures",
    GoalCompleted: "goals_completed",
    ConversationEnded: "conversations_ended",
}


class SystemModule(StateModule[SystemState]):
    """Keep settings, shared resources, totals over all agents, and which agents run.

    Rejects an empty key.
    """

    name = "system"
    level = "global"

    @reduces(ConfigChanged)
    def change_config(self, state: SystemState, event: ConfigChanged, path: Path) -> SystemState:
        """Set the value under its key."""
        if not event.key:
            return refuse(self, state, path, "a key is a non-empty text, got ''")
        return evolve(state, config=_with(state.config, event.key, event.value))

    @reduces(ResourceShared)
    def share_resource(self, state: SystemState, event: ResourceShared, path: Path) -> SystemState:
        """Set the value under its key."""
        if not event.key:
            return refuse(self, state, path, "a key is a non-empty text, got ''")
        return evolve(state, shared_resources=_with(state.shared_resources, event.key, event.value))

    @reduces(*_COUNTED)
    def count(self, state: SystemState, event: Any) -> SystemState:
        """Add one to the event's total."""
        total = _COUNTED[type(event)]
        return evolve(state, metrics=evolve(state.metrics, **{total: getattr(state.metrics, total) + 1}))

    @reduces(AgentStarted)
    def note_start(self, state: SystemState, _event: AgentStarted, path: Path) -> SystemState:
        """Put the agent among those that run."""
        agent = dict(path.steps).get("agent")
        return state if agent is None else evolve(state, running_agents=state.running_agents.add(agent))

    @reduces(AgentStopped)
    def note_stop(self, state: SystemState, _event: AgentStopped, path: Path) -> SystemState:
        """Take the agent from those that run."""
        agent = dict(path.steps).get("agent")
        return state if agent is None else evolve(state, running_agents=state.running_agents.discard(agent))


def _with(values: Map[str, Any], key: str, value: Any) -> Map[str, Any]:
    return values if key in values and is_unchanged(values[key], value) else values.set(key, value)
