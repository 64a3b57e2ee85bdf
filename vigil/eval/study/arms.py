"""What is compared with what. An arm that several studies need is trained once.

The default arm learns from all real-time data, silence weighted .1 and the loss divided by the weights, without any
question after the video. Every other arm differs from it in one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vigil.config import Fusion
from vigil.train.loss import LossConfig
from vigil.train.stages import StageConfig

Letter = Literal["A", "B", "C", "D"]
Design = Literal["beside", "blocking", "inserted"]
"""How frames reach a model while it speaks; see `vigil.eval.study.designs`."""
Change = Callable[[StageConfig], StageConfig]

WEIGHTED = LossConfig(kind="silence", silence_weight=0.1, normalise="weights")
FOCAL = LossConfig(kind="focal", gamma=2.0, normalise="weights")
"""The frequencies that it is weighted by are counted from the data of the run (`training.with_frequencies`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One row of a table."""

    key: str
    """Unique over all studies; arms with one `key` are one run."""
    label: str
    fusion: Fusion = "cross-attention"
    is_base: bool = False
    """True: before real-time training."""
    loss: LossConfig = WEIGHTED
    offline_share: float = 0.0
    revisions: Literal["kept", "cut", "unrelated"] = "kept"
    design: Design = "beside"

    def stage(self, default: StageConfig) -> StageConfig:
        """The arm's real-time stage."""
        synth = replace(default.synth, offline_share=self.offline_share)
        return replace(default, loss=self.loss, synth=synth, revisions=self.revisions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A question, and the arms that answer it. The first arm is what the others are compared with."""

    letter: Letter
    title: str
    arms: tuple[Arm, ...]
    held_fixed: str


FULL = Arm(key="full", label="default")
TWIN = Arm(key="twin", label="twin, blocking", fusion="decoder-only", design="blocking")

STUDIES: dict[Letter, Study] = {
    "A": Study(
        letter="A",
        title="Architecture: frames beside the text, or in it",
        arms=(
            replace(FULL, label="cross-attention"),
            TWIN,
            replace(TWIN, label="twin, frames between steps", design="inserted"),
        ),
        held_fixed="encoder, tokens per frame, tokenizer, starting seed, samples and their order, steps, optimiser",
    ),
    "B": Study(
        letter="B",
        title="Revision data",
        arms=(
            replace(FULL, label="with revisions"),
            Arm(key="cut", label="cut after the first answer", revisions="cut"),
            Arm(key="unrelated", label="unrelated replies", revisions="unrelated"),
        ),
        held_fixed="videos, questions, tokens, frames, steps",
    ),
    "C": Study(
        letter="C",
        title="The loss on silence",
        arms=(
            Arm(key="uniform", label="uniform", loss=LossConfig(kind="uniform")),
            replace(FULL, label="weight .1, by weights"),
            Arm(key="by_tokens", label="weight .1, by tokens", loss=replace(WEIGHTED, normalise="tokens")),
            Arm(key="focal", label="focal x inverse frequency", loss=FOCAL),
        ),
        held_fixed="data, steps, decoding",
    ),
    "D": Study(
        letter="D",
        title="Offline ability before and after real-time training",
        arms=(
            Arm(key="base", label="before", is_base=True),
            replace(FULL, label="after, no replay"),
            Arm(key="replay10", label="after, 10 % replay", offline_share=0.1),
            Arm(key="replay30", label="after, 30 % replay", offline_share=0.3),
            Arm(key="replay50", label="after, 50 % replay", offline_share=0.5),
        ),
        held_fixed="steps of real-time training; replay takes the place of real-time samples",
    ),
}


def arms_of(letters: Sequence[Letter]) -> list[Arm]:
    """The runs that some studies need, each once, in a fixed order."""
    found: dict[str, Arm] = {}
    for letter in letters:
        for arm in STUDIES[letter].arms:
            found.setdefault(arm.key, arm)
    return list(found.values())
