"""Frames of several streams in one batch are what each is alone, and no stream sees another's past."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import CONV, TILE_VIT, picture, tiny_config, tiny_model

from vigil.config import VisionConfig
from vigil.errors import ShapeError
from vigil.stream.perceiver import Glance, Perceived, Perceiver, perceive_together
from vigil.types import Frame

BOTH = pytest.mark.parametrize("vision", [CONV, TILE_VIT], ids=["conv", "tile-vit"])


def check_equal(one: Perceived, other: Perceived) -> None:
    assert (one.index, one.time_s, one.arrived_s) == (other.index, other.time_s, other.arrived_s)
    for mine, its in zip((*one.projected.keys, *one.projected.values), (*other.projected.keys, *other.projected.values),
                         strict=True):  # fmt: skip
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-5)


@BOTH
def test_streams_perceived_together_are_what_each_is_alone(vision: VisionConfig) -> None:
    model = tiny_model(tiny_config(vision))
    together, alone = [Perceiver(model) for _ in range(3)], [Perceiver(model) for _ in range(3)]
    for round_, chosen in enumerate([(0,), (0, 1), (2, 0, 1), (1, 2)]):  # streams begin at different rounds
        frames = {i: Frame(picture(10 * round_ + i), float(round_)) for i in chosen}
        got = perceive_together(model, [Glance(together[i], round_, frames[i], 0.5) for i in chosen])
        for i, perceived in zip(chosen, got, strict=True):
            check_equal(perceived, alone[i].perceive(round_, frames[i], arrived_s=0.5))


def test_a_batch_that_fails_leaves_every_stream_where_it_was() -> None:
    model = tiny_model()
    good, bad, other = Perceiver(model), Perceiver(model), Perceiver(model)
    first = Frame(picture(0), 0.0)
    for perceiver in (good, bad, other):
        perceiver.perceive(0, first)
    broken = Glance(bad, 1, Frame(np.zeros((4, 4), np.uint8), 1.0), 1.0)  # type: ignore[arg-type]
    glance = Glance(good, 1, Frame(picture(1), 1.0), 1.0)
    with pytest.raises(ShapeError, match="a frame must be uint8"):
        perceive_together(model, [glance, broken])
    (again,) = perceive_together(model, [glance])
    check_equal(again, other.perceive(1, glance.frame, arrived_s=1.0))
