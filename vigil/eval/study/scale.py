"""How large a study is: the model, what it is trained on and for how long, how many seeds, what it is scored on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vigil.config import Fusion, ModelConfig, TextConfig, VisionConfig
from vigil.data.synthesize import SynthConfig
from vigil.errors import ConfigError
from vigil.model.interleave import twin_of
from vigil.model.tokens import IMAGE, SILENCE, Tokenizer
from vigil.train import stages
from vigil.train.stages import StageConfig
from vigil.world.config import WorldConfig

ROLES = (
    ("where", 3.0),
    ("present", 2.0),
    ("count", 2.0),
    ("colour", 1.0),
    ("alert", 3.0),
    ("watch", 1.0),
    ("item", 3.0),
    ("recital", 3.0),
)
"""What is asked in real time: state questions whose answer changes, requests that wait, and recitals for L5."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyScale:
    """One size of the studies. Change a copy with `dataclasses.replace`."""

    name: str
    width: int = 64
    """Channels of decoder and encoder."""
    num_layers: int = 4
    cross_layers: tuple[int, ...] = (1, 3)
    """Layers that read frames; in the twin they are self-attention layers."""
    mlp_ratio: int = 3
    image_px: int = 48
    patch_px: int = 16
    channels: tuple[int, int] = (16, 32)
    vocab_size: int = 640
    world: WorldConfig = field(
        default_factory=lambda: WorldConfig(family="objects", size_px=48, num_nouns=4, max_objects=1, event_gap=(2, 4))
    )
    panel_share: float = 0.5
    """Share of the training videos that are panels, which L5 is about."""
    vision_steps: int = 400
    offline_steps: int = 250
    realtime_steps: int = 500
    frames: tuple[int, int] = (5, 9)
    """Frames of a training video in real time; half as many offline."""
    tokens_per_s: tuple[float, float] = (3.0, 6.0)
    """Speaking pace in training."""
    videos_per_step: int = 8
    warmup: int = 30
    memory_frames: int = 16
    """Frames that a stream remembers: about as many as a training video has."""
    text_tokens: int = 128
    """Text tokens that it remembers, for the same reason."""
    seeds: int = 3
    scenes: int = 90
    """Held-out scenes on which behaviour is measured; half of them are panels."""
    scene_s: float = 12.0
    """Length of such a scene (s)."""
    offline_videos: int = 120
    """Held-out videos after which questions are asked."""
    l5_trials: int = 40
    """Trials of each kind."""
    forced_tokens: int = 128
    """Tokens over which the speed of speech is measured."""
    timed_frames: int = 256
    """Frames before the question whose first token is timed."""
    lengths_s: tuple[float, ...] = (60.0, 600.0, 3600.0)
    """Lengths of stream in table A2 (s)."""
    length_scenes: int = 2
    """Streams of each length."""
    replicates: int = 1000
    """Resamples of each interval."""

    def __post_init__(self) -> None:
        for name in ("vision_steps", "offline_steps", "realtime_steps", "seeds", "scenes", "offline_videos"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")

    def model(self, tokenizer: Tokenizer, fusion: Fusion) -> ModelConfig:
        """The network, or its decoder-only twin."""
        config = ModelConfig(
            vision=VisionConfig(
                kind="conv",
                image_px=self.image_px,
                fit="stretch",
                patch_px=self.patch_px,
                width=self.width,
                channels=self.channels,
                pooling="none",
                stride=1,
            ),
            text=TextConfig(
                vocab_size=tokenizer.vocab_size,
                num_extra_embeddings=1,
                width=self.width,
                num_layers=self.num_layers,
                cross_layers=self.cross_layers,
                num_heads=4,
                num_kv_heads=4,
                mlp_width=self.mlp_ratio * self.width,
                rope_theta=10_000.0,
                qk_norm=True,
                tie_embeddings=True,
                gate_start=1.0,
            ),
            before_first_frame="null_key",
            image_token_id=tokenizer.special(IMAGE),
            silence_token_id=tokenizer.special(SILENCE),
        )
        return config if fusion == "cross-attention" else twin_of(config)

    def base(self, seed: int) -> tuple[StageConfig, StageConfig]:
        """What every arm begins with: learn to see, then to answer after the video."""
        short = (max(2, self.frames[0] // 2), max(2, self.frames[1] // 2))
        see = replace(stages.vision(self.vision_steps), frames=(4, 4), videos_per_step=2 * self.videos_per_step)
        ask = replace(
            stages.grounding(self.offline_steps),
            name="offline",
            frames=short,
            videos_per_step=self.videos_per_step,
            synth=SynthConfig(offline_share=1.0, records_per_video=4),
            decay_from=0.6,
        )
        return self._own(see, seed), self._own(ask, seed)

    def realtime(self, seed: int) -> StageConfig:
        """Learn to speak in time, without any question after the video. Arms change a copy of it."""
        stage = replace(
            stages.realtime(self.realtime_steps),
            frames=self.frames,
            videos_per_step=self.videos_per_step,
            tokens_per_s=self.tokens_per_s,
            synth=SynthConfig(offline_share=0.0, records_per_video=4, roles=ROLES),
        )
        return self._own(stage, seed)

    def _own(self, stage: StageConfig, seed: int) -> StageConfig:
        world, panels = self.world, self.panel_share
        return replace(stage, world=world, panel_share=panels, warmup=self.warmup, seed=stage.seed + 1000 * (seed + 1))

    @classmethod
    def nano(cls) -> StudyScale:
        """Under three minutes a run on one core; all four studies in about 45 minutes on two."""
        return cls(name="nano")

    @classmethod
    def tiny(cls) -> StudyScale:
        """A few steps of everything: to see that it works, not to learn from."""
        return cls(
            name="tiny",
            vision_steps=4,
            offline_steps=4,
            realtime_steps=6,
            videos_per_step=2,
            seeds=2,
            scenes=6,
            scene_s=5.0,
            offline_videos=4,
            l5_trials=2,
            forced_tokens=8,
            timed_frames=8,
            lengths_s=(6.0, 12.0, 24.0),
            length_scenes=1,
            replicates=50,
        )

    @classmethod
    def gpu(cls) -> StudyScale:
        """Eight million parameters, all nouns and larger pictures, for one accelerator."""
        return cls(
            name="gpu",
            width=256,
            num_layers=8,
            cross_layers=(2, 4, 6),
            image_px=96,
            channels=(48, 96),
            vocab_size=1024,
            world=WorldConfig(family="mixed", size_px=96, num_nouns=20, max_objects=3),
            vision_steps=5000,
            offline_steps=5000,
            realtime_steps=20_000,
            frames=(6, 24),
            videos_per_step=64,
            warmup=200,
            seeds=5,
            scenes=300,
            scene_s=60.0,
            offline_videos=1000,
            l5_trials=200,
            length_scenes=8,
            replicates=2000,
        )


SCALES = {"nano": StudyScale.nano, "tiny": StudyScale.tiny, "gpu": StudyScale.gpu}
