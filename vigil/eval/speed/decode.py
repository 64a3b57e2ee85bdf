"""What one spoken token costs: after how many frames, with a window and without one, and against what memory allows.

Times are those of `machine.Clock`; settings are measured in turn, again and again, and the median counts. `reads_ms` is
the time of the cross layers' attention alone, over the same keys: without a window nothing else may grow.

Axes: F frames, K key/value heads, N query heads, P vision tokens of a frame, S entries, H head channels, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from vigil.config import StreamConfig
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import step_bytes
from vigil.eval.speed.figures import Bound, Figure, Part, Row
from vigil.eval.speed.machine import Clock, quantile
from vigil.model import VideoModel
from vigil.model.model import Written
from vigil.model.views import attend
from vigil.stream.feed import Feed, feed
from vigil.stream.lanes import FrameQueue, lanes_for
from vigil.stream.memory import FrameMemory
from vigil.stream.static import StaticStep

PROMPT = 32
TOKEN = 5


@dataclass
class Speaker:
    """A stream that has seen some frames and speaks. Frames are random keys and values: nobody looks at them."""

    model: VideoModel
    frames_seen: int
    window: int
    clock: Clock
    times_ms: list[float] = field(default_factory=list)
    reads_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        model = self.model
        self.frames, self.text = lanes_for(model, StreamConfig(memory_frames=self.window))
        feed(model, [TOKEN] * PROMPT, start=0, text=self.text, frames=self.frames)  # words only: no placeholder
        self.position = PROMPT
        with torch.inference_mode():
            for _ in range(self.frames_seen):
                self._see()
        is_cuda = model.device.type == "cuda"
        memory = None if isinstance(self.frames, FrameQueue) else self.frames
        self._step = StaticStep(model, self.text, memory) if is_cuda else None

    def _see(self) -> None:
        config, device = self.model.config, self.model.device
        shape = (1, config.text.num_kv_heads, config.vision.tokens_per_frame, config.text.head_dim)
        if isinstance(self.frames, FrameMemory):
            pairs = [torch.randn(2, *shape, dtype=self.model.dtype, device=device) for _ in config.text.cross_layers]
            self.frames.take(Written(tuple(k for k, _ in pairs), tuple(v for _, v in pairs)), [self.position])
        elif len(self.text) < PROMPT + self.window * shape[2]:  # a full window has no room, and stays as it is
            for layer in range(config.text.num_layers):
                self.text.extend(layer, *torch.randn(2, *shape, dtype=self.model.dtype, device=device))
            self.text.advance(shape[2])

    def want(self) -> Feed:
        """The next token."""
        self.position += 1
        return Feed([TOKEN], self.position, self.text, self.frames)

    def say(self) -> None:
        """One token, timed to its successor on the host."""
        want, start_s = self.want(), self.clock.now_s()
        if self._step is not None:
            logits_V = self._step(TOKEN, self.position)
        else:
            logits_V = feed(self.model, want.ids, start=want.start, text=want.text, frames=want.frames)
        int(logits_V.argmax())
        self.times_ms.append(1e3 * (self.clock.now_s() - start_s))

    def read(self) -> None:
        """The attention over frames alone, timed."""
        if not isinstance(self.frames, FrameMemory):
            return
        text = self.model.config.text
        q_BNTH = torch.randn(1, text.num_heads, 1, text.head_dim, dtype=self.model.dtype, device=self.model.device)
        snapshot = self.frames.snapshot()
        layers = [snapshot.layer(layer) for layer in range(len(text.cross_layers))]
        start_s = self.clock.now_s()
        for keys, values in layers:
            attend(q_BNTH, keys[None], values[None])
        self.reads_ms.append(1e3 * (self.clock.now_s() - start_s))

    @property
    def ms(self) -> float:
        """Median time of a token."""
        return quantile(self.times_ms, 0.5)

    def row(self, name: str) -> Row:
        """For the table."""
        return {
            "who": name,
            "frames_seen": self.frames_seen,
            "window": self.window,
            "ms_per_token": self.ms,
            "reads_ms": quantile(self.reads_ms, 0.5),
        }


def in_turn(speakers: list[Speaker], rounds: int) -> None:
    """Time each again and again, so that a change of the machine meets all."""
    for _ in range(rounds):
        for speaker in speakers:
            speaker.say()
            speaker.read()


def decode(bench: Bench) -> Part:
    """Tokens per second, passes of the encoder in them, and growth with the stream."""
    scale, model = bench.scale, bench.vigil().model
    lengths = scale.stream_frames
    bench.note(f"spoken tokens after up to {lengths[-1]} frames")
    bounded = [Speaker(model, seen, scale.window, bench.clock) for seen in lengths]
    free = [Speaker(model, seen, seen, bench.clock) for seen in lengths]
    full = Speaker(model, scale.frames, scale.frames, bench.clock)
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    hook = model.vision.register_forward_hook(count)
    in_turn([*bounded, *free, full], scale.rounds)
    hook.remove()
    num_tokens = sum(len(speaker.times_ms) for speaker in (*bounded, *free, full))
    twins = [Speaker(bench.twin().model, seen, seen, bench.clock) for seen in lengths]
    in_turn(twins, max(3, scale.rounds // 3))
    rows = [s.row(f"vigil, window {scale.window}") for s in bounded] + [s.row("vigil, no window") for s in free]
    rows += [full.row("vigil"), *(s.row("twin, no window") for s in twins)]
    return Part(_figures(bench, bounded, free, full, passes / num_tokens), tuple(rows))


def _figures(
    bench: Bench, bounded: list[Speaker], free: list[Speaker], full: Speaker, passes: float
) -> tuple[Figure, ...]:
    num_bytes = step_bytes(full.model, full.text, num_frames=len(full.frames))
    bound = Bound("bandwidth", num_bytes / bench.rates.bytes_per_s / (full.ms / 1e3))
    grown_ms = free[-1].ms - free[0].ms
    reads_ms = quantile(free[-1].reads_ms, 0.5) - quantile(free[0].reads_ms, 0.5)
    size = f"{bench.scale.name} in {bench.scale.dtype}"
    after = f"{size}, {full.frames_seen} frames in memory, {num_bytes / 1e6:,.0f} MB read per token"
    lengths = f"{bounded[-1].frames_seen} by {bounded[0].frames_seen} frames of stream"
    return (
        Figure("decode_tokens_per_s", 1e3 / full.ms, after, bound),
        Figure(
            "decode_bound_fraction",
            bound.fraction,
            f"{after}; {bench.rates.bytes_per_s / 1e9:.1f} GB/s measured",
            bound,
        ),
        Figure("encoder_passes_per_token", passes, "counted while the tokens of this part were spoken"),
        Figure("decode_ratio_1024_over_16", bounded[-1].ms / bounded[0].ms, f"{lengths}, window {bounded[0].window}"),
        Figure("decode_ratio_unbounded", free[-1].ms / free[0].ms, f"{lengths}, no window"),
        Figure("decode_growth_beyond_reads", (grown_ms - reads_ms) / free[-1].ms, f"{lengths}, no window"),
    )
