"""The stages of training, one function each: a plain call that returns a frozen config.

nano goes through six: it learns to see (alignment of vision tokens with word embeddings), to look for what a question
names (grounding), to answer about videos of up to a minute (offline), to speak in time (real time), to keep it up
(long) and to keep quiet (settle). A large model goes through the four of arXiv 2606.07639: alignment, temporal,
offline_sft, realtime_sft; they fit a model of any size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from vigil.config import ModelConfig
from vigil.data.ablations import Revisions
from vigil.data.synthesize import SynthConfig
from vigil.errors import ConfigError
from vigil.train.loss import LossConfig
from vigil.world.scene import WorldConfig

HARD = ("watch", "alert", "alert_change", "describe", "where", "times", "narrate")
SILENCE_WEIGHTED = LossConfig(kind="silence", silence_weight=0.3, normalise="weights")
TRAINED_ROLES = tuple((name, 2 * weight if name in HARD else weight) for name, weight in SynthConfig().roles)
"""Roles as in evaluation, but those that were learnt worst are asked about twice as often."""
SETTLED_ROLES = tuple((name, 3 * weight if name == "alert" else weight) for name, weight in TRAINED_ROLES)
"""At last, most requests are for a named thing, since one false alarm in a minute of other things spoils a request."""
SELF_LAYERS = "decoder.layers.(self)"
"""In `StageConfig.frozen`: all layers of the decoder that do not read frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """Shares of a stage's samples; only their ratios count."""

    text: float = 0.0
    image: float = 0.0
    video: float = 1.0

    def __post_init__(self) -> None:
        if min(self.text, self.image, self.video) < 0 or self.text + self.image + self.video <= 0:
            raise ConfigError(f"shares must not be negative nor all 0, got {self.text}, {self.image}, {self.video}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage. Change a copy with `dataclasses.replace`."""

    name: str
    steps: int
    world: WorldConfig = field(default_factory=WorldConfig)
    panel_share: float = 0.0
    """Share of the videos drawn from the world that are panels, whatever family `world` names."""
    synth: SynthConfig = field(default_factory=SynthConfig)
    frames: tuple[int, int] = (6, 18)
    """Fewest and most frames of a video; all videos that a step draws from the world have the same number."""
    fps: float = 1.0
    """Frames per second at which video files are read (Hz); a real-time record brings its own rate."""
    mixture: Mixture = Mixture()
    """What the samples of files are drawn from."""
    videos_per_step: int = 8
    """Videos, images or texts of one step, over all processes."""
    tokens_per_s: tuple[float, float] = (2.0, 6.0)
    """Range of the speaking pace, drawn for each conversation."""
    jitter: float = 0.25
    """Share of conversations in which frames may arrive a token earlier."""
    revisions: Revisions = "kept"
    """What is learnt of replies after the first of a turn (`vigil.data.ablations`); of the world's videos only."""
    language_weight: float = 1.0
    """0 trains the vision encoder alone, on what is in each cell."""
    labels_weight: float = 0.2
    """Weight of the auxiliary loss on what is in each cell."""
    loss: LossConfig = SILENCE_WEIGHTED
    frozen: tuple[str, ...] = ()
    """Prefixes of parameter names that this stage leaves as they are; `SELF_LAYERS` stands for many."""
    lr: float = 2e-3
    """Top learning rate of AdamW."""
    muon_lr: float = 0.02
    """Top learning rate of Muon (nano's own stages)."""
    warmup: int = 50
    """Steps of linear warm-up."""
    decay: Literal["linear", "cosine"] = "linear"
    """How the learning rate falls to zero."""
    decay_from: float = 0.5
    """From this share of the steps on, the learning rate falls; a cosine falls from the end of the warm-up."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.videos_per_step < 1:
            raise ConfigError(f"a stage wants steps and videos, got {self.steps} and {self.videos_per_step}.")
        if self.revisions not in get_args(Revisions):
            raise ConfigError(f"revisions must be one of {', '.join(get_args(Revisions))}, got {self.revisions!r}.")
        if not 1 <= self.frames[0] <= self.frames[1]:
            raise ConfigError(f"frames must rise from 1 or more, got {self.frames}.")
        if not 0 <= self.decay_from <= 1 or not 0 <= self.panel_share <= 1:
            raise ConfigError(
                f"decay_from and panel_share must lie in [0, 1], got {self.decay_from} and {self.panel_share}."
            )
        if self.fps <= 0 or self.lr <= 0:
            raise ConfigError(f"fps and lr must be above 0, got {self.fps} and {self.lr}.")

    def freezes(self, name: str, config: ModelConfig) -> bool:
        """Whether this stage leaves the parameter of that name as it is."""
        if name.startswith(tuple(prefix for prefix in self.frozen if prefix != SELF_LAYERS)):
            return True
        parts = name.split(".")
        is_layer = parts[:2] == ["decoder", "layers"]
        return SELF_LAYERS in self.frozen and is_layer and int(parts[2]) not in config.text.cross_layers


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


def offline(steps: int = 1200) -> StageConfig:
    """Learn to answer about whole videos of up to a minute; the checkpoint before real-time training."""
    return StageConfig(
        name="offline",
        steps=steps,
        synth=SynthConfig(offline_share=1.0),
        panel_share=0.1,
        frames=(6, 60),
        videos_per_step=4,
        decay_from=0.7,
        seed=3,
    )


def realtime(steps: int = 4000) -> StageConfig:
    """Learn to speak in time: silence, revision, updates and alerts while the video plays."""
    return StageConfig(
        name="realtime",
        steps=steps,
        synth=SynthConfig(offline_share=0.2, roles=TRAINED_ROLES),
        panel_share=0.12,
        frames=(8, 60),
        videos_per_step=4,
        tokens_per_s=(2.0, 10.0),
        decay_from=0.4,
        seed=4,
    )


def long(steps: int = 3000) -> StageConfig:
    """Learn to keep all this up for longer, and to a request when something else happens all the time."""
    return replace(
        realtime(steps),
        name="long",
        world=WorldConfig(lopsided=True),
        frames=(18, 60),
        lr=1.5e-3,
        muon_lr=0.015,
        decay_from=0.3,
        seed=5,
    )


def settle(steps: int = 3000) -> StageConfig:
    """Learn when to keep quiet: silence counts as much as words at last, so that the likelier of the two is said."""
    return replace(
        long(steps),
        name="settle",
        synth=SynthConfig(offline_share=0.2, roles=SETTLED_ROLES),
        loss=replace(SILENCE_WEIGHTED, silence_weight=1.0),
        lr=1e-3,
        muon_lr=0.01,
        decay_from=0.2,
        seed=6,
    )


NANO = (vision, grounding, offline, realtime, long, settle)
"""The stages of the model that ships, in order."""


def alignment(steps: int = 1000) -> StageConfig:
    """Learn what pictures are called: vision encoder, projector and cross layers; the text layers stay as they are."""
    return _paper(
        "alignment",
        steps,
        mixture=Mixture(text=0, image=79, video=21),
        fps=2.0,
        frames=(8, 64),
        lr=2e-5,
        frozen=("decoder.embed_tokens.", "decoder.norm.", "decoder.lm_head.", SELF_LAYERS),
    )


def temporal(steps: int = 1000) -> StageConfig:
    """Learn time, on long videos; everything is trained. The paper names neither rate nor frames: these are ours."""
    return _paper(
        "temporal", steps, mixture=Mixture(text=0, image=26, video=74), fps=1.0, frames=(8, 256), lr=1e-5, frozen=()
    )


def offline_sft(steps: int = 1000) -> StageConfig:
    """Learn to follow instructions about whole videos; everything is trained."""
    return _paper(
        "offline_sft", steps, mixture=Mixture(text=14, image=44, video=42), fps=1.0, frames=(8, 256), lr=1e-5, frozen=()
    )


def realtime_sft(steps: int = 1000) -> StageConfig:
    """Learn to speak in time, on top of the offline model; everything is trained."""
    return _paper(
        "realtime_sft",
        steps,
        mixture=Mixture(text=11, image=29, video=60),
        fps=1.0,
        frames=(1, 256),
        lr=2e-5,
        frozen=(),
    )


def _paper(
    name: str,
    steps: int,
    *,
    mixture: Mixture,
    fps: float,
    frames: tuple[int, int],
    lr: float,
    frozen: tuple[str, ...],
) -> StageConfig:
    """What the four have in common: language alone, AdamW, cosine, a tenth of warm-up, arrival jitter of 0.5.

    Source: arXiv 2606.07639.
    """
    return StageConfig(
        name=name,
        steps=steps,
        fps=fps,
        mixture=mixture,
        frames=frames,
        lr=lr,
        frozen=frozen,
        world=WorldConfig(fps=fps),
        synth=SynthConfig(fps=fps, offline_share=0.15 if name == "realtime_sft" else 1.0),
        videos_per_step=32,
        labels_weight=0.0,
        loss=LossConfig(),
        jitter=1.0,
        warmup=max(1, round(0.1 * steps)),
        decay="cosine",
    )


PAPER = (alignment, temporal, offline_sft, realtime_sft)
"""The stages of the released models, in order."""
