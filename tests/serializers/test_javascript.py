"""Maps and sets are what a JavaScript reader with a reviver makes of them, and the other way round."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from eliza_serializers import JsonSerializer

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

# Reads what came as `_type` Map and Set into a Map and a Set, tells what it found, and writes it back.
PROGRAM = """
const input = require('fs').readFileSync(0, 'utf8');
const collections = { Map, Set };
const revive = (key, value) => {
  const make = value !== null && typeof value === 'object' ? collections[value._type] : undefined;
  return make === undefined ? value : new make(value.data);
};
const replace = (key, value) => {
  for (const [name, kind] of Object.entries(collections)) {
    if (value instanceof kind) return { _type: name, data: [...value] };
  }
  return value;
};
const found = JSON.parse(input, revive);
const kinds = {};
for (const [name, value] of Object.entries(found)) {
  kinds[name] = [value.constructor.name, value.size ?? null];
}
process.stdout.write(JSON.stringify({ kinds, text: JSON.stringify(found, replace) }));
"""

VALUE: dict[str, Any] = {
    "map": {1: "one", 2: {"nested": {3, 4}}},
    "set": {"a", "b", "é"},
    "frozen": frozenset({1, 2, 3}),
    "empty": set(),
    "deep": {(1, 2): {1: 2}},
    "object": {"x": 1},
    "list": [1.5, None, True, 2**53 - 1],
}


def in_node(text: str) -> dict[str, Any]:
    assert NODE is not None
    done = subprocess.run(
        [NODE, "-e", PROGRAM], input=text, capture_output=True, encoding="utf-8", check=True, timeout=20
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    return in_node(JsonSerializer().serialize(VALUE))


def test_maps_and_sets_are_maps_and_sets_there(seen: dict[str, Any]):
    assert seen["kinds"] == {
        "map": ["Map", 2],
        "set": ["Set", 3],
        "frozen": ["Set", 3],
        "empty": ["Set", 0],
        "deep": ["Map", 1],
        "object": ["Object", None],
        "list": ["Array", None],
    }


def test_what_javascript_writes_is_read_back(seen: dict[str, Any]):
    # A JavaScript Set knows no frozenness: it comes back as a plain set.
    assert {**VALUE, "frozen": {1, 2, 3}} == JsonSerializer().deserialize(seen["text"])
