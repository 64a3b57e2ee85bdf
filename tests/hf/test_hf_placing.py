"""Where padded rows and their frames stand, by hand."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers", reason="vigil.hf needs transformers: pip install 'vigil-video[hf]'")
from vigil.hf.placing import frame_positions_of, mask_of, positions_of

CPU = torch.device("cpu")
LEFT = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])


def test_padding_takes_no_position_on_either_side() -> None:
    assert positions_of(LEFT, 2, 4, CPU).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    assert positions_of(LEFT.flip(1), 2, 4, CPU).tolist() == [[0, 1, 1, 1], [0, 1, 2, 3]]
    assert positions_of(None, 2, 3, CPU).tolist() == [[0, 1, 2]] * 2


def test_tokens_look_back_past_the_padding_which_looks_at_itself_alone() -> None:
    mask = mask_of(LEFT, 0, 4, CPU)
    assert mask is not None
    assert mask.int().tolist() == [
        [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]],
        [[[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]],
    ]
    newest = mask_of(LEFT, 3, 1, CPU)
    assert newest is not None
    assert newest.int().tolist() == [[[[0, 0, 1, 1]]], [[[1, 1, 1, 1]]]]


def test_without_padding_there_is_a_mask_only_where_several_tokens_meet_a_cache() -> None:
    for attention_mask in (None, torch.ones(2, 4)):
        assert mask_of(attention_mask, 0, 4, CPU) is None
        assert mask_of(attention_mask, 3, 1, CPU) is None
        several = mask_of(attention_mask, 2, 2, CPU)
        assert several is not None
        assert several.int().tolist() == [[[[1, 1, 1, 0], [1, 1, 1, 1]]]]


def test_frames_stand_where_their_placeholders_do() -> None:
    ids = torch.tensor([[0, 9, 5, 9], [1, 2, 9, 3]])
    positions = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 2]])
    assert frame_positions_of(ids, positions, 9).tolist() == [[1, 3], [1, -1]]
    assert frame_positions_of(ids, positions, 7).shape == (2, 0)
