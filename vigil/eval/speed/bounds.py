"""What the arithmetic and the reading of memory alone would take: flops and bytes, reckoned from the shapes.

A product of [a, b] with [b, c] is 2abc flops; norms, activations and rotations are left out.

Axes: T text tokens, F frames, P vision tokens of a frame, S tokens in a sequence.
"""

from __future__ import annotations

from torch import nn

from vigil.config import ModelConfig, TextConfig, VisionConfig
from vigil.eval.speed.scales import QwenSize


def encoder_flops(vision: VisionConfig, num_frames: int) -> float:
    """The released models' vision encoder; at 11B 3.06 TFLOP a frame."""
    X = 1 + vision.grid**2
    S = X + -X % vision.pad_multiple
    layers, D = vision.num_local_layers + vision.num_global_layers, vision.width
    per_layer = S * 2 * (4 * D * D + 2 * D * vision.mlp_width) + 4 * S * S * D
    patches = vision.grid**2 * 2 * 3 * vision.patch_px**2 * D
    return float(num_frames * (layers * per_layer + patches))


def prefill_flops(config: ModelConfig, num_text: int, num_frames: int) -> float:
    """The decoder's share of a prefill; `num_text` counts the placeholders, the frames of which come early."""
    text, S = config.text, num_frames * config.vision.tokens_per_frame
    kv = 2 * text.num_kv_heads * text.head_dim * text.width
    layer = (
        2 * text.width**2 + kv + 3 * text.width * text.mlp_width
    )  # weights of a self layer; a cross layer has as many
    head = 2 * text.width * text.vocab_size
    if config.fusion == "decoder-only":
        T = num_text + S
        return float(2.0 * text.num_layers * (layer * T + text.width * T**2) + head)
    cross = len(text.cross_layers)
    alone = 2 * (text.num_layers - cross) * (layer * num_text + text.width * num_text**2)
    # frame f of F is read by the placeholders from f on and by the rest of the text
    pairs = S * (num_frames + 1) / 2 + S * (num_text - num_frames)
    beside = cross * (2 * (layer - kv) * num_text + 2 * kv * S + 4 * text.width * pairs)
    return float(alone + beside + head)


def step_bytes(decoder: nn.Module, kv_bytes: float, *, table: nn.Module | None = None) -> float:
    """What one spoken token reads: every weight but those of the input table, and the keys and values in memory."""
    table_bytes = sum(p.nbytes for p in table.parameters()) if table is not None else 0
    buffers = sum(b.nbytes for b in decoder.buffers())
    return float(sum(p.nbytes for p in decoder.parameters()) + buffers - table_bytes + kv_bytes)


def kv_bytes(text: TextConfig, *, num_text: int, num_vision: int, itemsize: int) -> float:
    """Keys and values of so many text tokens, and of vision tokens where they are kept (in a twin: everywhere)."""
    cross = len(text.cross_layers)
    entries = (text.num_layers - cross) * num_text + (cross or text.num_layers) * num_vision
    return 2.0 * entries * text.num_kv_heads * text.head_dim * itemsize


def qwen_encoder_flops(size: QwenSize, frame_px: tuple[int, int], num_frames: int) -> float:
    """Qwen2.5-VL's vision tower: pairs of frames, windows of 8 x 8 patches but in the full layers."""
    patches = (frame_px[0] // 14) * (frame_px[1] // 14)
    D, full = size.vision_width, len(size.full_layers)
    linear = size.vision_layers * 2 * (4 * D * D + 3 * D * size.vision_mlp_width) * patches
    windows = (size.vision_layers - full) * 4 * D * patches * min(64, patches)
    merger = patches / 4 * 2 * (16 * D * D + 4 * D * size.width)
    return float(num_frames / 2 * (linear + windows + full * 4 * D * patches**2 + merger))


def qwen_prefill_flops(size: QwenSize, num_tokens: int) -> float:
    """Qwen2.5-VL's language model over a whole sequence, the head for its last token."""
    dim = size.width // size.num_heads
    layer = 2 * size.width**2 + 2 * size.num_kv_heads * dim * size.width + 3 * size.width * size.mlp_width
    return float(
        2.0 * size.num_layers * (layer * num_tokens + size.width * num_tokens**2) + 2 * size.width * size.vocab_size
    )
