"""Taking lines into a store: once each, in order, in spite of crashes and refusals."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest

from eliza_modules import AgentModule, ConversationModule, RoomModule, SystemModule
from eliza_state.cli import ingest
from eliza_state.cli.ingest import Ingestion, Source, Stopped, Tally
from eliza_state.errors import StoreError
from eliza_state.portal import SyncStateManager
from tests.eliza_state.cli.command import TRANSCRIPT, line, said

TEA = "agent:eliza/room:general/conversation:tea"
EARLY = line("message_edited", {"id": "m9", "text": "better"})


@pytest.fixture
def manager(tmp_path: FilePath) -> Iterator[SyncStateManager]:
    modules = [SystemModule(), AgentModule(), RoomModule(), ConversationModule()]
    url = f"sqlite:///{tmp_path}/state.db?synchronous=NORMAL"
    with SyncStateManager.open(url, modules=modules) as manager:
        yield manager


class Run:
    """One run over a source, with what it reported."""

    def __init__(
        self,
        manager: SyncStateManager,
        *texts: str,
        strict: bool = False,
        retry: bool = False,
        name: str = "chat.jsonl",
    ) -> None:
        self.refused: list[str] = []
        self.sizes: list[int] = []
        ingestion = Ingestion(
            manager,
            strict=strict,
            retry=retry,
            refused=self.refused.append,
            advanced=lambda _tally, size_bytes: self.sizes.append(size_bytes),
        )
        self.stopped = False
        try:
            ingestion.take(Source(name, f"logs/{name}", io.BytesIO("\n".join(texts).encode())))
        except Stopped:
            self.stopped = True
        self.tally = ingestion.tally


def messages(manager: SyncStateManager) -> list[str]:
    return [message.id for message in manager.at(TEA).state(ConversationModule).messages]


def test_lines_are_stored_in_their_order(manager: SyncStateManager) -> None:
    run = Run(manager, said("m1"), "", said("m2"), said("m3"))

    assert Tally(stored=3) == run.tally
    assert messages(manager) == ["m1", "m2", "m3"]
    assert manager.position() == 3


def test_a_second_run_changes_nothing(manager: SyncStateManager) -> None:
    Run(manager, said("m1"), said("m2"))

    run = Run(manager, said("m1"), said("m2"))

    assert Tally(present=2) == run.tally
    assert manager.position() == 2


def test_a_second_run_takes_what_was_added_to_the_file(manager: SyncStateManager) -> None:
    Run(manager, said("m1"))

    run = Run(manager, said("m1"), said("m2"))

    assert Tally(stored=1, present=1) == run.tally


def test_one_line_of_another_source_is_another_event(manager: SyncStateManager) -> None:
    joined = line("user_joined", {"user": "ada"}, conversation=None)
    Run(manager, joined)

    run = Run(manager, joined, name="other.jsonl")

    assert Tally(stored=1) == run.tally


def test_a_refused_line_is_reported_with_its_place_and_left_out(manager: SyncStateManager) -> None:
    run = Run(manager, said("m1"), said("m1"), "{", line("unheard_of", {}), said("m2", agent=7), said("m3"))

    assert Tally(stored=2, refused=4) == run.tally
    assert messages(manager) == ["m1", "m3"]
    places = [text.partition(": ")[0] for text in run.refused]
    assert places == [f"logs/chat.jsonl:{number}" for number in (2, 3, 4, 5)]
    assert "message 'm1' is in the conversation already" in run.refused[0]


def test_a_field_of_the_wrong_type_is_reported_by_name(manager: SyncStateManager) -> None:
    run = Run(manager, line("topic_updated", {"topic": 7}), line("topic_updated", {"topic": "", "mood": 1}))

    assert "topic_updated: $.topic" in run.refused[0]
    assert "topic_updated: $.mood" in run.refused[1]


def test_what_was_refused_stays_refused_when_lines_after_it_are_stored(manager: SyncStateManager) -> None:
    """A run that was cut short and one more end where a single run ends."""
    Run(manager, EARLY, said("m9"))

    run = Run(manager, EARLY, said("m9"), said("m10"))

    assert Tally(stored=1, present=1, refused=1) == run.tally
    assert "refused by an earlier run" in run.refused[0]
    assert manager.at(TEA).state(ConversationModule).messages["m9"].text == "hello"


def test_what_was_refused_is_judged_anew_on_demand(manager: SyncStateManager) -> None:
    Run(manager, EARLY, said("m9"))

    run = Run(manager, EARLY, said("m9"), retry=True)

    assert Tally(stored=1, present=1) == run.tally
    assert manager.at(TEA).state(ConversationModule).messages["m9"].text == "better"


def test_lines_after_the_last_stored_one_are_judged(manager: SyncStateManager) -> None:
    Run(manager, said("m1"), EARLY)

    run = Run(manager, said("m1"), EARLY, said("m9"))

    assert "no message 'm9' to edit" in run.refused[0]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("chunk", [2, 3, 4])
def test_a_run_cut_short_anywhere_is_completed(
    manager: SyncStateManager, cut: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "CHUNK_LINES", chunk)
    texts = [said("m1"), EARLY, said("m2"), said("m9"), EARLY, said("m3")]
    Run(manager, *texts[:cut])

    Run(manager, *texts)

    assert messages(manager) == ["m1", "m2", "m9", "m3"]
    assert manager.at(TEA).state(ConversationModule).messages["m9"].edits == 1
    assert manager.position() == 5


def test_strict_stops_at_the_first_refused_line(manager: SyncStateManager) -> None:
    run = Run(manager, said("m1"), said("m2"), said("m1"), said("m3"), strict=True)

    assert run.stopped
    assert messages(manager) == ["m1", "m2"]
    assert [text.partition(": ")[0] for text in run.refused] == ["logs/chat.jsonl:3"]


def test_strict_stops_at_a_malformed_line(manager: SyncStateManager) -> None:
    run = Run(manager, said("m1"), "{", said("m3"), strict=True)

    assert run.stopped
    assert Tally(stored=1, refused=1) == run.tally


def test_strict_takes_what_is_right_and_what_is_there(manager: SyncStateManager) -> None:
    Run(manager, said("m1"))

    run = Run(manager, said("m1"), said("m2"), strict=True)

    assert not run.stopped
    assert Tally(stored=1, present=1) == run.tally


def test_lines_of_an_ended_conversation_are_there_a_second_time(manager: SyncStateManager) -> None:
    texts = [said("m1"), line("conversation_ended", {}), said("m2")]
    assert "has ended" in Run(manager, *texts).refused[0]

    assert Tally(present=2, refused=1) == Run(manager, *texts).tally


def test_the_store_failing_is_no_refusal(manager: SyncStateManager) -> None:
    manager.close()

    with pytest.raises(StoreError, match="closed"):
        Ingestion(
            manager, strict=False, retry=False, refused=pytest.fail, advanced=lambda _tally, _bytes: None
        )


def test_all_bytes_are_told_as_progress(manager: SyncStateManager) -> None:
    run = Run(manager, said("m1"), said("m2"))

    assert sum(run.sizes) == len("\n".join([said("m1"), said("m2")]).encode())


def test_the_transcript_of_the_project_is_taken_whole(manager: SyncStateManager) -> None:
    """But for what the modules left out here would handle."""
    run = Run(manager, *TRANSCRIPT.splitlines())

    assert {text.split("'")[1] for text in run.refused} <= {
        "user_updated",
        "reaction_added",
        "delivery_updated",
    }
