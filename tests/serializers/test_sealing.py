"""Secrets that a serializer seals: who has the key reads them, who has none loses nothing."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from eliza_serializers import JsonSerializer, MsgpackSerializer, Secret, SecretLocked, SerializationError
from eliza_serializers.registry import serializer
from eliza_serializers.sealing import SecretKeys
from tests.serializers.formats import Kind, every_kind, ready_made_kinds
from tests.serializers.strategies import Level, Mood, Place, same, values

ROOT = Path(__file__).resolve().parents[2]
SOURCES = os.pathsep.join(str(ROOT / name) for name in (".", "modules", "serializers"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": SOURCES}

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = SecretKeys({"old": OLD})
BOTH = SecretKeys({"old": OLD, "new": NEW})
SECRET = Secret("hunter2")
FORGED = {"_type": "Secret", "sealed": True, "data": "old:aGk="}


@frozen
class Login:
    user: str
    password: Secret[str]
    codes: Secret[tuple[int, ...]] | None = None
    known: frozenset[Secret[str]] = frozenset()
    extra: Any = field(default=None)


LOGIN = Login(
    "ada",
    SECRET,
    Secret((1, 2)),
    frozenset({Secret("a"), Secret("b")}),
    {"deep": [Secret((3, Secret(b"4")))]},
)


def sealed(kind: Kind, value: Any = SECRET, *, keys: SecretKeys = KEYS) -> Any:
    """A value as it comes back to who has no keys."""
    return kind().decode(kind(secrets=keys).encode(value))


# what is written


@every_kind
def test_a_sealed_secret_is_nowhere_in_what_is_written(kind: Kind):
    content = kind(secrets=KEYS).encode(LOGIN, as_type=Login)

    assert b"hunter2" not in content
    assert b"sealed" in content


def test_the_form_in_json():
    text = JsonSerializer(secrets=KEYS).serialize(SECRET)
    found = JsonSerializer.format.decode(text.encode())[0]
    key_id, _, rest = found["data"].partition(":")

    assert ("Secret", True, "old") == (found["_type"], found["sealed"], key_id)
    assert 12 + len('"hunter2"') + 16 == len(base64.b64decode(rest, validate=True))


@every_kind
def test_the_same_secret_is_never_sealed_alike_twice(kind: Kind):
    serializer = kind(secrets=KEYS)

    assert 100 == len({serializer.encode(SECRET) for _ in range(100)})


@every_kind
def test_a_value_that_cannot_be_written_is_told_without_it(kind: Kind):
    with pytest.raises(
        SerializationError, match=r"\$\.password: cannot write the value of a Secret"
    ) as caught:
        kind(secrets=KEYS).encode(Login("ada", Secret(b"hunter2")), as_type=Login)  # type: ignore[arg-type]

    assert "hunter2" not in str(caught.value) + str(caught.value.__context__)


@every_kind
def test_a_view_shows_the_mask(kind: Kind):
    serializer = kind(secrets=KEYS)
    view = serializer.encode({"a": SECRET, "b": sealed(kind)}, mask_secrets=True)

    assert {"a": "[SECRET]", "b": "[SECRET]"} == serializer.decode(view)


# what is read with the key


@every_kind
def test_a_typed_value_comes_back(kind: Kind):
    serializer = kind(secrets=KEYS)

    assert LOGIN == serializer.decode(serializer.encode(LOGIN, as_type=Login), as_type=Login)


@ready_made_kinds
@given(value=values)
def test_any_value_comes_back(kind: Kind, value: Any):
    serializer = kind(secrets=BOTH)
    for cls in (Mood, Level, Place):
        serializer.register(cls)

    assert same(Secret(value), serializer.decode(serializer.encode(Secret(value))))


@ready_made_kinds
@given(value=values)
def test_any_value_goes_from_key_to_key(kind: Kind, value: Any):
    old, both, new = (kind(secrets=keys) for keys in (KEYS, BOTH, SecretKeys({"new": NEW})))
    for made in (old, both, new):
        for cls in (Mood, Level, Place):
            made.register(cls)
    locked = kind().decode(old.encode({"a": Secret(value)}))
    sealed_anew = both.encode(both.decode(kind().encode(locked)))

    assert same({"a": Secret(value)}, new.decode(sealed_anew))


@every_kind
def test_what_was_written_in_plain_is_read(kind: Kind):
    content = kind().encode(LOGIN, as_type=Login)

    assert LOGIN == kind(secrets=KEYS).decode(content, as_type=Login)


@every_kind
def test_each_is_read_with_the_key_it_names(kind: Kind):
    content = kind(secrets=KEYS).encode(SECRET)

    assert SECRET == kind(secrets=BOTH).decode(content)


@every_kind
def test_what_is_written_again_keeps_its_text(kind: Kind):
    serializer = kind(secrets=KEYS)
    content = serializer.encode(LOGIN, as_type=Login)

    assert content == serializer.encode(serializer.decode(content, as_type=Login), as_type=Login)


@every_kind
def test_a_text_keeps_its_text_where_its_type_is_declared_or_is_not_any_more(kind: Kind):
    serializer = kind(secrets=KEYS)
    secret = serializer.decode(serializer.encode(SECRET))
    written = serializer.encode(secret, as_type=Secret[str])

    assert serializer.encode(secret) == written
    assert written == serializer.encode(serializer.decode(written, as_type=Secret[str]))


@every_kind
def test_what_is_written_otherwise_under_another_type_is_sealed_anew(kind: Kind):
    serializer, declared = kind(secrets=KEYS), Secret[tuple[int, ...]]
    secret = serializer.decode(serializer.encode(Secret((1, 2)), as_type=declared), as_type=declared)

    assert Secret((1, 2)) == serializer.decode(serializer.encode(secret))


@every_kind
def test_what_another_key_sealed_is_sealed_anew(kind: Kind):
    serializer = kind(secrets=BOTH)
    login = serializer.decode(kind(secrets=KEYS).encode(LOGIN, as_type=Login), as_type=Login)
    content = serializer.encode(login, as_type=Login)

    assert b"old:" not in content
    assert LOGIN == kind(secrets=SecretKeys({"new": NEW})).decode(content, as_type=Login)


@every_kind
def test_keys_of_one_id_are_not_taken_for_each_other(kind: Kind):
    ours = kind(secrets=SecretKeys({"old": NEW}))
    content = ours.encode(kind(secrets=KEYS).decode(kind(secrets=KEYS).encode(SECRET)))

    assert SECRET == ours.decode(content)


def test_a_sealed_secret_goes_from_one_format_to_another():
    as_json, packed = JsonSerializer(), MsgpackSerializer(secrets=KEYS)
    locked = as_json.decode(JsonSerializer(secrets=KEYS).encode([Secret({1: b"2"})]))

    assert [Secret({1: b"2"})] == packed.decode(MsgpackSerializer().encode(locked))


# what is read without the key


@every_kind
def test_without_keys_a_value_is_read_and_written_as_it_was(kind: Kind):
    content = kind(secrets=KEYS).encode(LOGIN, as_type=Login)
    login = kind().decode(content, as_type=Login)

    assert content == kind().encode(login, as_type=Login)
    assert "hunter2" not in repr(login)


@every_kind
@pytest.mark.parametrize("keys", [None, SecretKeys({"new": NEW})])
def test_without_its_key_it_says_which_one_it_needs(kind: Kind, keys: SecretKeys | None):
    secret = kind(secrets=keys).decode(kind(secrets=KEYS).encode(SECRET))

    with pytest.raises(SecretLocked, match="'old'") as caught:
        secret.reveal()
    assert "old" == caught.value.key_id


@every_kind
def test_another_key_of_the_same_id_does_not_open_it(kind: Kind):
    secret = kind(secrets=SecretKeys({"old": NEW})).decode(kind(secrets=KEYS).encode(SECRET))

    with pytest.raises(SecretLocked, match="another key"):
        secret.reveal()


@every_kind
def test_who_has_another_key_writes_it_as_it_was(kind: Kind):
    content, other = kind(secrets=KEYS).encode(SECRET), kind(secrets=SecretKeys({"new": NEW}))

    assert content == other.encode(other.decode(content))


@every_kind
@pytest.mark.parametrize("text", ["", ":", "old", "old:", "old:?", "old:aGk=", "Ö:aGk=", "old:é", "hunter2"])
def test_a_damaged_one_is_read_and_does_not_open(kind: Kind, text: str):
    content = kind.format.encode({"_type": "Secret", "sealed": True, "data": text})
    secret = kind(secrets=KEYS).decode(content)

    with pytest.raises(SecretLocked) as caught:
        secret.reveal()
    assert "hunter2" not in str(caught.value)
    assert content == kind(secrets=KEYS).encode(secret)


@given(st.data())
def test_a_flipped_character_anywhere_is_noticed(data: Any):
    text = KEYS.seal(b"content")
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != text[position]))
    changed = text[:position] + other + text[position + 1 :]

    try:
        assert b"content" == KEYS.unseal(changed)
        # base64 leaves the last bits before its padding open.
        assert base64.b64decode(text[4:]) == base64.b64decode(changed[4:])
    except SecretLocked:
        pass


@every_kind
def test_content_that_is_not_what_its_type_says_does_not_open(kind: Kind):
    serializer = kind(secrets=KEYS)
    untyped = serializer.format.decode(serializer.encode({"user": "ada", "password": Secret(["hunter2"])}))[0]
    login = serializer.decode(serializer.format.encode(untyped), as_type=Login)

    with pytest.raises(SecretLocked, match="not what its type says") as caught:
        login.password.reveal()
    assert caught.value.__context__ is None


def test_a_locked_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(SecretLocked("why", key_id="old")))

    assert ("why", "old", "the secret is locked: why") == (error.reason, error.key_id, str(error))


# comparing


@every_kind
def test_opened_ones_are_compared_by_value(kind: Kind):
    serializer = kind(secrets=KEYS)
    once, twice = (serializer.decode(serializer.encode(SECRET)) for _ in range(2))

    assert once == twice == SECRET
    assert {once, twice, SECRET} == {SECRET}


@every_kind
def test_locked_ones_are_compared_by_text(kind: Kind):
    content = kind(secrets=KEYS).encode(SECRET)
    locked, again = kind().decode(content), kind().decode(content)

    assert locked == again
    assert hash(locked) == hash(again)
    assert locked != sealed(kind)
    assert locked != SECRET
    assert locked != kind(secrets=KEYS).decode(content)


@every_kind
def test_a_locked_one_can_be_copied(kind: Kind):
    locked = sealed(kind)

    assert locked == copy.deepcopy(locked)
    assert "[SECRET]" == f"{locked}"


# what callers hand in


@every_kind
@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"password": FORGED}, r"\$\.password"),
        ({"password": {**FORGED, "data": 5}}, r"\$\.password"),
        ({"password": {**FORGED, "sealed": 1}}, r"\$\.password"),
        ({"password": "a", "extra": [FORGED]}, r"\$\.extra\[0\]"),
        ({"password": "a", "known": [FORGED]}, r"\$\.known\[0\]"),
    ],
)
def test_a_payload_holds_no_sealed_secret(kind: Kind, payload: Any, path: str):
    with pytest.raises(SerializationError, match=path):
        kind(secrets=KEYS).structure({"user": "ada", **payload}, Login)


@every_kind
def test_nor_one_that_was_copied_from_a_store(kind: Kind):
    serializer = kind(secrets=KEYS)
    copied = serializer.format.decode(serializer.encode(LOGIN, as_type=Login))[0]

    with pytest.raises(SerializationError, match="only a store may hold that"):
        serializer.structure(copied, Login)


@every_kind
def test_data_from_a_store_may_hold_sealed_secrets(kind: Kind):
    serializer = kind(secrets=KEYS)
    kept = serializer.format.decode(serializer.encode(LOGIN, as_type=Login))[0]

    assert LOGIN == serializer.structure(kept, Login, from_store=True)


@every_kind
def test_a_sealed_secret_read_without_its_type_takes_the_declared_one(kind: Kind):
    serializer = kind(secrets=KEYS)
    login = Login("ada", SECRET, Secret((1, 2)))
    found = serializer.decode(serializer.encode(login, as_type=Login))
    fields = {name: found[name] for name in ("user", "password", "codes")}

    assert login == serializer.structure(fields, Login)


@every_kind
def test_sealed_text_of_another_kind_is_refused_where_it_is_read(kind: Kind):
    with pytest.raises(SerializationError, match=r"\$: expected the sealed text of a Secret, got a list"):
        kind().decode(kind.format.encode({"_type": "Secret", "sealed": True, "data": ["hunter2"]}))


# keys


def test_a_key_ring_shows_ids_alone():
    assert "<SecretKeys old, new; current new>" == repr(BOTH)


@pytest.mark.parametrize(
    ("keys", "current", "error"),
    [
        ({}, None, ValueError),
        ({"old": OLD}, "new", ValueError),
        ({"Old": OLD}, None, ValueError),
        ({"old": OLD[:-1]}, None, ValueError),
        ({"old": "o" * 32}, None, TypeError),
    ],
)
def test_what_is_no_key_is_refused(keys: Any, current: str | None, error: type[Exception]):
    with pytest.raises(error) as caught:
        SecretKeys(keys, current=current)

    assert "oooo" not in str(caught.value)


def test_secrets_may_be_keys():
    assert b"a" == SecretKeys({"old": Secret(OLD)}).unseal(KEYS.seal(b"a"))


def test_a_serializer_is_made_by_name_with_keys():
    made = serializer("msgpack", secrets=KEYS)

    assert KEYS is made.secrets
    assert b"hunter2" not in made.encode(SECRET)


def test_sealed_secrets_are_read_where_the_package_for_encryption_is_not_installed():
    script = (
        "import sys; sys.modules['cryptography'] = None; import eliza_state\n"
        "from eliza_serializers import JsonSerializer\n"
        "text = sys.argv[1].encode()\n"
        "assert text == JsonSerializer().encode(JsonSerializer().decode(text))"
    )
    text = JsonSerializer(secrets=KEYS).serialize({"a": SECRET})

    subprocess.run([sys.executable, "-c", script, text], check=True, timeout=60, cwd=ROOT, env=ENVIRONMENT)
