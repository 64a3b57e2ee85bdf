from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from event_logs import ask, decide, frame, happening, log_of, near, null, question, say, truth_of, value
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.eval.matching import assign, match
from vigil.eval.silence import (
    Silence,
    calibration_error,
    event_confidences,
    judge_silence,
    pool_silence,
    risk_coverage,
)

S1_TRUTH = truth_of(question(), *(happening(s, s + 5) for s in (10, 30, 50)))


def speaking(times: list[float], texts: str = "x") -> list[dict[str, Any]]:
    return [row for n, t in enumerate(times) for row in say(str(n), t, texts)]


def s1() -> Silence:
    return judge_silence(log_of(ask("q1", 0), *speaking([4, 11, 13, 36, 52])), S1_TRUTH)


def test_s1_matching() -> None:
    seen = s1()
    assert (seen.precision, seen.recall, seen.f1) == (0.40, near(0.667, abs=5e-4), near(0.50))
    assert dict(seen.unmatched) == {"premature": 1, "duplicate": 1, "late": 1}
    assert (seen.late_events, seen.missed_events) == (1, 0)


def test_s1_cost() -> None:
    seen = s1()
    assert seen.false_alarms_per_min == near(2.0)
    assert seen.cost(0.1) == near(0.533, abs=5e-4)
    assert seen.cost(0.3) == near(0.933, abs=5e-4)
    assert seen.cost(1.0) == near(2.333, abs=5e-4)
    assert seen.break_even_weight == near(0.333, abs=5e-4)


def test_s1_always_talking() -> None:
    seen = judge_silence(log_of(ask("q1", 0), *speaking([float(t) for t in range(60)])), S1_TRUTH)
    assert (seen.precision, seen.recall) == (0.05, 1.0)
    assert seen.f1 == near(0.095, abs=5e-4)
    assert seen.cost(0.1) == near(0.1 * 57)


def test_s2_risk_coverage() -> None:
    assert risk_coverage([0.9, 0.8, 0.6, 0.4], [False, False, True, False]) == near(0.1458, abs=5e-5)
    assert risk_coverage([0.5, 0.5], [True, False]) == near((1 + 1 / 2) / 2)  # a tie keeps the order of time
    assert risk_coverage([], []) is None


def test_never_speaking_where_events_exist() -> None:
    seen = judge_silence(log_of(ask("q1", 0)), S1_TRUTH)
    assert (seen.precision, seen.recall, seen.f1) == (None, 0.0, 0.0)
    assert [seen.cost(weight) for weight in (0.1, 0.3, 1.0, 3.0)] == [1.0] * 4
    assert (seen.missed_events, seen.break_even_weight, seen.false_speech_per_min) == (3, None, 0.0)


def test_silence_without_events_is_undefined_but_for_the_false_speech_rate() -> None:
    seen = judge_silence(log_of(ask("q1", 0)), truth_of(question(), null(0, 60)))
    assert (seen.precision, seen.recall, seen.f1, seen.cost(1.0)) == (None, None, None, None)
    assert seen.false_speech_per_min == 0.0


def test_speech_without_events_is_all_false() -> None:
    seen = judge_silence(log_of(ask("q1", 0), *speaking([5, 25])), truth_of(question(), null(0, 60)))
    assert (seen.precision, seen.recall, seen.f1) == (0.0, None, None)
    assert dict(seen.unmatched) == {"false": 2}
    assert seen.cost(0.3) == near(0.3 * 2)
    assert seen.false_speech_per_min == near(2.0)


@pytest.mark.parametrize(
    ("tau", "name"),
    [
        (12.1, "late"),  # the event at 10 is not matched
        (31.5, "duplicate"),  # the event at 30 is, and goes on to 35
        (35.0, "duplicate"),
        (35.1, "premature"),  # one more event comes
        (50.0, None),
    ],
)
def test_unmatched_speech_is_classed_by_the_last_event(tau: float, name: str | None) -> None:
    seen = judge_silence(log_of(*speaking(sorted({tau, 30.0}))), S1_TRUTH)
    assert dict(seen.unmatched) == ({name: 1} if name else {})


def test_speech_later_than_30_s_or_after_the_next_event_is_not_late() -> None:
    truth = truth_of(question(), happening(10))
    assert dict(judge_silence(log_of(*speaking([39.9])), truth).unmatched) == {"late": 1}
    assert dict(judge_silence(log_of(*speaking([40.0])), truth).unmatched) == {"false": 1}


def test_speech_before_its_event_is_no_match_unless_early_speech_is_allowed() -> None:
    truth = truth_of(question(), happening(10))
    early = log_of(ask("q1", 0), *speaking([9.5]))
    strict, lenient = judge_silence(early, truth), judge_silence(early, truth, early_s=1.0)
    assert (strict.f1, dict(strict.unmatched)) == (0.0, {"premature": 1})
    assert strict.false_speech_per_min == near(6.0)  # once in the 10 s of waiting
    assert lenient.f1 == 1.0


def test_speech_about_another_question_matches_nothing() -> None:
    truth = truth_of(question(), question("q2", 20.0), happening(10), happening(30, q="q2"))
    seen = judge_silence(log_of(*say("a", 10, "x", q="q2"), *say("b", 30, "x", q=None)), truth)
    assert (seen.matches, seen.speech, seen.events) == (0, 2, 2)


def test_a_match_of_content_needs_the_right_value() -> None:
    truth = truth_of(question(), happening(10, v="red", accept=["It turned red."]), happening(20, v="blue"))
    seen = judge_silence(log_of(*say("a", 10, "it turned RED"), *say("b", 20, "red")), truth)
    assert (seen.f1, seen.f1_content) == (1.0, 0.5)


def test_content_may_cross_in_time_where_two_events_are_close() -> None:
    truth = truth_of(question(), happening(10, v="red"), happening(10.5, v="blue"))
    seen = judge_silence(log_of(*say("a", 11, "blue"), *say("b", 11.5, "red")), truth)
    assert seen.f1_content == 1.0


def test_a_question_with_values_is_answered_when_asked_and_at_each_change() -> None:
    truth = truth_of(question(t_ask=3.0, kind="state"), value(0, 8, "red"), value(8, 20, "blue"))
    seen = judge_silence(log_of(*say("a", 3.5, "red"), *say("b", 6, "red"), *say("c", 9, "blue")), truth)
    assert (seen.events, seen.matches, seen.right_matches, dict(seen.unmatched)) == (2, 2, 2, {"duplicate": 1})


def test_false_speech_counts_spans_once_and_only_the_waiting_question() -> None:
    truth = truth_of(question(), question("q2", 5.0), happening(20), happening(5, q="q2"), null(0, 10))
    rows = [*say("a", 5, "x", q="q2"), *say("b", 15, "x"), *say("c", 16, "x", q="q2")]
    seen = judge_silence(log_of(*rows), truth)
    assert (seen.quiet_s, seen.false_speech) == (near(20.0), 2)  # a lies in the null span, b waits for 20


def test_waiting_ends_where_the_question_stops_being_open() -> None:
    seen = judge_silence(log_of(*say("a", 25, "x")), truth_of(question(t_ask=10.0, until=20.0)))
    assert (seen.quiet_s, seen.false_speech) == (near(10.0), 0)


def test_silence_recall_and_precision_by_hand() -> None:
    # d = 2: frames 10, 11, 12 may be spoken on; a direct question at 5 frees 5, 6, 7; one that can wait frees none.
    truth = truth_of(question(t_ask=5.0), happening(10))
    acts = {0: "speak", 5: "silent", 10: "speak", 11: "continue", 13: "continue"}
    rows = [r for i in range(15) for r in (*frame(i, float(i)), decide(float(i), acts.get(i, "silent"), vis=i))]
    seen = judge_silence(log_of(*rows, ask("q1", 5.0, direct=True), ask("q2", 8.0)), truth)
    assert (seen.silent_due, seen.silent_right, seen.silent) == (9, 7, 11)
    assert (seen.silence_recall, seen.silence_precision) == (near(7 / 9), near(7 / 11))


def test_without_slots_silence_is_undefined() -> None:
    seen = judge_silence(log_of(), S1_TRUTH)
    assert (seen.silence_recall, seen.silence_precision) == (None, None)


def test_the_answer_guarantee_fails_the_unanswered_and_skips_what_cannot_be_known() -> None:
    truth = truth_of(
        *(question(f"q{n}", 10.0 * n, "state") for n in (1, 2, 3)),
        *(value(0, 60, "red", q=q) for q in ("q1", "q2")),
        happening(45, q="q3"),
    )
    rows = [
        *(ask(f"q{n}", 10.0 * n, direct=True) for n in (1, 2, 3)),
        *say("a", 11.5, "red"),
        ask("q9", 50, direct=True),
    ]
    seen = judge_silence(log_of(*rows), truth)
    assert seen.answerable == 2
    assert [seen.answer_guarantee(s) for s in (0.5, 1.0, 2.0)] == [0.0, 0.0, 0.5]
    assert judge_silence(log_of(), truth).answer_guarantee(1.0) is None


def test_confidence_and_calibration_by_hand() -> None:
    truth = truth_of(question(), happening(1, 2), happening(30))
    rows = [
        r
        for i, p in enumerate((0.9, 0.4, 0.2, 0.9))
        for r in (*frame(i, float(i)), decide(float(i), "silent", vis=i, p=p))
    ]
    log = log_of(*rows)
    assert event_confidences(log, truth) == [near(0.8), None]
    # 1 - p = .1 .6 .8 .1; active: no, yes, yes, no.
    assert calibration_error(log, truth) == near((0.2 + 0.4 + 0.2) / 4)
    assert calibration_error(log_of(), truth) is None


def test_streams_are_pooled_by_sums() -> None:
    both = pool_silence([s1(), judge_silence(log_of(ask("q1", 0)), S1_TRUTH)])
    assert (both.precision, both.recall) == (0.40, near(1 / 3))
    assert both.false_alarms_per_min == near(1.0)


def best_by_hand(said: list[int], due: list[int], early: int, late: int) -> tuple[int, int, list[int]]:
    """(matches, -distance, -indices of matched speech) of the best of all one-to-one matchings."""
    best: tuple[int, int, list[int]] = (0, 0, [])
    slots: list[int | None] = [*range(len(said)), *([None] * len(due))]
    for chosen in set(permutations(slots, len(due))):
        pairs = [(i, j) for j, i in enumerate(chosen) if i is not None]
        if all(-early <= said[i] - due[j] <= late for i, j in pairs):
            distance = sum(abs(said[i] - due[j]) for i, j in pairs)
            best = max(best, (len(pairs), -distance, sorted(-i for i, _ in pairs)[::-1]))
    return best


@settings(max_examples=150, deadline=None)
@given(
    said=st.lists(st.integers(0, 12), max_size=4).map(sorted),
    due=st.lists(st.integers(0, 12), max_size=3).map(sorted),
    early=st.integers(0, 2),
    late=st.integers(0, 5),
)
def test_the_matching_is_the_best_of_all(said: list[int], due: list[int], early: int, late: int) -> None:
    pairs = match(said, due, early_us=early, late_us=late)
    distance = sum(abs(said[i] - due[j]) for i, j in pairs)
    assert (len(pairs), -distance, sorted(-i for i, _ in pairs)[::-1]) == best_by_hand(said, due, early, late)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(st.integers(-9, 9), min_size=5, max_size=5), min_size=n, max_size=n)
    )
)
def test_the_assignment_is_worth_as_much_as_the_best_of_all(worth: list[list[int]]) -> None:
    columns = assign(worth)
    assert len(set(columns)) == len(worth)
    best = max(
        sum(row[c] for row, c in zip(worth, chosen, strict=True)) for chosen in permutations(range(5), len(worth))
    )
    assert sum(row[c] for row, c in zip(worth, columns, strict=True)) == best


def test_most_matches_come_before_closeness() -> None:
    # 10 -> event 10 at distance 0 would leave 11.5 with nothing but a distance too far.
    assert match([10, 12], [8, 10], early_us=0, late_us=2) == [(0, 0), (1, 1)]


def test_of_two_equally_good_matchings_the_one_with_the_earlier_speech_counts() -> None:
    assert match([6, 8], [0, 7], early_us=3, late_us=5) == [(0, 1)]
