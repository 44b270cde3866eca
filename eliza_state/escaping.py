"""Text made safe to be one part of a longer text: what would be read as structure is percent-escaped.

>>> escape("a/b", structure="/")
'a%2Fb'
>>> unescape("a%2Fb")
'a/b'
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# What garbles a terminal or a log line, and NUL, which PostgreSQL cannot store.
_CONTROL: Final = (*range(0x20), *range(0x7F, 0xA0))
_ESCAPED: Final = re.compile(r"%([0-9A-F]{2})")


@cache
def _table(structure: str) -> dict[int, str]:
    return {code: f"%{code:02X}" for code in (*_CONTROL, *f"%{structure}".encode())}


def escape(text: str, *, structure: str) -> str:
    """Return `text` with `%`, control characters and the ASCII characters of `structure` escaped.

    It works character by character: what starts with `text` starts with its escaped form, and the other way.
    """
    return text.translate(_table(structure))


def unescape(text: str) -> str:
    """Return what `escape` was given, whatever its structure was."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
