"""Numbers as functions of the units that are resampled: scenes, trials or videos.

A difference of two arms is taken on the same resample (paired), within one seed. Seeds are never pooled; their range is
printed beside the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vigil.eval.behaviour import Estimate, Pair, estimate
from vigil.eval.l5.score import Scores, statistics
from vigil.eval.log import Log
from vigil.eval.silence import calibration_error, event_confidences, is_right, matched_speech, risk_coverage
from vigil.eval.stats import Statistic, difference, median, ratio
from vigil.eval.summary import METRICS, Scored, score
from vigil.eval.truth import Truth

BEHAVIOUR = (
    "pl_slope", "el_mean_s", "on_time_ingest", "decode_stall", "twa_now", "rev_f1_1s", "rev_f1_2s", "rev_f1_5s",
    "rev_f1_10s", "rev_f1_auc", "rev_latency_median_s", "share_stale", "churn_per_min", "wrongful_rev_per_min",
    "speak_f1_2s", "speak_f1_content_2s", "answer_guarantee_1s", "silence_precision", "silence_recall",
    "false_speech_per_min", "cost_0.3", "content_exact",
)  # fmt: skip
"""What the tables take from `vigil.eval.summary`."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number over `num` units."""

    statistic: Statistic
    num: int

    @property
    def value(self) -> float | None:
        """Over all units; infinite where a median was not reached."""
        return self.statistic(np.arange(self.num))

    def estimate(self, *, seed: int, replicates: int) -> Estimate:
        """With its interval."""
        return estimate(self.statistic, self.num, self.num, seed=seed, replicates=replicates)

    def less(self, other: Measure) -> Measure:
        """This minus another, on the same resample."""
        assert self.num == other.num, "both were measured on the same units"
        return Measure(difference(self.statistic, other.statistic), self.num)


Measures = Mapping[str, Measure]


def of_streams(name: str, streams: Sequence[Scored]) -> Measure:
    """A metric of `vigil.eval.summary` over streams."""
    metric = METRICS[name]
    tables = [np.asarray(list(metric.rows(one)), dtype=np.float64).reshape(-1, metric.columns) for one in streams]
    if metric.is_sum:
        sums_VC = np.asarray([table.sum(axis=0) for table in tables]).reshape(len(tables), metric.columns)
        return Measure(lambda drawn: metric.value(sums_VC[drawn]), len(tables))
    empty = np.zeros((0, metric.columns))
    return Measure(lambda drawn: metric.value(np.concatenate([empty, *(tables[n] for n in drawn)])), len(tables))


def of_pairs(pairs: Sequence[Pair]) -> dict[str, Measure]:
    """Behaviour on held-out scenes."""
    streams = [score(log, truth) for log, truth in pairs]
    found = {name: of_streams(name, streams) for name in BEHAVIOUR}
    constant = [float(is_constant(truth)) for _, truth in pairs]
    churn = [s.revision.uncredited * c for s, c in zip(streams, constant, strict=True)]
    window = [s.revision.window_s * c / 60 for s, c in zip(streams, constant, strict=True)]
    found["churn_constant_per_min"] = _share(churn, window)
    lengths = [(sum(len(one.tokens) for one in log.speech), len(log.speech)) for log, _ in pairs]
    found["reply_tokens"] = _share([tokens for tokens, _ in lengths], [number for _, number in lengths])
    waits = [first_token_waits(log) for log, _ in pairs]
    found["ttft_s"] = Measure(lambda drawn: median([wait for n in drawn for wait in waits[n]]), len(pairs))
    return found


def of_confidence(silent: Sequence[Pair], free: Sequence[Pair]) -> dict[str, Measure]:
    """Risk and calibration: confidences of a run that is forced to be silent, mistakes of the free one."""
    risks = [_risks(quiet, spoken, truth) for (quiet, truth), (spoken, _) in zip(silent, free, strict=True)]
    errors = [(calibration_error(log, truth) or 0.0, len(log.decisions)) for log, truth in silent]

    def aurc(drawn: NDArray[np.int64]) -> float | None:
        events = [event for n in drawn for event in risks[n]]
        return risk_coverage([confidence for confidence, _ in events], [wrong for _, wrong in events])

    weighted = _share([error * slots for error, slots in errors], [slots for _, slots in errors])
    return {"aurc": Measure(aurc, len(silent)), "ece": weighted}


def of_trials(scores: Scores, blind: Sequence[Scores]) -> dict[str, Measure]:
    """The scores of L5."""
    return {f"l5_{name}": Measure(one, len(scores)) for name, one in statistics(scores, blind).items()}


def of_videos(videos: Sequence[Sequence[tuple[str, bool]]]) -> dict[str, Measure]:
    """Offline accuracy, of all questions and by kind."""
    kinds = sorted({kind for video in videos for kind, _ in video})
    found = {"offline": _share([sum(r for _, r in v) for v in videos], [len(v) for v in videos])}
    for kind in kinds:
        right = [sum(r for k, r in video if k == kind) for video in videos]
        found[f"offline_{kind}"] = _share(right, [sum(k == kind for k, _ in video) for video in videos])
    return found


def first_token_waits(log: Log) -> list[float]:
    """Seconds from each direct question to the first token of its answer; unanswered ones are left out."""
    first = {speech.q: speech.tau_first for speech in reversed(log.speech)}
    return [first[prompt.q] - prompt.t for prompt in log.prompts if prompt.direct and prompt.q in first]


def _share(numerators: Sequence[float], denominators: Sequence[float]) -> Measure:
    sums_V2 = np.asarray([numerators, denominators], dtype=np.float64).T.reshape(-1, 2)
    return Measure(lambda drawn: ratio(*sums_V2[drawn].sum(axis=0).tolist()), len(sums_V2))


def is_constant(truth: Truth) -> bool:
    """Nothing that is asked about ever changes."""
    return all(len({value.v for value in truth.values_of(q.q)}) <= 1 for q in truth.questions)


def _risks(silent: Log, free: Log, truth: Truth) -> list[tuple[float, bool]]:
    right = [pair.event for pair in matched_speech(free, truth) if is_right(pair.speech, pair.event, truth)]
    found = zip(truth.all_events, event_confidences(silent, truth), strict=True)
    return [(confidence, event not in right) for event, confidence in found if confidence is not None]
