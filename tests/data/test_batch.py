"""Videos and conversations as tensors, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vigil.data.batch import collate
from vigil.data.layout import Sample
from vigil.errors import ShapeError
from vigil.model.loss import IGNORE


def video(num_frames: int, grey: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((num_frames, 4, 4, 3), grey, np.uint8)


LONG = Sample(ids=[5, 9, 6, 9, 7], labels=[IGNORE, IGNORE, 6, IGNORE, 7], frame_positions=[1, 3])
SHORT = Sample(ids=[9, 8], labels=[IGNORE, 8], frame_positions=[0])


def test_shorter_videos_and_conversations_are_padded_behind() -> None:
    batch = collate([video(1, 10), video(2, 20)], [(1, LONG), (0, SHORT), (1, LONG)], pad_token_id=3)
    assert batch.frames.shape == (2, 2, 4, 4, 3)
    assert batch.frames[0, 0].unique().tolist() == [10]
    assert batch.frames[0, 1].unique().tolist() == [0], "black behind the end"
    assert batch.frames[1].unique().tolist() == [20]
    assert batch.input_ids.tolist() == [[5, 9, 6, 9, 7], [9, 8, 3, 3, 3], [5, 9, 6, 9, 7]]
    assert batch.labels.tolist()[1] == [IGNORE, 8, IGNORE, IGNORE, IGNORE]
    assert batch.frame_positions.tolist() == [[1, 3], [0, -1], [1, 3]]
    assert batch.video_index.tolist() == [1, 0, 1]


def test_padding_is_zero_unless_named_and_never_learnt() -> None:
    batch = collate([video(2, 0), video(1, 0)], [(0, LONG), (1, SHORT)])
    assert batch.input_ids[1, 2:].tolist() == [0, 0, 0]
    assert (batch.labels[1, 2:] == IGNORE).all()


def test_types_are_those_that_the_model_takes() -> None:
    batch = collate([video(1, 0)], [(0, SHORT)])
    assert str(batch.frames.dtype) == "torch.uint8"
    for tensor in (batch.input_ids, batch.labels, batch.frame_positions, batch.video_index):
        assert str(tensor.dtype) == "torch.int64"


@pytest.mark.parametrize(
    ("num_frames", "message"), [(1, "row 1 has 2 frames, its video 1"), (3, "2 frames, its video 3")]
)
def test_a_conversation_about_another_video_is_refused_with_both_numbers(num_frames: int, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        collate([video(1, 0), video(num_frames, 0)], [(0, SHORT), (1, LONG)])
