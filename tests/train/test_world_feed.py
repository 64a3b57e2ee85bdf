"""Batches from the world: which videos a step draws."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tests.fakes import byte_tokenizer
from vigil.data.layout import Layout
from vigil.errors import ConfigError
from vigil.model.tokens import IMAGE
from vigil.train.feed import Step, WorldFeed
from vigil.train.heads import WordHeads
from vigil.train.loss import StateIds
from vigil.train.nano import from_tokenizer
from vigil.train.stages import StageConfig, realtime

TOKENIZER = byte_tokenizer()
STAGE = replace(realtime(3), frames=(3, 4), videos_per_step=4, panel_share=0.0)


def feed(stage: StageConfig) -> WorldFeed:
    layout = Layout(TOKENIZER, image_token_id=TOKENIZER.special(IMAGE))
    return WorldFeed(stage, layout, StateIds.of(TOKENIZER, image_token_id=TOKENIZER.special(IMAGE)))


def panels(step: Step) -> int:
    """How many videos of a step are panels: their first cell has a colour and no thing in it."""
    return sum(bool((cells.things_FC < 0).all() and (cells.background_F >= 0).all()) for cells in step.cells)


def test_each_video_is_a_panel_with_the_probability_of_the_stage() -> None:
    half = feed(replace(STAGE, panel_share=0.5))
    counts = [panels(half.step(number)) for number in range(40)]
    assert 55 < sum(counts) < 105
    assert len(set(counts)) > 2
    assert [panels(feed(STAGE).step(number)) for number in range(5)] == [0] * 5
    assert {panels(feed(replace(STAGE, panel_share=1.0)).step(number)) for number in range(5)} == {4}


def test_videos_of_one_step_are_equally_long_whatever_they_show() -> None:
    mixed = feed(replace(STAGE, panel_share=0.5))
    for number in range(8):
        step = mixed.step(number)
        assert len({len(cells.background_F) for cells in step.cells}) == 1


def test_a_share_must_be_one() -> None:
    with pytest.raises(ConfigError, match="panel_share must lie in"):
        replace(STAGE, panel_share=1.5)


def test_the_heads_learn_from_panels_alone_in_which_there_is_no_thing_to_name() -> None:
    torch.manual_seed(0)
    model = from_tokenizer(TOKENIZER)
    heads = WordHeads(model, TOKENIZER)
    step = feed(replace(STAGE, panel_share=1.0)).step(0)
    grid, width = model.config.vision.grid, model.config.text.width
    features_VFPD = torch.randn(len(step.cells), len(step.cells[0].background_F), grid * grid, width)
    loss, things_right = heads(features_VFPD, step.cells, model.decoder.embed_tokens.weight)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert math.isnan(things_right)
