"""The frame memory keeps the newest in bounded memory, whatever way it comes in. Other policies: test_retention.py.

Axes: F frames, K key/value heads, P vision tokens of a frame, S = F * P, H head channels.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vigil.config import StreamConfig
from vigil.errors import MemoryFull
from vigil.model.views import Prefix
from vigil.stream.memory import FrameMemory
from vigil.stream.retention import Entry


def frames(num: int) -> Tensor:
    """Frame i holds the number i everywhere: [F, K=2, P=3, H=4]."""
    return torch.arange(num, dtype=torch.float32).view(num, 1, 1, 1).expand(num, 2, 3, 4).contiguous()


def kept(memory: FrameMemory) -> list[int]:
    """Which frames are readable, oldest first."""
    keys, values = memory.snapshot().layer(0)
    assert torch.equal(keys, values)
    return [int(number) for number in keys[0, ::3, 0]] if len(memory) else []


@pytest.mark.parametrize("cuts", [[8], [1] * 8, [3, 5]], ids=["at-once", "one-by-one", "uneven"])
def test_memory_does_not_depend_on_how_frames_arrive(cuts: list[int]) -> None:
    k_FKPH = torch.randn(8, 2, 3, 4)
    memory = FrameMemory(StreamConfig(memory_frames=5), num_layers=1)
    for part in k_FKPH.split(cuts):
        memory.append(0, part, part)
        memory.publish()
    keys, _ = memory.snapshot().layer(0)
    torch.testing.assert_close(keys, torch.cat(list(k_FKPH[3:]), dim=1))


@given(cuts=st.lists(st.integers(1, 9), min_size=1, max_size=30), capacity=st.integers(1, 7))
def test_memory_keeps_the_newest_frames_for_any_cut_and_size(cuts: list[int], capacity: int) -> None:
    memory = FrameMemory(StreamConfig(memory_frames=capacity), num_layers=2)
    done = 0
    for cut in cuts:
        part = frames(done + cut)[done:]
        for layer in (0, 1):
            memory.append(layer, part, part)
        gone = memory.publish(range(done, done + cut))
        before, done = min(done, capacity), done + cut
        assert gone == list(range(done - len(memory) - len(gone), done - len(memory)))
        assert len(gone) == before + cut - len(memory)
        assert kept(memory) == list(range(max(0, done - capacity), done))
        assert memory.snapshot().positions == tuple(kept(memory))


def test_nothing_is_readable_before_it_is_published() -> None:
    memory = FrameMemory(StreamConfig(memory_frames=4), num_layers=2)
    part = frames(2)
    memory.append(0, part, part)
    assert memory.snapshot().layer(0)[0].numel() == 0
    assert list(memory.snapshot().views(torch.tensor([5]))) == [None, None]
    memory.append(1, part, part)
    assert kept(memory) == []
    memory.publish([0, 3])
    assert kept(memory) == [0, 1]


def test_a_full_memory_that_may_not_evict_says_what_to_change() -> None:
    memory = FrameMemory(StreamConfig(memory_frames=3, eviction="error"), num_layers=1)
    part = frames(2)
    memory.append(0, part, part)
    memory.publish()
    with pytest.raises(MemoryFull) as caught:
        memory.append(0, part, part)
    assert str(caught.value) == (
        "frame memory is full: 2 of 3 frames, and 2 more came. "
        'Raise StreamConfig.memory_frames, or set eviction="oldest".'
    )
    assert kept(memory) == [0, 1], "what was refused changed nothing"


def feed(memory: FrameMemory, num: int) -> list[tuple[int, int, int]]:
    """Frames one by one; after each the bytes held, the storage, and where the window starts in it."""
    seen = []
    for part in frames(num).split(1):
        memory.append(0, part, part)
        memory.publish()
        keys = memory.snapshot().layer(0)[0]
        seen.append((memory.num_bytes, keys.untyped_storage().data_ptr(), int(keys.storage_offset())))
    return seen


def check_constant_memory(memory: FrameMemory, num: int = 1000) -> None:
    assert len({num_bytes for num_bytes, _, _ in feed(memory, num)}) == 1, "memory grew"


class Hoarder(FrameMemory):
    """Broken on purpose: never lets a frame go."""

    def publish(self, positions: object = None, numbers: object = None) -> list[int]:
        self._entries += [Entry((0,), 0, 0)] * self._staged[0]
        self._staged = [0] * len(self._staged)
        return []


def test_a_thousand_frames_take_no_more_memory_than_the_first() -> None:
    check_constant_memory(FrameMemory(StreamConfig(memory_frames=16), num_layers=1))


def test_law_4_catches_a_memory_that_lets_nothing_go() -> None:
    with pytest.raises(AssertionError, match="memory grew"):
        check_constant_memory(Hoarder(StreamConfig(memory_frames=16), num_layers=1), num=100)


def test_sliding_moves_the_window_once_in_many_frames() -> None:
    seen = feed(FrameMemory(StreamConfig(memory_frames=16), num_layers=1), 1000)
    assert len({storage for _, storage, _ in seen}) == 1, "the buffer is never made anew"
    moves = sum(later < earlier for (_, _, earlier), (_, _, later) in pairwise(seen))
    assert 0 < moves <= 1000 / (16 // 4)


def test_a_snapshot_is_a_view_and_copies_nothing() -> None:
    memory = FrameMemory(StreamConfig(memory_frames=4), num_layers=1)
    part = frames(3)
    memory.append(0, part, part)
    memory.publish()
    keys, _ = memory.snapshot().layer(0)
    memory.snapshot().layer(0)[0][0, 0, 0] = 99.0
    assert keys[0, 0, 0] == 99.0
    view = memory.snapshot().views(torch.tensor([9]))[0]
    assert view is not None
    assert view.keys_BKSH.untyped_storage().data_ptr() == keys.untyped_storage().data_ptr()


def test_rows_see_the_frames_at_or_before_them() -> None:
    memory = FrameMemory(StreamConfig(memory_frames=4), num_layers=1)
    part = frames(3)
    memory.append(0, part, part)
    memory.publish([2, 5, 6])
    after, middle = memory.snapshot().views(torch.tensor([6, 7]))[0], memory.snapshot().views(torch.arange(1, 7))[0]
    assert after is not None
    assert after.visible is None, "all frames stand before these rows"
    assert middle is not None
    assert middle.visible == Prefix((0, 3, 3, 3, 6, 9)), "three vision tokens a frame"
