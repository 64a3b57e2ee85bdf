"""The statistics against slower ones written from their definitions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pytest
from event_logs import near
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vigil.eval.stats import (
    Interval,
    bootstrap,
    chance_corrected,
    difference,
    f_score,
    harmonic_mean,
    kaplan_meier_median,
    mean,
    median,
    percentile,
    pool,
    ratio,
    replicates,
    rule_of_three,
    theil_sen,
)


def survival_by_definition(delays: Sequence[tuple[float, bool]]) -> float | None:
    """Product over the times of events of (1 - events / still at risk); the median is where it falls to one half."""
    if not delays:
        return None
    left = 1.0
    for time in sorted({delay for delay, seen in delays if seen}):
        at_risk = sum(delay >= time for delay, _ in delays)
        left *= 1 - sum(delay == time and seen for delay, seen in delays) / at_risk
        if left <= 0.5 + 1e-12:
            return time
    return math.inf


@given(st.lists(st.tuples(st.integers(0, 5).map(float), st.booleans()), max_size=9))
def test_the_median_under_censoring_is_that_of_the_definition(delays: list[tuple[float, bool]]) -> None:
    found = kaplan_meier_median([delay for delay, _ in delays], [seen for _, seen in delays])
    assert found == survival_by_definition(delays)


def ranks_by_definition(num_slopes: int, y: Sequence[float]) -> tuple[int, int]:
    """Places, from 0, of the ends of the 95 % interval among the ordered slopes; Sen 1968, with ties in y."""
    n = len(y)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(y).values())
    half = 1.959964 * math.sqrt((n * (n - 1) * (2 * n + 5) - ties) / 18)
    lower = max(math.floor((num_slopes - half) / 2), 1)  # the lower-th smallest and the lower-th largest
    return lower - 1, num_slopes - lower


@given(st.lists(st.integers(0, 3).map(float), min_size=10, max_size=14))
def test_the_interval_of_a_slope_is_that_of_the_definition_also_where_values_are_tied(y: list[float]) -> None:
    slopes = sorted((d - b) / (c - a) for (a, b), (c, d) in combinations(enumerate(y), 2))
    found = theil_sen([float(n) for n in range(len(y))], y)
    assert found is not None
    lo, hi = ranks_by_definition(len(slopes), y)
    assert (found.lo, found.hi) == (near(slopes[lo]), near(slopes[hi]))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=10, max_size=14))
def test_the_slope_is_the_median_of_all_pairs_and_lies_in_its_interval(points: list[tuple[int, int]]) -> None:
    x, y = [float(a) for a, _ in points], [float(b) for _, b in points]
    slopes = [(d - b) / (c - a) for (a, b), (c, d) in combinations(zip(x, y, strict=True), 2) if a != c]
    found = theil_sen(x, y)
    if not slopes:
        assert found is None
        return
    assert found is not None
    assert found.value == near(float(np.median(slopes)))
    assert min(slopes) <= found.lo <= found.value <= found.hi <= max(slopes)


def test_a_slope_turns_with_its_data_and_does_not_see_where_they_start() -> None:
    random = np.random.default_rng(3)
    x, y = np.arange(20.0), random.normal(size=20)
    found, turned = theil_sen(x.tolist(), y.tolist()), theil_sen((x + 7).tolist(), (-2 * y + 5).tolist())
    assert found is not None
    assert turned is not None
    assert (turned.value, turned.lo, turned.hi) == (near(-2 * found.value), near(-2 * found.hi), near(-2 * found.lo))


def test_long_series_are_thinned_from_end_to_end() -> None:
    x = [float(n) for n in range(5000)]
    found = theil_sen(x, [3 * value for value in x], most=50)
    assert found is not None
    assert found.value == near(3.0)
    kinked = [value if value < 2500 else 5 * value - 10_000 for value in x]  # slopes 1 and 5, half of each
    found = theil_sen(x, kinked, most=50)
    assert found is not None
    assert 1.5 < found.value < 4.5  # both halves were looked at


def test_points_above_one_another_have_no_slope() -> None:
    assert theil_sen([1.0] * 12, [float(n) for n in range(12)]) is None


@pytest.mark.parametrize(
    ("values", "middle", "average"),
    [([], None, None), ([3.0], 3.0, 3.0), ([4.0, 1.0], 2.5, 2.5), ([9.0, 1.0, 2.0], 2.0, 4.0)],
)
def test_averages_by_hand_and_none_of_nothing(values: list[float], middle: float | None, average: float | None) -> None:
    assert (median(values), mean(values)) == (middle, average)


def test_percentiles_interpolate() -> None:
    assert percentile([10.0, 0.0], 95) == near(9.5)
    assert percentile([float(n) for n in range(101)], 95) == 95.0
    assert (percentile([5.0], 95), percentile([1.0, 2.0], 0), percentile([1.0, 2.0], 100)) == (5.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("hits", "claimed", "due", "f1"),
    [(0, 0, 0, 0.0), (0, 5, 0, 0.0), (2, 4, 2, 2 / 3), (3, 3, 3, 1.0), (1, 20, 1, 2 / 21)],
)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(hits: int, claimed: int, due: int, f1: float) -> None:
    assert f_score(hits, claimed, due) == near(f1)
    if hits:
        assert f_score(hits, claimed, due) == near(harmonic_mean(hits / claimed, hits / due) or 0.0)


def test_ratios_of_nothing_are_undefined_and_bounds_are_bounded() -> None:
    assert (ratio(0, 0), ratio(3, 0), ratio(0, 3)) == (None, None, 0.0)
    assert [rule_of_three(n) for n in (0, 1, 3, 4, 200)] == [None, 1.0, 1.0, 0.75, 0.015]
    assert (chance_corrected(0.5, 0.5), chance_corrected(1.0, 0.9)) == (0.0, near(1.0))
    assert harmonic_mean(1.0, 0.0) == 0.0


@dataclass(frozen=True, kw_only=True)
class Tally:
    hits: int = 0
    seconds: float = 0.0
    classes: Counter[str] = field(default_factory=Counter)
    delays: tuple[float, ...] = ()


def test_tallies_are_added_field_by_field_and_left_as_they_were() -> None:
    one = Tally(hits=1, seconds=0.5, classes=Counter(late=2), delays=(1.0,))
    two = Tally(hits=2, seconds=1.5, classes=Counter(late=1, false=3), delays=(2.0, 3.0))
    assert pool([one, two], Tally()) == Tally(
        hits=3, seconds=2.0, classes=Counter(late=3, false=3), delays=(1.0, 2.0, 3.0)
    )
    assert pool([one], Tally()) == one
    assert pool([], Tally()) == Tally()
    assert one.classes == Counter(late=2)


# The bootstrap


def rate_of(rows: Sequence[tuple[float, float]]) -> object:
    table = np.asarray(rows)

    def statistic(drawn: NDArray[np.int64]) -> float | None:
        right, of = table[drawn].sum(axis=0).tolist()
        return ratio(right, of)

    return statistic


def test_the_same_resamples_are_drawn_for_every_statistic() -> None:
    seen: list[list[list[int]]] = [[], []]
    for note in seen:
        replicates(12, lambda drawn, note=note: float(len(note.append(drawn.tolist()) or [])), count=30, seed=4)  # type: ignore[misc]
    assert seen[0] == seen[1]
    assert {len(drawn) for drawn in seen[0]} == {12}
    assert {n for drawn in seen[0] for n in drawn} == set(range(12))


def test_a_composite_is_computed_anew_in_each_resample() -> None:
    """The mean of two tasks is not the pooled rate: the bootstrap of one must not be that of the other."""
    hard, easy = [(0.0, 1.0)] * 5, [(9.0, 9.0)] * 5
    table = np.asarray([(*a, 0.0, 0.0) for a in hard] + [(0.0, 0.0, *b) for b in easy])

    def mean_of_tasks(drawn: NDArray[np.int64]) -> float | None:
        right_1, of_1, right_2, of_2 = table[drawn].sum(axis=0).tolist()
        parts = [ratio(right_1, of_1), ratio(right_2, of_2)]
        return None if None in parts else (parts[0] or 0.0) / 2 + (parts[1] or 0.0) / 2

    found = bootstrap(10, mean_of_tasks, count=300)
    assert found == Interval(lo=0.5, hi=0.5, redrawn=found.redrawn if found else 0)
    pooled = bootstrap(10, rate_of([*hard, *easy]), count=300)  # type: ignore[arg-type]
    assert pooled is not None
    assert pooled.hi - pooled.lo > 0.05
    assert pooled.lo > 0.5


def test_a_resample_without_a_task_is_drawn_again_and_one_that_never_fits_is_given_up() -> None:
    rare = bootstrap(10, lambda drawn: 1.0 if 0 in drawn and 1 in drawn else None, count=200)
    assert rare is not None
    missed = 2 * 0.9**10 - 0.8**10
    assert rare.redrawn == near(200 * missed / (1 - missed), rel=0.3)
    tries: list[int] = []
    assert bootstrap(10, lambda drawn: tries.append(1), count=7) is None
    assert len(tries) == 700


def test_more_videos_that_say_the_same_narrow_the_interval_as_the_root_of_their_number() -> None:
    widths = []
    for num in (20, 80):
        found = bootstrap(num, rate_of([(float(n % 2), 1.0) for n in range(num)]), count=2000)  # type: ignore[arg-type]
        assert found is not None
        assert found.lo + found.hi == near(1.0, abs=0.06)
        widths.append(found.hi - found.lo)
    assert widths[0] / widths[1] == near(2.0, rel=0.2)


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [(1.0, 0.25, 0.75), (None, 1.0, None), (1.0, None, None), (math.inf, 2.0, math.inf), (math.inf, math.inf, None)],
)
def test_a_difference_is_undefined_where_it_has_no_meaning(
    a: float | None, b: float | None, value: float | None
) -> None:
    assert difference(lambda drawn: a, lambda drawn: b)(np.arange(3)) == value
