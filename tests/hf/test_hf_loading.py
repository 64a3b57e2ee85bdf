"""Folders go back and forth between vigil and transformers, in every layout, and the numbers stay the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vigil
from tests.hf.hub import Hub
from vigil.errors import CheckpointError, ConfigError, ModelError
from vigil.model.weights import find_folder, save

transformers = pytest.importorskip("transformers", reason="vigil.hf needs transformers: pip install 'vigil-video[hf]'")
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer  # noqa: E402

from vigil.hf import VigilConfig, VigilForImageTextToText, VigilProcessor, VigilTokenizer  # noqa: E402

LAYOUTS = ("vigil", "nano", "training", "release")
BY_AUTO = ("vigil", "nano", "release")
"""Folders in training names say `mllama`, which is transformers' name for another network."""


def inputs_for(model: vigil.model.VideoModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids with three frames among them, the frames, and their positions."""
    side, random = model.config.vision.image_px, torch.Generator().manual_seed(1)
    ids = torch.arange(20, 32)[None]
    ids[0, 2:8:2] = model.config.image_token_id
    return ids, torch.randn(1, 3, 3, side, side, generator=random), torch.tensor([[2, 4, 6]])


@torch.inference_mode()
def same_model(model: VigilForImageTextToText, folder: Path) -> bool:
    """Whether `vigil.load` of a folder has the same weights, bit for bit, and computes the same.

    The last bit of a logit depends on where in memory the weights happen to lie.
    """
    plain = vigil.load(folder, device="cpu")
    weights, here = plain.state_dict(), model.state_dict()
    ids, frames, positions = inputs_for(plain)
    difference = (model(ids, pixel_values=frames).logits - plain(ids, frames, positions).logits).abs().max()
    return (
        {f"network.{name}" for name in weights} == here.keys()
        and all(torch.equal(weight, here[f"network.{name}"]) for name, weight in weights.items())
        and float(difference) < 1e-5
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_of_vigil_loads_here_and_what_is_saved_here_loads_there(
    layout: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    model = VigilForImageTextToText.from_pretrained(folders[layout])
    assert same_model(model, folders[layout])
    model.save_pretrained(tmp_path / "saved")
    VigilProcessor.from_pretrained(folders[layout]).save_pretrained(tmp_path / "saved")
    assert same_model(model, tmp_path / "saved")
    again, words = vigil.load(tmp_path / "saved"), vigil.load(folders[layout]).tokenizer
    assert again.config == vigil.load(folders[layout]).config
    assert again.tokenizer is not None
    assert words is not None
    text = "What's <|silence|> this, naïve 🙂?"
    assert again.tokenizer.encode(text) == words.encode(text)
    assert again.tokenizer.control_ids == words.control_ids


def test_the_same_model_can_be_told_from_another(folders: dict[str, Path]) -> None:
    model = VigilForImageTextToText.from_pretrained(folders["vigil"])
    with torch.no_grad():
        model.network.projector.bias[0] += 1e-3
    assert not same_model(model, folders["vigil"])


@pytest.mark.parametrize("layout", BY_AUTO)
def test_auto_classes_know_the_models_and_run_no_code_from_their_folders(
    layout: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    config = AutoConfig.from_pretrained(folders[layout])
    assert type(config) is VigilConfig
    assert config.network == vigil.load(folders[layout]).config
    model = AutoModelForImageTextToText.from_pretrained(folders[layout])
    assert type(model) is VigilForImageTextToText
    assert same_model(model, folders[layout])
    assert type(AutoProcessor.from_pretrained(folders[layout])) is VigilProcessor
    tokenizer = AutoTokenizer.from_pretrained(folders[layout])
    assert type(tokenizer) is VigilTokenizer
    assert tokenizer.pad_token == tokenizer.eos_token == "<|eot_id|>"
    model.save_pretrained(tmp_path)
    assert same_model(AutoModelForImageTextToText.from_pretrained(tmp_path), folders[layout])


def test_a_folder_in_training_names_is_another_network_to_auto_config_until_it_is_saved_again(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    assert type(AutoConfig.from_pretrained(folders["training"])) is transformers.MllamaConfig
    config = VigilConfig.from_pretrained(folders["training"])
    model = AutoModelForImageTextToText.from_pretrained(folders["training"], config=config)
    assert type(model) is VigilForImageTextToText
    model.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is VigilConfig
    assert same_model(AutoModelForImageTextToText.from_pretrained(tmp_path), folders["training"])


def test_what_the_config_saves_is_what_vigil_saves(folders: dict[str, Path], tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(folders["nano"])
    config.save_pretrained(tmp_path)
    save(vigil.load("nano"), tmp_path / "ours")
    saved, ours = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, tmp_path / "ours"))
    assert saved == ours
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (1009, 128, 6)


def test_shards_are_read_again_by_both(folders: dict[str, Path], tmp_path: Path) -> None:
    model = VigilForImageTextToText.from_pretrained(folders["vigil"])
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert same_model(model, tmp_path)
    assert same_model(VigilForImageTextToText.from_pretrained(tmp_path), folders["vigil"])


def test_weights_come_in_the_type_and_on_the_device_that_were_asked_for(folders: dict[str, Path]) -> None:
    load = AutoModelForImageTextToText.from_pretrained
    assert load(folders["vigil"]).dtype == torch.float32
    assert load(folders["vigil"], dtype=torch.bfloat16).dtype == torch.bfloat16
    model = VigilForImageTextToText.from_pretrained(folders["vigil"], torch_dtype="float16", device_map={"": "cpu"})
    assert model.dtype == torch.float16
    assert model.device.type == "cpu"
    assert not model.training
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantization_config": {"bits": 4}}, "no use for quantization_config"),
        ({"dtype": "float12"}, "dtype must be a torch.dtype"),
        ({"device_map": {"vision": 0, "decoder": 1}}, '"auto" or one device'),
        ({"device_map": "balanced"}, '"auto" or one device'),
        ({"config": VigilConfig()}, "not that of"),
    ],
)
def test_what_cannot_be_done_is_refused_not_ignored(
    arguments: dict[str, Any], message: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(ConfigError, match=message):
        VigilForImageTextToText.from_pretrained(folders["vigil"], **arguments)


def test_the_decoder_only_twin_is_refused(tmp_path: Path) -> None:
    from tests.fakes import tiny_config
    from vigil.model.interleave import twin_of

    with pytest.raises(ConfigError, match="not fusion='decoder-only'"):
        VigilForImageTextToText(VigilConfig(twin_of(tiny_config())))


def test_a_missing_tensor_is_an_error_here_too(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["vigil"], tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["projector.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing: projector\.bias"):
        AutoModelForImageTextToText.from_pretrained(tmp_path)


def test_a_config_that_is_not_understood_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vigil"}')
    with pytest.raises(ModelError, match=r"config\.json in .* lacks the field 'text'"):
        AutoConfig.from_pretrained(tmp_path)


def test_a_hub_name_is_downloaded_at_the_revision_asked_for(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(folders["vigil"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    model = VigilForImageTextToText.from_pretrained("org/name", revision="v2", token="secret", local_files_only=True)
    assert same_model(model, folders["vigil"])
    assert (asked["name"], asked["revision"], asked["token"]) == ("org/name", "v2", "secret")
    assert asked["local_files_only"]


def test_an_upload_holds_everything_the_model_card_too(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(monkeypatch)
    model = AutoModelForImageTextToText.from_pretrained(folders["nano"])
    address = model.push_to_hub("my-nano", private=True, token="secret", commit_message="First")
    assert address.endswith("/commit/1")
    assert hub.asked["repo_id"] == "my-nano"
    assert (hub.asked["private"], hub.asked["token"], hub.asked["commit_message"]) == (True, "secret", "First")
    for name, content in hub.files.items():
        (tmp_path / name).write_bytes(content)
    assert same_model(model, tmp_path)
    assert hub.files["README.md"] == (folders["nano"] / "README.md").read_bytes()
    assert vigil.load(tmp_path).tokenizer is not None


def test_saving_may_upload_at_once(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    model = VigilForImageTextToText.from_pretrained(folders["vigil"])
    model.save_pretrained(tmp_path / "small", push_to_hub=True, private=True)
    assert (hub.asked["repo_id"], hub.asked["private"]) == ("small", True)
    assert "model.safetensors" in hub.files
    assert "README.md" not in hub.files


def test_the_card_of_nano_says_for_the_hub_what_it_is() -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(find_folder("nano") / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "image-text-to-text"


def test_without_transformers_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['transformers'] = None\nimport vigil\nimport vigil.hf"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "ImportError: vigil.hf needs transformers. Run pip install 'vigil-video[hf]'." in done.stderr
