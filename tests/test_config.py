"""Settings: the presets are the published numbers, and impossible values are refused with the values in the message."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from vigil.config import ModelConfig, SamplingConfig, StreamConfig, TextConfig, VisionConfig, moss_11b, nano
from vigil.errors import ConfigError
from vigil.model import VideoModel


def test_the_11b_preset_is_the_published_model() -> None:
    config = moss_11b()
    assert (config.vision.grid, config.vision.feature_dim, config.vision.tokens_per_frame) == (40, 7680, 101)
    assert config.kv_bytes_per_frame == 101 * 32 * 1024, "32 KiB a vision token"
    assert config.text.head_dim == 128
    with torch.device("meta"):
        model = VideoModel(config)
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(10.67e9, rel=1e-3)


def test_nano_is_small_and_sees_sixteen_tokens_a_frame() -> None:
    config = nano(vocab_size=2048, image_token_id=2048, silence_token_id=4)
    assert config.vision.tokens_per_frame == 16
    model = VideoModel(config)
    assert 1e6 < sum(weight.numel() for weight in model.parameters()) < 3e6


@pytest.mark.parametrize(
    ("pooling", "stride", "tokens"),
    [
        ("average", 2, 5),
        ("max", 2, 5),
        ("channelFusion", 2, 5),
        ("bilinear", 2, 10),
        ("none", 2, 26),
        ("average", 5, 2),
    ],
)
def test_vision_tokens_of_a_5x5_grid(pooling: str, stride: int, tokens: int) -> None:
    config = VisionConfig(image_px=70, pooling=pooling, stride=stride)  # type: ignore[arg-type]
    assert config.tokens_per_frame == tokens


IMPOSSIBLE: dict[str, tuple[Callable[[], object], str]] = {
    "patches": (lambda: VisionConfig(image_px=100), "image_px must be a multiple of patch_px, got 100 and 14"),
    "stride": (lambda: VisionConfig(stride=41), "stride must be between 1 and the grid side 40, got 41"),
    "no-stride": (lambda: VisionConfig(stride=0), "got 0"),
    "conv": (
        lambda: VisionConfig(kind="conv"),
        "the conv encoder wants pooling=\"none\" and two channels, got 'average'",
    ),
    "kind": (lambda: VisionConfig(kind="vit"), "kind must be one of tile_vit, conv, got 'vit'"),  # type: ignore[arg-type]
    "fit": (lambda: VisionConfig(fit="crop"), "fit must be one of pad, stretch, got 'crop'"),  # type: ignore[arg-type]
    "pooling": (lambda: VisionConfig(pooling="mean"), "pooling must be one of average, max,"),  # type: ignore[arg-type]
    "heads": (lambda: TextConfig(num_heads=30), "width 4096 must divide into num_heads 30"),
    "kv-heads": (lambda: TextConfig(num_kv_heads=5), "and those into num_kv_heads 5"),
    "cross": (lambda: TextConfig(cross_layers=(40,)), r"cross_layers \(40,\) must lie within num_layers 40"),
    "before": (lambda: ModelConfig(before_first_frame="all"), "one of skip, null_key, leak, got 'all'"),  # type: ignore[arg-type]
    "k-norm": (lambda: ModelConfig(k_norm="first"), "one of after_rotation, before_rotation"),  # type: ignore[arg-type]
    "eviction": (lambda: StreamConfig(eviction="newest"), "one of oldest, error, got 'newest'"),  # type: ignore[arg-type]
    "fps": (lambda: StreamConfig(fps=0), "fps must be above 0, got 0"),
    "nan": (lambda: StreamConfig(tokens_per_s=float("nan")), "tokens_per_s must be above 0, got nan"),
    "seconds": (lambda: StreamConfig(max_answer_s=-1), "max_answer_s must be above 0, got -1"),
    "stale": (lambda: StreamConfig(stale_s=0), "stale_s must be above 0"),
    "frames": (
        lambda: StreamConfig(memory_frames=-1),
        "memory_frames must be at least 1, or 0 for the model's own, got -1",
    ),
    "queue": (lambda: StreamConfig(queue_frames=0), "queue_frames must be at least 1"),
    "tokens": (lambda: StreamConfig(max_answer_tokens=0), "max_answer_tokens must be at least 1"),
    "text": (lambda: StreamConfig(text_tokens=63), "text_tokens must be at least 64, or 0 for the model's own, got 63"),
    "cold": (lambda: SamplingConfig(temperature=-1), "temperature >= 0"),
    "top-p": (lambda: SamplingConfig(top_p=0), "0 < top_p <= 1"),
    "top-k": (lambda: SamplingConfig(top_k=-1), "got 0.0, -1, 1.0 and 1.0"),
    "penalty": (lambda: SamplingConfig(repetition_penalty=0), "repetition_penalty > 0"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_value_is_refused_when_constructed(name: str) -> None:
    make, message = IMPOSSIBLE[name]
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("kind", [VisionConfig, TextConfig, ModelConfig, StreamConfig, SamplingConfig])
def test_a_config_is_frozen_and_takes_names_only(kind: type) -> None:
    config = kind()
    field = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, field, 1)
    with pytest.raises(TypeError):
        kind(1)
