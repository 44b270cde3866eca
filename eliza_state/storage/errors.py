"""What can go wrong in a storage, each with the facts as attributes."""

from __future__ import annotations

from eliza_state.errors import StateError, StoreError


class InvalidKey(StateError, ValueError):
    """A key or a namespace's name is no non-empty Unicode text of the permitted length."""


class StaleValue(StateError):
    """The key moved on: `expected` is the version the caller saw, `actual` the one found (0: no such key)."""

    def __init__(self, key: str, *, expected: int, actual: int) -> None:
        self.key = key
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"{key!r} is at version {actual}, not at the expected {expected}; read it and decide again"
        )


class ValueTooLarge(StateError, ValueError):
    """The written value takes more bytes than the storage accepts; nothing was stored."""

    def __init__(self, key: str, *, size_bytes: int, max_bytes: int) -> None:
        self.key = key
        self.size_bytes = size_bytes
        self.max_bytes = max_bytes
        super().__init__(f"the value of {key!r} takes {size_bytes} bytes written, more than {max_bytes}")


class DamagedValue(StoreError):
    """What is stored under a key cannot be read: damaged, sealed otherwise, or of an unknown format."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"the value of {key!r} cannot be read: {reason}")


class FutureValue(StoreError):
    """The value was written by a newer program: `found` is its version, `known` the newest that is known."""

    def __init__(self, key: str, *, found: int, known: int) -> None:
        self.key = key
        self.found = found
        self.known = known
        super().__init__(
            f"the value of {key!r} is of version {found}, newer than {known}, the newest that this program"
            " knows; run the program that wrote it"
        )


class MigrationFailed(StoreError):
    """A migration raised `error` on its way to `version`, which is a bug in it; the value is untouched."""

    def __init__(self, key: str, *, version: int, error: BaseException) -> None:
        self.key = key
        self.version = version
        self.error = error
        super().__init__(
            f"the migration of {key!r} to version {version} failed: {type(error).__name__}: {error}"
        )


class OtherHome(StateError):
    """The write would move a key to another home, where its old value would come back later."""


class OutcomeUnknown(StoreError):
    """The connection was lost while a write was under way: it may or may not have been done."""


class Unsupported(StateError, NotImplementedError):
    """The storage, or what it is built on, cannot do this."""
