"""Values encrypted with AES-256-GCM, so that only a holder of the key reads, makes or moves them.

>>> keys = {"2024": old_key, "2025": new_key}  # 32 bytes each, from `secrets.token_bytes(32)`
>>> storage = SqlStorage(url, transforms=[Compression(), Encryption(keys)])  # written with the last one
>>> await rewrap(storage)  # then the old key may go

It hides values and shows any change of them. It hides neither keys nor lengths, versions and deadlines; and
who can write the store can delete a value, or put back an older one of the same key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import attrs

from eliza_serializers import Secret
from eliza_serializers.key_ring import KeyRing, Unsealable
from eliza_state.storage.backend import GONE, Entry, Write
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.errors import DamagedValue, ValueTooLarge
from eliza_state.storage.keys import space_of
from eliza_state.storage.storage import Storage
from eliza_state.storage.walking import KEPT_FAILURES, read_each, walk, wrapped
from eliza_state.storage.wrapper import Encoded

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
        self._ring = KeyRing(keys, current=current, purpose=self.name)
        self.is_required = not accept_plain

    def __repr__(self) -> str:
        return f"<Encryption {', '.join(self._ring.ids)}; current {self.current}>"

    @property
    def current(self) -> str:
        """The id of the key that is written with."""
        return self._ring.current

    def is_current(self, content: bytes) -> bool:
        """Tell whether sealed content says that it was sealed with the current key."""
        return self._ring.is_current(content)

    def seal(self, content: bytes, *, key: str) -> bytes | None:
        return self._ring.seal(content, place=key)

    def unseal(self, content: bytes, *, key: str) -> bytes:
        try:
            return self._ring.unseal(content, place=key)
        except Unsealable as error:
            raise DamagedValue(key, error.reason) from None


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
