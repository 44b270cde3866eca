"""Settings of several levels, of which the nearest one holds: those of a room before those of its agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from eliza_modules.refusal import is_addressed, refuse
from eliza_modules.update import is_unchanged
from eliza_state.collections import Map
from eliza_state.errors import RegistrationError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import DEFAULT_HIERARCHY, Path


@attrs.frozen(kw_only=True)
class SettingsState:
    """What a scope sets itself, by key."""

    settings: Map[str, Any] = attrs.field(factory=Map[str, Any])


@event("setting_changed")
class SettingChanged:
    """The addressed scope was given a value of its own, any that can be written; None is a value too."""

    key: str
    value: Any


@event("setting_removed")
class SettingRemoved:
    """The addressed scope gave up its own value: from now on it inherits what the scopes above it set."""

    key: str


class SettingsModule(StateModule[SettingsState]):
    """Keep the settings that scopes of one level set themselves; `settings` makes one for each level.

    `Scope.inherited(SettingsModule)` gives those that hold at a scope. An event changes the scope that it is
    addressed to and none above; at a level that has no such module it changes nothing.

    Rejects a key that is no text or an empty one, and the removal of what the scope does not set itself.
    """

    name = "settings"
    level = "global"

    @reduces(SettingChanged)
    def change(self, state: SettingsState, event: SettingChanged, path: Path) -> SettingsState:
        """Set the value under its key."""
        if not is_addressed(self, path):
            return state
        if not isinstance(event.key, str) or not event.key:
            return refuse(self, state, path, f"a setting's key is a non-empty text, got {event.key!r}")
        known = state.settings
        if event.key in known and is_unchanged(known[event.key], event.value):
            return state
        return evolve(state, settings=known.set(event.key, event.value))

    @reduces(SettingRemoved)
    def remove(self, state: SettingsState, event: SettingRemoved, path: Path) -> SettingsState:
        """Drop the value of the key."""
        if not is_addressed(self, path):
            return state
        if event.key not in state.settings:
            return refuse(self, state, path, f"{event.key!r} is not set here")
        return evolve(state, settings=state.settings.delete(event.key))

    def own_values(self, state: SettingsState) -> Mapping[str, Any]:
        """Return the settings."""
        return state.settings


def settings(*levels: str) -> tuple[SettingsModule, ...]:
    """Return a settings module for each of the levels, to be registered together.

    The slice is named `settings` at the level `global` and `settings_<level>` at any other.
    Raises `RegistrationError` for no levels; a level that is not in the hierarchy is refused at registration.
    """
    if not levels:
        raise RegistrationError("settings are kept at levels; name at least one, such as settings('room')")
    return tuple(SettingsModule().at(level) for level in levels)


AT_EVERY_LEVEL: Final = settings(*DEFAULT_HIERARCHY.levels)
"""What the command line opens a store with: it cannot know which levels an application has settings at."""
