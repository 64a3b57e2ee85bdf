"""Linear layers of the decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """`nn.Linear`, as fast for two rows as for one on a CPU.

    A frame that arrives while the model speaks makes the next pass two rows long: its placeholder and the last word.
    One row is a matrix times a vector, which reads the weights once; for two, a CPU's product in the usual order takes
    twice as long, and in the other order it does not. More rows, other types and other devices are left to PyTorch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [..., D] -> [..., O]."""
        weight_OD = self.weight
        is_plain = x.dtype == weight_OD.dtype == torch.float32 and x.device.type == "cpu" and self.bias is None
        if is_plain and x.numel() == 2 * x.shape[-1]:
            x_2D = x.contiguous().view(2, x.shape[-1])
            return (weight_OD @ x_2D.T).T.contiguous().view(*x.shape[:-1], len(weight_OD))
        return F.linear(x, weight_OD, self.bias)
