"""A persistent sequence that grows at its end."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, islice
from typing import Any, Final, SupportsIndex, TypeVar, final, overload

from eliza_state.collections.chunk import Chunk, LazyChunk, Tail, Tombstone, is_same

T = TypeVar("T")
D = TypeVar("D")

CHUNK_SIZE: Final = 512
"""Elements in a full chunk; a collection restored from chunks of another size keeps that size."""

_new: Callable[[Any], Any] = object.__new__


@final
class Log(Sequence[T]):
    """Keep elements in order, immutable, with versions that share what they have in common.

    `append` costs the same at ten and at a million elements and never disturbs another version, iteration
    runs at nearly the speed of a list, `set` copies one chunk and the row of pointers to chunks. A log equals
    another log, or a tuple, of equal elements and hashes like that tuple (`TypeError` when an element is not
    hashable); like a tuple it never equals a list.

    Versions of one line share a chunk that still grows, each with a length of its own, so an old version
    keeps alive what newer ones appended. A log made by the constructor, a slice or `from_chunks` shares
    nothing that grows. One thread at a time may derive versions; any thread may read any version meanwhile,
    because nothing that a version can see is ever changed.
    """

    # _spine: full chunks, lazy or not; a list when versions may still push on it, a tuple when not.
    # _tail: the chunk that follows, lazy or not; only a Tail that is no longer than this
    # version's view of it may be appended to.
    __slots__ = ("_length", "_size", "_spine", "_tail")

    _spine: list[Any] | tuple[Any, ...]
    _tail: Any
    _length: int
    _size: int

    def __init__(self, iterable: Iterable[T] = (), *, chunk_size: int = CHUNK_SIZE) -> None:
        """Take the elements of `iterable` in order."""
        if chunk_size < 1:
            raise ValueError(f"expected a chunk size of at least 1, got {chunk_size!r}")
        items = list(iterable)
        full = len(items) - len(items) % chunk_size
        self._spine = tuple(Chunk(items[start : start + chunk_size]) for start in range(0, full, chunk_size))
        self._tail = Chunk(items[full:])
        self._length = len(items)
        self._size = chunk_size

    @classmethod
    def from_chunks(
        cls, chunks: Iterable[Chunk[T] | LazyChunk[T]], *, chunk_size: int | None = None
    ) -> "Log[T]":
        """Put a log together from the chunks that `chunks()` yielded, loading none of them.

        All but the last are as long as the first, the last is not longer, or `ValueError` is raised.
        `chunk_size` is needed only when the one chunk there is is not full. The chunks are kept, not copied.
        """
        parts = [chunk for chunk in chunks if len(chunk)]
        longest = len(parts[0]) if parts else 0
        size = chunk_size or (longest if len(parts) > 1 else max(longest, CHUNK_SIZE))
        tail = parts.pop() if parts and len(parts[-1]) < size else Chunk[T]()
        if any(len(part) != size for part in parts):
            raise ValueError(
                f"expected chunks of {size} elements with a shorter one at most at the end, "
                f"got {[len(part) for part in parts]}"
            )
        log = cls((), chunk_size=size)
        log._spine = tuple(parts)
        log._tail = (
            Chunk(tail) if isinstance(tail, Tail) else tail
        )  # a full chunk of another log may be a Tail
        log._length = len(parts) * size + len(tail)
        return log

    def append(self, value: T) -> "Log[T]":
        """Return a log with `value` at its end, in constant time."""
        tail = self._tail
        length = self._length
        size = self._size
        used = length % size
        if tail.__class__ is not Tail or len(tail) != used:
            tail = self._tail_copy()
        tail.append(value)
        log: Log[T] = _new(Log)
        log._spine = self._spine
        log._tail = tail
        log._length = length + 1
        log._size = size
        if used + 1 == size:
            log._push()
        return log

    def extend(self, values: Iterable[T]) -> "Log[T]":
        """Return a log with `values` at its end; the same log when there are none."""
        items = list(values)
        if not items:
            return self
        log = self
        position = 0
        while position < len(items):
            room = self._size - log._length % self._size
            log = log._grown(items[position : position + room])
            position += room
        return log

    def set(self, position: SupportsIndex, value: T) -> "Log[T]":
        """Return a log with `value` at `position`; the same log when that very object is there.

        A position out of range raises `IndexError`. Costs a copy of one chunk and of the row of pointers.
        """
        place = self._place(operator.index(position))
        number, offset = divmod(place, self._size)
        full = self._length // self._size
        source = self._part(number, full)
        present = source[offset]
        if present is value:
            return self
        chunk: Chunk[T]
        chunk = self._tail_copy() if number == full else Chunk(source[:])
        chunk[offset] = value
        dead = source.dead + (type(value) is Tombstone) - (type(present) is Tombstone)
        if dead:
            chunk.dead = dead
        log = self._sharing()
        if number == full:
            log._tail = chunk
        else:
            spine = list(self._spine[:full])
            spine[number] = chunk
            log._spine = spine
        return log

    def first(self, size: int) -> tuple[T, ...]:
        """Return the first `size` elements, or all when there are fewer; loads only their chunks."""
        return tuple(self._between(0, min(_counted(size), self._length)))

    def last(self, size: int) -> tuple[T, ...]:
        """Return the last `size` elements, oldest first, or all there are; loads only their chunks."""
        return tuple(self._between(max(self._length - _counted(size), 0), self._length))

    @property
    def chunk_size(self) -> int:
        """Tell how many elements a full chunk holds."""
        return self._size

    def chunks(self) -> Iterator[Chunk[T] | LazyChunk[T]]:
        """Yield the chunks in order, loading none: full ones themselves, then what is visible of the tail.

        A lazy chunk that has been loaded comes as the loaded chunk, with its address. The tail comes as a
        copy without address, or as the `LazyChunk` it still is; an empty tail does not come.
        """
        full, used = divmod(self._length, self._size)
        for chunk in islice(self._spine, full):
            yield chunk.chunk() if isinstance(chunk, LazyChunk) and chunk.is_loaded else chunk
        if used:
            tail = self._tail
            yield tail if isinstance(tail, LazyChunk) and not tail.is_loaded else self._visible(used)

    def part(self, number: int) -> Chunk[T]:
        """Return the chunk of that number, loading it, or an empty one past the end; not to be changed."""
        full, used = divmod(self._length, self._size)
        if number < full:
            return _loaded(self._spine[number])
        return self._visible(used) if number == full else Chunk()

    def unshared(self, other: "Log[Any]") -> list[int]:
        """Return the numbers of the parts, ascending, that the two logs do not have in common.

        Chunks are compared by identity and by address, unseen and unloaded, so the rest is known to be equal.
        The logs must have one chunk size (`ValueError`). Costs some nanoseconds a chunk.
        """
        if self._size != other._size:
            raise ValueError(f"expected chunks of {self._size} elements, got {other._size}")
        full, used = divmod(self._length, self._size)
        others_full, others_used = divmod(other._length, self._size)
        common = min(full, others_full)
        mine, theirs = self._spine, other._spine
        unlike = compress(range(common), map(operator.is_not, mine, theirs))
        numbers = [number for number in unlike if not is_same(mine[number], theirs[number])]
        if (full, used) != (others_full, others_used) or (used and not is_same(self._tail, other._tail)):
            numbers.extend(range(common, max(full + (used > 0), others_full + (others_used > 0))))
        return numbers

    def has_only_grown(self, before: "Log[Any]") -> bool:
        """Tell whether this is seen at once to be `before` with elements appended; False says nothing."""
        return self._tail is before._tail and self._spine is before._spine and self._length >= before._length

    def columns(self) -> "dict[str, Log[Any]]":
        """Return the logs this collection is stored as: here one, `values`, the log itself."""
        return {"values": self}

    @classmethod
    def from_columns(cls, columns: Mapping[str, "Log[Any]"]) -> "Log[T]":
        """Put the collection together from its columns, loading nothing."""
        return columns["values"]

    def __len__(self) -> int:
        return self._length

    @overload
    def get(self, position: int) -> T | None: ...
    @overload
    def get(self, position: int, default: D) -> T | D: ...
    def get(self, position: int, default: Any = None) -> Any:
        """Return the element at `position`, or `default` when there is none."""
        length = self._length
        size = self._size
        if position < 0:
            position += length
        if not 0 <= position < length:
            return default
        number = position // size
        chunk = self._spine[number] if number < length // size else self._tail
        if chunk.__class__ is LazyChunk:
            chunk = chunk.chunk()
        return chunk[position % size]

    @overload
    def __getitem__(self, position: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, position: slice) -> "Log[T]": ...
    def __getitem__(self, position: Any) -> Any:
        """Return the element there, or the log of a slice (which shares the chunks of a prefix)."""
        if position.__class__ is not int:
            if position.__class__ is slice:
                return self._sliced(position)
            position = operator.index(position)
        length = self._length
        size = self._size
        if position < 0:
            position += length
        if not 0 <= position < length:
            raise IndexError(f"position out of range for a log of {length} elements")
        number = position // size
        chunk = self._spine[number] if number < length // size else self._tail
        if chunk.__class__ is LazyChunk:
            chunk = chunk.chunk()
        return chunk[position % size]

    def __iter__(self) -> Iterator[T]:
        return self._between(0, self._length)

    def __reversed__(self) -> Iterator[T]:
        full, used = divmod(self._length, self._size)
        if used:
            yield from reversed(self._part(full, full)[:used])
        for number in range(full - 1, -1, -1):
            yield from reversed(self._part(number, full))

    def __contains__(self, value: object) -> bool:
        elements: Any = iter(self)  # `in` on an iterator runs in C
        return value in elements

    def count(self, value: Any) -> int:
        """Count the elements equal to `value`."""
        return operator.countOf(self, value)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the position of the first element equal to `value`, or raise `ValueError`."""
        first, last, _ = slice(start, stop).indices(self._length)
        try:
            return first + operator.indexOf(self._between(first, max(first, last)), value)
        except ValueError:
            raise ValueError(f"{value!r} is not in the log") from None

    def __eq__(self, other: Any) -> bool:
        if self is other:
            return True
        kind: type[object] = other.__class__
        if kind is not Log:
            return tuple(self) == other if issubclass(kind, tuple) else NotImplemented
        if self._length != other._length:
            return False
        if self._size != other._size:
            return tuple(self) == tuple(other)
        return all(self.part(number) == other.part(number) for number in self.unshared(other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Log({list(self)!r})"

    def __copy__(self) -> "Log[T]":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Log, (tuple(self),)

    def _sharing(self) -> "Log[T]":
        log: Log[T] = _new(Log)
        log._spine = self._spine
        log._tail = self._tail
        log._length = self._length
        log._size = self._size
        return log

    def _push(self) -> None:
        """Move the tail that has just become full to the spine; called on a version nobody has seen yet."""
        full = self._length // self._size - 1
        spine = self._spine
        if not isinstance(spine, list) or len(spine) != full:
            spine = list(spine[:full])
        spine.append(self._tail)
        self._spine = spine
        self._tail = Tail()

    def _grown(self, items: list[T]) -> "Log[T]":
        """Append items that fit into the present chunk."""
        used = self._length % self._size
        tail = self._tail
        if tail.__class__ is not Tail or len(tail) != used:
            tail = self._tail_copy()
        tail.extend(items)
        log = self._sharing()
        log._tail = tail
        log._length += len(items)
        if used + len(items) == self._size:
            log._push()
        return log

    def _tail_copy(self) -> Tail[T]:
        used = self._length % self._size
        source = _loaded(self._tail)
        tail = Tail(source[:used])
        if source.dead:
            tail.dead = source.dead
        return tail

    def _visible(self, used: int) -> Chunk[T]:
        source = _loaded(self._tail)
        chunk = Chunk(source[:used])
        if source.dead:
            chunk.dead = source.dead
        return chunk

    def _part(self, number: int, full: int) -> Chunk[T]:
        return _loaded(self._spine[number] if number < full else self._tail)

    def _parts(self, start: int, stop: int) -> Iterator[Iterable[T]]:
        """Yield, for 0 <= start <= stop <= length, the runs whose elements in a row are self[start:stop]."""
        size = self._size
        full = self._length // size
        for number in range(start // size, -(-stop // size)):
            offset = number * size
            chunk = self._part(number, full)
            if start <= offset and offset + size <= stop:
                yield chunk
            else:
                yield islice(chunk, max(start - offset, 0), min(stop - offset, size))

    def _between(self, start: int, stop: int) -> Iterator[T]:
        return chain.from_iterable(self._parts(start, stop))

    def _place(self, position: int) -> int:
        place = position + self._length if position < 0 else position
        if not 0 <= place < self._length:
            raise IndexError(f"position {position} is out of range for a log of {self._length} elements")
        return place

    def _sliced(self, bounds: slice) -> "Log[T]":
        start, stop, step = bounds.indices(self._length)
        if (start, step) == (0, 1):
            return self if stop == self._length else self._prefix(stop)
        if step == 1:
            return Log(self._between(start, max(start, stop)), chunk_size=self._size)
        return Log(tuple(self)[bounds], chunk_size=self._size)

    def _prefix(self, length: int) -> "Log[T]":
        full, used = divmod(length, self._size)
        log = Log[T]((), chunk_size=self._size)
        log._spine = tuple(self._spine[:full])
        log._tail = Chunk(self._part(full, self._length // self._size)[:used]) if used else Chunk()
        log._length = length
        return log


def _loaded(chunk: Chunk[T] | LazyChunk[T]) -> Chunk[T]:
    return chunk.chunk() if isinstance(chunk, LazyChunk) else chunk


def _counted(size: int) -> int:
    if size < 0:
        raise ValueError(f"expected a number of elements, got {size!r}")
    return size
