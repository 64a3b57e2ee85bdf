"""Pooling and pre-processing by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vigil.config import VisionConfig
from vigil.errors import ConfigError, ShapeError
from vigil.model.vision import MEAN_RGB, STD_RGB, TileViT, fit_size, pool_patches, preprocess, shown_extents

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


def encoder(*, skip_padding: bool, **changes: Any) -> TileViT:
    config = VisionConfig(
        image_px=56, width=16, num_heads=2, mlp_width=24, num_local_layers=2, num_global_layers=1, feature_layers=(1,),
        stride=2, skip_padding=skip_padding, **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    vision = TileViT(config).eval().requires_grad_(False)
    for parameter in vision.parameters():
        parameter.copy_(0.3 * torch.randn_like(parameter))
    return vision


def painted(height: int, width: int) -> Tensor:
    image_HWC = np.random.default_rng(height).integers(1, 256, (height, width, 3), dtype=np.uint8)
    return preprocess(image_HWC, VisionConfig(image_px=56, stride=2))


WIDE, TALL, SQUARE = painted(28, 56), painted(56, 14), painted(56, 56)
"""2 x 4, 4 x 1 and 4 x 4 patches of 14 px that show something."""


def test_a_frame_ends_with_the_last_patch_that_is_not_black() -> None:
    black = preprocess(np.zeros((56, 56, 3), np.uint8), VisionConfig(image_px=56, stride=2))
    frames = torch.stack((WIDE, TALL, SQUARE, black))
    assert shown_extents(frames, 14) == [(2, 4), (4, 1), (4, 4), (1, 1)]
    assert shown_extents(frames.bfloat16(), 14) == [(2, 4), (4, 1), (4, 4), (1, 1)]
    dark = black.clone()
    dark[0, 30, 20] = (1 / 255 - MEAN_RGB[0]) / STD_RGB[0]
    assert shown_extents(dark[None], 14) == [(3, 2)], "the darkest red counts"


def test_a_frame_without_padding_is_encoded_as_ever() -> None:
    exact, skipping = encoder(skip_padding=False), encoder(skip_padding=True)
    torch.testing.assert_close(skipping(SQUARE[None, None])[0], exact(SQUARE[None, None])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("padding_sees_padding", [True, False])
def test_skipped_patches_are_zero_and_the_others_do_not_see_them(padding_sees_padding: bool) -> None:
    vision = encoder(skip_padding=True, padding_sees_padding=padding_sees_padding)
    alone, _ = vision(WIDE[None, None])
    patches = alone[0, 0, 1:].view(4, 4, -1)
    assert patches[:2].abs().amin(-1).gt(0).all()
    assert patches[2:].abs().max() == 0
    vision.position_embedding[9:] = 100.0  # of the rows that are left out
    assert torch.equal(vision(WIDE[None, None])[0], alone)


def test_a_frame_that_skips_padding_does_not_depend_on_its_company() -> None:
    vision = encoder(skip_padding=True)
    together, _ = vision(torch.stack((TALL, WIDE, SQUARE, WIDE))[None])
    for n, frame in enumerate((TALL, WIDE, SQUARE, WIDE)):
        torch.testing.assert_close(together[0, n], vision(frame[None, None])[0][0, 0], rtol=0, atol=1e-5)


def test_the_conv_encoder_has_no_padding_to_skip() -> None:
    with pytest.raises(ConfigError, match="skip_padding is for the tile_vit encoder"):
        VisionConfig(kind="conv", channels=(4, 8), pooling="none", skip_padding=True)
