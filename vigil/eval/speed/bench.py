"""One run: what the parts share, in which order they go, and what is kept of a run that is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from vigil.eval.speed import contestants, qwen
from vigil.eval.speed.contestants import Contestant, Ours
from vigil.eval.speed.machine import Clock, Rates
from vigil.eval.speed.scales import SpeedScale
from vigil.model import VideoModel, load

if TYPE_CHECKING:
    from vigil.eval.speed.offline import Offline

Made = TypeVar("Made")
Note = Callable[[str], None]
"""Told what is being measured, in a few words."""


@dataclass
class Bench:
    """The machine, and the contestants, each made when it is first needed and kept."""

    scale: SpeedScale
    device: torch.device
    rates: Rates
    note: Note = lambda text: None
    offline: dict[tuple[str, int], Offline] = field(default_factory=dict)
    """What was measured offline, by name and number of frames: parts share it."""
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        """The clock of this device."""
        return Clock(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        found: torch.dtype = getattr(torch, self.scale.dtype)
        return found

    def vigil(self) -> Ours:
        """The model with two channels."""
        return self._make("vigil", lambda: contestants.ours(self.scale, self.device))

    def twin(self) -> Ours:
        """Its decoder-only twin."""
        return self._make("twin", lambda: contestants.twin(self.scale, self.device))

    def qwen(self, name: str, frame_px: tuple[int, int]) -> Contestant | None:
        """Qwen2.5-VL at one size of frames; None where transformers is missing: `qwen.why_not`."""
        if qwen.why_not():
            return None
        model = self._make("qwen", lambda: qwen.model_of(self.scale.qwen, self.device, self.dtype))
        num_text = len(self.vigil().ids(0))
        return qwen.Qwen(model, self.scale.qwen, frame_px, name=name, num_text=num_text)

    def live_model(self) -> VideoModel:
        """The model of the live streams."""
        if self.scale.live_model == "own":
            return self.vigil().model
        return self._make("nano", lambda: load("nano", device=str(self.device)))

    def _make(self, name: str, make: Callable[[], Made]) -> Made:
        if name not in self._made:
            self.note(f"making {name}")
            self._made[name] = make()
        made: Made = self._made[name]
        return made
