from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from event_logs import near
from numpy.typing import NDArray

from vigil.eval.stats import (
    Statistic,
    bootstrap,
    chance_corrected,
    difference,
    harmonic_mean,
    kaplan_meier_median,
    percentile,
    replicates,
    rule_of_three,
    theil_sen,
)


def mean_of(values: list[float]) -> Statistic:
    def statistic(drawn: NDArray[np.int64]) -> float | None:
        return float(np.mean(np.asarray(values)[drawn]))

    return statistic


def test_r2_censored_delays_count_as_at_risk() -> None:
    assert kaplan_meier_median([1, 3, 6, 6], [True, True, False, False]) == 3
    assert kaplan_meier_median([1, 6, 6], [True, False, False]) == math.inf


def test_kaplan_meier_by_hand_with_a_censoring_before_an_event() -> None:
    # At risk 4, 3 (one censored at 2), 2: survival 3/4, then 3/4 * 1/2 = 3/8 at 3.
    assert Fraction(3, 4) * Fraction(1, 2) == Fraction(3, 8)
    assert kaplan_meier_median([1, 2, 3, 9], [True, False, True, False]) == 3


def test_at_equal_times_events_come_before_censorings() -> None:
    assert kaplan_meier_median([2, 2], [False, True]) == 2  # 1/2; the other order would leave one at risk: 0, also at 2
    assert kaplan_meier_median([2, 2, 2], [False, True, False]) == math.inf  # 2/3; the other order would reach 0


def test_no_delay_at_all_is_undefined_and_not_unreached() -> None:
    assert kaplan_meier_median([], []) is None


def test_identical_clusters_give_an_interval_of_width_0() -> None:
    interval = bootstrap(12, mean_of([0.7] * 12))
    assert interval is not None
    assert interval.lo == interval.hi == near(0.7)


def test_two_clusters_0_and_1_give_replicate_means_of_0_half_and_1_only() -> None:
    values, _ = replicates(2, mean_of([0.0, 1.0]), count=400, seed=0)
    assert set(values) == {0.0, 0.5, 1.0}
    assert 0.4 < values.count(0.5) / 400 < 0.6


def test_fewer_than_10_videos_have_no_interval() -> None:
    assert bootstrap(9, mean_of([0.0] * 9)) is None
    assert bootstrap(10, mean_of([0.0] * 10)) is not None


def test_the_interval_is_the_same_every_time() -> None:
    statistic = mean_of([float(n) for n in range(20)])
    assert bootstrap(20, statistic) == bootstrap(20, statistic)
    assert bootstrap(20, statistic) != bootstrap(20, statistic, seed=1)


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = [float(n) for n in range(100)]
    interval = bootstrap(100, mean_of(values))
    half = 1.96 * float(np.std(values)) / 10
    assert interval is not None
    assert interval.lo == near(49.5 - half, abs=0.6)
    assert interval.hi == near(49.5 + half, abs=0.6)


def test_a_resample_in_which_the_statistic_is_undefined_is_drawn_again_and_counted() -> None:
    def has_cluster_0(drawn: NDArray[np.int64]) -> float | None:
        return 1.0 if 0 in drawn else None

    interval = bootstrap(10, has_cluster_0, count=500)
    assert interval is not None
    assert interval.lo == interval.hi == 1.0
    expected = 500 * 0.9**10 / (1 - 0.9**10)
    assert interval.redrawn == near(expected, rel=0.25)


def test_a_statistic_that_is_never_defined_has_no_interval() -> None:
    assert bootstrap(10, lambda drawn: None, count=5) is None


def test_a_difference_of_systems_is_paired() -> None:
    scores = [float(n % 7) for n in range(30)]
    better = [score + 0.5 for score in scores]
    paired = bootstrap(30, difference(mean_of(better), mean_of(scores)))
    alone = bootstrap(30, mean_of(better))
    assert paired is not None
    assert alone is not None
    assert (paired.lo, paired.hi) == (near(0.5), near(0.5))
    assert alone.hi - alone.lo > 0.5


def test_an_unreached_median_may_stand_at_the_end_of_an_interval() -> None:
    interval = bootstrap(10, lambda drawn: math.inf if drawn[0] < 5 else 1.0, count=200)
    assert interval is not None
    assert (interval.lo, interval.hi) == (1.0, math.inf)


def test_theil_sen_is_the_median_of_pairwise_slopes_and_ignores_an_outlier() -> None:
    x = [float(n) for n in range(11)]
    y = [2 * value + 1 for value in x]
    y[5] = 1000.0
    slope = theil_sen(x, y)
    assert slope is not None
    assert slope.value == near(2.0)
    assert not slope.holds_zero


def test_a_constant_series_has_no_drift() -> None:
    slope = theil_sen([float(n) for n in range(10)], [5.0] * 10)
    assert slope is not None
    assert (slope.value, slope.lo, slope.hi) == (0.0, 0.0, 0.0)
    assert slope.holds_zero


def test_noise_around_a_constant_holds_zero_in_about_95_of_100_series() -> None:
    random = np.random.default_rng(0)
    x = [float(n) for n in range(30)]
    held = 0
    for _ in range(200):
        slope = theil_sen(x, random.normal(size=30).tolist())
        assert slope is not None
        held += slope.holds_zero
    assert 180 <= held <= 198


def test_fewer_than_10_samples_have_no_slope() -> None:
    assert theil_sen([1.0] * 9, [1.0] * 9) is None


def test_small_helpers_by_hand() -> None:
    assert chance_corrected(0.8, 0.6) == near(0.5)
    assert chance_corrected(0.4, 0.6) == near(-0.5)
    assert (chance_corrected(None, 0.5), chance_corrected(0.5, None), chance_corrected(1.0, 1.0)) == (None, None, None)
    assert rule_of_three(1000) == 0.003
    assert rule_of_three(2) == 1.0
    assert rule_of_three(0) is None
    assert harmonic_mean(0.5, 1.0) == near(2 / 3)
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert harmonic_mean(None, 1.0) is None
    assert percentile([0.0, 1.0], 95) == near(0.95)
    assert percentile([], 95) is None
