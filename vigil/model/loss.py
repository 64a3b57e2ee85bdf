"""The loss of the released training code.

Axes: B rows, T text tokens, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100
"""Label of a token that takes no part in the loss."""


def released_loss(logits_BTV: Tensor, labels_BT: Tensor, *, silence_id: int | None, silence_weight: float) -> Tensor:
    """Cross entropy of each token's successor, silence targets weighted, divided by the number of valid tokens.

    Shapes: [B, T, V], [B, T] with -100 where a token does not count -> scalar.

    Source: arXiv 2606.07639, its released training code.
    """
    targets = labels_BT[:, 1:].flatten()
    ce = F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1).float(), targets, ignore_index=IGNORE, reduction="none")
    if silence_id is not None and silence_weight != 1.0:
        ce = torch.where(targets == silence_id, ce * silence_weight, ce)
    return ce.sum() / (targets != IGNORE).sum().clamp(min=1)
