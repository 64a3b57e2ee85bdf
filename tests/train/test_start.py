"""Starting points: a released checkpoint as found, and a plain Llama-3.2-Vision that becomes a video model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.fakes import TILE_VIT, tiny_config, tokenizer_json
from vigil.config import ModelConfig
from vigil.errors import ConfigError, ModelError
from vigil.model import VideoModel
from vigil.model.tokens import ELLIPSIS, SILENCE, SPECIAL_TOKENS
from vigil.train.export import export
from vigil.train.start import RESERVED, Start, begin

GOLDEN = Path(__file__).parents[1] / "golden" / "tiny"


def plain_config() -> ModelConfig:
    """A config such as Llama-3.2-Vision's, at tiny size."""
    config = tiny_config(
        replace(TILE_VIT, image_px=56, pooling="none", stride=1, padding_sees_padding=False),
        frame_rope=False,
        silence_token_id=None,
        before_first_frame="skip",
    )
    return replace(config, text=replace(config.text, qk_norm=False, num_extra_embeddings=8, tie_embeddings=False))


def plain_folder(folder: Path) -> VideoModel:
    """Written in the released layout, with Llama's reserved tokens in the place of ours."""
    model = VideoModel(plain_config())
    assert export(model, folder) == "mllama"
    names = [RESERVED.get(name, name) for name in SPECIAL_TOKENS]
    (folder / "tokenizer.json").write_text(tokenizer_json(names))
    return model


def test_a_released_checkpoint_is_taken_as_found() -> None:
    (config, _, model) = begin(Start(name=str(GOLDEN)))
    assert model is not None
    assert (config.vision.pooling, config.vision.stride, config.frame_rope) == ("average", 2, True)
    assert all(param.requires_grad and param.dtype == torch.float32 for param in model.parameters())
    assert begin(Start(name=str(GOLDEN)), weights=False).config == config


def test_an_image_model_keeps_its_weights_and_gets_pooling_time_and_the_grammar_s_tokens(tmp_path: Path) -> None:
    found = plain_folder(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    assert "pool_mode" not in raw
    config, tokenizer, model = begin(Start(name=str(tmp_path)))
    assert model is not None
    assert tokenizer is not None
    assert (config.vision.pooling, config.vision.stride, config.vision.tokens_per_frame) == ("average", 4, 2)
    assert (config.frame_rope, config.vision.padding_sees_padding) == (True, True)
    assert config.silence_token_id == tokenizer.special(SILENCE) == 256 + SPECIAL_TOKENS.index(SILENCE)
    assert tokenizer.has(ELLIPSIS)
    for name, value in found.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_pooling_is_chosen_and_a_learnt_one_begins_as_the_average(tmp_path: Path) -> None:
    plain_folder(tmp_path)
    average = begin(Start(name=str(tmp_path), pooling="average", stride=2)).model
    fusion = begin(Start(name=str(tmp_path), pooling="channelFusion", stride=2)).model
    assert average is not None
    assert fusion is not None
    frames = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fusion.encode_frames(frames)[0], average.encode_frames(frames)[0])


def test_pooling_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be pooled so: stride must be between 1 and the grid side 4, got 9"):
        begin(Start(name=str(GOLDEN), stride=9))
    with pytest.raises(ConfigError, match="nano has no pooling"):
        begin(Start(pooling="max"))
