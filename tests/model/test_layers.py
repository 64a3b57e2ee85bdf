"""The layers of the decoder one by one, against their formulas written out.

Axes: B rows, T text tokens, S entries of a lane, D channels, N heads, K key/value heads, H head channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from fakes import TILE_VIT, VOCAB_SIZE, tiny_config, tiny_model
from torch import Tensor, nn

from vigil.config import BeforeFirstFrame, ModelConfig, TextConfig
from vigil.model import VideoModel
from vigil.model.attention import RMSNorm
from vigil.model.decoder import MLP, CrossLayer, SelfLayer, self_index
from vigil.model.views import FrameView, Visible
from vigil.model.vision import EncoderLayer

TEXT = tiny_config().text


def test_the_norm_scales_to_unit_root_mean_square_and_then_by_its_weight() -> None:
    norm = RMSNorm(2, eps=0.0)
    norm.weight.data = torch.tensor([1.0, 10.0])
    assert norm(torch.tensor([[3.0, 4.0]])).tolist()[0] == pytest.approx([3 / 12.5**0.5, 40 / 12.5**0.5])


def test_the_norm_of_zeros_is_zero_and_its_epsilon_stands_beside_the_mean_square() -> None:
    assert RMSNorm(3, eps=1e-5)(torch.zeros(1, 3)).tolist() == [[0.0, 0.0, 0.0]]
    small = torch.full((1, 4), 1e-3)  # mean square 1e-6
    assert RMSNorm(4, eps=3e-6)(small)[0, 0].item() == pytest.approx(1e-3 / (4e-6) ** 0.5)


def test_the_norm_is_computed_in_float32_and_given_in_the_type_that_came() -> None:
    norm, big = RMSNorm(64, eps=1e-5).bfloat16(), torch.full((1, 64), 3e4, dtype=torch.bfloat16)
    assert norm(big).dtype == torch.bfloat16
    assert norm(big.half().clamp(max=6e4)).isfinite().all(), "the sum of squares is beyond half precision"


def test_the_feed_forward_is_gated_by_silu() -> None:
    mlp = MLP(replace(TEXT, width=4, num_heads=1, num_kv_heads=1, mlp_width=6))
    x = torch.randn(3, 4)
    gate, up, down = (layer.weight for layer in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
    z = x @ gate.T
    torch.testing.assert_close(mlp(x), (z * torch.sigmoid(z) * (x @ up.T)) @ down.T)


def test_self_attention_sees_itself_and_what_stands_before_and_nothing_after() -> None:
    model = tiny_model()
    layer = next(layer for layer in model.decoder.layers if isinstance(layer, SelfLayer))
    x_BTD = torch.randn(1, 5, 32)
    cos, sin = model.decoder.rotation(torch.arange(5)[None], torch.float32)
    by = (cos[:, None], sin[:, None])
    changed = x_BTD.clone()
    changed[0, 3] += 1
    moved = (layer(x_BTD, by, None, None) - layer(changed, by, None, None)).abs().amax(-1)[0] > 1e-6
    assert moved.tolist() == [False, False, False, True, True]


def test_a_self_layer_adds_what_it_attends_to_and_then_what_it_thinks() -> None:
    model = tiny_model()
    layer = next(layer for layer in model.decoder.layers if isinstance(layer, SelfLayer))
    x_BTD, by = torch.randn(1, 1, 32), (torch.ones(1, 1, 1, 8), torch.zeros(1, 1, 1, 8))
    normed = layer.input_layernorm(x_BTD)
    values_KH = layer.self_attn.v_proj(normed).view(2, 8)  # one token attends to itself alone
    attended = x_BTD + layer.self_attn.o_proj(values_KH.repeat_interleave(2, 0).flatten())
    torch.testing.assert_close(
        layer(x_BTD, by, None, None), attended + layer.mlp(layer.post_attention_layernorm(attended))
    )


# ---- cross layers ---------------------------------------------------------------------------------------------------

ROTATION = (torch.ones(1, 1, 2, 8), torch.zeros(1, 1, 2, 8))
X_BTD = torch.linspace(-1, 1, 64).view(1, 2, 32)


def layer_and_view(mode: BeforeFirstFrame) -> tuple[CrossLayer, FrameView]:
    """A cross layer, and two entries of which the first row sees none and the second one all."""
    torch.manual_seed(0)
    layer = tiny_model(tiny_config(before_first_frame=mode)).decoder.cross_layers[0]
    seeing_BT1 = torch.tensor([[[False], [True]]])
    mask_BTF = torch.tensor([[[True, True], [True, True]]])  # a row that sees nothing is all True
    return layer, FrameView(torch.randn(1, 2, 2, 8), torch.randn(1, 2, 2, 8), Visible(mask_BTF, seeing_BT1))


def read(layer: CrossLayer, view: FrameView) -> Tensor:
    """What attention alone gives, as if every row saw every frame."""
    everything = FrameView(view.keys_BKSH, view.values_BKSH)
    out: Tensor = layer.cross_attn.read(layer.input_layernorm(X_BTD), ROTATION, everything)
    return out


def through_gates(layer: CrossLayer, seen_BTD: Tensor, *, thinks: Tensor | float = 1.0) -> Tensor:
    h_BTD = X_BTD + layer.cross_attn_attn_gate.tanh() * seen_BTD
    more = layer.mlp(layer.post_attention_layernorm(h_BTD))
    out: Tensor = h_BTD + layer.cross_attn_mlp_gate.tanh() * more * thinks
    return out


def test_a_row_that_sees_no_frame_skips_the_layer() -> None:
    layer, view = layer_and_view("skip")
    out = layer(X_BTD, ROTATION, view)
    assert torch.equal(out[:, 0], X_BTD[:, 0])
    torch.testing.assert_close(out[:, 1], through_gates(layer, read(layer, view))[:, 1])


def test_a_row_that_sees_no_frame_reads_the_null_entry_and_thinks_about_it() -> None:
    layer, view = layer_and_view("null_key")
    assert layer.cross_attn.null_value is not None
    null = layer.cross_attn.o_proj(layer.cross_attn.null_value).expand(1, 2, 32)
    out = layer(X_BTD, ROTATION, view)
    torch.testing.assert_close(out[:, 0], through_gates(layer, null)[:, 0])
    torch.testing.assert_close(out[:, 1], through_gates(layer, read(layer, view))[:, 1])
    torch.testing.assert_close(layer(X_BTD, ROTATION, None), through_gates(layer, null))


def test_a_leaking_layer_lets_it_see_every_frame_and_does_not_think() -> None:
    layer, view = layer_and_view("leak")
    out = layer(X_BTD, ROTATION, view)
    thinks = torch.tensor([0.0, 1.0])[None, :, None]
    torch.testing.assert_close(out, through_gates(layer, read(layer, view), thinks=thinks))


@pytest.mark.parametrize("mode", get_args(BeforeFirstFrame))
def test_closed_gates_let_nothing_through(mode: BeforeFirstFrame) -> None:
    layer, view = layer_and_view(mode)
    layer.cross_attn_attn_gate.data.zero_()
    layer.cross_attn_mlp_gate.data.zero_()
    for given in (view, None):
        assert torch.equal(layer(X_BTD, ROTATION, given), X_BTD)


def test_a_fresh_model_starts_with_the_gates_of_its_config() -> None:
    for start in (0.0, 0.5):
        config = tiny_config()
        model = VideoModel(replace(config, text=replace(config.text, gate_start=start)))
        gates = [
            g.item() for la in model.decoder.cross_layers for g in (la.cross_attn_attn_gate, la.cross_attn_mlp_gate)
        ]
        assert gates == [start] * 4


# ---- the decoder ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cross_layers", "slots"),
    [
        ((), [0, 1, 2, 3, 4]),
        ((1, 3), [0, None, 1, None, 2]),
        ((0, 1), [None, None, 0, 1, 2]),
        ((4,), [0, 1, 2, 3, None]),
    ],
)
def test_self_layers_are_numbered_without_the_cross_layers(
    cross_layers: tuple[int, ...], slots: list[int | None]
) -> None:
    text = TextConfig(width=32, num_heads=4, num_kv_heads=2, num_layers=5, cross_layers=cross_layers)
    found = [None if layer in cross_layers else self_index(text, layer) for layer in range(5)]
    assert found == slots


def test_a_tied_head_compares_with_the_words_and_never_with_the_placeholder() -> None:
    model = tiny_model()
    h = torch.randn(3, 32)
    table = model.decoder.embed_tokens.weight
    assert table.shape[0] == VOCAB_SIZE + 1
    torch.testing.assert_close(model.decoder.head(h), h @ table[:VOCAB_SIZE].T)


def test_an_untied_head_has_weights_of_its_own() -> None:
    config = tiny_config()
    untied: ModelConfig = replace(config, text=replace(config.text, tie_embeddings=False))
    model = tiny_model(untied)
    h = torch.randn(3, 32)
    assert model.decoder.lm_head is not None
    torch.testing.assert_close(model.decoder.head(h), h @ model.decoder.lm_head.weight.T)
    assert model.decoder.head(h).shape == (3, VOCAB_SIZE)


def test_cross_layers_stand_where_the_config_says() -> None:
    model = tiny_model()
    assert [isinstance(layer, CrossLayer) for layer in model.decoder.layers] == [False, True, False, True]
    assert model.decoder.cross_layers == [model.decoder.layers[1], model.decoder.layers[3]]


# ---- the vision encoder's layer -------------------------------------------------------------------------------------


def encoder_layer(*, gated: bool) -> EncoderLayer:
    torch.manual_seed(0)
    layer = EncoderLayer(TILE_VIT, gated=gated).eval().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.copy_(0.5 * torch.randn_like(parameter))
    return layer


def slow_encoder_layer(layer: EncoderLayer, x_XD: Tensor) -> tuple[Tensor, Tensor]:
    """What each of the two branches adds, head by head and gates aside."""
    y = layer.input_layernorm(x_XD)
    q, k, v = (layer.self_attn[name](y).view(len(x_XD), 2, 8) for name in ("q_proj", "k_proj", "v_proj"))
    heads = [(q[:, n] @ k[:, n].T / 8**0.5).softmax(-1) @ v[:, n] for n in range(2)]
    attended = layer.self_attn["o_proj"](torch.cat(heads, dim=-1))
    gate = 1.0 if layer.gate_attn is None else layer.gate_attn.tanh()
    z = layer.mlp["fc1"](layer.post_attention_layernorm(x_XD + gate * attended))
    return attended, layer.mlp["fc2"](0.5 * z * (1 + torch.erf(z / 2**0.5)))


@pytest.mark.parametrize("gated", [False, True])
def test_an_encoder_layer_adds_attention_and_then_thought_through_its_gates(gated: bool) -> None:
    layer, x_FXD = encoder_layer(gated=gated), torch.randn(1, 5, 16)
    attended, thought = slow_encoder_layer(layer, x_FXD[0])
    gates = [1.0, 1.0] if not gated else [layer.gate_attn.tanh(), layer.gate_ffn.tanh()]  # type: ignore[union-attr]
    expected = x_FXD[0] + gates[0] * attended + gates[1] * thought
    torch.testing.assert_close(layer(x_FXD, None)[0], expected, rtol=0, atol=1e-5)


def test_a_gated_encoder_layer_is_born_closed() -> None:
    layer, x_FXD = EncoderLayer(TILE_VIT, gated=True), torch.randn(2, 5, 16)
    assert torch.equal(layer(x_FXD, None), x_FXD)
    assert not isinstance(EncoderLayer(TILE_VIT, gated=False).gate_attn, nn.Parameter)


def test_a_mask_of_the_encoder_hides_patches_from_others() -> None:
    layer, x_FXD = encoder_layer(gated=False), torch.randn(1, 4, 16)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[:3, 3] = False
    changed = x_FXD.clone()
    changed[0, 3] = torch.randn(16)
    assert torch.equal(layer(x_FXD, mask)[0, :3], layer(changed, mask)[0, :3])
    assert (layer(x_FXD, None)[0, :3] - layer(changed, None)[0, :3]).abs().max() > 1e-3
