from __future__ import annotations

import math
from typing import Any

from event_logs import log_of, near, question, say, truth_of, value

from vigil.eval.revision import PairedProbes, Revision, paired_change, pool_revision, revise

R1_TRUTH = truth_of(question(kind="state"), value(0, 8, "red"), value(8, 14, "blue"), value(14, 20, "red"))
CONSTANT = truth_of(question(kind="state"), value(0, 20, "red"))


def r1() -> Revision:
    rows = [*say("1", 2, "red"), *say("2", 9, "blue", supersedes="1"), *say("3", 12, "green"), *say("4", 17, "red")]
    return revise(log_of(*rows), R1_TRUTH)


def test_r1_shares() -> None:
    seen = r1()
    assert seen.twa == near(0.60)
    parts = (seen.stale_s, seen.wrong_s, seen.unanswered_s, seen.premature_s)
    assert [seen.share(part) for part in parts] == near([0.05, 0.25, 0.10, 0.0])
    assert seen.window_s == near(20.0)


def test_r1_credit() -> None:
    seen = r1()
    assert seen.transitions == 3
    for delay in (1.0, 2.0):
        assert (seen.recall(delay), seen.precision(delay)) == (0.5, near(1 / 3))
        assert seen.f1(delay) == near(0.40)
    for delay in (5.0, 10.0):
        assert (seen.recall(delay), seen.precision(delay)) == (1.0, near(2 / 3))
        assert seen.f1(delay) == near(0.80)
    assert seen.f1_auc == near(0.600, abs=5e-4)


def test_r1_latency_churn_and_the_rest() -> None:
    seen = r1()
    assert sorted(seen.delays) == [(1.0, True), (3.0, True)]
    assert seen.latency_s == 1.0
    assert seen.churn_per_min == near(3.0)
    assert seen.wrongful_per_min == near(5.0)
    assert seen.oscillations == 0
    assert seen.explicitness == 0.5


def test_r3_paired_probes() -> None:
    def pair(first: bool, second: bool) -> PairedProbes:
        return PairedProbes(
            first="x" if first else "-", second="y" if second else "-", truth_first="x", truth_second="y"
        )

    result = paired_change([pair(True, True), pair(True, True), pair(True, False), pair(False, False)])
    assert result.pca == 0.50
    assert result.gain == near(0.20)
    assert result.stuck == 0.25
    assert result.stability is None
    assert result.score is None


def test_never_revising_scores_0_and_answering_always_right_has_no_gain() -> None:
    moved = PairedProbes(first="x", second="x", truth_first="x", truth_second="y")
    held = PairedProbes(first="x", second="x", truth_first="x", truth_second="x")
    stubborn = paired_change([moved, held])
    assert (stubborn.pca, stubborn.stuck, stubborn.stability, stubborn.score) == (0.0, 1.0, 1.0, 0.0)
    right = paired_change([PairedProbes(first="x", second="y", truth_first="x", truth_second="y"), held])
    assert (right.pca, right.gain, right.score) == (1.0, None, 1.0)
    nothing = paired_change([])
    assert (nothing.pca, nothing.gain, nothing.stuck, nothing.stability) == (None, None, None, None)


def f1s(seen: Revision) -> tuple[Any, ...]:
    return seen.twa, seen.recall(2.0), seen.precision(2.0), seen.f1(2.0), seen.churn_per_min


def test_never_speaking() -> None:
    seen = revise(log_of(), R1_TRUTH)
    assert f1s(seen) == (0.0, 0.0, None, 0.0, 0.0)
    assert seen.share(seen.unanswered_s) == 1.0
    assert (seen.wrongful_per_min, seen.explicitness, seen.latency_s) == (None, None, math.inf)


def test_answering_once_and_never_revising_is_right_up_to_the_first_change() -> None:
    seen = revise(
        log_of(*say("1", 0, "red")), truth_of(question(kind="state"), value(0, 8, "red"), value(8, 20, "blue"))
    )
    assert f1s(seen) == (near(0.4), 0.0, None, 0.0, 0.0)
    assert seen.f1_auc == 0.0
    assert seen.share(seen.stale_s) == near(0.6)


def test_changing_the_answer_at_every_frame_has_high_recall_and_low_precision() -> None:
    rows = [row for t in range(20) for row in say(f"{t}.1", t, "red" if t % 2 == 0 else "blue")]
    seen = revise(log_of(*rows), R1_TRUTH)
    twa, recall, precision, f1, churn = f1s(seen)
    assert twa == near(0.5)
    assert recall == 1.0 or seen.pre_satisfied
    assert precision is not None
    assert precision < 0.15
    assert f1 < 0.25
    assert churn is not None
    assert churn > 45
    assert seen.oscillations > 15


def test_a_constant_truth_has_no_recall_and_every_transition_is_churn() -> None:
    steady = revise(log_of(*say("1", 0, "red")), CONSTANT)
    assert f1s(steady) == (1.0, None, None, None, 0.0)
    assert (steady.f1_auc, steady.latency_s) == (None, None)
    restless = revise(log_of(*say("1", 0, "red"), *say("2", 10, "blue")), CONSTANT)
    assert f1s(restless) == (0.5, None, 0.0, 0.0, near(3.0))
    assert restless.wrongful_per_min == near(6.0)


def test_a_window_of_zero_length_is_undefined() -> None:
    seen = revise(log_of(), truth_of(question(kind="state", t_ask=20), value(20, 20, "red")))
    assert (seen.twa, seen.churn_per_min, seen.recall(1.0)) == (None, None, None)


def test_a_stream_without_state_questions_is_undefined() -> None:
    assert f1s(revise(log_of(*say("1", 0, "red")), truth_of(question()))) == (None, None, None, None, None)


def test_a_dropped_revision_is_caught_by_recall_and_stale_time() -> None:
    def rows(kept: int) -> list[dict[str, Any]]:
        said = [say("1", 0, "red"), say("2", 8, "blue", supersedes="1"), say("3", 14, "red", supersedes="2")]
        return [row for answer in said[:kept] for row in answer]

    whole, dropped = revise(log_of(*rows(3)), R1_TRUTH), revise(log_of(*rows(2)), R1_TRUTH)
    assert (whole.f1(2.0), whole.twa, whole.latency_s) == (1.0, 1.0, 0.0)
    assert whole.oscillations == 0  # red, blue, red, but each as it should be
    assert (dropped.recall(2.0), dropped.share(dropped.stale_s)) == (0.5, near(0.3))


def test_an_answer_before_its_evidence_is_premature_and_earns_no_credit() -> None:
    truth = truth_of(question(kind="state"), value(0, 8, "red"), value(8, 20, "blue"))
    seen = revise(log_of(*say("1", 0, "red"), *say("2", 6, "blue")), truth)
    assert seen.share(seen.premature_s) == near(0.1)
    assert (seen.changes, seen.pre_satisfied, seen.recall(10.0), seen.precision(10.0)) == (0, 1, None, 0.0)
    assert seen.wrongful == 1


def test_a_change_met_without_an_answer_is_a_miss() -> None:
    truth = truth_of(question(kind="state"), value(0, 8, "red"), value(8, 20, "blue"))
    seen = revise(log_of(*say("1", 9, "blue")), truth)
    assert (seen.recall(10.0), seen.precision(10.0), seen.f1(10.0)) == (0.0, None, 0.0)
    assert seen.delays == ((12.0, False),)


def test_an_earlier_and_later_value_counts_as_stale() -> None:
    seen = revise(log_of(*say("1", 0, "red")), R1_TRUTH)
    assert (seen.stale_s, seen.premature_s) == (near(6.0), 0.0)


def test_each_change_credits_only_the_first_transition_in_its_window() -> None:
    truth = truth_of(question(kind="state"), value(0, 8, "red"), value(8, 20, "blue"))
    rows = [*say("1", 0, "red"), *say("2", 9, "blue"), *say("3", 10, "red"), *say("4", 11, "blue")]
    seen = revise(log_of(*rows), truth)
    assert (seen.transitions, seen.credited[10.0], seen.uncredited, seen.oscillations) == (3, 1, 2, 2)
    assert seen.delays == ((1.0, True),)


def test_a_transition_before_a_change_does_not_follow_it() -> None:
    seen = revise(log_of(*say("1", 0, "green"), *say("2", 3, "red"), *say("3", 8, "blue")), R1_TRUTH)
    assert (seen.changes, seen.credited[10.0]) == (2, 1)
    assert seen.delays == ((0.0, True), (6.0, False))


def test_what_is_said_after_the_window_is_not_counted() -> None:
    seen = revise(log_of(*say("1", 0, "red"), *say("2", 21, "blue")), CONSTANT)
    assert (seen.transitions, seen.twa) == (0, 1.0)


def test_the_window_of_a_change_ends_before_the_next_change_and_is_closed_at_the_end() -> None:
    truth = truth_of(question(kind="state"), value(0, 8, "red"), value(8, 9, "blue"), value(9, 10, "green"))
    at_end = revise(log_of(*say("1", 0, "red"), *say("2", 10, "green"), end_s=10), truth)
    assert at_end.credited[1.0] == 1
    at_next = revise(log_of(*say("1", 0, "red"), *say("2", 9, "blue"), end_s=10), truth)
    assert at_next.credited[1.0] == 0


def test_late_by_exactly_the_tolerance_is_in_time_whatever_the_floats_say() -> None:
    truth = truth_of(question(kind="state"), value(0, 0.1 + 0.2, "red"), value(0.1 + 0.2, 20, "blue"))
    seen = revise(log_of(*say("1", 0, "red"), *say("2", 1.3, "blue")), truth)
    assert seen.credited[1.0] == 1


def test_a_retracted_answer_gives_way_to_the_one_before() -> None:
    rows = [*say("1", 0, "red"), *say("2", 5, "blue")]
    rows.append({"k": "answer", "a": "2", "q": "q1", "w": 10.0, "state": "retracted"})
    assert revise(log_of(*rows), CONSTANT).twa == near(0.75)


def test_the_window_may_start_where_the_truth_can_be_known() -> None:
    truth = truth_of(question(kind="state", clue=10.0), value(0, 20, "red"))
    log = log_of(*say("1", 10, "red"))
    assert revise(log, truth).twa == near(0.5)
    assert revise(log, truth, from_clue=True).twa == 1.0


def test_time_for_which_the_truth_is_silent_is_not_counted() -> None:
    truth = truth_of(question(kind="state"), value(5, 10, "red"), value(15, 20, "red"))
    seen = revise(log_of(*say("1", 7.5, "red")), truth)
    assert (seen.window_s, seen.twa, seen.changes) == (near(10.0), near(0.75), 0)


def test_streams_are_pooled_by_sums() -> None:
    both = pool_revision([r1(), revise(log_of(), R1_TRUTH)])
    assert both.twa == near(0.30)
    assert both.recall(10.0) == 0.5
    assert len(both.delays) == 4
