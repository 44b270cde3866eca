"""Which modules the command line works with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from eliza_state.cli import opening
from eliza_state.cli.opening import find_modules, open_store
from eliza_state.cli.terminal import Misuse
from eliza_state.errors import RegistrationError

SHOP = """
import attrs
from eliza_state import StateModule, compose, event, reduces

@event("item_added")
class ItemAdded:
    item: str

@attrs.frozen
class Cart:
    items: int = 0

class CartModule(StateModule[Cart]):
    name = "cart"
    level = "room"

    @reduces(ItemAdded)
    def add(self, state, event):
        return Cart(state.items + 1)

class RoomModule(CartModule):
    name = "room"

class Needy(CartModule):
    def __init__(self, what):
        self.what = what

ONE = CartModule()
BOTH = compose("shop", CartModule(), RoomModule())
LIST = [CartModule, (RoomModule(),)]
NUMBER = 7
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of a user's own in the current folder."""
    (tmp_path / "shop_for_test.py").write_text(SHOP)
    (tmp_path / "broken_for_test.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("shop_for_test", None)


def names(*named: str) -> list[str]:
    return [module.name for module in find_modules(named)]


def test_the_installed_modules_are_found() -> None:
    assert {"system", "agent", "room", "conversation", "message", "user"} <= set(names())


@pytest.mark.parametrize(
    ("named", "added"),
    [("CartModule", ["cart"]), ("ONE", ["cart"]), ("BOTH", ["shop"]), ("LIST", ["cart", "room"])],
)
def test_a_named_module_is_a_class_an_object_a_composition_or_a_list(named: str, added: list[str]) -> None:
    assert names(f"shop_for_test:{named}")[-len(added) :] == added


def test_a_named_module_takes_the_place_of_an_installed_one() -> None:
    found = find_modules(["shop_for_test:RoomModule"])

    assert [type(module).__module__ for module in found if module.name == "room"] == ["shop_for_test"]


def test_a_named_module_takes_the_place_of_all_that_are_installed_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = [EntryPoint("shop", "shop_for_test:LIST", opening.GROUP)]
    monkeypatch.setattr(opening, "entry_points", lambda group: points)
    sys.path.insert(0, os.getcwd())

    assert ["cart", "room"] == names()
    assert ["room"] == names("shop_for_test:RoomModule")


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("shop_for_test", "takes package:name"),
        (":CartModule", "takes package:name"),
        ("shop_for_test:", "takes package:name"),
        ("nowhere_at_all:CartModule", "No module named 'nowhere_at_all'"),
        ("broken_for_test:CartModule", "ZeroDivisionError"),
        ("shop_for_test:Basket", "has no attribute 'Basket'"),
        ("shop_for_test:NUMBER", "expected a StateModule, a composition or a list of those, got 7"),
        ("shop_for_test:Needy", "what"),
    ],
)
def test_a_name_that_leads_to_no_module_is_told(named: str, reason: str) -> None:
    with pytest.raises(Misuse, match=reason):
        find_modules([named])


def test_an_installed_module_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("cart", "nowhere_at_all:CartModule", opening.GROUP)
    monkeypatch.setattr(opening, "entry_points", lambda group: [point])

    with pytest.raises(RegistrationError, match="'cart' \\(nowhere_at_all:CartModule\\) cannot be loaded"):
        find_modules()


def test_two_named_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(RegistrationError, match="cart"),
        open_store(f"sqlite:///{tmp_path}/state.db", ["shop_for_test:CartModule", "shop_for_test:ONE"]),
    ):
        pass
