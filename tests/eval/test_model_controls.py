"""The controls that run the measured model itself: what they are shown, asked, and how fast they speak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fakes import ScriptedModel, picture, tiny_model

from vigil.data.records import Record, Turn
from vigil.eval.controls import OF_THE_MODEL
from vigil.eval.door import System
from vigil.eval.model_controls import NEWEST, model_systems, offline_controls, watch_controls
from vigil.eval.offline import OfflineConfig
from vigil.eval.recent import recent_n
from vigil.eval.run import BehaviourConfig
from vigil.model.tokens import SILENCE
from vigil.types import Frame

RECORD = Record(
    id="x",
    video="x",
    duration_s=6.0,
    fps=1.0,
    offline=False,
    turns=(
        Turn(ask_s=0.0, question="", kind="opening", replies=()),
        Turn(ask_s=1.5, question="What?", kind="state", replies=()),
        Turn(ask_s=3.0, question="Tell me.", kind="alert", standing=True, replies=()),
    ),
)
CONFIG = BehaviourConfig(duration_s=6.0, fps=2.0, tokens_per_s=5.0, seed=7)
FRAMES = np.stack([picture(i) for i in range(12)])


def test_there_is_one_system_for_each_control_of_the_model() -> None:
    assert tuple(model_systems(tiny_model(), fps=1.0)) == OF_THE_MODEL
    assert {name: NEWEST[name] for name in OF_THE_MODEL} == {"text_only": 0, "recent_4": 4, "recent_16": 16}


def test_controls_are_asked_what_the_measured_run_was_asked_on_its_clock_and_at_its_pace() -> None:
    system: dict[str, System] = {"main": recent_n(Shown(), 4, poll_hz=0.5)}
    (log,) = watch_controls(system, RECORD, FRAMES, end_s=6.0, config=CONFIG).values()
    assert [(prompt.t, prompt.text, prompt.direct) for prompt in log.prompts] == [
        (1.5, "What?", True),
        (3.0, "Tell me.", False),
    ]
    assert (log.head.clock, log.head.fps, log.head.seed, log.end.t) == ("free", 2.0, 7, 6.0)
    (first, *_) = log.speech
    assert [round(b - a, 6) for a, b in zip(first.tau, first.tau[1:], strict=False)] == [0.2] * (len(first.tau) - 1)


class Shown:
    """Answers with the times of the frames that it is shown."""

    def answer(self, frames: Sequence[Frame], question: str) -> str:
        return " ".join(f"{frame.time_s:g}" for frame in frames)


def test_the_newest_frames_are_polled_every_two_seconds_while_a_question_is_open() -> None:
    system: dict[str, System] = {"recent_4": recent_n(Shown(), 4, poll_hz=0.5)}
    log = watch_controls(system, RECORD, FRAMES, end_s=6.0, config=CONFIG)["recent_4"]
    assert [(speech.q, speech.text) for speech in log.speech] == [
        ("q1", "0 0.5 1 1.5"),  # frame 1.5 comes before the question of that moment
        ("q2", "1.5 2 2.5 3"),
        ("q2", "3.5 4 4.5 5"),
    ]


def test_without_pictures_the_model_decides_in_no_slot_of_a_frame() -> None:
    model = ScriptedModel(SILENCE, "Red.", SILENCE)
    log = watch_controls(model_systems(model, fps=2.0), RECORD, FRAMES, end_s=6.0, config=CONFIG)["text_only"]
    assert len(log.drops) == len(log.frames) == 12
    assert {row.vis for row in log.decisions} == {-1}
    assert [(speech.q, speech.tokens[0].vis) for speech in log.speech] == [("q1", -1)]
    assert [row.w for row in log.decisions] == [0.0, 1.5, 2.3, 3.0]  # at the start, when asked, and after its answer


@pytest.mark.parametrize(("duration_s", "shown"), [(24.0, {4, 16}), (6.0, {4, 6})], ids=["long", "shorter-than-16"])
def test_offline_the_newest_frames_are_shown_and_all_of_a_video_that_has_no_more(
    duration_s: float, shown: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = ScriptedModel(), []  # without a frame it says nothing
    encode = model.encode_frames

    def noting(pixels: Any) -> Any:
        seen.append(pixels.shape[1])
        return encode(pixels)

    monkeypatch.setattr(model, "encode_frames", noting)
    monkeypatch.setattr("vigil.eval.offline.MAX_TOKENS", 1)
    found = offline_controls(model, config=OfflineConfig(split="val", num_questions=1, duration_s=duration_s))
    assert set(seen) == shown
    assert list(found) == list(OF_THE_MODEL)
    assert {one["n"] for one in found.values()} == {1}
    assert all(0.0 <= (one["value"] or 0.0) <= 1.0 for one in found.values())


def test_a_clock_of_the_controls_costs_nothing_but_the_pace() -> None:
    log = watch_controls({"x": recent_n(Shown(), 1, poll_hz=9.0)}, RECORD, FRAMES, end_s=6.0, config=CONFIG)["x"]
    assert log.speech[0].tau[0] == 1.5  # its first word stands where it was asked
