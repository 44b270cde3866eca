"""Keys for the secrets among what a serializer writes, so that only their holder reads them.

>>> keys = SecretKeys({"2024": old_key, "2025": new_key})  # 32 bytes each, from `secrets.token_bytes(32)`
>>> serializer = JsonSerializer(secrets=keys)  # seals with the last one, opens what either sealed
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from eliza_serializers.errors import SecretLocked
from eliza_serializers.key_ring import KeyRing, Unsealable
from eliza_serializers.secret import Secret


class SecretKeys:
    """Seal the contents of secrets with one key and open them with several (AES-256-GCM).

    `keys` maps ids (`[a-z0-9][a-z0-9_-]*`) to keys of exactly 32 bytes, `current` is the id of the one that
    is sealed with, by default the last. A key must stay as long as anything is stored that it sealed.
    Raises `ValueError` or `TypeError` for what are no such keys.

    It hides the contents, and, as nonces are random, which of them are equal; any change of one is noticed.
    It does not hide how long they are, nor where they stand; and who can write the store can put one secret
    in the place of another. One key is good for 2**32 secrets written, of all processes together.
    """

    def __init__(self, keys: Mapping[str, bytes | Secret[bytes]], *, current: str | None = None) -> None:
        self._ring = KeyRing(keys, current=current, purpose="secret")

    def __repr__(self) -> str:
        return f"<SecretKeys {', '.join(self._ring.ids)}; current {self.current}>"

    @property
    def current(self) -> str:
        """The id of the key that is sealed with."""
        return self._ring.current

    def is_current(self, text: str) -> bool:
        """Tell whether sealed text says that it was sealed with the current key."""
        return text.startswith(f"{self.current}:")

    def seal(self, content: bytes) -> str:
        """Seal the content of a secret, as text: the id of the key, a colon, base64 of the rest."""
        key_id, _, sealed = self._ring.seal(content).partition(b":")
        return f"{key_id.decode()}:{base64.b64encode(sealed).decode()}"

    def unseal(self, text: str) -> bytes:
        """Open sealed text; raises `SecretLocked` where it is damaged, or its key is not given."""
        key_id, _, sealed = text.partition(":")
        try:
            rest = base64.b64decode(sealed, validate=True)
        except ValueError:  # binascii.Error is one, and so is text beyond ASCII
            rest = b""
        try:
            return self._ring.unseal(b"%b:%b" % (key_id.encode("ascii", "replace"), rest))
        except Unsealable as error:
            locked = SecretLocked(error.reason, key_id=error.key_id)
        raise locked
