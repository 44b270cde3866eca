"""A value that shows itself to nobody but the code that asks for it."""

from __future__ import annotations

import hmac
from typing import Any, Final, Generic, NoReturn, TypeVar, cast, final

T_co = TypeVar("T_co", covariant=True)

MASK: Final = "[SECRET]"
"""What stands in for a secret wherever it is shown."""


@final
class Secret(Generic[T_co]):
    """Keep a value out of every text: repr, str, format and logs show `[SECRET]`.

    `reveal()` gives the value. Two secrets are equal when their values are; text and bytes are compared in
    constant time. A secret is always true, has no length and no items, and cannot be pickled. It is hashable
    when its value is. What a serializer stores is the value, never the mask.
    """

    __slots__ = ("__value",)
    __match_args__ = ()

    def __init__(self, value: T_co) -> None:
        object.__setattr__(self, "_Secret__value", value)

    def reveal(self) -> T_co:
        """Give the value."""
        return cast("T_co", object.__getattribute__(self, "_Secret__value"))

    def __repr__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return format(MASK, format_spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return _equal(self.reveal(), cast("object", other.reveal()))

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __bool__(self) -> bool:
        return True

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Secret is frozen: {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Secret is frozen: {name!r} cannot be deleted")

    def __copy__(self) -> Secret[T_co]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret[T_co]:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: write it with a serializer, or reveal() it yourself")


def _equal(left: object, right: object) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return hmac.compare_digest(_text_bytes(left), _text_bytes(right))
    if isinstance(left, bytes) and isinstance(right, bytes):
        return hmac.compare_digest(left, right)
    return bool(left == right)


def _text_bytes(text: str) -> bytes:
    # Lone surrogates are text too: two secrets that hold them can still be compared.
    return text.encode("utf-8", "surrogatepass")
