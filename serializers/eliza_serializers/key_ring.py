"""Keys by id, with which contents are sealed: AES-256-GCM, the id of the key beside what it sealed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from eliza_serializers.secret import Secret

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as error:
    raise ImportError(
        "encryption needs the package `cryptography`: pip install 'eliza-state[encryption]'"
    ) from error

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Unsealable(ValueError):
    """Report a content that cannot be opened: the `reason`, and the `key_id` it names, None if damaged."""

    def __init__(self, reason: str, *, key_id: str | None) -> None:
        self.reason = reason
        self.key_id = key_id
        super().__init__(reason)


class KeyRing:
    """Seal with one key, open with several, each known by an id that is stored beside the content.

    `keys` maps ids (`[a-z0-9][a-z0-9_-]*`) to keys of exactly 32 bytes; `current` is the id of the one that
    is sealed with, by default the last. `purpose` is what is sealed: the same keys given for another purpose
    do not open it. Raises `ValueError` or `TypeError` for what are no such keys.

    Nonces are random, 96 bits. So one key is good for 2**32 contents, those of all processes together (NIST
    SP 800-38D, 8.3).
    """

    def __init__(
        self, keys: Mapping[str, bytes | Secret[bytes]], *, current: str | None, purpose: str
    ) -> None:
        if not keys:
            raise ValueError("expected at least one key: a mapping of ids to 32 bytes each")
        self._ciphers = {key_id: _cipher(key_id, key) for key_id, key in keys.items()}
        self._purpose = purpose
        self.current = next(reversed(self._ciphers)) if current is None else current
        """The id of the key that is sealed with."""
        if self.current not in self._ciphers:
            raise ValueError(f"expected the id of a given key as current, got {current!r}")

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, in the order in which they were given."""
        return tuple(self._ciphers)

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether sealed content says that it was sealed with the current key."""
        return sealed.startswith(f"{self.current}:".encode())

    def seal(self, content: bytes, *, place: str = "") -> bytes:
        """Seal content for a place, where alone it can be opened: key id, colon, nonce, ciphertext, tag."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self.current].encrypt(nonce, content, self._bound(self.current, place))
        return b"%b:%b%b" % (self.current.encode(), nonce, sealed)

    def unseal(self, sealed: bytes, *, place: str = "") -> bytes:
        """Open what was sealed for a place.

        Raises `Unsealable` for what was changed, cut, moved from another place, or sealed with a key that
        is not given.
        """
        key_id_bytes, colon, rest = sealed.partition(b":")
        key_id = key_id_bytes.decode("ascii", "replace")
        if not colon or len(rest) < _NONCE_BYTES + _TAG_BYTES or not _KEY_ID.fullmatch(key_id):
            raise Unsealable("its encrypted content is cut off or damaged", key_id=None)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Unsealable(f"it was encrypted with key {key_id[:40]!r}, which was not given", key_id=key_id)
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], self._bound(key_id, place))
        except InvalidTag:
            reason = (
                f"it was changed, moved from elsewhere, or encrypted with another key than {key_id[:40]!r}"
            )
            raise Unsealable(reason, key_id=key_id) from None

    def _bound(self, key_id: str, place: str) -> bytes:
        """Return what the ciphertext is bound to. Purpose and id hold no colon, so no two are the same."""
        return f"{self._purpose}:{key_id}:{place}".encode()


def _cipher(key_id: str, key: bytes | Secret[bytes]) -> AESGCM:
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise ValueError(f"a key's id is of lower-case letters, digits, `_` and `-`, got {key_id!r}")
    revealed = key.reveal() if isinstance(key, Secret) else key
    # What came is not shown in either message: it may be a key, if not of the right kind.
    if not isinstance(revealed, bytes):
        raise TypeError(f"key {key_id!r} is to be bytes, got {type(revealed).__name__}")
    if len(revealed) != _KEY_BYTES:
        raise ValueError(f"key {key_id!r} is to be {_KEY_BYTES} bytes long, got {len(revealed)}")
    return AESGCM(revealed)
