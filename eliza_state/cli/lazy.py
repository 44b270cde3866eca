"""Commands that are imported when they are called for, so that each one starts quickly."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs
import typer.main
from typer.core import TyperGroup


@attrs.frozen
class Command:
    """Where a command is, and what the help above it says of it without importing it.

    `place` is `module:name` of a function, or of a `typer.Typer` with commands of its own. `summary` is the
    first sentence of its docstring.
    """

    place: str
    summary: str
    context_settings: Mapping[str, Any] = attrs.field(factory=dict[str, Any])

    def load(self, name: str) -> Any:
        """Import the command and return it under a name."""
        found = pkgutil.resolve_name(self.place)
        if isinstance(found, typer.Typer):
            application = found
        else:
            application = typer.Typer(add_completion=False, rich_markup_mode=None)
            application.command(name, context_settings=dict(self.context_settings))(found)
        command = typer.main.get_command(application)
        command.name = name
        return command


class LazyGroup(TyperGroup):
    """A group of commands, by name and in the order of the help; a subclass says which."""

    places: ClassVar[Mapping[str, Command]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Loading(self.places)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names."""
        return list(self.places)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the names and summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in self.places.items()])


class _Loading(Mapping[str, Any]):
    """Commands by name, each loaded when it is looked up."""

    def __init__(self, places: Mapping[str, Command]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> Any:
        return self._places[name].load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
