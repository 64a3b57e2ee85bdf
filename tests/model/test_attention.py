"""The seam: what cross-attention writes and reads, against formulas written out slowly.

Axes: F frames, P vision tokens, K key/value heads, H head channels, T text tokens, S = F * P, D channels.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes import tiny_config, tiny_model
from torch import Tensor

from vigil.config import KNorm
from vigil.model import VideoModel
from vigil.model.attention import CrossAttention, FrameView
from vigil.model.rope import Rotation, rotate


def layer_of(model: VideoModel) -> CrossAttention:
    return model.decoder.cross_layers[0].cross_attn


def at(model: VideoModel, *positions: int) -> Rotation:
    """Rotations of frames [F, 1, 1, H]."""
    cos, sin = model.decoder.rotation(torch.tensor(positions), torch.float32)
    return cos[:, None, None], sin[:, None, None]


@pytest.mark.parametrize("order", ["after_rotation", "before_rotation"])
def test_keys_are_normalised_on_the_side_of_the_rotation_that_the_config_names(order: KNorm) -> None:
    model = tiny_model(tiny_config(k_norm=order))
    layer, by = layer_of(model), at(model, 5)
    features_FPD = torch.randn(1, 4, 32)
    raw_FKPH = layer.k_proj(features_FPD).view(1, 4, 2, 8).transpose(1, 2)
    after, before = layer.k_norm(rotate(raw_FKPH, by)), rotate(layer.k_norm(raw_FKPH), by)
    assert (after - before).abs().max() > 1e-3, "the two orders differ"
    keys, values = layer.write(features_FPD, by)
    torch.testing.assert_close(keys, after if order == "after_rotation" else before)
    torch.testing.assert_close(values, layer.v_proj(features_FPD).view(1, 4, 2, 8).transpose(1, 2))


def test_frames_written_together_are_what_frames_written_alone_are() -> None:
    model = tiny_model()
    features_FPD = torch.randn(3, 4, 32)
    together = model.write_frames(features_FPD, torch.tensor([2, 5, 9]))
    for f, position in enumerate((2, 5, 9)):
        alone = model.write_frames(features_FPD[f : f + 1], torch.tensor([position]))
        for layer in range(2):
            torch.testing.assert_close(together.keys[layer][f : f + 1], alone.keys[layer])
            torch.testing.assert_close(together.values[layer][f : f + 1], alone.values[layer])


def slow_read(model: VideoModel, x_BTD: Tensor, position: int, view: FrameView) -> Tensor:
    """One text row, head by head."""
    layer = layer_of(model)
    cos, sin = model.decoder.rotation(torch.tensor(position), torch.float32)
    q_NH = rotate(layer.q_norm(layer.q_proj(x_BTD[0, 0]).view(4, 8)), (cos, sin))
    heads = []
    for head in range(4):
        keys_SH, values_SH = view.keys_BKSH[0, head // 2], view.values_BKSH[0, head // 2]
        heads.append((keys_SH @ q_NH[head] / 8**0.5).softmax(0) @ values_SH)
    out: Tensor = layer.o_proj(torch.cat(heads))
    return out


def test_reading_is_attention_of_a_rotated_query_over_unexpanded_heads() -> None:
    model = tiny_model()
    x_BTD, by = torch.randn(1, 1, 32), model.decoder.rotation(torch.tensor([[7]]), torch.float32)
    view = FrameView(torch.randn(1, 2, 12, 8), torch.randn(1, 2, 12, 8))
    got = layer_of(model).read(x_BTD, (by[0][:, None], by[1][:, None]), view)[0, 0]
    torch.testing.assert_close(got, slow_read(model, x_BTD, 7, view), rtol=0, atol=1e-5)
    assert (got - slow_read(model, x_BTD, 8, view)).abs().max() > 1e-3, "the position counts"


def test_a_row_that_sees_no_frame_reads_nothing_or_the_null_entry() -> None:
    x_BTD, by = torch.randn(1, 1, 32), (torch.ones(1, 1, 1, 8), torch.zeros(1, 1, 1, 8))
    null, skip = tiny_model(), tiny_model(tiny_config(before_first_frame="skip"))
    layer = layer_of(null)
    assert layer.null_value is not None
    torch.testing.assert_close(layer.read(x_BTD, by, None)[0, 0], layer.o_proj(layer.null_value))
    assert layer_of(skip).read(x_BTD, by, None).abs().max() == 0
    assert torch.equal(skip.decoder.cross_layers[0](x_BTD, by, None), x_BTD), "the whole layer is skipped"


def test_without_frame_rotation_the_position_of_a_frame_does_not_count() -> None:
    for frame_rope in (True, False):
        model = tiny_model(replace(tiny_config(), frame_rope=frame_rope))
        features_FPD = torch.randn(1, 4, 32)
        one, other = (model.write_frames(features_FPD, torch.tensor([p])).keys[0] for p in (3, 8))
        assert torch.equal(one, other) is not frame_rope
