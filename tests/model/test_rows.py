"""Positions and masks of whole sequences, by hand and against loops that say the same slowly."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vigil.errors import ShapeError
from vigil.model.rows import default_positions, frame_segments, look_back, within_segments

CPU = torch.device("cpu")
IMAGE = 9


def seen(mask: Tensor | None) -> list[str]:
    """A mask [1, 1, T, S] as one line per row, with x where it may look."""
    assert mask is not None
    return ["".join("x" if cell else "." for cell in row) for row in mask[0, 0].tolist()]


def test_new_tokens_look_at_everything_cached_and_at_each_other_causally() -> None:
    assert seen(look_back(3, 2, CPU)) == ["xxx..", "xxxx.", "xxxxx"]


@pytest.mark.parametrize(("new", "cached"), [(1, 0), (1, 7), (4, 0)])
def test_one_token_or_an_empty_cache_needs_no_mask(new: int, cached: int) -> None:
    assert look_back(new, cached, CPU) is None


@given(new=st.integers(2, 6), cached=st.integers(1, 6))
def test_a_row_sees_one_entry_more_than_the_row_before(new: int, cached: int) -> None:
    mask = look_back(new, cached, CPU)
    assert mask is not None
    assert mask.shape == (1, 1, new, cached + new)
    assert mask.sum(-1).flatten().tolist() == [cached + 1 + row for row in range(new)]
    assert mask[..., :cached].all()


def test_segments_do_not_see_each_other() -> None:
    mask = within_segments(torch.tensor([[0, 0, 1, 1, 1]]))
    assert seen(mask) == ["x....", "xx...", "..x..", "..xx.", "..xxx"]
    assert within_segments(None) is None


def test_a_segment_number_that_comes_back_is_the_same_segment() -> None:
    """Only the number counts, so that padding (-1) behind a row never sees what stands before it."""
    assert seen(within_segments(torch.tensor([[-1, 0, -1]]))) == ["x..", ".x.", "x.x"]


def test_rows_of_a_batch_have_segments_of_their_own() -> None:
    mask = within_segments(torch.tensor([[0, 0, 0], [0, 1, 1]]))
    assert mask is not None
    assert mask.shape == (2, 1, 3, 3)
    assert mask[0].sum() == 6
    assert mask[1].sum() == 4


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (None, [0, 1, 2, 3, 4]),
        ([0, 0, 0, 0, 0], [0, 1, 2, 3, 4]),
        ([0, 0, 1, 1, 1], [0, 1, 0, 1, 2]),
        ([3, 1, 1, 1, -1], [0, 0, 1, 2, 0]),
        ([0, 1, 0, 1, 0], [0, 0, 0, 0, 0]),
    ],
)
def test_positions_begin_anew_with_each_segment(segments: list[int] | None, expected: list[int]) -> None:
    given_BT = None if segments is None else torch.tensor([segments])
    assert default_positions(torch.zeros(1, 5, dtype=torch.long), given_BT).tolist() == [expected]


@given(runs=st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_positions_of_any_packing_are_those_of_each_sample_alone(runs: list[int]) -> None:
    segments_BT = torch.tensor([[number for number, length in enumerate(runs) for _ in range(length)]])
    slow = [place for length in runs for place in range(length)]
    assert default_positions(segments_BT, segments_BT).tolist() == [slow]


def test_frames_belong_to_the_segment_of_their_placeholder() -> None:
    ids_BT = torch.tensor([[1, IMAGE, 2, IMAGE, IMAGE], [IMAGE, 1, 1, 1, 1]])
    segments_BT = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]])
    positions_BF = torch.tensor([[1, 0, 1], [-1, 0, -1]])
    owners = frame_segments(ids_BT, segments_BT, positions_BF, IMAGE)
    assert owners.tolist() == [[0, 1, 1], [-1, 0, -1]], "an absent frame has no segment, wherever it stands"


def test_more_placeholders_than_frames_are_refused_with_both_numbers() -> None:
    ids_BT, segments_BT = torch.tensor([[1, 1, 1], [IMAGE, IMAGE, 1]]), torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(ShapeError, match="row 1 has 2 placeholders for 1 frames"):
        frame_segments(ids_BT, segments_BT, torch.tensor([[-1], [0]]), IMAGE)
