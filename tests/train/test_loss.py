from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from vigil.model.model import IGNORE, released_loss
from vigil.train.loss import weighted_loss

LABELS = torch.tensor([[IGNORE, 0, 1, IGNORE, 0]])
LOGITS = torch.log(torch.tensor([[[0.5, 0.5], [0.2, 0.8], [0.9, 0.1], [0.25, 0.75], [0.5, 0.5]]]))
"""Targets 0 (p .5), 1 (p .8), none, 0 (p .25)."""


def test_weighted_loss_by_hand() -> None:
    loss = weighted_loss(LOGITS, LABELS, silence_id=0, silence_weight=0.5)
    by_hand = (0.5 * -math.log(0.5) - math.log(0.8) + 0.5 * -math.log(0.25)) / 2.0
    assert math.isclose(float(loss), by_hand, rel_tol=1e-5)


def test_released_loss_divides_by_the_number_of_tokens_instead() -> None:
    loss = released_loss(LOGITS, LABELS, silence_id=0, silence_weight=0.5)
    by_hand = (0.5 * -math.log(0.5) - math.log(0.8) + 0.5 * -math.log(0.25)) / 3
    assert math.isclose(float(loss), by_hand, rel_tol=1e-5)


def test_both_are_plain_cross_entropy_at_weight_one() -> None:
    plain = F.cross_entropy(LOGITS[:, :-1].flatten(0, 1), LABELS[:, 1:].flatten(), ignore_index=IGNORE)
    torch.testing.assert_close(weighted_loss(LOGITS, LABELS, silence_id=0, silence_weight=1.0), plain)
    torch.testing.assert_close(released_loss(LOGITS, LABELS, silence_id=0, silence_weight=1.0), plain)
