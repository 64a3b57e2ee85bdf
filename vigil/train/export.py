"""Writes a model as a folder: in our own layout, or in that of the released models (mllama, in training names).

Either kind is what `vigil.load` reads.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file

from vigil.config import ModelConfig
from vigil.errors import ModelError
from vigil.model.model import VideoModel
from vigil.model.weights import mllama_config, save, to_mllama_name

Layout = Literal["vigil", "mllama"]
_ASPECT_RATIOS = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
"""Height and width in tiles; a frame is always the first."""


def export(model: VideoModel, folder: Path, layout: Layout | None = None) -> Layout:
    """Write config, weights and tokenizer; without `layout` in the released one where the model fits it.

    Returns the layout that was written.

    Raises:
        ModelError: the released layout has no words for something in this model's config.
    """
    if layout is None:
        layout = "vigil" if _unsayable(model.config) else "mllama"
    if layout == "vigil":
        save(model, folder)
        return layout
    unsayable = _unsayable(model.config)
    if unsayable:
        raise ModelError(f"the mllama layout cannot say {'; '.join(unsayable)}. Export with --layout vigil.")
    folder.mkdir(parents=True, exist_ok=True)
    raw = released_config(model.config)
    (folder / "config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    tensors = {to_mllama_name(name): tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    if model.tokenizer is not None:
        (folder / "tokenizer.json").write_text(model.tokenizer.to_json(), encoding="utf-8")
    return layout


def released_config(config: ModelConfig) -> dict[str, Any]:
    """Spell a config in the released models' training names."""
    vision, text = config.vision, config.text
    raw: dict[str, Any] = {
        "architectures": ["VideoMllamaForConditionalGeneration"],
        "model_type": "mllama",
        "image_token_index": config.image_token_id,
        "silence_token_id": config.silence_token_id,
        "silence_token_weight": config.silence_weight,
        "memory_frames": config.memory_frames,
        "text_tokens": config.text_tokens,
        "before_first_frame": config.before_first_frame,
        "k_norm": config.k_norm,
        "pool_mode": vision.pooling,
        "stride": vision.stride,
        "vision_config": {
            "model_type": "mllama_vision_model",
            "image_size": vision.image_px,
            "patch_size": vision.patch_px,
            "hidden_size": vision.width,
            "attention_heads": vision.num_heads,
            "intermediate_size": vision.mlp_width,
            "num_hidden_layers": vision.num_local_layers,
            "num_global_layers": vision.num_global_layers,
            "intermediate_layers_indices": list(vision.feature_layers),
            "norm_eps": vision.norm_eps,
            "max_num_tiles": vision.max_num_tiles,
            "supported_aspect_ratios": _ASPECT_RATIOS[: vision.num_aspect_ratios],
            "vision_output_dim": vision.feature_dim,
        },
        "text_config": {
            "model_type": "mllama_text_model",
            "vocab_size": text.vocab_size,
            "hidden_size": text.width,
            "num_hidden_layers": text.num_layers,
            "cross_attention_layers": list(text.cross_layers),
            "num_attention_heads": text.num_heads,
            "num_key_value_heads": text.num_kv_heads,
            "intermediate_size": text.mlp_width,
            "rms_norm_eps": text.norm_eps,
            "rope_theta": text.rope_theta,
            "tie_word_embeddings": text.tie_embeddings,
        },
    }
    if not config.frame_rope:
        del raw["pool_mode"], raw["stride"]
    scaling = text.rope_scaling
    if scaling is not None:
        numbers = asdict(scaling)
        numbers["original_max_position_embeddings"] = numbers.pop("original_length")
        raw["text_config"]["rope_scaling"] = {"rope_type": "llama3", **numbers}
    return raw


def _unsayable(config: ModelConfig) -> list[str]:
    """What is lost when a config is written in the released layout and read again, but for a starting value."""
    read = mllama_config(released_config(config))
    read = replace(read, text=replace(read.text, gate_start=config.text.gate_start))
    lost = []
    for part, ours, theirs in (("vision.", config.vision, read.vision), ("text.", config.text, read.text)):
        lost += _differences(part, asdict(ours), asdict(theirs))
    return lost + _differences("", _top(config), _top(read))


def _top(config: ModelConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name not in ("vision", "text")}


def _differences(part: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [f"{part}{name} = {value!r}" for name, value in ours.items() if theirs[name] != value]
