"""The names that a written module imports."""

from __future__ import annotations

import functools
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from eliza_state.debugger.written_tests.layout import WIDTH
from eliza_state.errors import StateError

_OURS: Final = ("eliza_state", "eliza_serializers")


class Imports:
    """Collect what a module has to import, and give what to call it by."""

    def __init__(self) -> None:
        self._modules: set[str] = set()
        self._names: defaultdict[str, dict[str, str]] = defaultdict(dict[str, str])
        self._taken: dict[str, str] = {}

    def module(self, name: str) -> str:
        """Import a module, and return its name."""
        self._modules.add(name)
        return name

    def name(self, thing: Any) -> str:
        """Import a class or a function from where it is defined, and return what to call it by.

        Raises `StateError` for one that no other module can import.
        """
        home = _home(thing)
        outer, dot, inner = thing.__qualname__.partition(".")
        return f"{self._called(home, outer)}{dot}{inner}"

    def _called(self, home: str, name: str) -> str:
        called = self._names[home].get(name)
        if called is None:
            called = name
            while self._taken.setdefault(called, home) != home:
                called = f"{called}_"
            self._names[home][name] = called
        return called

    def text(self) -> str:
        """Return the import statements: the standard library's, a blank line, the others."""
        plain = sorted(self._modules)
        homes = sorted(self._names)
        sections = [
            [
                *(f"import {name}" for name in plain if _is_standard(name) is standard),
                *(_import(home, self._names[home]) for home in homes if _is_standard(home) is standard),
            ]
            for standard in (True, False)
        ]
        return "\n\n".join("\n".join(section) for section in sections if section)


def _import(home: str, names: dict[str, str]) -> str:
    # Constants, classes, functions, each in their order: as isort does.
    told = [
        name if name == called else f"{name} as {called}"
        for name, called in sorted(names.items(), key=_order)
    ]
    line = f"from {home} import {', '.join(told)}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"from {home} import (", *(f"    {name}," for name in told), ")"])


def _order(pair: tuple[str, str]) -> tuple[int, str]:
    name = pair[0]
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _home(thing: Any) -> str:
    """Return the module to import a class or a function from: for our own the package that gives it."""
    module, name = str(thing.__module__), str(thing.__qualname__)
    found: Any = sys.modules.get(module)
    if module == "__main__" or "<" in name or _inside(found, name) is not thing:
        raise StateError(
            f"{module}.{name} cannot be imported, so no test in another file can use it; define it at the top"
            " of a module that can be imported"
        )
    return next(_packages(module, name, thing), module)


def _inside(module: Any, name: str) -> Any:
    return functools.reduce(lambda found, part: getattr(found, part, None), name.split("."), module)


def _packages(module: str, name: str, thing: Any) -> Iterator[str]:
    """Yield those packages of ours around a module, the nearest first, that give a thing as their own."""
    parts = module.split(".")
    if parts[0] not in _OURS:
        return
    for length in range(len(parts) - 1, 0, -1):
        package: Any = sys.modules.get(".".join(parts[:length]))
        if name in getattr(package, "__all__", ()) and getattr(package, name, None) is thing:
            yield ".".join(parts[:length])
