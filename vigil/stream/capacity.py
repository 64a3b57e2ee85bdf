"""What a session may take of a machine's memory, reckoned before it is let in."""

from __future__ import annotations

import os

import torch

from vigil.config import StreamConfig
from vigil.model.model import VideoModel
from vigil.stream.budget import budget_of


def lane_bytes(model: VideoModel, stream: StreamConfig) -> int:
    """Memory that both lanes of one session take at most."""
    stream, text, size = stream.settled(model.config), model.config.text, model.dtype.itemsize
    layers = text.num_layers - len(text.cross_layers)
    entries = stream.text_tokens
    if model.config.fusion == "decoder-only":
        entries += stream.memory_frames * model.config.vision.tokens_per_frame
    words = 2 * layers * entries * text.num_kv_heads * text.head_dim * size
    return words + (budget_of(model.config, stream, bytes_per_number=size).num_bytes if text.cross_layers else 0)


def free_bytes(device: torch.device) -> int:
    """Memory that is free now on a device, or in the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
