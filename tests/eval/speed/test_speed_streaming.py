"""Spoken tokens and questions in a stream: what is timed, and the sums by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from very_small import SMALL, small_config

from vigil.eval.speed import decode, question
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import Ours, build
from vigil.eval.speed.decode import PROMPT, Speaker, in_turn
from vigil.eval.speed.figures import Bound, Figure, Part
from vigil.eval.speed.machine import Clock, Rates
from vigil.eval.speed.question import Listener
from vigil.eval.speed.talk import camera
from vigil.model import VideoModel
from vigil.model.interleave import twin_of
from vigil.stream.memory import FrameMemory
from vigil.stream.perceiver import Perceiver
from vigil.types import Frame

CPU = torch.device("cpu")
CLOCK = Clock(CPU)
PER_FRAME = 5


@pytest.fixture(scope="module")
def ours() -> VideoModel:
    return build(small_config(), CPU, torch.float32)


@pytest.fixture(scope="module")
def twin() -> VideoModel:
    return build(twin_of(small_config()), CPU, torch.float32)


@pytest.fixture
def bench(ours: VideoModel, twin: VideoModel) -> Bench:
    """A bench on which both models have been made."""
    made = {"vigil": Ours(ours, 4), "twin": Ours(twin, 4)}
    return Bench(SMALL, CPU, Rates(bytes_per_s=1e9, flops_per_s=1e9), _made=dict(made))


def by_name(part: Part) -> dict[str, Figure]:
    return {figure.name: figure for figure in part.figures}


# ---- spoken tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seen", "window", "kept"), [(2, 4, 2), (4, 4, 4), (9, 4, 4), (9, 9, 9)])
def test_a_speaker_keeps_what_its_window_holds(
    ours: VideoModel, twin: VideoModel, seen: int, window: int, kept: int
) -> None:
    speaker = Speaker(ours, seen, window, CLOCK)
    assert isinstance(speaker.frames, FrameMemory)
    keys, _ = speaker.frames.snapshot().layer(0)
    assert keys.shape[1] == kept * PER_FRAME
    assert len(speaker.text) == PROMPT
    beside = Speaker(twin, seen, window, CLOCK)
    assert len(beside.text) == PROMPT + kept * PER_FRAME, "in the twin they stand in the text"


def test_a_speaker_says_one_token_after_another_and_times_each(ours: VideoModel) -> None:
    speaker = Speaker(ours, 2, 4, CLOCK)
    for n in range(1, 4):
        speaker.say()
        assert len(speaker.times_ms) == n
        assert len(speaker.text) == PROMPT + n
        assert speaker.position == PROMPT + n
    assert all(ms >= 0 for ms in speaker.times_ms)


def test_times_are_milliseconds_of_the_clock(ours: VideoModel, monkeypatch: pytest.MonkeyPatch) -> None:
    speaker = Speaker(ours, 2, 4, CLOCK)
    readings = iter([10.0, 10.25, 20.0, 20.5])
    monkeypatch.setattr(Clock, "now_s", lambda self: next(readings))
    speaker.say()
    speaker.read()
    assert (speaker.times_ms, speaker.reads_ms) == ([250.0], [500.0])


def test_only_a_model_that_reads_frames_from_the_side_has_a_time_for_reading_them(
    ours: VideoModel, twin: VideoModel
) -> None:
    speakers = [Speaker(ours, 2, 4, CLOCK), Speaker(twin, 2, 4, CLOCK)]
    in_turn(speakers, 3)
    assert [len(one.times_ms) for one in speakers] == [3, 3]
    assert [len(one.reads_ms) for one in speakers] == [3, 0]
    assert speakers[0].reads_ms[0] < speakers[0].times_ms[0], "it is a part of what a token takes"


def test_settings_are_timed_in_turn() -> None:
    order: list[str] = []
    speakers = [
        SimpleNamespace(say=lambda n=n: order.append(f"say {n}"), read=lambda n=n: order.append(f"read {n}"))
        for n in "ab"
    ]
    in_turn(speakers, 2)  # type: ignore[arg-type]
    assert order == ["say a", "read a", "say b", "read b"] * 2


def test_a_row_has_the_medians(ours: VideoModel) -> None:
    speaker = Speaker(ours, 2, 4, CLOCK)
    speaker.times_ms[:], speaker.reads_ms[:] = [9.0, 1.0, 3.0], [0.5, 0.1]
    assert speaker.row("vigil, window 4") == {
        "who": "vigil, window 4", "frames_seen": 2, "window": 4, "ms_per_token": 3.0, "reads_ms": pytest.approx(0.3),
    }  # fmt: skip


def timed(model: VideoModel, seen: int, window: int, ms: float, reads_ms: float) -> Speaker:
    speaker = Speaker(model, seen, window, CLOCK)
    speaker.times_ms[:], speaker.reads_ms[:] = [ms], [reads_ms]
    return speaker


def test_what_grew_without_a_window_is_told_apart_from_what_reading_took(bench: Bench, ours: VideoModel) -> None:
    bounded = [timed(ours, 2, 4, 10.0, 1.0), timed(ours, 12, 4, 11.0, 1.0)]
    free = [timed(ours, 2, 2, 10.0, 1.0), timed(ours, 12, 12, 16.0, 5.0)]
    full = timed(ours, 8, 8, 20.0, 2.0)
    figures = {one.name: one for one in decode._figures(bench, bounded, free, full, 0.25)}
    assert figures["decode_tokens_per_s"].value == pytest.approx(50.0)
    assert figures["encoder_passes_per_token"].value == 0.25
    assert figures["decode_ratio_1024_over_16"].value == pytest.approx(1.1)
    assert figures["decode_ratio_unbounded"].value == pytest.approx(1.6)
    assert figures["decode_growth_beyond_reads"].value == pytest.approx((6.0 - 4.0) / 16.0)
    assert figures["decode_ratio_1024_over_16"].setting == "12 by 2 frames of stream, window 4"
    weights = 4 * (sum(p.numel() for p in ours.decoder.parameters()) - 1010 * 32)
    read = weights + 2 * 4 * 2 * 8 * (3 * PROMPT + 8 * PER_FRAME)
    fraction = read / 1e9 / 0.020
    assert figures["decode_bound_fraction"].value == pytest.approx(fraction)
    assert figures["decode_tokens_per_s"].bound == Bound("bandwidth", pytest.approx(fraction))


def test_passes_of_the_encoder_are_counted_while_tokens_are_spoken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A negative control: a model that looks while it speaks is found out."""
    say = Speaker.say

    def looks_too(self: Speaker) -> None:
        say(self)
        if self.model.config.fusion != "decoder-only":
            self.model.encode_frames(torch.zeros(1, 3, 56, 56))

    monkeypatch.setattr(Speaker, "say", looks_too)
    assert by_name(decode.decode(bench))["encoder_passes_per_token"].value == 1.0


def test_the_table_of_spoken_tokens_has_every_setting(bench: Bench) -> None:
    rows = decode.decode(bench).rows
    few, many = SMALL.stream_frames
    assert [(row["who"], row["frames_seen"], row["window"]) for row in rows] == [
        ("vigil, window 4", few, 4), ("vigil, window 4", many, 4),
        ("vigil, no window", few, few), ("vigil, no window", many, many),
        ("vigil", SMALL.frames, SMALL.frames),
        ("twin, no window", few, few), ("twin, no window", many, many),
    ]  # fmt: skip


# ---- from a question to its first word ------------------------------------------------------------------------------


def listener(model: VideoModel, frames: int) -> Listener:
    perceiver = Perceiver(model)
    seen = [perceiver.perceive(i, Frame(image, t)) for i, (image, t) in enumerate(camera(1.0, 2.0))]
    made = Listener(model, frames, CLOCK)
    made.watch(seen)
    return made


def test_a_listener_watches_in_silence_and_is_silent_again_after_its_answer(ours: VideoModel) -> None:
    made = listener(ours, 5)
    assert len(made.see_s) == 5
    assert made.session.due_s is None, "nothing is being said"
    for n in range(1, 3):
        made.ask()
        assert len(made.waited_s) == len(made.passes) == n
        assert made.session.due_s is None
        assert not made.mouth.is_open
    assert made.passes[0] >= 1, "at least the question's own prefill"


def test_a_listener_tells_the_median_wait_the_most_passes_and_the_later_frames(ours: VideoModel) -> None:
    made = Listener(ours, 4, CLOCK)
    made.waited_s, made.passes, made.see_s = [0.3, 0.1, 0.2], [1, 3, 2], [9.0, 9.0, 0.004, 0.006]
    assert made.row("vigil") == {
        "who": "vigil", "frames_seen": 4, "question_ms": pytest.approx(200.0), "passes": 3,
        "frame_taken_in_ms": pytest.approx(5.0),
    }  # fmt: skip


def test_the_figures_of_questions_by_hand(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = {
        ("cross-attention", 2): 0.1,
        ("cross-attention", 8): 0.15,
        ("decoder-only", 2): 0.2,
        ("decoder-only", 8): 0.4,
    }
    ask = Listener.ask

    def asked(self: Listener) -> None:
        ask(self)
        self.waited_s[-1] = waits[self.model.config.fusion, self.frames]
        self.passes[-1] = 3

    monkeypatch.setattr(Listener, "ask", asked)
    part = question.question(bench)
    figures = by_name(part)
    assert figures["ttft_question_s"].value == pytest.approx(0.15)
    assert figures["ttft_question_ratio"].value == pytest.approx(1.5)
    assert figures["ttft_question_steps"].value == 2, "the prefill of the question is not among them"
    assert figures["ttft_question_twin_s"].value == pytest.approx(0.4)
    assert figures["ttft_question_ratio"].setting == "8 by 2 frames seen"
    assert figures["ttft_question_s"].setting.startswith("8 frames seen, question of ")
    assert [(row["who"], row["frames_seen"]) for row in part.rows] == [
        ("vigil", 2), ("vigil", 8), ("twin", 2), ("twin", 8),
    ]  # fmt: skip
    assert figures["ttft_question_ratio"].bound is None
    assert figures["ttft_question_s"].bound is not None


@pytest.mark.parametrize(
    ("rates", "kind"), [(Rates(1e6, 1e12), "bandwidth"), (Rates(1e12, 1e6), "arithmetic")], ids=["memory", "products"]
)
def test_the_bound_of_a_question_is_the_larger_one(bench: Bench, rates: Rates, kind: str) -> None:
    bound = by_name(question.question(replace(bench, rates=rates)))["ttft_question_s"].bound
    assert bound is not None
    assert bound.kind == kind
