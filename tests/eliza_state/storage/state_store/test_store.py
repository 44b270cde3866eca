"""The state of an agent: a mapping in memory, written behind to a file or a table."""

from __future__ import annotations

import datetime
import json
import os
import threading
from collections.abc import MutableMapping
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any

import attrs
import pytest
from sqlalchemy import create_engine, text

from eliza_serializers import JsonSerializer, Secret, SerializationError
from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
from tests.eliza_state.storage.state_store.opening import KEYS, Open, entries_of, in_table, rows_of

# keys and values


def test_what_is_set_is_got_until_it_is_deleted(state: StateStore) -> None:
    state.set("my-plugin:checkCount", 7)

    assert (7, True) == (state.get("my-plugin:checkCount"), state.has("my-plugin:checkCount"))
    assert [True, False] == [state.delete("my-plugin:checkCount"), state.delete("my-plugin:checkCount")]
    assert (None, False) == (state.get("my-plugin:checkCount"), state.has("my-plugin:checkCount"))


@pytest.mark.parametrize("value", [None, 0, "", False, {}, []], ids=repr)
def test_a_value_that_is_false_is_a_value(value: Any) -> None:
    state = StateStore()
    state.set("a", value)

    assert state.has("a")
    assert value == state.get("a", "default")


def test_what_is_missing_is_the_default() -> None:
    assert (None, 5) == (StateStore().get("a"), StateStore().get("a", 5))


@pytest.mark.parametrize("key", ["", "x" * 513, "ü" * 257, "lone \ud800", 1, None], ids=repr)
def test_other_keys_are_refused(key: Any) -> None:
    state = StateStore()

    for call in (state.get, state.has, state.delete, state.pop, lambda k: state.set(k, 1), state.setdefault):
        with pytest.raises(InvalidKey):
            call(key)
    assert 0 == len(state)


def test_any_text_is_a_key(reopen: Open) -> None:
    state = reopen()
    state.update({key: number for number, key in enumerate(KEYS)})
    state.close()

    assert {key: number for number, key in enumerate(KEYS)} == dict(reopen())


VALUES = {
    "plain": {"deep": [1, 2.5, None, True, "text"]},
    "tuple": (1, (2,)),
    "set": {1, 2},
    "frozenset": frozenset({"a"}),
    "keys": {1: "a", (2, 3): "b"},
    "bytes": b"\x00\xff",
    "time": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    "decimal": Decimal("1.10"),
    "big": 2**100,
    "own tag": {"_type": "Map", "data": 1},
}


def test_values_keep_their_types(reopen: Open) -> None:
    state = reopen()
    state.update(VALUES)
    state.close()
    found = dict(reopen())

    assert VALUES == found
    assert {key: type(value) for key, value in VALUES.items()} == {k: type(v) for k, v in found.items()}


def test_secrets_are_stored_as_what_they_are(reopen: Open) -> None:
    state = reopen()
    state.set("token", Secret("swordfish"))
    state.close()

    assert "swordfish" == reopen().get("token").reveal()


@attrs.frozen
class Run:
    status: str


def test_classes_are_stored_through_a_serializer_that_knows_them(reopen: Open) -> None:
    serializer = JsonSerializer()
    serializer.register(Run)
    state = reopen(serializer=serializer)
    state.set("run:1", Run("pending"))
    state.close()

    assert Run("pending") == reopen(serializer=serializer).get("run:1")


def test_a_serializer_of_another_format_is_refused() -> None:
    class Other(JsonSerializer):
        name = "other"

    with pytest.raises(ValueError, match="JSON, got the serializer 'other'"):
        StateStore(serializer=Other())


def test_a_value_that_cannot_be_written_changes_nothing(state: StateStore) -> None:
    state.set("a", 1)

    for call in (lambda: state.set("a", {"lock": threading.Lock()}), lambda: state.update(a=2, b=object())):
        with pytest.raises(SerializationError):
            call()
    assert {"a": 1} == dict(state)


def test_the_store_and_its_users_share_nothing_that_changes(state: StateStore) -> None:
    value = {"list": [1]}
    state.set("a", value)
    state["b"] = state.setdefault("c", value)
    value["list"].append(2)
    state.get("a")["list"].append(3)
    state["c"]["list"].append(4)
    state.snapshot()["a"]["list"].append(5)

    assert {"a": {"list": [1]}, "b": {"list": [1]}, "c": {"list": [1]}} == dict(state)


def test_what_cannot_change_is_shared() -> None:
    state = StateStore()
    value = ("a", ("b", frozenset({1})))
    state.set("a", value)

    assert state.get("a") is value


# a mapping


def test_it_is_a_mapping(state: StateStore) -> None:
    state["a"] = 1
    state.update([("b", 2)], c=3)
    del state["a"]

    assert isinstance(state, MutableMapping)
    assert {"b": 2, "c": 3} == state
    assert (2, ["b", "c"], [2, 3]) == (len(state), list(state), list(state.values()))
    assert ("b" in state, "a" in state, 1 in state) == (True, False, False)


def test_what_is_missing_is_a_key_error(state: StateStore) -> None:
    for call in (lambda: state["a"], lambda: state.pop("a"), lambda: state.__delitem__("a"), state.popitem):
        with pytest.raises(KeyError):
            call()


def test_values_are_taken_out(reopen: Open) -> None:
    state = reopen()
    state.update(a=1, b=2, c=3)
    taken = [state.pop("a"), state.pop("a", None), state.popitem()]
    state.close()

    assert [1, None, ("c", 3)] == taken
    assert {"b": 2} == dict(reopen())


def test_a_default_is_stored_once(state: StateStore) -> None:
    assert (1, 1, None) == (state.setdefault("a", 1), state.setdefault("a", 2), state.setdefault("b"))
    assert {"a": 1, "b": None} == dict(state)


def test_all_is_removed(reopen: Open) -> None:
    state = reopen()
    state.update(a=1, b=2)
    state.flush()
    state.clear()
    state.close()

    assert {} == dict(reopen())


def test_keys_may_change_while_they_are_gone_through() -> None:
    state = StateStore()
    state.update(a=1, b=2)
    for key in state:
        state[f"{key}{key}"] = state.pop(key)
    for key, value in state.items():
        del state[key]
        state[key[0]] = value

    assert {"a": 1, "b": 2} == state


def test_values_are_not_shown() -> None:
    state = StateStore()
    state.set("a", "confidential")

    assert "<StateStore memory, 1 keys>" == repr(state)


# where it is


def test_by_default_it_is_in_memory(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for persistence in (
        None,
        StatePersistence(),
        StatePersistence(type="file"),
        StatePersistence(enabled=True),
    ):
        with StateStore.open(persistence) as state:
            state.set("a", 1)
            state.flush()
            assert (0, ()) == (state.pending, state.problems)

    assert [] == os.listdir(tmp_path)


def test_a_file_is_relative_to_the_working_folder(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    persistence = StatePersistence(enabled=True, type="file")
    with StateStore.open(persistence) as state:
        state.set("a", 1)
        monkeypatch.chdir("/")

    assert {"a": 1} == entries_of(tmp_path / "state.json")


def test_what_was_set_is_there_when_it_is_opened_again(reopen: Open) -> None:
    for number in range(3):
        with reopen() as state:
            assert number == state.get("count", 0)
            state.set("count", number + 1)


def test_the_file_has_keys_and_values(path: FilePath, open_file: Open) -> None:
    state = open_file()
    state.update({"key1": "value1", "a/b": {"nested": True}})
    state.flush()

    entries = [["key1", "value1"], ["a/b", {"nested": True}]]
    assert {"version": 1, "entries": entries} == json.loads(path.read_text())


def test_the_table_has_values_as_json_text(database_path: FilePath, open_table: Open) -> None:
    state = open_table()
    state.update({"key1": "value1", "a/b": {"nested": {1}}})
    state.flush()

    assert {
        "key1": '"value1"',
        "a/b": '{"nested":{"_type":"Set","data":[1]}}',
    } == rows_of(database_path)


def test_a_missing_database_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with StateStore.open(in_table()) as state:
        state.set("a", 1)

        assert 1 == state.get("a")
        assert ["no database is configured" in str(problem) for problem in state.problems] == [True]
    assert "state is in memory" in caplog.text


def test_an_engine_stays_the_applications(database_path: FilePath) -> None:
    engine = create_engine(f"sqlite:///{database_path}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mine (a)"))
    with StateStore.open(in_table(), database=engine) as state:
        state.set("a", 1)

    with engine.connect() as connection:
        assert "1" == connection.execute(text("SELECT value FROM core_state")).scalar()
    engine.dispose()
