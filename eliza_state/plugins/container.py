"""What plugins hold: their state, and what another plugin shares with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast, final

from eliza_state.plugins.access import Grant, Keyspace
from eliza_state.plugins.changes import Receiver
from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.expiry import check_ttl


class Sealed:
    """An object whose inside this module reaches, and no attribute does."""

    __slots__ = ("__weakref__", "_inside")

    def __init__(self, inside: object) -> None:
        _fill(self, inside)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied: it stands for a store that is open here")


# The slot stays, its attribute goes: what a plugin holds leads to no storage, however it is looked at, short
# of asking the interpreter. A weak dictionary beside it would do, at the cost of half a `get` from memory.
_reach: Callable[[Any], Any] = Sealed.__dict__["_inside"].__get__
_fill: Callable[[Any, object], None] = Sealed.__dict__["_inside"].__set__
delattr(Sealed, "_inside")


def plain(text: object) -> str:
    """Return a text that is nothing but a text: a subclass could answer for itself when it is joined.

    Raises `InvalidKey` for what is no text.
    """
    if type(text) is str:
        return text
    if issubclass(type(text), str):  # isinstance would ask the object
        return str.__str__(cast("str", text))
    raise InvalidKey(f"a key is a non-empty text, got {text!r}")


def _named(inside: Keyspace | Grant, error: InvalidKey) -> InvalidKey:
    return InvalidKey(f"plugin {inside.plugin!r}: {error}")


class KeyAccess(Sealed):
    """Read and write keys of one plugin.

    A key is any non-empty Unicode text of at most 512 bytes in UTF-8; others raise `InvalidKey`. What cannot
    be written raises `SerializationError`; what the storage cannot do, or what of it cannot be read,
    `StoreError`.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name of the plugin whose keys these are."""
        inside: Keyspace | Grant = _reach(self)
        return inside.plugin

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default` if it was never set, was deleted or has expired."""
        inside: Keyspace | Grant = _reach(self)
        try:
            return await inside.get(key if type(key) is str else plain(key), default)
        except InvalidKey as error:
            raise _named(inside, error) from None

    async def get_or_default(self, key: str, fallback: Any) -> Any:
        """Return the value of a key, or `fallback` if it does not exist; a stored `None` is a value."""
        return await self.get(key, fallback)

    async def has(self, key: str) -> bool:
        """Tell whether a key exists, without reading its value."""
        inside: Keyspace | Grant = _reach(self)
        try:
            return await inside.has(key if type(key) is str else plain(key))
        except InvalidKey as error:
            raise _named(inside, error) from None

    async def keys(self, *, prefix: str = "") -> list[str]:
        """Return the keys that exist and start with `prefix`, in the order of their text.

        Raises `Unsupported` where the plugin's own storage cannot list its keys.
        """
        inside: Keyspace | Grant = _reach(self)
        try:
            return await inside.keys(plain(prefix))
        except InvalidKey as error:
            raise _named(inside, error) from None

    async def set(self, key: str, value: Any) -> None:
        """Store a value, whether or not the key exists; it stays until it is deleted.

        Only a plugin's own storage with a time to live of its own gives it a deadline.
        """
        inside: Keyspace | Grant = _reach(self)
        try:
            await inside.set(plain(key), value)
        except InvalidKey as error:
            raise _named(inside, error) from None

    async def set_with_ttl(self, key: str, value: Any, ttl_ms: float) -> None:
        """Store a value that exists for `ttl_ms` milliseconds.

        Zero, negative, infinite and undefined times raise `ValueError`, what is no number `TypeError`.
        """
        inside: Keyspace | Grant = _reach(self)
        checked = check_ttl(ttl_ms)
        if checked is None:
            raise TypeError("a time to live is a number of milliseconds, got None: use set")
        try:
            await inside.set(plain(key), value, checked)
        except InvalidKey as error:
            raise _named(inside, error) from None

    async def delete(self, key: str) -> bool:
        """Remove a key and tell whether it existed; a missing one is no error."""
        inside: Keyspace | Grant = _reach(self)
        try:
            return await inside.delete(plain(key))
        except InvalidKey as error:
            raise _named(inside, error) from None

    async def update(self, key: str, function: Callable[[Any], Any], *, default: Any = None) -> Any:
        """Replace a value by a function of itself, and return the new one; no update is lost.

        That holds between tasks and between processes. `function` gets the value, or `default` if there is
        none; it runs again when somebody else wrote in between. Returning the very object that it got writes
        nothing; returning `GONE` (`eliza_state.storage.backend`) deletes the key. The deadline stays.
        Raises `Unsupported` over a storage of others, which has no versions.
        """
        inside: Keyspace | Grant = _reach(self)
        try:
            return await inside.update(plain(key), function, default)
        except InvalidKey as error:
            raise _named(inside, error) from None


@final
class PluginState(KeyAccess):
    """The state of one plugin, which a runtime hands to it as `ctx.state`; made by `Plugins`.

    Its keys are its own. Values are the plugin's own too: changing one that was handed in or out changes
    nothing that is stored. It leads to no other plugin by its attributes, and cannot be pickled or copied.
    """

    __slots__ = ()

    def listen(self, receiver: Receiver, *, prefix: str = "") -> Callable[[], None]:
        """Call `receiver` with a `KeyChange` for every key with this prefix from now on; return how to stop.

        It hears what is written through this plugin's containers and shares in this process: not what other
        processes write, nor that a key expires or is purged; `before` may miss what another process wrote in
        between. A plain receiver runs before the write returns, a coroutine one gets a queue of 1,024
        changes, past which the oldest is dropped and reported. All hear the same order, in which the changes
        of one key follow each other. What a receiver raises is reported and stops nobody. Every one gets
        values of its own.
        """
        keyspace: Keyspace = _reach(self)
        return _Unsubscribe(keyspace.listeners.listen(receiver, prefix=plain(prefix)))

    def share(self, prefix: str = "", *, writable: bool = False) -> SharedState:
        """Return access to the keys that start with `prefix`, to hand to another plugin.

        It can read, with `writable` write, nothing but those, until `revoke()`; it cannot be widened.
        """
        keyspace: Keyspace = _reach(self)
        try:
            return SharedState(Grant(keyspace, prefix=plain(prefix), writable=writable))
        except InvalidKey as error:
            raise _named(keyspace, error) from None


@final
class SharedState(KeyAccess):
    """A part of another plugin's state, until it is revoked: what lies outside raises `NotShared`."""

    __slots__ = ()

    @property
    def prefix(self) -> str:
        """What its keys start with."""
        grant: Grant = _reach(self)
        return grant.prefix

    @property
    def is_writable(self) -> bool:
        """Whether it may write."""
        grant: Grant = _reach(self)
        return grant.writable

    @property
    def is_revoked(self) -> bool:
        """Whether it was revoked."""
        grant: Grant = _reach(self)
        return grant.is_revoked

    def revoke(self) -> None:
        """End it for everybody who holds it; what has begun by then takes place. Twice does nothing."""
        grant: Grant = _reach(self)
        grant.revoke()


@final
class _Unsubscribe(Sealed):
    """Ends a listener when it is called; twice does nothing."""

    __slots__ = ()

    def __call__(self) -> None:
        _reach(self)()
