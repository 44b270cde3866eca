"""The modules of a tree, to make another tree of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from eliza_state.module import Composition, StateModule
from eliza_state.tree import Tree

Member: TypeAlias = StateModule[Any] | Composition
"""What a tree, or a manager, takes as a module."""


def members(tree: Tree) -> list[Member]:
    """Return the modules of a tree, so that each slice keeps its name and its place."""
    return [
        _under(name, module)
        for level in tree.hierarchy.levels
        for name, module in tree.modules(level).items()
    ]


def with_modules(tree: Tree, modules: Sequence[Member]) -> Tree:
    """Return a tree in which these modules stand in the place of those of their names, or beside them.

    Raises `RegistrationError` for modules that cannot work together.
    """
    if not modules:
        return tree
    new = Tree(modules, hierarchy=tree.hierarchy, codec=tree.codec)
    levels = tree.hierarchy.levels
    changed = {name: level for level in levels for name in new.modules(level)}
    found: list[Member] = []
    for level in levels:
        old = tree.modules(level)
        kept = {name: module for name, module in old.items() if changed.get(name, level) == level}
        found += [_under(name, module) for name, module in {**kept, **new.modules(level)}.items()]
    return Tree(found, hierarchy=tree.hierarchy, codec=tree.codec)


def _under(name: str, module: StateModule[Any]) -> Member:
    """Return a module such that its slice gets the name that it had."""
    prefix, dot, _ = name.rpartition(".")
    return Composition(prefix, (module,)) if dot else module
