"""Keys and entries as Redis holds them: plain strings that other tools can read.

>>> names = Names("eliza_state")
>>> names.of("session/a%2Fb/user:7")
b'eliza_state:{session/a%2Fb/}user:7'
>>> names.of("greeting {draft}")
b'eliza_state:greeting %7Bdraft%7D'

A key's name is `<prefix>:{<namespace>}<name>`. What stands in braces is a hash tag: a cluster keeps all keys
of one namespace in one slot (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).
Keys outside all namespaces have no tag, so that they spread. Braces in a namespace, and in the name of
a key outside all, are written `%7B` and `%7D`, which no full key contains; a prefix has neither braces nor
a colon. So names are unequal where keys are, and each tells its key.

The value is a head of 73 ASCII bytes, then the content: `es1` (the form), `v` or `g` (a value, or gone: a
tombstone), `h` or `c` (this is the key's home, or a copy of what is below), the version (16 digits), the
deadline, the time to live, and when a copy was confirmed (13 digits each, in milliseconds, zeros for none),
12 hexadecimal digits by which its writer recognises it, and a colon.
"""

from __future__ import annotations

import re
import struct
from typing import Final, Literal, NamedTuple

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Entry, Gone, Mark, Write
from eliza_state.storage.cache import Copy
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.keys import split_key

HEAD_BYTES: Final = 73
"""How long the head of an entry is."""

_FORM: Final = b"es1"
_HEAD: Final = struct.Struct("3s1s1s16s13s13s13s12s1s")
_MAX_VERSION: Final = 2**53  # numbers of Lua are exact up to there
_MAX_MS: Final = 10**13
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_GLOB: Final = re.compile(r"([\\*?\[\]])")


class Head(NamedTuple):
    """What an entry's head says; `is_home` tells it from a copy, `token` is its writer's."""

    version: int
    deadline_ms: int | None
    ttl_ms: int | None
    confirmed_at_ms: int
    is_gone: bool
    is_home: bool
    token: bytes

    @property
    def mark(self) -> Mark:
        """The entry without its value."""
        return Mark(self.version, self.deadline_ms, self.ttl_ms, self.is_gone)


def head_of(key: str, stored: bytes) -> Head:
    """Return the head of what is stored under a key; `DamagedValue` for what is no entry of this form."""
    try:
        form, kind, place, version, deadline, ttl, confirmed, token, end = _HEAD.unpack(stored[:HEAD_BYTES])
        if form != _FORM or end != b":" or kind not in b"vg" or place not in b"hc":
            raise ValueError
        deadline_ms, ttl_ms = int(deadline), int(ttl)
        return Head(
            int(version),
            deadline_ms or None,
            ttl_ms or None,
            int(confirmed),
            kind == b"g",
            place == b"h",
            token,
        )
    except (struct.error, ValueError):
        raise foreign(key) from None


def entry_of(key: str, stored: bytes) -> Entry[bytes]:
    """Return the entry stored under a key; `DamagedValue` for what is none."""
    head = head_of(key, stored)
    return Entry(_content(head, stored), head.version, head.deadline_ms, head.ttl_ms)


def copy_of(key: str, stored: bytes) -> Copy[bytes]:
    """Return the entry stored under a key with where it comes from; `DamagedValue` for what is none."""
    head = head_of(key, stored)
    entry = Entry(_content(head, stored), head.version, head.deadline_ms, head.ttl_ms)
    return Copy(entry, head.confirmed_at_ms, head.is_home)


def _content(head: Head, stored: bytes) -> bytes | Literal[Gone.GONE]:
    return GONE if head.is_gone else stored[HEAD_BYTES:]


def head_around_version(
    write: Write[bytes], *, token: bytes, confirmed_at_ms: int | None = None
) -> tuple[bytes, bytes]:
    """Return what stands in a head before the version, which the script fills in, and after it.

    With `confirmed_at_ms` it is the head of a copy. Raises `StoreError` for numbers beyond its digits.
    """
    times = (write.deadline_ms or 0, write.ttl_ms or 0, confirmed_at_ms or 0)
    if not all(0 <= time < _MAX_MS for time in times) or not 0 <= (write.version or 0) < _MAX_VERSION:
        raise StoreError(
            f"{write.key!r} cannot be kept in Redis: expected times below {_MAX_MS} ms and a version below"
            f" {_MAX_VERSION}, got {times!r} and {write.version!r}"
        )
    kind = b"g" if write.value is GONE else b"v"
    place = b"h" if confirmed_at_ms is None else b"c"
    return _FORM + kind + place, b"%013d%013d%013d%b:" % (*times, token)


def foreign(key: str) -> DamagedValue:
    """Return the error for a key under which something else is stored than an entry."""
    return DamagedValue(
        key, "Redis holds something there that this storage did not write; delete the key to use it"
    )


class Names:
    """Turn full keys into names in Redis and back, all beginning with one prefix.

    The prefix is 1 to 64 ASCII letters, digits, `_`, `.` and `-`; others raise `ValueError`.
    """

    def __init__(self, prefix: str) -> None:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise ValueError(f"a prefix is 1 to 64 ASCII letters, digits, '_', '.' and '-', got {prefix!r}")
        self._head = f"{prefix}:"
        self.channel: Final = f"{prefix}:changes"
        """Where changes are published."""

    def of(self, full: str) -> bytes:
        """Return the name of a full key."""
        space, name = split_key(full)
        if space:
            return f"{self._head}{{{_braced(space)}}}{name}".encode()
        return f"{self._head}{_braced(name)}".encode()

    def full(self, name: bytes) -> str | None:
        """Return the full key of a name; `None` for a name that belongs to somebody else."""
        try:
            text = name.decode().removeprefix(self._head)
        except UnicodeDecodeError:
            return None
        space, _, rest = text[1:].partition("}") if text.startswith("{") else ("", "", _unbraced(text))
        full = _unbraced(space) + rest
        return full if split_key(full)[1] and self.of(full) == name else None

    def pattern(self, space: str, *, prefix: str, nested: bool) -> bytes:
        """Return a glob pattern for the names of a namespace's keys; nested, of others as well."""
        if nested:
            found = f"{{{_globbed(_braced(space))}*" if space else "*"
        elif space:
            found = f"{{{_globbed(_braced(space))}}}{_globbed(prefix)}*"
        else:
            found = f"{_globbed(_braced(prefix))}*" if prefix else "[^{]*"
        return (self._head + found).encode()


def _braced(text: str) -> str:
    return text.replace("{", "%7B").replace("}", "%7D")


def _unbraced(text: str) -> str:
    return text.replace("%7B", "{").replace("%7D", "}")


def _globbed(text: str) -> str:
    return _GLOB.sub(r"\\\1", text)
