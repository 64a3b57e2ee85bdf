"""Where training starts: a nano from scratch, or a folder or hub name of a model.

From a plain Llama-3.2-Vision the cross layers and the projector are taken as they are found; pooling, the rotary
positions of frames and the two control tokens of the slot grammar are what makes it a video model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from vigil.config import ModelConfig, Pooling
from vigil.errors import ConfigError, ModelError
from vigil.model.model import VideoModel
from vigil.model.tokens import ELLIPSIS, SILENCE, Tokenizer
from vigil.model.weights import find_folder, load, read_config
from vigil.train.nano import new_nano

SCRATCH = "scratch"
RESERVED = {SILENCE: "<|reserved_special_token_3|>", ELLIPSIS: "<|reserved_special_token_4|>"}
"""Llama 3's reserved tokens that the released models use (ids 128011 and 128012)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What training starts from."""

    name: str = SCRATCH
    """"scratch" (a new nano), a folder, or a hub name such as "org/name"."""
    pooling: Pooling | None = None
    """None: as found; a plain Llama-3.2-Vision gets "average"."""
    stride: int | None = None
    """Side of the square of patches that pooling merges; None: as found, or 4."""


class Begun(NamedTuple):
    """A model to train."""

    config: ModelConfig
    tokenizer: Tokenizer | None
    model: VideoModel | None
    """None where only the config was asked for."""


def begin(start: Start, *, weights: bool = True) -> Begun:
    """Read a starting point; without `weights` only what a dry run and the other processes need.

    Raises:
        ModelError: no such model, or pooling that does not fit it.
    """
    if start.name == SCRATCH:
        if start.pooling is not None or start.stride is not None:
            raise ConfigError("nano has no pooling. Leave --pooling and --stride out, or give --init.")
        model = new_nano()
        return Begun(model.config, model.tokenizer, model.float() if weights else None)
    folder = find_folder(start.name)
    found, _ = read_config(folder)
    tokenizer = _tokenizer(folder)
    try:
        config = video_config(found, start)
    except ConfigError as error:
        raise ModelError(f"{folder.name} cannot be pooled so: {error}") from error
    if tokenizer is not None and tokenizer.has(SILENCE):
        config = replace(config, silence_token_id=tokenizer.special(SILENCE))
    if not weights:
        return Begun(config, tokenizer, None)
    as_found = load(folder, device="cpu", dtype=torch.float32)
    with torch.device("meta"):
        model = VideoModel(config)
    model.load_state_dict(_merger(model) | as_found.state_dict(), assign=True)
    model.requires_grad_(True)
    model.tokenizer = tokenizer
    return Begun(config, tokenizer, model)


def video_config(found: ModelConfig, start: Start) -> ModelConfig:
    """The config that is trained: as found, with pooling chosen.

    A model of images becomes one of video as the released models did: frames get rotary positions, and the padding of
    the vision encoder takes part as keys.
    """
    is_plain = not found.frame_rope
    pooling = start.pooling or ("average" if is_plain else found.vision.pooling)
    stride = start.stride or (min(4, found.vision.grid) if is_plain else found.vision.stride)
    vision = replace(found.vision, pooling=pooling, stride=stride, padding_sees_padding=True)
    return replace(found, vision=vision, frame_rope=True)


def _merger(model: VideoModel) -> dict[str, torch.Tensor]:
    """A convolution that starts as the average, so that pooling by "channelFusion" begins where "average" is."""
    if model.merger is None:
        return {}
    dim, side = model.config.vision.feature_dim, model.config.vision.stride
    weight = torch.zeros(dim, dim, side, side)
    nn.init.dirac_(weight)
    return {"merger.weight": weight.sum((2, 3), keepdim=True).expand_as(weight).clone() / side**2}


def _tokenizer(folder: Path) -> Tokenizer | None:
    """The folder's tokenizer; where it lacks the tokens of the slot grammar, reserved tokens take their names."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    found = Tokenizer.from_file(path)
    if found.has(SILENCE) and found.has(ELLIPSIS):
        return found
    content = json.loads(found.to_json())
    names = {reserved: name for name, reserved in RESERVED.items()}
    for token in content["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    vocab = content["model"]["vocab"]
    content["model"]["vocab"] = {names.get(word, word): number for word, number in vocab.items()}
    return Tokenizer(json.dumps(content))
