"""Log against lists: many live versions, branches, lazy chunks, and the ways of its cousin tuple."""

import copy
import gc
import operator
import pickle
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from eliza_state.collections import CHUNK_SIZE, Chunk, LazyChunk, Log
from tests.effort import examples

SIZE = 4
"""Elements in a chunk in these tests, so that small examples have many."""


def small(values: Any = ()) -> Log[Any]:
    return Log(values, chunk_size=SIZE)


def lazy(*lengths: int) -> tuple[list[LazyChunk[int]], list[int]]:
    """Lazy chunks of 0, 1, 2 … and a list that tells which of them were loaded."""
    loaded: list[int] = []
    chunks: list[LazyChunk[int]] = []
    start = 0
    for number, length in enumerate(lengths):

        def load(number: int = number, start: int = start, length: int = length) -> list[int]:
            loaded.append(number)
            return list(range(start, start + length))

        chunks.append(LazyChunk(length, load, address=f"chunk {number}"))
        start += length
    return chunks, loaded


class LogVersions(RuleBasedStateMachine):
    """Every version stays what its list says, whatever is derived from whichever."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Log[int], list[int]]] = []

    versions = Bundle("versions")

    def keep(self, log: Log[int], model: list[int]) -> tuple[Log[int], list[int]]:
        self.pairs.append((log, model))
        return log, model

    @rule(target=versions, values=st.lists(st.integers(), max_size=14))
    def make(self, values: list[int]) -> Any:
        return self.keep(small(values), values)

    @rule(target=versions, length=st.integers(0, 14))
    def restore(self, length: int) -> Any:
        full, rest = divmod(length, SIZE)
        chunks, _ = lazy(*[SIZE] * full, rest)
        return self.keep(Log.from_chunks(chunks, chunk_size=SIZE), list(range(length)))

    @rule(target=versions, version=versions, value=st.integers())
    def append(self, version: Any, value: int) -> Any:
        log, model = version
        return self.keep(log.append(value), [*model, value])

    @rule(target=versions, version=versions, values=st.lists(st.integers(), max_size=11))
    def extend(self, version: Any, values: list[int]) -> Any:
        log, model = version
        return self.keep(log.extend(values), model + values)

    @rule(target=versions, version=versions, position=st.integers(-20, 20), value=st.integers())
    def replace(self, version: Any, position: int, value: int) -> Any:
        log, model = version
        if not -len(model) <= position < len(model):
            with pytest.raises(IndexError):
                log.set(position, value)
            return self.keep(log, model)
        changed = list(model)
        changed[position] = value
        return self.keep(log.set(position, value), changed)

    @rule(
        target=versions,
        version=versions,
        start=st.none() | st.integers(-20, 20),
        stop=st.none() | st.integers(-20, 20),
        step=st.sampled_from([None, 1, 2, -1, -3]),
    )
    def slice(self, version: Any, start: int | None, stop: int | None, step: int | None) -> Any:
        log, model = version
        return self.keep(log[start:stop:step], model[start:stop:step])

    @rule(target=versions, version=consumes(versions))
    def store_and_restore(self, version: Any) -> Any:
        log, model = version
        return self.keep(Log.from_chunks(log.chunks(), chunk_size=SIZE), model)

    @rule(one=versions, other=versions)
    def compare(self, one: Any, other: Any) -> None:
        assert (one[0] == other[0]) == (one[1] == other[1])
        differing = one[0].unshared(other[0])
        for number in range(max(len(one[1]), len(other[1])) // SIZE + 1):
            runs = [pair[1][number * SIZE : number * SIZE + SIZE] for pair in (one, other)]
            assert [pair[0].part(number) for pair in (one, other)] == runs
            assert number in differing or runs[0] == runs[1]

    @rule(version=versions, size=st.integers(0, 20), position=st.integers(-20, 20))
    def read(self, version: Any, size: int, position: int) -> None:
        log, model = version
        assert log.last(size) == tuple(model[max(len(model) - size, 0) :])
        assert log.first(size) == tuple(model[:size])
        expected = model[position] if -len(model) <= position < len(model) else None
        assert log.get(position) == expected

    @invariant()
    def all_versions_hold(self) -> None:
        for log, model in self.pairs:
            assert list(log) == model
            assert len(log) == len(model)
            assert list(reversed(log)) == model[::-1]
            assert [log[position] for position in range(len(model))] == model
            assert [item for chunk in log.chunks() for item in chunk_items(chunk)] == model


def chunk_items(chunk: Chunk[int] | LazyChunk[int]) -> Chunk[int]:
    return chunk.chunk() if isinstance(chunk, LazyChunk) else chunk


TestLogVersions = LogVersions.TestCase
TestLogVersions.settings = settings(max_examples=examples(100), stateful_step_count=40, deadline=None)


@given(
    st.lists(st.integers(0, 3), max_size=15), st.integers(0, 3), st.integers(-16, 16), st.integers(-16, 16)
)
def test_index_count_and_contains_are_those_of_a_tuple(
    values: list[int], value: int, start: int, stop: int
) -> None:
    log, model = small(values), tuple(values)

    assert log.count(value) == model.count(value)
    assert (value in log) == (value in model)
    assert attempt(log.index, value, start, stop) == attempt(model.index, value, start, stop)


def attempt(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except ValueError:
        return ValueError


class Value:
    """Something that can be seen to go."""


@pytest.mark.parametrize("restored", [False, True])
def test_an_initial_state_gathers_nothing_of_its_descendants(restored: bool) -> None:
    """Or else the first conversation of a process would live as long as the module's initial state."""
    initial = Log[Any](["greeting"], chunk_size=2)
    if restored:
        initial = Log.from_chunks(initial.chunks(), chunk_size=2)
    values = [Value() for _ in range(5)]
    seen = [weakref.ref(value) for value in values]
    longer = initial
    for value in values:
        longer = longer.append(value)
    del longer, value, values
    gc.collect()

    assert [reference() for reference in seen] == [None] * 5
    assert initial == ("greeting",)


def test_default_chunks_are_crossed_by_appending_one_by_one() -> None:
    log = Log[int]()
    for value in range(2 * CHUNK_SIZE + 3):
        log = log.append(value)

    assert list(range(2 * CHUNK_SIZE + 3)) == list(log)
    assert [len(chunk) for chunk in log.chunks()] == [CHUNK_SIZE, CHUNK_SIZE, 3]


def test_full_chunks_are_shared_by_versions() -> None:
    log = small(range(10))
    changed = log.append(10).set(0, "zero")

    assert log.unshared(changed) == [0, 2]
    assert list(log.chunks())[1] is list(changed.chunks())[1]


def test_logs_of_different_chunks_are_equal_but_not_compared_by_part() -> None:
    assert small(range(10)) == Log(range(10))
    with pytest.raises(ValueError, match="expected chunks of 4 elements, got 512"):
        small().unshared(Log())


def test_a_log_is_its_own_column() -> None:
    log = small(range(10))

    assert log.columns() == {"values": log}
    assert Log.from_columns(log.columns()) is log


def test_nothing_new_is_the_same_log() -> None:
    value = object()
    log = small([value, 2])

    assert log.set(0, value) is log
    assert log.extend([]) is log
    assert log[:] is log
    assert copy.copy(log) is log


@pytest.mark.parametrize("values", [(), (1,), (1, 2.0, "three"), (1, (2, None)), tuple(range(9))])
def test_equals_and_hashes_like_the_tuple(values: tuple[Any, ...]) -> None:
    log = small(values)

    assert log == values
    assert values == log
    assert log == Log(values)
    assert hash(log) == hash(values)
    assert {values: "found"}[log] == "found"


@pytest.mark.parametrize("other", [[1, 2], (1, 3), (1,), (1, 2, 3), {1, 2}, None, "12", small([2, 1])])
def test_differs_from(other: Any) -> None:
    assert small([1, 2]) != other
    assert other != small([1, 2])


def test_hash_of_an_unhashable_element_raises() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Log([[]]))


def test_repr_shows_the_elements() -> None:
    assert repr(Log([1, "two"])) == "Log([1, 'two'])"
    assert repr(Log()) == "Log([])"


def test_matches_sequence_patterns() -> None:
    match Log([1, 2, 3]):
        case [first, *rest]:
            assert (first, rest) == (1, [2, 3])
        case _:
            pytest.fail("a log is a sequence")


def test_copies_through_deepcopy_and_pickle_equal_the_log() -> None:
    log = Log([1, [2]]).append("three")
    deep = copy.deepcopy(log)

    assert deep == log
    assert deep[1] is not log[1]
    assert pickle.loads(pickle.dumps(log)) == log


@pytest.mark.parametrize("position", [3, -4, 10**9])
def test_a_position_out_of_range_raises(position: int) -> None:
    log = Log([1, 2, 3])
    with pytest.raises(IndexError, match="out of range for a log of 3 elements"):
        log[position]
    with pytest.raises(IndexError, match="out of range for a log of 3 elements"):
        log.set(position, 0)


def test_get_gives_the_default_past_the_end() -> None:
    assert Log([1]).get(-1) == 1
    assert Log([1]).get(1) is None
    assert Log[int]().get(-1, "none") == "none"


def test_positions_are_whatever_has_an_index() -> None:
    assert Log([1, 2])[True] == 2
    with pytest.raises(TypeError):
        operator.getitem(Log([1]), "0")


@pytest.mark.parametrize("read", [Log.first, Log.last])
def test_a_negative_size_raises(read: Any) -> None:
    with pytest.raises(ValueError, match="expected a number of elements, got -1"):
        read(Log([1]), -1)


def test_a_missing_value_is_named_by_index() -> None:
    with pytest.raises(ValueError, match="'x' is not in the log"):
        Log([1]).index("x")


def test_a_chunk_size_below_one_raises() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Log((), chunk_size=0)


class TestLazyChunks:
    def test_restoring_and_length_load_nothing(self) -> None:
        chunks, loaded = lazy(4, 4, 2)
        log = Log.from_chunks(chunks)

        assert len(log) == 10
        assert loaded == []

    @pytest.mark.parametrize(
        ("touch", "expected"),
        [
            (lambda log: log[-1], [2]),
            (lambda log: log[5], [1]),
            (lambda log: log.last(2), [2]),
            (lambda log: log.last(3), [1, 2]),
            (lambda log: log.first(4), [0]),
            (lambda log: log.append(10), [2]),
            (lambda log: log.extend([10, 11, 12]), [2]),
            (lambda log: log.set(0, "x"), [0]),
            (lambda log: log[2:4], [0]),
            (lambda log: log[:8], []),
            (lambda log: next(iter(log)), [0]),
            (lambda log: next(reversed(log)), [2]),
            (lambda log: list(log.chunks()), []),
            (lambda log: log == log.append(1), [2]),
            (list, [0, 1, 2]),
        ],
    )
    def test_only_what_is_touched_is_loaded(self, touch: Any, expected: list[int]) -> None:
        chunks, loaded = lazy(4, 4, 2)
        touch(Log.from_chunks(chunks))

        assert sorted(loaded) == expected

    def test_appending_after_full_chunks_loads_none(self) -> None:
        chunks, loaded = lazy(4, 4)
        log = Log.from_chunks(chunks).append(8)

        assert log.last(1) == (8,)
        assert loaded == []

    def test_a_chunk_is_loaded_once_for_all_versions(self) -> None:
        chunks, loaded = lazy(4, 4, 2)
        log = Log.from_chunks(chunks)
        other = log.append(10).set(0, "x")
        assert list(other)[1:] == list(range(1, 11))
        assert list(log) == list(range(10))

        assert sorted(loaded) == [0, 1, 2]

    def test_a_loaded_chunk_keeps_its_address_and_a_changed_one_has_none(self) -> None:
        chunks, _ = lazy(4, 4, 2)
        log = Log.from_chunks(chunks)
        changed = log.set(0, "x")
        assert log[4] == 4

        assert [chunk.address for chunk in log.chunks()] == ["chunk 0", "chunk 1", "chunk 2"]
        assert [type(chunk) for chunk in log.chunks()] == [Chunk, Chunk, LazyChunk]
        assert [chunk.address for chunk in changed.chunks()] == [None, "chunk 1", "chunk 2"]

    def test_equal_addresses_are_equal_unseen(self) -> None:
        chunks, loaded = lazy(4, 4, 2)
        again, loaded_again = lazy(4, 4, 2)

        assert Log.from_chunks(chunks) == Log.from_chunks(again)
        assert loaded == loaded_again == []

    def test_a_failing_load_is_tried_again(self) -> None:
        answers: list[Any] = [OSError("gone"), [1, 2]]

        def load() -> list[int]:
            answer = answers.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return list(answer)

        log = Log.from_chunks([LazyChunk(2, load)])
        with pytest.raises(OSError, match="gone"):
            log[0]

        assert list(log) == [1, 2]

    def test_a_load_of_another_length_raises(self) -> None:
        log = Log.from_chunks([LazyChunk(3, lambda: [1, 2], address="there")])
        with pytest.raises(ValueError, match=r"expected 3 elements with 0 dead from the chunk at 'there'"):
            log[0]

    def test_chunks_of_uneven_lengths_raise(self) -> None:
        chunks, _ = lazy(4, 3, 4)
        with pytest.raises(ValueError, match=r"got \[4, 3, 4\]"):
            Log.from_chunks(chunks)

    def test_the_only_chunk_of_another_log_is_not_appended_to(self) -> None:
        log = small().extend([1, 2, 3, 4])
        Log.from_chunks(log.chunks()).append(5)

        assert list(log) == [1, 2, 3, 4]

    def test_the_only_chunk_may_be_longer_than_chunks_are_now(self) -> None:
        chunks, loaded = lazy(2 * CHUNK_SIZE)
        log = Log.from_chunks(chunks).append(0)

        assert (log.chunk_size, len(log), loaded) == (2 * CHUNK_SIZE, 2 * CHUNK_SIZE + 1, [])

    def test_empty_chunks_do_not_count(self) -> None:
        assert Log.from_chunks([Chunk(), Chunk()]) == ()

    def test_repr_tells_whether_it_is_loaded(self) -> None:
        chunks, _ = lazy(2)

        assert repr(chunks[0]) == "LazyChunk(2, address='chunk 0', is_loaded=False)"


def test_what_was_only_appended_to_is_seen_at_once() -> None:
    before = Log("ab").append("c")

    assert before.append("d").has_only_grown(before)
    assert before.has_only_grown(before)
    assert not before.has_only_grown(before.append("d"))
    assert not before.set(0, "x").append("d").has_only_grown(before)
    assert not before.extend("d" * CHUNK_SIZE).has_only_grown(before)


def test_another_branch_has_not_only_grown() -> None:
    root = Log("ab").append("c")
    one, other = root.append("d"), root.append("e").append("f")

    assert one.has_only_grown(root)
    assert not other.has_only_grown(one)
