"""From what was played to the table: each score with its interval and best blind rule, both scorers side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from vigil.errors import ConfigError
from vigil.eval.benchmarks.base import Benchmark, Case, Score, Scorer
from vigil.eval.benchmarks.runner import MAIN, MANDATORY, ORACLE, SEEING, BenchConfig, Played
from vigil.eval.stats import bootstrap, chance_corrected

KNOWING = (ORACLE, "never_revise")
"""Rows that use the truth: no blind score."""
TRICKS = ("always_talk", "parse_attack")
"""Rows that only fool a parser: a blind score under the strict scorer, not under the official one."""


class Tallies:
    """The sums of one system under one scorer, per video, so that videos can be resampled."""

    def __init__(self, played: Sequence[Played]) -> None:
        self.videos = list(dict.fromkeys(one.case.video for one in played))
        self.keys = list(dict.fromkeys(key for one in played for key in one.mark.sums))
        row, column = ({name: n for n, name in enumerate(names)} for names in (self.videos, self.keys))
        self.sums_VK = np.zeros((len(self.videos), len(self.keys)))
        for one in played:
            for key, value in one.mark.sums.items():
                self.sums_VK[row[one.case.video], column[key]] += value

    def value(self, score: Score, indices: Any = None) -> float | None:
        """A score over all videos, or over some, each as often as it is named."""
        sums_VK = self.sums_VK if indices is None else self.sums_VK[indices]
        return score.of(dict(zip(self.keys, sums_VK.sum(axis=0).tolist(), strict=True)))


def tabulate(
    benchmark: Benchmark,
    cases: Sequence[Case],
    played: Sequence[Played],
    *,
    run: Mapping[str, Any],
    config: BenchConfig,
) -> dict[str, Any]:
    """The whole result as one JSON object.

    Raises:
        ConfigError: a mandatory row is missing.
    """
    arms = list(dict.fromkeys(one.arm for one in played))
    missing = [name for name in MANDATORY if name not in arms]
    if missing:
        raise ConfigError(f"a table without the rows {', '.join(missing)} is not written. Play them too.")
    scorers: tuple[Scorer, ...] = ("official", "strict")
    tallies = {
        (arm, scorer): Tallies([one for one in played if one.arm == arm and scorer in one.case.served])
        for arm in arms
        for scorer in scorers
    }
    rows = [_row(score, arms, tallies) for score in benchmark.scores(cases)]
    return {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "run": {**run, **_facts(cases, played), "clock": config.clock, "fps": config.fps, "token_s": config.token_s},
        "systems": arms,
        "scores": rows,
        "undefined": sum(row["value"] is None for row in rows),
        "states": {arm: _states([one for one in played if one.arm == arm]) for arm in arms},
        "published": [
            {"system": row.system, "values": dict(row.values), "source": row.source} for row in benchmark.published
        ],
        "notes": list(benchmark.notes),
    }


def _row(score: Score, arms: Sequence[str], tallies: Mapping[tuple[str, Scorer], Tallies]) -> dict[str, Any]:
    main = tallies[MAIN, score.scorer]
    values = {arm: tallies[arm, score.scorer].value(score) for arm in arms}
    value = values[MAIN]
    interval = bootstrap(len(main.videos), lambda indices: main.value(score, indices))
    tricks = TRICKS if score.scorer == "official" else ()
    blind = {arm: values[arm] for arm in arms if arm not in (MAIN, *SEEING, *KNOWING, *tricks)}
    known = {arm: found for arm, found in blind.items() if found is not None}
    rule = None if score.is_better_low or not known else max(known, key=lambda arm: known[arm])
    best = None if rule is None else known[rule]
    corrected = None if value is None or best is None else chance_corrected(value / 100, best / 100)
    return {
        "name": score.name,
        "scorer": score.scorer,
        "definition": score.definition,
        "is_shown": score.is_shown,
        "value": value,
        "lo": None if interval is None else interval.lo,
        "hi": None if interval is None else interval.hi,
        "redrawn": None if interval is None else interval.redrawn,
        "blind": best,
        "blind_rule": rule,
        "corrected": None if corrected is None else 100 * corrected,
        "systems": values,
    }


def _facts(cases: Sequence[Case], played: Sequence[Played]) -> dict[str, Any]:
    own = [one for one in played if one.arm == MAIN]
    digest = sha256("".join(log for one in own for log in one.hashes).encode()).hexdigest()
    return {
        "cases": len(cases),
        "videos": len({case.video for case in cases}),
        "seed": 0,
        "policy": "greedy",
        "dropped_frames": sum(one.dropped for one in own),
        "log_sha256": digest,
    }


def _states(played: Sequence[Played]) -> dict[str, int]:
    """How many answers could be read, were missing, late, or not parsable; and streams without a frame."""
    found = Counter(state for one in played for state in one.mark.states)
    return {name: found[name] for name in ("read", "unanswered", "unparsable", "late")} | {
        "unseen": sum(one.unseen for one in played)
    }
