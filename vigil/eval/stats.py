"""The statistics that every table uses: pooled ratios, cluster bootstrap, Kaplan-Meier, Theil-Sen, rule of three.

A value that is not defined is None, never 0. `math.inf` stands for "not reached" (a median that lies beyond what was
observed). Intervals are 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Tally = TypeVar("Tally")
Indices = NDArray[np.int64]
Statistic = Callable[[Indices], "float | None"]
"""Takes the indices of the clusters drawn (some more than once), gives the whole composite over them."""

MIN_CLUSTERS = 10
"""With fewer videos no interval is printed."""
REPLICATES = 2000


def ratio(numerator: float, denominator: float) -> float | None:
    """Divide; None where nothing was counted."""
    return numerator / denominator if denominator else None


def mean(values: Sequence[float]) -> float | None:
    """Average; None of nothing."""
    return ratio(sum(values), len(values))


def harmonic_mean(a: float | None, b: float | None) -> float | None:
    """2ab / (a + b); 0 if both are 0, None if either is undefined."""
    if a is None or b is None:
        return None
    return 2 * a * b / (a + b) if a + b else 0.0


def f_score(hits: float, claimed: float, due: float) -> float:
    """F1 of precision hits / claimed and recall hits / due; 0 where there is no hit."""
    return 2 * hits / (claimed + due) if hits else 0.0


def median(values: Sequence[float]) -> float | None:
    """Middle value, the mean of the two middle ones if their number is even; None of nothing."""
    return float(np.median(values)) if len(values) else None


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Percentile with linear interpolation; None of nothing."""
    return float(np.percentile(values, percent)) if len(values) else None


def pool(tallies: Sequence[Tally], empty: Tally) -> Tally:
    """Add dataclasses field by field: numbers are summed, tuples are joined, counters are added."""
    if not tallies:
        return empty
    summed: dict[str, Any] = {
        field.name: reduce(add, (getattr(tally, field.name) for tally in tallies))
        for field in fields(empty)  # type: ignore[arg-type]
    }
    return type(empty)(**summed)


def kaplan_meier_median(delays: Sequence[float], is_observed: Sequence[bool]) -> float | None:
    """Smallest time at which survival is at most 0.5; `math.inf` if that is never reached, None without data.

    Delays that were not observed are censored: it is only known that they are longer. At equal times the observed
    ones come first, so that the censored ones still count as at risk.
    """
    at_risk = len(delays)
    if not at_risk:
        return None
    survival = 1.0
    for delay, hidden in sorted((delay, not seen) for delay, seen in zip(delays, is_observed, strict=True)):
        if not hidden:
            survival *= (at_risk - 1) / at_risk
            if survival <= 0.5 + 1e-12:
                return delay
        at_risk -= 1
    return math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A Theil-Sen slope with its 95 % interval."""

    value: float
    lo: float
    hi: float

    @property
    def holds_zero(self) -> bool:
        """True: no drift can be told from the data."""
        return self.lo <= 0 <= self.hi


def theil_sen(x: Sequence[float], y: Sequence[float], *, most: int = 1500) -> Slope | None:
    """Median of the slopes between all pairs of points, with Sen's rank interval; None for fewer than 10 points.

    More than `most` points are thinned evenly first (the pairs grow with the square). Pairs with equal x are left out.
    """
    if len(x) < MIN_CLUSTERS:
        return None
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), most)).astype(np.int64))
    x_N, y_N = np.asarray(x, dtype=np.float64)[keep], np.asarray(y, dtype=np.float64)[keep]
    first, second = np.triu_indices(len(x_N), k=1)
    run = x_N[second] - x_N[first]
    slopes = np.sort((y_N[second] - y_N[first])[run != 0] / run[run != 0])
    if not len(slopes):
        return None
    _, ties = np.unique(y_N, return_counts=True)
    n = len(x_N)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    half = 1.959964 * math.sqrt(max(variance, 0.0))
    lo = max(math.floor((len(slopes) - half) / 2) - 1, 0)
    return Slope(value=float(np.median(slopes)), lo=float(slopes[lo]), hi=float(slopes[-1 - lo]))


def rule_of_three(num_trials: int) -> float | None:
    """Upper 95 % bound of a rate after that many trials without a single failure; None without trials."""
    return min(3 / num_trials, 1.0) if num_trials else None


def chance_corrected(score: float | None, blind: float | None) -> float | None:
    """What of the way from the best blind score to 1 was covered; None where either is undefined or blind is 1."""
    return None if score is None or blind is None else ratio(score - blind, 1 - blind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % percentile interval of a bootstrap. `math.inf` = not reached."""

    lo: float
    hi: float
    redrawn: int
    """Resamples in which the statistic was not defined, and which were drawn again."""


def replicates(num_clusters: int, statistic: Statistic, *, count: int, seed: int) -> tuple[list[float], int]:
    """Values of `statistic` over `count` resamples of whole clusters, and how many resamples were drawn again.

    The same `num_clusters` and `seed` give the same resamples. Stops short after 100 * `count` draws.
    """
    random = np.random.default_rng(seed)
    values: list[float] = []
    drawn = 0
    while len(values) < count and drawn < 100 * count:
        value = statistic(random.integers(num_clusters, size=num_clusters))
        drawn += 1
        if value is not None:
            values.append(value)
    return values, drawn - len(values)


def bootstrap(
    num_clusters: int, statistic: Statistic, *, count: int = REPLICATES, seed: int = 0, least: int = MIN_CLUSTERS
) -> Interval | None:
    """Interval of a statistic over videos; None ("no CI") below `least` videos or where it is hardly ever defined.

    `statistic` must recompute the whole composite, so that task means and category means are resampled with it.
    """
    if num_clusters < least:
        return None
    values, redrawn = replicates(num_clusters, statistic, count=count, seed=seed)
    if len(values) < count:
        return None
    values.sort()
    tail = int(0.025 * count)
    return Interval(lo=values[tail], hi=values[count - 1 - tail], redrawn=redrawn)


def difference(a: Statistic, b: Statistic) -> Statistic:
    """The statistic a - b on the same resample; undefined where either is. Its bootstrap is the paired interval."""

    def paired(indices: Indices) -> float | None:
        value_a, value_b = a(indices), b(indices)
        if value_a is None or value_b is None or (math.isinf(value_a) and math.isinf(value_b)):
            return None
        return value_a - value_b

    return paired
