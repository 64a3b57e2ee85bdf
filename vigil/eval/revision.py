"""Answer revision: is the answer that stands at each moment the right one, and how soon is it replaced when it is not?

Truth G(t) and current answer A(t) are steps in media time. The window W of a question is the part of [t_ask, T] over
which the truth file gives a value, T being the end of its last value. Times are compared in whole microseconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vigil.eval.claims import Claim, Transition, claims_of, current_answer, transitions
from vigil.eval.log import Log, microseconds
from vigil.eval.stats import f_score, harmonic_mean, kaplan_meier_median, pool, ratio
from vigil.eval.text import normalise
from vigil.eval.truth import Question, Truth, Value

DELAYS_S = (1.0, 2.0, 5.0, 10.0)
"""How late a revision may be (s)."""
_CHURN_DELAY_S = DELAYS_S[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The truth became `v` at `at_s`, and stayed so until `until_s`."""

    at_s: float
    until_s: float
    v: str
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Tallies of one question or of many: add them with `pool_revision`, then read the properties."""

    correct_s: float = 0.0
    unanswered_s: float = 0.0
    stale_s: float = 0.0
    """The answer was right before."""
    premature_s: float = 0.0
    """The answer will be right later."""
    wrong_s: float = 0.0
    changes: int = 0
    """Changes of the truth for which the new answer did not stand already."""
    pre_satisfied: int = 0
    transitions: int = 0
    credited: Counter[float] = field(default_factory=Counter)
    """Delay D -> changes that a transition followed within D."""
    explicit: int = 0
    """Transitions credited within 10 s whose answer says which one it replaces."""
    oscillations: int = 0
    """Values x, y, x with at least one transition that no change explains (within 10 s)."""
    wrongful: int = 0
    """Transitions from right to wrong."""
    delays: tuple[tuple[float, bool], ...] = ()
    """Per change: (seconds to its transition, True), or (seconds for which it was not followed, False)."""

    @property
    def window_s(self) -> float:
        return self.correct_s + self.unanswered_s + self.stale_s + self.premature_s + self.wrong_s

    @property
    def twa(self) -> float | None:
        """Time-weighted accuracy."""
        return ratio(self.correct_s, self.window_s)

    def share(self, part_s: float) -> float | None:
        """Share of the window that `part_s` makes up."""
        return ratio(part_s, self.window_s)

    def recall(self, delay_s: float) -> float | None:
        return ratio(self.credited[delay_s], self.changes)

    def precision(self, delay_s: float) -> float | None:
        return ratio(self.credited[delay_s], self.transitions)

    def f1(self, delay_s: float) -> float | None:
        return rev_f1(self.credited[delay_s], self.changes, self.transitions)

    @property
    def f1_auc(self) -> float | None:
        """Headline: RevF1 averaged over ln D from 1 to 10 s."""
        return area_over_log_delay([self.f1(delay) for delay in DELAYS_S])

    @property
    def latency_s(self) -> float | None:
        """Kaplan-Meier median; `math.inf` = not reached."""
        return kaplan_meier_median([delay for delay, _ in self.delays], [seen for _, seen in self.delays])

    @property
    def uncredited(self) -> int:
        return self.transitions - self.credited[_CHURN_DELAY_S]

    @property
    def churn_per_min(self) -> float | None:
        return ratio(60 * self.uncredited, self.window_s)

    @property
    def wrongful_per_min(self) -> float | None:
        """Per minute of correct time."""
        return ratio(60 * self.wrongful, self.correct_s)

    @property
    def explicitness(self) -> float | None:
        return ratio(self.explicit, self.credited[_CHURN_DELAY_S])


def pool_revision(parts: Sequence[Revision]) -> Revision:
    """Add the tallies of several questions or streams."""
    return pool(parts, Revision())


def rev_f1(credited: float, changes: float, num_transitions: float) -> float | None:
    """Harmonic mean of recall and precision; 0 if nothing was credited, None if there was nothing to judge."""
    return f_score(credited, num_transitions, changes) if changes or num_transitions else None


def area_over_log_delay(scores: Sequence[float | None]) -> float | None:
    """Trapezoid of the scores at `DELAYS_S` over ln D, divided by its length."""
    known = [score for score in scores if score is not None]
    if len(known) < len(DELAYS_S):
        return None
    logs = [math.log(delay) for delay in DELAYS_S]
    area = sum((a + b) / 2 * (y - x) for (a, b), (x, y) in zip(pairwise(known), pairwise(logs), strict=True))
    return area / (logs[-1] - logs[0])


def revise(log: Log, truth: Truth, *, from_clue: bool = False) -> Revision:
    """Measure every question that has values, and add them up.

    `from_clue` starts each window at the first moment the truth can be known.
    """
    return pool_revision(
        [
            revise_question(
                question, truth.values_of(question.q), claims_of(log, truth, question.q), from_clue=from_clue
            )
            for question in truth.questions
            if truth.values_of(question.q)
        ]
    )


def revise_question(
    question: Question, values: Sequence[Value], claims: Sequence[Claim], *, from_clue: bool = False
) -> Revision:
    """Measure one question. A window of zero length gives no time."""
    start_s = question.t_ask if not from_clue or question.clue is None else max(question.t_ask, question.clue)
    seconds = _shares(values, claims, start_s)
    changes = changes_of(values, start_s)
    open_changes = [change for change in changes if not _is_pre_satisfied(change, claims)]
    moves = [move for move in transitions(claims) if start_s <= move.tau <= values[-1].end_s]
    by_delay = {delay: _credit(open_changes, moves, delay) for delay in DELAYS_S}
    credited = {id(move) for move in by_delay[_CHURN_DELAY_S].values()}
    unlimited = _credit(open_changes, moves, math.inf)
    return Revision(
        correct_s=seconds["correct"],
        unanswered_s=seconds["unanswered"],
        stale_s=seconds["stale"],
        premature_s=seconds["premature"],
        wrong_s=seconds["wrong"],
        changes=len(open_changes),
        pre_satisfied=len(changes) - len(open_changes),
        transitions=len(moves),
        credited=Counter({delay: len(found) for delay, found in by_delay.items()}),
        explicit=sum(move.new.supersedes is not None for move in by_delay[_CHURN_DELAY_S].values()),
        oscillations=sum(
            first.old.v == second.new.v and not {id(first), id(second)} <= credited for first, second in pairwise(moves)
        ),
        wrongful=sum(_is_wrongful(move, values, claims) for move in moves),
        delays=tuple(
            (unlimited[n].tau - change.at_s, True) if n in unlimited else (change.until_s - change.at_s, False)
            for n, change in enumerate(open_changes)
        ),
    )


def changes_of(values: Sequence[Value], start_s: float) -> list[Change]:
    """Where the truth takes a new value after `start_s`; its first value is no change."""
    spans: list[tuple[float, str]] = []
    for value in values:
        if value.end_s > start_s and (not spans or normalise(value.v) != spans[-1][1]):
            spans.append((value.start_s, normalise(value.v)))
    ends = [at for at, _ in spans[2:]] + [values[-1].end_s]
    return [
        Change(at_s=at, until_s=end, v=v, is_last=n == len(spans))
        for n, ((at, v), end) in enumerate(zip(spans[1:], ends, strict=False), start=2)
    ]


def truth_at(values: Sequence[Value], t: float) -> str | None:
    """The normalised value that holds at `t`; None where the truth file gives none."""
    for n, value in enumerate(values):
        if value.start_s <= t < value.end_s or (n == len(values) - 1 and t == value.end_s):
            return normalise(value.v)
    return None


def _shares(values: Sequence[Value], claims: Sequence[Claim], start_s: float) -> dict[str, float]:
    """Seconds of the window in each of the five states."""
    seconds = dict.fromkeys(("correct", "unanswered", "stale", "premature", "wrong"), 0.0)
    moments = {claim.tau for claim in claims} | {claim.retracted_s for claim in claims if claim.retracted_s is not None}
    for n, value in enumerate(values):
        begin_s = max(value.start_s, start_s)
        cuts = sorted({begin_s, value.end_s, *(t for t in moments if begin_s < t < value.end_s)})
        before = {normalise(other.v) for other in values[:n]}
        after = {normalise(other.v) for other in values[n + 1 :]}
        for a_s, b_s in pairwise(cuts) if begin_s < value.end_s else ():
            claim = current_answer(claims, a_s)
            if claim is None:
                state = "unanswered"
            elif claim.v == normalise(value.v):
                state = "correct"
            else:
                state = "stale" if claim.v in before else "premature" if claim.v in after else "wrong"
            seconds[state] += b_s - a_s
    return seconds


def _answer_before(claims: Sequence[Claim], t: float) -> str | None:
    """The value that stood just before `t`."""
    claim = current_answer(claims, math.nextafter(t, -math.inf))
    return None if claim is None else claim.v


def _is_pre_satisfied(change: Change, claims: Sequence[Claim]) -> bool:
    return _answer_before(claims, change.at_s) == change.v


def _credit(changes: Sequence[Change], moves: Sequence[Transition], delay_s: float) -> dict[int, Transition]:
    """Index of a change -> the first transition in its window that brings the new value."""
    credited: dict[int, Transition] = {}
    for n, change in enumerate(changes):
        for move in moves:
            is_before_next = move.tau < change.until_s or (change.is_last and move.tau == change.until_s)
            is_in_time = math.isinf(delay_s) or microseconds(move.tau - change.at_s) <= microseconds(delay_s)
            if change.at_s <= move.tau and is_before_next and is_in_time and move.new.v == change.v:
                credited[n] = move
                break
    return credited


def _is_wrongful(move: Transition, values: Sequence[Value], claims: Sequence[Claim]) -> bool:
    truth = truth_at(values, move.tau)
    return truth is not None and _answer_before(claims, move.tau) == truth and move.new.v != truth


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedProbes:
    """One question probed twice: what was answered, and what was true."""

    first: str | None
    second: str | None
    truth_first: str
    truth_second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedChange:
    """Revision where only probes are known, not the time of the change. None where there is no pair to judge by."""

    pca: float | None
    """Share of pairs with different truths that are right at both probes."""
    stuck: float | None
    """Share of those pairs with the same answer at both."""
    gain: float | None
    """(PCA - acc1 * acc2) / (1 - acc1 * acc2): what is more than two independent answers would give."""
    stability: float | None
    """Share of pairs with the same truth that are right at both."""

    @property
    def score(self) -> float | None:
        """Harmonic mean of PCA and stability: never revising scores 0."""
        return harmonic_mean(self.pca, self.stability)


def paired_change(probes: Sequence[PairedProbes]) -> PairedChange:
    """Score pairs of probes; those with different truths give PCA, those with the same truth stability."""
    changed = [pair for pair in probes if pair.truth_first != pair.truth_second]
    held = [pair for pair in probes if pair.truth_first == pair.truth_second]
    pca = ratio(sum(_both_right(pair) for pair in changed), len(changed))
    gain = None
    if pca is not None:
        first = sum(pair.first == pair.truth_first for pair in changed) / len(changed)
        second = sum(pair.second == pair.truth_second for pair in changed) / len(changed)
        gain = ratio(pca - first * second, 1 - first * second)
    return PairedChange(
        pca=pca,
        stuck=ratio(sum(pair.first == pair.second for pair in changed), len(changed)),
        gain=gain,
        stability=ratio(sum(_both_right(pair) for pair in held), len(held)),
    )


def _both_right(pair: PairedProbes) -> bool:
    return pair.first == pair.truth_first and pair.second == pair.truth_second
