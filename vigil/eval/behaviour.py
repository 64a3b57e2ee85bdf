"""The behaviour of one system over many streams: every number with its interval, and the controls beside it.

A number is `{"value", "lo", "hi", "n"}`: the value pooled over all streams, its 95 % interval (null below 10 videos),
and the number of streams in which it is defined. A null value with n > 0 is a median that was not reached.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from vigil.errors import DataError
from vigil.eval.baselines import ParseAttack, echo_logs, watch_blind
from vigil.eval.controls import (
    OF_THE_MODEL,
    SEEING_NOTHING,
    Setting,
    always_silent,
    always_talk,
    blind_logs,
    check_controls,
    oracle,
)
from vigil.eval.log import Log, read_log
from vigil.eval.stats import REPLICATES, Statistic, bootstrap, chance_corrected, difference, median, ratio
from vigil.eval.summary import METRICS, Metric, Scored, Table, score
from vigil.eval.truth import Truth, read_truth

USUAL_PACE = 4.0
"""Tokens per second that the controls speak at where a run says too little to tell its own."""

Pair = tuple[Log, Truth]


_SCORES = ("speak_f1_2s", "alert_hit", "rev_f1_2s", "rev_f1_auc", "twa_now", "content_exact", "content_exact_named")


class Estimate(TypedDict):
    """One number of a report."""

    value: float | None
    lo: float | None
    hi: float | None
    n: int


def summarize(
    pairs: Sequence[Pair], *, videos: Sequence[str] | None = None, seed: int = 0, replicates: int = REPLICATES
) -> dict[str, Estimate]:
    """Every metric of one system over its streams.

    `videos` names the video of each stream; by default each has its own. Intervals resample whole videos; the same
    seed and number of videos give the same resamples to every system.
    """
    groups = _by_video([score(log, truth) for log, truth in pairs], videos)
    return _estimates(groups, seed=seed, replicates=replicates)


def report(
    pairs: Sequence[Pair],
    *,
    videos: Sequence[str] | None = None,
    model_controls: Mapping[str, Sequence[Log]] | None = None,
    tokens_per_s: float = USUAL_PACE,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> dict[str, Any]:
    """The summary of one system with what ran, what was counted, and the controls on the same streams.

    `model_controls` are the logs of the controls that run the model itself, by name, one per stream; without them
    `controls_not_run` names them, as where only a log is at hand. Keys: every metric, `twa_now_oracle`,
    `chance_corrected.<metric>`, `controls.<name>.<metric>`, `controls_not_run`, `fitted`, `run` and `counts`. All of it
    fits JSON.

    Raises:
        DataError: `model_controls` lacks one of `OF_THE_MODEL`.
    """
    scored = [score(log, truth) for log, truth in pairs]
    metrics = _estimates(_by_video(scored, videos), seed=seed, replicates=replicates)
    logs_of = control_logs(pairs, videos=videos, tokens_per_s=tokens_per_s)
    logs_of |= {name: list(logs) for name, logs in (model_controls or {}).items()}
    check_controls(logs_of, with_model=model_controls is not None)
    controls = {
        name: summarize(
            list(zip(logs, (truth for _, truth in pairs), strict=True)), videos=videos, seed=seed, replicates=replicates
        )
        for name, logs in logs_of.items()
    }
    return {
        **metrics,
        "twa_now_oracle": controls["oracle"]["twa_now"],
        "chance_corrected": _chance_corrected(metrics, controls),
        "controls": controls,
        "controls_not_run": [name for name in OF_THE_MODEL if name not in controls],
        "fitted": {"echo_after_k": sorted({log.head.model for log in logs_of["echo_after_k"]})},
        "run": _run([log for log, _ in pairs]),
        "counts": _counts(scored, metrics),
    }


def control_logs(
    pairs: Sequence[Pair], *, videos: Sequence[str] | None = None, tokens_per_s: float = 4.0
) -> dict[str, list[Log]]:
    """What each control that sees nothing would have said on the same streams, at this pace of speech (Hz)."""
    truths = [truth for _, truth in pairs]
    settings = [Setting(duration_s=log.tau(log.end.w), fps=log.head.fps, tokens_per_s=tokens_per_s) for log, _ in pairs]
    streams = list(zip(truths, settings, strict=True))
    lengths = [(truth, setting.duration_s, setting.clock) for truth, setting in streams]
    return {
        "always_silent": [always_silent(truth, setting) for truth, setting in streams],
        "always_talk": [always_talk(truth, setting) for truth, setting in streams],
        "blind": blind_logs(truths, settings),
        "echo_after_k": echo_logs(lengths, list(videos or map(str, range(len(pairs))))),
        "parse_attack": [watch_blind(ParseAttack, "parse_attack", *stream) for stream in lengths],
        "oracle": [oracle(truth, setting) for truth, setting in streams],
    }


def pace_of(pairs: Sequence[Pair]) -> float:
    """Tokens per second of video: from the median gap between tokens of an answer; `USUAL_PACE` where there is none.

    The controls speak at the pace of the run, or the comparison would not be fair.
    """
    gaps = [b - a for log, _ in pairs for speech in log.speech for a, b in pairwise(speech.tau)]
    usual_s = median(gaps)
    return round(1 / usual_s, 3) if usual_s else USUAL_PACE


def score_log_file(log_path: Path, truth_path: Path) -> dict[str, Any]:
    """Score one log file of any system against its truth file; see `report`. One video gives no intervals."""
    pairs = [(read_log(log_path), read_truth(truth_path))]
    return report(pairs, tokens_per_s=pace_of(pairs))


def compare(
    first: Sequence[Pair],
    second: Sequence[Pair],
    *,
    videos: Sequence[str] | None = None,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> dict[str, Estimate]:
    """Every metric of the first system less that of the second, over the same streams in the same order.

    The intervals are paired: both systems are taken on the same resample of videos. `n` counts the streams in which
    both are defined; a difference of a median that was not reached is null.
    """
    ours, theirs = (_by_video([score(log, truth) for log, truth in pairs], videos) for pairs in (first, second))
    if [len(group) for group in ours] != [len(group) for group in theirs]:
        raise DataError(f"{len(first)} streams of one system and {len(second)} of the other. Compare the same streams.")
    estimates: dict[str, Estimate] = {}
    for name, metric in METRICS.items():
        both = zip(_defined(metric, ours), _defined(metric, theirs), strict=True)
        statistic = difference(_statistic(metric, ours), _statistic(metric, theirs))
        num_defined = sum(a and b for a, b in both)
        estimates[name] = estimate(statistic, len(ours), num_defined, seed=seed, replicates=replicates)
    return estimates


def pooled_share(rows: Sequence[tuple[float, float]], *, seed: int = 0, replicates: int = REPLICATES) -> Estimate:
    """A share pooled over videos, from one (how many are right, how many there are) per video."""
    sums_V2 = np.asarray(rows, dtype=np.float64).reshape(len(rows), 2)
    num_defined = int((sums_V2[:, 1] > 0).sum())

    def share(drawn: NDArray[np.int64]) -> float | None:
        return ratio(*sums_V2[drawn].sum(axis=0).tolist())

    return estimate(share, len(rows), num_defined, seed=seed, replicates=replicates)


Groups = Sequence[Sequence[Scored]]
"""The streams of each video."""


def _by_video(scored: Sequence[Scored], videos: Sequence[str] | None) -> Groups:
    names = list(videos) if videos is not None else [str(n) for n in range(len(scored))]
    if len(names) != len(scored):
        raise DataError(f"{len(names)} video names for {len(scored)} streams. Give one for each.")
    streams_of: dict[str, list[Scored]] = {}
    for name, one in zip(names, scored, strict=True):
        streams_of.setdefault(name, []).append(one)
    return list(streams_of.values())


def _estimates(groups: Groups, *, seed: int, replicates: int) -> dict[str, Estimate]:
    return {
        name: estimate(
            _statistic(metric, groups), len(groups), sum(_defined(metric, groups)), seed=seed, replicates=replicates
        )
        for name, metric in METRICS.items()
    }


def _defined(metric: Metric, groups: Groups) -> list[bool]:
    """Per stream, whether the metric has a value there."""
    return [metric.value(_table(metric, [one])) is not None for streams in groups for one in streams]


def _table(metric: Metric, streams: Sequence[Scored]) -> Table:
    """[rows, columns] of some streams."""
    rows = [list(row) for one in streams for row in metric.rows(one)]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), metric.columns)


def _statistic(metric: Metric, groups: Groups) -> Statistic:
    """The metric over videos that are drawn by their numbers."""
    tables = [_table(metric, streams) for streams in groups]
    if metric.is_sum:
        sums_VC = np.asarray([table.sum(axis=0) for table in tables]).reshape(len(tables), metric.columns)
        return lambda drawn: metric.value(sums_VC[drawn])
    return lambda drawn: metric.value(np.concatenate([np.zeros((0, metric.columns)), *(tables[n] for n in drawn)]))


def estimate(statistic: Statistic, num_videos: int, num_defined: int, *, seed: int, replicates: int) -> Estimate:
    """A statistic over all videos with its interval; `num_defined` is the number that is reported as n."""
    value = statistic(np.arange(num_videos))
    interval = None if value is None else bootstrap(num_videos, statistic, count=replicates, seed=seed)
    return {
        "value": _finite(value),
        "lo": _finite(interval.lo if interval else None),
        "hi": _finite(interval.hi if interval else None),
        "n": num_defined,
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: a median that was not reached is null."""
    return None if value is None or math.isinf(value) else value


def _chance_corrected(
    metrics: dict[str, Estimate], controls: dict[str, dict[str, Estimate]]
) -> dict[str, float | None]:
    """Scores of which 1 is the best, against the best of the controls that see nothing."""
    corrected: dict[str, float | None] = {}
    for name in _SCORES:
        rows = [controls[control][name]["value"] for control in (*SEEING_NOTHING, "text_only") if control in controls]
        best = max((row for row in rows if row is not None), default=None)
        corrected[name] = chance_corrected(metrics[name]["value"], best)
    return corrected


def _run(logs: Sequence[Log]) -> dict[str, Any]:
    """What ran, and the hash of its logs: of the one log, or of the list of their hashes."""
    heads = [log.head for log in logs]
    hashes = [log.hash for log in logs]
    return {
        "log_sha256": hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode()).hexdigest(),
        "streams": len(logs),
        **{
            name: sorted({getattr(head, name) for head in heads})
            for name in ("clock", "model", "seed", "policy", "fps", "speed")
        },
    }


def _counts(scored: Sequence[Scored], metrics: dict[str, Estimate]) -> dict[str, int]:
    """What was left out, dropped or never answered."""
    return {
        "questions": sum(one.questions for one in scored),
        "unanswered": sum(one.unanswered for one in scored),
        "speech": sum(one.silence[2.0].speech for one in scored),
        "blind_tokens": sum(one.perception.blind_tokens for one in scored),
        "short_utterances": sum(one.perception.short_utterances for one in scored),
        "dropped_frames": sum(one.perception.drops for one in scored),
        "pre_satisfied_changes": sum(one.revision.pre_satisfied for one in scored),
        "null_metrics": sum(estimate["value"] is None for estimate in metrics.values()),
    }
