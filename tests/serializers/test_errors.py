import pickle

import pytest

from eliza_serializers import Secret, SerializationError
from eliza_serializers.errors import describe


def test_a_path_names_attributes_positions_and_awkward_keys():
    error = SerializationError("wrong").inside("lock").inside("a b").inside(3).inside("messages")

    assert error.path == "$.messages[3]['a b'].lock"
    assert str(error) == "$.messages[3]['a b'].lock: wrong"


def test_it_is_a_value_error_with_path_and_reason():
    error = SerializationError("wrong")

    assert isinstance(error, ValueError)
    assert (error.path, error.reason) == ("$", "wrong")


def test_it_crosses_processes():
    error = pickle.loads(pickle.dumps(SerializationError("wrong").inside("a")))

    assert str(error) == "$.a: wrong"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value", ["x" * 10_000, list(range(10_000)), [10**5000], Rude(), {"a": {"b": {"c": {}}}}]
)
def test_a_value_is_described_briefly_whatever_it_is(value: object):
    assert len(describe(value)) < 250


def test_a_description_masks_secrets():
    assert "hunter2" not in describe({"login": [Secret("hunter2")]})
