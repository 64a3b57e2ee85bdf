"""Answer revision at its edges: windows of credit, the five states, latency under censoring, several questions."""

from __future__ import annotations

import math
from typing import Any

import pytest
from event_logs import ask, log_of, near, question, say, truth_of, value
from hypothesis import given
from hypothesis import strategies as st

from vigil.eval.revision import (
    DELAYS_S,
    PairedProbes,
    Revision,
    area_over_log_delay,
    changes_of,
    paired_change,
    pool_revision,
    rev_f1,
    revise,
    truth_at,
)

TURN = truth_of(question(kind="state"), value(0, 10, "red"), value(10, 30, "blue"))


def told(*claims: tuple[float, str], supersedes: bool = False) -> list[dict[str, Any]]:
    rows = []
    for n, (t, text) in enumerate(claims):
        rows += say(str(n), t, text, supersedes=str(n - 1) if supersedes and n else None)
    return rows


@pytest.mark.parametrize(
    ("tau", "credited"),
    [
        (10.0, [1, 1, 1, 1]),
        (11.0, [1, 1, 1, 1]),
        (11.000001, [0, 1, 1, 1]),
        (12.0, [0, 1, 1, 1]),
        (15.0, [0, 0, 1, 1]),
        (20.0, [0, 0, 0, 1]),
        (20.000001, [0, 0, 0, 0]),
        (9.999999, [0, 0, 0, 0]),  # before its evidence it is luck
    ],
)
def test_a_revision_is_credited_from_its_change_to_its_tolerance(tau: float, credited: list[int]) -> None:
    seen = revise(log_of(*told((0, "red"), (tau, "blue"))), TURN)
    assert [seen.credited[delay] for delay in DELAYS_S] == credited


@pytest.mark.parametrize(
    ("claims", "shares"),
    [
        ([], {"unanswered_s": 30.0}),
        ([(0, "red"), (10, "blue")], {"correct_s": 30.0}),
        ([(0, "blue")], {"premature_s": 10.0, "correct_s": 20.0}),
        ([(0, "red")], {"correct_s": 10.0, "stale_s": 20.0}),
        ([(0, "pink")], {"wrong_s": 30.0}),
        ([(5, "red"), (12, "pink")], {"unanswered_s": 5.0, "correct_s": 5.0, "stale_s": 2.0, "wrong_s": 18.0}),
        ([(0, "red"), (30, "blue")], {"correct_s": 10.0, "stale_s": 20.0}),  # too late to count for any time
    ],
)
def test_the_five_states_share_the_window_by_hand(claims: list[tuple[float, str]], shares: dict[str, float]) -> None:
    seen = revise(log_of(*told(*claims)), TURN)
    found = {name: getattr(seen, name) for name in ("correct_s", "unanswered_s", "stale_s", "premature_s", "wrong_s")}
    assert found == {name: near(shares.get(name, 0.0)) for name in found}


def test_before_the_question_nothing_is_measured() -> None:
    truth = truth_of(question(kind="state", t_ask=12.0), value(0, 10, "red"), value(10, 30, "blue"))
    seen = revise(log_of(*told((0, "red"), (5, "pink"), (14, "blue"))), truth)
    assert (seen.window_s, seen.wrong_s, seen.correct_s) == (near(18.0), near(2.0), near(16.0))
    assert (seen.changes, seen.transitions) == (0, 1)  # the change of 10 s came before; one transition after 12 s


def test_an_answer_from_before_the_question_still_stands_when_it_is_asked() -> None:
    truth = truth_of(question(kind="state", t_ask=5.0), value(0, 10, "red"), value(10, 30, "blue"))
    assert revise(log_of(*told((4, "red"))), truth).correct_s == near(5.0)


def test_changes_are_new_values_after_the_start_and_not_new_spellings() -> None:
    values = truth_of(
        question(kind="state"), value(0, 3, "Two"), value(3, 5, "2"), value(5, 5, "3"), value(5, 9, "4")
    ).values_of("q1")
    assert [(c.at_s, c.until_s, c.v, c.is_last) for c in changes_of(values, 0.0)] == [
        (5.0, 5.0, "3", False),
        (5.0, 9.0, "4", True),
    ]
    assert [c.at_s for c in changes_of(values, 4.0)] == [5.0, 5.0]
    assert changes_of(values, 6.0) == []
    assert [truth_at(values, t) for t in (-0.1, 0.0, 4.0, 5.0, 9.0, 9.1)] == [None, "2", "2", "4", "4", None]


def test_of_two_changes_in_a_row_each_wants_its_own_revision() -> None:
    truth = truth_of(question(kind="state"), value(0, 5, "a"), value(5, 6, "b"), value(6, 20, "c"))
    skipped = revise(log_of(*told((0, "a"), (6.5, "c"))), truth)
    assert (skipped.changes, skipped.credited[2.0], skipped.delays) == (2, 1, ((1.0, False), (0.5, True)))
    late = revise(log_of(*told((0, "a"), (6.2, "b"), (6.5, "c"))), truth)
    assert (late.credited[2.0], late.transitions, late.wrongful) == (1, 2, 0)


def test_only_the_first_fitting_transition_is_credited_and_the_rest_is_churn() -> None:
    seen = revise(log_of(*told((0, "red"), (11, "blue"), (12, "red"), (13, "blue"), (14, "red"), (15, "blue"))), TURN)
    assert (seen.credited[10.0], seen.transitions, seen.uncredited) == (1, 5, 4)
    assert seen.churn_per_min == near(4 / 0.5)
    assert seen.oscillations == 4  # r b r, b r b, r b r, b r b: each has a transition that nothing explains
    assert seen.wrongful == 2
    assert seen.wrongful_per_min == near(60 * 2 / (10 + 1 + 1 + 15))


def test_explicit_are_the_credited_revisions_that_say_what_they_replace() -> None:
    for supersedes, share in ((True, 1.0), (False, 0.0)):
        assert revise(log_of(*told((0, "red"), (11, "blue"), supersedes=supersedes)), TURN).explicitness == share
    churn = revise(log_of(*told((0, "red"), (2, "pink"), (11, "blue"), supersedes=True)), TURN)
    assert (churn.explicit, churn.explicitness) == (1, 1.0)  # the churn is explicit too, and does not count
    assert revise(log_of(*told((0, "red"))), TURN).explicitness is None


def test_saying_the_same_again_is_neither_a_revision_nor_a_delay() -> None:
    seen = revise(log_of(*told((0, "red"), (3, "Red!"), (12, "blue"), (13, "BLUE"))), TURN)
    assert (seen.transitions, seen.delays) == (1, ((2.0, True),))


def test_the_latency_looks_past_ten_seconds_up_to_the_next_change() -> None:
    seen = revise(log_of(*told((0, "red"), (25, "blue"))), TURN)
    assert (seen.recall(10.0), seen.latency_s, seen.delays) == (0.0, 15.0, ((15.0, True),))
    assert revise(log_of(*told((0, "red"))), TURN).latency_s == math.inf


def test_a_stream_that_ends_early_gives_no_credit_for_what_nobody_saw() -> None:
    seen = revise(log_of(*told((0, "red"), (30, "blue")), end_s=30.0), TURN)
    assert (seen.delays, seen.transitions) == (((20.0, True),), 1)  # the last window is closed at its end
    seen = revise(log_of(*told((0, "red"), (30.000001, "blue"))), TURN)
    assert (seen.delays, seen.transitions) == (((20.0, False),), 0)


def test_each_question_is_measured_by_its_own_answers_and_added_up() -> None:
    rows = [question("q1", kind="state"), question("q2", kind="count"), question("q3")]
    truth = truth_of(*rows, value(0, 10, "red"), value(0, 5, "1", q="q2"), value(5, 10, "2", q="q2"))
    log = log_of(ask("q1", 0), *told((0, "red")), *say("x", 1, "There is one", q="q2"), *say("y", 6, "2", q="q2"))
    seen = revise(log, truth)
    assert (seen.window_s, seen.changes, seen.credited[1.0]) == (near(20.0), 1, 1)
    assert seen.correct_s == near(10 + (4 + 4))
    assert (seen.unanswered_s, seen.stale_s) == (near(1.0), near(1.0))


@pytest.mark.parametrize(
    ("credited", "changes", "transitions", "f1"),
    [(0, 0, 0, None), (0, 3, 0, 0.0), (0, 0, 3, 0.0), (2, 2, 2, 1.0), (1, 2, 2, 0.5), (1, 1, 3, 0.5)],
)
def test_the_f1_of_revisions_by_hand(credited: int, changes: int, transitions: int, f1: float | None) -> None:
    assert rev_f1(credited, changes, transitions) == f1


def test_the_area_is_over_the_logarithm_of_the_delay_and_needs_every_point() -> None:
    assert area_over_log_delay([0.7] * 4) == near(0.7)
    assert area_over_log_delay([0.0, 1.0, 1.0, 1.0]) == near(1 - 0.5 * math.log(2) / math.log(10))
    assert area_over_log_delay([1.0, 0.0, 0.0, 0.0]) == near(0.5 * math.log(2) / math.log(10))
    assert area_over_log_delay([0.0, 1.0, None, 1.0]) is None


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_the_area_lies_between_the_least_and_the_greatest(scores: list[float]) -> None:
    area = area_over_log_delay(scores)
    assert area is not None
    assert min(scores) - 1e-9 <= area <= max(scores) + 1e-9


def test_the_window_from_the_clue_never_begins_before_the_question() -> None:
    early = truth_of(question(kind="state", t_ask=6.0, clue=2.0), value(0, 10, "red"))
    assert revise(log_of(), early, from_clue=True).window_s == near(4.0)
    unknown = truth_of(question(kind="state", t_ask=6.0), value(0, 10, "red"))
    assert revise(log_of(), unknown, from_clue=True).window_s == near(4.0)


def probes(first: str | None, second: str | None, truth: str) -> PairedProbes:
    return PairedProbes(first=first, second=second, truth_first=truth[0], truth_second=truth[1])


@pytest.mark.parametrize(
    ("pairs", "pca", "stuck", "stability", "score"),
    [
        ([probes("a", "b", "ab")], 1.0, 0.0, None, None),
        ([probes("a", "a", "ab"), probes("a", "a", "aa")], 0.0, 1.0, 1.0, 0.0),
        ([probes("b", "a", "ab"), probes("a", "b", "aa")], 0.0, 0.0, 0.0, 0.0),
        ([probes(None, None, "ab"), probes(None, None, "aa")], 0.0, 1.0, 0.0, 0.0),  # no answer twice is no change
        ([probes("a", "b", "ab"), probes("a", "x", "ab"), probes("a", "a", "aa")], 0.5, 0.0, 1.0, 2 / 3),
        ([probes("a", "a", "aa")], None, None, 1.0, None),
    ],
)
def test_pairs_of_probes_by_hand(
    pairs: list[PairedProbes], pca: float | None, stuck: float | None, stability: float | None, score: float | None
) -> None:
    found = paired_change(pairs)
    assert (found.pca, found.stuck, found.stability) == (pca, stuck, stability)
    assert found.score == (None if score is None else near(score))


def test_pooling_nothing_is_nothing() -> None:
    nothing = pool_revision([])
    assert nothing == Revision()
    assert (nothing.twa, nothing.f1_auc, nothing.latency_s, nothing.share(1.0)) == (None, None, None, None)
