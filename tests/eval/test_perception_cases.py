"""Continuous perception at its edges: what counts as during speech, which words have a slope, drift over hours."""

from __future__ import annotations

import math
from typing import Any

import pytest
from event_logs import decide, frame, log_of, near, tokens

from vigil.eval.log import Log
from vigil.eval.perception import Perception, endurance, perceive, pool_perception


def every_second(num: int, **options: Any) -> list[dict[str, Any]]:
    return [row for i in range(num) for row in frame(i, float(i), **options)]


@pytest.mark.parametrize(
    ("times", "num"),
    [
        ([0.5, 0.9], 0),  # no frame between its words
        ([0.5, 1.0], 1),  # both ends belong to it
        ([1.0, 2.0], 2),
        ([1.0], 1),
        ([0.5, 3.5], 3),
    ],
)
def test_a_frame_counts_as_during_speech_from_the_first_word_to_the_last(times: list[float], num: int) -> None:
    seen = perceive(log_of(*every_second(5), *tokens("a", times, [0] * len(times))))
    assert seen.frames_during_speech == num


def test_a_frame_during_two_answers_counts_once() -> None:
    rows = [*every_second(4), *tokens("a", [0.5, 1.5], [0, 0]), *tokens("b", [0.5, 1.5], [0, 0])]
    assert perceive(log_of(*rows)).frames_during_speech == 1


@pytest.mark.parametrize(("ready_s", "share"), [(0.0, 1.0), (1.0, 1.0), (1.001, 0.0), (None, 0.0)])
def test_a_frame_is_on_time_within_its_tolerance_and_one_that_never_gets_ready_is_late(
    ready_s: float | None, share: float
) -> None:
    rows = [*frame(0, 0.0), *tokens("a", [0.5, 1.5], [0, 0]), *frame(1, 1.0, ready_s=ready_s)]
    assert perceive(log_of(*rows)).on_time_ingest == share


def test_the_frame_period_is_on_the_run_clock() -> None:
    log = log_of(*frame(0, 0.0), *tokens("a", [0.1, 0.6], [0, 0]), *frame(1, 0.5, ready_s=0.2), fps=2.0, speed=4.0)
    assert log.frame_period_w == 0.125
    assert perceive(log).on_time_ingest == 0.0
    assert perceive(log, on_time_s=0.2).on_time_ingest == 1.0


@pytest.mark.parametrize(
    ("times", "short"),
    [
        ([0.0, 1.0, 2.0], 0),  # exactly two frame periods
        ([0.0, 1.0, 1.99], 1),
        ([0.0, 9.0], 1),  # two words
        ([0.0], 1),
    ],
)
def test_a_slope_needs_three_words_over_two_frame_periods(times: list[float], short: int) -> None:
    seen = perceive(log_of(*every_second(1), *tokens("a", times, [0] * len(times))))
    assert seen.short_utterances == short
    assert (seen.lag_slope is None) == bool(short)


def test_words_without_a_frame_take_no_part_in_the_slope_of_their_utterance() -> None:
    blind = tokens("a", [0.5, 1.5, 2.5, 3.5, 4.5], [-1, 0, 0, 0, 0])
    rows = [{"k": "frame", "i": 0, "t": 1.0, "w": 1.0}, {"k": "ready", "i": 0, "w": 1.0}]
    seen = perceive(log_of(*rows, *blind))
    assert (seen.lag_slope, seen.sxx, seen.blind_tokens) == (near(1.0), near(5.0), 1)
    never = perceive(log_of(*tokens("a", [0.5, 1.5, 2.5], [-1, -1, -1])))
    assert (never.lag_slope, never.blind_tokens, never.short_utterances) == (None, 3, 0)


def test_slopes_are_pooled_within_utterances_and_not_across_them() -> None:
    # Each answer sees its own frame and no newer one: within, the lag grows by 1 s per s; across, it starts anew.
    rows = every_second(8)
    rows += [*tokens("a", [0.5, 1.5, 2.5], [0, 0, 0]), *tokens("b", [4.5, 5.5, 6.5], [4, 4, 4])]
    seen = perceive(log_of(*rows))
    assert seen.lag_slope == near(1.0)
    assert seen.sxx == near(4.0)
    assert seen.lags(first=True) == [0.5, 0.5]
    assert seen.lag_summary(first=False) == {"mean_s": near(2.0), "p95_s": near(2.5), "max_s": near(2.5)}


def test_excess_counts_frames_that_had_arrived_though_none_was_ready() -> None:
    rows = [*frame(0, 0.0), *frame(1, 1.0, ready_s=5.0), *frame(2, 2.0, ready_s=None), *tokens("a", [2.5], [0])]
    assert [(sight.lag_s, sight.excess_s) for sight in perceive(log_of(*rows)).sights] == [(2.5, 2.0)]


@pytest.mark.parametrize(
    ("times", "frames", "stall"),
    [
        ([0.1, 0.2, 0.3], [], None),
        ([0.1, 0.2, 0.5], [0.3], 0.2 / 0.3),  # usual gap .1
        ([0.1, 0.4, 0.5], [0.45], 0.0),  # a gap with a frame that is shorter than usual is no stall
        ([0.1, 0.2, 0.3, 0.7, 1.2], [0.5, 1.0], (0.3 + 0.4) / 0.9),
    ],
)
def test_stalls_by_hand(times: list[float], frames: list[float], stall: float | None) -> None:
    rows = [row for i, w in enumerate([0.0, *frames]) for row in frame(i, w)]
    seen = perceive(log_of(*rows, *tokens("a", times, [0] * len(times))))
    assert seen.decode_stall == (None if stall is None else near(stall))


def test_a_pause_between_two_answers_is_no_stall() -> None:
    rows = [*every_second(9), *tokens("a", [0.1, 0.2, 0.3], [0, 0, 0]), *tokens("b", [8.1, 8.2], [8, 8])]
    assert perceive(log_of(*rows)).decode_stall is None


def test_synchrony_wants_the_newest_frame_and_not_just_any() -> None:
    rows = [*every_second(3), decide(0.5, "silent", vis=0), decide(1.5, "silent", vis=0), decide(2.5, "silent", vis=2)]
    assert perceive(log_of(*rows)).synchrony == near(2 / 3)
    spoken = [*every_second(2), *tokens("a", [0.5, 1.5], [0, 1])]  # a word counts as a decision does
    assert perceive(log_of(*spoken)).synchrony == 1.0


def test_a_frame_that_is_lost_is_counted_once_and_never_in_step() -> None:
    rows = [*frame(0, 0.0), *frame(1, 1.0, ready_s=None), {"k": "drop", "i": 1, "w": 1.0, "why": "queue_full"}]
    seen = perceive(log_of(*rows, decide(0.5, "silent", vis=0), decide(1.5, "silent", vis=0)))
    assert (seen.frame_loss, seen.synchrony) == (0.5, 0.5)


def test_pooling_nothing_is_nothing_and_the_order_does_not_matter() -> None:
    one = perceive(log_of(*every_second(4), *tokens("a", [0.5, 1.5, 2.5], [0, 0, 0])))
    other = perceive(log_of(*every_second(2), *tokens("a", [1.5], [1])))
    assert pool_perception([]) == Perception()
    both, turned = pool_perception([one, other]), pool_perception([other, one])
    assert (both.lag_slope, both.mean_excess_s, both.on_time_ingest) == (
        turned.lag_slope,
        turned.mean_excess_s,
        turned.on_time_ingest,
    )
    assert (both.lag_slope, both.short_utterances, both.frames) == (near(1.0), 1, 6)


# Endurance

HOUR = 3600.0


def long_run(num: int, *, ready_ms: float = 0.0, gap_ms: float = 0.0, pos: float = 0.0, rss: float = 0.0) -> Log:
    """One frame, answer of two words and sample every hour; each argument is what its cost grows by per hour."""
    rows: list[dict[str, Any]] = []
    for n in range(num):
        w = n * HOUR
        rows += frame(n, w, ready_s=0.0625 + n * ready_ms / 1000)
        gap_s = 0.125 + n * gap_ms / 1000
        rows += tokens(f"a{n}", [w + 1.0, w + 1.0 + gap_s], [n, n])
        sample = {"k": "sample", "w": w + 2, "rss": 1e9 + n * rss, "vram": 2e9, "kv_text": 7, "kv_vis": 7}
        rows.append({**sample, "pos": round(100 + n * pos)})
    return log_of(*rows, end_s=num * HOUR)


@pytest.mark.parametrize(
    ("grows", "name", "slope"),
    [
        ({"ready_ms": 2.0}, "ms_per_frame", 2.0),
        ({"gap_ms": 3.0}, "token_gap_s", 0.003),
        ({"pos": 5.0}, "position", 5.0),
        ({"rss": 1e6}, "rss_bytes", 1e6),
    ],
)
def test_each_drift_is_told_per_hour_and_from_the_others(grows: dict[str, float], name: str, slope: float) -> None:
    drift = endurance(long_run(12, **grows))
    assert set(drift) == {"rss_bytes", "vram_bytes", "position", "ms_per_frame", "token_gap_s"}
    for key, found in drift.items():
        assert found is not None
        assert found.value == near(slope if key == name else 0.0, rel=1e-3, abs=1e-6)
        assert found.holds_zero == (key != name)


def test_fewer_than_ten_samples_tell_no_drift_and_no_sample_none_at_all() -> None:
    assert set(endurance(long_run(9)).values()) == {None}
    assert set(endurance(log_of()).values()) == {None}
    assert None not in endurance(long_run(10)).values()
    assert not math.isnan(sum(found.value for found in endurance(long_run(10)).values() if found is not None))
