"""What is measured of a run, on what, and what is kept of it when a study is stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from event_logs import truth_of
from fakes import tiny_config, tiny_model
from studied import SMALL, run_of, small_log

from vigil.eval.behaviour import Pair
from vigil.eval.l5.run import MAIN
from vigil.eval.l5.score import BLIND, KINDS
from vigil.eval.log import Log, keep_log, read_log
from vigil.eval.study import scoring
from vigil.eval.study.arms import TWIN, arms_of
from vigil.eval.study.measures import is_constant
from vigil.eval.study.scoring import (
    SILENT,
    THRESHOLDS,
    Measured,
    Shelf,
    asked_offline,
    driven,
    due,
    guessed_offline,
    held_out,
)
from vigil.eval.study.training import Run
from vigil.stream.policy import Greedy, Threshold

# ---- shelves --------------------------------------------------------------------------------------------------------


def test_a_measurement_is_made_once_and_read_back(tmp_path: Path) -> None:
    shelf, made = Shelf(run=run_of(tmp_path)), []

    def make() -> Any:
        made.append(1)
        return [["where", True], [0.5, None]]

    first = shelf.json("x", make)
    assert shelf.json("x", make) == first == [["where", True], [0.5, None]]
    assert made == [1]
    assert shelf.json("y", make) == first
    assert len(made) == 2


def test_a_measurement_that_fails_leaves_nothing_that_could_be_read_back(tmp_path: Path) -> None:
    shelf = Shelf(run=run_of(tmp_path))

    def fail() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.json("x", fail)
    assert shelf.json("x", lambda: 3) == 3


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"replicates": 7}, True),
        ({"timed_frames": 7}, True),
        ({"scenes": 7}, False),
        ({"scene_s": 7.0}, False),
        ({"offline_videos": 7}, False),
        ({"l5_trials": 7}, False),
        ({"memory_frames": 7}, False),
        ({"text_tokens": 7}, False),
    ],
)
def test_measurements_with_other_settings_do_not_mix(tmp_path: Path, changes: dict[str, Any], is_same: bool) -> None:
    here, there = Shelf(run=run_of(tmp_path)).folder, Shelf(run=run_of(tmp_path, **changes)).folder
    assert here.parent == there.parent, "the model is the same"
    assert (here == there) is is_same


def test_logs_that_are_there_are_read_and_the_others_are_made(tmp_path: Path) -> None:
    shelf, asked = Shelf(run=run_of(tmp_path)), []

    def make(number: int) -> Log:
        asked.append(number)
        if number == 2 and len(asked) == 3:
            raise KeyboardInterrupt
        return small_log(f"reply {number}")

    with pytest.raises(KeyboardInterrupt):
        shelf.logs("free", make, 4)
    found = shelf.logs("free", make, 4)
    assert asked == [0, 1, 2, 2, 3]
    assert [log.speech[0].text for log in found] == [f"reply {n}" for n in range(4)]
    assert sorted(path.name for path in (shelf.folder / "free").iterdir()) == [f"{n:04d}.log.jsonl" for n in range(4)]


def test_a_log_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "0000.log.jsonl"
    monkeypatch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        keep_log(path, small_log("x"))
    monkeypatch.undo()
    assert not path.exists()
    keep_log(path, small_log("y"))
    assert read_log(path).speech[0].text == "y"


# ---- what is scored -------------------------------------------------------------------------------------------------


def test_half_of_the_held_out_scenes_are_panels_and_half_of_those_never_change() -> None:
    held = held_out(replace(SMALL, scenes=8))
    panels = [truth for scene, _, truth in held if scene.family == "panel"]
    assert (len(held), len(panels)) == (8, 4)
    assert [is_constant(truth) for truth in panels].count(True) == 2
    assert all(truth.questions[0].role == "item" for truth in panels)
    assert {scene.duration_s for scene, _, _ in held} == {SMALL.scene_s}
    assert all(scene.id.startswith("world:test:") for scene, _, _ in held)


def test_held_out_scenes_are_the_same_each_time_and_others_where_a_threshold_is_tuned() -> None:
    again = [held_out.__wrapped__(replace(SMALL, scenes=4)) for _ in range(2)]
    first, second = ([scene.id for scene, _, _ in one] for one in again)
    assert first == second
    val = held_out(replace(SMALL, scenes=6), "val")
    assert len(val) == 3
    assert all(scene.id.startswith("world:val:") for scene, _, _ in val)
    assert all(scene.family != "panel" for scene, _, _ in held_out(replace(SMALL, scenes=4, panel_share=0.0)))


def test_what_is_due_is_the_truth_of_the_conversation() -> None:
    scene, record, truth = held_out(replace(SMALL, scenes=4))[0]
    assert due(scene, record) == truth
    assert [q.t_ask for q in truth.questions] == [turn.ask_s for turn in record.turns if turn.question]


def test_offline_questions_come_after_videos_as_short_as_in_training() -> None:
    asked = asked_offline(replace(SMALL, offline_videos=3))
    assert len(asked) == 3
    assert {scene.duration_s for scene, _ in asked} == {2.0}, "a quarter of (4 + 4) frames at 1 fps"
    assert all(len(record.turns) == 1 for _, records in asked for record in records)


def turn(kind: str, text: str) -> Any:
    reply = SimpleNamespace(text=text, accept=(), at_s=0.0)
    return SimpleNamespace(turns=(SimpleNamespace(kind=kind, question="?", replies=(reply,)),))


def test_a_guess_is_the_most_common_answer_in_the_other_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    # five folds: video n is in fold n; "red" is the most common colour, but not where it would be its own evidence
    told = [[turn("colour", "red")], [turn("colour", "red")], [turn("colour", "blue")], [turn("colour", "blue")], []]
    told[4] = [turn("count", "two")]
    monkeypatch.setattr(scoring, "asked_offline", lambda scale: [(None, records) for records in told])
    assert guessed_offline(SMALL) == [
        [("colour", False)],  # the others say red, blue, blue
        [("colour", False)],
        [("colour", False)],  # the others say red, red, blue
        [("colour", False)],
        [("count", False)],  # nobody else was asked
    ]
    told[4] = [turn("colour", "Red")]
    assert [right for ((_, right),) in guessed_offline(SMALL)] == [False, False, False, False, True]


class Listed(Measured):
    """Notes what is measured instead of measuring it."""

    done: list[str]

    def __init__(self, run: Run) -> None:
        super().__init__(run)

    def _note(self, what: str) -> Any:
        self.done.append(what)
        return 0.5, []

    def offline(self) -> Any:
        return self._note("offline")

    def costed(self, design: str) -> Any:  # type: ignore[override]
        return self._note(f"costed {design}")

    def l5(self, design: str) -> Any:  # type: ignore[override]
        return self._note(f"l5 {design}")

    def free(self, policy: Any = None, name: str = "greedy") -> Any:
        return self._note("free")

    def silent(self) -> Any:
        return self._note("silent")

    def tuned(self) -> Any:
        return self._note("tuned")


@pytest.mark.parametrize(
    ("letters", "key", "expected"),
    [
        ("A", "full", ["offline", "costed beside", "l5 beside", "free"]),
        ("A", "twin", ["offline", "costed blocking", "l5 blocking", "costed inserted", "l5 inserted"]),
        ("B", "cut", ["offline", "l5 beside", "free"]),
        ("C", "focal", ["offline", "free", "silent", "tuned"]),
        ("C", "full", ["offline", "free", "silent", "tuned"]),
        ("D", "replay10", ["offline"]),
        ("D", "base", ["offline", "free"]),
        ("B", "focal", ["offline"]),
        ("AD", "full", ["offline", "costed beside", "l5 beside", "free"]),
    ],
)
def test_a_run_is_measured_by_what_its_studies_ask_for(
    letters: str, key: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(scoring, "Measured", type("Noted", (Listed,), {"done": done}))
    arm = next(arm for arm in arms_of(["A", "B", "C", "D"]) if arm.key == key)
    scoring.measure(run_of(tmp_path, arm), list(letters))  # type: ignore[arg-type]
    assert done == expected


@pytest.mark.parametrize(
    ("kept", "cost", "picked"),
    [
        # those that answer come before those that do not, then the cheapest, then the lowest threshold
        ({0.5: 1.0, 0.7: 1.0}, {0.5: 0.9, 0.7: 0.4, 0.1: 0.01}, 0.7),
        (dict.fromkeys(THRESHOLDS, 1.0), dict.fromkeys(THRESHOLDS, 0.5), THRESHOLDS[0]),
        ({}, {t: abs(t - 0.3) for t in THRESHOLDS}, 0.3),
        ({0.9: 0.95, 0.98: 0.949}, {0.98: 0.0, 0.9: 5.0}, 0.9),
        ({0.02: 1.0, 0.1: 1.0}, {0.02: None, 0.1: 3.0}, 0.1),
    ],
)
def test_the_threshold_is_that_of_the_least_cost_among_those_that_answer(
    kept: dict[float, float],
    cost: dict[float, float | None],
    picked: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    def watched(shelf: Shelf, name: str, system: Callable[[], Any], *, split: str = "test") -> list[Pair]:
        asked.append((name, split))
        return [(name, truth_of())]  # type: ignore[list-item]

    def of_streams(name: str, streams: list[Any]) -> Any:
        threshold = float(streams[0].removeprefix("val-"))
        return SimpleNamespace(
            value=kept.get(threshold, 0.5) if name == scoring.GUARANTEE else cost.get(threshold, 9.0)
        )

    monkeypatch.setattr(scoring, "watched", watched)
    monkeypatch.setattr(scoring, "score", lambda log, truth: log)
    monkeypatch.setattr(scoring, "of_streams", of_streams)
    found = Measured(run_of(tmp_path))
    threshold, _ = found.tuned()
    assert threshold == picked
    assert asked == [*((f"val-{t}", "val") for t in THRESHOLDS), (f"free-threshold-{picked}", "test")]
    asked.clear()
    assert Measured(run_of(tmp_path)).tuned()[0] == picked
    assert asked == [(f"free-threshold-{picked}", "test")], "the threshold is kept"


def test_each_design_is_driven_with_the_memory_of_its_scale(tmp_path: Path) -> None:
    run = run_of(tmp_path, memory_frames=5, text_tokens=77)
    system = driven(run, tiny_model(), "beside", policy=Threshold(0.5))
    assert (system.memory_frames, system.text_tokens, system.name) == (5, 77, run.folder.name)
    assert system.policy == Threshold(0.5)
    assert system.costs == scoring.FREE


def test_policies_have_logs_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Any, str]] = []

    def watched(shelf: Shelf, name: str, system: Callable[[], Any], *, split: str = "test") -> list[Pair]:
        seen.append((name, system().policy, system().design))
        return []

    from vigil.model.interleave import twin_of

    monkeypatch.setattr(scoring, "watched", watched)
    ours, twin = Measured(run_of(tmp_path)), Measured(run_of(tmp_path, TWIN))
    ours._model, twin._model = tiny_model(), tiny_model(twin_of(tiny_config()))
    ours.free()
    ours.silent()
    ours.costed("beside")
    twin.free()
    assert [(name, design) for name, _, design in seen] == [
        ("free-greedy", "beside"), ("free-silent", "beside"), ("cost-beside", "beside"), ("free-greedy", "inserted")
    ]  # fmt: skip
    assert [policy for _, policy, _ in seen] == [Greedy(), SILENT, Greedy(), Greedy()]


# ---- with a real model ----------------------------------------------------------------------------------------------


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    """A run whose model is a tiny one of the tests."""
    found = Measured(run_of(tmp_path, l5_trials=1, scenes=2, scene_s=3.0, offline_videos=2, panel_share=0.0))
    found._model = tiny_model()
    return found


def test_trials_are_played_once_and_read_back_with_their_blind_controls(measured: Measured) -> None:
    scores, blind = measured.l5("beside")
    assert [tuple(outcome.kind for outcome in trial) for trial in scores.outcomes] == [KINDS]
    assert len(blind) == len(BLIND)
    kept = json.loads((measured.shelf.folder / "l5-beside.json").read_text())
    assert set(kept) == {MAIN, *BLIND}
    again, _ = Measured(measured.run).l5("beside")  # whose folder holds no model
    assert again.outcomes == scores.outcomes


def test_answers_after_the_video_are_judged_question_by_question(measured: Measured) -> None:
    found = measured.offline()
    asked = asked_offline(measured.run.scale)
    assert [[kind for kind, _ in video] for video in found] == [
        [record.turns[0].kind for record in records] for _, records in asked
    ]
    assert not any(right for video in found for _, right in video), "random weights say no sentence"
    assert Measured(measured.run).offline() == found


def test_a_clock_that_costs_time_has_logs_beside_those_of_the_free_one(measured: Measured) -> None:
    free, costed = measured.free(), measured.costed("beside")
    assert [log.head.clock for log, _ in free] == ["free", "free"]
    assert [log.head.clock for log, _ in costed] == ["cost", "cost"]
    assert [truth for _, truth in free] == [truth for _, truth in costed]
    assert [log.end.t for log, _ in free] == [3.0, 3.0]
    silent = measured.silent()
    assert not any(log.speech for log, _ in silent)
    assert len(measured.shelf.logs("free-greedy", lambda number: pytest.fail("made again"), 2)) == 2
