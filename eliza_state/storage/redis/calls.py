"""What the server is asked to do with entries, and what its answers mean."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from redis.exceptions import ResponseError

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Write
from eliza_state.storage.errors import OutcomeUnknown
from eliza_state.storage.redis.entries import HEAD_BYTES, Names, foreign, head_around_version, head_of
from eliza_state.storage.redis.pool import Command, Unanswered, refusal
from eliza_state.storage.redis.servers import Call

T = TypeVar("T")

GRACE_MS: Final = 5_000
"""How long the server keeps an entry past its deadline, for readers whose clocks are slow."""
PAGE: Final = 500
"""How many keys are asked for at once."""


def get(name: bytes) -> Command:
    """Return the command that reads an entry."""
    return "GET", name


def get_head(name: bytes) -> Command:
    """Return the command that reads an entry's head."""
    return "GETRANGE", name, 0, HEAD_BYTES - 1


def new_token() -> bytes:
    """Return by what a writer recognises an entry of its own."""
    # Not from `random`, which tests seed: writers must not take each other's writes for their own.
    return secrets.token_hex(6).encode()


def own_call(write: Write[bytes], names: Names, *, token: bytes, now_us: int) -> Call:
    """Return the call that stores an entry as the server's own."""
    how, number, life_ms = "set", 0, _life_ms(write, now_us // 1_000)
    if write.version is not None:
        how, number = "fenced", write.version
    elif write.keeps_deadline:
        assert write.expected, "only a write that expects a version keeps the deadline"
        how, number, life_ms = "kept", write.expected, GRACE_MS
    elif write.expected is not None:
        how, number = "expected", write.expected
    head = head_around_version(write, token=token)
    return _call(write, names, (now_us, how, number, life_ms), head, names.channel)


def copy_call(
    write: Write[bytes], names: Names, *, now_ms: int, confirmed_at_ms: int, max_age_ms: int, announce: bool
) -> Call:
    """Return the call that stores a copy: a value until it is too old, a tombstone for its time."""
    assert write.version is not None, "a copy has the version that it has below"
    life_ms = _life_ms(write, now_ms)
    if write.value is not GONE:
        oldest_ms = max_age_ms + GRACE_MS
        life_ms = min(life_ms, oldest_ms) if life_ms else oldest_ms
    head = head_around_version(write, token=new_token(), confirmed_at_ms=confirmed_at_ms)
    condition = (now_ms * 1_000, "copy", write.version, life_ms)
    return _call(write, names, condition, head, names.channel if announce else "")


def _call(
    write: Write[bytes],
    names: Names,
    condition: tuple[int, str, int, int],
    head: tuple[bytes, bytes],
    channel: str,
) -> Call:
    content = b"" if write.value is GONE else write.value
    return Call((names.of(write.key),), (*condition, *head, content, channel))


def _life_ms(write: Write[bytes], now_ms: int) -> int:
    """Return how long the server keeps an entry (0: for ever).

    Not until when: the deadline is by the clock of the storage, the server has its own.
    """
    return 0 if write.deadline_ms is None else max(write.deadline_ms - now_ms, 1) + GRACE_MS


def checked(key: str, answer: Any) -> Any:
    """Return the answer to a question; raise why there is none."""
    if isinstance(answer, StoreError):
        raise answer
    if isinstance(answer, ResponseError):
        if any(code in str(answer) for code in ("WRONGTYPE", "FOREIGN")):
            raise foreign(key)
        raise refusal(answer, where="Redis")
    return answer


def done(key: str, answer: Any) -> Any:
    """Return the answer to a change; raise why there is none."""
    if isinstance(answer, Unanswered):
        raise OutcomeUnknown(f"{answer}; {key!r} may or may not have been changed: look before you repeat it")
    return checked(key, answer)


def settled(write: Write[bytes], token: bytes, found: Any, *, lost: Unanswered) -> Any:
    """Return what a write that got no answer came to, if what is found afterwards tells."""
    if isinstance(found, bytes) and found:
        head = head_of(write.key, found)
        if head.token == token:
            return head.version, 1
        if write.version is not None and head.version >= write.version:
            return head.version, 0
    # Not there says nothing: the server may do it yet.
    return lost


def pages(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield items in pages of what is asked at once."""
    for start in range(0, len(items), PAGE):
        yield items[start : start + PAGE]


def rounds(keys: Sequence[str]) -> Iterator[Sequence[int]]:
    """Yield pages of positions in which no key comes twice, in the order of each key's."""
    found: list[list[int]] = []
    times: dict[str, int] = {}
    for at, key in enumerate(keys):
        round_ = times[key] = times.get(key, -1) + 1
        if round_ == len(found):
            found.append([])
        found[round_].append(at)
    for positions in found:
        yield from pages(positions)
