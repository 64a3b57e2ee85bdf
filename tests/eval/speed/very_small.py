"""A scale of `vigil bench` that is over in seconds: every part really runs, with models of some thousand weights."""

from __future__ import annotations

from vigil.config import ModelConfig, TextConfig, VisionConfig
from vigil.eval.speed.scales import QwenSize, SpeedScale


def small_config() -> ModelConfig:
    """The released form, tiny; nano's vocabulary, since its tokenizer is used."""
    vision = VisionConfig(
        image_px=56, width=16, num_heads=2, mlp_width=24, num_local_layers=2, num_global_layers=1, feature_layers=(1,),
        stride=2,
    )  # fmt: skip
    text = TextConfig(
        vocab_size=1009, num_extra_embeddings=1, width=32, num_layers=4, cross_layers=(1,), num_heads=4,
        num_kv_heads=2, mlp_width=48, rope_theta=10_000.0, gate_start=0.5,
    )  # fmt: skip
    return ModelConfig(vision=vision, text=text)


QWEN = QwenSize(
    width=32, num_layers=2, num_heads=2, num_kv_heads=1, mlp_width=48, rope_sections=(2, 3, 3), vision_width=32,
    vision_layers=2, vision_heads=2, vision_mlp_width=48, full_layers=(1,), frame_px=(28, 56),
)  # fmt: skip
SMALL = SpeedScale(
    name="small", make_config=small_config, qwen=QWEN, dtype="float32", frames=8, fewer_frames=(2,), reply_tokens=4,
    encode_batch=4, stream_frames=(2, 12), window=4, rounds=2, few_seen=2, gap_fps=(8.0,), gap_pace=0.0, gap_tokens=20,
    live_fps=(8.0,), live_streams=(2,), live_seconds=0.5,
)  # fmt: skip
