"""What can go wrong: one base error and a few kinds, each with the facts as attributes."""

from __future__ import annotations


class StateError(Exception):
    """The base of every error this package raises for its callers."""


class RegistrationError(StateError):
    """A hierarchy, an event class or a module is declared wrongly; raised before anything runs with it."""


class InvalidPath(StateError, ValueError):
    """A path, a level or an id does not follow the rules of the hierarchy."""


class InvalidEvent(StateError, ValueError):
    """An event's payload does not fit its class, cannot be written, or reuses the id of another event."""


class UnknownTransition(StateError, LookupError):
    """No registered module on the addressed chain handles the event.

    `name` is the event's, `path` the text form of the address, `nearest` the known names that look like it.
    """

    def __init__(self, name: str, *, path: str, nearest: tuple[str, ...] = ()) -> None:
        self.name = name
        self.path = path
        self.nearest = nearest
        where = repr(path) if path else "the root"
        hint = f"; did you mean {', '.join(map(repr, nearest))}?" if nearest else "."
        super().__init__(
            f"no module handles {name!r} at {where}{hint}"
            " Register a module that does, or address another scope."
        )


class Rejected(StateError):
    """The addressed scope refuses the event: nothing was stored, nothing changed.

    Reducers of the addressed scope raise it with a reason for people; the dispatch adds `path` and `event`.
    """

    def __init__(self, reason: str, *, path: str | None = None, event: str | None = None) -> None:
        self.reason = reason
        self.path = path
        self.event = event
        super().__init__(reason if path is None else f"{event} at {path!r} rejected: {reason}")


class ReducerError(StateError):
    """A reducer failed while an event was dispatched, which is a bug in its module; nothing was stored."""

    def __init__(self, *, module: str, event: str, path: str, error: BaseException) -> None:
        self.module = module
        self.event = event
        self.path = path
        self.error = error
        super().__init__(
            f"module {module!r} failed to reduce {event!r} for {path!r}: {type(error).__name__}: {error}"
        )


class StaleState(StateError):
    """The scope moved on: `expected` is the version the caller saw, `actual` the one found."""

    def __init__(self, *, path: str, expected: int, actual: int) -> None:
        self.path = path
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"{path!r} is at version {actual}, not at the expected {expected};"
            " read the state and decide again"
        )


class ScopeArchived(StateError):
    """The addressed scope, or one above it, takes no more events: it has ended, or lies in the archive.

    It is `restorable` in the second case: brought back from the archive, it takes events again.
    """

    def __init__(self, path: str, *, restorable: bool = False) -> None:
        self.path = path
        self.restorable = restorable
        message = f"{path!r} has ended and takes no more events; address another scope"
        if restorable:
            message = (
                f"{path!r} is in the archive and takes no events; bring it back with"
                f" `await manager.archive.restore({path!r})` or `eliza-state archive restore`, or open the"
                " store with archived='restore'"
            )
        super().__init__(message)


class NewerVersion(StateError):
    """The scope holds an event of a newer schema version, so that its state is not whole for this code.

    `event` is the event's name, `version` that of the record, `known` the one up to which this code knows
    it, `path` the scope's text form. Reading the scope works, without what that record did to it.
    """

    def __init__(self, *, event: str, version: int, known: int, path: str) -> None:
        self.event = event
        self.version = version
        self.known = known
        self.path = path
        super().__init__(
            f"{path!r} holds {event!r} of schema version {version}, known here up to version {known}: nothing"
            " is dispatched on a state that may lack what it did; run the newer code"
        )


class StoreError(StateError):
    """The store cannot be opened, read or written; what was acknowledged before is not affected."""


class Busy(StoreError):
    """Another process holds the store's write lock just now; the same call may succeed later."""
