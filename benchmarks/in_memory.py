"""Dispatch in memory beside other packages' stores: the same reducer, and a subscriber where there can be."""

from __future__ import annotations

import asyncio
import functools
import json
import operator
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict

import attrs

from benchmarks.harness import Measure, Row, Skipped, apart, compare
from benchmarks.peers import peer
from benchmarks.talk import TEXT, Said, Talk
from eliza_state import evolve

EVENTS: Final = 20_000
FEW_EVENTS: Final = 500
"""What the slow sides take."""

NODE_FOLDER: Final = Path(sys.prefix) / "node"
SCRIPT: Final = Path(__file__).with_name("node") / "in_memory.cjs"
_SAID: Final = Said(id="m", user="ada", text=TEXT)


@attrs.frozen
class Other:
    """Another package's store: how it is measured, the bound, and what it does not do as ours."""

    name: str
    measure: Measure
    bound: float | None
    note: str = ""


def rows(ours: Measure, *, runs: int) -> Sequence[Row | Skipped]:
    """Measure our side, the microseconds of a dispatch, beside each package's in turn."""
    others = (
        Other("pydux", pydux, 2.0),
        Other("python-redux", python_redux, 1.0),
        Other("ADK InMemorySessionService", google_adk, 1 / 5, "no subscriber; keeps the events"),
        Other("eventsourcing, trigger", eventsourcing, None, "no subscriber; keeps the events"),
        Other("LangGraph InMemorySaver", langgraph, 1 / 50, "no subscriber; keeps the checkpoints"),
        *_on_node(),
    )
    return [other if isinstance(other, Skipped) else _row(ours, other, runs=runs) for other in others]


def _row(ours: Measure, other: Other, *, runs: int) -> Row:
    row = compare(
        "dispatch in memory",
        ours=ours,
        other=other.measure,
        other_name=other.name,
        unit="µs",
        bound=other.bound,
        runs=runs,
    )
    return attrs.evolve(row, note=other.note)


def _reduce(state: Talk, said: Said) -> Talk:
    return evolve(state, count=state.count + 1, last=said.text)


def _taken(dispatch: Callable[[], object], *, events: int = EVENTS) -> float:
    # The processor's time: nothing here waits, and what else the machine does is left out.
    with apart():
        started = time.process_time()
        for _ in range(events):
            dispatch()
        return (time.process_time() - started) / events * 1e6


def _itself(state: Talk) -> Talk:
    return state


def _ignore(_state: Talk) -> None:
    pass


def pydux() -> float:
    """Return the microseconds of a dispatch to pydux."""

    def reduce(state: Talk | None, action: dict[str, Any]) -> Talk:
        return _reduce(state or Talk(), action["said"]) if action["type"] == "said" else Talk()

    store = peer("pydux").create_store(reduce)
    store.subscribe(lambda: None)
    dispatch = store["dispatch"]  # the method of this name looks it up anew at each call
    return _taken(lambda: dispatch({"type": "said", "said": _SAID}))


def python_redux() -> float:
    """Return the microseconds of a dispatch to python-redux."""
    redux: Any = peer("redux")

    class SaidAction(redux.BaseAction):
        said: Said

    def reduce(state: Talk | None, action: Any) -> Talk:
        return _reduce(state or Talk(), action.said) if isinstance(action, SaidAction) else Talk()

    store = redux.Store(reduce, redux.StoreOptions(auto_init=True))
    store.autorun(_itself)(_ignore)
    taken = _taken(lambda: store.dispatch(SaidAction(said=_SAID)))
    store.clean_up()
    return taken


def google_adk() -> float:
    """Return the microseconds of an event that changes the state of a session."""
    event = peer("google.adk.events").Event
    actions = peer("google.adk.events.event_actions").EventActions
    service = peer("google.adk.sessions").InMemorySessionService()

    async def run() -> float:
        session = await service.create_session(app_name="eliza", user_id="ada", session_id="c")
        with apart():
            started = time.process_time()
            for number in range(FEW_EVENTS):
                delta = {"count": number + 1, "last": TEXT}
                await service.append_event(session, event(author="ada", actions=actions(state_delta=delta)))
            return (time.process_time() - started) / FEW_EVENTS * 1e6

    return asyncio.run(run())


def eventsourcing() -> float:
    """Return the microseconds of triggering an event of an aggregate, which nobody saves."""
    return _taken(partial(_conversation()().say, said=_SAID))


@functools.cache
def _conversation() -> Any:
    # Once: the package knows the classes of events by their names.
    aggregate: Any = peer("eventsourcing.domain").Aggregate
    triggers: Any = peer("eventsourcing.domain").event

    class Conversation(aggregate):
        @triggers("Started")
        def __init__(self) -> None:
            self.talk = Talk()

        @triggers("WasSaid")
        def say(self, said: Said) -> None:
            self.talk = _reduce(self.talk, said)

    return Conversation


class Counted(TypedDict):
    """The state of the graph."""

    count: Annotated[int, operator.add]
    last: str


def langgraph() -> float:
    """Return the microseconds of invoking a graph of one node that counts."""
    graph = peer("langgraph.graph")
    builder = graph.StateGraph(Counted)
    builder.add_node("say", _count)
    builder.add_edge(graph.START, "say")
    compiled = builder.compile(checkpointer=peer("langgraph.checkpoint.memory").InMemorySaver())
    config = {"configurable": {"thread_id": "c"}}
    return _taken(lambda: compiled.invoke({"last": TEXT}, config), events=FEW_EVENTS)


def _count(state: Counted) -> dict[str, Any]:
    return {"count": 1, "last": state["last"]}


def _on_node() -> Sequence[Other | Skipped]:
    node = shutil.which("node")
    if node is None or not (NODE_FOLDER / "node_modules").is_dir():
        return [Skipped("dispatch in memory, Redux", "needs node, and npm when the packages are installed")]
    another = "another language; its own reducer"
    return [
        Other("Redux on Node", partial(_node, node, "redux"), None, another),
        Other("Redux Toolkit on Node, as it comes", partial(_node, node, "toolkit"), 1.0, another),
        Other(
            "Redux Toolkit on Node, in production",
            partial(_node, node, "toolkit", mode="production"),
            None,
            f"{another}; nothing is checked",
        ),
    ]


def _node(node: str, store: str, *, mode: str = "development") -> float:
    done = subprocess.run(
        [node, SCRIPT, NODE_FOLDER, store, TEXT],
        env={**os.environ, "NODE_ENV": mode},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # on a busy machine Redux Toolkit complains of its own checks
        check=True,
    )
    return float(json.loads(done.stdout))
