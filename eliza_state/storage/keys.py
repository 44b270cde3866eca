"""Keys and namespaces as one text: names escaped and joined by `/`, so that two keys never share a text.

>>> full_key(space_of("session", "a/b"), "user:7")
'session/a%2Fb/user:7'
>>> split_key("session/a%2Fb/user:7")
('session/a%2Fb/', 'user:7')
"""

from __future__ import annotations

from typing import Final

from eliza_state.escaping import escape, unescape
from eliza_state.storage.errors import InvalidKey

MAX_NAME_BYTES: Final = 512
"""How long one name (of a key or a namespace) may be, in UTF-8."""
MAX_KEY_BYTES: Final = 2_048
"""How long a whole key may be: its namespaces and its name, escaped, in UTF-8."""

_STRUCTURE: Final = "/"


def check_name(name: str) -> str:
    """Return a name as a plain `str` if it may be a key or a namespace; else raise `InvalidKey`."""
    if isinstance(name, str) and type(name) is not str:
        name = str.__str__(name)  # a class of its own may change how a text is joined to others
    if not isinstance(name, str) or not name:
        raise InvalidKey(f"a key is a non-empty text, got {name!r}")
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidKey(f"a key is Unicode text, got a lone surrogate in {name[:40]!r}") from None
    if size_bytes > MAX_NAME_BYTES:
        raise InvalidKey(
            f"a key takes at most {MAX_NAME_BYTES} bytes in UTF-8, got {size_bytes}: {name[:40]!r}…"
        )
    return name


def space_of(*names: str) -> str:
    """Return the text that the keys of a namespace start with: empty, or ending in `/`."""
    return "".join(f"{escape(check_name(name), structure=_STRUCTURE)}/" for name in names)


def full_key(space: str, name: str) -> str:
    """Return the text of a key in a namespace; `InvalidKey` if the name or the whole is not permitted."""
    full = space + escape(check_name(name), structure=_STRUCTURE)
    size_bytes = len(full.encode())
    if size_bytes > MAX_KEY_BYTES:
        raise InvalidKey(
            f"a key with its namespaces takes at most {MAX_KEY_BYTES} bytes, got {size_bytes}: {full[:40]!r}…"
        )
    return full


def split_key(full: str) -> tuple[str, str]:
    """Return the namespace's text and the name, still escaped, of a full key."""
    slash = full.rfind("/") + 1
    return full[:slash], full[slash:]


def name_of(full: str) -> str:
    """Return the name that a full key ends with, as its user wrote it."""
    return unescape(full[full.rfind("/") + 1 :])


def names_of(space: str) -> tuple[str, ...]:
    """Return the names of a namespace, outermost first, as its user wrote them."""
    return tuple(unescape(name) for name in space.split("/")[:-1])


def escaped_prefix(prefix: str) -> str:
    """Return what the escaped names of keys that start with `prefix` start with; it may be empty."""
    return escape(check_name(prefix), structure=_STRUCTURE) if prefix else ""
