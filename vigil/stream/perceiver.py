"""The perception path of one stream: frames in, projected keys and values out. It never looks at text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vigil.model.model import VideoModel, Written
from vigil.model.vision import preprocess
from vigil.types import Frame


@dataclass(frozen=True, slots=True)
class Perceived:
    """A frame that has become keys and values, and waits for its place in the text."""

    index: int
    """0, 1, 2, ... over the frames received."""
    time_s: float
    arrived_s: float
    """When it came in, on the run clock."""
    projected: Written
    """Per cross layer [1, K, P, H], not yet rotated: the position is known only when the frame is taken in."""


class Perceiver:
    """Encodes the frames of one stream in order, keeping what the encoder keeps of earlier ones."""

    def __init__(self, model: VideoModel) -> None:
        self._model = model
        self._state: Tensor | None = None

    @torch.inference_mode()
    def perceive(self, index: int, frame: Frame, *, arrived_s: float | None = None) -> Perceived:
        """Pre-process, encode, pool and project one frame.

        Raises:
            ShapeError: the image is not uint8 [H, W, 3].
        """
        model = self._model
        pixels = preprocess(frame.image, model.config.vision).to(model.device)
        features_FPD, self._state = model.encode_frames(pixels[None], self._state)
        return Perceived(
            index, frame.time_s, frame.time_s if arrived_s is None else arrived_s, model.project_frames(features_FPD)
        )
