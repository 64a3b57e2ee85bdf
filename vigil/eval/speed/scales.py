"""How large a run is: the models' sizes, and how much of each thing is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from vigil.config import ModelConfig, TextConfig, VisionConfig, moss_11b

ASPECT = 16 / 9
"""Width by height of the videos."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QwenSize:
    """What of Qwen2.5-VL is scaled; its form is that of `transformers`."""

    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    mlp_width: int
    rope_sections: tuple[int, int, int]
    """Rotary channel pairs of time, height and width."""
    vision_width: int
    vision_layers: int
    vision_heads: int
    vision_mlp_width: int
    full_layers: tuple[int, ...]
    """Layers of the vision tower that look at whole frames; the others at windows."""
    frame_px: tuple[int, int]
    """Height and width to which a 1080p frame is resized in the paper's protocol."""

    @property
    def vocab_size(self) -> int:
        """Rows of the input table and of the head; small ones for a small model."""
        return 152_064 if self.width > 1024 else 1009


QWEN_7B = QwenSize(
    width=3584, num_layers=28, num_heads=28, num_kv_heads=4, mlp_width=18_944, rope_sections=(16, 24, 24),
    vision_width=1280, vision_layers=32, vision_heads=16, vision_mlp_width=3420, full_layers=(7, 15, 23, 31),
    frame_px=(560, 1008),
)  # fmt: skip
"""Qwen2.5-VL-7B. Its video processor brings 256 frames of 1080p to 560 x 1008 px: 360 vision tokens a frame."""
QWEN_TINY = QwenSize(
    width=832, num_layers=8, num_heads=13, num_kv_heads=1, mlp_width=4400, rope_sections=(8, 12, 12),
    vision_width=256, vision_layers=4, vision_heads=4, vision_mlp_width=688, full_layers=(3,), frame_px=(224, 392),
)  # fmt: skip
"""Beside `tiny_config` what 7B is beside 11B, in parameters and in vision tokens (56 against 17 a frame)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedScale:
    """One scale of `vigil bench`. Change a copy with `dataclasses.replace`."""

    name: str
    make_config: Callable[[], ModelConfig]
    """The model with two channels; its twin follows from it."""
    qwen: QwenSize
    dtype: Literal["float32", "bfloat16"]
    frames: int = 256
    """Frames of the offline protocols, and seen before the question in the streaming one."""
    fewer_frames: tuple[int, ...] = (16, 64)
    """Measured too, for the pictures."""
    reply_tokens: int = 32
    encode_batch: int = 8
    """Frames in one batch of a vision encoder."""
    stream_frames: tuple[int, ...] = (16, 64, 256, 1024)
    """Frames of stream after which a spoken token is timed; the first and the last give the ratio."""
    window: int = 64
    """Frames kept in memory where there is a window."""
    rounds: int = 12
    """How often each setting is timed, in turn with the others."""
    few_seen: int = 16
    """Frames seen before the question, to compare with `frames`."""
    gap_fps: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    gap_pace: float = 0.0
    """Tokens per second of the one stream whose gaps are measured; 0: as fast as it can."""
    gap_tokens: int = 120
    live_model: Literal["nano", "own"] = "nano"
    """Which model the live streams run on."""
    live_fps: tuple[float, ...] = (8.0, 16.0, 32.0)
    live_streams: tuple[int, ...] = (4, 8, 16)
    live_pace: float = 4.0
    """Tokens per second of each of many streams; a single one speaks at 20."""
    live_seconds: float = 5.0


def tiny_config() -> ModelConfig:
    """The 11B form scaled down: 12 layers, five query heads to a key/value head, 17 vision tokens of a 224 px frame.

    One layer in 12 reads frames, not one in five. A GPU reads a question as fast as it reads the weights; a CPU is
    bound by arithmetic there, of which attention has a larger share the narrower a model is.
    """
    vision = VisionConfig(
        image_px=224, width=256, num_heads=4, mlp_width=1024, num_local_layers=4, num_global_layers=1,
        feature_layers=(1, 3),
    )  # fmt: skip
    text = TextConfig(
        vocab_size=1009, num_extra_embeddings=1, width=960, num_layers=12, cross_layers=(5,), num_heads=15,
        num_kv_heads=3, mlp_width=3360, rope_theta=10_000.0, gate_start=0.5,
    )  # fmt: skip
    return ModelConfig(vision=vision, text=text)


TINY = SpeedScale(name="tiny", make_config=tiny_config, qwen=QWEN_TINY, dtype="float32")
"""Minutes on two CPU cores."""
FULL = SpeedScale(
    name="11b",
    make_config=moss_11b,
    qwen=QWEN_7B,
    dtype="bfloat16",
    reply_tokens=128,
    encode_batch=32,
    rounds=40,
    gap_tokens=300,
    live_model="own",
    live_fps=(8.0, 32.0, 64.0, 128.0),
    live_streams=(8, 16, 32, 48, 64),
    live_pace=10.0,
    live_seconds=10.0,
)
"""The released models' size, for one large GPU."""
SCALES = {"tiny": TINY, "11b": FULL}


def matched_px(tokens_per_frame: int) -> tuple[int, int]:
    """Height and width at which Qwen2.5-VL makes about so many vision tokens of a 16:9 frame.

    It makes one token of 28 x 28 px of two frames.
    """
    rows = max(1, round((2 * tokens_per_frame / ASPECT) ** 0.5))
    return 28 * rows, 28 * max(1, round(2 * tokens_per_frame / rows))


def with_ids(config: ModelConfig, image_token_id: int, silence_token_id: int | None) -> ModelConfig:
    """A config that speaks the grammar of another model's tokenizer."""
    return replace(config, image_token_id=image_token_id, silence_token_id=silence_token_id)
