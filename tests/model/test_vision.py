"""Pooling and pre-processing by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vigil.config import VisionConfig
from vigil.errors import ShapeError
from vigil.model.vision import MEAN_RGB, STD_RGB, fit_size, pool_patches, preprocess

GRID_3 = torch.tensor([9.0, 1, 2, 3, 4, 5, 6, 7, 8, 0]).reshape(1, 10, 1)
"""Class token 9, then 1 2 3 / 4 5 6 / 7 8 0."""


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("average", [9.0, 3.0]),  # the third row and column are dropped
        ("max", [9.0, 5.0]),
        ("bilinear", [9.0, 2.0, 3.5, 6.5, 2.9375]),  # 2x2: samples at 0.25 and 1.75 of the grid
        ("none", [9.0, 1, 2, 3, 4, 5, 6, 7, 8, 0]),
    ],
)
def test_pool_by_hand(pooling: str, expected: list[float]) -> None:
    got = pool_patches(GRID_3, pooling=pooling, stride=2).flatten()  # type: ignore[arg-type]
    torch.testing.assert_close(got, torch.tensor(expected))


def test_channel_fusion_weighs_the_patches_of_a_square() -> None:
    merger = nn.Conv2d(1, 1, 2, 2, bias=False)
    merger.weight.data = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]])
    assert pool_patches(GRID_3, pooling="channelFusion", stride=2, merger=merger).flatten().tolist() == [9.0, 5421.0]


def test_pooling_refuses_what_is_not_a_square_grid() -> None:
    with pytest.raises(ShapeError, match=r"1 \+ grid\*\*2 tokens a frame, got 9"):
        pool_patches(GRID_3[:, :9], pooling="average", stride=2)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1080, 1920), (315, 560)), ((1920, 1080), (560, 315)), ((30, 40), (420, 560)), ((1, 9999), (1, 560))],
    ids=["wide", "tall", "scaled-up", "never-0"],
)
def test_a_picture_keeps_its_aspect_on_the_canvas(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit_size(*size, 560) == expected


def normal(value: float) -> list[float]:
    return [(value - mean) / std for mean, std in zip(MEAN_RGB, STD_RGB, strict=True)]


def test_padding_is_black_right_and_below_and_laid_before_normalisation() -> None:
    white_HWC = np.full((10, 20, 3), 255, np.uint8)
    x_CII = preprocess(white_HWC, VisionConfig(image_px=28, stride=2))
    torch.testing.assert_close(x_CII[:, 13, 27], torch.tensor(normal(1.0)))
    torch.testing.assert_close(x_CII[:, 14, 0], torch.tensor(normal(0.0)))
    stretched_CII = preprocess(white_HWC, VisionConfig(image_px=28, stride=2, fit="stretch"))
    torch.testing.assert_close(stretched_CII[:, 27, 27], torch.tensor(normal(1.0)))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (3, 8, 8), (0, 8, 3)], ids=str)
def test_a_frame_that_is_no_rgb_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"must be uint8 \[H, W, 3\], got uint8"):
        preprocess(np.zeros(shape, np.uint8), VisionConfig(image_px=28, stride=2))
    with pytest.raises(ShapeError, match="got float32"):
        preprocess(np.zeros((4, 4, 3), np.float32), VisionConfig(image_px=28, stride=2))
