"""From examples to tensors: several conversations share a row, and several rows share the frames of a video.

Axes: B rows, T tokens, F frames of a row, N frames of all videos of the batch, I image side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vigil.config import ModelConfig
from vigil.data.layout import Sample
from vigil.errors import DataError
from vigil.model.loss import IGNORE
from vigil.model.model import VideoModel
from vigil.train.examples import Example
from vigil.train.loss import StateIds, target_kinds


@dataclass(frozen=True, slots=True)
class Packed:
    """One forward pass."""

    videos: tuple[Tensor, ...]
    """Each [frames, 3, I, I], normalised; never empty, so that every process uses every weight in every pass."""
    input_ids: Tensor
    """[B, T]."""
    labels: Tensor
    """[B, T], -100 where nothing is learnt."""
    kinds: Tensor
    """[B, T]: kind of each token as a target (`vigil.train.loss`)."""
    segment_ids: Tensor | None
    """[B, T]: which conversation of its row a token belongs to; None where each row holds one."""
    frame_positions: Tensor
    """[B, F]: rotary position within its conversation, -1 where a row has no such frame."""
    frame_index: Tensor
    """[B, F]: number among the N frames of all videos, one after the other."""

    def to(self, device: torch.device) -> Packed:
        """The same on another device."""
        moved = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "videos"}
        moved = {name: None if value is None else value.to(device) for name, value in moved.items()}
        return replace(self, videos=tuple(video.to(device) for video in self.videos), **moved)


@dataclass(slots=True)
class _Row:
    """Conversations that stand one after the other."""

    samples: list[Sample]
    firsts: list[int]
    """Number of each conversation's first frame among all frames."""
    num_tokens: int = 0


class Packer:
    """Packs examples for one model."""

    def __init__(self, config: ModelConfig, ids: StateIds, *, max_tokens: int, pack: bool) -> None:
        self._side = config.vision.image_px
        self._ids = ids
        self._max_tokens = max_tokens
        self._pack = pack

    def check(self, example: Example) -> None:
        """Refuse a conversation that fits no row; it is never cut.

        Raises:
            DataError: it is too long.
        """
        longest = max(len(sample.ids) for sample in example.samples)
        if longest > self._max_tokens:
            raise DataError(f"{example.name} has {longest} tokens, a row holds {self._max_tokens} (max_tokens).")

    def pack(self, examples: Sequence[Example]) -> Packed:
        """Put examples into rows, first fit in their order. No example at all gives one row without targets."""
        rows: list[_Row] = []
        videos: list[Tensor] = []
        first = 0
        for example in examples:
            for sample in example.samples:
                self._place(rows, sample, first)
            if example.frames is not None:
                videos.append(example.frames)
                first += len(example.frames)
        return self._tensors(rows or [_Row([Sample([0], [IGNORE])], [0], 1)], videos)

    def _place(self, rows: list[_Row], sample: Sample, first: int) -> None:
        for row in rows if self._pack else ():
            if row.num_tokens + len(sample.ids) <= self._max_tokens:
                break
        else:
            row = _Row([], [])
            rows.append(row)
        row.samples.append(sample)
        row.firsts.append(first)
        row.num_tokens += len(sample.ids)

    def _tensors(self, rows: list[_Row], videos: list[Tensor]) -> Packed:
        B, T = len(rows), max(row.num_tokens for row in rows)
        F = max(1, *(sum(len(sample.frame_positions) for sample in row.samples) for row in rows))
        ids, kinds = torch.zeros(B, T, dtype=torch.long), torch.zeros(B, T, dtype=torch.long)
        labels, segments = torch.full((B, T), IGNORE), torch.full((B, T), -1)
        positions, index = torch.full((B, F), -1), torch.zeros(B, F, dtype=torch.long)
        for b, row in enumerate(rows):
            at = frame = 0
            for number, (sample, first) in enumerate(zip(row.samples, row.firsts, strict=True)):
                end, last = at + len(sample.ids), frame + len(sample.frame_positions)
                ids[b, at:end] = torch.tensor(sample.ids)
                labels[b, at:end] = torch.tensor(sample.labels)
                labels[b, at] = IGNORE  # nothing foretells the first token of a conversation
                kinds[b, at:end] = torch.tensor(target_kinds(sample, self._ids))
                segments[b, at:end] = number
                positions[b, frame:last] = torch.tensor(sample.frame_positions, dtype=torch.long)
                index[b, frame:last] = torch.arange(first, first + last - frame)
                at, frame = end, last
        nothing = torch.zeros(1, 3, self._side, self._side)
        alone = all(len(row.samples) == 1 for row in rows)
        return Packed(tuple(videos) or (nothing,), ids, labels, kinds, None if alone else segments, positions, index)


def encode(model: VideoModel, videos: Sequence[Tensor]) -> Tensor:
    """Vision tokens of all frames, one video after the other.

    An encoder that keeps nothing of earlier frames takes them all at once; another takes the videos side by side.

    Shapes: each [frames, 3, I, I] -> [N, P, D].
    """
    if model.config.vision.kind == "tile_vit":
        return model.encode_frames(torch.cat(list(videos)))[0]
    longest = max(len(video) for video in videos)
    padded = [torch.cat((video, video.new_zeros(longest - len(video), *video.shape[1:]))) for video in videos]
    features, _ = model.encode_frames(torch.stack(padded))
    return torch.cat([features[v, : len(video)] for v, video in enumerate(videos)])


def logits(model: VideoModel, batch: Packed) -> Tensor:
    """Run a model over a batch. Shapes: -> [B, T, V]."""
    features_BFPD = encode(model, batch.videos)[batch.frame_index]
    out: Tensor = model(
        batch.input_ids, None, batch.frame_positions, features=features_BFPD, segment_ids=batch.segment_ids
    ).logits
    return out
