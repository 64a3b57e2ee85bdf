"""Adapters train alone, start at zero, and end in the weights. Wants peft."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.tiny import EVERY_STEP, STAGE, begun, curve, run
from vigil.errors import ConfigError
from vigil.model import load

HAS_PEFT = importlib.util.find_spec("peft") is not None


@pytest.mark.skipif(HAS_PEFT, reason="peft is installed")
def test_without_peft_the_error_names_the_extra(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'--lora wants peft\. Run pip install "vigil-video\[lora\]"'):
        run(tmp_path, config=replace(EVERY_STEP, lora_rank=2))


@pytest.mark.skipif(not HAS_PEFT, reason="peft is not installed")
def test_only_adapters_are_trained_and_the_finished_model_is_an_ordinary_one(tmp_path: Path) -> None:
    start = begun()
    assert start.model is not None
    before = {name: value.clone() for name, value in start.model.state_dict().items()}
    made = run(tmp_path, config=replace(EVERY_STEP, lora_rank=2), start=start, stage=replace(STAGE, steps=2))
    trained = [name for name, param in made.root.named_parameters() if param.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    plain = run(tmp_path / "plain", stage=replace(STAGE, steps=1))
    plain.run()
    made.run()
    assert curve(tmp_path, "loss")[0] == pytest.approx(curve(tmp_path / "plain", "loss")[0], abs=1e-5)
    after = load(tmp_path / STAGE.name).state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert all("_proj" in name and name.startswith("decoder.layers.") for name in changed)
