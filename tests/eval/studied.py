"""Results of a study with numbers from nowhere: per row and seed, a name and its value on each unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from event_logs import ask, frame, log_of, say

from vigil.eval.log import Log
from vigil.eval.study.arms import FULL, STUDIES, Arm, Letter
from vigil.eval.study.measures import Measure, Measures
from vigil.eval.study.results import Results
from vigil.eval.study.scale import StudyScale
from vigil.eval.study.training import Run
from vigil.world.config import WorldConfig

TINY = replace(StudyScale.tiny(), replicates=40)
SMALL = replace(
    StudyScale.tiny(),
    width=16,
    channels=(4, 8),
    vocab_size=300,
    world=WorldConfig(family="objects", size_px=48, num_nouns=4, max_objects=1, event_gap=(1, 2)),
    vision_steps=1,
    offline_steps=1,
    realtime_steps=1,
    frames=(4, 4),
    seeds=1,
)
"""A step of each stage, for a network of some thousand weights."""
Seed = dict[str, float | list[float] | None]


def measure(value: float | list[float] | None) -> Measure:
    """A mean over units; one number is that of all thirty units, None is defined nowhere."""
    if value is None or isinstance(value, float):
        return Measure(lambda drawn: value, 30)
    units = np.asarray(value)
    return Measure(lambda drawn: float(units[drawn].mean()), len(units))


def around(middle: float, spread: float = 0.01) -> list[float]:
    """Thirty units around a value."""
    return [middle + spread * (n % 3 - 1) for n in range(30)]


class Given(Results):
    """`numbers`: per arm, in order, its seeds; `given_controls`: per control its numbers."""

    def __init__(self, letter: Letter, *numbers: list[Seed], controls: dict[str, Seed] | None = None) -> None:
        super().__init__(letter, replace(TINY, seeds=len(numbers[0])), Path())
        labels = [arm.label for arm in STUDIES[letter].arms]
        self.numbers = dict(zip(labels, numbers, strict=True))
        self.given_controls = controls or {}

    @property
    def measures(self) -> dict[str, tuple[Measures, ...]]:  # type: ignore[override]
        return {
            label: tuple({name: measure(value) for name, value in seed.items()} for seed in seeds)
            for label, seeds in self.numbers.items()
        }

    @property
    def controls(self) -> dict[str, Measures]:  # type: ignore[override]
        return {name: {key: measure(value) for key, value in row.items()} for name, row in self.given_controls.items()}

    @property
    def log_hash(self) -> str:  # type: ignore[override]
        return "0123456789abcdef" * 4


def cells(table: str) -> list[list[str]]:
    """The cells of a Markdown table, its headings first."""
    head, rule, *rows = table.splitlines()
    assert set(rule) <= {"|", "-"}
    found = [[cell.strip() for cell in row.strip("|").split("|")] for row in (head, *rows)]
    assert {len(row) for row in found} == {rule.count("---")}
    return found


def speed(offline_s: float, stream_s: float, token_ms: float, frame_ms: float) -> dict[str, Any]:
    """What `timing.timed` finds of one seed."""
    return {
        "speed": {
            "first_token_offline_s": offline_s, "first_token_stream_s": stream_s, "ms_per_token": token_ms,
            "ms_per_frame": frame_ms,
        }
    }  # fmt: skip


def seeing(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows of a log, each token having seen the newest frame at 1 fps."""
    return [row | {"vis": int(row["w"])} if row["k"] == "tok" else row for row in rows]


def run_of(out: Path, arm: Arm = FULL, **changes: Any) -> Run:
    """A run of `SMALL`, the scale changed."""
    return Run(scale=replace(SMALL, **changes), arm=arm, seed=0, out=out)


def small_log(text: str) -> Log:
    """Three seconds in which one thing is said."""
    return log_of(*frame(0, 0.0), ask("q1", 1.0), *say("1", 2.0, text), end_s=3.0)
