"""No error, however deep its chain, no log line and no reported problem shows a secret."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from eliza_state.manager import StateManager
from tests.secrets.failures import FAILURES
from tests.secrets.planted import KEYS, MODULES
from tests.secrets.search import found_in, made


@pytest.fixture(params=["memory", "plain", "sealed"])
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StateManager]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'state.db'}"
    keys = KEYS if request.param == "sealed" else None
    async with StateManager.open(url, modules=MODULES, secret_keys=keys) as opened:
        yield opened


def told(error: BaseException) -> Iterator[str]:
    """All texts of an error and of those behind it, also where the chain is cut for people."""
    yield from traceback.format_exception(error)
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield from (str(each), repr(each), repr(each.args), repr(vars(each)), *getattr(each, "__notes__", ()))
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]
        waiting += getattr(each, "exceptions", ())


@pytest.mark.parametrize("name", FAILURES)
async def test_no_error_shows_a_secret(name: str, manager: StateManager, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    secrets = made()
    if name in ONLY_WHAT_IS_WRITTEN and not manager.journal.durable:
        pytest.skip("in memory nothing is written, so nothing is checked")
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it is
        await FAILURES[name](manager, secrets)
    shown = [*told(caught.value), caplog.text, repr(list(manager.problems))]

    assert not {place: text for text in shown for place in found_in(text, secrets)}


ONLY_WHAT_IS_WRITTEN = {
    "an event with a secret of a wrong type",
    "an event with a secret that cannot be written",
    "an event with something else that cannot be written",
}
