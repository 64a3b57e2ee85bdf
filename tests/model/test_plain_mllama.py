"""A plain Llama-3.2-Vision folder gives what transformers' own implementation gives. Needs the extra `hf`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import tokenizer_json
from golden import assert_close
from safetensors.torch import save_file
from torch import Tensor

from vigil.config import StreamConfig
from vigil.model import load
from vigil.stream.watch import answer

transformers = pytest.importorskip("transformers")

VISION: dict[str, Any] = {
    "image_size": 28,
    "patch_size": 14,
    "hidden_size": 32,
    "attention_heads": 4,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_global_layers": 2,
    "intermediate_layers_indices": [1, 2],
    "max_num_tiles": 1,
    "norm_eps": 1e-5,
    "supported_aspect_ratios": [[1, 1]],
}
TEXT: dict[str, Any] = {
    "vocab_size": 270,
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "cross_attention_layers": [1, 3],
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
}
ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
IMAGE_ID = 270


def reference() -> Any:
    """transformers' model at tiny size: random weights, gates open."""
    newer = int(transformers.__version__.split(".")[0]) >= 5
    rope = {"rope_parameters": {**ROPE, "rope_theta": TEXT["rope_theta"]}} if newer else {"rope_scaling": ROPE}
    config = transformers.MllamaConfig(
        vision_config={**VISION, "vision_output_dim": 32 * 3},
        text_config={**TEXT, **rope, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
        image_token_index=IMAGE_ID,
    )
    model = transformers.MllamaForConditionalGeneration(config).eval()
    random = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        spread = 0.5 if weight.ndim < 2 or "embedding" in name else weight[0].numel() ** -0.5
        weight.data = torch.randn(weight.shape, generator=random) * spread + (1.0 if "norm" in name else 0.0)
    take_inputs_of_layers(getattr(model, "model", model).vision_model)
    return model


def take_inputs_of_layers(vision: Any) -> None:
    """Have the reference collect what enters the intermediate layers, as transformers 4.46 did when the checkpoints
    were published; newer versions collect what leaves them, so the layer before is named."""
    x = torch.randn(1, 8, VISION["hidden_size"])
    hidden = vision.transformer(x, attention_mask=None).hidden_states
    if not torch.equal(hidden[0], x):
        vision.intermediate_layers_indices = [layer - 1 for layer in VISION["intermediate_layers_indices"]]


def old_name(name: str) -> str:
    """Name that a tensor had in transformers 4.46, which is what checkpoints hold."""
    name = re.sub(r"^model\.language_model\.", "language_model.model.", name)
    name = re.sub(r"^lm_head\.", "language_model.lm_head.", name)
    return name.removeprefix("model.")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The reference, and its weights in a folder as it is published."""
    folder, theirs = tmp_path_factory.mktemp("plain"), reference()
    tensors = {old_name(name): tensor.clone() for name, tensor in theirs.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "mllama", "image_token_index": IMAGE_ID, "vision_config": VISION}
    (folder / "config.json").write_text(json.dumps({**config, "text_config": {**TEXT, "rope_scaling": ROPE}}))
    names = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    (folder / "tokenizer.json").write_text(tokenizer_json(names))
    return theirs, folder


def image_first() -> tuple[Tensor, Tensor]:
    """An image, and text that begins with its placeholder."""
    random = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(3, 256, (1, 80), generator=random)
    ids_BT[0, 0] = IMAGE_ID
    return torch.randn(1, 1, 3, 28, 28, generator=random), ids_BT


@torch.inference_mode()
def test_logits_equal_those_of_transformers(both: tuple[Any, Path]) -> None:
    theirs, folder = both
    frames, ids_BT = image_first()
    want = theirs(
        input_ids=ids_BT,
        pixel_values=frames[:, :, None],
        aspect_ratio_ids=torch.tensor([[1]]),
        aspect_ratio_mask=torch.tensor([[[1]]]),
        cross_attention_mask=torch.ones(1, 80, 1, 1, dtype=torch.long),
        attention_mask=torch.ones(1, 80, dtype=torch.long),
    ).logits
    ours = load(folder, device="cpu")
    assert_close(ours(ids_BT, frames, torch.tensor([[0]])).logits, want)
    assert (ours(ids_BT, -frames, torch.tensor([[0]])).logits - want).abs().max() > 1e-2, "the image is seen"


def test_a_plain_folder_is_recognised_by_what_it_lacks(both: tuple[Any, Path]) -> None:
    config = load(both[1], device="cpu").config
    assert (config.frame_rope, config.vision.pooling, config.silence_token_id) == (False, "none", None)
    assert not config.vision.padding_sees_padding


def test_it_answers_offline_although_it_has_no_silence_token(both: tuple[Any, Path]) -> None:
    model = load(both[1], device="cpu")
    frames, _ = image_first()
    pixels = (frames[0, 0].movedim(0, -1).sigmoid() * 255).byte().numpy()
    said = answer(model, [(pixels, 0.0)], "What?", config=StreamConfig(max_answer_tokens=4))
    assert len(said.encode()) <= 12
