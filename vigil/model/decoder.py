"""The text channel: a Llama decoder with gated cross-attention layers among its self-attention layers.

Axes: B rows, T text tokens, D channels, F frames, P vision tokens of a frame, H head channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigil.config import ModelConfig, TextConfig
from vigil.model.attention import CrossAttention, RMSNorm, SelfAttention
from vigil.model.linear import Linear
from vigil.model.rope import Rotation, frequencies, rotation
from vigil.model.views import Readable, TextCache, TextReader


class MLP(nn.Module):
    """SwiGLU feed-forward. Source: arXiv 2002.05202."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.width, config.mlp_width, bias=False)
        self.up_proj = Linear(config.width, config.mlp_width, bias=False)
        self.down_proj = Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [..., D] -> [..., D]."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class SelfLayer(nn.Module):
    """Text attends to text."""

    def __init__(self, config: TextConfig, index: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config, index)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.width, config.norm_eps)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_eps)

    def forward(self, h_BTD: Tensor, by: Rotation, cache: TextCache | TextReader | None, mask: Tensor | None) -> Tensor:
        """Shapes: [B, T, D] -> [B, T, D]."""
        h_BTD = h_BTD + self.self_attn(self.input_layernorm(h_BTD), by, cache=cache, mask=mask)
        return h_BTD + self.mlp(self.post_attention_layernorm(h_BTD))  # type: ignore[no-any-return]


class CrossLayer(nn.Module):
    """Text reads the frame memory; tanh of two gates scales what it adds."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        text = config.text
        self.before_first_frame = config.before_first_frame
        self.cross_attn = CrossAttention(config)
        self.mlp = MLP(text)
        self.input_layernorm = RMSNorm(text.width, text.norm_eps)
        self.post_attention_layernorm = RMSNorm(text.width, text.norm_eps)
        self.cross_attn_attn_gate = nn.Parameter(torch.full((1,), text.gate_start))
        self.cross_attn_mlp_gate = nn.Parameter(torch.full((1,), text.gate_start))

    def forward(self, h_BTD: Tensor, by: Rotation, view: Readable | None) -> Tensor:
        """Shapes: [B, T, D] -> [B, T, D]. Rows that see no frame follow `ModelConfig.before_first_frame`."""
        if view is None and self.before_first_frame != "null_key":
            return h_BTD
        sees = view.seeing if view is not None else None
        seen = self.cross_attn.read(self.input_layernorm(h_BTD), by, view)
        if sees is not None and self.before_first_frame == "skip":
            seen = torch.where(sees, seen, 0)
        h_BTD = h_BTD + self.cross_attn_attn_gate.tanh() * seen
        more = self.mlp(self.post_attention_layernorm(h_BTD))
        if sees is not None and self.before_first_frame != "null_key":
            more = torch.where(sees, more, 0)
        return h_BTD + self.cross_attn_mlp_gate.tanh() * more  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Token ids in, logits out; frames are read through `views`, one per cross layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        text = config.text
        self.config = config
        self.embed_tokens = nn.Embedding(text.vocab_size + text.num_extra_embeddings, text.width)
        self.layers = nn.ModuleList(
            CrossLayer(config) if i in text.cross_layers else SelfLayer(text, self_index(text, i))
            for i in range(text.num_layers)
        )
        self.norm = RMSNorm(text.width, text.norm_eps)
        self.lm_head = None if text.tie_embeddings else Linear(text.width, text.vocab_size, bias=False)

    @property
    def cross_layers(self) -> list[CrossLayer]:
        """The layers that read frames, in order."""
        return [layer for layer in self.layers if isinstance(layer, CrossLayer)]

    def rotation(self, positions: Tensor, dtype: torch.dtype) -> Rotation:
        """Cosine and sine of rotary positions. Shapes: [..., T] -> two of [..., T, H]."""
        return rotation(_frequencies_on(self.config.text, positions.device), positions, dtype)

    def forward(
        self,
        input_ids_BT: Tensor,
        positions_BT: Tensor,
        views: Iterable[Readable | None],
        *,
        cache: TextCache | TextReader | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states, normalised. `head` turns them into logits.

        Shapes: [B, T] ids and positions -> [B, T, D]. `views` has one entry per cross layer, None where no frame was
        seen. `mask` as in `SelfAttention`.
        """
        return self.run(self.embed_tokens(input_ids_BT), positions_BT, views, cache=cache, mask=mask)

    def run(
        self,
        h_BTD: Tensor,
        positions_BT: Tensor,
        views: Iterable[Readable | None],
        *,
        cache: TextCache | TextReader | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The layers and the last norm, for what is embedded already. Shapes: [B, T, D] -> [B, T, D]."""
        cos, sin = self.rotation(positions_BT, h_BTD.dtype)
        by = (cos[:, None], sin[:, None])
        remaining = iter(views)
        for layer in self.layers:
            if isinstance(layer, CrossLayer):
                h_BTD = layer(h_BTD, by, next(remaining))
            else:
                h_BTD = layer(h_BTD, by, cache, mask)
        return self.norm(h_BTD)  # type: ignore[no-any-return]

    def head(self, h: Tensor) -> Tensor:
        """Shapes: [..., D] -> [..., V]."""
        if self.lm_head is not None:
            return self.lm_head(h)  # type: ignore[no-any-return]
        return F.linear(h, self.embed_tokens.weight[: self.config.text.vocab_size])


@lru_cache(maxsize=16)
def _frequencies_on(text: TextConfig, device: torch.device) -> Tensor:
    """Rotary frequencies, made once for a model and device; outside inference mode, so that training may use them."""
    with torch.inference_mode(False):
        return frequencies(text).to(device)


def self_index(text: TextConfig, layer: int) -> int:
    """Number of a self-attention layer among the self-attention layers: its slot in a text cache."""
    return sum(1 for i in range(layer) if i not in text.cross_layers)
