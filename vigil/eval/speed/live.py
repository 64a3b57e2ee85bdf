"""How much is seen and said in real time: one fast stream, and many slow ones.

Everything runs on the wall clock: what comes late is dropped. A stream is held in real time if nothing is dropped,
frames are readable within a second (p95), and words come at their pace (95 % of it).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from vigil.config import StreamConfig
from vigil.eval.speed import bounds
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.figures import Bound, Figure, Part, Row
from vigil.eval.speed.machine import quantile
from vigil.eval.speed.talk import Chatter, camera
from vigil.model import VideoModel
from vigil.stream.engine import Engine, EngineConfig
from vigil.stream.policy import Threshold
from vigil.stream.source import open_source
from vigil.types import Ended, Event

ONE_PACE = 20.0
"""Tokens per second of a stream that is alone."""


def run(model: VideoModel, *, streams: int, fps: float, pace: float, seconds: float) -> Row:
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
        engine = stack.enter_context(Engine(model, EngineConfig(max_sessions=max(64, streams))))
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


def climb(model: VideoModel, steps: Sequence[tuple[int, float]], *, pace: float, seconds: float) -> list[Row]:
    """Go up (streams, frames/s) until one is not held any more."""
    rows: list[Row] = []
    for streams, fps in steps:
        rows.append(run(model, streams=streams, fps=fps, pace=pace, seconds=seconds))
        if not rows[-1]["in_real_time"]:
            break
    return rows


def best(rows: list[Row], column: str) -> float:
    """The most that was held in real time; 0 if nothing was."""
    return quantile([max((row[column] for row in rows if row["in_real_time"]), default=0)], 0.5)


def live(bench: Bench) -> Part:
    """One stream faster and faster, then more and more of them."""
    scale, model = bench.scale, bench.live_model()
    seconds, who = scale.live_seconds, "nano" if scale.live_model == "nano" else scale.name
    bench.note(f"live streams of {who}")
    run(model, streams=1, fps=4.0, pace=4.0, seconds=1.0)  # warm
    fast = climb(model, [(1, fps) for fps in scale.live_fps], pace=ONE_PACE, seconds=seconds)
    many = climb(model, [(n, 1.0) for n in scale.live_streams], pace=scale.live_pace, seconds=seconds)
    tried = f"{who}, one stream of 640 x 360 px at {ONE_PACE:g} tokens/s, rates tried"
    one = f"{tried}: {_list(scale.live_fps)}, {seconds:g} s each"
    all_of = f"{who}, {scale.live_pace:g} tokens/s each, numbers tried: {_list(scale.live_streams)}, {seconds:g} s each"
    frames_per_s = best(fast, "frames_per_s")
    bound = None
    if model.config.vision.kind == "tile_vit":
        flops = bounds.encoder_flops(model.config.vision, 1)
        bound = Bound("arithmetic", frames_per_s * flops / bench.rates.flops_per_s)
    figures = (
        Figure("frames_per_s", frames_per_s, one, bound),
        Figure("streams_at_1fps", int(best(many, "streams")), all_of),
    )
    return Part(figures, tuple(fast + many))


def _list(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
