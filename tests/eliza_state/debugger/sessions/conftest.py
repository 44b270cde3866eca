"""Sessions of a store, with secrets in it, and stores to take them to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Any

import attrs
import pytest

from eliza_serializers import Secret
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from tests.eliza_state import chat
from tests.eliza_state.conftest import Open


@event("signed_in")
class SignedIn:
    """Secrets of several types."""

    token: Secret[str]
    pin: Secret[int] | None = None
    key: Secret[bytes] | None = None


@attrs.frozen
class Tokens:
    last: SignedIn | None = None
    count: int = 0


class TokensModule(StateModule[Tokens]):
    """Keep what was last signed in with."""

    name = "tokens"
    level = "agent"

    @reduces(SignedIn)
    def sign_in(self, state: Tokens, event: SignedIn) -> Tokens:
        return evolve(state, last=event, count=state.count + 1)


def modules() -> list[StateModule[Any]]:
    """Those of the chat system, and one with secrets."""
    return [*chat.modules(), TokensModule()]


def text_of(file: FilePath) -> str:
    """What a file holds; an empty text if there is none."""
    return file.read_text("utf-8") if file.exists() else ""


@pytest.fixture
def session(tmp_path: FilePath) -> FilePath:
    """A file for a session."""
    return tmp_path / "session.jsonl"


OpenTarget = Callable[..., Awaitable[StateManager]]


@pytest.fixture
def open_target(opened: Open, url: str, tmp_path: FilePath) -> OpenTarget:
    """Open another store, of the same kind as the first; the same file each time."""

    async def open_target(**options: Any) -> StateManager:
        target = url if url == "memory://" else f"sqlite:///{tmp_path}/target.db"
        return await opened(target, **{"modules": modules(), **options})

    return open_target


@pytest.fixture
async def target(open_target: OpenTarget) -> StateManager:
    """An open store in which nothing has happened yet."""
    return await open_target()
