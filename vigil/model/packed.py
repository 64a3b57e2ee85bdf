"""Several streams in one pass of the weights: their tokens stand side by side, their memories stay apart.

A step of speech is bound by reading the weights. Streams that speak at the same time share that reading, whatever the
lengths of their texts and memories: every linear layer sees all tokens as one row, every attention sees one stream.

Axes: B = 1, T tokens of all streams, R streams, N query heads, H head channels, D channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vigil.model.rows import look_back
from vigil.model.views import Readable, TextBatch, TextCache

if TYPE_CHECKING:
    from vigil.model.model import VideoModel


@dataclass(frozen=True, slots=True)
class Part:
    """What one stream brings into a pass."""

    ids: Sequence[int]
    start: int
    """Rotary position of the first token."""
    cache: TextCache
    cached_tokens: int
    views: Sequence[Readable | None]
    """One per cross layer, as in `VideoModel.decode`."""


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """The frame memories of several streams, read by tokens that stand side by side."""

    views: tuple[Readable | None, ...]
    num_tokens: tuple[int, ...]
    """Tokens of each stream."""
    device: torch.device

    @property
    def seeing(self) -> Tensor | None:
        """Which tokens see at least one frame, boolean [1, T, 1]; None where all do."""
        seen = [None if view is None else view.seeing for view in self.views]
        if all(view is not None for view in self.views) and all(part is None for part in seen):
            return None
        rows = [
            torch.full((1, num, 1), view is not None, device=self.device) if part is None else part.expand(1, num, 1)
            for part, view, num in zip(seen, self.views, self.num_tokens, strict=True)
        ]
        return torch.cat(rows, dim=1)

    def attend(self, q_BNTH: Tensor) -> Tensor:
        """Let each stream's tokens read its own frames. Shapes: [1, N, T, H] -> [1, N, T, H]."""
        parts = q_BNTH.split(self.num_tokens, dim=2)
        read = (torch.zeros_like(q) if v is None else v.attend(q) for v, q in zip(self.views, parts, strict=True))
        return torch.cat(list(read), dim=2)


def decode_together(model: VideoModel, parts: Sequence[Part]) -> Tensor:
    """One step of several streams: what `VideoModel.decode` gives for each of them. Shapes: -> [R, V]."""
    device = model.device
    num_tokens = tuple(len(part.ids) for part in parts)
    ids_T = torch.tensor([token for part in parts for token in part.ids], device=device)
    places = [part.start + i for part in parts for i in range(len(part.ids))]
    masks = tuple(look_back(len(part.ids), part.cached_tokens, device) for part in parts)
    text = TextBatch(tuple(part.cache for part in parts), num_tokens, masks)
    layers = zip(*(part.views for part in parts), strict=True)  # one at a time: what is coded is unpacked for it alone
    views = (None if all(v is None for v in own) else FrameBatch(own, num_tokens, device) for own in layers)
    h_BTD = model.decoder(ids_T[None], torch.tensor([places], device=device), views, cache=text)
    last_R = torch.tensor(num_tokens, device=device).cumsum(0) - 1
    return model.decoder.head(h_BTD[0, last_R])
