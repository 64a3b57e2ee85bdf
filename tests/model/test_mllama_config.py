"""What a config.json of the mllama layout means, field by field, and where a model's folder is looked for."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from golden import FOLDER

from vigil.config import RopeScaling, nano
from vigil.errors import CheckpointError, ModelError
from vigil.model.weights import find_folder, mllama_config, read_config, read_tensors, to_mllama_name, to_own_name

RAW: dict[str, Any] = json.loads((FOLDER / "tiny" / "config.json").read_text())
PLAIN = {key: value for key, value in RAW.items() if key not in ("pool_mode", "stride")}
"""What a Llama-3.2-Vision folder has: no word about pooling or stride."""
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 2.0,
    "high_freq_factor": 5.0,
    "original_max_position_embeddings": 77,
}


def changed(raw: dict[str, Any], section: str = "", **changes: Any) -> dict[str, Any]:
    copy = deepcopy(raw)
    (copy[section] if section else copy).update(changes)
    return copy


def without(raw: dict[str, Any], section: str, *names: str) -> dict[str, Any]:
    copy = deepcopy(raw)
    for name in names:
        copy[section].pop(name, None)
    return copy


def test_numbers_of_the_encoder_and_the_decoder_are_taken_over() -> None:
    config = mllama_config(RAW)
    vision, text = RAW["vision_config"], RAW["text_config"]
    assert (config.vision.image_px, config.vision.patch_px) == (vision["image_size"], vision["patch_size"])
    assert (config.vision.width, config.vision.num_heads) == (vision["hidden_size"], vision["attention_heads"])
    assert config.vision.mlp_width == vision["intermediate_size"]
    assert config.vision.num_local_layers == vision["num_hidden_layers"]
    assert config.vision.num_global_layers == vision["num_global_layers"]
    assert config.vision.feature_layers == tuple(vision["intermediate_layers_indices"])
    assert config.vision.max_num_tiles == vision["max_num_tiles"]
    assert (config.text.width, config.text.num_layers) == (text["hidden_size"], text["num_hidden_layers"])
    assert (config.text.num_heads, config.text.num_kv_heads) == (
        text["num_attention_heads"],
        text["num_key_value_heads"],
    )
    assert config.text.mlp_width == text["intermediate_size"]
    assert config.text.cross_layers == tuple(text["cross_attention_layers"])
    assert config.text.vocab_size == text["vocab_size"]


@pytest.mark.parametrize(
    ("raw", "pooling", "stride", "is_video"),
    [
        (changed(PLAIN, pool_mode="max", stride=2), "max", 2, True),
        (changed(PLAIN, stride=2), "average", 2, True),
        (changed(PLAIN, pool_mode="max"), "max", 4, True),
        (changed(PLAIN, "vision_config", merge_mode="bilinear", merge_size=2), "bilinear", 2, True),
        (changed(PLAIN, model_type="video_mllama"), "average", 4, True),
        (PLAIN, "none", 1, False),
    ],
    ids=["training-names", "a-stride-alone", "a-pooling-alone", "release-names", "video-without-words", "plain"],
)
def test_pooling_is_read_in_either_spelling_and_plain_models_have_none(
    raw: dict[str, Any], pooling: str, stride: int, is_video: bool
) -> None:
    raw = changed(raw, "vision_config", image_size=4 * raw["vision_config"]["patch_size"])
    config = mllama_config(raw)
    assert (config.vision.pooling, config.vision.stride) == (pooling, stride)
    assert config.frame_rope is config.vision.padding_sees_padding is is_video


def test_a_plain_model_has_no_silence_and_a_video_model_has_that_of_the_release() -> None:
    bare = {key: value for key, value in PLAIN.items() if key != "silence_token_id"}
    assert mllama_config(bare).silence_token_id is None
    assert mllama_config(changed(bare, pool_mode="average", stride=2)).silence_token_id == 128011
    assert mllama_config(changed(bare, silence_token_id=7)).silence_token_id == 7


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"rope_scaling": None}, None),
        ({"rope_scaling": {"rope_type": "default"}}, None),
        (
            {"rope_scaling": LLAMA3},
            RopeScaling(factor=32.0, low_freq_factor=2.0, high_freq_factor=5.0, original_length=77),
        ),
        (
            {"rope_parameters": LLAMA3},
            RopeScaling(factor=32.0, low_freq_factor=2.0, high_freq_factor=5.0, original_length=77),
        ),
        (
            {"rope_scaling": {**LLAMA3, "type": LLAMA3["rope_type"]}},
            RopeScaling(factor=32.0, low_freq_factor=2.0, high_freq_factor=5.0, original_length=77),
        ),
    ],
    ids=["absent", "null", "default", "llama3", "transformers-5", "both-words"],
)
def test_stretching_of_positions(given: dict[str, Any], expected: RopeScaling | None) -> None:
    raw = without(RAW, "text_config", "rope_scaling", "rope_parameters")
    assert mllama_config(changed(raw, "text_config", **given)).text.rope_scaling == expected


def test_an_unknown_stretching_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="rope_scaling 'yarn' is not one of llama3, default"):
        mllama_config(changed(RAW, "text_config", rope_scaling={"type": "yarn"}))


@pytest.mark.parametrize(
    ("section", "name", "field", "default"),
    [
        ("text_config", "rms_norm_eps", "norm_eps", 1e-5),
        ("text_config", "tie_word_embeddings", "tie_embeddings", False),
        ("text_config", "rope_theta", "rope_theta", 500_000.0),
    ],
)
def test_a_field_that_a_folder_may_leave_out_has_the_usual_value(
    section: str, name: str, field: str, default: Any
) -> None:
    raw = without(RAW, section, name, "rope_scaling", "rope_parameters")
    assert getattr(mllama_config(raw).text, field) == default
    given = {False: True, 1e-5: 1e-6, 500_000.0: 10_000.0}[default]
    assert getattr(mllama_config(changed(raw, section, **{name: given})).text, field) == given


def test_the_base_of_rotation_may_stand_among_the_rope_parameters() -> None:
    raw = without(RAW, "text_config", "rope_theta", "rope_scaling")
    nested = changed(raw, "text_config", rope_parameters={"rope_type": "default", "rope_theta": 123.0})
    assert mllama_config(nested).text.rope_theta == 123.0


def test_the_placeholder_is_the_first_row_beyond_the_vocabulary_unless_named() -> None:
    bare = {key: value for key, value in RAW.items() if key != "image_token_index"}
    assert mllama_config(bare).image_token_id == RAW["text_config"]["vocab_size"]
    assert mllama_config(changed(bare, image_token_index=5)).image_token_id == 5


def test_lengths_of_a_stream_may_be_named_by_the_folder() -> None:
    assert (mllama_config(RAW).memory_frames, mllama_config(RAW).text_tokens) == (256, 4096)
    config = mllama_config(changed(RAW, memory_frames=12, text_tokens=300))
    assert (config.memory_frames, config.text_tokens) == (12, 300)


def test_tables_of_aspect_ratios_have_as_many_rows_as_ratios() -> None:
    raw = changed(RAW, "vision_config", supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]])
    assert mllama_config(raw).vision.num_aspect_ratios == 3
    assert mllama_config(without(RAW, "vision_config", "supported_aspect_ratios")).vision.num_aspect_ratios == 8


# ---- names ----------------------------------------------------------------------------------------------------------

NAMES = {
    "language_model.model.layers.3.cross_attn.q_proj.weight": "decoder.layers.3.cross_attn.q_proj.weight",
    "language_model.model.embed_tokens.weight": "decoder.embed_tokens.weight",
    "language_model.lm_head.weight": "decoder.lm_head.weight",
    "multi_modal_projector.weight": "projector.weight",
    "patch_merger.weight": "merger.weight",
    "vision_model.class_embedding": "vision.class_embedding",
    "vision_model.transformer.layers.0.mlp.fc1.weight": "vision.local_layers.0.mlp.fc1.weight",
    "vision_model.global_transformer.layers.1.gate_attn": "vision.global_layers.1.gate_attn",
    "vision_model.gated_positional_embedding.gate": "vision.position_gate",
    "vision_model.gated_positional_embedding.embedding": "vision.position_embedding",
    "vision_model.gated_positional_embedding.tile_embedding.weight": "vision.tile_position_embedding.weight",
    "vision_model.pre_tile_positional_embedding.gate": "vision.pre_tile_gate",
    "vision_model.pre_tile_positional_embedding.embedding.weight": "vision.pre_tile_embedding.weight",
    "vision_model.post_tile_positional_embedding.embedding.weight": "vision.post_tile_embedding.weight",
}


@pytest.mark.parametrize(("theirs", "own"), NAMES.items())
def test_a_tensor_has_this_name_here_and_that_name_there(theirs: str, own: str) -> None:
    assert to_own_name(theirs) == own
    assert to_mllama_name(own) == theirs


def test_a_name_that_is_not_known_stays_as_it_is() -> None:
    assert to_own_name("somewhere.else") == "somewhere.else"
    assert to_mllama_name("somewhere.else") == "somewhere.else"


# ---- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_is_itself_and_a_bundled_name_is_found_in_the_package(tmp_path: Path) -> None:
    assert find_folder(tmp_path) == tmp_path
    assert (find_folder("nano") / "config.json").is_file()
    assert read_config(find_folder("nano"))[1], "in our own layout"


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "/x", "x/", "./x", "../x"])
def test_what_is_no_folder_no_bundled_model_and_no_hub_name_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=f"no model at '{name}': not a folder"):
        find_folder(name)


def test_a_folder_may_stand_in_the_current_one_under_a_bundled_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_folder("nano") == Path("nano"), "what the user has goes before what the package has"


def test_a_single_file_goes_before_an_index_and_any_other_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torch import ones

    save_file({"a": ones(1)}, tmp_path / "other.safetensors")
    assert read_tensors(tmp_path).keys() == {"a"}
    save_file({"b": ones(1)}, tmp_path / "shard.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"b": "shard.safetensors"}}))
    assert read_tensors(tmp_path).keys() == {"b"}
    save_file({"c": ones(1)}, tmp_path / "model.safetensors")
    assert read_tensors(tmp_path).keys() == {"c"}


def test_an_index_that_names_no_files_says_which_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": 3, "b": "x.safetensors"}}')
    with pytest.raises(CheckpointError, match=r"has no weights: 3, x\.safetensors not found"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("text", ["[]", '{"weight_map": [1]}', "\udcff"])
def test_an_index_that_is_none_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json in .* is not an index of shards"):
        read_tensors(tmp_path)


def test_nano_has_the_lengths_it_was_trained_on() -> None:
    config = nano(vocab_size=10, image_token_id=10, silence_token_id=4)
    assert (config.memory_frames, config.text_tokens, config.vision.tokens_per_frame) == (60, 256, 16)
