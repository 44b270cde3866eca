"""How the command line opens a store: with every module that is installed, and those it is told of."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Generator, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, TypeAlias

from eliza_state.cli.keys import secret_keys
from eliza_state.cli.terminal import Misuse, warn_of
from eliza_state.errors import RegistrationError
from eliza_state.module import Composition, StateModule
from eliza_state.portal import SyncStateManager

GROUP: Final = "eliza_state.modules"
"""The entry-point group in which distributions announce their modules."""

DEFAULT_STORE: Final = "sqlite:///state.db"

Module: TypeAlias = StateModule[Any] | Composition


@contextlib.contextmanager
def open_store(
    url: str, named: Iterable[str] = (), *, read_only: bool = False
) -> Generator[SyncStateManager]:
    """Open a store with the installed modules and the `named` ones; its problems become warnings.

    Secrets are sealed with the keys of the environment, where it has some; its archive may be elsewhere.
    """
    with SyncStateManager.open(
        url,
        modules=find_modules(named),
        secret_keys=secret_keys(),
        read_only=read_only,
        archive=archive_folder(),
    ) as manager:
        warn_of(manager.problems)
        yield manager


def archive_folder() -> str | None:
    """Return the folder of the store's archive that the environment names; `None` for the usual one."""
    return os.environ.get("ELIZA_STATE_ARCHIVE") or None


def check_is_there(url: str) -> None:
    """Raise `StoreError` for a store that is not there, which opening it for writing would make."""
    SyncStateManager.open(url, snapshots=False, read_only=True).close()


def find_modules(named: Iterable[str] = ()) -> list[Module]:
    """Return the installed modules, then the `named` ones (`package:name`), each in the order given.

    A name is that of a module's class, of a module, of a composition, or of a list of those. A named module
    takes the place of an installed one with its name, and of those installed together with that one: they
    are one thing at several levels. The current folder is looked in too.
    Raises `RegistrationError` for an installed one that cannot be loaded, `Misuse` for a name.
    """
    own = find_modules_named(named)
    taken = {module.name for module in own}
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    installed = [_installed(point) for point in points]
    kept = [together for together in installed if taken.isdisjoint(module.name for module in together)]
    return [*(module for together in kept for module in together), *own]


def find_modules_named(named: Iterable[str]) -> list[Module]:
    """Return the modules of these names (`package:name`) alone; raises `Misuse` for a name that is none."""
    return [module for name in named for module in _named(name)]


def _installed(point: EntryPoint) -> list[Module]:
    try:
        return _modules(point.load())
    except Exception as error:
        raise RegistrationError(
            f"the installed module {point.name!r} ({point.value}) cannot be loaded: {error!r};"
            " repair or remove its package"
        ) from error


def _named(text: str) -> list[Module]:
    try:
        return _modules(find_named(text, option="--modules", example="shop.modules:CartModule"))
    except TypeError as error:
        raise Misuse(f"--modules {text}: {error}") from error


def find_named(text: str, *, option: str, example: str) -> Any:
    """Return what `package:name` names; the current folder is looked in too. Raises `Misuse`."""
    package, colon, name = text.partition(":")
    if not (package and colon and name):
        raise Misuse(f"{option} takes package:name as in {example!r}, got {text!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(package)
    except Exception as error:
        raise Misuse(f"{option} {text}: cannot import {package!r}: {error!r}") from error
    try:
        return getattr(found, name)
    except AttributeError as error:
        raise Misuse(f"{option} {text}: {error}") from error


def _modules(found: Any) -> list[Module]:
    """Return the modules behind a name."""
    if isinstance(found, list | tuple):
        return [module for entry in found for module in _modules(entry)]
    if isinstance(found, type) and issubclass(found, StateModule):
        return [found()]
    if isinstance(found, StateModule | Composition):
        return [found]
    raise TypeError(f"expected a StateModule, a composition or a list of those, got {found!r:.80}")
