"""A value that shows itself to nobody but the code that asks for it."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar, cast, final

import attrs

from eliza_serializers.errors import SecretLocked

T_co = TypeVar("T_co", covariant=True)

MASK: Final = "[SECRET]"
"""What stands in for a secret wherever it is shown."""


@attrs.frozen(eq=False, repr=False)
class Sealed:
    """Hold what a serializer found in place of a secret's value: encrypted text, and how to open it.

    `argument` is the declared type of the value, `Any` where there is none. `opener(text, argument)` gives
    the value or raises `SecretLocked`; it belongs to the serializer that read the text.
    """

    text: str
    argument: Any
    opener: Callable[[str, Any], Any]

    def open(self) -> Any:
        """Give the value; it is not kept."""
        return self.opener(self.text, self.argument)


class Seal(Protocol):
    """Seal the contents of secrets, and open them.

    `eliza_serializers.sealing.SecretKeys` does; so may the client of a key service. Sealed text starts with
    the id of its key and a colon.
    """

    def is_current(self, text: str) -> bool:
        """Tell whether sealed text would be sealed with the same key today."""
        ...

    def seal(self, content: bytes) -> str:
        """Return the content of a secret as sealed text."""
        ...

    def unseal(self, text: str) -> bytes:
        """Open sealed text; raises `SecretLocked` where that cannot be."""
        ...


@final
class Secret(Generic[T_co]):
    """Keep a value out of every text: repr, str, format and logs show `[SECRET]`.

    `reveal()` gives the value. Two secrets are equal when their values are; text and bytes are compared in
    constant time. A secret is always true, has no length and no items, and cannot be pickled. It is hashable
    when its value is. What a serializer stores is the value, encrypted where it has keys, never the mask.

    One that was read encrypted is opened each time it is asked for its value. A locked one, which cannot be
    opened, equals those alone that are locked and stored as the same text.
    """

    __slots__ = ("__value",)
    __match_args__ = ()

    def __init__(self, value: T_co) -> None:
        object.__setattr__(self, "_Secret__value", value)

    def reveal(self) -> T_co:
        """Give the value.

        Raises `SecretLocked` for one that was read encrypted, where its key is not given or it is damaged.
        """
        value = object.__getattribute__(self, "_Secret__value")
        return cast("T_co", value.open() if type(value) is Sealed else value)

    def __repr__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return format(MASK, format_spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        is_open, mine = _compared(self)
        other_is_open, other_s = _compared(other)
        return is_open is other_is_open and _equal(mine, other_s)

    def __hash__(self) -> int:
        return hash((Secret, *_compared(self)))

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


def sealed_form(secret: Secret[Any]) -> Sealed | None:
    """Give what a secret was read from, or None for one that holds its value."""
    value = object.__getattribute__(secret, "_Secret__value")
    return value if type(value) is Sealed else None


def _compared(secret: Secret[Any]) -> tuple[bool, object]:
    """Give what a secret is compared by: its value, or the text of a locked one."""
    sealed = sealed_form(secret)
    if sealed is None:
        return True, secret.reveal()
    try:
        return True, sealed.open()
    except SecretLocked:
        return False, sealed.text


def _equal(left: object, right: object) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return hmac.compare_digest(_text_bytes(left), _text_bytes(right))
    if isinstance(left, bytes) and isinstance(right, bytes):
        return hmac.compare_digest(left, right)
    return bool(left == right)


def _text_bytes(text: str) -> bytes:
    # Lone surrogates are text too: two secrets that hold them can still be compared.
    return text.encode("utf-8", "surrogatepass")
