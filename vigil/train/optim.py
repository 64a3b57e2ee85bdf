"""Optimiser: Muon for the matrices of the transformer, AdamW for everything else, one schedule for both.

Sources: Muon (Keller Jordan and others, 2024), here in float32 because CPUs without bf16 units make torch's own slower
than AdamW; AdamW (arXiv 1711.05101).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Bring all singular values close to 1. Shapes: [M, N] -> [M, N]."""
    a, b, c = NEWTON_SCHULZ
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix steps are orthogonalised."""

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step with the gradients at hand."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(param)
                velocity = state["velocity"]
                velocity.lerp_(param.grad, 1 - group["momentum"])
                ahead = param.grad.lerp(velocity, group["momentum"])
                matrix = ahead.flatten(1)
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                param.add_(orthogonalise(matrix).view_as(param), alpha=-group["lr"] * scale)


def optimisers(model: nn.Module, *, lr: float, muon_lr: float) -> list[torch.optim.Optimizer]:
    """Muon over convolutions and the decoder's weight matrices, AdamW over the rest; frozen parameters are left out."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, param in model.named_parameters():
        if param.requires_grad:
            is_matrix = param.ndim == 2 and ".layers." in name
            (matrices if is_matrix else rest).append(param)
    chosen: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.0)]
    if matrices:
        chosen.append(Muon(matrices, lr=muon_lr))
    for optimiser in chosen:
        for group in optimiser.param_groups:
            group["top_lr"] = group["lr"]
    return chosen


def share_of_top(step: int, *, num_steps: int, warmup: int, decay_from: float) -> float:
    """Learning rate as a share of its top: linear warm-up, constant, then linear decay to zero by the last step."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    fall = min(1.0, (num_steps - step) / max(1.0, num_steps * (1 - decay_from)))
    return rise * fall


def cosine_share(step: int, *, num_steps: int, warmup: int) -> float:
    """Learning rate as a share of its top: linear warm-up, then half a cosine down to zero after the last step."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step + 1 - warmup) / max(1, num_steps - warmup + 1))
