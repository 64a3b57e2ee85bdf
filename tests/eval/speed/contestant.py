"""A contestant and a clock for tests of the arithmetic around a measurement: what they take is prescribed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vigil.eval.speed.machine import Clock


class Prescribed:
    """Notes what it is asked for; its arithmetic is 1e9 for a frame, 2e9 for a prefill, its memory 4e9 bytes."""

    tokens_per_frame = 2.5

    def __init__(self, name: str = "vigil") -> None:
        self.name = name
        self.frame_px = (4, 6)
        self.asked: list[tuple[str, int]] = []

    def resize(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image_HWC[:4, :6]

    def encode(self, frames_FHWC: Tensor) -> Tensor:
        self.asked.append(("encode", len(frames_FHWC)))
        return torch.zeros(len(frames_FHWC), 1)

    def prefill(self, features: Tensor, reply_tokens: int) -> int:
        self.asked.append(("prefill", reply_tokens))
        return 0

    def say(self, token: int) -> int:
        self.asked.append(("say", token))
        return 0

    def encode_flops(self, num_frames: int) -> float:
        return 1e9 * num_frames

    def prefill_flops(self, num_frames: int) -> float:
        return 2e9

    def step_bytes(self) -> float:
        return 4e9


def prescribe(monkeypatch: pytest.MonkeyPatch, seconds: Iterator[float]) -> list[float]:
    """Let each timed piece of work take the next of these times; returns those that were taken."""
    taken: list[float] = []

    def time_s(self: Clock, work: Callable[[], object]) -> float:
        work()
        taken.append(next(seconds))
        return taken[-1]

    monkeypatch.setattr(Clock, "time_s", time_s)
    return taken
