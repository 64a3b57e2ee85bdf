"""Streams for measuring: a talker that does not stop, a mouth that is opened by hand, and a camera of noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vigil.model import VideoModel
from vigil.stream.policy import Sampler, SlotChoice

Image = NDArray[np.uint8]


class Chatter(Sampler):
    """Never ends its answer by itself, and says only what can be seen: of those tokens, the most likely.

    Random weights might say spaces, or halves of characters, for ever.
    """

    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        tokenizer = model.tokenizer
        assert tokenizer is not None
        words = set(range(min(tokenizer.vocab_size, model.config.text.vocab_size))) - set(tokenizer.control_ids)
        texts = {token: tokenizer.decode([token]) for token in sorted(words)}
        visible = [token for token, text in texts.items() if text.strip() and "\ufffd" not in text]
        self._visible = torch.tensor(visible, device=model.device)

    @property
    def is_greedy(self) -> bool:
        """The first word of an answer is picked here too."""
        return False

    def pick(self, logits_V: Tensor, said: list[int]) -> int:
        """The most likely of the tokens that can be seen. Shapes: [V] -> a token."""
        return int(self._visible[logits_V[self._visible].argmax()])


@dataclass
class Mouth:
    """A policy that speaks when it has been opened."""

    is_open: bool = False

    def speaks(self, slot: SlotChoice) -> bool:
        """True to speak now."""
        return self.is_open


def camera(fps: float, seconds: float, *, seed: int = 0) -> Iterator[tuple[Image, float]]:
    """Noise of 640 x 360 px, as a camera with a clock would give it."""
    random = np.random.default_rng(seed)
    pictures = [random.integers(0, 256, (360, 640, 3), dtype=np.uint8) for _ in range(4)]
    return ((pictures[n % 4], n / fps) for n in range(int(fps * seconds)))
