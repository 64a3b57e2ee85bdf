"""A folder in the released layout is read again as the same model; what that layout cannot say is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.fakes import tiny_model
from vigil.cli import export as command
from vigil.config import moss_11b
from vigil.errors import ModelError, OutputError
from vigil.model import load
from vigil.model.weights import mllama_config
from vigil.train.export import export, released_config

GOLDEN = Path(__file__).parents[1] / "golden" / "tiny"


@pytest.mark.parametrize("layout", ["vigil", "mllama"])
def test_a_released_model_comes_back_with_equal_logits(layout: str, tmp_path: Path) -> None:
    command.run(command.parser().parse_args([str(GOLDEN), "--out", str(tmp_path), "--layout", layout]))
    model, again = load(GOLDEN), load(tmp_path)
    ids = torch.arange(12)[None]
    ids[0, 1:4] = model.config.image_token_id
    frames = torch.randn(1, 3, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[1, 2, 3]])
    assert torch.equal(model(ids, frames, positions).logits, again(ids, frames, positions).logits)
    assert again.config == model.config


def test_the_released_layout_has_the_released_names_and_fields(tmp_path: Path) -> None:
    assert export(load(GOLDEN), tmp_path) == "mllama"
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path, GOLDEN))
    assert ours.keys() == {name for name in theirs if not name.startswith("patch_merger.")}
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    raw, released = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, GOLDEN))
    for key in ("model_type", "pool_mode", "stride", "image_token_index", "silence_token_id", "silence_token_weight"):
        assert raw[key] == released[key]
    for part in ("text_config", "vision_config"):
        assert {key: raw[part][key] for key in raw[part]} == {key: released[part][key] for key in raw[part]}


def test_the_11b_config_can_be_said_in_released_words() -> None:
    assert mllama_config(released_config(moss_11b())) == moss_11b()


def test_nano_s_form_is_exported_in_its_own_layout_only(tmp_path: Path) -> None:
    model = tiny_model()
    assert export(model, tmp_path / "own") == "vigil"
    assert load(tmp_path / "own").config == model.config
    with pytest.raises(
        ModelError, match=r"mllama layout cannot say vision\.kind = 'conv'.* Export with --layout vigil"
    ):
        export(model, tmp_path / "theirs", "mllama")
    assert not (tmp_path / "theirs").exists()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written: .* Choose another --out"):
        command.run(command.parser().parse_args([str(GOLDEN), "--out", str(tmp_path / "file" / "x")]))
