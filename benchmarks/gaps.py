"""Law 3 as a figure: do the gaps between spoken tokens grow while frames arrive?

    python benchmarks/gaps.py [--model wide] [--fps 1 2 4 8] [--pace 20] [--tokens 300] [--save]

A session speaks without end at its pace (tokens/s; 0: as fast as it can). Gaps are taken without frames, then with
frames at each rate, in two designs: `beside` (frames are encoded in a thread of their own: what the engine does), and
as its control `blocking` (the same engine, but one thread does both). One torch thread per channel, so two cores are
used. What counts is the 95th percentile against that without frames, taken right before: with frames at more than one
in twenty tokens, a blocking design shows.

`work` is the same in CPU time of the speaking thread: what it does itself between two tokens. Other programs do not
disturb it, but it cannot see waiting; on a busy machine the ratio of gaps means little, and that of work still holds.
"""

from __future__ import annotations

import argparse
import threading
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from common import Chatter, camera, model_named, quantile, report

from vigil.config import StreamConfig
from vigil.model import VideoModel
from vigil.stream.engine import Engine
from vigil.stream.policy import Threshold
from vigil.stream.source import open_source

ENDLESS = StreamConfig(fps=100.0, memory_frames=64, max_answer_tokens=10**9, max_answer_s=1e9)
WARM_TOKENS = 10
LONGEST_S = 120.0


@dataclass(frozen=True)
class Gaps:
    """What was measured of one run."""

    p50_ms: float
    p95_ms: float
    work_p95_ms: float
    """CPU time of the speaking thread between two tokens."""
    frames_per_s: float
    """Frames perceived."""


class Blocking(Engine):
    """The control: one thread encodes and speaks, in turn."""

    def start(self) -> None:
        """Run both channels in one thread."""
        thread = threading.Thread(target=self._both, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _both(self) -> None:
        while self.handles or not self._stopping:
            if not self.step():
                time.sleep(0.001)


def gaps_ms(engine: Engine, model: VideoModel, fps: float, pace: float, num_tokens: int) -> Gaps:
    """Times between so many tokens while frames come at `fps` (0: none but the first)."""
    assert model.tokenizer is not None
    said_s: list[float] = []
    worked_s: list[float] = []
    seen_s: list[float] = []
    over = threading.Event()
    not_words = {*model.tokenizer.control_ids, model.config.image_token_id}

    def trace(kind: str, **fields: Any) -> None:
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
    num_seen = sum(said_s[0] <= at_s <= said_s[-1] for at_s in seen_s)
    gaps, work = ([(after - before) * 1e3 for before, after in pairwise(times)] for times in (said_s, worked_s))
    return Gaps(quantile(gaps, 0.5), quantile(gaps, 0.95), quantile(work, 0.95), num_seen / (said_s[-1] - said_s[0]))


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--model", choices=("nano", "wide"), default="wide")
    flags.add_argument("--fps", type=float, nargs="+", default=[1.0, 2.0, 4.0, 8.0])
    flags.add_argument("--pace", type=float, default=20.0)
    flags.add_argument("--tokens", type=int, default=300)
    flags.add_argument("--save", action="store_true")
    args = flags.parse_args()
    torch.set_num_threads(1)
    model = model_named(args.model)
    rows = []
    for fps in args.fps:
        for design, kind in (("beside", Engine), ("blocking", Blocking)):
            without = gaps_ms(kind(model), model, 0, args.pace, args.tokens)
            beside = gaps_ms(kind(model), model, fps, args.pace, args.tokens)
            rows.append(
                {
                    "design": design,
                    "fps": fps,
                    "gap_p50_ms": beside.p50_ms,
                    "gap_p95_ms": beside.p95_ms,
                    "without_ms": without.p95_ms,
                    "gap_ratio": beside.p95_ms / without.p95_ms,
                    "work_ratio": beside.work_p95_ms / without.work_p95_ms,
                    "frames_per_s": beside.frames_per_s,
                }
            )
    worst = {kind: max(row["gap_ratio"] for row in rows if row["design"] == kind) for kind in ("beside", "blocking")}
    report(
        "gaps", rows, save=args.save, model=args.model, pace=args.pace,
        gap_p95_ratio=worst["beside"], gap_p95_ratio_blocking=worst["blocking"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
