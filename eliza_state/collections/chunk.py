"""Chunks: the runs of elements that the persistent collections are made of and that snapshots store."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import compress, count
from typing import Any, Final, Generic, TypeVar, final

T = TypeVar("T")

_NO_KEY: Final = object()


@final
class Tombstone:
    """Stand in a column for an element that was removed.

    In a column of keys it remembers which key it buried, so that a lookup knows that no older slot of this
    key is alive. A tombstone read from storage remembers none and needs none.
    """

    __slots__ = ("key",)

    def __init__(self, key: object = _NO_KEY) -> None:
        self.key = key

    def __repr__(self) -> str:
        return "TOMBSTONE"


TOMBSTONE: Final = Tombstone()


class Chunk(list[T]):
    """Hold a run of elements of a column.

    A chunk is never changed once it is full. `address` says where the full chunk is stored, None until
    somebody who stored it sets it; chunks of one address hold equal elements, so where several stores are in
    use the address names the store too. `dead` counts the tombstones among the elements.
    """

    address: Hashable | None = None
    dead: int = 0


@final
class Tail(Chunk[T]):
    """Hold the last, still growing run of a line of versions; each version sees its own length of it."""


@final
class LazyChunk(Generic[T]):
    """Stand for a stored chunk until one of its elements is touched.

    `length` and `dead` (tombstones among the elements) are known beforehand. `load` returns the elements as
    a list or, when some are dead, as the `Chunk` of `chunk_from_data`; the list is kept, not copied. It is
    called at first touch by whichever version comes first and its result serves all of them. When it raises,
    the error passes through and the next touch calls it again. Threads that touch at the same time may each
    load, and go on with one and the same result.
    """

    def __init__(
        self, length: int, load: Callable[[], list[T]], *, address: Hashable | None = None, dead: int = 0
    ) -> None:
        self.address = address
        self.dead = dead
        self._length = length
        self._load: Callable[[], list[T]] | None = load
        self._loaded: list[Chunk[T]] = []

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"LazyChunk({self._length}, address={self.address!r}, is_loaded={self.is_loaded})"

    @property
    def is_loaded(self) -> bool:
        """Tell whether the elements are in memory."""
        return bool(self._loaded)

    def chunk(self) -> Chunk[T]:
        """Return the elements, loading them at the first call.

        A result of another length, or with another number of dead, raises `ValueError`.
        """
        load = self._load
        if load is not None and not self._loaded:
            # Appending is atomic: of several threads the first one's chunk is the chunk.
            self._loaded.append(self._checked(load()))
            self._load = None
        return self._loaded[0]

    def _checked(self, loaded: list[T]) -> Chunk[T]:
        chunk = loaded if isinstance(loaded, Chunk) else Chunk(loaded)
        if (len(chunk), chunk.dead) != (self._length, self.dead):
            raise ValueError(
                f"expected {self._length} elements with {self.dead} dead from the chunk at {self.address!r}, "
                f"its load gave {len(chunk)} with {chunk.dead}: storage and table of contents disagree"
            )
        chunk.address = self.address
        return chunk


def is_same(before: Chunk[T] | LazyChunk[T], after: Chunk[T] | LazyChunk[T]) -> bool:
    """Tell whether two chunks are known to be equal without a look at their elements."""
    return before is after or (before.address is not None and before.address == after.address)


def live_items(chunk: Chunk[Any] | LazyChunk[Any]) -> Sequence[Any]:
    """Return the elements of a chunk that are not tombstones, in order; loads a lazy chunk that has any."""
    if chunk.dead == len(chunk):
        return ()  # so that a queue finds its oldest element without a walk over all that left before it
    if isinstance(chunk, LazyChunk):
        chunk = chunk.chunk()
    if not chunk.dead:
        return chunk
    return [item for item in chunk if type(item) is not Tombstone]


def chunk_to_data(chunk: Chunk[Any] | LazyChunk[Any]) -> tuple[list[Any], list[int]]:
    """Return a chunk's live elements and the ascending offsets of the dead ones between them.

    This is the form to store: no tombstone in it, and `chunk_from_data` gives the chunk back with every
    element in its slot. Loads a lazy chunk.
    """
    if isinstance(chunk, LazyChunk):
        chunk = chunk.chunk()
    if not chunk.dead:
        return list(chunk), []
    dead = compress(count(), (type(item) is Tombstone for item in chunk))
    return list(live_items(chunk)), list(dead)


def chunk_from_data(
    items: Iterable[Any], dead: Sequence[int] = (), *, address: Hashable | None = None
) -> Chunk[Any]:
    """Build a chunk from what `chunk_to_data` returned.

    Offsets that are not ascending or leave a gap past the end raise `ValueError`.
    """
    chunk: Chunk[Any] = Chunk(items)
    previous = -1
    for offset in dead:
        if not previous < offset <= len(chunk):
            raise ValueError(f"expected ascending offsets within the chunk, got {list(dead)!r}")
        chunk.insert(offset, TOMBSTONE)
        previous = offset
    if dead:
        chunk.dead = len(dead)
    if address is not None:
        chunk.address = address
    return chunk
