"""Causality: what was said before a moment must not depend on what came after it.

Run one stream twice, with two continuations that are equal before a cut: up to the cut the logs must be the same, line
by line. Pass or fail, on the "free" clock with greedy decoding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from vigil.errors import DataError
from vigil.eval.log import Log
from vigil.eval.rows import HeadRow, canonical_line
from vigil.eval.stats import rule_of_three


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The first line in which two logs differ; None where one of them has no more lines."""

    line: int
    """Counted from 1."""
    first: str | None
    second: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Causality:
    """How many pairs of runs broke causality."""

    violations: int
    trials: int

    @property
    def passed(self) -> bool | None:
        return self.violations == 0 if self.trials else None

    @property
    def upper_bound(self) -> float | None:
        """95 % upper bound of the rate of violations, by the rule of three; None unless every trial was clean."""
        return None if self.violations else rule_of_three(self.trials)


def lines_before(log: Log, cut_s: float) -> list[str]:
    """Canonical lines of all that happened before media time `cut_s`, the head included."""
    return [
        canonical_line(values)
        for row, values in zip(log.rows, log.objects, strict=True)
        if isinstance(row, HeadRow) or log.tau(row.w) < cut_s
    ]


def first_split(first: Log, second: Log, cut_s: float) -> Split | None:
    """Where two logs differ before `cut_s`, the media time of the first frame that differs; None: nowhere.

    Raises:
        DataError: a log was not made on the "free" clock.
    """
    for log in (first, second):
        if log.head.clock != "free":
            raise DataError(
                f'causality needs logs of the "free" clock, got "{log.head.clock}". Run with a virtual clock.'
            )
    both = zip_longest(lines_before(first, cut_s), lines_before(second, cut_s))
    for number, (line_a, line_b) in enumerate(both, start=1):
        if line_a != line_b:
            return Split(line=number, first=line_a, second=line_b)
    return None


def check_causality(trials: Iterable[tuple[Log, Log, float]]) -> Causality:
    """Count the trials (log, log of the other continuation, cut in s) in which the past differs."""
    violations = total = 0
    for first, second, cut_s in trials:
        total += 1
        violations += first_split(first, second, cut_s) is not None
    return Causality(violations=violations, trials=total)


def check_same(first: Log, second: Log) -> Split | None:
    """Where two logs differ that must be the same (a replay at another speed, another chunking); None: nowhere."""
    return first_split(first, second, float("inf"))
