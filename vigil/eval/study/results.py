"""The results of one study: every number of every arm and seed, and the differences to the first arm."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean

from vigil.eval.behaviour import Estimate, Pair, control_logs
from vigil.eval.study.arms import STUDIES, Arm, Letter, Study
from vigil.eval.study.measures import Measures, of_confidence, of_pairs, of_trials, of_videos
from vigil.eval.study.scale import StudyScale
from vigil.eval.study.scoring import TOKENS_PER_S, Measured, guessed_offline
from vigil.eval.study.training import Run


@dataclass(frozen=True)
class Spread:
    """One number over seeds."""

    values: tuple[float | None, ...]

    @property
    def defined(self) -> list[float]:
        """The values that are defined and finite."""
        return [value for value in self.values if value is not None and abs(value) != float("inf")]

    @property
    def mean(self) -> float | None:
        """Over the seeds in which it is defined."""
        return mean(self.defined) if self.defined else None


@dataclass(frozen=True)
class Differences:
    """A paired difference, one estimate per seed."""

    estimates: tuple[Estimate, ...]

    @property
    def spread(self) -> Spread:
        """The values."""
        return Spread(tuple(estimate["value"] for estimate in self.estimates))

    @property
    def num_above(self) -> int:
        """Seeds whose interval lies above 0."""
        return sum(estimate["lo"] is not None and estimate["lo"] > 0 for estimate in self.estimates)

    @property
    def num_below(self) -> int:
        """Seeds whose interval lies below 0."""
        return sum(estimate["hi"] is not None and estimate["hi"] < 0 for estimate in self.estimates)

    @property
    def is_above(self) -> bool:
        """Every seed's interval lies above 0."""
        return self.num_above == len(self.estimates)

    @property
    def is_below(self) -> bool:
        """Every seed's interval lies below 0."""
        return self.num_below == len(self.estimates)


class Results:
    """Everything that the tables of one study need, read from the runs' folders."""

    def __init__(self, letter: Letter, scale: StudyScale, out: Path) -> None:
        self.study: Study = STUDIES[letter]
        self.scale = scale
        self._out = out

    def run(self, arm: Arm, seed: int) -> Run:
        """The run behind one row and seed."""
        return Run(scale=self.scale, arm=arm, seed=seed, out=self._out)

    @cached_property
    def measures(self) -> dict[str, tuple[Measures, ...]]:
        """Row label -> its numbers, seed by seed."""
        return {
            arm.label: tuple(self._of(arm, Measured(self.run(arm, seed))) for seed in range(self.scale.seeds))
            for arm in self.study.arms
        }

    @cached_property
    def controls(self) -> dict[str, Measures]:
        """What simple policies score on the same scenes, computing free of cost; they never saw a frame, but for the
        oracle, which says what is true at the usual pace."""
        blind = of_videos(guessed_offline(self.scale))
        if self.study.letter == "D":
            return {"blind": blind}
        pairs = Measured(self.run(self.study.arms[0], 0)).free()
        logs = control_logs(pairs, tokens_per_s=TOKENS_PER_S)
        found = {
            name: of_pairs([(log, truth) for log, (_, truth) in zip(own, pairs, strict=True)])
            for name, own in logs.items()
        }
        return {**found, "blind": {**found["blind"], **blind}}

    @cached_property
    def log_hash(self) -> str:
        """SHA-256 over the logs of all rows and seeds."""
        digest = hashlib.sha256()
        for arm in self.study.arms:
            for seed in range(self.scale.seeds):
                for log, _ in self._pairs(arm, Measured(self.run(arm, seed))):
                    digest.update(log.hash.encode())
        return digest.hexdigest()

    def _pairs(self, arm: Arm, found: Measured) -> list[Pair]:
        """The streams behind one row."""
        if self.study.letter == "D":
            return []
        return found.costed(arm.design) if self.study.letter == "A" else found.free()

    def _of(self, arm: Arm, found: Measured) -> Measures:
        offline = of_videos(found.offline())
        if self.study.letter == "D":
            return offline
        pairs = self._pairs(arm, found)
        if self.study.letter == "C":
            tuned = {f"tuned_{name}": one for name, one in of_pairs(found.tuned()[1]).items()}
            return {**of_pairs(pairs), **of_confidence(found.silent(), pairs), **tuned, **offline}
        return {**of_pairs(pairs), **of_trials(*found.l5(arm.design)), **offline}

    def spread(self, label: str, name: str) -> Spread:
        """A number of one row over seeds."""
        return Spread(tuple(seed[name].value if name in seed else None for seed in self.measures[label]))

    def differences(self, label: str, name: str, *, to: str | None = None) -> Differences:
        """A row less another (the first one), paired within each seed."""
        other = self.measures[to or self.study.arms[0].label]
        return Differences(
            tuple(
                ours[name].less(theirs[name]).estimate(seed=seed, replicates=self.scale.replicates)
                for seed, (ours, theirs) in enumerate(zip(self.measures[label], other, strict=True))
            )
        )

    @property
    def labels(self) -> Sequence[str]:
        """Rows in order."""
        return [arm.label for arm in self.study.arms]
