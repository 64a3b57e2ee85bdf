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
from vigil.train.stages import StageConfig, grounding, realtime, vision
from vigil.train.tokenizer import train_tokenizer

RECORDED_ON = ("2.13.0+cpu", "AVX512")
"""Another version of torch, or other vector instructions, round differently."""
RECORDED = [
    (vision, 9302.023981, "77499436f035832b14b6b04d006a9d3a07e1d02b6505350e46377fdb42a8582a"),
    (grounding, 9303.555357, "c524d12305ecb6516ad5154a871c13e41cbafec6f40140e4d4f5727c2f67bd3a"),
    (realtime, 9303.280855, "cec7e940baa852643378c3ba7e10499b070dc94e0554520fa377de4e0f3930ee"),
]
"""Three small steps of each stage: sum of squares of the weights, and their hash."""


def digest(model: VideoModel) -> str:
    made = hashlib.sha256()
    for _, value in sorted(model.state_dict().items()):
        made.update(value.contiguous().numpy().tobytes())
    return made.hexdigest()


@pytest.mark.parametrize(("make", "squares", "recorded"), RECORDED, ids=["vision", "grounding", "realtime"])
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
