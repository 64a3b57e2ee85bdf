"""Checkpoint folders: which layouts exist, what their config means, how their tensors are named here.

Three layouts: our own (`model_type: vigil`, nano), the released models in training or release spelling, and plain
Llama-3.2-Vision. A tensor that is missing or left over is an error; nothing is guessed and no code is ever loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vigil.config import ModelConfig, Pooling, RopeScaling, TextConfig, VisionConfig
from vigil.errors import CheckpointError, ConfigError, ModelError
from vigil.model.model import VideoModel
from vigil.model.tokens import Tokenizer

PREFIXES = (
    ("vision_model.gated_positional_embedding.tile_embedding.", "vision.tile_position_embedding."),
    ("vision_model.gated_positional_embedding.", "vision.position_"),
    ("vision_model.pre_tile_positional_embedding.embedding.", "vision.pre_tile_embedding."),
    ("vision_model.pre_tile_positional_embedding.", "vision.pre_tile_"),
    ("vision_model.post_tile_positional_embedding.embedding.", "vision.post_tile_embedding."),
    ("vision_model.post_tile_positional_embedding.", "vision.post_tile_"),
    ("vision_model.transformer.layers.", "vision.local_layers."),
    ("vision_model.global_transformer.layers.", "vision.global_layers."),
    ("vision_model.", "vision."),
    ("multi_modal_projector.", "projector."),
    ("patch_merger.", "merger."),
    ("language_model.lm_head.", "decoder.lm_head."),
    ("language_model.model.", "decoder."),
)
"""Tensor names of Hugging Face mllama 4.46 and ours; the first prefix that fits counts, in both directions."""


def load(
    path_or_name: str | Path = "nano",
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    pooling: Pooling | None = None,
) -> VideoModel:
    """Load a model for inference.

    Args:
        path_or_name: a folder with `config.json` and safetensors; a model inside the package ("nano"); or a hub name
            such as "org/name", which is downloaded.
        dtype: of the weights; default as stored.
        device: default "cuda" where there is one, else "cpu".
        pooling: use this instead of the folder's pooling. "channelFusion" needs `patch_merger.weight` in the folder.

    Raises:
        ModelError: no such folder or name, or a config that is not understood.
        CheckpointError: tensors are missing, left over, or of the wrong shape.
    """
    folder = find_folder(path_or_name)
    config, own_layout = read_config(folder)
    if pooling is not None:
        try:
            config = replace(config, vision=replace(config.vision, pooling=pooling))
        except ConfigError as error:
            raise ModelError(f"{folder.name} cannot be pooled with {pooling!r}: {error}") from error
    with torch.device("meta"):
        model = VideoModel(config)
    tensors = read_tensors(folder)
    if not own_layout:
        tensors = {to_own_name(name): tensor for name, tensor in tensors.items()}
    _assign(model, tensors, folder)
    if (folder / "tokenizer.json").is_file():
        model.tokenizer = Tokenizer.from_file(folder / "tokenizer.json")
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return model.to(device=target, dtype=dtype).eval().requires_grad_(False)


def save(model: VideoModel, folder: Path) -> None:
    """Write a folder in our own layout: `config.json`, `model.safetensors`, and `tokenizer.json` if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(own_config(model.config), indent=1) + "\n", encoding="utf-8")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    if model.tokenizer is not None:
        (folder / "tokenizer.json").write_text(model.tokenizer.to_json(), encoding="utf-8")


def find_folder(path_or_name: str | Path, **download: Any) -> Path:
    """Where a model lies on this machine; a hub name is downloaded first.

    `download` is handed to `huggingface_hub.snapshot_download`: `revision`, `token`, `cache_dir`, `local_files_only`.

    Raises:
        ModelError: nothing there, and what to do about it.
    """
    return local_folder(path_or_name) or _download(str(path_or_name), **download)


def local_folder(path_or_name: str | Path) -> Path | None:
    """Where a model lies on this machine; None: it has a hub name and would have to be looked for there.

    Raises:
        ModelError: it is neither here nor of the form of a hub name.
    """
    path = Path(path_or_name)
    if path.is_dir():
        return path
    bundled = Path(str(resources.files("vigil") / "assets"))
    if path.name == str(path_or_name) and (bundled / path.name / "config.json").is_file():
        return bundled / path.name
    parts = str(path_or_name).split("/")
    if len(parts) != 2 or not all(parts) or parts[0] in {".", ".."}:
        names = sorted(p.parent.name for p in bundled.glob("*/config.json"))
        raise ModelError(
            f"no model at {str(path_or_name)!r}: not a folder, not one of the bundled models {names}, and not a hub "
            'name of the form "org/name".'
        )
    return None


def _download(name: str, **download: Any) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "README.md"], **download))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"{name} is neither a folder nor in the local hub cache, and could not be downloaded "
            f"({type(error).__name__}). Go online once, or download it elsewhere and give the folder's path."
        ) from error


def read_config(folder: Path) -> tuple[ModelConfig, bool]:
    """Parse `config.json`. Returns the config, and whether the folder is in our own layout.

    Raises:
        ModelError: no file, no JSON, an unknown `model_type`, or a field that is missing.
    """
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{folder} has no config.json; is it a model folder?") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"config.json in {folder.name} is not a JSON object: {error}.") from error
    return parse_config(raw, name=folder.name)


def parse_config(raw: Any, *, name: str) -> tuple[ModelConfig, bool]:
    """Read what a `config.json` holds. `name` is that of the folder, for errors. Returns as `read_config`.

    Raises:
        ModelError: not an object, an unknown `model_type`, or a field that is missing.
    """
    try:
        kind = raw["model_type"]
        if kind == "vigil":
            return _read_own(raw), True
        if kind in {"mllama", "video_mllama"}:
            return mllama_config(raw), False
    except AttributeError as error:
        raise ModelError(f"config.json in {name} is not a JSON object: {error}.") from error
    except KeyError as error:
        raise ModelError(f"config.json in {name} lacks the field {error}.") from error
    except (TypeError, ValueError) as error:
        raise ModelError(f"config.json in {name} is not understood: {error}") from error
    raise ModelError(f"model_type {kind!r} in {name} is not one of vigil, mllama, video_mllama.")


def own_config(config: ModelConfig) -> dict[str, Any]:
    """What our own layout's `config.json` holds."""
    return {"model_type": "vigil", **asdict(config)}


def _read_own(raw: dict[str, Any]) -> ModelConfig:
    lists = {"feature_layers", "channels", "cross_layers"}

    def section(name: str) -> dict[str, Any]:
        return {key: tuple(value) if key in lists else value for key, value in raw[name].items()}

    text = section("text")
    if text["rope_scaling"] is not None:
        text["rope_scaling"] = RopeScaling(**text["rope_scaling"])
    rest = {key: value for key, value in raw.items() if key not in {"model_type", "vision", "text"}}
    return ModelConfig(vision=VisionConfig(**section("vision")), text=TextConfig(**text), **rest)


def mllama_config(raw: Mapping[str, Any]) -> ModelConfig:
    """Read an mllama config in training names, release names, or plain Llama-3.2-Vision."""
    vision, text = raw["vision_config"], raw["text_config"]
    pooling = raw.get("pool_mode", vision.get("merge_mode"))
    plain = pooling is None and "stride" not in raw and raw["model_type"] == "mllama"
    stride = raw.get("stride", vision.get("merge_size", 1 if plain else 4))
    scaling = text.get("rope_scaling") or text.get("rope_parameters") or {}  # the second since transformers 5
    vocab_size = text["vocab_size"]
    return ModelConfig(
        vision=VisionConfig(
            image_px=vision["image_size"],
            patch_px=vision["patch_size"],
            width=vision["hidden_size"],
            num_heads=vision["attention_heads"],
            mlp_width=vision["intermediate_size"],
            num_local_layers=vision["num_hidden_layers"],
            num_global_layers=vision["num_global_layers"],
            feature_layers=tuple(vision["intermediate_layers_indices"]),
            norm_eps=vision.get("norm_eps", 1e-5),
            max_num_tiles=vision["max_num_tiles"],
            num_aspect_ratios=len(vision.get("supported_aspect_ratios") or range(8)),
            padding_sees_padding=not plain,
            pooling="none" if plain else pooling or "average",
            stride=stride,
        ),
        text=TextConfig(
            vocab_size=vocab_size,
            width=text["hidden_size"],
            num_layers=text["num_hidden_layers"],
            cross_layers=tuple(text["cross_attention_layers"]),
            num_heads=text["num_attention_heads"],
            num_kv_heads=text["num_key_value_heads"],
            mlp_width=text["intermediate_size"],
            norm_eps=text.get("rms_norm_eps", 1e-5),
            rope_theta=text.get("rope_theta", scaling.get("rope_theta", 500_000.0)),
            rope_scaling=_rope_scaling(scaling),
            tie_embeddings=bool(text.get("tie_word_embeddings", False)),
        ),
        before_first_frame=raw.get("before_first_frame", "skip"),
        k_norm=raw.get("k_norm", "after_rotation"),
        frame_rope=not plain,
        image_token_id=raw.get("image_token_index", vocab_size),
        silence_token_id=raw.get("silence_token_id", None if plain else 128011),
        silence_weight=float(raw.get("silence_token_weight", 1.0)),
        memory_frames=raw.get("memory_frames", 256),
        text_tokens=raw.get("text_tokens", 4096),
    )


def _rope_scaling(raw: Mapping[str, Any]) -> RopeScaling | None:
    kind = raw.get("rope_type", raw.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise ModelError(f"rope_scaling {kind!r} is not one of llama3, default.")
    return RopeScaling(
        factor=raw["factor"],
        low_freq_factor=raw["low_freq_factor"],
        high_freq_factor=raw["high_freq_factor"],
        original_length=raw["original_max_position_embeddings"],
    )


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder's safetensors files, sharded or not, by name; shapes [...] as stored.

    Raises:
        CheckpointError: no file, a file that is no safetensors, or a shard that the index names but is absent.
    """
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        files = [single]
    elif index.is_file():
        files = [folder / name for name in _shards(index)]
    else:
        files = sorted(folder.glob("*.safetensors"))
    absent = [path.name for path in files if not path.is_file()]
    if absent or not files:
        raise CheckpointError(f"{folder.name} has no weights: {', '.join(absent) or '*.safetensors'} not found.")
    tensors: dict[str, Tensor] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as shard:
                tensors.update({name: shard.get_tensor(name) for name in shard.keys()})  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{path.name} in {folder.name} is not a whole safetensors file: {error}.") from error
    return tensors


def _shards(index: Path) -> list[str]:
    try:
        return sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index.name} in {index.parent.name} is not an index of shards: {error}.") from error


def to_own_name(name: str) -> str:
    """Translate an mllama tensor name; names we do not know come back unchanged."""
    return next((own + name[len(theirs) :] for theirs, own in PREFIXES if name.startswith(theirs)), name)


def to_mllama_name(name: str) -> str:
    """Translate one of our tensor names back; the inverse of `to_own_name`."""
    return next((theirs + name[len(own) :] for theirs, own in PREFIXES if name.startswith(own)), name)


def _assign(model: VideoModel, tensors: dict[str, Tensor], folder: Path) -> None:
    wanted = model.state_dict()
    if model.merger is None:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("merger.")}
    if "decoder.lm_head.weight" not in wanted:
        tensors.pop("decoder.lm_head.weight", None)
    problems = {
        "missing": sorted(wanted.keys() - tensors.keys()),
        "left over": sorted(tensors.keys() - wanted.keys()),
        "of the wrong shape": [
            f"{name} {list(tensors[name].shape)} instead of {list(wanted[name].shape)}"
            for name in sorted(wanted.keys() & tensors.keys())
            if tensors[name].shape != wanted[name].shape
        ],
    }
    said = [f"{len(names)} {what}: {_few(names)}" for what, names in problems.items() if names]
    if said:
        raise CheckpointError(
            f"the tensors in {folder.name} do not fit its config.json; {'; '.join(said)}. "
            "Download the folder again, or correct its config.json."
        )
    model.load_state_dict(tensors, assign=True)


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
