"""Values as the command line handles them: as a serializer wrote them, or as they are stored."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from eliza_state.cli.keys import KEYS_VARIABLE, read_keys
from eliza_state.cli.terminal import Misuse
from eliza_state.errors import StoreError
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.wrappers import Compression


class Written(NamedTuple):
    """What a serializer wrote, and the serializer's name."""

    format: str
    content: bytes


class AsWritten(Encoding[Written]):
    """Values as a serializer wrote them: transforms are undone, classes need not be known."""

    def encode(self, value: Written, *, key: str) -> bytes:
        """Return what is stored for a value."""
        return self.seal(b"%b:%b" % (value.format.encode(), value.content), key=key)

    def decode(self, content: bytes, *, key: str) -> Written:
        """Return what a serializer wrote. Raises `DamagedValue` for what cannot be undone."""
        *_, innermost = self.peel(content, key=key)
        return Written(*innermost)


class AsStored(Encoding[bytes]):
    """Values as they are stored: what is sealed stays sealed."""

    def encode(self, value: bytes, *, key: str) -> bytes:
        """Return the value."""
        return value

    def decode(self, content: bytes, *, key: str) -> bytes:
        """Return the content."""
        return content


class Encrypted(DamagedValue):
    """The value is encrypted, and no key was given."""


class Locked(Transform):
    """Stands for the encryption when there are no keys: says what to do instead."""

    name: ClassVar[str] = "aes256gcm"

    def seal(self, content: bytes, *, key: str) -> bytes | None:
        """Leave the content as it is."""
        return None

    def unseal(self, content: bytes, *, key: str) -> bytes:
        """Raise `Encrypted`."""
        raise Encrypted(key, f"it is encrypted; give the keys with --key-file or in {KEYS_VARIABLE}")


def transforms(key_file: Path | None, *, compress: bool = False) -> Sequence[Transform]:
    """Return what stored values may have gone through, and what written ones go through.

    Compressed values are always read. Raises `Misuse` for a key file of another form, `StoreError` where the
    encryption is not installed.
    """
    # Nothing is as long as the longest: so values are written as they are.
    compression = Compression() if compress else Compression(threshold_bytes=sys.maxsize)
    keys = read_keys(key_file)
    if not keys:
        return compression, Locked()
    try:
        from eliza_state.storage.wrappers.encryption import Encryption  # noqa: PLC0415  # it needs an extra
    except ImportError as error:
        raise StoreError(str(error)) from None
    try:
        return compression, Encryption(keys)
    except ValueError as error:
        raise Misuse(str(error)) from None
