"""Do the gaps between spoken tokens grow while frames arrive?

A session speaks without end at its pace. Gaps are taken without frames, then with frames at each rate, in two designs:
`beside` (frames are encoded in a thread of their own: what the engine does), and as its control `blocking` (the same
engine, but one thread does both). One torch thread per channel, so two cores are used. What counts is the 95th
percentile against that without frames: with frames at more than one in twenty tokens, a blocking design shows.

`work` is the same in CPU time of the speaking thread: what it does itself between two tokens. Other programs do not
disturb it, but it cannot see waiting; on a busy machine the ratio of gaps means little, and that of work still holds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from vigil.config import StreamConfig
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import step_bytes
from vigil.eval.speed.figures import Bound, Figure, Part, Row
from vigil.eval.speed.machine import quantile
from vigil.eval.speed.talk import Chatter, camera
from vigil.model import VideoModel
from vigil.stream.engine import Engine
from vigil.stream.lanes import lanes_for
from vigil.stream.policy import Threshold
from vigil.stream.source import open_source

ENDLESS = StreamConfig(
    fps=100.0, memory_frames=64, text_tokens=4096, max_answer_tokens=10**9, max_answer_s=1e9, static_steps=True
)
WARM_TOKENS = 10
LONGEST_S = 120.0


class Blocking(Engine):
    """The control: one thread encodes and speaks, in turn."""

    def start(self) -> None:
        """Run both channels in one thread."""
        self._threads.append(threading.Thread(target=self._both, daemon=True))
        self._threads[-1].start()

    def _both(self) -> None:
        while self.handles or not self._stopping:
            if not self.step():
                time.sleep(0.001)


DESIGNS: dict[str, type[Engine]] = {"beside": Engine, "blocking": Blocking}


@dataclass(frozen=True)
class Gaps:
    """What was measured of one run."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    work_p95_ms: float
    """CPU time of the speaking thread between two tokens."""
    frames_per_s: float
    """Frames perceived."""


def gaps_of(engine: Engine, *, fps: float, pace: float, num_tokens: int) -> Gaps:
    """Times between so many tokens while frames come at `fps` (0: none but the first); pace 0: as fast as it can."""
    model = engine.model
    assert model.tokenizer is not None
    said_s: list[float] = []
    worked_s: list[float] = []
    seen_s: list[float] = []
    over = threading.Event()
    not_words = {*model.tokenizer.control_ids, model.config.image_token_id}

    def trace(kind: str, **fields: Any) -> None:
        """Note when a word was fed back, and when a frame was seen."""
        if kind == "fed" and len(fields["ids"]) == 1 and fields["ids"][0] not in not_words:
            said_s.append(time.perf_counter())
            worked_s.append(time.thread_time())
            if len(said_s) > WARM_TOKENS + num_tokens:
                over.set()
        elif kind == "frame":
            seen_s.append(time.perf_counter())

    source = open_source(camera(fps or 1e-3, LONGEST_S if fps else 2e3), fps=1000.0)
    config = replace(ENDLESS, tokens_per_s=pace or 1e6)
    with engine, source:
        engine.watch(
            source, config=config, speed=None, policy=Threshold(1.0), sampler=Chatter(model), trace=trace,
            on_event=lambda event: None,
        )  # fmt: skip
        over.wait(LONGEST_S)
    said_s, worked_s = said_s[WARM_TOKENS:], worked_s[WARM_TOKENS:]
    num_seen = sum(said_s[0] <= at_s <= said_s[-1] for at_s in seen_s[1:])  # the first is there in every run
    waits, work = ([(after - before) * 1e3 for before, after in pairwise(times)] for times in (said_s, worked_s))
    return Gaps(
        p50_ms=quantile(waits, 0.5),
        p95_ms=quantile(waits, 0.95),
        p99_ms=quantile(waits, 0.99),
        work_p95_ms=quantile(work, 0.95),
        frames_per_s=num_seen / (said_s[-1] - said_s[0]),
    )


def compare(model: VideoModel, rates: Sequence[float], *, pace: float, num_tokens: int) -> list[Row]:
    """Both designs at each rate of frames, against itself without frames: the quieter of a run before and one after."""
    rows: list[Row] = []
    for design, kind in DESIGNS.items():
        first, *runs, last = (
            gaps_of(kind(model), fps=fps, pace=pace, num_tokens=num_tokens) for fps in (0.0, *rates, 0.0)
        )
        without = min(first, last, key=lambda gaps: gaps.p95_ms)  # what else ran meanwhile must not flatter
        for fps, found in zip(rates, runs, strict=True):
            rows.append(
                {
                    "design": design,
                    "fps": fps,
                    "gap_p50_ms": found.p50_ms,
                    "gap_p95_ms": found.p95_ms,
                    "gap_p99_ms": found.p99_ms,
                    "without_p95_ms": without.p95_ms,
                    "gap_ratio": found.p95_ms / without.p95_ms,
                    "work_ratio": found.work_p95_ms / without.work_p95_ms,
                    "frames_per_s": found.frames_per_s,
                }
            )
    return rows


def worst(rows: list[Row], design: str) -> float:
    """Largest ratio of gaps of a design."""
    return max(float(row["gap_ratio"]) for row in rows if row["design"] == design)


def gaps(bench: Bench) -> Part:
    """Measure the model of this run."""
    scale, model = bench.scale, bench.vigil().model
    bench.note("gaps between tokens while frames arrive")
    rows = compare(model, scale.gap_fps, pace=scale.gap_pace, num_tokens=scale.gap_tokens)
    rates = ", ".join(f"{fps:g}" for fps in scale.gap_fps)
    pace = f"{scale.gap_pace:g} tokens/s" if scale.gap_pace else "as fast as it can"
    setting = f"frames at {rates} /s, one stream speaking {pace}, {scale.gap_tokens} gaps each, wall clock"
    _, text = lanes_for(model, ENDLESS)
    bound_ms = 1e3 * step_bytes(model, text, num_frames=ENDLESS.memory_frames) / bench.rates.bytes_per_s
    p95_ms = max(float(row["gap_p95_ms"]) for row in rows if row["design"] == "beside")
    figures = (
        Figure("gap_p95_ratio", worst(rows, "beside"), setting, Bound("bandwidth", bound_ms / p95_ms)),
        Figure("gap_p95_ratio_blocking", worst(rows, "blocking"), setting),
    )
    return Part(figures, tuple(rows))
