"""Timely silence at its edges: the windows to the microsecond, the classes of the rest, spans, slots, confidence."""

from __future__ import annotations

from typing import Any

import pytest
from event_logs import ask, decide, frame, happening, log_of, near, null, question, say, truth_of, value

from vigil.eval.silence import (
    Silence,
    calibration_error,
    event_confidences,
    judge_silence,
    matched_speech,
    pool_silence,
    risk_coverage,
)

ONE = truth_of(question(), happening(10, 11))


def at(*times: float, q: str | None = "q1") -> list[dict[str, Any]]:
    return [row for n, t in enumerate(times) for row in say(f"{q}.{n}", t, "x", q=q)]


@pytest.mark.parametrize(
    ("tau", "late_s", "early_s", "matches"),
    [
        (10.0, 2.0, 0.0, 1),
        (12.0, 2.0, 0.0, 1),
        (12.000001, 2.0, 0.0, 0),
        (9.999999, 2.0, 0.0, 0),
        (9.0, 2.0, 1.0, 1),
        (8.999999, 2.0, 1.0, 0),
        (15.0, 5.0, 0.0, 1),
        (10.0, 0.0, 0.0, 1),
        (10.000001, 0.0, 0.0, 0),
    ],
)
def test_both_ends_of_the_window_belong_to_it(tau: float, late_s: float, early_s: float, matches: int) -> None:
    assert judge_silence(log_of(*at(tau)), ONE, late_s=late_s, early_s=early_s).matches == matches


@pytest.mark.parametrize(
    ("said", "due", "matched"),
    [
        ([10, 11], [10], [(10, 10)]),  # the closer one
        ([11, 12], [10], [(11, 10)]),
        ([12], [10, 11], [(12, 11)]),
        ([12, 13], [10, 11], [(12, 10), (13, 11)]),  # most matches first
        ([11, 11.5], [10, 11], [(11, 10), (11.5, 11)]),
        ([10.5, 10.5], [10], [(10.5, 10)]),  # of two at once, one
        ([30], [10], []),
    ],
)
def test_which_speech_answers_which_event(
    said: list[float], due: list[float], matched: list[tuple[float, float]]
) -> None:
    truth = truth_of(question(), *(happening(s) for s in due))
    pairs = matched_speech(log_of(*at(*said)), truth)
    assert [(pair.speech.tau_first, pair.event.s) for pair in pairs] == matched


def test_an_event_is_answered_by_the_first_word_however_long_the_rest_takes() -> None:
    rows: list[dict[str, Any]] = [{"k": "answer", "a": "a", "q": "q1", "w": 11.0, "state": "open"}]
    rows += [{"k": "tok", "n": n, "w": 11.0 + n, "vis": -1, "text": "x", "a": "a"} for n in range(9)]
    assert judge_silence(log_of(*rows), ONE).matches == 1
    late = [row | {"w": row["w"] + 2} for row in rows]
    assert judge_silence(log_of(*late), ONE).matches == 0


@pytest.mark.parametrize("state", ["final", "cut", "retracted"])
def test_what_was_cut_or_taken_back_was_said_all_the_same(state: str) -> None:
    rows = at(10.5)[:2]
    seen = judge_silence(log_of(*rows, {"k": "answer", "a": "q1.0", "q": "q1", "w": 11, "state": state}), ONE)
    assert (seen.matches, seen.speech) == (1, 1)


@pytest.mark.parametrize(
    ("tau", "due", "name"),
    [
        (9.0, [10, 20], "premature"),  # before the first event
        (12.5, [10, 20], "duplicate"),  # after its match, while the event may still be spoken of
        (14.0, [10, 20], "duplicate"),  # at the end of the event
        (14.5, [10, 20], "premature"),  # past it, and another comes
        (22.5, [10, 20], "late"),  # the second event was not matched
        (49.9, [10, 20], "late"),
        (50.0, [10, 20], "false"),  # too late for anything, and nothing comes any more
        (14.5, [10], "false"),
    ],
)
def test_the_class_of_what_matches_nothing(tau: float, due: list[float], name: str) -> None:
    truth = truth_of(question(), *(happening(s, s + 4) for s in due))
    seen = judge_silence(log_of(*at(*sorted([10.5, tau]))), truth)
    assert (seen.matches, dict(seen.unmatched)) == (1, {name: 1})
    assert seen.late_events == (name == "late")


def test_what_comes_late_for_one_event_is_not_late_once_the_next_has_begun() -> None:
    truth = truth_of(question(), happening(10), happening(15))
    seen = judge_silence(log_of(*at(14.9, 15.1)), truth)
    assert (seen.matches, dict(seen.unmatched), seen.late_events, seen.missed_events) == (1, {"late": 1}, 1, 0)
    seen = judge_silence(log_of(*at(15.1, 16.0)), truth)
    assert (seen.matches, dict(seen.unmatched), seen.late_events, seen.missed_events) == (1, {"duplicate": 1}, 0, 1)


def test_three_late_replies_to_one_event_are_three_speeches_and_one_late_event() -> None:
    seen = judge_silence(log_of(*at(13, 14, 15)), ONE)
    assert (dict(seen.unmatched), seen.late_events, seen.missed_events) == ({"late": 3}, 1, 0)
    assert (seen.false_alarms_per_min, seen.cost(1.0)) == (0.0, 1.0)  # late speech costs its event, and nothing more


def test_early_speech_counts_from_the_early_border() -> None:
    twice = log_of(*at(9.5, 10.5))
    assert dict(judge_silence(twice, ONE, early_s=1.0).unmatched) == {"duplicate": 1}
    assert dict(judge_silence(twice, ONE).unmatched) == {"premature": 1}


def test_speech_that_nobody_asked_for_answers_only_events_that_nobody_asked_about() -> None:
    truth = truth_of(question(), happening(10), happening(10, q=None))
    seen = judge_silence(log_of(*at(10.5, q=None)), truth)
    assert (seen.matches, seen.events, seen.recall) == (1, 2, 0.5)
    seen = judge_silence(log_of(*at(10.5, q="q9")), truth)  # a question that the truth does not know
    assert (seen.matches, seen.speech, dict(seen.unmatched)) == (0, 1, {"false": 1})


@pytest.mark.parametrize(
    ("text", "right"),
    [("A red ball.", True), ("a RED ball", True), ("red", True), ("blue", False), ("It is a red ball.", False)],
)
def test_content_is_an_accepted_text_or_the_value(text: str, right: bool) -> None:
    truth = truth_of(question(), happening(10, v="red", accept=["A red ball."]), happening(30, v="blue"))
    seen = judge_silence(log_of(*say("a", 10, text)), truth)
    assert (seen.matches, seen.right_matches) == (1, right)


def test_an_event_without_a_value_or_text_is_answered_by_any_words() -> None:
    assert judge_silence(log_of(*say("a", 10, "whatever")), ONE).right_matches == 1
    unasked = truth_of(happening(10, v="A bell.", q=None))
    said = [judge_silence(log_of(*say("a", 10, text, q=None)), unasked).right_matches for text in ("a bell!", "a cat")]
    assert said == [1, 0]


@pytest.mark.parametrize(
    ("rows", "inside", "outside", "quiet_s"),
    [
        ([question(t_ask=10), happening(20)], [10.0, 19.9], [9.9, 20.0], 10.0),
        ([question(t_ask=10, until=15)], [10.0, 14.9], [15.0], 5.0),
        ([question(t_ask=10, until=15), happening(12)], [11.9], [12.0, 14.9], 2.0),
        ([question(t_ask=50)], [50.0, 59.9], [49.9, 60.0], 10.0),  # to the end of the stream
        ([question(t_ask=10), happening(10)], [], [10.0, 12.0], 0.0),
        ([question(t_ask=10), happening(5)], [], [5.0, 10.0], 0.0),  # it had begun before
        ([question(kind="state"), value(4, 9, "red")], [0.0, 3.9], [4.0], 4.0),
        ([question(t_ask=60), null(3, 5), null(4, 9)], [3.0, 4.5, 8.9], [2.9, 9.0], 6.0),  # what they share counts once
        ([question(t_ask=60), null(3, 5), null(7, 9)], [4.9, 7.0], [5.0, 6.9], 4.0),
        ([question(t_ask=60), null(5, 5)], [], [5.0], 0.0),
    ],
)
def test_where_silence_is_due_by_hand(
    rows: list[dict[str, Any]], inside: list[float], outside: list[float], quiet_s: float
) -> None:
    truth = truth_of(*rows)
    assert [judge_silence(log_of(*at(t)), truth).false_speech for t in inside] == [1] * len(inside)
    assert [judge_silence(log_of(*at(t)), truth).false_speech for t in outside] == [0] * len(outside)
    seen = judge_silence(log_of(), truth)
    assert (seen.quiet_s, seen.false_speech) == (quiet_s, 0)
    assert seen.false_speech_per_min == (0.0 if quiet_s else None)


def test_a_slot_is_placed_by_the_frame_it_saw_and_not_by_when_it_was_decided() -> None:
    rows = [*frame(0, 9.0), *frame(1, 13.0)]
    slow = log_of(*rows, decide(10.5, "silent", vis=0), decide(13.5, "silent", vis=1))
    seen = judge_silence(slow, ONE)
    assert (seen.silent_due, seen.silent_right) == (2, 2)  # frames of 9 and 13 s; 10 to 12 s may be spoken on
    blind = judge_silence(log_of(decide(10.5, "silent"), decide(13.5, "silent")), ONE)
    assert (blind.silent_due, blind.silent) == (1, 2)  # without a frame, of the slot itself


@pytest.mark.parametrize(("act", "silent"), [("silent", 1), ("speak", 0), ("continue", 0), ("stop", 0)])
def test_only_silence_is_silence(act: str, silent: int) -> None:
    seen = judge_silence(log_of(decide(30.0, act)), ONE)
    assert (seen.silent_due, seen.silent_right, seen.silent) == (1, silent, silent)


def test_the_guarantee_is_on_the_run_clock_where_a_slow_system_cannot_hide() -> None:
    truth = truth_of(question(kind="state"), value(0, 60, "red"))
    for speed, answered in ((1.0, {0.5: 0, 1.0: 1, 2.0: 1}), (0.5, {0.5: 0, 1.0: 0, 2.0: 1})):
        asked = {"k": "prompt", "q": "q1", "t": 4.0, "w": 4.0 / speed, "text": "?", "direct": True}
        said = [row | {"w": 5.0 / speed} for row in say("a", 5.0, "red")]
        seen = judge_silence(log_of(asked, *said, speed=speed, end_s=200.0), truth)
        assert {s: seen.answered[s] for s in (0.5, 1.0, 2.0)} == answered
        assert seen.matches == 0  # asked at 0 by the truth


def test_a_question_whose_answer_is_still_to_come_is_no_direct_one_that_failed() -> None:
    truth = truth_of(question(t_ask=5.0), happening(20.0))
    assert judge_silence(log_of(ask("q1", 5.0, direct=True)), truth).answerable == 0
    assert judge_silence(log_of(ask("q1", 20.0, direct=True)), truth).answerable == 1
    assert judge_silence(log_of(ask("q1", 5.0)), truth).answerable == 0


def test_always_silent_costs_1_and_always_talking_60_times_the_weight_times_the_frame_rate() -> None:
    truth = truth_of(question(), *(happening(s, s) for s in (10, 30, 50)))
    for weight in (0.1, 0.3, 1.0, 3.0):
        assert judge_silence(log_of(), truth).cost(weight) == 1.0
        talk = judge_silence(log_of(*at(*(n / 2 for n in range(120)))), truth)  # two slots a second
        assert talk.cost(weight) == near(60 * weight * 2, rel=0.03)
        assert talk.precision == near(3 / 120)


def test_the_break_even_weight_is_where_the_cost_is_that_of_silence() -> None:
    seen = judge_silence(log_of(*at(4, 11, 13, 36, 52)), truth_of(question(), *(happening(s) for s in (10, 30, 50))))
    assert seen.break_even_weight is not None
    assert seen.cost(seen.break_even_weight) == near(1.0)
    assert Silence().break_even_weight is None


@pytest.mark.parametrize(
    ("confidences", "wrong", "area"),
    [
        ([0.9, 0.5], [False, False], 0.0),
        ([0.9, 0.5], [True, True], 1.0),
        ([0.9, 0.5], [False, True], (0 + 1 / 2) / 2),
        ([0.9, 0.5], [True, False], (1 + 1 / 2) / 2),
        ([0.1, 0.9, 0.5], [True, False, False], (0 + 0 + 1 / 3) / 3),
    ],
)
def test_risk_is_low_where_errors_come_with_little_confidence(
    confidences: list[float], wrong: list[bool], area: float
) -> None:
    assert risk_coverage(confidences, wrong) == near(area)


def test_confidence_is_the_largest_in_the_window_and_null_where_none_was_noted() -> None:
    rows = [row for i in range(14) for row in frame(i, float(i))]
    chances = {9: 0.0, 10: 0.8, 12: 0.3, 13: 0.1}
    slots = [decide(float(i), "silent", vis=i, p=p) for i, p in chances.items()]
    truth = truth_of(question(), happening(10), happening(40))
    assert event_confidences(log_of(*rows, *slots), truth) == [near(0.7), None]
    assert event_confidences(log_of(*rows, *slots), truth, late_s=3.0) == [near(0.9), None]


def test_calibration_by_bins_of_a_tenth() -> None:
    truth = truth_of(question(), happening(0, 9))
    active = [decide(n + 0.5, "silent", p=p) for n, p in enumerate((0.0, 0.05, 0.95, 0.5))]
    # 1 - p = 1, .95 in the last bin: off by .05 together; .05 alone by .95; .5 alone by .5.
    assert calibration_error(log_of(*active), truth) == near((0.05 + 0.95 + 0.5) / 4)
    assert calibration_error(log_of(*active), truth, bins=1) == near((4 - 2.5) / 4)
    assert calibration_error(log_of(decide(1.0, "silent")), truth) is None


def test_pooling_nothing_is_nothing_and_the_order_does_not_matter() -> None:
    parts = [judge_silence(log_of(*at(t)), ONE) for t in (4.0, 11.0, 13.0)]
    assert pool_silence([]) == Silence()
    assert pool_silence(parts) == pool_silence(parts[::-1])
    assert pool_silence(parts).unmatched == {"premature": 1, "late": 1}
