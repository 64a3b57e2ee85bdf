"""Losses of the training stages.

Axes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vigil.model.model import IGNORE


def weighted_loss(logits_BTV: Tensor, labels_BT: Tensor, *, silence_id: int, silence_weight: float) -> Tensor:
    """Cross entropy of each token's successor, silence weighted, divided by the sum of the weights.

    Unlike the released loss it does not shrink as silence grows.

    Shapes: [B, T, V], [B, T] with -100 where a token does not count -> scalar.
    """
    targets = labels_BT[:, 1:].flatten()
    valid = targets != IGNORE
    targets = targets[valid]
    ce = F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1)[valid].float(), targets, reduction="none")
    weight = torch.where(targets == silence_id, silence_weight, 1.0)
    return (ce * weight).sum() / weight.sum().clamp(min=1e-6)
