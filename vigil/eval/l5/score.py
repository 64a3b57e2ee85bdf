"""Scores of the L5 measure: what one trial shows, and what many show together.

PFC is the share of F trials in which the first claim about the flipped item states the new value (old values within the
grace aside); BCR the share of B trials in which the new value is claimed within 10 s; FRR the share of N and D trials
in which some claim was changed. L5 = (PFC + BCR + 1 - FRR) / 3; nL5 counts from the best that can be had blind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vigil.errors import DataError
from vigil.eval.claims import Claim, transitions
from vigil.eval.l5.trials import COLOURS, KINDS, Kind, Trial, claims_of_items
from vigil.eval.log import Log
from vigil.eval.perception import perceive
from vigil.eval.stats import Statistic, ratio

REACT_S = 10.0
"""An item that was mentioned before must be corrected within this (s)."""
GUESS = (1 / len(COLOURS) + 0 + 1) / 3
"""L5 of naming every item once, at random."""
BLIND = ("blind", "no_pixels")
"""Controls that see nothing of the flip; nL5 counts from the best of them, and from `GUESS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one trial shows."""

    kind: Kind
    hit: bool | None
    """F and B: whether it was right. N and D: whether anything was taken back; None without a claim."""
    delay_s: float | None = None
    """From the flip to the first claim of the new value, or, if there is none, to the end; None: nothing flipped."""
    is_observed: bool = False
    stale: int = 0
    """Claims of the old value after the grace."""
    collateral: int = 0
    """Changes of claims about items that did not change, in F and B trials."""
    redundant: int = 0
    """Claims that repeat what holds already."""
    tokens: int = 0
    discarded: int = 0
    """Tokens of answers that were cut."""
    lag_sxy: float = 0.0
    sxx: float = 0.0
    """Sums of the perception lag's slope; see `Perception`."""


def judge(trial: Trial, log: Log, *, grace_s: float) -> Outcome:
    """Score one trial. A trial in which nothing could be tested is a miss for F and B."""
    claims = claims_of_items(log)
    changed = {item: len(transitions(said)) for item, said in claims.items()}
    seen = perceive(log)
    hit: bool | None = False
    delay_s, is_observed, stale, collateral = None, False, 0, 0
    if trial.kind in ("N", "D"):
        hit = any(changed.values()) if any(claims.values()) else None
    elif trial.flip is not None and trial.flip_s is not None:
        after = [claim for claim in claims[trial.flip.item] if claim.tau > trial.flip_s]
        hit = not trial.fault and _is_hit(trial, trial.flip_s, after, grace_s=grace_s)
        new = next((claim.tau for claim in after if claim.v == trial.flip.new), None)
        is_observed = new is not None
        delay_s = (log.tau(log.end.w) if new is None else new) - trial.flip_s
        stale = sum(claim.v == trial.flip.old and claim.tau > trial.flip_s + grace_s for claim in after)
        collateral = sum(number for item, number in changed.items() if item != trial.flip.item)
    return Outcome(
        kind=trial.kind,
        hit=hit,
        delay_s=delay_s,
        is_observed=is_observed,
        stale=stale,
        collateral=collateral,
        redundant=sum(a.v == b.v for said in claims.values() for a, b in pairwise(said)),
        tokens=sum(len(speech.tokens) for speech in log.speech),
        discarded=sum(len(speech.tokens) for speech in log.speech if speech.state == "cut"),
        lag_sxy=seen.lag_sxy,
        sxx=seen.sxx,
    )


def _is_hit(trial: Trial, flip_s: float, after: Sequence[Claim], *, grace_s: float) -> bool:
    assert trial.flip is not None
    if trial.kind == "B":
        return any(claim.v == trial.flip.new and claim.tau <= flip_s + REACT_S for claim in after)
    counted = [claim for claim in after if claim.tau > flip_s + grace_s or claim.v == trial.flip.new]
    return bool(counted) and counted[0].v == trial.flip.new


def composite(pfc: float | None, bcr: float | None, frr: float | None) -> float | None:
    """L5; None where a part is undefined."""
    return None if pfc is None or bcr is None or frr is None else (pfc + bcr + 1 - frr) / 3


def normalised(l5: float | None, *blind: float | None) -> float | None:
    """L5 counted from the best that can be had without seeing the flip."""
    floor = max([GUESS, *(value for value in blind if value is not None)])
    return None if l5 is None else ratio(l5 - floor, 1 - floor)


_SUMS: Mapping[str, Callable[[Outcome], float]] = {
    "hit": lambda o: float(o.hit or 0),
    "judged": lambda o: float(o.hit is not None),
    "flipped": lambda o: float(o.delay_s is not None),
    "stale": lambda o: o.stale,
    "collateral": lambda o: o.collateral,
    "redundant": lambda o: o.redundant,
    "tokens": lambda o: o.tokens,
    "discarded": lambda o: o.discarded,
    "lag_sxy": lambda o: o.lag_sxy,
    "sxx": lambda o: o.sxx,
    "runs": lambda o: 1.0,
}
_COLUMN = {name: column for column, name in enumerate(_SUMS)}


class Scores:
    """The outcomes of one system, trial by trial, ready to be resampled.

    `outcomes[n]` holds trial n in the order of `KINDS`. Resampling draws whole trials with all their kinds.
    """

    def __init__(self, outcomes: Sequence[Sequence[Outcome]]) -> None:
        if any(tuple(o.kind for o in trial) != KINDS for trial in outcomes):
            raise DataError(f"each trial needs one outcome of each of the kinds {', '.join(KINDS)}, in this order.")
        self.outcomes = outcomes
        self._sums_NKC = np.array(
            [[[value(o) for value in _SUMS.values()] for o in trial] for trial in outcomes], dtype=np.float64
        )
        self._known: dict[bytes, dict[str, float | None]] = {}
        found = [
            (o.delay_s, not o.is_observed, n)
            for n, trial in enumerate(outcomes)
            for o in trial
            if o.delay_s is not None
        ]
        self._delays_D3 = np.array(sorted(found), dtype=np.float64).reshape(len(found), 3)
        """(delay, whether it is censored, trial), as Kaplan and Meier want them sorted."""

    def __len__(self) -> int:
        return len(self.outcomes)

    def values(self, drawn: NDArray[np.int64]) -> dict[str, float | None]:
        """Every score but nL5, over trials that are drawn by their numbers."""
        key = drawn.tobytes()
        if key not in self._known:  # each score of a table asks for the same resamples
            self._known[key] = self._values(drawn)
        return self._known[key]

    def _values(self, drawn: NDArray[np.int64]) -> dict[str, float | None]:
        sums_KC = self._sums_NKC[drawn].sum(axis=0)

        def share(top: str, bottom: str, kinds: str) -> float | None:
            rows = [KINDS.index(kind) for kind in KINDS if kind in kinds]
            return ratio(float(sums_KC[rows, _COLUMN[top]].sum()), float(sums_KC[rows, _COLUMN[bottom]].sum()))

        pfc, bcr, frr = share("hit", "judged", "F"), share("hit", "judged", "B"), share("hit", "judged", "ND")
        return {
            "l5": composite(pfc, bcr, frr),
            "pfc": pfc,
            "bcr": bcr,
            "frr": frr,
            "frr_none": share("hit", "judged", "N"),
            "frr_distractor": share("hit", "judged", "D"),
            "delay_s": self._delay_s(drawn),
            "stale": share("stale", "runs", "FB"),
            "collateral": share("collateral", "runs", "FB"),
            "redundant": share("redundant", "runs", "FBND"),
            "tokens": share("tokens", "runs", "FBND"),
            "discarded": share("discarded", "runs", "FBND"),
            "pl_slope": share("lag_sxy", "sxx", "FBND"),
        }

    def _delay_s(self, drawn: NDArray[np.int64]) -> float | None:
        """Median time from a flip to the first claim of the new value; see `kaplan_meier_median`."""
        delays_D, hidden_D, trials_D = self._delays_D3.T
        times_D = np.bincount(drawn, minlength=len(self))[trials_D.astype(np.int64)]
        if not times_D.sum():
            return None
        at_risk_D = times_D[::-1].cumsum()[::-1]
        leave_D = np.where(hidden_D > 0, 0, times_D)
        survival_D = np.cumprod(1 - leave_D / np.maximum(at_risk_D, 1))
        reached_D = (survival_D <= 0.5 + 1e-9) & (leave_D > 0)
        return float(delays_D[reached_D.argmax()]) if reached_D.any() else math.inf

    def l5(self, drawn: NDArray[np.int64]) -> float | None:
        """L5 alone."""
        return self.values(drawn)["l5"]


METRICS = (
    "l5", "nl5", "pfc", "bcr", "frr", "frr_none", "frr_distractor", "delay_s", "stale", "collateral", "redundant",
    "tokens", "discarded", "pl_slope",
)  # fmt: skip
"""In the order in which a report prints them. Counts are per trial; the delay is in seconds."""


def statistics(scores: Scores, blind: Sequence[Scores]) -> dict[str, Statistic]:
    """What the bootstrap recomputes on each resample of trials, by the names of `METRICS`."""

    def one(name: str) -> Statistic:
        return lambda drawn: scores.values(drawn)[name]

    found: dict[str, Statistic] = {name: one(name) for name in METRICS}
    found["nl5"] = lambda drawn: normalised(scores.l5(drawn), *(other.l5(drawn) for other in blind))
    return found


def faults(trials: Sequence[Trial]) -> dict[str, int]:
    """How many trials had nothing to test, by reason."""
    return {fault: sum(t.fault == fault for t in trials) for fault in ("no reply", "no item", "not reached", "outside")}
