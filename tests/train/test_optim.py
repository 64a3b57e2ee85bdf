from __future__ import annotations

import pytest
import torch
from torch import nn

from vigil.train.optim import Muon, cosine_share, optimisers, orthogonalise, share_of_top


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_orthogonalising_brings_all_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before, after = torch.linalg.svdvals(matrix), torch.linalg.svdvals(orthogonalise(matrix))
    assert before.max() / before.min() > 2
    assert 0.5 < after.min() <= after.max() < 1.3


def test_muon_steps_against_the_gradient_whatever_its_size() -> None:
    small, large = nn.Parameter(torch.zeros(3, 3)), nn.Parameter(torch.zeros(3, 3))
    small.grad, large.grad = 1e-3 * torch.eye(3), 1e3 * torch.eye(3)
    Muon([small, large], lr=0.1).step()
    torch.testing.assert_close(small, large, atol=1e-3, rtol=0)
    assert (small.diagonal() < -0.05).all()


def test_muon_gets_the_decoder_s_matrices_and_adamw_the_rest() -> None:
    model = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(2, 3)]), "embed": nn.Embedding(5, 2)})
    holder = nn.ModuleDict({"decoder": model})
    holder.get_parameter("decoder.embed.weight").requires_grad_(False)
    adamw, muon = optimisers(holder, lr=1e-3, muon_lr=1e-2)
    assert [tuple(p.shape) for p in muon.param_groups[0]["params"]] == [(3, 2)]
    assert [tuple(p.shape) for p in adamw.param_groups[0]["params"]] == [(3,)]


def test_the_rate_warms_up_holds_and_decays_to_zero() -> None:
    rates = [share_of_top(step, num_steps=10, warmup=2, decay_from=0.5) for step in range(11)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.0])


def test_a_cosine_warms_up_and_falls_to_zero_after_the_last_step() -> None:
    rates = [cosine_share(step, num_steps=6, warmup=2) for step in range(7)]
    assert rates == pytest.approx([0.5, 1, 0.904508, 0.654508, 0.345492, 0.095492, 0.0], abs=1e-6)
