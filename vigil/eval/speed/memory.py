"""Bytes that one frame takes in the frame memory: measured on the run's model, and reckoned for the released size."""

from __future__ import annotations

import torch

from vigil.config import StreamConfig, moss_11b
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.figures import Figure, Part, Row
from vigil.model.model import VideoModel
from vigil.stream.budget import budget_of, entry_bytes
from vigil.stream.lanes import lanes_for
from vigil.stream.memory import FrameMemory

SMALL = StreamConfig(frame_storage="int8", retention="pool", memory_frames=256, recent_frames=32)
"""Eight bits, and all but the newest 32 entries pooled by four."""


def memory(bench: Bench) -> Part:
    """Measure and reckon."""
    model, size = bench.vigil().model, bench.dtype.itemsize
    plain = StreamConfig(memory_frames=8)
    small = budget_of(model.config, SMALL, bytes_per_number=size)
    released, released_small = entry_bytes(moss_11b()), budget_of(moss_11b(), SMALL)
    where = f"{bench.scale.name} in {bench.scale.dtype}, {model.config.vision.tokens_per_frame} vision tokens"
    pooled = f"int8 with scales, {SMALL.memory_frames} entries, all but {SMALL.num_recent} of them 4 frames each"
    figures = (
        Figure("bytes_per_frame", held_per_frame(model, plain), f"{where}, measured on a full window"),
        Figure("bytes_per_frame_small", small.bytes_per_frame, f"{where}, {pooled}; reckoned"),
        Figure("bytes_per_frame_11b", released, "11b in bfloat16, 101 vision tokens; reckoned"),
        Figure("bytes_per_frame_small_11b", released_small.bytes_per_frame, f"11b, {pooled}; reckoned"),
    )
    rows: list[Row] = [
        {"who": "vigil", "memory": "plain", "bytes_per_frame": figures[0].value, "of_plain": 1.0},
        {"who": "vigil", "memory": "int8, pooled", "bytes_per_frame": small.bytes_per_frame,
         "of_plain": small.bytes_per_frame / entry_bytes(model.config, bytes_per_number=size)},
        {"who": "twin", "memory": "plain", "bytes_per_frame": bench.twin().model.config.kv_bytes_per_frame * size // 2},
    ]  # fmt: skip
    return Part(figures, tuple(rows))


def held_per_frame(model: VideoModel, stream: StreamConfig) -> int:
    """Bytes that the lane holds for each entry that it has room for, once it is full and slides."""
    vision, text = model.config.vision, model.config.text
    frames, _ = lanes_for(model, stream)
    assert isinstance(frames, FrameMemory)
    with torch.inference_mode():
        features = torch.zeros(1, vision.tokens_per_frame, text.width, dtype=model.dtype, device=model.device)
        written = model.write_frames(features, torch.zeros(1, dtype=torch.long, device=model.device))
        for _ in range(stream.memory_frames + 1):
            frames.take(written, [0])
    tokens = sum(keys.shape[1] for keys, _ in frames.buffers()[:1])
    return frames.num_bytes * vision.tokens_per_frame // tokens
