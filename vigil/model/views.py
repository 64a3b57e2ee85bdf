"""What attention reads: frames that each row may see, and text caches, of one stream or of several side by side.

Axes: B rows of a batch, T text tokens, F frames, P vision tokens of a frame, S = F * P, N query heads,
K key/value heads, G = N / K, H channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Visible:
    """Which frames each text row may see, in any pattern: what training needs."""

    mask_BTF: Tensor
    """Boolean. A row that sees nothing is all True here (attention over nothing is undefined), and not in `any_BT1`."""
    any_BT1: Tensor
    """Boolean: the row sees at least one frame."""


def visible_frames(positions_BT: Tensor, frame_positions_BF: Tensor) -> Visible:
    """A row sees every frame whose placeholder stands at or before it; position -1 marks an absent frame.

    Shapes: [B, T], [B, F] -> `Visible`.
    """
    return masked((frame_positions_BF[:, None] <= positions_BT[:, :, None]) & (frame_positions_BF[:, None] >= 0))


def masked(mask_BTF: Tensor) -> Visible:
    """Rows that see no frame get a mask that attention can work with. Shapes: boolean [B, T, F] -> `Visible`."""
    any_BT1 = mask_BTF.any(-1, keepdim=True)
    return Visible(mask_BTF | ~any_BT1, any_BT1)


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
        """Let each stream's tokens attend to its own cache.

        Shapes: [1, N, T, H], two of [1, K, T, H] -> [1, N, T, H].
        """
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
