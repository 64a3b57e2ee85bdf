"""The points behind the charts, against the single numbers that other modules give."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from event_logs import ask, decide, frame, happening, log_of, question, say, tokens, truth_of, value

from vigil.eval.behaviour import pace_of
from vigil.eval.report.curves import (
    calibration_error_of,
    count_unparsable,
    event_risks,
    first_token_delays,
    observed,
    reliability,
    risk_curve,
    share_done,
)
from vigil.eval.report.lanes import judged, missed, silences, stands
from vigil.eval.report.scales import Scale, clip, pack
from vigil.eval.revision import revise
from vigil.eval.silence import calibration_error, risk_coverage
from vigil.eval.stats import kaplan_meier_median, mean


def test_the_share_done_by_hand() -> None:
    assert share_done(observed([2.0, 1.0, 2.0])) == [(0.0, 0.0), (1.0, pytest.approx(1 / 3)), (2.0, 1.0), (2.0, 1.0)]
    censored = [(1.0, True), (3.0, True), (6.0, False), (6.0, False)]
    assert share_done(censored) == [(0.0, 0.0), (1.0, 0.25), (3.0, 0.5), (6.0, 0.5)]
    assert share_done([]) == []


def test_the_curve_crosses_one_half_at_the_kaplan_meier_median() -> None:
    chance = random.Random(3)
    for _ in range(200):
        delays = [(float(chance.randint(1, 6)), chance.random() < 0.7) for _ in range(chance.randint(1, 12))]
        crossed = next((at for at, share in share_done(delays) if share >= 0.5 - 1e-12), float("inf"))
        assert crossed == kaplan_meier_median([at for at, _ in delays], [seen for _, seen in delays])


def test_a_direct_question_without_an_answer_is_known_to_have_waited_until_the_end() -> None:
    log = log_of(
        ask("q1", 1.0, direct=True),
        *say("1", 1.5, "Yes.", q="q1"),
        ask("q2", 4.0, direct=True),
        ask("q3", 5.0),
        end_s=9.0,
    )
    assert first_token_delays(log) == [(0.5, True), (5.0, False)]


def test_the_bins_give_the_calibration_error_of_the_measure() -> None:
    truth = truth_of(question(), happening(2, 3), happening(5, 8))
    chance = random.Random(1)
    frames = [row for i in range(10) for row in frame(i, float(i))]
    slots = [decide(i + 0.1, "silent", vis=i, p=chance.random()) for i in range(10)]
    log = log_of(*frames, *slots, end_s=10.0)
    bins = reliability([(log, truth)])
    assert calibration_error_of(bins) == pytest.approx(calibration_error(log, truth))
    assert sum(one.count for one in bins) == 10
    assert [one.silence_mean for one in bins] == sorted(one.silence_mean for one in bins)
    assert calibration_error_of(reliability([])) is None


def test_the_risk_curve_has_the_measured_area() -> None:
    confidences, wrong = [0.9, 0.8, 0.6, 0.4], [False, False, True, False]
    curve = risk_curve(confidences, wrong)
    assert curve == [(0.25, 0.0), (0.5, 0.0), (0.75, pytest.approx(1 / 3)), (1.0, 0.25)]
    assert mean([risk for _, risk in curve]) == risk_coverage(confidences, wrong)


def test_an_event_is_an_error_if_its_reply_is_wrong_late_or_lacking() -> None:
    truth = truth_of(question(), *(happening(at, at + 1, "cat", accept=["A cat."]) for at in (1.0, 11.0, 21.0, 31.0)))
    said = [*say("1", 1.0, "A cat."), *say("2", 11.0, "A dog."), *say("3", 24.0, "A cat.")]
    slots = [decide(float(t), "silent", p=0.2) for t in range(40)]
    confidences, wrong = event_risks([(log_of(*said, *slots), truth)])
    assert wrong == [False, True, True, True]
    assert confidences == [pytest.approx(0.8)] * 4


def test_the_pace_of_a_run_is_read_from_its_tokens() -> None:
    truth = truth_of()
    talks = log_of(*tokens("1", [0.0, 0.125, 0.25, 3.0], [-1] * 4, q=None), end_s=9.0)
    assert pace_of([(talks, truth)]) == 8.0
    assert pace_of([(log_of(*say("1", 1.0, "Yes.")), truth)]) == 4.0


def test_only_finished_replies_that_state_no_listed_value_are_unparsable() -> None:
    truth = truth_of(question(kind="state"), value(0, 9, "red", alias=["It is red."]))
    log = log_of(*say("1", 1.0, "It is red."), *say("2", 2.0, "Perhaps."), *tokens("3", [3.0], [-1]), end_s=9.0)
    assert count_unparsable([(log, truth)]) == 1


def test_what_stands_adds_up_to_the_shares_of_the_measure() -> None:
    truth = truth_of(question(kind="state"), value(0, 8, "red"), value(8, 14, "blue"), value(14, 20, "red"))
    said = [(2, "red"), (9, "blue"), (12, "green"), (17, "red")]
    log = log_of(*(row for n, (at, v) in enumerate(said) for row in say(str(n), at, v)), end_s=20.0)
    found = stands(log, truth, "q1")
    measured = revise(log, truth)
    seconds = dict.fromkeys(("right", "stale", "early", "wrong", "none"), 0.0)
    for stand in found:
        seconds[stand.state] += stand.end_s - stand.start_s
    assert seconds == {
        "right": measured.correct_s,
        "stale": measured.stale_s,
        "early": measured.premature_s,
        "wrong": measured.wrong_s,
        "none": measured.unanswered_s,
    }
    assert [(stand.start_s, stand.said) for stand in found if stand.state == "right"] == [
        (2.0, "red"), (9.0, "blue"), (17.0, "red"),
    ]  # fmt: skip


def test_a_superseded_answer_knows_what_replaced_it_and_extra_speech_has_no_event() -> None:
    truth = truth_of(question(kind="state"), value(0, 5, "red"), value(5, 9, "blue"))
    log = log_of(*say("1", 0.5, "red"), *say("2", 6.0, "blue", supersedes="1"), *say("3", 8.5, "blue"), end_s=9.0)
    first, second, third = judged(log, truth)
    assert first.replaced_by is not None
    assert first.replaced_by.a == "2"
    assert (first.is_right, second.is_right, third.event) == (True, True, None)
    assert missed(log, truth) == []


def test_silence_is_cut_by_words_and_by_questions() -> None:
    rows = [
        decide(0.0, "silent", p=0.9), decide(1.0, "silent", p=0.7), ask("q1", 1.5), decide(2.0, "silent"),
        *say("1", 3.0, "Yes."), decide(4.0, "silent", p=0.5),
    ]  # fmt: skip
    runs = silences(log_of(*rows, end_s=5.0))
    assert [(run.first_s, run.last_s, run.slots, run.p_min) for run in runs] == [
        (0.0, 1.0, 2, 0.7), (2.0, 2.0, 1, None), (4.0, 4.0, 1, 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize("hi", [0.4, 1.0, 7.0, 60.0, 3600.0])
def test_ticks_are_round_few_and_inside(hi: float) -> None:
    ticks = Scale(lo=0.0, hi=hi, start_px=0.0, end_px=100.0).ticks(most=7)
    assert 3 <= len(ticks) <= 7
    assert ticks[0] == 0.0
    assert ticks[-1] <= hi
    steps = {round(b - a, 9) for a, b in pairwise(ticks)}
    assert len(steps) == 1


def test_labels_of_one_row_do_not_touch() -> None:
    chance = random.Random(0)
    spans = [(start, start + chance.uniform(1, 90)) for start in sorted(chance.uniform(0, 500) for _ in range(40))]
    rows = pack(spans, gap_px=8.0)
    for n, (a, b) in enumerate(spans):
        for (c, d), row in zip(spans[:n], rows[:n], strict=True):
            assert row != rows[n] or b + 8 <= c or d + 8 <= a
    assert rows[0] == 0
    assert clip("abcdef", 4) == "abc…"
