import copy
import logging
import pickle
import traceback

import pytest
from attrs import field, frozen

from eliza_serializers import Secret, SerializationError
from tests.serializers.formats import Kind, document, every_kind

SECRET = Secret("hunter2")


@frozen
class Login:
    user: str
    password: Secret[str]
    codes: Secret[tuple[int, ...]] = field(factory=lambda: Secret(()))


@pytest.mark.parametrize("text", [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET!r:>10}", f"{[SECRET]}"])
def test_no_text_shows_the_content(text: str):
    assert "hunter2" not in text
    assert "[SECRET]" in text


def test_an_attrs_repr_a_log_and_a_traceback_do_not_show_it(caplog: pytest.LogCaptureFixture):
    login = Login("ada", SECRET)
    logging.getLogger("test").warning("login %s %r", login, SECRET)
    try:
        raise ValueError(login)
    except ValueError as error:
        lines = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "hunter2" not in repr(login) + caplog.text + lines.replace("hunter2')", "")


def test_it_reveals_to_code_that_asks():
    assert Secret("hunter2").reveal() == "hunter2"


@pytest.mark.parametrize("value", ["a", "\ud800", b"a", 1, (1, 2), None])
def test_equality_and_hash_go_by_value(value: object):
    assert Secret(value) == Secret(value)
    assert hash(Secret(value)) == hash(Secret(value))
    assert Secret(value) != Secret("other")
    assert Secret(value) != value


def test_it_is_always_true_and_has_no_items():
    assert Secret("")
    with pytest.raises(TypeError):
        iter(SECRET)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        len(SECRET)  # type: ignore[arg-type]


def test_it_is_frozen():
    with pytest.raises(AttributeError, match="frozen"):
        SECRET.value = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="frozen"):
        del SECRET.value  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_cannot_be_pickled(protocol: int):
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(SECRET, protocol)


def test_it_can_be_copied():
    assert copy.copy(SECRET) == SECRET
    assert copy.deepcopy([SECRET]) == [SECRET]


@every_kind
def test_what_is_stored_is_the_value(kind: Kind):
    serializer = kind()
    content = serializer.encode({"a": [SECRET]})

    assert b"hunter2" in content
    assert serializer.decode(content) == {"a": [SECRET]}


@every_kind
def test_a_field_of_secret_type_keeps_value_and_type(kind: Kind):
    serializer = kind()
    login = Login("ada", SECRET, Secret((1, 2)))

    assert login == serializer.decode(serializer.encode(login, as_type=Login), as_type=Login)


@every_kind
def test_a_view_shows_the_mask(kind: Kind):
    serializer = kind()
    masked = serializer.encode(Login("ada", SECRET), as_type=Login, mask_secrets=True)

    assert serializer.decode(serializer.encode({"a": SECRET}, mask_secrets=True)) == {"a": "[SECRET]"}
    assert serializer.decode(masked) == {"user": "ada", "password": "[SECRET]", "codes": "[SECRET]"}


@every_kind
def test_a_payload_may_hold_the_bare_content_but_not_the_mask(kind: Kind):
    serializer = kind()

    assert serializer.structure({"user": "ada", "password": "hunter2"}, Login) == Login("ada", SECRET)
    assert serializer.structure({"user": "ada", "password": SECRET}, Login) == Login("ada", SECRET)
    with pytest.raises(SerializationError, match=r"\$\.password"):
        serializer.structure({"user": "ada", "password": "[SECRET]"}, Login)


@every_kind
@pytest.mark.parametrize(
    "failing",
    [
        lambda s, _: s.encode(Secret({"hunter2": object()})),
        lambda s, _: s.encode(Login("ada", Secret(b"hunter2")), as_type=Login),  # type: ignore[arg-type]
        lambda s, _: s.structure({"user": "ada", "password": 1, "codes": ["hunter2"]}, Login),
        lambda s, read: s.decode(read('{"user": "ada", "password": "hunter2"}'), as_type=Login),
        lambda s, read: s.decode(read('{"_type":"Secret","data":{"_type":"Bytes","data":"hunter2"}}')),
        lambda s, read: s.decode(read('{"_type":"Secret","dat":"hunter2"}')),
        lambda s, read: s.decode(
            read('{"user":"a","password":{"_type":"Secret","data":["hunter2"]}}'), as_type=Login
        ),
    ],
)
def test_no_error_quotes_the_content(kind: Kind, failing):
    with pytest.raises(SerializationError) as caught:
        failing(kind(), lambda text: document(kind, text))

    shown = "".join(traceback.format_exception(caught.value, chain=True)[-1:]) + str(caught.value)
    assert "hunter2" not in shown
    assert "hunter2" not in str(caught.value.__context__)
