"""What a scope inherits: values of the scopes above it, hidden by those set nearer to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from eliza_state.path import Path


def _read_only(layers: Mapping[Path, Mapping[str, Any]]) -> Mapping[Path, Mapping[str, Any]]:
    return MappingProxyType({path: MappingProxyType(values) for path, values in layers.items()})


@attrs.frozen(eq=False, repr=False)
class Inherited(Mapping[str, Any]):
    """The values that hold for a scope, of a module that is registered at several levels.

    A read-only mapping, equal to a dict of the same items. A key's value is that of the nearest scope that
    sets it, None included; a key that no scope sets raises `KeyError`. Keys come in the order in which they
    are set from the root down. `layers` are the values that each scope sets itself, the root's first, of
    those with such a module; all are the states at one `position` of the journal, and do not change when
    the scopes do.
    """

    path: Path
    position: int
    layers: Mapping[Path, Mapping[str, Any]] = attrs.field(converter=_read_only)

    def __getitem__(self, key: str) -> Any:
        return self.layers[self.origin(key)][key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"

    def origin(self, key: str) -> Path:
        """Return the path of the scope that a key's value comes from; `KeyError` if no scope sets it."""
        for path in reversed(list(self.layers)):
            if key in self.layers[path]:
                return path
        raise KeyError(key)

    def _keys(self) -> dict[str, None]:
        return dict.fromkeys(itertools.chain.from_iterable(self.layers.values()))
