"""An agent: who it is, what it wants, whom it knows and what it knows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from eliza_modules.conversation import Goal, GoalAdded, GoalCompleted, MessageReceived
from eliza_modules.refusal import is_addressed, refuse
from eliza_modules.room import UserRenamed
from eliza_modules.update import is_unchanged, updated
from eliza_state.collections import Entities, Map
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path


@attrs.frozen(kw_only=True)
class Character:
    """Who an agent is and how it talks; an empty text or tuple where nothing is said."""

    name: str = ""
    bio: str = ""
    system_prompt: str = ""
    style: str = ""
    traits: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Relationship:
    """What an agent has with an entity: its kind ("friend"), its affinity from -1 to 1, and a note.

    `met_at` is the time of the first message the entity sent, where that message told it.
    """

    entity: str
    kind: str = ""
    affinity: float = 0.0
    note: str = ""
    met_at: datetime | None = None


@attrs.frozen(kw_only=True)
class KnowledgeEntry:
    """Something an agent knows: plain data, and where it has it from."""

    value: Any
    source: str | None = None


@attrs.frozen(kw_only=True)
class AgentState:
    """What an agent holds; `relationships` by entity, `knowledge` by key, completed goals included.

    `started_at` is None for an agent that does not run, or whose start told no time.
    """

    character: Character = Character()
    goals: Entities[Goal] = attrs.field(factory=Entities[Goal])
    relationships: Map[str, Relationship] = attrs.field(factory=Map[str, Relationship])
    knowledge: Map[str, KnowledgeEntry] = attrs.field(factory=Map[str, KnowledgeEntry])
    running: bool = False
    started_at: datetime | None = None


@event("agent_started")
class AgentStarted:
    """The agent began to run; once more without a stop means that it was started anew."""

    at: datetime | None = None


@event("agent_stopped")
class AgentStopped:
    """The agent no longer runs. `at` is for the journal's readers; no state keeps it."""

    at: datetime | None = None


@event("character_updated")
class CharacterUpdated:
    """Parts of the character were set: None leaves a part as it is, an empty text or tuple clears it."""

    name: str | None = None
    bio: str | None = None
    system_prompt: str | None = None
    style: str | None = None
    traits: tuple[str, ...] | None = None


@event("relationship_updated")
class RelationshipUpdated:
    """Parts of the relationship to an entity were set, a new one if need be; None leaves a part as it is."""

    entity: str
    kind: str | None = None
    affinity: float | None = None
    note: str | None = None


@event("knowledge_added")
class KnowledgeAdded:
    """The agent learned something; what it knew under the key is replaced."""

    key: str
    value: Any
    source: str | None = None


@event("knowledge_removed")
class KnowledgeRemoved:
    """The agent forgot what it knew under the key."""

    key: str


class AgentModule(StateModule[AgentState]):
    """Keep an agent's character, goals, relationships and knowledge, and whether it runs.

    Whoever sends a message becomes somebody the agent knows; a rename anywhere carries a relationship to the
    new name, unless the agent knows somebody of that name. The goals of its conversations are its own too.

    Rejects an empty id, entity or key, a goal that is open already, the completion of a goal that is not
    open, an affinity outside -1 … 1, and the removal of knowledge that is not there.
    """

    name = "agent"
    level = "agent"

    @reduces(AgentStarted)
    def start(self, state: AgentState, event: AgentStarted) -> AgentState:
        """Note that the agent runs, and since when."""
        if state.running and event.at == state.started_at:
            return state
        return evolve(state, running=True, started_at=event.at)

    @reduces(AgentStopped)
    def stop(self, state: AgentState, _event: AgentStopped) -> AgentState:
        """Note that the agent no longer runs."""
        return evolve(state, running=False, started_at=None)

    @reduces(CharacterUpdated)
    def update_character(self, state: AgentState, event: CharacterUpdated) -> AgentState:
        """Take the parts that the event sets."""
        return evolve(state, character=updated(state.character, event))

    @reduces(GoalAdded)
    def add_goal(self, state: AgentState, event: GoalAdded, path: Path) -> AgentState:
        """Take the goal, as an open one, in the place of one with its id."""
        if not event.id:
            return refuse(self, state, path, "a goal's id is a non-empty text, got ''")
        goal = event.goal()
        known = state.goals.get(event.id)
        if known is not None and not known.completed and is_addressed(self, path):
            return refuse(self, state, path, f"goal {event.id!r} is open already")
        return state if known == goal else evolve(state, goals=state.goals.upsert(goal))

    @reduces(GoalCompleted)
    def complete_goal(self, state: AgentState, event: GoalCompleted, path: Path) -> AgentState:
        """Mark the goal as completed; it stays among the goals."""
        goal = state.goals.get(event.id)
        if goal is None or goal.completed:
            return refuse(self, state, path, f"no open goal {event.id!r} to complete")
        return evolve(state, goals=state.goals.update(event.id, completed=True))

    @reduces(RelationshipUpdated)
    def update_relationship(self, state: AgentState, event: RelationshipUpdated, path: Path) -> AgentState:
        """Take the parts that the event sets."""
        if not event.entity:
            return refuse(self, state, path, "an entity is a non-empty text, got ''")
        if event.affinity is not None and not -1 <= event.affinity <= 1:  # NaN fails every comparison
            return refuse(self, state, path, f"an affinity lies from -1 to 1, got {event.affinity!r}")
        known = state.relationships.get(event.entity) or Relationship(entity=event.entity)
        relationships = state.relationships.set(event.entity, updated(known, event))
        return evolve(state, relationships=relationships)

    @reduces(MessageReceived)
    def meet(self, state: AgentState, event: MessageReceived, path: Path) -> AgentState:
        """Know the author from now on, unless it is the agent itself."""
        user = event.user
        if user in state.relationships or not user or user == dict(path.steps).get(self.level):
            return state
        met = Relationship(entity=user, met_at=event.at)
        return evolve(state, relationships=state.relationships.set(user, met))

    @reduces(UserRenamed)
    def recognise(self, state: AgentState, event: UserRenamed) -> AgentState:
        """Carry the relationship over to the new name."""
        known = state.relationships.get(event.user)
        if known is None or not event.name or event.name in state.relationships:
            return state
        relationships = state.relationships.delete(event.user)
        return evolve(state, relationships=relationships.set(event.name, evolve(known, entity=event.name)))

    @reduces(KnowledgeAdded)
    def learn(self, state: AgentState, event: KnowledgeAdded, path: Path) -> AgentState:
        """Keep the value and its source under the key."""
        if not event.key:
            return refuse(self, state, path, "a key is a non-empty text, got ''")
        known = state.knowledge.get(event.key)
        if known is not None and known.source == event.source and is_unchanged(known.value, event.value):
            return state
        entry = KnowledgeEntry(value=event.value, source=event.source)
        return evolve(state, knowledge=state.knowledge.set(event.key, entry))

    @reduces(KnowledgeRemoved)
    def forget(self, state: AgentState, event: KnowledgeRemoved, path: Path) -> AgentState:
        """Drop what is known under the key."""
        if event.key not in state.knowledge:
            return refuse(self, state, path, f"nothing is known under {event.key!r}")
        return evolve(state, knowledge=state.knowledge.delete(event.key))
