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
from vigil.model.attention import CrossAttention
from vigil.model.rope import Rotation, rotate
from vigil.model.views import FrameView, Prefix, Visible, attend


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


@pytest.mark.parametrize("tokens", [1, 3])
def test_grouped_heads_attend_as_if_they_were_repeated(tokens: int) -> None:
    q, k, v = torch.randn(2, 4, tokens, 8), torch.randn(2, 2, 9, 8), torch.randn(2, 2, 9, 8)
    mask = torch.rand(2, 1, tokens, 9) > 0.3
    k_BNSH, v_BNSH = (x.repeat_interleave(2, dim=1) for x in (k, v))
    scores = (q @ k_BNSH.transpose(2, 3)) / 8**0.5
    torch.testing.assert_close(attend(q, k, v), scores.softmax(-1) @ v_BNSH, rtol=0, atol=1e-5)
    masked = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v_BNSH
    torch.testing.assert_close(attend(q, k, v, mask=mask), masked, rtol=0, atol=1e-5)


def test_one_query_does_not_repeat_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys go into the kernel as they lie in the memory, with their own number of heads."""
    given: list[tuple[Tensor, Tensor]] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def watched(q: Tensor, k: Tensor, v: Tensor, **rest: object) -> Tensor:
        given.append((q, k))
        return kernel(q, k, v, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    k = torch.randn(1, 2, 9, 8)
    attend(torch.randn(1, 4, 1, 8), k, k)
    ((q, keys),) = given
    assert (q.shape[1], keys.shape[1]) == (2, 2)
    assert keys.data_ptr() == k.data_ptr()


@pytest.mark.parametrize("entries", [(0, 6), (6, 6, 12), (0, 0), (3, 6, 6, 9)])
def test_prefixes_see_what_a_mask_would_show(entries: tuple[int, ...]) -> None:
    keys, values = torch.randn(1, 2, 12, 8), torch.randn(1, 2, 12, 8)
    q = torch.randn(1, 4, len(entries), 8)
    mask_BTF = torch.arange(4) * 3 < torch.tensor(entries)[None, :, None]
    seeing_BT1 = mask_BTF.any(-1, keepdim=True)
    by_mask = FrameView(keys, values, Visible(mask_BTF | ~seeing_BT1, seeing_BT1))
    by_prefix = FrameView(keys, values, Prefix(entries))
    expected = torch.where(seeing_BT1[:, None], by_mask.attend(q), 0)
    torch.testing.assert_close(torch.where(seeing_BT1[:, None], by_prefix.attend(q), 0), expected, rtol=0, atol=1e-5)
    assert by_prefix.attend(q).isfinite().all()
    seeing = by_prefix.seeing
    assert torch.equal(seeing_BT1, torch.ones_like(seeing_BT1) if seeing is None else seeing)
