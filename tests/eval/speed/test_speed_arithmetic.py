"""Bounds against a count of the operations that really run, and by hand; clocks, figures and sizes."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from very_small import QWEN, SMALL, small_config

from vigil.config import moss_11b
from vigil.eval.speed import bounds, qwen
from vigil.eval.speed.contestants import Ours, build
from vigil.eval.speed.figures import DEFINITIONS, REQUIRED, Bound, Figure, Part, Results
from vigil.eval.speed.machine import Clock, quantile
from vigil.eval.speed.offline import noise
from vigil.eval.speed.scales import QWEN_7B, TINY, matched_px
from vigil.model.interleave import twin_of

CPU = torch.device("cpu")


def counted(work: object) -> int:
    """Operations of the products that run in `work`; attention as plain products, what a mask hides among them."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()  # type: ignore[operator]
    return int(counter.get_total_flops())


def test_the_released_encoder_takes_783_tflop_for_256_frames() -> None:
    assert bounds.encoder_flops(moss_11b().vision, 256) / 1e12 == pytest.approx(783, rel=0.002)


def test_an_encoder_runs_as_many_operations_as_are_reckoned() -> None:
    ours = Ours(build(small_config(), CPU, torch.float32), encode_batch=4)
    projector = 4 * ours.tokens_per_frame * 2 * 32 * 32
    runs = counted(lambda: ours.encode(noise(4, ours.frame_px))) - projector
    assert runs == pytest.approx(ours.encode_flops(4), rel=1e-6)


@pytest.mark.parametrize("config", [small_config(), twin_of(small_config())], ids=["vigil", "twin"])
def test_a_prefill_runs_about_as_many_operations_as_are_reckoned(config: object) -> None:
    who = Ours(build(config, CPU, torch.float32), encode_batch=4)  # type: ignore[arg-type]
    features = who.encode(noise(8, who.frame_px))
    runs, text = counted(lambda: who.prefill(features, 2)), who.model.config.text
    masked = 2.0 * (text.num_layers - len(text.cross_layers)) * text.width * len(who.text) ** 2
    assert runs - masked == pytest.approx(who.prefill_flops(8), rel=0.02)  # the counter counts what causality masks


@pytest.mark.skipif(bool(qwen.why_not()), reason="transformers is not installed")
def test_qwen_runs_about_as_many_operations_as_are_reckoned() -> None:
    who = qwen.Qwen(qwen.model_of(QWEN, CPU, torch.float32), QWEN, (56, 112), name="qwen", num_text=10)
    features = who.encode(noise(4, who.frame_px))
    assert features.shape == (4 * who.tokens_per_frame, QWEN.width)
    runs = counted(lambda: who.prefill(features, 2))
    masked = 2.0 * QWEN.num_layers * QWEN.width * (len(features) + 10) ** 2
    assert runs - masked == pytest.approx(who.prefill_flops(4), rel=0.02)
    first = who.say(5)
    assert 0 <= first < QWEN.vocab_size
    patches = 3 * 2 * 14 * 14 * QWEN.vision_width * 2 * 2 * 4 * 8  # two pairs of 4 x 8 patches, not in the formula
    encoder = counted(lambda: who.encode(noise(4, who.frame_px))) - patches
    assert encoder == pytest.approx(who.encode_flops(4), rel=0.05)


def test_patches_stand_in_the_order_of_squares_and_pairs_of_frames() -> None:
    frames_FCHW = torch.arange(4.0)[:, None, None, None] * 1000 + torch.arange(28 * 56.0).view(1, 1, 28, 56)
    patches = qwen.patches_of(frames_FCHW.expand(4, 3, 28, 56))
    assert patches.shape == (2 * 2 * 4, 3 * 2 * 14 * 14)
    corners = patches.view(2, 8, 3, 2, 14, 14)[:, :, 0, :, 0, 0]
    assert corners[0, :4, 0].tolist() == [0.0, 14.0, 14 * 56.0, 14 * 56.0 + 14]  # one square of 2 x 2, row by row
    assert corners[0, 4, 0] == 28.0, "the next square stands beside it"
    assert corners[:, 0].tolist() == [[0.0, 1000.0], [2000.0, 3000.0]]


def test_a_step_reads_all_weights_but_the_table_and_the_memory() -> None:
    ours = Ours(build(small_config(), CPU, torch.float32), encode_batch=4)
    ours.prefill(ours.encode(noise(8, ours.frame_px)), 2)
    decoder = ours.model.decoder
    weights = 4 * (sum(p.numel() for p in decoder.parameters()) - 1010 * 32)
    words, frames = 3 * len(ours.text), 1 * 8 * 5
    assert ours.step_bytes() == weights + 2 * 4 * 2 * 8 * (words + frames)


def test_the_twin_keeps_vision_tokens_in_every_layer() -> None:
    text = small_config().text
    ours = bounds.kv_bytes(text, num_text=10, num_vision=100, itemsize=2)
    twin = bounds.kv_bytes(twin_of(small_config()).text, num_text=10, num_vision=100, itemsize=2)
    assert (ours, twin) == (2 * 2 * 16 * (30 + 100), 2 * 2 * 16 * (40 + 400))


@pytest.mark.parametrize(("tokens", "per_frame"), [(101, 99), (17, 16)])
def test_qwen_gets_about_as_many_vision_tokens(tokens: int, per_frame: float) -> None:
    height, width = matched_px(tokens)
    assert height % 28 == width % 28 == 0
    assert height * width / 28**2 / 2 == pytest.approx(per_frame, abs=1)
    assert per_frame == pytest.approx(tokens, rel=0.06)


def test_the_papers_protocol_gives_qwen_92160_vision_tokens() -> None:
    height, width = QWEN_7B.frame_px
    assert 256 * height * width // 28**2 // 2 == 92_160


def test_tiny_keeps_the_proportions_of_vision_tokens() -> None:
    height, width = TINY.qwen.frame_px
    ratio = height * width / 28**2 / 2 / TINY.make_config().vision.tokens_per_frame
    assert ratio == pytest.approx(92_160 / 25_856, rel=0.1)


def test_a_clock_of_the_processor_does_not_count_waiting() -> None:
    clock, waiting = Clock(CPU), torch.zeros(1)
    assert clock.time_s(lambda: waiting + 1) >= 0
    assert clock.now_s() <= clock.now_s()


def test_a_quantile_of_nothing_is_no_number() -> None:
    assert math.isnan(quantile([], 0.5))
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0


@pytest.mark.parametrize(
    ("name", "value", "meets"),
    [
        ("decoder_prefill_ratio_twin", 20.0, True),
        ("decoder_prefill_ratio_twin", 19.9, False),
        ("gap_p95_ratio", 1.3, True),
        ("gap_p95_ratio", 1.31, False),
        ("decode_tokens_per_s", 5.0, None),
        ("gap_p95_ratio", None, None),
    ],
)
def test_targets_are_floors_or_ceilings(name: str, value: float | None, meets: bool | None) -> None:
    assert Figure(name, value, "here").meets is meets


def test_the_json_object_has_every_required_figure_and_says_why_one_is_null() -> None:
    found = Figure("decode_tokens_per_s", 123.4567891, "tiny", Bound("bandwidth", 0.5))
    absent = Figure("ttft_ratio_qwen", None, "tiny", reason="no transformers")
    rows = ({"who": "vigil", "reads_ms": float("nan"), "frames": 16},)
    results = Results({"scale": "tiny"}, {"decode": Part((found, absent), rows)}, interrupted=True)
    told = json.loads(json.dumps(results.to_json(), allow_nan=False))
    assert set(REQUIRED) <= set(told)
    assert told["decode_tokens_per_s"] == 123.457
    assert told["settings"] == {"decode_tokens_per_s": "tiny", "ttft_ratio_qwen": "tiny"}
    assert told["bounds"] == {"decode_tokens_per_s": {"kind": "bandwidth", "fraction": 0.5}}
    assert told["reasons"]["ttft_ratio_qwen"] == "no transformers"
    assert "interrupted" in told["reasons"]["frames_per_s"]
    assert "decode_tokens_per_s" not in told["reasons"]
    assert told["rows"]["decode"] == [{"who": "vigil", "reads_ms": None, "frames": 16}]


def test_every_required_figure_is_defined() -> None:
    assert set(REQUIRED) <= set(DEFINITIONS)
    assert replace(SMALL, frames=4).frames == 4
