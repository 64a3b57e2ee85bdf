"""When a session of the server speaks, and how it draws its words; both may change between two decisions."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from vigil.config import SamplingConfig
from vigil.stream.policy import Sampler, SlotChoice


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """When a session speaks and how it draws its words; may change between two decisions."""

    sensitivity: float | None = None
    """Speak where P(silence) is below this; None: unless silence is the most likely token."""
    min_gap_s: float = 0.0
    revise: bool = True
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    max_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Ask:
    """A question on its way to the model."""

    text: str
    answer_by_s: float | None
    """Seconds in which an answer must begin; None: a standing question, silence is allowed."""


class TurnPolicy:
    """The policy of a seat: `Voice`, plus what the open question allows."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.quiet_until = 0.0
        """On the monotonic clock."""
        self.asked: deque[Ask] = deque()
        """Questions that the session has not read yet."""
        self._open = Ask("", None)

    def read(self) -> None:
        """The session reads the next question."""
        if self.asked:
            self._open = self.asked.popleft()

    def speaks(self, slot: SlotChoice) -> bool:
        """True to speak now."""
        if slot.waited_s is None:
            is_answered = self._open.answer_by_s is not None
            if (is_answered and not self.voice.revise) or time.monotonic() < self.quiet_until:
                return False
        elif slot.has_seen and self._open.answer_by_s is not None and slot.waited_s >= self._open.answer_by_s:
            return True
        if self.voice.sensitivity is None:
            return not slot.silence_is_best
        return slot.p_silence < self.voice.sensitivity


class Draw(Sampler):
    """A sampler whose settings may change between two decisions."""

    def reset(self, config: SamplingConfig) -> None:
        """Draw by other settings; the same ones again change nothing."""
        if config != self.config:
            super().__init__(config)
