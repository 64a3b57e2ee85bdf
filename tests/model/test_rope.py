"""Rotary positions: relative, exact far out, and stretched as Llama 3 does."""

from __future__ import annotations

import math

import pytest
import torch
from fakes import tiny_config

from vigil.config import RopeScaling, TextConfig
from vigil.model.rope import Turner, average_keys, frequencies, rotate, rotation

TEXT = TextConfig(width=32, num_heads=4, num_kv_heads=2, num_layers=1, cross_layers=(), rope_theta=100.0)
FREQ = frequencies(TEXT)


def turned(x: torch.Tensor, position: int) -> torch.Tensor:
    return rotate(x, rotation(FREQ, torch.tensor(position), torch.float64))


def test_rotation_by_hand() -> None:
    x = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
    expected = torch.tensor([math.cos(3), 0, 0, 0, math.sin(3), 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(turned(x, 3), expected)  # channel 0 turns with channel 4, 1 radian a position


def test_frequencies_by_hand() -> None:
    torch.testing.assert_close(FREQ, torch.tensor([1.0, 100**-0.25, 0.1, 100**-0.75], dtype=torch.float64))


def test_only_the_distance_of_two_positions_counts() -> None:
    q, k = torch.randn(2, 8, dtype=torch.float64)
    assert turned(q, 7) @ turned(k, 3) == pytest.approx(float(turned(q, 1_000_007) @ turned(k, 1_000_003)), abs=1e-9)
    assert turned(q, 7) @ turned(k, 3) != pytest.approx(float(turned(q, 8) @ turned(k, 3)), abs=1e-6)


def test_positions_far_out_stay_apart_in_float32() -> None:
    far, next_one = (rotation(FREQ, torch.tensor(p), torch.float32)[1][0] for p in (20_000_000, 20_000_001))
    assert float(far) == pytest.approx(math.sin(20_000_000), abs=1e-6)
    assert float(next_one) == pytest.approx(math.sin(20_000_001), abs=1e-6)


def test_llama3_keeps_high_frequencies_divides_low_ones_and_blends_between() -> None:
    scaling = RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_length=100)
    text = TextConfig(
        width=32, num_heads=4, num_kv_heads=2, num_layers=1, cross_layers=(), rope_theta=1e4, rope_scaling=scaling
    )
    plain = [1.0, 0.1, 0.01, 0.001]
    turns = 100 * 0.1 / (2 * math.pi)  # 1.59 turns in 100 positions: between low and high
    blend = (turns - 1) / 3
    expected = [1.0, 0.1 * (blend + (1 - blend) / 8), 0.01 / 8, 0.001 / 8]
    assert frequencies(text).tolist() == pytest.approx(expected)
    assert tiny_config().text.rope_scaling is None
    assert max(expected[i] / plain[i] for i in range(4)) == 1.0


# ---- cached keys ----------------------------------------------------------------------------------------------------


def normed(bare: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return weight * bare * bare.square().mean(-1, keepdim=True).rsqrt()


def test_a_key_normed_after_its_rotation_moves_as_if_it_had_been_made_there() -> None:
    bare, weight = torch.randn(5, 8, dtype=torch.float64), torch.linspace(0.2, 3, 8, dtype=torch.float64)
    here, there = (normed(turned(bare, position), weight).float() for position in (90_000, 40))
    turner = Turner(FREQ, (weight,))
    moved = turner.frames(0, here, torch.full((5,), 40 - 90_000))
    torch.testing.assert_close(moved, there, rtol=0, atol=1e-5)
    unaware = Turner(FREQ, (weight,), norm_last=False).frames(0, here, torch.full((5,), 40 - 90_000))
    assert (unaware - there).abs().max() > 0.1, "the norm's weight matters"


def test_a_key_normed_before_its_rotation_is_rotated_on() -> None:
    bare, weight = torch.randn(5, 8, dtype=torch.float64), torch.linspace(0.2, 3, 8, dtype=torch.float64)
    here, there = (turned(normed(bare, weight), position).float() for position in (90_000, 40))
    moved = Turner(FREQ, (weight,), norm_last=False).frames(0, here, torch.full((5,), 40 - 90_000))
    torch.testing.assert_close(moved, there, rtol=0, atol=1e-5)


def test_a_channel_whose_weight_is_zero_stays_zero_when_moved() -> None:
    weight = torch.tensor([1.0, 0, 1, 1, 1, 1, 1, 1])
    moved = Turner(FREQ, (weight,)).frames(0, weight * torch.randn(3, 8), torch.full((3,), 5))
    assert moved[:, 1].tolist() == [0.0, 0.0, 0.0]
    assert moved.isfinite().all()


def test_the_average_of_unlike_keys_is_as_long_as_they_are() -> None:
    average = average_keys(torch.tensor([[3.0, 0], [0, 4]]), torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(average, torch.tensor([[3.0, 4]]) * 0.7)
    assert average_keys(torch.zeros(2, 2), torch.tensor([[0.5, 0.5]])).tolist() == [[0.0, 0.0]]
