"""Of which typed values the types tell that they come back the same, without reading them back."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from attrs import field, frozen, validators

from eliza_serializers.exact import exact_check
from eliza_serializers.json_format import JSON
from eliza_serializers.tags import built_in_table

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Role(Enum):
    USER = "user"


class Text(str):
    __slots__ = ()


@frozen(kw_only=True)
class Message:
    id: UUID = field(factory=uuid4)
    role: Role = Role.USER
    kind: Literal["said", "shown"] = "said"
    at: datetime = NOW
    tokens: int = 0
    score: float = 0.0
    reply_to: UUID | None = None
    tags: list[str] = field(factory=list)
    counts: dict[str, int] = field(factory=dict)
    metadata: Mapping[str, Any] = field(factory=dict)


@frozen
class Talk:
    messages: list[Message]


@frozen
class Checked:
    count: int = field(validator=validators.ge(0))


@frozen
class Alternatives:
    value: int | str


def check_of(annotation: Any, *, max_depth: int = 200) -> Callable[[Any], bool] | None:
    return exact_check(annotation, plain=JSON.plain, tags=built_in_table(), max_depth=max_depth)


def is_told(*messages: Message) -> bool:
    check = check_of(Talk)
    assert check is not None
    return check(Talk(list(messages)))


FULL = Message(
    tokens=3, score=0.5, reply_to=UUID(int=8), tags=["a"], counts={"a": 1}, metadata={"a": [1, {"b": None}]}
)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_values_of_the_declared_types_are_told(count: int):
    told = is_told(*[FULL] * count)

    assert told


def test_an_integer_of_any_size_is_told():
    told = is_told(Message(tokens=2**53))

    assert told


@pytest.mark.parametrize(
    "doubtful",
    [
        Message(score=math.nan),
        Message(score=math.inf),
        Message(score=1),
        Message(tokens=True),
        Message(at=NOW.astimezone(timezone(timedelta(hours=2)))),
        Message(at=NOW.replace(fold=1)),
        Message(tags=[Text("a")]),
        Message(tags=("a",)),  # type: ignore[arg-type]
        Message(reply_to="8"),  # type: ignore[arg-type]
        Message(kind="sung"),  # type: ignore[arg-type]
        Message(role="user"),  # type: ignore[arg-type]
        Message(counts={"_type": 1}),
        Message(counts={Text("a"): 1}),
        Message(counts={"a": 1.0}),  # type: ignore[dict-item]
        Message(metadata={"a": (1, 2)}),
        Message(metadata={"a": {"_type": "Set"}}),
    ],
)
@pytest.mark.parametrize("others", [(), (FULL, FULL)], ids=["alone", "among others"])
def test_what_may_come_back_different_is_left_to_reading(doubtful: Message, others: tuple[Message, ...]):
    told = is_told(*others, doubtful)

    assert not told


@pytest.mark.parametrize("annotation", [Checked, Alternatives, Any, list[Any]])
def test_of_some_types_only_reading_tells(annotation: Any):
    check = check_of(annotation)

    assert check is None


def test_data_without_a_declared_type_keeps_to_the_levels_that_remain():
    check = check_of(dict[str, Any], max_depth=2)
    assert check is not None

    assert (True, False) == (check({"a": [1]}), check({"a": [[1]]}))
