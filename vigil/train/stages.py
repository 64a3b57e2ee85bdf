"""The stages of training, one function each: a plain call that returns a frozen config.

nano goes through three: it learns to see (alignment of vision tokens with word embeddings), to look for what a question
names (grounding, offline), and to speak in time (real time).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vigil.data.synthesize import SynthConfig
from vigil.errors import ConfigError
from vigil.world.scene import WorldConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage. Change a copy with `dataclasses.replace`."""

    name: str
    steps: int
    world: WorldConfig = field(default_factory=WorldConfig)
    synth: SynthConfig = field(default_factory=SynthConfig)
    frames: tuple[int, int] = (6, 18)
    """Fewest and most frames of a video; all videos of a step have the same number."""
    videos_per_step: int = 8
    """Over all processes."""
    tokens_per_s: tuple[float, float] = (2.0, 6.0)
    """Range of the speaking pace, drawn for each conversation."""
    jitter: float = 0.25
    """Share of conversations in which frames may arrive a token earlier."""
    language_weight: float = 1.0
    """0 trains the vision encoder alone, on what is in each cell."""
    labels_weight: float = 0.2
    """Weight of the auxiliary loss on what is in each cell."""
    silence_weight: float = 0.3
    frozen: tuple[str, ...] = ()
    """Prefixes of parameter names that this stage leaves as they are."""
    lr: float = 2e-3
    """Top learning rate of AdamW."""
    muon_lr: float = 0.02
    warmup: int = 50
    """Steps of linear warm-up."""
    decay_from: float = 0.5
    """From this share of the steps on, the learning rate falls linearly to zero."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.videos_per_step < 1:
            raise ConfigError(f"a stage wants steps and videos, got {self.steps} and {self.videos_per_step}.")
        if not 1 <= self.frames[0] <= self.frames[1]:
            raise ConfigError(f"frames must rise from 1 or more, got {self.frames}.")
        if not 0 <= self.decay_from <= 1:
            raise ConfigError(f"decay_from must lie in [0, 1], got {self.decay_from}.")


def vision(steps: int = 2500) -> StageConfig:
    """Learn to see: cells, instruments and motion, compared with the embeddings of their words."""
    return StageConfig(
        name="vision",
        steps=steps,
        frames=(6, 6),
        videos_per_step=16,
        language_weight=0.0,
        labels_weight=1.0,
        frozen=("decoder.layers.", "decoder.norm."),
        lr=3e-3,
        seed=1,
    )


def grounding(steps: int = 1000) -> StageConfig:
    """Learn to look for what a question names: short clips, questions after the video."""
    return StageConfig(
        name="grounding",
        steps=steps,
        synth=SynthConfig(offline_share=1.0, records_per_video=3),
        frames=(2, 4),
        videos_per_step=16,
        decay_from=0.8,
        seed=2,
    )


def realtime(steps: int = 4000) -> StageConfig:
    """Learn to speak in time: silence, revision, updates and alerts while the video plays."""
    return StageConfig(name="realtime", steps=steps, synth=SynthConfig(offline_share=0.15), seed=3)


NANO = (vision, grounding, realtime)
"""The stages of the model that ships, in order."""
