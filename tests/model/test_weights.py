"""Checkpoint folders: every layout loads to the same model, and what does not fit is told by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from fakes import tiny_model, tokenizer_json
from golden import FOLDER, read
from safetensors.torch import load_file, save_file
from torch import Tensor

import vigil
from vigil.config import RopeScaling
from vigil.errors import CheckpointError, ModelError, TokenizerError
from vigil.model import load
from vigil.model.tokens import SPECIAL_TOKENS
from vigil.model.weights import mllama_config, save, to_mllama_name, to_own_name
from vigil.stream.session import Session

TINY = FOLDER / "tiny"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the golden model folder, free to be damaged."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(TINY / name, copy / name)
    return copy


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads((folder / "config.json").read_text())
    change(raw)
    (folder / "config.json").write_text(json.dumps(raw))


def retensor(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def logits(model: vigil.model.VideoModel) -> Tensor:
    case = read("tiny/average_offline.safetensors")
    out: Tensor = model(case["input_ids"], case["frames"], case["vision_position_ids"]).logits
    return out


def test_saving_and_loading_our_own_layout_changes_nothing(tmp_path: Path) -> None:
    model = tiny_model()
    save(model, tmp_path / "own")
    again = vigil.load(tmp_path / "own", device="cpu")
    assert again.config == model.config
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())
    assert again.tokenizer is not None
    assert again.tokenizer.encode("é") == model.tokenizer.encode("é")  # type: ignore[union-attr]
    assert not any(weight.requires_grad for weight in again.parameters())


def test_a_released_model_survives_our_own_layout(tmp_path: Path) -> None:
    model = load(TINY, device="cpu")
    save(model, tmp_path / "own")
    assert torch.equal(logits(load(tmp_path / "own", device="cpu")), logits(model))


def test_dtype_is_as_stored_unless_asked_for() -> None:
    assert load(TINY, device="cpu").dtype == torch.float32
    assert load(TINY, device="cpu", dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_sharded_folder_is_the_same_model(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for i, half in enumerate((names[::2], names[1::2]), start=1):
        shard = f"model-0000{i}-of-00002.safetensors"
        save_file({name: tensors[name] for name in half}, folder / shard)
        weight_map |= dict.fromkeys(half, shard)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert torch.equal(logits(load(folder, device="cpu")), logits(load(TINY, device="cpu")))
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors not found"):
        load(folder)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="is not an index of shards: 'weight_map'"):
        load(folder)


def to_release_names(raw: dict[str, Any]) -> None:
    raw["model_type"] = "video_mllama"
    raw["vision_config"] |= {"merge_mode": raw.pop("pool_mode"), "merge_size": raw.pop("stride")}


def test_release_names_mean_the_same_as_training_names(folder: Path) -> None:
    rewrite(folder, to_release_names)
    released, trained = load(folder, device="cpu"), load(TINY, device="cpu")
    assert released.config == trained.config
    assert torch.equal(logits(released), logits(trained))


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"k_norm": "before_rotation"}, "k_norm", "before_rotation"),
        ({"before_first_frame": "leak"}, "before_first_frame", "leak"),
        ({"silence_token_weight": 0.7}, "silence_weight", 0.7),
    ],
    ids=str,
)
def test_options_are_read_from_the_config_file(folder: Path, change: dict[str, Any], field: str, expected: Any) -> None:
    assert getattr(load(folder, device="cpu").config, field) != expected
    rewrite(folder, lambda raw: raw.update(change))
    assert getattr(load(folder, device="cpu").config, field) == expected


def test_the_released_defaults_are_those_of_the_paper(folder: Path) -> None:
    raw = json.loads((folder / "config.json").read_text())
    del raw["stride"], raw["silence_token_id"], raw["silence_token_weight"]
    config = mllama_config(raw)
    assert (config.vision.stride, config.silence_token_id, config.silence_weight) == (4, 128011, 1.0)
    assert config.text.rope_scaling == RopeScaling(original_length=1024)


def test_tensor_names_translate_both_ways() -> None:
    for name in load_file(TINY / "model.safetensors"):
        assert to_own_name(name) != name
        assert to_mllama_name(to_own_name(name)) == name


def test_missing_and_left_over_tensors_and_wrong_shapes_are_listed(folder: Path) -> None:
    def damage(tensors: dict[str, Tensor]) -> None:
        del tensors["language_model.model.norm.weight"]
        tensors["language_model.model.nrom.weight"] = torch.zeros(64)
        tensors["multi_modal_projector.bias"] = torch.zeros(3)

    retensor(folder, damage)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    for part in (
        "1 missing: decoder.norm.weight",
        "1 left over: decoder.nrom.weight",
        "1 of the wrong shape: projector.bias [3] instead of [64]",
        "Download the folder again",
    ):
        assert part in str(caught.value)


def test_a_long_list_of_missing_tensors_is_cut(folder: Path) -> None:
    retensor(folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("vision_model.")])
    with pytest.raises(CheckpointError, match=r"and \d\d more"):
        load(folder)


def test_the_patch_merger_is_used_only_by_its_own_pooling(folder: Path) -> None:
    assert load(folder, device="cpu").merger is None, "average leaves it unused"
    assert load(folder, device="cpu", pooling="channelFusion").merger is not None
    retensor(folder, lambda tensors: tensors.pop("patch_merger.weight"))
    load(folder)
    with pytest.raises(CheckpointError, match=r"1 missing: merger\.weight"):
        load(folder, pooling="channelFusion")


def test_a_file_cut_short_is_told_by_name(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors in copy is not a whole safetensors file"):
        load(folder)


def test_a_folder_without_weights_or_config_says_what_it_lacks(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"copy has no weights: \*\.safetensors not found"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"has no config\.json; is it a model folder\?"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON object"),
        ("[]", "is not understood"),
        ("{}", "lacks the field 'model_type'"),
        ('{"model_type": "llava"}', "model_type 'llava' in copy is not one of vigil, mllama, video_mllama"),
        ('{"model_type": "mllama"}', "lacks the field 'vision_config'"),
        ('{"model_type": "vigil", "vision": {"banana": 1}, "text": {"rope_scaling": null}}', "banana"),
    ],
    ids=["no-json", "a-list", "empty", "another-model", "no-vision", "unknown-field"],
)
def test_a_config_that_is_not_understood_says_why(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        load(folder)


def test_a_misspelt_option_is_refused_and_never_guessed(folder: Path) -> None:
    rewrite(folder, lambda raw: raw.update(before_first_frame="Skip"))
    with pytest.raises(ModelError, match="before_first_frame must be one of skip, null_key, leak, got 'Skip'"):
        load(folder)


def test_a_pooling_that_the_encoder_cannot_do_is_refused(tmp_path: Path) -> None:
    save(tiny_model(), tmp_path / "own")
    with pytest.raises(ModelError, match="own cannot be pooled with 'max': the conv encoder wants"):
        load(tmp_path / "own", pooling="max")


def test_a_folder_without_a_tokenizer_runs_forward_and_a_session_says_what_is_missing() -> None:
    model = load(TINY, device="cpu")
    assert logits(model).isfinite().all()
    with pytest.raises(ModelError, match=r"no tokenizer\.json, and a session needs text"):
        Session(model)


def test_a_special_token_that_is_missing_is_named_when_a_session_needs_it(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(tokenizer_json([t for t in SPECIAL_TOKENS if t != "<|...|>"]))
    model = load(folder, device="cpu")
    with pytest.raises(TokenizerError, match=r"the tokenizer has no <\|\.\.\.\|>, which a session needs"):
        Session(model)


def test_a_broken_tokenizer_is_told_apart_from_a_missing_one(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json cannot be read"):
        load(folder)


def test_an_unknown_name_lists_the_bundled_models() -> None:
    with pytest.raises(ModelError, match=r"no model at 'gpt': not a folder, not one of the bundled models \["):
        load("gpt")


def test_a_hub_name_without_a_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"nobody/nothing is neither a folder nor in the local hub cache.*Go online"):
        load("nobody/nothing")
