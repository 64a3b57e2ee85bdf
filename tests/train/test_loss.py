"""The loss variants, by hand and against plain cross entropy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.fakes import byte_tokenizer
from vigil.data.layout import Layout, Sample
from vigil.data.records import Record, Reply, Turn
from vigil.errors import ConfigError
from vigil.model.loss import IGNORE, released_loss
from vigil.train.loss import (
    RESPONSE,
    SILENT,
    TEXT,
    TURN_END,
    LossConfig,
    StateIds,
    inverse_frequency,
    loss_parts,
    loss_weight,
    stage_loss,
    target_kinds,
)

LABELS = torch.tensor([[IGNORE, 0, 1, IGNORE, 0]])
KINDS = torch.tensor([[TEXT, SILENT, RESPONSE, TEXT, SILENT]])
LOGITS = torch.log(torch.tensor([[[0.5, 0.5], [0.2, 0.8], [0.9, 0.1], [0.25, 0.75], [0.5, 0.5]]]))
"""Targets: silence (p .5), response (p .8), none, silence (p .25)."""
HALF = LossConfig(kind="silence", silence_weight=0.5)


def test_weighted_silence_by_hand_under_both_normalisations() -> None:
    total = 0.5 * -math.log(0.5) - math.log(0.8) + 0.5 * -math.log(0.25)
    by_tokens = stage_loss(LOGITS, LABELS, KINDS, HALF)
    by_weights = stage_loss(LOGITS, LABELS, KINDS, replace(HALF, normalise="weights"))
    assert float(by_tokens) == pytest.approx(total / 3, rel=1e-5)
    assert float(by_weights) == pytest.approx(total / 2, rel=1e-5)
    released = released_loss(LOGITS, LABELS, silence_id=0, silence_weight=0.5)
    torch.testing.assert_close(by_tokens, released)


def test_focal_times_inverse_frequency_by_hand() -> None:
    ids = StateIds(image=-1, silence=0, ellipsis=-1, turn_end=-1)
    replies = Sample([0] * 80 + [1, 0] * 10, [0] * 80 + [1, 0] * 10)  # 90 times silence, 10 replies
    alpha_silence, alpha_response = inverse_frequency([replies], ids)
    assert (round(alpha_silence, 3), alpha_response) == (0.556, 5.0)
    focal = LossConfig(kind="focal", alpha_silence=alpha_silence, alpha_response=alpha_response)

    def one(p: float, target: int, kind: int) -> float:
        logits = torch.log(torch.tensor([[[p, 1 - p] if target == 0 else [1 - p, p], [0.5, 0.5]]], dtype=torch.float64))
        labels, kinds = torch.tensor([[IGNORE, target]]), torch.tensor([[TEXT, kind]])
        return float(stage_loss(logits, labels, kinds, focal))

    assert f"{one(0.9, 0, SILENT):.2e}" == "5.85e-04"
    assert f"{one(0.2, 1, RESPONSE):.3f}" == "5.150"
    assert one(0.2, 1, TEXT) == pytest.approx(-math.log(0.2), rel=1e-5)


@pytest.mark.parametrize("normalise", ["weights", "tokens"])
@pytest.mark.parametrize(
    "config",
    [
        LossConfig(),
        LossConfig(kind="silence", silence_weight=1.0),
        LossConfig(kind="focal", gamma=0.0),
    ],
    ids=["uniform", "silence", "focal"],
)
def test_every_variant_is_plain_cross_entropy_at_its_neutral_setting(config: LossConfig, normalise: str) -> None:
    config = replace(config, normalise=normalise)  # type: ignore[arg-type]
    plain = F.cross_entropy(LOGITS[:, :-1].flatten(0, 1), LABELS[:, 1:].flatten(), ignore_index=IGNORE)
    torch.testing.assert_close(stage_loss(LOGITS, LABELS, KINDS, config), plain)
    other = replace(config, silence_weight=0.5, gamma=2.0)
    assert (float(stage_loss(LOGITS, LABELS, KINDS, other)) != float(plain)) == (config.kind != "uniform")


def test_a_masked_turn_end_is_no_target_and_does_not_count() -> None:
    kinds = torch.tensor([[TEXT, TURN_END, TEXT, TEXT, TURN_END]])
    masked = LossConfig(learn_turn_end=False)
    assert float(stage_loss(LOGITS, LABELS, kinds, masked)) == pytest.approx(-math.log(0.8), rel=1e-5)
    assert float(loss_weight(LABELS, kinds, masked)) == 1


def test_sums_and_divisors_of_parts_give_the_loss_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(4, 6, 2, generator=generator), torch.randint(0, 2, (4, 6), generator=generator)
    kinds = torch.where(labels == 0, SILENT, RESPONSE)
    config = LossConfig(kind="focal", alpha_response=3.0, normalise="weights")
    parts = [loss_parts(logits[row], labels[row], kinds[row], config) for row in ([0], [1, 2, 3])]
    whole = sum(p.total for p in parts) / sum(p.weight for p in parts)
    torch.testing.assert_close(stage_loss(logits, labels, kinds, config), whole)


def test_the_focal_loss_has_a_gradient_where_the_model_is_sure() -> None:
    logits = torch.tensor([[[200.0, 0.0], [0.0, 0.0]]], requires_grad=True)
    loss = stage_loss(logits, torch.tensor([[IGNORE, 0]]), torch.tensor([[TEXT, SILENT]]), LossConfig(kind="focal"))
    loss.backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_a_reply_is_one_response_however_many_frames_fall_into_it() -> None:
    tokenizer = byte_tokenizer()
    layout = Layout(tokenizer, image_token_id=tokenizer.vocab_size - 1)
    turns = (
        Turn(ask_s=0.0, question="?", kind="state", replies=(Reply(time_s=1.0, text="abcdef"),)),
        Turn(ask_s=2.5, question="!", kind="state", replies=(Reply(time_s=2.5, text="gh"),)),
    )
    record = Record(id="r", video="v", duration_s=5.0, turns=turns)
    sample = layout.lay_out(record, [0.0, 1.0, 2.0, 3.0, 4.0], tokens_per_s=2.0)
    ids = StateIds.of(tokenizer, image_token_id=tokenizer.vocab_size - 1)
    kinds = target_kinds(sample, ids)
    starts = [tokenizer.decode([sample.ids[i]]) for i, kind in enumerate(kinds) if kind == RESPONSE]
    assert starts == ["a", "g"]  # the first is cut by the second question, with frames inside
    assert kinds.count(SILENT) == sample.labels.count(ids.silence)
    offline = layout.lay_out(Record(id="r", video="v", duration_s=5.0, turns=turns, offline=True), [0.0, 1.0])
    assert set(target_kinds(offline, ids)) == {TEXT, TURN_END}


def test_impossible_losses_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"silence_weight must not be negative, got -1"):
        LossConfig(silence_weight=-1)
    with pytest.raises(ConfigError, match="kind must be uniform, silence or focal, got 'huber'"):
        LossConfig(kind="huber")  # type: ignore[arg-type]
    ids = StateIds(image=-1, silence=0, ellipsis=-1, turn_end=-1)
    with pytest.raises(ConfigError, match="wants silence and replies, got 2 and 0"):
        inverse_frequency([Sample([0, 0], [0, 0])], ids)
