"""Linear layers: the quick way for two rows gives what PyTorch's own gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vigil.model.linear import Linear


@pytest.mark.parametrize("shape", [(2, 24), (1, 2, 24), (2, 1, 24), (1, 24), (3, 24), (5, 2, 24)], ids=str)
def test_rows_of_any_number_are_what_pytorch_gives(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, x = Linear(24, 40, bias=False), torch.randn(shape)
    out = layer(x)
    assert out.shape == (*shape[:-1], 40)
    torch.testing.assert_close(out, F.linear(x, layer.weight), rtol=1e-5, atol=1e-6)


def test_two_rows_go_by_the_other_order_and_lie_in_memory_as_the_next_layer_wants_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    own = F.linear
    monkeypatch.setattr(
        "vigil.model.linear.F.linear", lambda x, *rest: asked.append(x.numel() // x.shape[-1]) or own(x, *rest)
    )
    first, second = Linear(24, 40, bias=False), Linear(40, 24, bias=False)
    for num_rows in (1, 2, 3):
        assert second(first(torch.randn(1, num_rows, 24))).is_contiguous()
    assert asked == [1, 1, 3, 3]


@pytest.mark.parametrize("bias", [False, True])
def test_two_rows_are_differentiable_and_other_types_are_left_alone(bias: bool) -> None:
    layer, x = Linear(8, 4, bias=bias), torch.randn(2, 8)
    layer(x).square().sum().backward()
    mine = layer.weight.grad
    layer.weight.grad = None
    F.linear(x, layer.weight, layer.bias).square().sum().backward()
    torch.testing.assert_close(mine, layer.weight.grad)
    half = layer.to(torch.bfloat16)
    assert torch.equal(half(x.bfloat16()), F.linear(x.bfloat16(), half.weight, half.bias))
