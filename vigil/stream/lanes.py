"""Which lanes a stream has: frame memory and text for a model with cross-attention, text alone for its twin.

Axes: F frames, P vision tokens of a frame, D channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vigil.config import StreamConfig
from vigil.model.model import VideoModel, Written
from vigil.stream.memory import FrameMemory, TextMemory, turner_of


class FrameQueue:
    """Vision tokens of the decoder-only twin on their way into the text lane, where each frame's placeholder stands.

    The twin has one lane: frames leave it together with the text around them.
    """

    num_bytes = 0
    """Nothing is kept here; a frame's keys and values lie in the text lane."""

    def __init__(self, memory_frames: int) -> None:
        self._waiting: list[Tensor] = []
        self._num_seen = 0
        self._positions: deque[int] = deque(maxlen=memory_frames)

    def __len__(self) -> int:
        """Frames taken in so far."""
        return self._num_seen

    @property
    def positions(self) -> tuple[int, ...]:
        """Rotary positions of the newest frames: those that stay when the text lane is compacted."""
        return tuple(self._positions)

    def take(self, written: Written, positions: Sequence[int], numbers: Sequence[int] | None = None) -> list[int]:
        """Let frames wait for their placeholders; returns nothing, because none goes for them."""
        self._waiting.append(written.keys[0])
        self._num_seen += len(positions)
        self._positions.extend(positions)
        return []

    def move(self, new_position: Callable[[int], int]) -> None:
        """Follow the placeholders to where they stand now."""
        self._positions = deque(map(new_position, self._positions), maxlen=self._positions.maxlen)

    def release(self) -> Tensor | None:
        """The frames that wait, in order; None if there are none. Shapes: -> [F, P, D]."""
        waiting, self._waiting = self._waiting, []
        return torch.cat(waiting) if waiting else None


def lanes_for(
    model: VideoModel, config: StreamConfig, *, text_tokens: int | None = None
) -> tuple[FrameMemory | FrameQueue, TextMemory]:
    """Empty lanes for one stream; `text_tokens` goes before `StreamConfig.text_tokens`.

    The twin's text lane has room for the vision tokens of `StreamConfig.memory_frames` frames besides the text, so that
    both models remember about as much.
    """
    config, text = config.settled(model.config), model.config.text
    room = config.text_tokens if text_tokens is None else text_tokens
    cross = len(text.cross_layers)
    if model.config.fusion == "decoder-only":
        if text_tokens is None:
            room += config.memory_frames * model.config.vision.tokens_per_frame
        return FrameQueue(config.memory_frames), TextMemory(room, num_layers=text.num_layers)
    frames = FrameMemory(config, num_layers=cross, turner=turner_of(model))
    return frames, TextMemory(room, num_layers=text.num_layers - cross)
