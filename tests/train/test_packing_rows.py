"""Conversations in rows, by hand: which one goes where, and what each number of a packed batch says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from fakes import byte_tokenizer, tiny_config
from hypothesis import given
from hypothesis import strategies as st

from vigil.data.layout import Sample
from vigil.errors import DataError
from vigil.model.loss import IGNORE
from vigil.model.tokens import IMAGE
from vigil.train.examples import Example
from vigil.train.loss import StateIds
from vigil.train.packing import Packed, Packer

TOKENIZER = byte_tokenizer()
FRAME = TOKENIZER.special(IMAGE)
IDS = StateIds.of(TOKENIZER, image_token_id=FRAME)
SIDE = tiny_config().vision.image_px


def sample(length: int, frames: Sequence[int] = (), token: int = 65) -> Sample:
    """A conversation of so many equal tokens, with frames at these places; all but the frames is learnt."""
    ids = [FRAME if place in frames else token for place in range(length)]
    return Sample(ids, [IGNORE if i == FRAME else i for i in ids], list(frames))


def example(*samples: Sample, num_frames: int = 0, shade: float = 0.0) -> Example:
    frames = torch.full((num_frames, 3, SIDE, SIDE), shade) if num_frames else None
    return Example("e", frames, samples)


def pack(*examples: Example, max_tokens: int = 10, pack: bool = True) -> Packed:
    return Packer(tiny_config(), IDS, max_tokens=max_tokens, pack=pack).pack(examples)


def test_each_conversation_goes_into_the_first_row_that_has_room() -> None:
    batch = pack(*(example(sample(length, token=65 + n)) for n, length in enumerate((6, 7, 4, 3, 2))))
    rows = [[chr(token) for token in row if token] for row in batch.input_ids.tolist()]
    assert ["".join(row) for row in rows] == ["AAAAAACCCC", "BBBBBBBDDD", "EE"]
    assert batch.segment_ids is not None
    assert batch.segment_ids.tolist() == [[0] * 6 + [1] * 4, [0] * 7 + [1] * 3, [0, 0] + [-1] * 8]


def test_without_packing_each_has_a_row_and_no_segments_are_needed() -> None:
    batch = pack(example(sample(3), sample(2)), example(sample(4)), pack=False)
    assert batch.input_ids.shape == (3, 4)
    assert batch.segment_ids is None
    assert batch.labels[1].tolist() == [IGNORE, 65, IGNORE, IGNORE]


def test_nothing_foretells_the_first_token_of_a_conversation() -> None:
    batch = pack(example(sample(3)), example(sample(4)))
    assert (batch.labels[0] != IGNORE).tolist() == [False, True, True, False, True, True, True]


def test_frames_are_numbered_over_all_videos_and_placed_within_their_conversation() -> None:
    batch = pack(
        example(sample(4, (1, 2)), num_frames=2, shade=1.0),
        example(sample(3)),
        example(sample(3, (0,)), num_frames=1, shade=2.0),
        max_tokens=20,
    )
    assert batch.frame_positions.tolist() == [[1, 2, 0]]
    assert batch.frame_index.tolist() == [[0, 1, 2]]
    assert [float(video.mean()) for video in batch.videos] == [1.0, 2.0]


def test_conversations_about_one_video_name_the_same_frames() -> None:
    batch = pack(example(sample(8, (1, 2)), sample(8, (3, 5)), num_frames=2))
    assert batch.frame_index.tolist() == [[0, 1], [0, 1]]
    assert batch.frame_positions.tolist() == [[1, 2], [3, 5]]
    assert len(batch.videos) == 1


def test_a_row_with_fewer_frames_has_absent_ones() -> None:
    batch = pack(example(sample(9, (1, 2)), num_frames=2), example(sample(9)))
    assert batch.frame_positions.tolist() == [[1, 2], [-1, -1]]


def test_no_usable_example_gives_one_row_without_a_target_and_a_black_frame() -> None:
    batch = pack()
    assert batch.input_ids.tolist() == [[0]]
    assert batch.labels.tolist() == [[IGNORE]]
    assert batch.frame_positions.tolist() == [[-1]]
    assert [video.shape for video in batch.videos] == [(1, 3, SIDE, SIDE)]
    assert batch.videos[0].abs().max() == 0


@pytest.mark.parametrize(("length", "fits"), [(10, True), (11, False)])
def test_what_fits_no_row_is_refused_with_both_numbers(length: int, fits: bool) -> None:
    packer = Packer(tiny_config(), IDS, max_tokens=10, pack=True)
    if fits:
        packer.check(example(sample(3), sample(length)))
        return
    with pytest.raises(DataError, match=r"e has 11 tokens, a row holds 10 \(max_tokens\)"):
        packer.check(example(sample(3), sample(length)))


@given(lengths=st.lists(st.integers(1, 10), min_size=1, max_size=12))
def test_packing_keeps_every_token_once_and_no_row_is_too_long(lengths: list[int]) -> None:
    batch = pack(*(example(sample(length, token=65 + n)) for n, length in enumerate(lengths)))
    assert batch.input_ids.shape[1] <= 10
    counts = [int((batch.input_ids == 65 + n).sum()) for n in range(len(lengths))]
    assert counts == lengths
    assert len(batch.input_ids) <= len(lengths)
    used = (batch.input_ids > 0).sum(1)
    assert all(int(a + b) > 10 for a, b in pairwise(used)), "two rows that would fit are one"
