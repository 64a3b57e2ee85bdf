"""The logs of a run, and its progress on a terminal that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vigil.train import progress as progress_module
from vigil.train.journal import Journal
from vigil.train.mixture import Skip
from vigil.train.optim import share_of_top
from vigil.train.progress import Progress


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_reports_and_skipped_examples_are_lines_with_stage_and_step(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "one", first_step=0)
    journal.report(10, {"loss": 0.5})
    journal.skip(10, [Skip("é.jsonl #3", "no file"), Skip("b", "too long")])
    journal.skip(20, [])
    journal.close()
    assert rows(tmp_path / "train.jsonl") == [{"stage": "one", "step": 10, "loss": 0.5}]
    assert rows(tmp_path / "skipped.jsonl") == [
        {"stage": "one", "step": 10, "name": "é.jsonl #3", "reason": "no file"},
        {"stage": "one", "step": 10, "name": "b", "reason": "too long"},
    ]
    assert journal.num_skipped == 2


def test_a_run_that_goes_on_forgets_what_it_will_write_again_and_nothing_of_other_stages(tmp_path: Path) -> None:
    for stage in ("one", "two"):
        journal = Journal(tmp_path, stage, first_step=0)
        for step in (1, 2, 3):
            journal.report(step, {"loss": float(step)})
            journal.skip(step, [Skip(f"{stage} {step}", "")])
    journal = Journal(tmp_path, "two", first_step=2)
    kept = [("one", 1), ("one", 2), ("one", 3), ("two", 1), ("two", 2)]
    assert [(row["stage"], row["step"]) for row in rows(tmp_path / "train.jsonl")] == kept
    assert [(row["stage"], row["step"]) for row in rows(tmp_path / "skipped.jsonl")] == kept
    assert journal.num_skipped == 2, "those of its own stage"


def test_a_line_that_was_cut_by_a_power_failure_is_forgotten(tmp_path: Path) -> None:
    Journal(tmp_path, "one", first_step=0).report(1, {"loss": 1.0})
    with (tmp_path / "train.jsonl").open("a") as log:
        log.write('{"stage": "one", "step": 2, "lo')
    Journal(tmp_path, "one", first_step=5).report(6, {"loss": 2.0})
    assert [row["step"] for row in rows(tmp_path / "train.jsonl")] == [1, 6]


def test_no_log_is_written_before_there_is_something_to_say(tmp_path: Path) -> None:
    Journal(tmp_path, "one", first_step=0).skip(1, [])
    assert list(tmp_path.iterdir()) == []


# ---- progress -------------------------------------------------------------------------------------------------------


class Hand:
    """A clock that moves when it is told to."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    clock = Hand()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def test_without_a_terminal_there_is_a_line_a_minute_and_one_at_the_end(
    hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("vision", 40, 10) as bar:
        for step in range(10, 40):
            hand.now_s += 10.0
            bar.step(step, f"loss {step}")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "vision 17/40  loss 16  230 s left",
        "vision 24/40  loss 23  160 s left",
        "vision 31/40  loss 30  90 s left",
        "vision 38/40  loss 37  20 s left",
        "vision 40/40  loss 39  0 s left",
    ]
    assert bar.rate == pytest.approx(0.1), "steps since it was started again, not since the first one"


def test_the_other_processes_say_nothing(hand: Hand, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("vision", 2, 0, quiet=True) as bar:
        for step in range(2):
            hand.now_s += 100.0
            bar.step(step, "")
    assert capsys.readouterr().err == ""
    assert bar.rate == pytest.approx(0.01)


def test_no_warm_up_and_no_decay_is_a_constant_rate() -> None:
    assert {share_of_top(step, num_steps=9, warmup=0, decay_from=1.0) for step in range(9)} == {1.0}
