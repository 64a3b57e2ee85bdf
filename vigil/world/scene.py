"""A scene: everything that happens in one procedural video, as a pure function of (split, seed, config).

Pictures (`render`), words (`captions`) and training labels (`labels`) are derived from it and from nothing else. Frame
i stands at i / fps seconds. No frame holds more than one change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from vigil.errors import ConfigError, DataError
from vigil.world.camera import Footage, film
from vigil.world.chance import Change, Draw, Split, generator
from vigil.world.config import WorldConfig
from vigil.world.objects import play
from vigil.world.panel import Panel, hang, unfold
from vigil.world.stage import Stage

__all__ = [
    "Change",
    "Footage",
    "Panel",
    "Scene",
    "Split",
    "Stage",
    "WorldConfig",
    "panel_scene",
    "sample_scene",
    "scene_from_id",
]

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One video before it is drawn."""

    split: Split
    seed: int
    config: WorldConfig = field(repr=False)
    num_frames: int
    changes: tuple[Change, ...]
    """In order of frame, at most one per frame, none in frame 0."""
    distractors: tuple[str, ...]
    """Things that could have appeared but never do, such as "cat" or "blue square"; only on the stage."""
    stage: Stage | None = field(default=None, repr=False)
    """What there is to see in a scene of the objects family."""
    footage: Footage | None = field(default=None, repr=False)
    """What there is to see in a scene of the camera family."""
    panels: tuple[Panel, ...] | None = field(default=None, repr=False)
    """What there is to see in each frame of a scene of the panel family."""

    @property
    def id(self) -> str:
        """Key of the scene, such as "world:train:17"; with the config it is the whole scene."""
        return f"world:{self.split}:{self.seed}"

    @property
    def family(self) -> Literal["objects", "camera", "panel"]:
        """Which kind of scene this is."""
        if self.panels is not None:
            return "panel"
        return "camera" if self.stage is None else "objects"

    @property
    def fps(self) -> float:
        """Frames per second (Hz)."""
        return self.config.fps

    @property
    def duration_s(self) -> float:
        """Frames divided by frames per second (s)."""
        return self.num_frames / self.config.fps

    def time_s(self, frame: int) -> float:
        """When a frame is shown (s)."""
        return frame / self.config.fps


def sample_scene(split: Split, seed: int, *, config: WorldConfig | None = None) -> Scene:
    """Draw the scene of this split and seed.

    Raises:
        ConfigError: an unknown split, or a negative seed.
    """
    if split not in SPLITS or seed < 0:
        raise ConfigError(f"a scene needs a split of {SPLITS} and a seed of 0 or more, got {split!r}, {seed}.")
    config = config or WorldConfig()
    draw = Draw(generator(split, seed, purpose=0))
    shortest, longest = (round(limit_s * config.fps) for limit_s in config.duration_s)
    num_frames = draw.between(shortest, longest)
    is_camera = draw.chance(0.5) if config.family == "mixed" else config.family == "camera"
    stage = footage = panels = None
    distractors: tuple[str, ...] = ()
    if config.family == "panel":
        panels, changes = hang(draw, num_frames, config.event_gap)
    elif is_camera:
        footage, changes = film(draw, num_frames, config.event_gap, is_lopsided=config.lopsided)
    else:
        held_out = config.held_out and split == "test"
        stage, changes, distractors = play(draw, num_frames, config=config, held_out=held_out)
    return Scene(
        split=split,
        seed=seed,
        config=config,
        num_frames=num_frames,
        changes=changes,
        distractors=distractors,
        stage=stage,
        footage=footage,
        panels=panels,
    )


def panel_scene(
    first: Panel,
    changes: Sequence[Change] = (),
    *,
    num_frames: int,
    split: Split = "test",
    seed: int = 0,
    config: WorldConfig | None = None,
) -> Scene:
    """Build a scene of the panel family by hand; split and seed name its noise only.

    Scenes that differ only in changes from frame c on have the same pictures up to frame c, so that a change may be
    decided upon while the video plays.

    Raises:
        ConfigError: the changes are not in order, one per frame from frame 1 on, or one changes nothing.
    """
    return Scene(
        split=split,
        seed=seed,
        config=config or WorldConfig(family="panel"),
        num_frames=num_frames,
        changes=tuple(changes),
        distractors=(),
        panels=unfold(first, changes, num_frames),
    )


def scene_from_id(scene_id: str, *, config: WorldConfig | None = None) -> Scene:
    """Draw the scene that an id such as "world:train:17" names.

    Raises:
        DataError: the text is not such an id.
    """
    parts = scene_id.split(":")
    if len(parts) == 3 and parts[0] == "world" and parts[2].isdecimal():
        for split in SPLITS:
            if split == parts[1]:
                return sample_scene(split, int(parts[2]), config=config)
    raise DataError(f'{scene_id!r} is no scene. Write "world:SPLIT:SEED", such as "world:train:17".')
