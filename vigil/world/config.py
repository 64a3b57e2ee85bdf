"""What scenes of the world are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vigil.errors import ConfigError
from vigil.world.words import NOUNS


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldConfig:
    """What scenes are drawn from. Change a copy with `dataclasses.replace`."""

    family: Literal["objects", "camera", "mixed", "panel"] = "mixed"
    """Nameable things on a stage, nameless footage from a camera, or one of the two per seed; or labelled tiles."""
    fps: float = 1.0
    """Frames per second of video (Hz)."""
    duration_s: tuple[float, float] = (8.0, 18.0)
    """Shortest and longest scene (s); the number of frames is drawn evenly in between."""
    size_px: int = 64
    """Edge of the square picture (px): a multiple of 8, at least 48."""
    num_nouns: int = 16
    """Nouns in use, from the front of `words.NOUNS`; 6, 12, 16, 20 are good steps, `len(NOUNS)` is all."""
    max_objects: int = 3
    """Most things on the stage at one time, 1 to 6."""
    event_gap: tuple[int, int] = (1, 5)
    """Fewest and most frames from one event to the next."""
    lopsided: bool = False
    """True: each piece of footage has its own mix of changes, such as many cuts and hardly anything else."""
    held_out: bool = False
    """True: every test scene on the stage has a colour-shape pair or a layout that training never shows."""

    def __post_init__(self) -> None:
        if self.family not in ("objects", "camera", "mixed", "panel"):
            raise ConfigError(f'family must be "objects", "camera", "mixed" or "panel", got {self.family!r}.')
        if not self.fps > 0:
            raise ConfigError(f"fps must be above 0, got {self.fps}.")
        shortest, longest = self.duration_s
        if not 0 < shortest <= longest or round(shortest * self.fps) < 2:
            raise ConfigError(f"duration_s must rise and give 2 frames at {self.fps} fps, got {self.duration_s}.")
        if self.size_px < 48 or self.size_px % 8:
            raise ConfigError(f"size_px must be a multiple of 8 and at least 48, got {self.size_px}.")
        if not 4 <= self.num_nouns <= len(NOUNS):
            raise ConfigError(f"num_nouns must be 4 to {len(NOUNS)}, got {self.num_nouns}.")
        if not 1 <= self.max_objects <= 6:
            raise ConfigError(f"max_objects must be 1 to 6, got {self.max_objects}.")
        if not 1 <= self.event_gap[0] <= self.event_gap[1]:
            raise ConfigError(f"event_gap must rise from 1 or more, got {self.event_gap}.")
        if self.held_out and self.family in ("camera", "panel"):
            raise ConfigError(f'{self.family} scenes hold nothing out; set held_out=False or family="objects".')

    @property
    def nouns(self) -> tuple[str, ...]:
        """The nouns in use."""
        return NOUNS[: self.num_nouns]
