"""The behaviour of one system over many streams: every number with its interval, and the controls beside it.

A number is `{"value", "lo", "hi", "n"}`: the value pooled over all streams, its 95 % interval (null below 10 videos),
and the number of streams in which it is defined. A null value with n > 0 is a median that was not reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from vigil.errors import DataError
from vigil.eval.controls import Setting, always_silent, always_talk, blind_logs, oracle
from vigil.eval.log import Log, read_log
from vigil.eval.stats import REPLICATES, Indices, bootstrap
from vigil.eval.summary import METRICS, Metric, Scored, Table, score
from vigil.eval.truth import Truth, read_truth

Pair = tuple[Log, Truth]


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
    return _estimates([score(log, truth) for log, truth in pairs], videos, seed=seed, replicates=replicates)


def report(
    pairs: Sequence[Pair],
    *,
    videos: Sequence[str] | None = None,
    tokens_per_s: float = 4.0,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> dict[str, Any]:
    """The summary of one system with what ran, what was counted, and the controls on the same streams.

    Keys: every metric, `twa_now_oracle`, `controls.<name>.<metric>`, `run` and `counts`; all of it fits JSON.
    """
    scored = [score(log, truth) for log, truth in pairs]
    metrics = _estimates(scored, videos, seed=seed, replicates=replicates)
    controls = {
        name: summarize(
            list(zip(logs, (truth for _, truth in pairs), strict=True)), videos=videos, seed=seed, replicates=replicates
        )
        for name, logs in control_logs(pairs, tokens_per_s=tokens_per_s).items()
    }
    return {
        **metrics,
        "twa_now_oracle": controls["oracle"]["twa_now"],
        "controls": controls,
        "run": _run([log for log, _ in pairs]),
        "counts": _counts(scored, metrics),
    }


def control_logs(pairs: Sequence[Pair], *, tokens_per_s: float = 4.0) -> dict[str, list[Log]]:
    """What each control would have said on the same streams, at this pace of speech (Hz)."""
    truths = [truth for _, truth in pairs]
    settings = [Setting(duration_s=log.tau(log.end.w), fps=log.head.fps, tokens_per_s=tokens_per_s) for log, _ in pairs]
    streams = list(zip(truths, settings, strict=True))
    return {
        "always_silent": [always_silent(truth, setting) for truth, setting in streams],
        "always_talk": [always_talk(truth, setting) for truth, setting in streams],
        "blind": blind_logs(truths, settings),
        "oracle": [oracle(truth, setting) for truth, setting in streams],
    }


def score_log_file(log_path: Path, truth_path: Path) -> dict[str, Any]:
    """Score one log file of any system against its truth file; see `report`. One video gives no intervals."""
    return report([(read_log(log_path), read_truth(truth_path))])


def _estimates(
    scored: Sequence[Scored], videos: Sequence[str] | None, *, seed: int, replicates: int
) -> dict[str, Estimate]:
    names = list(videos) if videos is not None else [str(n) for n in range(len(scored))]
    if len(names) != len(scored):
        raise DataError(f"{len(names)} video names for {len(scored)} streams. Give one for each.")
    streams_of: dict[str, list[Scored]] = {}
    for name, one in zip(names, scored, strict=True):
        streams_of.setdefault(name, []).append(one)
    groups = list(streams_of.values())
    return {name: _estimate(metric, groups, seed=seed, replicates=replicates) for name, metric in METRICS.items()}


def _table(metric: Metric, streams: Sequence[Scored]) -> Table:
    """[rows, columns] of some streams."""
    rows = [list(row) for one in streams for row in metric.rows(one)]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), metric.columns)


def _estimate(metric: Metric, groups: Sequence[Sequence[Scored]], *, seed: int, replicates: int) -> Estimate:
    tables = [_table(metric, streams) for streams in groups]
    everything = np.concatenate(tables) if tables else np.zeros((0, metric.columns))
    value = metric.value(everything)
    num_defined = sum(metric.value(_table(metric, [one])) is not None for streams in groups for one in streams)
    interval = None
    if value is not None:
        if metric.is_sum:
            sums_VC = np.stack([table.sum(axis=0) for table in tables])

            def statistic(drawn: Indices) -> float | None:
                return metric.value(sums_VC[drawn])

        else:

            def statistic(drawn: Indices) -> float | None:
                return metric.value(np.concatenate([tables[n] for n in drawn]))

        interval = bootstrap(len(tables), statistic, count=replicates, seed=seed)
    return {
        "value": _finite(value),
        "lo": _finite(interval.lo if interval else None),
        "hi": _finite(interval.hi if interval else None),
        "n": num_defined,
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: a median that was not reached is null."""
    return None if value is None or math.isinf(value) else value


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
