"""The keys that the command line is given: to values that are encrypted, and to the secrets of a store."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from eliza_serializers import Seal, Secret
from eliza_state.cli.terminal import Misuse
from eliza_state.errors import StoreError

KEYS_VARIABLE: Final = "ELIZA_STATE_KEYS"
"""The environment variable that may hold keys, in the form that a key file has."""

KEY_FILE_VARIABLE: Final = "ELIZA_STATE_KEY_FILE"
"""The environment variable that may name a file of keys: a line is ID=KEY, the last one is written with."""


def secret_keys() -> Seal | None:
    """Return the keys to a store's secrets that the environment names or holds, if it does.

    Raises `Misuse` for a malformed one, `StoreError` where the encryption is not installed.
    """
    file = os.environ.get(KEY_FILE_VARIABLE)
    keys = read_keys(Path(file) if file else None)
    if not keys:
        return None
    try:
        from eliza_serializers.sealing import SecretKeys  # noqa: PLC0415  # it needs an extra
    except ImportError as error:
        raise StoreError(str(error)) from None
    try:
        return SecretKeys(keys)
    except ValueError as error:
        raise Misuse(str(error)) from None


def read_keys(key_file: Path | None) -> dict[str, Secret[bytes]]:
    """Return keys by their ids: of the file, else of the environment, else none. Raises `Misuse`."""
    if key_file is None:
        return _parsed(os.environ.get(KEYS_VARIABLE, ""), KEYS_VARIABLE)
    try:
        text = key_file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not plain text"
        raise Misuse(f"cannot read the key file {str(key_file)!r}: {reason}") from None
    keys = _parsed(text, repr(str(key_file)))
    if not keys:
        raise Misuse(f"there are no keys in {str(key_file)!r}; a line is ID=KEY")
    return keys


def _parsed(text: str, where: str) -> dict[str, Secret[bytes]]:
    keys: dict[str, Secret[bytes]] = {}
    for number, word in enumerate(text.split(), 1):
        key_id, equals, written = word.partition("=")
        key = _decoded(written)
        if not equals or key is None:  # nothing of it is shown: it may be a key
            raise Misuse(
                f"key {number} in {where} is to be ID=KEY, the key 32 bytes as 64 hexadecimal digits"
                " or as 44 characters of base64"
            )
        if key_id in keys:
            raise Misuse(f"there are two keys of the id {key_id!r} in {where}")
        keys[key_id] = Secret(key)
    return keys


def _decoded(text: str) -> bytes | None:
    try:
        key = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == 32 else None
