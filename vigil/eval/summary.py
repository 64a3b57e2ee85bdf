"""Every number of the behaviour summary: what one stream contributes to it, and how contributions become a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vigil.eval.log import Log, Speech, microseconds
from vigil.eval.perception import Perception, perceive
from vigil.eval.revision import DELAYS_S, Revision, area_over_log_delay, rev_f1, revise
from vigil.eval.silence import Silence, judge_silence, matched_speech, speak_f1
from vigil.eval.stats import kaplan_meier_median, percentile, ratio
from vigil.eval.text import normalise
from vigil.eval.truth import Truth

Table = NDArray[np.float64]
"""[rows, columns]: tallies, one row per stream, or one row per observation."""
ALERT_LATE_S = 2.0
"""An alert counts if its first reply comes within this many seconds of its event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """All that is measured of one stream."""

    perception: Perception
    revision: Revision
    silence: dict[float, Silence]
    """By late tolerance (s)."""
    alerts: int
    """Alert questions whose event comes."""
    alerts_hit: int
    alerts_early: int
    absent: int
    """Alert questions whose event never comes."""
    absent_answered: int
    content: tuple[int, int]
    """(matched replies whose whole text is an accepted one, matched replies for which texts are listed)."""
    content_named: tuple[int, int]
    """The same over the questions that name a class."""
    questions: int
    """Questions to which something was due."""
    unanswered: int
    """Of those, the ones that got no reply at all; they stay in every denominator."""


def score(log: Log, truth: Truth) -> Scored:
    """Measure one stream by everything that needs no model."""
    first = _first_replies(log)
    alerts = [q for q in truth.questions if q.role == "alert" and truth.events_of(q.q)]
    absent = [q for q in truth.questions if q.role == "alert_absent"]
    delays = [microseconds(first[q.q].tau_first - truth.events_of(q.q)[0].s) for q in alerts if q.q in first]
    due = [q for q in truth.questions if truth.events_of(q.q)]
    return Scored(
        perception=perceive(log),
        revision=revise(log, truth),
        silence={late_s: judge_silence(log, truth, late_s=late_s) for late_s in (1.0, 2.0, 5.0)},
        alerts=len(alerts),
        alerts_hit=sum(0 <= delay <= microseconds(ALERT_LATE_S) for delay in delays),
        alerts_early=sum(delay < 0 for delay in delays),
        absent=len(absent),
        absent_answered=sum(q.q in first for q in absent),
        content=_content(log, truth, only_named=False),
        content_named=_content(log, truth, only_named=True),
        questions=len(due),
        unanswered=sum(q.q not in first for q in due),
    )


def _first_replies(log: Log) -> dict[str | None, Speech]:
    first: dict[str | None, Speech] = {}
    for speech in log.speech:
        first.setdefault(speech.q, speech)
    return first


def _content(log: Log, truth: Truth, *, only_named: bool) -> tuple[int, int]:
    exact = listed = 0
    for pair in matched_speech(log, truth):
        is_named = pair.event.q is not None and truth.by_id[pair.event.q].named
        if pair.event.accept and (is_named or not only_named):
            listed += 1
            exact += normalise(pair.speech.text) in {normalise(text) for text in pair.event.accept}
    return exact, listed


@dataclass(frozen=True, slots=True)
class Metric:
    """One number: the rows that a stream gives, and the value of many rows."""

    rows: Callable[[Scored], Sequence[Sequence[float]]]
    value: Callable[[Table], float | None]
    columns: int
    is_sum: bool
    """True: the rows may be added up before the value is taken."""


def _of_sums(tallies: Callable[[Scored], Sequence[float]], value: Callable[..., float | None], columns: int) -> Metric:
    """A value of pooled tallies (micro average)."""
    return Metric(lambda s: [tallies(s)], lambda rows: value(*rows.sum(axis=0).tolist()), columns, is_sum=True)


def _ratio(tallies: Callable[[Scored], tuple[float, float]], *, times: float = 1.0) -> Metric:
    return _of_sums(tallies, lambda numerator, denominator: ratio(times * numerator, denominator), 2)


def _of_list(
    rows: Callable[[Scored], Sequence[Sequence[float]]], value: Callable[[Table], float | None], columns: int
) -> Metric:
    """A value of all observations together, such as a median."""
    return Metric(rows, value, columns, is_sum=False)


def _lags(*, first: bool) -> tuple[Metric, Metric]:
    """(mean, 95th percentile) of the perception lag of first tokens, or of the others."""

    def rows(s: Scored) -> list[list[float]]:
        return [[lag] for lag in s.perception.lags(first=first)]

    mean = _ratio(lambda s: (sum(s.perception.lags(first=first)), len(s.perception.lags(first=first))))
    return mean, _of_list(rows, lambda table: percentile(cast(Sequence[float], table[:, 0]), 95), 1)


def _rev_f1(delay_s: float) -> Metric:
    return _of_sums(
        lambda s: (s.revision.credited[delay_s], s.revision.changes, s.revision.transitions),
        rev_f1,
        3,
    )


def _rev_f1_auc() -> Metric:
    def tallies(s: Scored) -> list[float]:
        return [*(s.revision.credited[delay] for delay in DELAYS_S), s.revision.changes, s.revision.transitions]

    def value(*sums: float) -> float | None:
        return area_over_log_delay([rev_f1(credited, *sums[-2:]) for credited in sums[:-2]])

    return _of_sums(tallies, value, len(DELAYS_S) + 2)


def _speak_f1(late_s: float) -> Metric:
    return _of_sums(
        lambda s: (s.silence[late_s].matches, s.silence[late_s].speech, s.silence[late_s].events), speak_f1, 3
    )


def _cost(weight: float) -> Metric:
    def tallies(s: Scored) -> tuple[float, ...]:
        at = s.silence[2.0]
        return at.matches, at.speech, at.events, at.unmatched.total() - at.unmatched["late"], at.stream_s

    def value(matches: float, speech: float, events: float, alarms: float, stream_s: float) -> float | None:
        if not stream_s or not (speech or events):
            return None
        return weight * 60 * alarms / stream_s + ((events - matches) / events if events else 0.0)

    return _of_sums(tallies, value, 5)


METRICS: dict[str, Metric] = {
    # timely silence
    "speak_f1_1s": _speak_f1(1.0),
    "speak_f1_2s": _speak_f1(2.0),
    "speak_f1_5s": _speak_f1(5.0),
    "speak_f1_content_2s": _of_sums(
        lambda s: (s.silence[2.0].right_matches, s.silence[2.0].speech, s.silence[2.0].events), speak_f1, 3
    ),
    "speak_precision_2s": _ratio(lambda s: (s.silence[2.0].matches, s.silence[2.0].speech)),
    "speak_recall_2s": _ratio(lambda s: (s.silence[2.0].matches, s.silence[2.0].events)),
    "false_speech_per_min": _ratio(lambda s: (s.silence[2.0].false_speech, s.silence[2.0].quiet_s), times=60),
    "silence_recall": _ratio(lambda s: (s.silence[2.0].silent_right, s.silence[2.0].silent_due)),
    "silence_precision": _ratio(lambda s: (s.silence[2.0].silent_right, s.silence[2.0].silent)),
    "cost_0.3": _cost(0.3),
    "answer_guarantee_1s": _ratio(lambda s: (s.silence[2.0].answered[1.0], s.silence[2.0].answerable)),
    "alert_hit": _ratio(lambda s: (s.alerts_hit, s.alerts)),
    "alert_early": _ratio(lambda s: (s.alerts_early, s.alerts)),
    "alert_false_alarm": _ratio(lambda s: (s.absent_answered, s.absent)),
    "content_exact": _ratio(lambda s: s.content),
    "content_exact_named": _ratio(lambda s: s.content_named),
    # answer revision
    "twa_now": _ratio(lambda s: (s.revision.correct_s, s.revision.window_s)),
    "share_stale": _ratio(lambda s: (s.revision.stale_s, s.revision.window_s)),
    "share_unanswered": _ratio(lambda s: (s.revision.unanswered_s, s.revision.window_s)),
    "share_premature": _ratio(lambda s: (s.revision.premature_s, s.revision.window_s)),
    "share_wrong": _ratio(lambda s: (s.revision.wrong_s, s.revision.window_s)),
    "rev_f1_1s": _rev_f1(1.0),
    "rev_f1_2s": _rev_f1(2.0),
    "rev_f1_5s": _rev_f1(5.0),
    "rev_f1_10s": _rev_f1(10.0),
    "rev_f1_auc": _rev_f1_auc(),
    "rev_recall_2s": _ratio(lambda s: (s.revision.credited[2.0], s.revision.changes)),
    "rev_precision_2s": _ratio(lambda s: (s.revision.credited[2.0], s.revision.transitions)),
    "rev_latency_median_s": _of_list(
        lambda s: s.revision.delays,
        lambda table: kaplan_meier_median(table[:, 0].tolist(), (table[:, 1] > 0).tolist()),
        2,
    ),
    "wrongful_rev_per_min": _ratio(lambda s: (s.revision.wrongful, s.revision.correct_s), times=60),
    "churn_per_min": _ratio(lambda s: (s.revision.uncredited, s.revision.window_s), times=60),
    "oscillations_per_min": _ratio(lambda s: (s.revision.oscillations, s.revision.window_s), times=60),
    "explicitness": _ratio(lambda s: (s.revision.explicit, s.revision.credited[10.0])),
    # continuous perception
    "pl_first_mean_s": _lags(first=True)[0],
    "pl_first_p95_s": _lags(first=True)[1],
    "pl_mean_s": _lags(first=False)[0],
    "pl_p95_s": _lags(first=False)[1],
    "pl_slope": _ratio(lambda s: (s.perception.lag_sxy, s.perception.sxx)),
    "el_mean_s": _ratio(lambda s: (sum(x.excess_s for x in s.perception.sights), len(s.perception.sights))),
    "el_slope": _ratio(lambda s: (s.perception.excess_sxy, s.perception.sxx)),
    "on_time_ingest": _ratio(lambda s: (s.perception.frames_on_time, s.perception.frames_during_speech)),
    "decode_stall": _ratio(lambda s: (s.perception.stall_s, s.perception.gaps_with_frame_s)),
    "frame_loss": _ratio(lambda s: (s.perception.drops, s.perception.frames)),
    "synchrony": _ratio(lambda s: (s.perception.frames_in_step, s.perception.frames)),
}
"""In the order in which a report prints them. The late tolerance is 2 s where the name gives none."""
