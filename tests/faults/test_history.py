"""Notes outlive their process, and a history is put together from all its lives."""

from __future__ import annotations

from pathlib import Path

from tests.faults.history import DONE, FAILED, STARTED, Answer, Count, Operation, read_history
from tests.faults.notes import Notes, lives, read_notes


def noted(file: Path, *notes: list[object]) -> None:
    opened = Notes(file)
    for note in notes:
        opened.add(*note)
    opened.close()


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    noted(tmp_path / "notes", [STARTED, 3, 1.5])

    assert [[STARTED, 3, 1.5]] == list(read_notes(tmp_path / "notes"))


def test_a_last_note_that_is_torn_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    noted(file, [STARTED, 3, 1.5], [STARTED, 4, 1.75])
    file.write_bytes(file.read_bytes()[:-4])

    assert [[STARTED, 3, 1.5]] == list(read_notes(file))


def test_a_process_that_never_noted_anything_has_no_notes(tmp_path: Path) -> None:
    assert not list(read_notes(tmp_path / "notes"))


def test_lives_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for life in (0, 2, 10, 1):
        noted(tmp_path / f"worker-1.{life}.notes")
        noted(tmp_path / f"worker-11.{life}.notes")

    assert ["0", "1", "2", "10"] == [file.name.split(".")[1] for file in lives(tmp_path, "worker-1")]


def test_an_operation_goes_on_in_the_next_life(tmp_path: Path) -> None:
    noted(tmp_path / "worker-0.0.notes", [STARTED, 7, 1.0], [FAILED, 7, 1.5, "no"], [STARTED, 7, 2.0])
    noted(tmp_path / "worker-0.1.notes", [STARTED, 7, 3.0], [DONE, 7, 3.5, [[12, 4, True]]])

    expected = Operation(0, 7, 1.0, 3.5, attempts=3, answers=(Answer(12, 4, duplicate=True),))
    assert {7: expected} == read_history(tmp_path, 0).operations


def test_an_operation_without_an_answer_is_not_over(tmp_path: Path) -> None:
    noted(tmp_path / "worker-0.0.notes", [STARTED, 7, 1.0])
    operation = read_history(tmp_path, 0).operations[7]

    assert not operation.is_over
    assert not operation.is_done


def test_acknowledged_events_are_counted_while_they_are_noted(tmp_path: Path) -> None:
    count = Count(tmp_path, workers=2)
    noted(tmp_path / "worker-0.0.notes", [STARTED, 0, 1.0], [DONE, 0, 2.0, [[1, 1, False], [2, 2, False]]])
    before = count.acknowledged()
    noted(tmp_path / "worker-0.0.notes", [DONE, 4, 3.0, [[3, 3, False]]])
    noted(tmp_path / "worker-1.3.notes", [DONE, 0, 3.0, [[4, 1, False]]])

    assert (2, 4) == (before, count.acknowledged())
