"""The recipe of the model that ships gives the weights that it gave before, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vigil.model import VideoModel
from vigil.train.loop import Trainer
from vigil.train.nano import from_tokenizer
from vigil.train.stages import StageConfig, grounding, long, offline, realtime, settle, vision
from vigil.train.tokenizer import train_tokenizer

RECORDED_ON = ("2.13.0+cpu", "AVX512")
"""Another version of torch, or other vector instructions, round differently."""
RECORDED = [
    (vision, 9302.025774, "f131b898d611429f15fcd2e5d2326476894a452e653b83f5d8917e72944084fe"),
    (grounding, 9303.551802, "7eef412bbc1a9b5cd149985c73b0043db2f262cf47805968dc6c8d1512daa7dc"),
    (offline, 9303.996726, "7e767f6fbee2a64526487104c758bb8ebce85f6a8ddc941b6d57550bb79f8bc6"),
    (realtime, 9302.968784, "5d05541741b13dc4876c534af2389e7b1b7c553f0c579bbff20b08097dda9790"),
    (long, 9302.641843, "cca63281cdcf553e879efe3ed490d316b370ccc97621b08d4a8ffb32f96848ee"),
    (settle, 9302.318900, "de5c4e6f7650aaabe73a12df03260b7d73ece9c36f0650b3b7a3a6e2aea13769"),
]
"""Three small steps of each stage: sum of squares of the weights, and their hash."""


def digest(model: VideoModel) -> str:
    made = hashlib.sha256()
    for _, value in sorted(model.state_dict().items()):
        made.update(value.contiguous().numpy().tobytes())
    return made.hexdigest()


@pytest.mark.parametrize(("make", "squares", "recorded"), RECORDED, ids=[make.__name__ for make, _, _ in RECORDED])
def test_three_steps_of_the_recipe_give_the_recorded_weights(
    make: Callable[[int], StageConfig], squares: float, recorded: str, tmp_path: Path
) -> None:
    stage = replace(make(3), frames=(2, 3), videos_per_step=2)
    tokenizer = train_tokenizer(["Tell me when a dog appears.", "The light is red."], vocab_size=300)
    model = from_tokenizer(tokenizer)
    Trainer(model, tmp_path, [stage]).run()
    assert sum(float(p.detach().double().square().sum()) for p in model.parameters()) == pytest.approx(
        squares, rel=1e-5
    )
    if (torch.__version__, torch.backends.cpu.get_cpu_capability()) == RECORDED_ON:
        assert digest(model) == recorded
