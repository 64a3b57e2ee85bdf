from __future__ import annotations

from typing import Any

import pytest
from event_logs import decide, frame, log_of, near, tokens

from vigil.eval.perception import endurance, perceive, pool_perception

P1_TIMES = [2.25, 2.75, 3.25, 3.75, 4.25, 4.75]


def p1(vis: list[int]) -> Any:
    return perceive(log_of(*(row for i in range(6) for row in frame(i, float(i))), *tokens("a", P1_TIMES, vis)))


def test_p1_blocking() -> None:
    seen = p1([2] * 6)
    assert [sight.lag_s for sight in seen.sights] == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]
    assert seen.lag_slope == near(1.0)
    assert seen.mean_excess_s == near(1.0)
    assert seen.excess_slope == near(0.914, abs=5e-4)


def test_p1_non_blocking() -> None:
    seen = p1([2, 2, 3, 3, 4, 4])
    assert [sight.lag_s for sight in seen.sights] == [0.25, 0.75] * 3
    assert seen.lag_slope == near(0.086, abs=5e-4)
    assert seen.mean_excess_s == 0
    assert seen.excess_slope == 0


def test_p2_on_time_ingest() -> None:
    rows = [*frame(0, 0.0), *tokens("a", [0.5, 5.0], [0, 0])]
    rows += [*frame(1, 1.0, ready_s=0.05), *frame(2, 2.0, ready_s=0.08), *frame(3, 3.0, ready_s=1.6)]
    rows += [*frame(4, 4.7, ready_s=None), {"k": "drop", "i": 4, "w": 4.8, "why": "queue_full"}]
    assert perceive(log_of(*rows), on_time_s=0.5).on_time_ingest == 0.5
    assert perceive(log_of(*rows)).on_time_ingest == 0.5  # one frame period, 1 s
    assert perceive(log_of(*rows), on_time_s=1.6).on_time_ingest == 0.75


def test_p2_decode_stall() -> None:
    times = [1.0, 1.1, 1.2, 1.6, 1.7, 1.85]  # gaps .10 .10 .40* .10 .15*
    rows = [*frame(0, 0.0), *frame(1, 1.5), *frame(2, 1.8), *tokens("a", times, [0] * 6)]
    assert perceive(log_of(*rows)).decode_stall == near(0.636, abs=5e-4)


def test_without_a_free_gap_the_median_of_all_gaps_is_the_usual_one() -> None:
    rows = [row for i in range(4) for row in frame(i, i + 0.5)]
    stall = perceive(log_of(*frame(0, 0.5), *frame(1, 1.5), *frame(2, 2.5), *tokens("a", [1.0, 2.0, 4.0], [0, 0, 0])))
    assert len(rows) == 8
    assert stall.decode_stall == near(0.5 / 3.0)  # gaps 1 and 2, usual 1.5


def test_a_gap_without_any_frame_gives_no_stall() -> None:
    assert perceive(log_of(*frame(0, 0.0), *tokens("a", [1.0, 1.1], [0, 0]))).decode_stall is None


def test_never_speaking_leaves_only_frame_loss_and_synchrony() -> None:
    rows = [*frame(0, 0.0), decide(0.1, "silent", vis=0), *frame(1, 1.0, ready_s=None)]
    seen = perceive(log_of(*rows, {"k": "drop", "i": 1, "w": 1.5, "why": "error"}))
    assert (seen.lag_slope, seen.excess_slope, seen.mean_excess_s) == (None, None, None)
    assert (seen.on_time_ingest, seen.decode_stall) == (None, None)
    assert seen.lag_summary(first=True) == {"mean_s": None, "p95_s": None, "max_s": None}
    assert seen.frame_loss == 0.5
    assert seen.synchrony == 0.5


def test_no_frame_leaves_everything_undefined() -> None:
    seen = perceive(log_of())
    assert (seen.frame_loss, seen.synchrony, seen.on_time_ingest) == (None, None, None)


def test_tokens_that_saw_nothing_are_counted_and_left_out() -> None:
    rows = [*tokens("a", [0.5, 1.5, 2.5, 3.5], [-1, 0, 0, 0]), *frame(0, 1.0)]
    seen = perceive(log_of(*rows))
    assert seen.blind_tokens == 1
    assert len(seen.sights) == 3
    assert seen.lags(first=True) == []


def test_short_utterances_have_no_slope_and_are_counted() -> None:
    rows = [*frame(0, 0.0), *tokens("a", [1.0, 4.0], [0, 0]), *tokens("b", [5.0, 5.5, 6.0], [0, 0, 0])]
    rows += tokens("c", [7.0, 8.0, 9.0], [0, 0, 0])
    seen = perceive(log_of(*rows))
    assert seen.short_utterances == 2
    assert seen.lag_slope == near(1.0)


def test_first_tokens_are_apart_from_the_rest() -> None:
    seen = perceive(log_of(*frame(0, 0.0), *tokens("a", [1.0, 2.0, 3.0], [0, 0, 0])))
    assert seen.lag_summary(first=True) == {"mean_s": 1.0, "p95_s": 1.0, "max_s": 1.0}
    assert seen.lag_summary(first=False) == {"mean_s": 2.5, "p95_s": near(2.95), "max_s": 3.0}


def test_a_token_before_a_frame_of_the_same_instant_had_not_been_offered_it() -> None:
    before = log_of(*frame(0, 0.0), *tokens("a", [1.0], [0]), *frame(1, 1.0))
    after = log_of(*frame(0, 0.0), *frame(1, 1.0), *tokens("a", [1.0], [0]))
    assert perceive(before).mean_excess_s == 0
    assert perceive(after).mean_excess_s == 1.0


@pytest.mark.parametrize(("w", "share"), [(1.9, 0.5), (2.0, 0.0)], ids=["within a period", "too late"])
def test_the_last_frame_has_one_period_to_be_decided_on(w: float, share: float) -> None:
    seen = perceive(log_of(*frame(0, 0.0), *frame(1, 1.0), decide(w, "silent", vis=1)))
    assert seen.synchrony == share


def test_an_earlier_frame_has_until_the_next_one_comes_however_long() -> None:
    seen = perceive(log_of(*frame(0, 0.0), decide(2.9, "silent", vis=0), *frame(1, 3.0), decide(3.1, "silent", vis=0)))
    assert seen.synchrony == 0.5


def test_streams_are_pooled_by_sums() -> None:
    blocking, free = p1([2] * 6), p1([2, 2, 3, 3, 4, 4])
    both = pool_perception([blocking, free])
    assert both.lag_slope == near((blocking.lag_sxy + free.lag_sxy) / (2 * blocking.sxx))
    assert both.frames == 12


def test_growing_memory_is_a_drift_and_constant_memory_is_none() -> None:
    def sample(n: int, vram: float) -> dict[str, Any]:
        return {"k": "sample", "w": 3600.0 * n, "rss": 5, "vram": vram, "kv_text": 1, "kv_vis": 1, "pos": n}

    drift = endurance(log_of(*(sample(n, 100.0 + 7 * n) for n in range(12)), end_s=1e6))
    vram, rss = drift["vram_bytes"], drift["rss_bytes"]
    assert vram is not None
    assert rss is not None
    assert vram.value == near(7.0)
    assert not vram.holds_zero
    assert rss.holds_zero
    assert endurance(log_of(*(sample(n, 1.0) for n in range(9)), end_s=1e6))["vram_bytes"] is None
