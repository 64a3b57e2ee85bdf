"""Attention: text on text, and the seam where text reads the frame memory.

Axes: B rows of a batch, T text tokens, F frames, P vision tokens of a frame, S = F * P, D channels, N query heads,
K key/value heads, H channels of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigil.config import ModelConfig, TextConfig
from vigil.model.linear import Linear
from vigil.model.rope import Rotation, rotate
from vigil.model.views import Readable, TextCache, TextReader, attend


class RMSNorm(nn.Module):
    """Scale to unit root mean square, then by a learnt weight. Computed in float32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [..., D] -> [..., D], dtype unchanged."""
        return self.weight * F.rms_norm(x.float(), self.weight.shape, eps=self.eps).to(x.dtype)


class SelfAttention(nn.Module):
    """Causal attention of text tokens to each other. Source: Llama 3 (arXiv 2407.21783)."""

    def __init__(self, config: TextConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.heads_NKH = (config.num_heads, config.num_kv_heads, config.head_dim)
        heads, kv_heads, dim = self.heads_NKH
        self.q_proj = Linear(config.width, heads * dim, bias=False)
        self.k_proj = Linear(config.width, kv_heads * dim, bias=False)
        self.v_proj = Linear(config.width, kv_heads * dim, bias=False)
        self.o_proj = Linear(heads * dim, config.width, bias=False)
        self.q_norm = RMSNorm(dim, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(dim, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(
        self,
        x_BTD: Tensor,
        rotation: Rotation,
        *,
        cache: TextCache | TextReader | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Attend to the tokens before and to itself.

        Shapes: [B, T, D] -> [B, T, D]. `rotation` is [B, 1, T, H]. `mask` is boolean [B or 1, 1, T, T_all], True where
        a row may look; None means plain causal, or everything where one token meets a cache.
        """
        B, T, _ = x_BTD.shape
        heads, kv_heads, dim = self.heads_NKH
        q = self.q_norm(self.q_proj(x_BTD).view(B, T, heads, dim)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x_BTD).view(B, T, kv_heads, dim)).transpose(1, 2)
        v = self.v_proj(x_BTD).view(B, T, kv_heads, dim).transpose(1, 2)
        q, k = rotate(q, rotation), rotate(k, rotation)
        if isinstance(cache, TextReader):
            out = cache.attend(self.index, q, k, v)
        else:
            if cache is not None:
                k, v = cache.extend(self.index, k, v)
            out = attend(q, k, v, mask=mask, causal=mask is None and T > 1)
        return self.o_proj(out.transpose(1, 2).reshape(B, T, heads * dim))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """The seam: frames are written into keys and values on one path, text reads them on the other.

    `write` and `read` never meet. `write` is `project`, the costly half that needs only the frame, followed by `place`,
    the cheap half that needs the frame's position; a perceiver may run the first long before the position is known.

    Source: arXiv 2606.07639; mllama (Llama 3.2 Vision) for the layer itself.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        text = config.text
        self.heads_NKH = (text.num_heads, text.num_kv_heads, text.head_dim)
        heads, kv_heads, dim = self.heads_NKH
        self.rope = config.frame_rope
        self.norm_last = config.k_norm == "after_rotation"
        self.q_proj = Linear(text.width, heads * dim, bias=False)
        self.k_proj = Linear(text.width, kv_heads * dim, bias=False)
        self.v_proj = Linear(text.width, kv_heads * dim, bias=False)
        self.o_proj = Linear(heads * dim, text.width, bias=False)
        self.q_norm = RMSNorm(dim, text.norm_eps)
        self.k_norm = RMSNorm(dim, text.norm_eps)
        self.null_value: nn.Parameter | None = None
        if config.before_first_frame == "null_key":
            self.null_value = nn.Parameter(torch.zeros(heads * dim))

    def project(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Keys, not yet placed, and values of frames.

        Shapes: [..., P, D] -> two of [..., K, P, H].
        """
        _, kv_heads, dim = self.heads_NKH
        shape = (*features.shape[:-1], kv_heads, dim)
        return self.k_proj(features).view(shape).transpose(-3, -2), self.v_proj(features).view(shape).transpose(-3, -2)

    def place(self, keys: Tensor, rotation: Rotation) -> Tensor:
        """Give projected keys their place in time: rotation by frame position, and the key norm.

        Shapes: [..., K, P, H], rotation [..., 1, 1, H] -> [..., K, P, H].
        """
        if not self.rope:
            return self.k_norm(keys)  # type: ignore[no-any-return]
        if self.norm_last:
            return self.k_norm(rotate(keys, rotation))  # type: ignore[no-any-return]
        return rotate(self.k_norm(keys), rotation)

    def write(self, features_FPD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """Turn frames into what the memory stores.

        Shapes: [F, P, D], rotation [F, 1, 1, H] -> keys and values [F, K, P, H].
        """
        keys, values = self.project(features_FPD)
        return self.place(keys, rotation), values

    def read(self, x_BTD: Tensor, rotation: Rotation, view: Readable | None) -> Tensor:
        """Let text rows attend to the frames they may see. No frame at all (None) reads the null entry, or zeros.

        Shapes: [B, T, D], rotation [B, 1, T, H] -> [B, T, D].
        """
        B, T, _ = x_BTD.shape
        heads, _, dim = self.heads_NKH
        if view is None:
            return self._null(x_BTD)
        q = self.q_norm(self.q_proj(x_BTD).view(B, T, heads, dim)).transpose(1, 2)
        if self.rope:
            q = rotate(q, rotation)
        out: Tensor = self.o_proj(view.attend(q).transpose(1, 2).reshape(B, T, heads * dim))
        seeing_BT1 = view.seeing
        if self.null_value is not None and seeing_BT1 is not None:
            out = torch.where(seeing_BT1, out, self._null(x_BTD))
        return out

    def _null(self, x_BTD: Tensor) -> Tensor:
        if self.null_value is None:
            return torch.zeros_like(x_BTD)
        return self.o_proj(self.null_value).to(x_BTD.dtype).expand_as(x_BTD)  # type: ignore[no-any-return]
