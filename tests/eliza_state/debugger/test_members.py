"""The modules of a tree, in another tree."""

from __future__ import annotations

from eliza_state.debugger.members import members, with_modules
from eliza_state.module import compose
from eliza_state.tree import Tree
from tests.eliza_state.chat import BudgetModule, PeopleModule, TalkModule, modules


def names(tree: Tree) -> dict[str, list[str]]:
    return {level: list(tree.modules(level)) for level in tree.hierarchy.levels}


def test_slices_keep_their_names_and_order() -> None:
    tree = Tree(modules())
    again = Tree(members(tree), hierarchy=tree.hierarchy)

    assert names(tree) == names(again)


def test_those_of_compositions_too() -> None:
    tree = Tree([compose("one", TalkModule()), compose("two", TalkModule())])

    assert names(tree) == names(Tree(members(tree)))


def test_a_module_takes_the_place_of_its_name() -> None:
    tree, new = Tree(modules()), BudgetModule()
    changed = with_modules(tree, [new])

    assert names(tree) == names(changed)
    assert new is changed.modules("agent")["budget"]
    assert tree.modules("room")["people"] is changed.modules("room")["people"]


def test_also_where_it_lived_at_another_level() -> None:
    moved = PeopleModule()
    moved.level = "agent"
    changed = with_modules(Tree(modules()), [moved])

    assert ["budget", "people"] == list(changed.modules("agent"))
    assert [] == list(changed.modules("room"))


def test_without_modules_it_is_the_same_tree() -> None:
    tree = Tree(modules())

    assert tree is with_modules(tree, [])
