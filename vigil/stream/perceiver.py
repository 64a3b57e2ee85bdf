"""The perception path: frames in, projected keys and values out. It never looks at text.

Axes: B streams, K key/value heads, P vision tokens of a frame, H head channels, I image side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

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


@dataclass(frozen=True, slots=True)
class Glance:
    """One frame of one stream, to be perceived."""

    perceiver: Perceiver
    index: int
    frame: Frame
    arrived_s: float


class Perceiver:
    """Encodes the frames of one stream in order, keeping what the encoder keeps of earlier ones."""

    def __init__(self, model: VideoModel) -> None:
        self._model = model
        self._state: Tensor | None = None

    def perceive(self, index: int, frame: Frame, *, arrived_s: float | None = None) -> Perceived:
        """Pre-process, encode, pool and project one frame.

        Raises:
            ShapeError: the image is not uint8 [H, W, 3].
        """
        (perceived,) = _beside(self._model.device, lambda: [self._perceive(index, frame, arrived_s)])
        return perceived

    @torch.inference_mode()
    def _perceive(self, index: int, frame: Frame, arrived_s: float | None) -> Perceived:
        features_FPD, self._state = self._model.encode_frames(self._pixels(frame)[None], self._state)
        projected = self._model.project_frames(features_FPD)
        return Perceived(index, frame.time_s, frame.time_s if arrived_s is None else arrived_s, projected)

    def _pixels(self, frame: Frame) -> Tensor:
        """Shapes: -> [3, I, I]."""
        return preprocess(frame.image, self._model.config.vision).to(self._model.device)


def perceive_together(model: VideoModel, glances: Sequence[Glance]) -> list[Perceived]:
    """Perceive one frame of each of several streams, in one batch; results in order.

    Streams at their first frame go apart from the others, since they bring no state. What fails changes no state.

    Raises:
        ShapeError: one of the images is not uint8 [H, W, 3].
    """
    return _beside(model.device, lambda: _perceive_together(model, glances))


@torch.inference_mode()
def _perceive_together(model: VideoModel, glances: Sequence[Glance]) -> list[Perceived]:
    pixels = [glance.perceiver._pixels(glance.frame) for glance in glances]
    done: dict[int, tuple[Perceived, Tensor | None]] = {}
    for is_first in (True, False):
        chosen = [i for i, glance in enumerate(glances) if (glance.perceiver._state is None) == is_first]
        if not chosen:
            continue
        states = [glances[i].perceiver._state for i in chosen]
        before = torch.cat([state for state in states if state is not None]) if not is_first else None
        features_BFPD, after = model.encode_frames(torch.stack([pixels[i] for i in chosen])[:, None], before)
        projected = model.project_frames(features_BFPD)
        for row, i in enumerate(chosen):
            glance = glances[i]
            own = Written(tuple(k[row] for k in projected.keys), tuple(v[row] for v in projected.values))
            perceived = Perceived(glance.index, glance.frame.time_s, glance.arrived_s, own)
            done[i] = perceived, None if after is None else after[row : row + 1]
    for i, glance in enumerate(glances):
        glance.perceiver._state = done[i][1]
    return [done[i][0] for i in range(len(glances))]


@lru_cache(maxsize=16)
def _stream_of(device: torch.device) -> torch.cuda.Stream | None:
    """The stream on which a GPU perceives, beside that on which it speaks; None where there are no streams."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None


def _beside(device: torch.device, work: Callable[[], list[Perceived]]) -> list[Perceived]:
    """Do the work on the perception stream, and wait for it in this thread alone: what comes back can be read."""
    stream = _stream_of(device)
    if stream is None:
        return work()
    with torch.cuda.stream(stream):
        done = work()
    stream.synchronize()
    for perceived in done:
        for entries in (*perceived.projected.keys, *perceived.projected.values):
            entries.record_stream(torch.cuda.current_stream(device))
    return done
