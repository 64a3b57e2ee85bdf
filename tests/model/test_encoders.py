"""What comes out of the two vision encoders stands where the docstrings say, and pictures come in as they should.

Axes: F frames, C image channels, I image side, G patches per side, X patches and class token, D channels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import CONV, TILE_VIT
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vigil.config import VisionConfig
from vigil.model.vision import MEAN_RGB, STD_RGB, ConvEncoder, TileViT, fit_size, normalise, paint, shown_extents

FOUR = replace(TILE_VIT, image_px=56, num_local_layers=3, feature_layers=(0, 2), stride=2)
"""4 x 4 patches; the inputs of the first and the last local layer are kept."""


def open_encoder(config: VisionConfig = FOUR) -> TileViT:
    """With weights that are nowhere zero."""
    torch.manual_seed(0)
    encoder = TileViT(config).eval().requires_grad_(False)
    for parameter in encoder.parameters():
        parameter.copy_(0.3 * torch.randn_like(parameter))
    return encoder


def one_frame(side: int = 56) -> Tensor:
    return torch.randn(1, 1, 3, side, side)


# ---- the tile encoder -----------------------------------------------------------------------------------------------


def test_the_first_token_is_the_class_and_patches_follow_row_by_row() -> None:
    """Without position, attention or depth a patch depends on its own pixels alone, so a change shows where it is."""
    encoder = open_encoder(replace(FOUR, num_local_layers=1, num_global_layers=0, feature_layers=()))
    for name in ("o_proj",):
        encoder.local_layers[0].self_attn[name].weight.zero_()  # type: ignore[union-attr, index]
    frame = one_frame()
    changed = frame.clone()
    changed[..., 14:28, 42:56] += 1  # row 1, column 3
    moved = (encoder(frame)[0] - encoder(changed)[0]).abs().amax(-1).flatten() > 1e-6
    assert moved.nonzero().flatten().tolist() == [1 + 1 * 4 + 3]


def test_kept_inputs_of_layers_stand_behind_the_output_channel_by_channel() -> None:
    encoder, frame = open_encoder(), one_frame()
    kept: list[Tensor] = []
    for layer in (encoder.local_layers[0], encoder.local_layers[2]):
        layer.register_forward_pre_hook(lambda _, args: kept.append(args[0][:, :17]))
    out = encoder(frame)[0][0, 0]
    assert out.shape == (17, 16 * 3)
    for channel in range(16):
        for j in range(2):
            torch.testing.assert_close(out[:, 16 + channel * 2 + j], kept[j][0, :, channel])


def test_a_layer_that_is_not_named_is_not_kept_and_none_may_be() -> None:
    for layers, channels in (((), 16), ((1,), 32), ((0, 1, 2), 64)):
        config = replace(FOUR, feature_layers=layers)
        assert config.feature_dim == channels
        assert open_encoder(config)(one_frame())[0].shape == (1, 1, 17, channels)


def test_the_gate_of_positions_blends_between_the_two_tables() -> None:
    encoder, frame = open_encoder(), one_frame()

    def added(gate: float) -> Tensor:
        """What the embedding adds to patches and class, against tables of zeros."""
        encoder.position_gate.fill_(gate)
        whole = encoder._embed(frame[0])
        plain, tile = encoder.position_embedding.clone(), encoder.tile_position_embedding.weight.clone()
        encoder.position_embedding.zero_()
        encoder.tile_position_embedding.weight.zero_()
        bare = encoder._embed(frame[0])
        encoder.position_embedding.copy_(plain)
        encoder.tile_position_embedding.weight.copy_(tile)
        return (whole - bare)[0]

    one_tile = encoder.tile_position_embedding.weight[TileViT.ONE_TILE].view(4, 17, 16)[0]
    torch.testing.assert_close(added(0.0), encoder.position_embedding, rtol=0, atol=1e-5)
    torch.testing.assert_close(added(50.0), one_tile, rtol=0, atol=1e-5)


def test_only_the_row_of_one_tile_counts_in_the_tables() -> None:
    encoder, frame = open_encoder(), one_frame()
    before = encoder(frame)[0]
    for table in (encoder.pre_tile_embedding, encoder.post_tile_embedding, encoder.tile_position_embedding):
        table.weight[0] += 1
        table.weight[2:] += 1
        cells = table.weight[TileViT.ONE_TILE].view(4, -1)
        cells[1:] += 1  # the second to fourth tile of the row
    assert torch.equal(encoder(frame)[0], before)
    encoder.post_tile_embedding.weight[TileViT.ONE_TILE].view(4, -1)[0] += 1
    assert (encoder(frame)[0] - before).abs().max() > 1e-3


def test_the_sequence_is_padded_to_a_multiple_and_the_padding_counts_as_keys() -> None:
    """17 tokens are padded to 24; with a multiple of 17 nothing is padded, and the result differs."""
    frame = one_frame()
    padded, exact = open_encoder(), open_encoder(replace(FOUR, pad_multiple=17))
    lengths: list[int] = []
    padded.local_layers[0].register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    exact.local_layers[0].register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    assert (padded(frame)[0] - exact(frame)[0]).abs().max() > 1e-3
    assert lengths == [24, 17]


def test_frames_of_a_batch_are_encoded_each_alone() -> None:
    encoder, frames = open_encoder(), torch.randn(2, 3, 3, 56, 56)
    together, state = encoder(frames)
    assert state is None
    for b in range(2):
        for f in range(3):
            alone = encoder(frames[b : b + 1, f : f + 1])[0][0, 0]
            torch.testing.assert_close(together[b, f], alone, rtol=0, atol=1e-5)


# ---- nano's encoder -------------------------------------------------------------------------------------------------


def conv() -> ConvEncoder:
    torch.manual_seed(0)
    encoder = ConvEncoder(CONV).eval().requires_grad_(False)
    encoder.position_embedding.copy_(torch.randn_like(encoder.position_embedding))
    return encoder


def test_a_still_picture_looks_the_same_in_every_frame_and_a_moving_one_does_not() -> None:
    frame = torch.randn(1, 1, 3, 32, 32)
    features, _ = conv()(frame.expand(-1, 3, -1, -1, -1))
    torch.testing.assert_close(features[:, 0], features[:, 2])
    moving = torch.cat((frame, frame.flip(-1), frame), dim=1)
    features, _ = conv()(moving)
    assert (features[:, 0] - features[:, 2]).abs().max() > 1e-3, "what was there before counts"


def test_the_state_is_the_map_of_the_last_frame_of_each_stream() -> None:
    encoder, frames = conv(), torch.randn(2, 3, 3, 32, 32)
    _, state = encoder(frames)
    assert state.shape == (2, 8, 4, 4)
    for b in range(2):
        torch.testing.assert_close(encoder(frames[b : b + 1, 2:])[1][0], state[b], rtol=0, atol=1e-5)


def test_a_vision_token_stands_for_its_own_part_of_the_picture() -> None:
    frame = torch.zeros(1, 1, 3, 32, 32)
    changed = frame.clone()
    changed[..., 27:30, 27:30] += 5  # far inside the last of four patches
    moved = (conv()(changed)[0] - conv()(frame)[0])[0, 0].abs().amax(-1)
    assert int(moved.argmax()) == 3
    assert moved[0] < moved[3]


# ---- pictures -------------------------------------------------------------------------------------------------------


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), canvas=st.integers(1, 600))
def test_a_fitted_picture_touches_two_edges_and_crosses_none(height: int, width: int, canvas: int) -> None:
    rows, columns = fit_size(height, width, canvas)
    assert max(rows, columns) == canvas
    assert min(rows, columns) >= 1
    longer, shorter = max(height, width), min(height, width)
    assert min(rows, columns) <= max(1, canvas * shorter / longer) + 1e-6
    assert (rows >= columns) == (height >= width) or rows == columns or min(rows, columns) == 1


@pytest.mark.parametrize("canvas", [28, 560])
def test_a_square_picture_fills_the_canvas(canvas: int) -> None:
    assert fit_size(77, 77, canvas) == (canvas, canvas)


def test_normalising_by_hand() -> None:
    pixel = torch.tensor([[[0, 128, 255]]], dtype=torch.uint8)
    expected = [(v / 255 - m) / s for v, m, s in zip((0, 128, 255), MEAN_RGB, STD_RGB, strict=True)]
    assert normalise(pixel).flatten().tolist() == pytest.approx(expected)


def test_normalising_puts_channels_before_rows_and_columns_and_keeps_all_axes_before() -> None:
    images = torch.randint(0, 256, (2, 5, 4, 6, 3), dtype=torch.uint8)
    out = normalise(images)
    assert out.shape == (2, 5, 3, 4, 6)
    torch.testing.assert_close(out[1, 3, :, 2, 5], normalise(images[1, 3])[:, 2, 5])


def test_a_picture_of_the_right_size_is_painted_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    for fit in ("pad", "stretch"):
        assert np.array_equal(paint(image, replace(TILE_VIT, fit=fit)), image)


@pytest.mark.parametrize(("shape", "lit"), [((10, 20), (14, 28)), ((20, 10), (28, 14)), ((28, 1), (28, 1))])
def test_what_a_picture_does_not_fill_is_black(shape: tuple[int, int], lit: tuple[int, int]) -> None:
    canvas = paint(np.full((*shape, 3), 200, np.uint8), TILE_VIT)
    assert canvas.shape == (28, 28, 3)
    rows, columns = canvas.any((1, 2)), canvas.any((0, 2))
    assert (int(rows.sum()), int(columns.sum())) == lit
    assert (canvas[: lit[0], : lit[1]] == 200).all()


@given(rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_the_extent_of_a_picture_is_found_again(rows: int, columns: int) -> None:
    image = np.zeros((56, 56, 3), np.uint8)
    image[rows * 14 - 1, columns * 14 - 1] = 255
    assert shown_extents(normalise(torch.from_numpy(image))[None], 14) == [(rows, columns)]
