"""Attention: text on text, and the seam where text reads the frame memory.

Axes: B rows of a batch, T text tokens, F frames, P vision tokens of a frame, S = F * P, D channels, N query heads,
K key/value heads, H channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigil.config import ModelConfig, TextConfig
from vigil.model.linear import Linear
from vigil.model.rope import Rotation, rotate


class RMSNorm(nn.Module):
    """Scale to unit root mean square, then by a learnt weight. Computed in float32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [..., D] -> [..., D], dtype unchanged."""
        return self.weight * F.rms_norm(x.float(), self.weight.shape, eps=self.eps).to(x.dtype)


@dataclass(frozen=True, slots=True)
class Visible:
    """Which frames each text row may see, in any pattern: what training needs."""

    mask_BTF: Tensor
    """Boolean. A row that sees nothing is all True here (attention over nothing is undefined), and not in `any_BT1`."""
    any_BT1: Tensor
    """Boolean: the row sees at least one frame."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """How many entries of a lane, from its oldest on, each text row may see: all that a stream needs."""

    entries_T: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FrameView:
    """What one cross layer reads: keys and values of frames, and who may see which."""

    keys_BKSH: Tensor
    values_BKSH: Tensor
    visible: Visible | Prefix | None = None
    """None: every row sees every frame."""

    @property
    def seeing(self) -> Tensor | None:
        """Which rows see at least one frame, boolean [B, T, 1]; None where all do."""
        if isinstance(self.visible, Prefix):
            if all(self.visible.entries_T):
                return None
            seen = [[bool(num)] for num in self.visible.entries_T]
            return torch.tensor([seen], device=self.keys_BKSH.device)
        return None if self.visible is None else self.visible.any_BT1

    def attend(self, q_BNTH: Tensor) -> Tensor:
        """Read the frames; a row that sees none gets anything finite. Shapes: [B, N, T, H] -> [B, N, T, H]."""
        keys, values, visible = self.keys_BKSH, self.values_BKSH, self.visible
        if isinstance(visible, Prefix):
            return _attend_prefixes(q_BNTH, keys, values, visible)
        mask = None
        if visible is not None:
            mask = visible.mask_BTF.repeat_interleave(keys.shape[2] // visible.mask_BTF.shape[2], dim=2)[:, None]
        return attend(q_BNTH, keys, values, mask=mask)


class Readable(Protocol):
    """What a cross layer may read: the frames of one stream, or of several side by side."""

    @property
    def seeing(self) -> Tensor | None: ...

    def attend(self, q_BNTH: Tensor) -> Tensor: ...


class TextCache(Protocol):
    """Where a self-attention layer puts new keys and values and gets all of them back."""

    def extend(self, layer: int, keys_BKTH: Tensor, values_BKTH: Tensor) -> tuple[Tensor, Tensor]: ...


class TextReader:
    """Stands for a `TextCache` where more than storing is shared or prepared: it also attends."""

    __slots__ = ()

    def attend(self, layer: int, q_BNTH: Tensor, keys_BKTH: Tensor, values_BKTH: Tensor) -> Tensor:
        """Store new keys and values, and let the new tokens attend to what they may see.

        Shapes: [B, N, T, H], two of [B, K, T, H] -> [B, N, T, H].
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TextBatch(TextReader):
    """The text caches of several streams, whose new tokens stand side by side on the token axis: nothing is padded."""

    caches: tuple[TextCache, ...]
    num_tokens: tuple[int, ...]
    """New tokens of each stream."""
    masks: tuple[Tensor | None, ...]
    """Per stream, as in `SelfAttention`."""

    def attend(self, layer: int, q_BNTH: Tensor, keys_BKTH: Tensor, values_BKTH: Tensor) -> Tensor:
        """Let each stream's tokens attend to its own cache; B is 1."""
        parts = (t.split(self.num_tokens, dim=2) for t in (q_BNTH, keys_BKTH, values_BKTH))
        out = []
        for cache, mask, q, k, v in zip(self.caches, self.masks, *parts, strict=True):
            keys, values = cache.extend(layer, k, v)
            out.append(attend(q, keys, values, mask=mask, causal=mask is None and q.shape[2] > 1))
        return torch.cat(out, dim=2)


def attend(
    q_BNTH: Tensor, keys_BKSH: Tensor, values_BKSH: Tensor, *, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Attention of grouped query heads to key/value heads that are not expanded.

    The G = N / K query heads of one key/value head stand as G * T queries of it. On a CPU that is three times faster
    than `enable_gqa`, which repeats the keys there (11B shapes, 16,384 entries: 20 against 72 ms). What is causal
    without a mask is left to `enable_gqa`, which GPUs have a kernel for.

    Shapes: [B, N, T, H], two of [B, K, S, H] -> [B, N, T, H]. `mask` is boolean [B or 1, 1, T, S].
    """
    B, N, T, H = q_BNTH.shape
    K = keys_BKSH.shape[1]
    if N == K or causal:
        return F.scaled_dot_product_attention(
            q_BNTH, keys_BKSH, values_BKSH, attn_mask=mask, is_causal=causal, enable_gqa=N != K
        )
    if mask is not None and T > 1:
        mask = mask.repeat(1, 1, N // K, 1)
    out = F.scaled_dot_product_attention(q_BNTH.reshape(B, K, N // K * T, H), keys_BKSH, values_BKSH, attn_mask=mask)
    return out.reshape(B, N, T, H)


def _attend_prefixes(q_BNTH: Tensor, keys_BKSH: Tensor, values_BKSH: Tensor, prefix: Prefix) -> Tensor:
    """Rows that see equally many entries read them together, without a mask."""
    parts, start = [], 0
    for entries, rows in groupby(prefix.entries_T):
        stop = start + sum(1 for _ in rows)
        q = q_BNTH[:, :, start:stop]
        seen = (keys_BKSH[:, :, :entries], values_BKSH[:, :, :entries])
        parts.append(attend(q, *seen) if entries else torch.zeros_like(q))
        start = stop
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


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
