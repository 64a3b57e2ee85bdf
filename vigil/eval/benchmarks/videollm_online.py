"""The metrics of VideoLLM-online: language, timing and fluency of turns under a history that is given as it should be.

A turn is a run of frame positions at which the model should stay silent until the last, then a text. A frame position
triggers when the model would begin to speak there. The metrics are reproduced with their faults: errors never add up, a
last turn that is missed costs nothing, and long silent turns score high for silence alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vigil.eval.stats import mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn, with what the model would have done at each of its positions."""

    triggers: tuple[bool, ...]
    """Per frame position: would it begin to speak?"""
    num_tokens: int
    """Text tokens that are learnt."""
    num_correct: int
    """Of these, how many are right before the first greedy error."""
    loss: float = 0.0
    """Mean cross entropy of the text tokens (nats)."""
    after: tuple[bool, ...] = ()
    """The same for the frames that follow, if the reply is left out."""

    @property
    def num_frames(self) -> int:
        return len(self.triggers)


def does_trigger(p_silence: float, *, is_argmax_silence: bool, threshold: float = 0.0) -> bool:
    """Whether a position begins to speak."""
    return p_silence < threshold or not is_argmax_silence


def frame_difference(turn: Turn, following: Turn | None) -> int:
    """Frames by which a turn speaks early (above 0) or late (below 0). A last turn that never speaks has 0."""
    if True in turn.triggers:
        return turn.num_frames - turn.triggers.index(True) - 1
    most = 0 if following is None else min(following.num_frames, turn.num_frames - 1)
    appended = turn.after[:most]
    if True in appended:
        return -(appended.index(True) + 1)
    return -max(most, 0)


def fluency(turn: Turn, difference: int) -> float | None:
    """Share of the positions of a turn that come out right before the first error; None without frames or text."""
    total = turn.num_frames + turn.num_tokens
    if not turn.num_frames or not turn.num_tokens:
        return None
    if difference == 0:
        return (turn.num_frames + turn.num_correct) / total
    return (turn.num_frames - difference if difference > 0 else turn.num_frames - 1) / total


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Means over turns; None where there is none."""

    lm_ppl: float | None
    lm_correctness: float | None
    time_diff_s: float | None
    fluency: float | None


def measure(streams: Sequence[Sequence[Turn]], *, fps: float) -> Figures:
    """The four figures over the turns of some streams, each stream in order of time."""
    turns = [
        (turn, frame_difference(turn, following))
        for stream in streams
        for turn, following in zip(stream, [*stream[1:], None], strict=True)
    ]
    spoken = [turn for turn, _ in turns if turn.num_tokens]
    fluencies = [fluency(turn, difference) for turn, difference in turns]
    return Figures(
        lm_ppl=mean([math.exp(turn.loss) for turn in spoken]),
        lm_correctness=mean([turn.num_correct / turn.num_tokens for turn in spoken]),
        time_diff_s=mean([abs(difference) / fps for turn, difference in turns if turn.num_frames]),
        fluency=mean([value for value in fluencies if value is not None]),
    )
