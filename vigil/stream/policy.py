"""When to speak, and which token to say. Small objects that a session asks in each slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vigil.config import SamplingConfig
from vigil.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """What a policy may look at in one decision slot."""

    p_silence: float
    """Probability of silence among the tokens that are allowed here."""
    silence_is_best: bool
    """No allowed token is more likely than silence."""
    waited_s: float | None
    """Seconds since a direct question that has no answer yet; None if there is none."""
    has_seen: bool
    """At least one frame has been seen."""


class Policy(Protocol):
    """Decides in each slot whether to speak."""

    def speaks(self, slot: SlotChoice) -> bool:
        """True to speak now, False to stay silent."""
        ...


@dataclass(frozen=True, slots=True)
class Greedy:
    """Speak unless silence is the most likely token."""

    def speaks(self, slot: SlotChoice) -> bool:
        """True to speak now."""
        return not slot.silence_is_best


@dataclass(frozen=True, slots=True)
class Threshold:
    """Speak when silence is less likely than `p_silence`. Higher speaks more."""

    p_silence: float

    def __post_init__(self) -> None:
        if not 0 <= self.p_silence <= 1:
            raise ConfigError(f"the threshold on P(silence) must lie in [0, 1], got {self.p_silence}.")

    def speaks(self, slot: SlotChoice) -> bool:
        """True to speak now."""
        return slot.p_silence < self.p_silence


@dataclass(frozen=True, slots=True)
class AnswerBy:
    """A direct question is answered in the first slot at or after `answer_by_s`, whatever `otherwise` thinks."""

    answer_by_s: float
    """Seconds after the question."""
    otherwise: Policy

    def __post_init__(self) -> None:
        if not self.answer_by_s >= 0:
            raise ConfigError(f"answer_by_s must be at least 0, got {self.answer_by_s}.")

    def speaks(self, slot: SlotChoice) -> bool:
        """True to speak now."""
        late = slot.has_seen and slot.waited_s is not None and slot.waited_s >= self.answer_by_s
        return late or self.otherwise.speaks(slot)


@torch.inference_mode()
def weigh(logits_V: Tensor, silence: int) -> tuple[float, bool, int]:
    """How likely silence is, whether it is the most likely token, and which other token is the most likely.

    One look at the device answers all three. Silence is -inf in `logits_V` afterwards. Shapes: [V].
    """
    p_silence, best = logits_V.float().softmax(-1)[silence], logits_V.argmax()
    logits_V[silence] = -torch.inf
    p, best_token, word = torch.stack((p_silence.double(), best, logits_V.argmax())).tolist()
    return p, int(best_token) == silence, int(word)


class Sampler:
    """Draws the next token. One per session, so that a seed gives the same text again."""

    def __init__(self, config: SamplingConfig | None = None) -> None:
        self.config = config or SamplingConfig()
        self._random = torch.Generator().manual_seed(self.config.seed)

    @property
    def is_greedy(self) -> bool:
        """The most likely token is drawn, whatever was said before."""
        return self.config.temperature == 0 and self.config.repetition_penalty == 1.0

    def pick(self, logits_V: Tensor, said: list[int]) -> int:
        """Choose a token; `said` are the tokens of this answer so far. Shapes: [V] with -inf where not allowed."""
        config = self.config
        if self.is_greedy:
            return int(logits_V.argmax())  # on the device: one number comes back, not the vocabulary
        logits_V = logits_V.float().cpu()
        if config.repetition_penalty != 1.0 and said:
            ids = torch.tensor(sorted(set(said)))
            score = logits_V[ids]
            logits_V = logits_V.index_put(
                (ids,), torch.where(score > 0, score / config.repetition_penalty, score * config.repetition_penalty)
            )
        if config.temperature == 0:
            return int(logits_V.argmax())
        p_V = (logits_V / config.temperature).softmax(-1)
        p_sorted, order = p_V.sort(descending=True)
        keep = p_sorted.cumsum(-1) - p_sorted < config.top_p
        if config.top_k:
            keep[config.top_k :] = False
        return int(order[torch.multinomial(p_sorted * keep, 1, generator=self._random)])
