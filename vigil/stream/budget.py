"""What remembering costs, in bytes: reckoned from the settings, before anything runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vigil.config import ModelConfig, Storage, StreamConfig

SCALE_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the frame memory of one stream costs, and how far back it reaches."""

    entry_bytes: int
    """One entry: a frame, or several that became one."""
    num_bytes: int
    """All that is held, the room to slide in included."""
    frames_reached: float
    """Frames, counted back from now, of which something is surely left. Key frames have no such limit (`math.inf`),
    and no promise: what differs stays."""
    bytes_per_frame: float
    """Bytes of entries for each frame that is reached; 0 where there is no limit."""
    bytes_per_hour: float
    """Bytes of entries to reach an hour further back at `StreamConfig.fps`; 0 where there is no limit."""


def entry_bytes(model: ModelConfig, storage: Storage = "model", *, bytes_per_number: int = 2) -> int:
    """Frame memory that one entry takes; `bytes_per_number` is that of the model's weights.

    At 11B: 3,309,568 bytes in bf16, 1,680,640 in 8 bits with the scales (2 bytes per token, head and layer).
    """
    heads = 2 * len(model.text.cross_layers) * model.vision.tokens_per_frame * model.text.num_kv_heads
    dim = model.text.head_dim
    return heads * (dim * bytes_per_number if storage == "model" else dim + SCALE_BYTES)


def budget_of(model: ModelConfig, stream: StreamConfig, *, bytes_per_number: int = 2) -> Budget:
    """What a stream with these settings costs."""
    stream = stream.settled(model)
    each = entry_bytes(model, stream.frame_storage, bytes_per_number=bytes_per_number)
    entries = stream.memory_frames
    slide = entries // 4 if stream.retention == "window" else 0
    frames: float = entries
    if stream.retention == "keyframes":
        frames = math.inf
    elif stream.retention in ("pool", "merge"):
        # right after room was made for an eighth of the memory, with the least of groups that there can be
        old = entries - entries // 8 - stream.num_recent - (stream.pool_frames - 1)
        frames = stream.num_recent + max(0, old) * stream.pool_frames
    joined = 1 / stream.pool_frames
    per_hour = {"window": 1.0, "keyframes": 0.0, "pool": joined, "merge": joined}[stream.retention]
    return Budget(
        entry_bytes=each,
        num_bytes=each * (entries + slide + 1),
        frames_reached=frames,
        bytes_per_frame=each * entries / frames,
        bytes_per_hour=per_hour * each * 3600 * stream.fps,
    )
