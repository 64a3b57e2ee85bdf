"""How much nano sees and says in real time on this machine: one fast stream, and many slow ones.

    python benchmarks/streams.py [--streams 1 2 4 8 16] [--seconds 10] [--save]

First one stream at each of several rates, speaking without end at 20 tokens/s; then several streams at 1 frame/s, each
speaking at 4 tokens/s. Everything runs on the wall clock: what comes late is dropped. A stream is held in real time if
nothing is dropped, frames are readable within a second (p95), and words come at their pace (95 % of it).
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from common import Chatter, camera, model_named, quantile, report

from vigil.config import StreamConfig
from vigil.model import VideoModel
from vigil.stream.engine import Engine
from vigil.stream.policy import Threshold
from vigil.stream.source import open_source
from vigil.types import Ended, Event


def run(model: VideoModel, *, streams: int, fps: float, pace: float, seconds: float) -> dict[str, Any]:
    """Live streams on one engine; what came of them."""
    config = StreamConfig(
        fps=fps, memory_frames=64, tokens_per_s=pace, max_answer_tokens=10**9, max_answer_s=1e9, queue_frames=4
    )
    words: Counter[int] = Counter()
    ended: list[Ended] = []

    def trace_of(stream: int) -> Any:
        def trace(kind: str, **fields: Any) -> None:
            words[stream] += kind == "ran"  # every pass but those of frames and questions is a word

        return trace

    def note(event: Event) -> None:
        if isinstance(event, Ended):
            ended.append(event)

    cpu_s = time.process_time()
    with ExitStack() as stack:
        engine = stack.enter_context(Engine(model))
        for stream in range(streams):
            source = stack.enter_context(open_source(camera(fps, seconds, seed=stream), fps=fps))
            engine.watch(
                source, config=config, speed=None, policy=Threshold(1.0), sampler=Chatter(model),
                trace=trace_of(stream), on_event=note,
            )  # fmt: skip
        time.sleep(seconds)
        cpu_s = time.process_time() - cpu_s
    perceived, dropped = sum(end.perceived for end in ended), sum(end.dropped for end in ended)
    lag_s = max((end.lag_p95_s or 0.0 for end in ended), default=float("nan"))
    said = sum(words.values()) / seconds / streams
    return {
        "streams": streams,
        "fps": fps,
        "pace": pace,
        "frames_per_s": perceived / seconds,
        "words_per_s_each": said,
        "dropped": dropped,
        "lag_p95_s": lag_s,
        "rows_a_pass": engine.num_rows / max(1, engine.num_passes),
        "cores_used": cpu_s / seconds,
        "in_real_time": dropped == 0 and lag_s <= 1.0 and said >= 0.95 * pace,
    }


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--fps", type=float, nargs="+", default=[8.0, 16.0, 32.0])
    flags.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    flags.add_argument("--seconds", type=float, default=10.0)
    flags.add_argument("--save", action="store_true")
    args = flags.parse_args()
    torch.set_num_threads(1)
    model = model_named("nano")
    run(model, streams=1, fps=4.0, pace=4.0, seconds=2.0)  # warm
    rows = [run(model, streams=1, fps=fps, pace=20.0, seconds=args.seconds) for fps in args.fps]
    rows += [run(model, streams=num, fps=1.0, pace=4.0, seconds=args.seconds) for num in args.streams]
    held = [row for row in rows if row["in_real_time"]]
    report(
        "streams", rows, save=args.save,
        frames_per_s=quantile([max((r["frames_per_s"] for r in held if r["pace"] == 20.0), default=0.0)], 0.5),
        streams_at_1fps=max((row["streams"] for row in held if row["pace"] == 4.0), default=0),
    )  # fmt: skip


if __name__ == "__main__":
    main()
