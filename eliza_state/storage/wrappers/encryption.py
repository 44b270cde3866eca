"""Values encrypted with AES-256-GCM, so that only a holder of the key reads, makes or moves them.

>>> keys = {"2024": old_key, "2025": new_key}  # 32 bytes each, from `secrets.token_bytes(32)`
>>> storage = SqlStorage(url, transforms=[Compression(), Encryption(keys)])  # written with the last one
>>> await rewrap(storage)  # then the old key may go

It hides values and shows any change of them. It hides neither keys nor lengths, versions and deadlines; and
who can write the store can delete a value, or put back an older one of the same key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import attrs

from eliza_serializers import Secret
from eliza_state.storage.backend import GONE, Entry, Write
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.errors import DamagedValue, ValueTooLarge
from eliza_state.storage.keys import space_of
from eliza_state.storage.storage import Storage
from eliza_state.storage.walking import KEPT_FAILURES, read_each, walk, wrapped
from eliza_state.storage.wrapper import Encoded

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
_ATTEMPTS: Final = 5


class Encryption(Transform):
    """Encrypt with one key, decrypt with several, each known by an id that is stored beside the content.

    `keys` maps ids (`[a-z0-9][a-z0-9_-]*`) to keys of exactly 32 bytes; `current` is the id of the one that
    is written with, by default the last. What is stored in plain is refused, for anybody could have put it
    there, unless `accept_plain`: meant for the time until `rewrap` has gone over a storage that was not
    encrypted before. What was changed, cut, moved from another key of the storage, or sealed with a key that
    is not given raises `DamagedValue`.

    Nonces are random, 96 bits. So one key is good for 2**32 writes, those of all processes together (NIST SP
    800-38D, 8.3): fifty days at a thousand writes a second. Add a key and let `current` be it before that.
    """

    name: ClassVar[str] = "aes256gcm"

    def __init__(
        self,
        keys: Mapping[str, bytes | Secret[bytes]],
        *,
        current: str | None = None,
        accept_plain: bool = False,
    ) -> None:
        if not keys:
            raise ValueError("expected at least one key: a mapping of ids to 32 bytes each")
        self._ciphers = {key_id: _cipher(key_id, key) for key_id, key in keys.items()}
        self.current = next(reversed(self._ciphers)) if current is None else current
        """The id of the key that is written with."""
        if self.current not in self._ciphers:
            raise ValueError(f"expected the id of a given key as current, got {current!r}")
        self.is_required = not accept_plain

    def __repr__(self) -> str:
        return f"<Encryption {', '.join(self._ciphers)}; current {self.current}>"

    def is_current(self, content: bytes) -> bool:
        """Tell whether sealed content says that it was sealed with the current key."""
        return content.startswith(f"{self.current}:".encode())

    def seal(self, content: bytes, *, key: str) -> bytes | None:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self.current].encrypt(nonce, content, self._bound(self.current, key))
        return b"%b:%b%b" % (self.current.encode(), nonce, sealed)

    def unseal(self, content: bytes, *, key: str) -> bytes:
        key_id_bytes, colon, sealed = content.partition(b":")
        key_id = key_id_bytes.decode("ascii", "replace")
        if not colon or len(sealed) < _NONCE_BYTES + _TAG_BYTES or not _KEY_ID.fullmatch(key_id):
            raise DamagedValue(key, "its encrypted content is cut off or damaged")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise DamagedValue(key, f"it was encrypted with key {key_id[:40]!r}, which was not given")
        bound = self._bound(key_id, key)
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
        except InvalidTag:
            raise DamagedValue(
                key,
                f"it was changed, moved from another key, or encrypted with another key than {key_id[:40]!r}",
            ) from None

    def _bound(self, key_id: str, key: str) -> bytes:
        """Return what the ciphertext is bound to. Name and id hold no colon, so no two are the same."""
        return f"{self.name}:{key_id}:{key}".encode()


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


@attrs.frozen
class Rewrapped:
    """What `rewrap` did.

    `rewrapped` values were sealed anew, `current` ones were sealed with the current key already. `contended`
    ones were written by others each time, with another key: end those programs and run it again. `failed`
    ones cannot be read, or not be written as they would be now, and stay as they are; `failures` says why,
    for the first hundred.
    """

    rewrapped: int
    current: int
    contended: int
    failed: int
    failures: tuple[DamagedValue | ValueTooLarge, ...]


async def rewrap(storage: Storage[Any]) -> Rewrapped:
    """Seal anew what is not sealed with the current key, in this namespace and all below it.

    Values in plain are sealed if the storage's `Encryption` accepts them. It may run while others write, may
    be stopped at any point and run again, and changes no value and no deadline; versions grow. Values are not
    deserialized. Raises `ValueError` for a storage without encryption.
    """
    encoded = wrapped(storage.backend, Encoded)
    ciphers = [] if encoded is None else [t for t in encoded.encoding.transforms if isinstance(t, Encryption)]
    if encoded is None or not ciphers:
        raise ValueError(f"expected a storage with an Encryption among its transforms, got {storage!r}")
    task = _Rewrap(encoded, ciphers[0])
    async for entries, damaged in walk(encoded.inner, space_of(*storage.names)):
        task.fail(*damaged)
        await task.go_over(entries)
    return Rewrapped(task.rewrapped, task.current, task.contended, task.failed, tuple(task.failures))


class _Rewrap:
    def __init__(self, encoded: Encoded[Any], encryption: Encryption) -> None:
        self._backend = encoded.inner
        self._encoding: Encoding[Any] = encoded.encoding
        self._encryption = encryption
        self.rewrapped = 0
        self.current = 0
        self.contended = 0
        self.failed = 0
        self.failures: list[DamagedValue | ValueTooLarge] = []

    def fail(self, *errors: DamagedValue | ValueTooLarge) -> None:
        self.failed += len(errors)
        self.failures.extend(errors[: KEPT_FAILURES - len(self.failures)])

    async def go_over(self, entries: Mapping[str, Entry[bytes]]) -> None:
        for _ in range(_ATTEMPTS):
            writes = [write for key, entry in entries.items() if (write := self._write(key, entry))]
            if not writes:
                return
            outcomes = await self._backend.write(writes)
            lost = [
                write.key for write, outcome in zip(writes, outcomes, strict=True) if not outcome.is_stored
            ]
            self.rewrapped += len(writes) - len(lost)
            if not lost:
                return
            entries, damaged = await read_each(self._backend, lost)
            self.fail(*damaged)
        self.contended += len(entries)

    def _write(self, key: str, entry: Entry[bytes]) -> Write[bytes] | None:
        assert entry.value is not GONE
        try:
            layers = dict(self._encoding.peel(entry.value, key=key))
            if self._encryption.is_current(layers.get(Encryption.name, b"")):
                self.current += 1
                return None
            name, content = layers.popitem()
            sealed = self._encoding.seal(b"%b:%b" % (name.encode(), content), key=key)
        except (DamagedValue, ValueTooLarge) as error:
            self.fail(error)
            return None
        return Write(
            key, sealed, entry.deadline_ms, entry.ttl_ms, expected=entry.version, keeps_deadline=True
        )
