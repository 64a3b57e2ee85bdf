"""What arithmetic and memory alone would take: every formula by hand, or against a slower count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from very_small import QWEN, small_config

from vigil.config import moss_11b
from vigil.eval.speed import bounds
from vigil.eval.speed.contestants import Ours, build, step_bytes
from vigil.eval.speed.scales import (
    FULL,
    QWEN_7B,
    QWEN_TINY,
    SCALES,
    TINY,
    matched_px,
    tiny_config,
    with_ids,
)
from vigil.model.interleave import twin_of

CPU = torch.device("cpu")

# ---- the two-channel model and its twin ---------------------------------------------------------------------------


def test_the_encoder_by_hand() -> None:
    # 56 px in patches of 14: 16 patches and a class token, padded from 17 to 24; width 16, feed-forward 24, 3 layers
    products = 24 * 2 * (4 * 16 * 16 + 2 * 16 * 24)
    attention = 4 * 24 * 24 * 16
    patches = 16 * 2 * (3 * 14 * 14) * 16
    one = 3 * (products + attention) + patches
    assert bounds.encoder_flops(small_config().vision, 1) == one == 669_696
    assert bounds.encoder_flops(small_config().vision, 7) == 7 * one
    assert bounds.encoder_flops(small_config().vision, 0) == 0


def test_padding_to_whole_blocks_costs_arithmetic() -> None:
    vision = small_config().vision
    unpadded = replace(vision, pad_multiple=1)
    dearer = bounds.encoder_flops(vision, 1) - bounds.encoder_flops(unpadded, 1)
    per_layer = (24 - 17) * 2 * (4 * 16 * 16 + 2 * 16 * 24) + 4 * 16 * (24**2 - 17**2)
    assert dearer == 3 * per_layer


def test_the_prefill_of_the_twin_by_hand() -> None:
    # width 32, 4 heads of 8, 2 key/value heads, feed-forward 48, 4 layers, 1009 words; 3 words and 2 frames of 5 tokens
    layer = 2 * 32 * 32 + 2 * 2 * 8 * 32 + 3 * 32 * 48
    tokens = 3 + 2 * 5
    expected = 2 * 4 * (layer * tokens + 32 * tokens**2) + 2 * 32 * 1009
    assert bounds.prefill_flops(twin_of(small_config()), 3, 2) == expected == 906_560


def test_the_prefill_of_the_two_channels_by_hand() -> None:
    layer, kv = 7680, 2 * 2 * 8 * 32
    three_self_layers = 2 * 3 * (layer * 3 + 32 * 3**2)
    # two placeholders: the first reads one frame of 5 tokens, the second two; the last word reads both
    pairs = 5 + 10 + 10
    cross_layer = 2 * (layer - kv) * 3 + 2 * kv * 10 + 4 * 32 * pairs
    head = 2 * 32 * 1009
    assert bounds.prefill_flops(small_config(), 3, 2) == three_self_layers + cross_layer + head == 268_160


@pytest.mark.parametrize("num_frames", [1, 2, 5, 8])
@pytest.mark.parametrize("num_words", [0, 1, 6])
def test_what_reads_which_frame_is_counted_pair_by_pair(num_frames: int, num_words: int) -> None:
    """Placeholder f sees frames 1 to f, and every later word all of them."""
    config = small_config()
    text = num_frames + num_words
    pairs = sum(5 for seer in range(1, text + 1) for frame in range(1, num_frames + 1) if frame <= seer)
    without = bounds.prefill_flops(replace(config, text=replace(config.text, width=32)), text, num_frames)
    layer, kv = 7680, 1024
    rest = 6 * (layer * text + 32 * text**2) + 2 * (layer - kv) * text + 2 * kv * 5 * num_frames + 2 * 32 * 1009
    assert without - rest == 4 * 32 * pairs


def test_a_frame_costs_the_decoder_less_beside_the_text_than_in_it() -> None:
    ours, twin = moss_11b(), twin_of(moss_11b())
    one_more = [bounds.prefill_flops(c, 301, 257) - bounds.prefill_flops(c, 300, 256) for c in (ours, twin)]
    assert one_more[1] > 10 * one_more[0]
    without = [bounds.prefill_flops(c, 300, 0) for c in (ours, twin)]
    assert without[0] < without[1] < 1.2 * without[0], "without frames they are about the same network"


class Decoder(nn.Module):
    """An input table, one product, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.product = nn.Linear(4, 6, bias=False)
        self.register_buffer("angles", torch.zeros(3))


def test_a_step_reads_weights_buffers_and_memory_but_of_the_table_only_a_row() -> None:
    decoder = Decoder()
    assert bounds.step_bytes(decoder, 100.0) == 4 * (40 + 24 + 3) + 100
    assert bounds.step_bytes(decoder, 100.0, table=decoder.table) == 4 * (24 + 3) + 100
    assert bounds.step_bytes(decoder.half(), 0.0, table=decoder.table) == 2 * (24 + 3)


@pytest.mark.parametrize(
    ("num_text", "num_vision", "itemsize", "ours", "twin"),
    [
        (0, 0, 2, 0, 0),
        (1, 0, 2, 2 * 3 * 16 * 2, 2 * 4 * 16 * 2),
        (0, 1, 2, 2 * 1 * 16 * 2, 2 * 4 * 16 * 2),
        (7, 30, 4, 2 * (3 * 7 + 30) * 16 * 4, 2 * 4 * (7 + 30) * 16 * 4),
    ],
)
def test_keys_and_values_by_hand(num_text: int, num_vision: int, itemsize: int, ours: int, twin: int) -> None:
    for config, expected in ((small_config(), ours), (twin_of(small_config()), twin)):
        found = bounds.kv_bytes(config.text, num_text=num_text, num_vision=num_vision, itemsize=itemsize)
        assert found == expected


def test_vision_tokens_of_the_twin_are_not_counted_as_words_too() -> None:
    twin = Ours(build(twin_of(small_config()), CPU, torch.float32), 4)
    features = torch.zeros(3, 5, 32)
    twin.prefill(features, 2)
    assert len(twin.text) == len(twin.ids(3)) + 15, "they stand in the text lane"
    weights = step_bytes(twin.model, twin.text, num_frames=3) - 2 * 4 * 4 * 2 * 8 * len(twin.text)
    assert weights == 4 * (sum(p.numel() for p in twin.model.decoder.parameters()) - 1010 * 32)


# ---- Qwen2.5-VL -----------------------------------------------------------------------------------------------------


def test_the_vision_tower_of_qwen_by_hand() -> None:
    # 56 x 112 px: 4 x 8 patches; width 32, feed-forward 48, 2 layers of which the last looks at whole frames
    products = 2 * 2 * (4 * 32 * 32 + 3 * 32 * 48) * 32
    windowed, full = 4 * 32 * 32 * 32, 4 * 32 * 32**2
    merger = 8 * 2 * ((4 * 32) * (4 * 32) + (4 * 32) * 32)
    a_pair = products + windowed + full + merger
    assert bounds.qwen_encoder_flops(QWEN, (56, 112), 2) == a_pair == 1_703_936
    assert bounds.qwen_encoder_flops(QWEN, (56, 112), 4) == 2 * a_pair


def test_a_window_of_the_tower_holds_64_patches_however_large_the_frame() -> None:
    every_layer_full = replace(QWEN, full_layers=(0, 1))
    for frame_px, patches in (((56, 56), 16), ((112, 112), 64), ((224, 224), 256)):
        saved = bounds.qwen_encoder_flops(every_layer_full, frame_px, 2) - bounds.qwen_encoder_flops(QWEN, frame_px, 2)
        assert saved == 4 * 32 * patches * (patches - min(64, patches))


def test_the_language_model_of_qwen_by_hand() -> None:
    # width 32 in 2 heads of 16, one key/value head, feed-forward 48, 2 layers, 1009 words
    layer = 2 * 32 * 32 + 2 * 1 * 16 * 32 + 3 * 32 * 48
    assert bounds.qwen_prefill_flops(QWEN, 10) == 2 * 2 * (layer * 10 + 32 * 100) + 2 * 32 * 1009 == 384_576


def test_7b_multiplies_what_a_model_of_seven_billion_does() -> None:
    assert bounds.qwen_prefill_flops(QWEN_7B, 1) / 2 == pytest.approx(7.07e9, rel=0.01)


# ---- sizes ----------------------------------------------------------------------------------------------------------


def test_scales_have_the_sizes_that_they_state() -> None:
    assert {name: scale.name for name, scale in SCALES.items()} == {"tiny": "tiny", "11b": "11b"}
    assert FULL.make_config() == moss_11b()
    assert (FULL.dtype, FULL.reply_tokens, FULL.live_model, TINY.live_model) == ("bfloat16", 128, "own", "nano")
    assert TINY.frames == FULL.frames == 256
    assert (TINY.stream_frames[0], TINY.stream_frames[-1]) == (16, 1024)
    tiny = tiny_config()
    assert (tiny.text.num_layers, tiny.text.width, tiny.vision.tokens_per_frame) == (12, 960, 17)
    assert tiny.text.num_heads == 5 * tiny.text.num_kv_heads
    assert moss_11b().vision.tokens_per_frame == 101


@pytest.mark.parametrize(("size", "tokens"), [(QWEN_7B, 360), (QWEN_TINY, 56)])
def test_a_frame_of_qwen_has_the_vision_tokens_that_are_stated(size: object, tokens: int) -> None:
    height, width = size.frame_px  # type: ignore[attr-defined]
    assert height % 28 == width % 28 == 0
    assert height * width / (28 * 28) / 2 == tokens


def test_only_a_small_qwen_has_a_small_vocabulary() -> None:
    assert (QWEN_7B.vocab_size, QWEN_TINY.vocab_size) == (152_064, 1009)
    assert replace(QWEN_TINY, width=1024).vocab_size == 1009
    assert replace(QWEN_TINY, width=1025).vocab_size == 152_064


@pytest.mark.parametrize(("tokens", "expected"), [(1, (28, 56)), (2, (56, 56)), (17, (112, 224)), (101, (308, 504))])
def test_matched_frames_are_wide_and_have_about_as_many_tokens(tokens: int, expected: tuple[int, int]) -> None:
    height, width = matched_px(tokens)
    assert (height, width) == expected
    assert abs(height * width / 28**2 / 2 - tokens) <= 0.03 * tokens + 1


def test_a_config_takes_the_control_tokens_of_another_models_tokenizer() -> None:
    config = with_ids(small_config(), 7, 8)
    assert (config.image_token_id, config.silence_token_id) == (7, 8)
    assert config.text == small_config().text
    assert with_ids(small_config(), 7, None).silence_token_id is None
