"""Losses of the training stages, chosen by a frozen `LossConfig`.

A target is silence, the first token of a reply (response), the end of a turn, or text. Silence and response are the
state tokens: they decide whether the model speaks. Most slots are silent, so uniform weights teach it to stay silent.

Axes: B rows, T tokens, V vocabulary, N targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from vigil.data.layout import Sample
from vigil.errors import ConfigError
from vigil.model.loss import IGNORE
from vigil.model.tokens import ELLIPSIS, END_OF_TURN, SILENCE, Tokenizer

TEXT, SILENT, RESPONSE, TURN_END = range(4)
"""Kinds of targets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """How much each target counts. Change a copy with `dataclasses.replace`."""

    kind: Literal["uniform", "silence", "focal"] = "uniform"
    """All alike; silence weighted; or focal times inverse frequency on the state tokens."""
    normalise: Literal["weights", "tokens"] = "tokens"
    """Divide by the sum of the weights, or by the number of targets (which shrinks the loss as silence grows)."""
    silence_weight: float = 0.1
    """Weight of silence (kind "silence")."""
    gamma: float = 2.0
    """Exponent of the focal factor (1 - p) ** gamma (kind "focal")."""
    alpha_silence: float = 1.0
    """Inverse frequency of silence (kind "focal"); see `inverse_frequency`."""
    alpha_response: float = 1.0
    """Inverse frequency of the first tokens of replies (kind "focal")."""
    learn_turn_end: bool = True
    """False: the token that ends a turn is no target."""

    def __post_init__(self) -> None:
        if self.kind not in ("uniform", "silence", "focal"):
            raise ConfigError(f"kind must be uniform, silence or focal, got {self.kind!r}.")
        if self.normalise not in ("weights", "tokens"):
            raise ConfigError(f"normalise must be weights or tokens, got {self.normalise!r}.")
        for name in ("silence_weight", "gamma", "alpha_silence", "alpha_response"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}.")


class StateIds(NamedTuple):
    """The token ids that tell kinds of targets apart; -1 where a tokenizer lacks one."""

    image: int
    silence: int
    ellipsis: int
    turn_end: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, *, image_token_id: int) -> Self:
        """Look them up."""
        names = (SILENCE, ELLIPSIS, END_OF_TURN)
        found = (tokenizer.special(name) if tokenizer.has(name) else -1 for name in names)
        return cls(image_token_id, *found)


class LossParts(NamedTuple):
    """A loss before it is divided, so that several batches or processes may be added up first."""

    total: Tensor
    """Scalar: the sum over targets."""
    weight: Tensor
    """Scalar: what to divide it by."""


def target_kinds(sample: Sample, ids: StateIds) -> list[int]:
    """Kind of each token of a conversation as a target.

    A reply goes on across the frames that fall into it. A conversation without silence, such as a question after the
    video, holds no state token: there the model is asked to speak anyway.
    """
    kinds = []
    has_states = ids.silence in sample.labels
    speaking = False
    for token, label in zip(sample.ids, sample.labels, strict=True):
        kind = TEXT
        is_word = label not in (IGNORE, ids.silence, ids.ellipsis, ids.turn_end)
        if label == ids.silence:
            kind = SILENT
        elif label == ids.turn_end:
            kind = TURN_END
        elif is_word and not speaking and has_states:
            kind = RESPONSE
        if token != ids.image:
            speaking = is_word
        kinds.append(kind)
    return kinds


def inverse_frequency(samples: Iterable[Sample], ids: StateIds) -> tuple[float, float]:
    """Weights (silence, response) that give both classes the same mass: (n_s + n_r) / (2 n_k).

    Raises:
        ConfigError: the samples hold no silence, or no reply.
    """
    counts = [0, 0, 0, 0]
    for sample in samples:
        for kind in target_kinds(sample, ids):
            counts[kind] += 1
    silent, response = counts[SILENT], counts[RESPONSE]
    if not silent or not response:
        raise ConfigError(
            f"the focal loss wants silence and replies, got {silent} and {response} of them. "
            "Add real-time conversations to the data, or choose another loss."
        )
    return (silent + response) / (2 * silent), (silent + response) / (2 * response)


def loss_parts(logits_BTV: Tensor, labels_BT: Tensor, kinds_BT: Tensor, config: LossConfig) -> LossParts:
    """Cross entropy of each token's successor under a `LossConfig`, as sum and divisor.

    Shapes: [B, T, V], [B, T] with -100 where a token does not count, [B, T] -> two scalars.

    Source: arXiv 2606.07639 (weighted silence), arXiv 2608.15045 (focal), arXiv 1708.02002 (focal loss).
    """
    targets_N, kinds_N, kept_M = _targets(labels_BT, kinds_BT, config)
    logits_NV = logits_BTV[:, :-1].flatten(0, 1)[kept_M].float()
    ce_N = F.cross_entropy(logits_NV, targets_N, reduction="none")
    if config.kind == "focal" and config.gamma:
        is_state_N = (kinds_N == SILENT) | (kinds_N == RESPONSE)
        ce_N = torch.where(is_state_N, (-torch.expm1(-ce_N)).clamp(min=1e-12) ** config.gamma * ce_N, ce_N)
    return LossParts((ce_N * _weights(kinds_N, config)).sum(), _divisor(kinds_N, config))


def loss_weight(labels_BT: Tensor, kinds_BT: Tensor, config: LossConfig) -> Tensor:
    """The divisor alone: it depends on the targets, not on the model. Shapes: [B, T], [B, T] -> scalar."""
    return _divisor(_targets(labels_BT, kinds_BT, config)[1], config)


def stage_loss(logits_BTV: Tensor, labels_BT: Tensor, kinds_BT: Tensor, config: LossConfig) -> Tensor:
    """The loss of one batch: sum over divisor. Shapes: [B, T, V], [B, T], [B, T] -> scalar."""
    parts = loss_parts(logits_BTV, labels_BT, kinds_BT, config)
    return parts.total / parts.weight.clamp(min=1e-6)


def _targets(labels_BT: Tensor, kinds_BT: Tensor, config: LossConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Targets [N], their kinds [N], and which of the B * (T - 1) places hold one."""
    labels_M, kinds_M = labels_BT[:, 1:].flatten(), kinds_BT[:, 1:].flatten()
    kept_M = labels_M != IGNORE
    if not config.learn_turn_end:
        kept_M = kept_M & (kinds_M != TURN_END)
    return labels_M[kept_M], kinds_M[kept_M], kept_M


def _weights(kinds_N: Tensor, config: LossConfig) -> Tensor:
    by_kind = [1.0, 1.0, 1.0, 1.0]
    if config.kind == "silence":
        by_kind[SILENT] = config.silence_weight
    elif config.kind == "focal":
        by_kind[SILENT], by_kind[RESPONSE] = config.alpha_silence, config.alpha_response
    return torch.tensor(by_kind, device=kinds_N.device)[kinds_N]


def _divisor(kinds_N: Tensor, config: LossConfig) -> Tensor:
    if config.normalise == "weights":
        return _weights(kinds_N, config).sum()
    return torch.tensor(float(len(kinds_N)), device=kinds_N.device)
