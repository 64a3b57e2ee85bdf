"""From records and pictures to tensors. Several conversations about one video share its frames.

Axes: V videos, F frames, B rows (conversations), T tokens, C image channels, I image side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vigil.data.layout import Sample
from vigil.errors import ShapeError
from vigil.model.loss import IGNORE


@dataclass(frozen=True, slots=True)
class Batch:
    """One training step's input."""

    frames: Tensor
    """[V, F, I, I, C] uint8; shorter videos are padded with black frames at the end."""
    input_ids: Tensor
    """[B, T]."""
    labels: Tensor
    """[B, T], -100 where nothing is learnt."""
    frame_positions: Tensor
    """[B, F], -1 where a row has no such frame."""
    video_index: Tensor
    """[B]: the video that a row is about."""


def collate(videos: Sequence[NDArray[np.uint8]], rows: Sequence[tuple[int, Sample]], *, pad_token_id: int = 0) -> Batch:
    """Stack videos and conversations; rows are padded on the right.

    Args:
        videos: each [F, I, I, C] uint8, all of one size.
        rows: pairs of (index into `videos`, laid-out sample).

    Raises:
        ShapeError: a sample has another number of frames than its video.
    """
    num_frames = max(len(video) for video in videos)
    frames_VFIIC = np.zeros((len(videos), num_frames, *videos[0].shape[1:]), np.uint8)
    for index, video in enumerate(videos):
        frames_VFIIC[index, : len(video)] = video
    length = max(len(sample.ids) for _, sample in rows)
    ids = np.full((len(rows), length), pad_token_id, np.int64)
    labels = np.full((len(rows), length), IGNORE, np.int64)
    positions = np.full((len(rows), num_frames), -1, np.int64)
    for row, (index, sample) in enumerate(rows):
        if len(sample.frame_positions) != len(videos[index]):
            raise ShapeError(f"row {row} has {len(sample.frame_positions)} frames, its video {len(videos[index])}.")
        ids[row, : len(sample.ids)] = sample.ids
        labels[row, : len(sample.labels)] = sample.labels
        positions[row, : len(sample.frame_positions)] = sample.frame_positions
    return Batch(
        torch.from_numpy(frames_VFIIC),
        torch.from_numpy(ids),
        torch.from_numpy(labels),
        torch.from_numpy(positions),
        torch.tensor([index for index, _ in rows]),
    )
