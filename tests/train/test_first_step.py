"""Where training starts: what is changed of a model that was found, and a tokenizer made from nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import TILE_VIT, tiny_config, tiny_model, tokenizer_json
from hypothesis import given
from hypothesis import strategies as st

from vigil.config import ModelConfig
from vigil.errors import ConfigError, ModelError
from vigil.model.tokens import ELLIPSIS, SILENCE, SPECIAL_TOKENS, Tokenizer
from vigil.model.weights import load, save
from vigil.train.nano import from_tokenizer
from vigil.train.start import RESERVED, Start, begin, video_config
from vigil.train.tokenizer import train_tokenizer

FOUR = replace(TILE_VIT, image_px=56, pooling="max", stride=2)
VIDEO = tiny_config(FOUR)
PLAIN = tiny_config(replace(FOUR, pooling="none", stride=1, padding_sees_padding=False), frame_rope=False)


@pytest.mark.parametrize(
    ("found", "start", "pooling", "stride"),
    [
        (VIDEO, {}, "max", 2),
        (VIDEO, {"pooling": "average"}, "average", 2),
        (VIDEO, {"stride": 4}, "max", 4),
        (PLAIN, {}, "average", 4),
        (PLAIN, {"pooling": "bilinear", "stride": 3}, "bilinear", 3),
        (tiny_config(replace(PLAIN.vision, image_px=28), frame_rope=False), {}, "average", 2),
    ],
    ids=["as-found", "another-pooling", "another-stride", "images", "images-as-asked", "a-small-grid"],
)
def test_pooling_is_as_found_or_as_asked_for(
    found: ModelConfig, start: dict[str, Any], pooling: str, stride: int
) -> None:
    config = video_config(found, Start(name="x", **start))
    assert (config.vision.pooling, config.vision.stride) == (pooling, stride)
    assert config.frame_rope
    assert config.vision.padding_sees_padding
    assert config.text == found.text


def test_a_stride_beyond_the_grid_is_refused_with_the_folder_s_name(tmp_path: Path) -> None:
    save(tiny_model(VIDEO), tmp_path / "mine")
    with pytest.raises(
        ModelError, match="mine cannot be pooled so: stride must be between 1 and the grid side 4, got 9"
    ):
        begin(Start(name=str(tmp_path / "mine"), stride=9))


@pytest.mark.parametrize("changes", [{"pooling": "max"}, {"stride": 2}])
def test_a_new_nano_has_no_pooling_to_choose(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="nano has no pooling"):
        begin(Start(**changes))


def test_a_learnt_pooling_begins_as_the_average(tmp_path: Path) -> None:
    save(tiny_model(tiny_config(replace(FOUR, pooling="average"))), tmp_path / "mine")
    fused = begin(Start(name=str(tmp_path / "mine"), pooling="channelFusion")).model
    average = load(tmp_path / "mine", device="cpu")
    assert fused is not None
    frames = torch.randn(2, 3, 56, 56)
    torch.testing.assert_close(fused.encode_frames(frames)[0], average.encode_frames(frames)[0], rtol=0, atol=1e-4)
    assert all(param.requires_grad for param in fused.parameters()), "all of it can be trained"


def test_without_weights_only_the_config_and_the_tokenizer_are_read(tmp_path: Path) -> None:
    save(tiny_model(VIDEO), tmp_path / "mine")
    (tmp_path / "mine" / "model.safetensors").unlink()
    begun = begin(Start(name=str(tmp_path / "mine")), weights=False)
    assert begun.model is None
    assert begun.config == VIDEO
    assert begun.tokenizer is not None


# ---- reserved tokens ------------------------------------------------------------------------------------------------


def llama_tokenizer() -> str:
    """Llama 3's: the control tokens of the slot grammar are not among its names."""
    names = [name for name in SPECIAL_TOKENS if name not in (SILENCE, ELLIPSIS)]
    return tokenizer_json([*names, *(f"<|reserved_special_token_{n}|>" for n in range(6))])


def test_reserved_tokens_take_the_names_that_the_grammar_wants_and_keep_their_ids(tmp_path: Path) -> None:
    save(tiny_model(VIDEO), tmp_path / "mine")
    (tmp_path / "mine" / "tokenizer.json").write_text(llama_tokenizer(), encoding="utf-8")
    before = Tokenizer(llama_tokenizer())
    begun = begin(Start(name=str(tmp_path / "mine")), weights=False)
    assert begun.tokenizer is not None
    for name, reserved in RESERVED.items():
        assert begun.tokenizer.special(name) == before.special(reserved)
        assert not begun.tokenizer.has(reserved)
    assert begun.tokenizer.has("<|reserved_special_token_2|>"), "the others keep theirs"
    assert begun.config.silence_token_id == before.special(RESERVED[SILENCE])
    assert begun.tokenizer.encode("a é") == before.encode("a é")


def test_a_tokenizer_that_has_them_is_taken_as_it_is(tmp_path: Path) -> None:
    save(tiny_model(VIDEO), tmp_path / "mine")
    begun = begin(Start(name=str(tmp_path / "mine")), weights=False)
    assert begun.tokenizer is not None
    assert json.loads(begun.tokenizer.to_json()) == json.loads(Tokenizer(tokenizer_json()).to_json())


# ---- a tokenizer from nothing ---------------------------------------------------------------------------------------

SMALL = train_tokenizer(["The dog runs. The dog sleeps."] * 20, vocab_size=300)


def test_control_tokens_come_first_and_common_words_are_one_token() -> None:
    assert [SMALL.special(name) for name in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    assert SMALL.control_ids == frozenset(range(len(SPECIAL_TOKENS)))
    assert len(SMALL.encode(" dog")) == 1
    assert len(SMALL.encode("user")) == 1
    assert len(SMALL.encode("zebra")) > 1
    assert SMALL.vocab_size <= 300


@given(text=st.text(max_size=40))
def test_any_text_fits_and_comes_back(text: str) -> None:
    ids = SMALL.encode(text)
    assert SMALL.decode(ids) == text.encode("utf-8", "replace").decode()
    assert not SMALL.control_ids.intersection(ids)


def test_a_new_nano_is_the_same_for_the_same_seed_and_says_nothing_of_its_own_yet() -> None:
    one, again, other = from_tokenizer(SMALL, seed=1), from_tokenizer(SMALL, seed=1), from_tokenizer(SMALL, seed=2)
    weights = [list(model.state_dict().values()) for model in (one, again, other)]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))
    assert one.config.text.vocab_size == SMALL.vocab_size
    assert one.config.silence_token_id == SMALL.special(SILENCE)
    ids = torch.tensor([SMALL.encode("The dog runs.")])
    expected = one.decoder.head(one.decoder.norm(one.decoder.embed_tokens(ids)))
    torch.testing.assert_close(one(ids).logits, expected)  # its layers add nothing before they are trained
