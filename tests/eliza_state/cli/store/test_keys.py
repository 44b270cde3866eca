"""`store get`, `set`, `delete`, `keys` and `ttl` as somebody types them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import attrs
import pytest

from eliza_serializers import JsonSerializer, Secret
from eliza_state.storage.sql import SqlStorage
from tests.eliza_state.cli.command import invoke

HOME = ("--store", "state.db")


def store(*arguments: object, **more: Any) -> Any:
    return invoke("store", *arguments, **more)


def told(*arguments: object, **more: Any) -> str:
    """What a command that goes well prints."""
    result = store(*arguments, **more)
    assert (result.exit_code, result.stderr) == (0, "")
    return str(result.stdout)


def keep(values: dict[str, Any], **options: Any) -> None:
    """Store values in state.db as a program does."""

    async def set_all() -> None:
        async with SqlStorage[Any]("sqlite:///state.db", **options) as storage:
            await storage.set_many(values)

    asyncio.run(set_all())


def kept(key: str, **options: Any) -> Any:
    """What a program finds in state.db."""

    async def get() -> Any:
        async with SqlStorage[Any]("sqlite:///state.db", **options) as storage:
            return await storage.get(key)

    return asyncio.run(get())


@attrs.frozen
class Session:
    name: str
    token: Secret[str]


SERIALIZER = JsonSerializer()
SERIALIZER.register(Session)


# every kind of storage


def test_what_is_set_is_there(urls: list[str]) -> None:
    version = told("set", "a/b", '{"x": [1, null]}', "-N", "s", *urls).removeprefix("version ").strip()

    assert told("get", "a/b", "--namespace", "s", *urls) == '{"x":[1,null]}\n'
    shown = json.loads(told("get", "a/b", "-N", "s", "--json", *urls))
    assert shown == {
        "key": "a/b",
        "value": {"x": [1, None]},
        "version": int(version),
        "deadline_ms": None,
        "ttl_ms": None,
    }


def test_what_is_deleted_is_gone(urls: list[str]) -> None:
    told("set", "a", "1", *urls)

    assert told("delete", "a", "b", "a", *urls) == "1 deleted, 1 not there\n"
    result = store("get", "a", *urls)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: there is no key 'a'\n"


def test_keys_are_listed_by_namespace(urls: list[str]) -> None:
    told("set", "a/b", "1", "-N", "s", *urls)
    told("set", "user:1", "1", *urls)
    told("set", "user:2", "1", *urls)
    told("set", "c", "1", *urls)

    assert sorted(told("keys", *urls).split()) == ["c", "user:1", "user:2"]
    assert sorted(told("keys", "--prefix", "user:", *urls).split()) == ["user:1", "user:2"]
    assert told("keys", "-N", "s", *urls) == "a/b\n"
    assert sorted(told("keys", "--nested", *urls).split()) == ["c", "s/a%2Fb", "user:1", "user:2"]


def test_a_time_to_live_is_shown_and_changed(urls: list[str]) -> None:
    told("set", "a", "1", "--ttl", "1h", *urls)
    assert told("ttl", "a", *urls).startswith("59m ")
    assert told("ttl", "a", "--set", "3d", *urls).strip() in ("3d", "2d 23h")
    assert 0 < json.loads(told("ttl", "a", "--json", *urls))["left_ms"] <= 3 * 86_400_000

    assert told("ttl", "a", "--remove", *urls) == "for ever\n"
    assert told("get", "a", *urls) == "1\n"


def test_an_expected_version_must_be_there(urls: list[str]) -> None:
    version = json.loads(told("set", "a", "1", "--expected-version", 0, "--json", *urls))["version"]
    told("set", "a", "2", "--expected-version", version, *urls)

    result = store("set", "a", "3", "--expected-version", version, *urls)

    assert result.exit_code == 1
    assert "not at the expected" in result.stderr
    assert told("get", "a", *urls) == "2\n"


# get


def test_a_secret_is_masked_unless_it_is_to_be_revealed() -> None:
    keep({"a": {"who": "ada", "token": Secret("hunter2")}})

    assert told("get", "a", *HOME) == '{"who":"ada","token":"[SECRET]"}\n'
    shown = told("get", "a", "--reveal", *HOME)
    assert json.loads(shown)["token"] == {"_type": "Secret", "data": "hunter2"}
    told("set", "b", shown, *HOME)
    assert kept("b") == {"who": "ada", "token": Secret("hunter2")}


@pytest.mark.parametrize("written", ["json", "msgpack"])
def test_a_value_of_any_format_is_shown_as_json(written: str) -> None:
    keep({"a": {"tags": {"x"}, "raw": b"hi", "size": (1, 2)}}, serializer=written)

    assert json.loads(told("get", "a", *HOME)) == {
        "tags": {"_type": "Set", "data": ["x"]},
        "raw": {"_type": "Bytes", "data": "aGk="},
        "size": {"_type": "Tuple", "data": [1, 2]},
    }


def test_a_class_that_nobody_registered_is_shown_as_it_is_stored_with_its_secrets_masked() -> None:
    keep({"a": [Session("ada", Secret("hunter2"))]}, serializer=SERIALIZER)

    result = store("get", "a", *HOME)

    assert result.exit_code == 0
    assert json.loads(result.stdout) == [{"_type": "Session", "data": {"name": "ada", "token": "[SECRET]"}}]
    assert result.stderr.startswith("warning: shown as it is stored: $[0]: unknown tag 'Session'")
    assert "--serializer" in result.stderr
    assert "hunter2" in store("get", "a", "--reveal", *HOME).stdout


def test_a_serializer_of_ones_own_knows_its_classes() -> None:
    keep({"a": Session("ada", Secret("hunter2"))}, serializer=SERIALIZER)

    shown = told("get", "a", "--serializer", f"{__name__}:SERIALIZER", *HOME)

    assert json.loads(shown)["data"] == {"name": "ada", "token": "[SECRET]"}


def test_a_compressed_value_is_shown() -> None:
    from eliza_state.storage.wrappers import Compression

    keep({"a": "x" * 5_000}, transforms=[Compression()])

    assert json.loads(told("get", "a", *HOME)) == "x" * 5_000


def test_an_unknown_format_is_told() -> None:
    from eliza_state.cli.store.formats import AsStored
    from eliza_state.storage.storage import Storage
    from eliza_state.storage.wrapper import Encoded

    async def set_content() -> None:
        async with SqlStorage[Any]("sqlite:///state.db") as storage:
            inner = storage.backend.inner  # type: ignore[attr-defined]
            await Storage(Encoded(inner, AsStored())).set("a", b"yaml:a: 1")

    asyncio.run(set_content())

    result = store("get", "a", *HOME)

    assert result.exit_code == 1
    assert result.stderr.endswith("it was written through 'yaml', which is not installed\n")


def test_what_terminals_obey_is_escaped() -> None:
    keep({"a": "\x1b[31m \x9b31m"})

    assert told("get", "a", *HOME) == '"\\u001b[31m \\u009b31m"\n'


# set


def test_a_value_is_taken_from_standard_input() -> None:
    told("set", "a", "-", *HOME, text='"grüße"\n')

    assert kept("a") == "grüße"


def test_a_number_below_zero_is_a_value() -> None:
    told("set", "a", "-5", *HOME)

    assert kept("a") == -5


def test_tags_are_read() -> None:
    told("set", "a", '{"_type": "Set", "data": [1, 2]}', *HOME)

    assert kept("a") == {1, 2}


def test_a_serializer_and_compression_are_chosen() -> None:
    from eliza_state.storage.wrappers import Compression

    told("set", "a", json.dumps("x" * 5_000), "--serializer", "msgpack", "--compress", *HOME)

    assert kept("a", transforms=[Compression()]) == "x" * 5_000


def test_json_with_a_class_that_nobody_registered_is_written_as_it_stands() -> None:
    keep({"a": Session("ada", Secret("hunter2"))}, serializer=SERIALIZER)
    shown = store("get", "a", "--reveal", *HOME).stdout

    result = store("set", "b", shown, *HOME)

    assert result.exit_code == 0
    assert result.stderr.startswith("warning: written as it stands")
    assert kept("b", serializer=SERIALIZER) == Session("ada", Secret("hunter2"))


def test_setting_clears_the_time_to_live() -> None:
    told("set", "a", "1", "--ttl", "1h", *HOME)
    told("set", "a", "2", *HOME)

    assert told("ttl", "a", *HOME) == "for ever\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["set", "a", "hello"], "the value is to be JSON, such as"),
        (["set", "a", ""], "the value is to be JSON"),
        (["set", "a", "1 2"], "the value is to be JSON"),
        (["set", "a", "[" * 300 + "]" * 300], "nested too deeply"),
        (["set", "a", '{"token": "[SECRET]"}'], "--reveal"),
        (["set", "a", '{"_type": "Set", "data": 1}'], "the value cannot be written: $"),
        (["set", "a", '{"_type": "Lock", "data": 1}', "--serializer", "msgpack"], "unknown tag 'Lock'"),
        (["set", "a", "1", "--ttl", "30"], "--ttl takes a duration such as"),
        (["set", "a", "1", "--ttl", "0s"], "--ttl: a time to live is more than 0"),
        (["set", "a", "1", "--ttl", "900000d"], "--ttl: a time to live is more than 0 and at most"),
        (["set", "a", "1", "--serializer", "yaml"], "expected the name of a serializer ('json', 'msgpack')"),
        (["get", "a", "--serializer", "json:dumps"], "expected a Serializer, got a function"),
        (["get", "a", "--serializer", "nowhere_at_all:X"], "cannot import"),
        (["set", "a", "1", "--store", "state.db?tabel=x"], "--store: sqlite takes the options table"),
        (["set", "a", "1", "--store", ""], "expected the URL of a backend"),
        (["set", "a", "1", "--store", "archive:a", "--store", "s.db"], "a home for its keys"),
        (["set", "a", "1", "--store", "a.db", "--store", "b.db"], "only a shared cache lies above"),
        (["ttl", "a", "--set", "1h", "--remove"], "choose one"),
        (["get", "a", "--key-file", "none.txt"], "cannot read the key file 'none.txt'"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(arguments: list[str], reason: str) -> None:
    result = store(*arguments)

    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert reason in line


def test_an_unknown_option_is_no_value() -> None:
    result = store("set", "a", "1", "--tll", "3")

    assert result.exit_code == 2
    assert "--tll" in result.stderr


def test_standard_input_must_be_text() -> None:
    result = store("set", "a", "-", text=b"\xff\xfe")

    assert result.exit_code == 2
    assert result.stderr == "error: standard input is to be UTF-8: invalid start byte at byte 0\n"


@pytest.mark.parametrize("key", ["", "k" * 600])
def test_what_can_be_no_key_is_told(key: str) -> None:
    result = store("set", key, "1", *HOME)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: a key ")


# keys, delete and ttl


def test_listing_keys_as_json_gives_one_object_a_line() -> None:
    told("set", "x/y", "1", "-N", "a/b", "-N", "c", "--ttl", "1h", *HOME)

    (row,) = told("keys", "--nested", "--json", *HOME).splitlines()

    shown = json.loads(row)
    assert (shown["namespace"], shown["key"], shown["ttl_ms"]) == (["a/b", "c"], "x/y", 3_600_000)


def test_a_key_with_control_characters_takes_one_line() -> None:
    keep({"a\nb\x1b": 1})

    assert told("keys", *HOME) == "a b \n"


def test_deleting_tells_programs_what_was_not_there() -> None:
    told("set", "a", "1", *HOME)

    assert json.loads(told("delete", "a", "b", "--json", *HOME)) == {"deleted": 1, "missing": ["b"]}


@pytest.mark.parametrize("change", [[], ["--set", "1h"], ["--remove"]])
def test_what_is_not_there_has_no_time_to_live(change: list[str]) -> None:
    keep({"b": 1})

    result = store("ttl", "a", *change, *HOME)

    assert (result.exit_code, result.stderr) == (1, "error: there is no key 'a'\n")
