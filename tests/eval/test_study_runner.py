"""What is trained and measured for which study, in which order, and what was timed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from event_logs import truth_of
from studied import SMALL, run_of, small_log

from vigil.eval.behaviour import Pair
from vigil.eval.study import runner, timing
from vigil.eval.study.arms import FULL, STUDIES, TWIN, Letter
from vigil.eval.study.results import Results
from vigil.eval.study.runner import StudyJob, plan, runs_of
from vigil.eval.study.scale import StudyScale
from vigil.eval.study.scoring import (
    Measured,
    due,
)
from vigil.eval.study.training import Run, train
from vigil.model.tokens import Tokenizer

# ---- the runner -----------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path, study_folder: Path, tokenizer: Tokenizer) -> Callable[..., StudyJob]:
    """A job of some studies in folders of its own, in which the tokenizer has been made."""
    (tmp_path / "runs").mkdir()
    for path in study_folder.glob("tokenizer-*"):
        shutil.copy(path, tmp_path / "runs")

    def make(*letters: Letter, **changes: Any) -> StudyJob:
        scale = replace(SMALL, **changes)
        return StudyJob(letters=letters, scale=scale, out=tmp_path / "runs", docs=tmp_path / "docs")

    return make


@pytest.mark.parametrize(
    ("letters", "bases", "arms"),
    [
        (("A",), 2, ["full", "twin"]),
        (("B",), 1, ["full", "cut", "unrelated"]),
        (("D",), 1, ["full", "replay10", "replay30", "replay50"]),
        (("B", "C"), 1, ["full", "cut", "unrelated", "uniform", "by_tokens", "focal"]),
    ],
)
def test_the_runs_of_a_job(letters: Any, bases: int, arms: list[str], job: Callable[..., StudyJob]) -> None:
    found_bases, found = runs_of(job(*letters, seeds=2))
    assert len(found_bases) == 2 * bases
    assert [run.arm.key for run in found] == arms * 2
    assert {run.seed for run in found} == {0, 1}


def test_a_plan_counts_what_is_left(job: Callable[..., StudyJob], tokenizer: Tokenizer) -> None:
    planned = job("A", "B", seeds=2)
    lines = plan(planned)
    assert lines[0].startswith("cross-attention: ")
    assert lines[0].endswith(f"{SMALL.model(tokenizer, 'cross-attention').kv_bytes_per_frame:,} KV bytes per frame")
    assert lines[2] == "A: cross-attention; twin, blocking; twin, frames between steps"
    assert lines[4:7] == [
        "vision: 1 steps, 4 videos of 4 to 4 frames",
        "offline: 1 steps, 2 videos of 2 to 2 frames",
        "realtime: 1 steps, 2 videos of 4 to 4 frames",
    ]
    assert lines[-1] == "2 seeds: 4 bases and 8 real-time runs, 12 of them not trained yet"
    run = runs_of(planned)[1][0]
    run.model_folder.mkdir(parents=True)
    (run.model_folder / "model.safetensors").touch()
    (run.folder / "done").touch()
    assert plan(planned)[-1].endswith("11 of them not trained yet")


def test_bases_are_trained_before_what_goes_on_from_them_and_all_is_measured_afterwards(
    job: Callable[..., StudyJob], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def trained(run: Run) -> None:
        done.append(f"train {run.arm.key}")
        run.model_folder.mkdir(parents=True)
        (run.model_folder / "model.safetensors").touch()
        (run.folder / "done").touch()

    monkeypatch.setattr(runner, "train", trained)
    monkeypatch.setattr(runner, "measure", lambda run, letters: done.append(f"measure {run.arm.key} for {letters}"))
    for name in ("section", "keep"):
        monkeypatch.setattr(runner, name, lambda *given, **how: done.append("write") or "")
    monkeypatch.setattr(runner, "write_page", lambda scale, out, docs: docs / "study.md")
    work = job("B")
    assert runner.run_studies(work) == work.docs / "study.md"
    keys = ["base", "full", "cut", "unrelated"]
    assert done == [f"train {key}" for key in keys] + [f"measure {key} for ('B',)" for key in keys] + ["write"] * 2
    told = [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == ["train 1/1", *(f"train {n}/3" for n in (1, 2, 3)), *(f"measure {n}/4" for n in (1, 2, 3, 4))]
    done.clear()
    runner.run_studies(work)
    assert not any(what.startswith("train") for what in done)


@pytest.mark.slow
def test_several_processes_do_the_same_and_say_so(
    job: Callable[..., StudyJob], capsys: pytest.CaptureFixture[str]
) -> None:
    work = replace(job("B"), processes=2)
    runs = runs_of(work)[1]
    for run in runs:
        run.model_folder.mkdir(parents=True)
        (run.model_folder / "model.safetensors").touch()
        (run.folder / "done").touch()
    runner._each(work, "train", runs, train)  # they are trained, so each is done at once
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in told] == ["1/3", "2/3", "3/3"]
    assert {line.split()[2] for line in told} == {run.folder.name for run in runs}


def test_one_thread_is_for_this_process_and_its_children_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for before in (None, "7"):
        if before is None:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", before)
        threads = torch.get_num_threads()
        with suppress(KeyboardInterrupt), runner._one_thread():
            assert (os.environ["OMP_NUM_THREADS"], torch.get_num_threads()) == ("1", 1)
            raise KeyboardInterrupt
        assert (os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()) == (before, threads)


def test_parameters_of_an_arm_are_those_of_its_network(
    tmp_path: Path, tokenizer: Tokenizer, study_folder: Path
) -> None:
    from vigil.model.model import VideoModel

    work = StudyJob(letters=("A",), scale=SMALL, out=study_folder, docs=tmp_path)
    for arm in (FULL, TWIN):
        model = VideoModel(SMALL.model(tokenizer, arm.fusion))
        assert runner.parameters(work, arm) == sum(weight.numel() for weight in model.parameters())
    costs = runner._frame_costs(work, Results("A", SMALL, study_folder))
    cross, blocking, inserted = costs.values()
    assert blocking == inserted
    assert cross.multiplications < blocking.multiplications
    assert (2 * cross.kv_bytes, cross.kv_bytes) == (blocking.kv_bytes, 2 * 2 * 2 * 9 * 16)


# ---- times ----------------------------------------------------------------------------------------------------------


def test_a_question_near_the_end_of_a_long_stream_has_an_answer_that_changes_or_stays() -> None:
    scene, record = timing._asked_late(SMALL, 0, 30.0)
    assert scene.duration_s == record.duration_s == 30.0
    opening, turn = record.turns
    assert (opening.question, turn.question != "") == ("", True)
    assert turn.ask_s == 30.0 - timing.ASKED_BEFORE_END_S
    assert due(scene, record).values_of("q1") or due(scene, record).questions
    short = timing._asked_late(SMALL, 1, 6.0)[1]
    assert short.turns[1].ask_s == 0.5, "a short stream is asked at once"
    assert timing._asked_late(SMALL, 0, 30.0)[1] == record


def test_times_are_kept_by_what_they_depend_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def speed_of(model: Any, scale: StudyScale) -> timing.Speed:
        made.append("speed")
        return timing.Speed(
            first_token_offline_s=1.0, first_token_stream_s=2.0, ms_per_token=3.0, ms_per_frame=4.0
        )  # fmt: skip

    def long_streams(found: Measured, design: str) -> list[dict[str, Any]]:
        made.append(f"lengths {design}")
        return [{"length_s": 6.0}]

    monkeypatch.setattr(timing, "speed_of", speed_of)
    monkeypatch.setattr(timing, "long_streams", long_streams)
    found = Measured(run_of(tmp_path))
    found._model = SimpleNamespace()  # type: ignore[assignment]
    first = timing.timed(found, "beside", with_lengths=True)
    assert first["speed"]["ms_per_token"] == 3.0
    assert first["lengths"] == [{"length_s": 6.0}]
    assert timing.timed(found, "beside", with_lengths=True) == first
    assert "lengths" not in timing.timed(found, "beside", with_lengths=False)
    assert made == ["speed", "lengths beside"]
    timing.timed(found, "blocking", with_lengths=True)
    assert made == ["speed", "lengths beside", "lengths blocking"], "a network's speed is that of each of its designs"
    names = {path.name for path in found.shelf.folder.iterdir()}
    assert "speed-8-8.json" in names
    assert "lengths-beside-1-6-12-24.json" in names


def test_the_speed_of_a_model_is_measured_with_all_frames_in_memory() -> None:
    from fakes import tiny_model

    scale = replace(SMALL, timed_frames=6, forced_tokens=3)
    found = timing.speed_of(tiny_model(), scale)
    assert 0 < found.first_token_offline_s < 60
    assert 0 < found.first_token_stream_s < 60
    assert found.ms_per_token > 0
    assert found.ms_per_frame > 0


def test_a_speed_is_the_median_of_its_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    values = iter([9.0, 5.0, 1.0, 2.0])

    def once(model: Any, frames: Any, forced: int) -> timing.Speed:
        asked.append((len(frames), forced))
        x = next(values)
        return timing.Speed(first_token_offline_s=x, first_token_stream_s=-x, ms_per_token=x, ms_per_frame=x)

    monkeypatch.setattr(timing, "_once", once)
    found = timing.speed_of(None, replace(SMALL, timed_frames=7, forced_tokens=5))  # type: ignore[arg-type]
    assert asked == [(4, 4), (7, 5), (7, 5), (7, 5)], "four frames to warm up"
    assert (found.first_token_offline_s, found.first_token_stream_s) == (2.0, -2.0)


# ---- logs behind a table --------------------------------------------------------------------------------------------


def test_the_hash_of_a_study_is_that_of_all_its_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"full": "red", "cut": "red", "unrelated": "red"}

    def free(self: Measured, policy: Any = None, name: str = "greedy") -> list[Pair]:
        return [(small_log(said[self.run.arm.key]), truth_of())]

    monkeypatch.setattr(Measured, "free", free)
    first = Results("B", SMALL, tmp_path).log_hash
    assert len(first) == 64
    assert Results("B", SMALL, tmp_path).log_hash == first
    said["cut"] = "blue"
    assert Results("B", SMALL, tmp_path).log_hash != first


def test_rows_of_a_study_are_measured_as_its_question_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vigil.eval.l5.score import KINDS, Outcome, Scores

    pairs = [(small_log("x"), truth_of())]
    scores = Scores([[Outcome(kind=kind, hit=True) for kind in KINDS]])
    for name, value in {
        "offline": lambda self: [[("where", True)], [("where", False)]],
        "free": lambda self, policy=None, name="greedy": pairs,
        "silent": lambda self: pairs,
        "costed": lambda self, design: pairs,
        "tuned": lambda self: (0.5, pairs),
        "l5": lambda self, design: (scores, [scores]),
    }.items():
        monkeypatch.setattr(Measured, name, value)
    names: dict[str, set[str]] = {}
    for letter, study in STUDIES.items():
        measures = Results(letter, SMALL, tmp_path).measures
        assert list(measures) == [arm.label for arm in study.arms]
        names[letter] = set(measures[study.arms[0].label][0])
    assert names["D"] == {"offline", "offline_where"}
    assert names["A"] == names["B"]
    assert "l5_nl5" in names["B"]
    assert "l5_nl5" not in names["C"]
    assert {"aurc", "ece", "tuned_cost_0.3", "cost_0.3"} <= names["C"]
