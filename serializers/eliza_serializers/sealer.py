"""How a serializer writes and reads secrets: masked, in plain, or sealed with the keys there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

from eliza_serializers.errors import SecretLocked, SerializationError
from eliza_serializers.secret import MASK, Seal, Sealed, Secret, sealed_form
from eliza_serializers.tags import SEALED, SECRET, Encode
from eliza_serializers.untyped import Envelope, WriteSecret, write_data

_KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}(?=:)")


def mask(secret: Secret[Any], argument: Any, encode: Encode) -> str:
    """Write the mask, for showing."""
    return MASK


def refuse_sealed(data: object, argument: Any) -> NoReturn:
    """Refuse a sealed secret where a caller hands in data.

    Nobody can be asked whether it may be had: text copied from the store would open a secret of others.
    """
    raise SerializationError("expected the content of a Secret, got sealed text: only a store may hold that")


def retyped(secret: Secret[Any], argument: Any) -> Secret[Any]:
    """Give a secret that was read where no type was declared the type that is declared for it."""
    sealed = sealed_form(secret)
    if sealed is None or sealed.argument is not Any or argument is Any:
        return secret
    return Secret(Sealed(sealed.text, argument, sealed.opener))


def _are_written_alike(argument: Any, other: Any) -> bool:
    """Tell whether a value is written the same under both declared types; text is, with a type or without."""
    return argument == other or {argument, other} == {Any, str}


class Sealer:
    """Write and read the secrets of one serializer.

    `encoder` and `decoder` make what writes and reads, by its declared type, what is inside of them: JSON
    whatever the format around is, so that a sealed secret may go from one to another. Without `keys` secrets
    are written in plain, but for those that were sealed when they were read.
    """

    def __init__(
        self,
        encoder: Callable[[Any], Callable[[Any], bytes]],
        decoder: Callable[[Any], Callable[[bytes], Any]],
        *,
        keys: Seal | None,
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._keys = keys

    def writer(self, envelope: Envelope) -> WriteSecret:
        """Give the function that writes a secret in its envelope."""

        def write(secret: Secret[Any], argument: Any, encode: Encode) -> Any:
            text = self._text_of(secret, argument)
            if text is None:
                return envelope(SECRET, write_data(SECRET, secret, encode))
            return envelope(SEALED, text)

        return write

    def read(self, data: object, argument: Any) -> Secret[Any]:
        """Make a secret that is opened when it is asked for its value, also one that nobody can open."""
        if not isinstance(data, str):
            raise SerializationError(f"expected the sealed text of a Secret, got a {type(data).__name__}")
        return Secret(Sealed(data, argument, self._open))

    def _text_of(self, secret: Secret[Any], argument: Any) -> str | None:
        """Give a secret as sealed text, or None for one to be written in plain."""
        sealed = sealed_form(secret)
        if self._keys is None:
            return None if sealed is None else sealed.text
        if sealed is None:
            return self._seal(secret.reveal(), argument)
        # Compared with what this serializer gave out: other keys may have the same id.
        is_own = sealed.opener == self._open and _are_written_alike(sealed.argument, argument)
        if is_own and self._keys.is_current(sealed.text):
            return sealed.text
        try:
            value = self._value_of(sealed)
        except SecretLocked:
            # Whoever has the key can still open what is written back unchanged.
            return sealed.text
        return self._seal(value, argument)

    def _value_of(self, sealed: Sealed) -> Any:
        try:
            return sealed.open()
        except SecretLocked:
            # It may have been read by a serializer without keys.
            return self._open(sealed.text, sealed.argument)

    def _seal(self, value: object, argument: Any) -> str:
        assert self._keys is not None
        with suppress(SerializationError):
            return self._keys.seal(self._encoder(argument)(value))
        # In other words than the error's, without its path: neither message nor chain carries the content.
        raise SerializationError(f"cannot write the value of a Secret: a {type(value).__name__}")

    def _open(self, text: str, argument: Any) -> Any:
        found = _KEY_ID.match(text)
        key_id = found.group() if found else None
        if self._keys is None:
            name = "a key" if key_id is None else f"key {key_id!r}"
            raise SecretLocked(f"it was encrypted with {name}, and no keys were given", key_id=key_id)
        content = self._keys.unseal(text)
        with suppress(SerializationError):
            return self._decoder(argument)(content)
        raise SecretLocked("its content is not what its type says", key_id=key_id)
