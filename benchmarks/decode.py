"""What one spoken token costs, after 16 and after 1,024 frames of stream, with a window of 64 frames and without one.

    python benchmarks/decode.py [--save]

Times are CPU times of one thread (ms), so that other programs on the machine disturb them little; settings are measured
in turn, again and again, and the median counts. `reads_ms` is the time of the cross layers' attention alone, over the
same keys: without a window nothing else may grow.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch
from common import model_named, quantile, report

from vigil.config import StreamConfig
from vigil.model import VideoModel
from vigil.model.attention import attend
from vigil.model.model import Written
from vigil.stream.feed import Feed, feed, feed_together
from vigil.stream.lanes import lanes_for

PROMPT = 32
ROUNDS = 40
BATCH = 8


@dataclass
class Speaker:
    """A stream that has seen some frames and speaks."""

    model: VideoModel
    frames_seen: int
    window: int

    def __post_init__(self) -> None:
        text, per_frame = self.model.config.text, self.model.config.vision.tokens_per_frame
        shape = (1, text.num_kv_heads, per_frame, text.head_dim)
        layers = range(len(text.cross_layers))
        self.frames, self.text = lanes_for(self.model, StreamConfig(memory_frames=self.window))
        feed(self.model, list(range(PROMPT)), start=0, text=self.text, frames=self.frames)
        self.position = PROMPT
        self.times_ms: list[float] = []
        self.reads_ms: list[float] = []
        for _ in range(self.frames_seen):
            written = Written(tuple(torch.randn(shape) for _ in layers), tuple(torch.randn(shape) for _ in layers))
            self.frames.take(written, [self.position])

    def want(self) -> Feed:
        """The next token."""
        self.position += 1
        return Feed([5], self.position, self.text, self.frames)

    def say(self) -> None:
        """One token, timed."""
        want = self.want()
        start_s = time.thread_time()
        logits_V = feed(self.model, want.ids, start=want.start, text=want.text, frames=want.frames)
        int(logits_V.argmax())
        self.times_ms.append((time.thread_time() - start_s) * 1e3)

    def read(self) -> None:
        """The attention over frames alone, timed."""
        text = self.model.config.text
        q_BNTH = torch.randn(1, text.num_heads, 1, text.head_dim)
        layers = [self.frames.snapshot().layer(layer) for layer in range(len(text.cross_layers))]  # type: ignore[union-attr]
        start_s = time.thread_time()
        for keys, values in layers:
            attend(q_BNTH, keys[None], values[None])
        self.reads_ms.append((time.thread_time() - start_s) * 1e3)


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--save", action="store_true")
    torch.set_num_threads(1)
    rows, ratios = [], {}
    for name in ("nano", "wide"):
        model = model_named(name)
        speakers = [Speaker(model, seen, window) for seen, window in ((16, 64), (1024, 64), (16, 1024), (1024, 1024))]
        for _ in range(ROUNDS):
            for speaker in speakers:
                speaker.say()
                speaker.read()
        rows += [
            {
                "model": name,
                "frames_seen": speaker.frames_seen,
                "window": speaker.window,
                "ms_per_token": quantile(speaker.times_ms, 0.5),
                "reads_ms": quantile(speaker.reads_ms, 0.5),
                "streams_in_a_pass": 1,
            }
            for speaker in speakers
        ]
        short, long = (quantile(speaker.times_ms, 0.5) for speaker in speakers[:2])
        ratios[f"{name}_decode_ratio_1024_over_16"] = long / short
        together = [Speaker(model, 64, 64) for _ in range(BATCH)]
        times_ms = []
        for _ in range(ROUNDS):
            wants = [speaker.want() for speaker in together]
            start_s = time.thread_time()
            feed_together(model, wants)
            times_ms.append((time.thread_time() - start_s) * 1e3 / BATCH)
        rows.append(
            {**rows[-3], "ms_per_token": quantile(times_ms, 0.5), "streams_in_a_pass": BATCH, "frames_seen": 64}
        )
    report("decode", rows, save=flags.parse_args().save, **ratios)


if __name__ == "__main__":
    main()
