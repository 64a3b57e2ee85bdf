"""8-bit weights: the error is that of rounding, and nothing but the chosen layers changes.

Axes: O output channels, D input channels, V vocabulary.
"""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from fakes import tiny_model
from torch import nn

from vigil.model.quant import CodedLinear, Codes, quantise
from vigil.stream.session import Session

SHAPES = {"q": (512, 512), "k": (128, 512), "up": (1792, 512), "down": (512, 1792)}
"""An eighth of the layers of the 11B model."""


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("codes", "most"), [("int8", 0.012), ("fp8", 0.04)])
def test_the_error_is_that_of_rounding(name: str, codes: Codes, most: float) -> None:
    torch.manual_seed(0)
    outputs, inputs = SHAPES[name]
    linear = nn.Linear(inputs, outputs, bias=False).requires_grad_(False)
    x = torch.randn(16, inputs)
    right, coded = linear(x), CodedLinear(linear, codes)(x)
    assert 0 < float((coded - right).norm() / right.norm()) < most


def test_no_weight_is_further_off_than_half_a_step_of_its_channel() -> None:
    linear = nn.Linear(64, 8).requires_grad_(False)
    linear.weight.data[3] *= 1000  # a channel of large weights costs the others nothing
    coded = CodedLinear(linear, "int8")
    step_O = linear.weight.abs().amax(1) / 127
    assert ((coded.weight - linear.weight).abs() <= step_O[:, None] * 0.5001).all()
    torch.testing.assert_close(coded(torch.zeros(1, 64))[0], linear.bias)


def test_a_channel_of_zeros_stays_zero() -> None:
    linear = nn.Linear(4, 2, bias=False).requires_grad_(False)
    linear.weight.data.zero_()
    for codes in get_args(Codes):
        assert CodedLinear(linear, codes)(torch.ones(1, 4)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("codes", get_args(Codes))
def test_a_session_runs_on_a_quantised_model(codes: Codes) -> None:
    model, vision = tiny_model(), tiny_model().vision
    num_bytes = sum(t.nbytes for t in model.parameters())
    saved = quantise(model, codes)
    held = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    assert num_bytes - held == saved > 0
    assert all(torch.equal(a, b) for a, b in zip(model.vision.parameters(), vision.parameters(), strict=True))
    assert not any(isinstance(module, nn.Linear) for module in model.decoder.modules())
    assert list(Session(model).watch([(torch.zeros(8, 8, 3, dtype=torch.uint8).numpy(), 0.0)], speed="max"))
