from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from reciter import said

from vigil.errors import DataError
from vigil.eval.l5.score import GUESS, Outcome, Scores, composite, judge, normalised, statistics
from vigil.eval.l5.trials import (
    KINDS,
    Flip,
    Kind,
    Trial,
)
from vigil.eval.stats import kaplan_meier_median


def test_example_l1_of_the_design() -> None:
    l5 = composite(2 / 3, 1 / 2, 1 / 4)
    assert l5 == pytest.approx(0.639, abs=5e-4)
    assert pytest.approx(0.375) == GUESS
    assert normalised(l5, 1 / 3, 0.375) == pytest.approx(0.422, abs=5e-4)
    assert normalised(l5) == normalised(l5, 1 / 3, None)
    assert normalised(l5, 0.5) == pytest.approx((0.6389 - 0.5) / 0.5, abs=1e-3)
    assert composite(1.0, None, 0.0) is None


def flipped(kind: Kind, item: str = "D", at_s: float = 2.0) -> Trial:
    flip = Flip(item=item if kind in "FB" else "", old="red", new="blue", token=3, at_s=at_s)
    return Trial(number=0, kind=kind, flip=None if kind == "N" else flip, flip_s=None if kind == "N" else at_s)


def outcome(kind: Kind, *claims: tuple[float, str], **options: bool) -> Outcome:
    return judge(flipped(kind), said(*claims, **options), grace_s=0.6)


@pytest.mark.parametrize(
    ("claims", "hit"),
    [
        ([(2.7, "D is blue.")], True),
        ([(2.7, "D is red."), (3.0, "D is blue.")], False),
        ([(2.6, "D is red."), (2.7, "D is blue.")], True),  # an old value within the grace of 0.6 s is forgiven
        ([(2.3, "D is blue.")], True),  # a new one within the grace counts
        ([(2.7, "D is green.")], False),
        ([(2.3, "D is green.")], False),  # never mentioned after the grace
        ([(2.7, "E is blue.")], False),
        ([(2.7, "D is blue."), (3.0, "D is red.")], True),
    ],
)
def test_forward_the_first_claim_after_the_grace_states_the_new_value(
    claims: list[tuple[float, str]], hit: bool
) -> None:
    assert outcome("F", *claims).hit is hit


@pytest.mark.parametrize(
    ("claims", "hit"),
    [
        ([(1.5, "D is red."), (2.1, "D is blue.")], True),
        ([(1.5, "D is red."), (12.0, "D is blue.")], True),
        ([(1.5, "D is red."), (12.1, "D is blue.")], False),
        ([(1.5, "D is red.")], False),
        ([(1.5, "D is blue.")], False),  # before the flip it was luck
    ],
)
def test_backward_the_new_value_is_claimed_within_ten_seconds(claims: list[tuple[float, str]], hit: bool) -> None:
    assert outcome("B", *claims).hit is hit


@pytest.mark.parametrize("kind", ["N", "D"])
def test_nothing_is_taken_back_without_reason(kind: Kind) -> None:
    assert outcome(kind, (1.5, "A is red. B is blue."), (3.0, "A is red.")).hit is False
    assert outcome(kind, (1.5, "A is red. B is blue."), (3.0, "A is green.")).hit is True
    assert outcome(kind, (1.5, "I see a panel.")).hit is None
    assert outcome(kind, prompt=False).hit is None


def test_claims_are_counted_by_what_they_are() -> None:
    found = outcome(
        "B", (1.5, "D is red. A is green."), (3.0, "D is red. A is green."), (4.0, "A is white. D is blue."), cut=True
    )
    assert (found.stale, found.collateral, found.redundant) == (1, 1, 2)
    assert (found.tokens, found.discarded) == (3, 1)
    assert (found.delay_s, found.is_observed) == (2.0, True)


def test_a_correction_that_never_comes_is_censored_at_the_end() -> None:
    found = outcome("B", (1.5, "D is red."))
    assert (found.delay_s, found.is_observed) == (13.0, False)


def test_a_trial_without_a_flip_is_a_miss_and_has_no_delay() -> None:
    found = judge(Trial(number=0, kind="F", fault="no reply"), said(), grace_s=0.6)
    assert (found.hit, found.delay_s) == (False, None)


def outcomes(hits: Sequence[bool | None], delays: Sequence[float] = ()) -> list[Outcome]:
    """One trial: what its kinds N, F, B, D gave, and the delays of F and B (below 0: censored)."""
    found = [Outcome(kind=kind, hit=hit) for kind, hit in zip(KINDS, hits, strict=True)]
    for n, delay in enumerate(delays, start=1):
        found[n] = replace(found[n], delay_s=abs(delay), is_observed=delay > 0)
    return found


def test_scores_are_pooled_over_trials_and_the_denominators_are_their_own() -> None:
    scores = Scores(
        [
            outcomes([False, True, True, False]),
            outcomes([True, True, False, None]),
            outcomes([None, False, False, False]),
        ]
    )
    values = scores.values(np.arange(3))
    assert (values["pfc"], values["bcr"], values["frr"]) == (2 / 3, 1 / 3, 1 / 4)
    assert (values["frr_none"], values["frr_distractor"]) == (1 / 2, 0)
    assert scores.values(np.array([0, 0, 0]))["l5"] == 1


@pytest.mark.parametrize("drawn", [[0, 1, 2, 3], [0, 0, 3, 3], [1, 1, 1, 2], [3, 3, 3, 3]])
def test_the_delay_of_a_resample_is_the_kaplan_meier_median(drawn: list[int]) -> None:
    delays = [(1.0, 3.0), (-2.0, 2.0), (-6.0, 1.0), (-0.5, -4.0)]
    scores = Scores([outcomes([None] * 4, pair) for pair in delays])
    listed = [delay for n in drawn for delay in delays[n]]
    expected = kaplan_meier_median([abs(delay) for delay in listed], [delay > 0 for delay in listed])
    assert scores.values(np.array(drawn))["delay_s"] == expected


def test_the_blind_floor_is_resampled_with_the_score() -> None:
    good, blind = (
        Scores([outcomes([False, hit, hit, False]) for hit in hits]) for hits in ([True, True], [True, False])
    )
    nl5 = statistics(good, [blind])["nl5"]
    assert nl5(np.array([1, 1])) == 1
    assert nl5(np.array([0, 0])) is None  # the blind one scores 1 there, so nothing is left to be gained


def test_each_trial_needs_all_its_kinds() -> None:
    with pytest.raises(DataError, match="N, F, B, D"):
        Scores([outcomes([True] * 4)[:3]])
