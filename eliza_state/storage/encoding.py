"""Values as bytes: a serializer, then transforms such as compression and encryption; done once, at the edge.

What is stored begins with the name of what it was written by, so that a storage may mix formats and change
over time: `json:{"a":1}`, `zstd:…`, whose content is `json:…` again, `aes256gcm:…`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec

from eliza_serializers import JsonSerializer, SerializationError, Serializer
from eliza_serializers.errors import RegistryError
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.immutable import WrittenForm
from eliza_state.storage.serializing import serializer_named

V = TypeVar("V")

_LONGEST_NAME: Final = 32


class Transform(abc.ABC):
    """Turn written bytes into other bytes and back, knowing the full key they belong to."""

    name: ClassVar[str]
    """What stored bytes begin with that went through it: a lower-case word.

    Empty for one that only looks: its `seal` returns `None` or raises, and its `unseal` is never called.
    """
    is_required: bool = False
    """Whether stored bytes that did not go through it are refused."""

    @abc.abstractmethod
    def seal(self, content: bytes, *, key: str) -> bytes | None:
        """Return other bytes for these, or `None` to leave them as they are."""

    @abc.abstractmethod
    def unseal(self, content: bytes, *, key: str) -> bytes:
        """Return the bytes that `seal` was given. Raises `DamagedValue` for what it did not return."""


class Encoding(Generic[V]):
    """Write values as bytes and read them back.

    `value_type` makes every value be of that type, written by its fields; without it, values of any kind
    keep their types by tags. `serializer` is a name (`json`, `msgpack`, or one that is installed) or an
    instance, for example one with classes registered. `transforms` are applied in order, and undone as
    the bytes say.
    """

    def __init__(
        self,
        *,
        value_type: Any = None,
        serializer: Serializer | str = "json",
        transforms: Sequence[Transform] = (),
    ) -> None:
        self._value_type = value_type
        self._serializer = serializer_named(serializer) if isinstance(serializer, str) else serializer
        self._transforms = tuple(transforms)
        names = [transform.name for transform in transforms if transform.name]
        self._by_name = {transform.name: transform for transform in transforms if transform.name}
        if len(self._by_name) != len(names) or self._serializer.name in self._by_name:
            raise ValueError(f"expected transforms and a serializer of different names, got {names!r}")
        self._required = frozenset(transform.name for transform in transforms if transform.is_required)
        self._is_json = value_type is None and type(self._serializer) is JsonSerializer
        self._head = f"{self._serializer.name}:".encode()
        self._encode: Callable[[Any], bytes] = (
            self._serializer.encode if value_type is None else self._serializer.encoder(value_type)
        )
        self._decoders = {self._serializer.name: self._decoder(self._serializer)}

    def _decoder(self, serializer: Serializer) -> Callable[[bytes], Any]:
        return serializer.decode if self._value_type is None else serializer.decoder(self._value_type)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What written bytes go through, in order."""
        return self._transforms

    def encode(self, value: V, *, key: str) -> bytes:
        """Return a value as bytes. Raises `SerializationError` for one that could not be read back."""
        return self.seal(self._head + self._encode(value), key=key)

    def seal(self, content: bytes, *, key: str) -> bytes:
        """Return what a serializer wrote, its name in front, as it is stored: gone through the transforms."""
        for transform in self._transforms:
            sealed = transform.seal(content, key=key)
            if sealed is not None:
                assert transform.name
                content = b"%b:%b" % (transform.name.encode(), sealed)
        return content

    def decode(self, content: bytes, *, key: str) -> V:
        """Return the value of stored bytes. Raises `DamagedValue` for what cannot be read."""
        head = self._head
        if not self._required and content.startswith(head):
            return self._read(self._serializer.name, content[len(head) :], key)
        *_, (name, content) = self.peel(content, key=key)
        return self._read(name, content, key)

    def remade(self, form: WrittenForm, *, key: str) -> V:
        """Return a value anew of its written form. Raises `DamagedValue` for what cannot be read.

        From the second time on, JSON without any tag is not looked at again: the parser alone makes it anew.
        """
        if form.read is None:
            value = self.decode(form.content, key=key)
            form.read = partial(self.decode, key=key)
            if self._is_json and form.content.startswith(self._head):
                body = form.content[len(self._head) :]
                _, may_hold_tags, _ = self._serializer.format.decode(body)
                if not may_hold_tags:
                    form.content, form.read = body, msgspec.json.decode
        else:
            value = form.read(form.content)
        return value

    def peel(self, content: bytes, *, key: str) -> Iterator[tuple[str, bytes]]:
        """Yield the names of what stored bytes went through, each with what follows it, the outermost first.

        The last one is the serializer's. Raises `DamagedValue` for what cannot be undone, or did not go
        through a transform that is required.
        """
        undone: set[str] = set()
        name, content = _parted(content, key)
        while (transform := self._by_name.get(name)) is not None:
            if name in undone:
                raise DamagedValue(key, f"it went through {name!r} twice")
            undone.add(name)
            yield name, content
            name, content = _parted(transform.unseal(content, key=key), key)
        if missing := self._required - undone:
            raise DamagedValue(key, f"it was not written through {', '.join(sorted(missing))}, as it must be")
        yield name, content

    def _read(self, name: str, content: bytes, key: str) -> V:
        decode = self._decoders.get(name)
        if decode is None:
            decode = self._decoders[name] = self._decoder_named(name, key)
        try:
            value: V = decode(content)
        except SerializationError as error:
            raise DamagedValue(key, str(error)) from error
        return value

    def _decoder_named(self, name: str, key: str) -> Callable[[bytes], Any]:
        try:
            return self._decoder(serializer_named(name, secrets=self._serializer.secrets))
        except RegistryError:
            raise DamagedValue(
                key, f"it was written through {name!r}, which this storage was not given"
            ) from None


def _parted(content: bytes, key: str) -> tuple[str, bytes]:
    colon = content.find(b":", 0, _LONGEST_NAME + 1)
    name = content[:colon] if colon > 0 else b""
    if not name.isascii() or not name:
        raise DamagedValue(key, "it does not begin with the name of a format")
    return name.decode(), content[colon + 1 :]
