"""Whole sequences: what belongs together, positions, and who may look at whom.

Axes: B rows, T text tokens, F frames, S entries of a lane.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vigil.errors import ConfigError, ShapeError


def look_back(num_new: int, cached: int, device: torch.device) -> Tensor | None:
    """Mask of new tokens over the cached ones and themselves; None where attention needs none. Shapes: [1, 1, T, S]."""
    if num_new == 1 or not cached:
        return None
    past = torch.arange(cached + num_new, device=device)
    return (past[None] <= past[cached:, None])[None, None]


def within_segments(segment_ids: Tensor | None) -> Tensor | None:
    """Causal mask that keeps packed samples apart. Shapes: [B, T] -> [B, 1, T, T]."""
    if segment_ids is None:
        return None
    same = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    return same & torch.ones_like(same[:1, :1]).tril()


def default_positions(input_ids: Tensor, segment_ids: Tensor | None) -> Tensor:
    """0, 1, 2, ... in each row, or in each segment. Shapes: [B, T] -> [B, T]."""
    arange = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    if segment_ids is None:
        return arange
    starts = torch.ones_like(segment_ids, dtype=torch.bool)
    starts[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    return arange - torch.where(starts, arange, 0).cummax(1).values


def frame_segments(input_ids: Tensor, segment_ids: Tensor, frame_positions: Tensor, image_id: int) -> Tensor:
    """Segment of each frame: that of its placeholder, counted in order. Shapes: -> [B, F], -1 where absent.

    Raises:
        ShapeError: a row has another number of placeholders than of frames.
    """
    owner_BF = torch.full_like(frame_positions, -1)
    for row in range(len(input_ids)):
        present = frame_positions[row] >= 0
        segments = segment_ids[row][input_ids[row] == image_id]
        if len(segments) != int(present.sum()):
            raise ShapeError(f"row {row} has {len(segments)} placeholders for {int(present.sum())} frames.")
        owner_BF[row, present] = segments
    return owner_BF


def check_inputs(
    input_ids: Tensor,
    frames: Tensor | None,
    frame_positions: Tensor | None,
    features: Tensor | None,
    video_index: Tensor | None,
) -> None:
    """Refuse tensors that do not belong together. Shapes: [B, T], [B, F, 3, I, I], [B, F], [V, F, P, D], [B].

    Raises:
        ShapeError, ConfigError: see `VideoModel.forward`.
    """
    if input_ids.ndim != 2:
        raise ShapeError(f"input_ids must be [B, T], got {list(input_ids.shape)}.")
    if frames is not None and features is not None:
        raise ShapeError("give frames or features, not both.")
    given = frames if frames is not None else features
    if (given is None) != (frame_positions is None):
        raise ShapeError("frames (or features) and frame_positions come together; one of them is missing.")
    if given is None or frame_positions is None:
        return
    rows = len(input_ids)
    if frame_positions.shape != (rows, given.shape[1]):
        raise ShapeError(f"frame_positions must be [{rows}, {given.shape[1]}], got {list(frame_positions.shape)}.")
    if video_index is None and given.shape[0] != rows:
        raise ShapeError(f"{given.shape[0]} videos for {rows} rows: give video_index [{rows}].")
    if video_index is not None and frames is not None:
        raise ConfigError("video_index goes with features, not with frames: encode the videos first.")
