"""What remembering costs, reckoned by hand, and held against what the lanes then really take."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes import tiny_config, tiny_model

from vigil.config import Retention, Storage, StreamConfig, moss_11b
from vigil.model.interleave import twin_of
from vigil.model.vision import preprocess
from vigil.stream.budget import Budget, budget_of, entry_bytes
from vigil.stream.capacity import free_bytes, lane_bytes
from vigil.stream.lanes import lanes_for

TINY = tiny_config()
ENTRY = 2 * 2 * 4 * 2 * 8 * 4
"""Keys and values, 2 cross layers, 4 vision tokens, 2 heads of 8 channels, 4 bytes a number."""


def budget(**changes: Any) -> Budget:
    return budget_of(TINY, StreamConfig(**{"memory_frames": 32, **changes}), bytes_per_number=4)


def test_an_entry_by_hand_plain_and_in_eight_bits() -> None:
    assert entry_bytes(TINY, bytes_per_number=4) == ENTRY
    assert entry_bytes(TINY, bytes_per_number=2) == ENTRY // 2
    assert entry_bytes(TINY, "int8", bytes_per_number=4) == entry_bytes(TINY, "fp8") == 2 * 2 * 4 * 2 * (8 + 2)


def test_an_entry_at_11b_is_what_the_docstring_says() -> None:
    assert entry_bytes(moss_11b()) == moss_11b().kv_bytes_per_frame == 3_309_568
    assert entry_bytes(moss_11b(), "int8") == 1_680_640


@pytest.mark.parametrize(
    ("changes", "frames_reached", "room"),
    [
        ({}, 32, 32 + 8 + 1),
        ({"retention": "keyframes"}, math.inf, 33),
        # 32 - 4 go free at once, 8 are recent, 3 may wait to be joined: 17 groups of 4, and the 8
        ({"retention": "pool"}, 8 + 17 * 4, 33),
        ({"retention": "merge"}, 8 + 17 * 4, 33),
        ({"retention": "pool", "recent_frames": 4, "pool_frames": 2}, 4 + 23 * 2, 33),
        ({"retention": "pool", "recent_frames": 28}, 28, 33),
    ],
    ids=["window", "keyframes", "pool", "merge", "pairs", "hardly-any-past"],
)
def test_how_far_back_a_memory_reaches_and_what_it_holds(
    changes: dict[str, Any], frames_reached: float, room: int
) -> None:
    found = budget(**changes)
    assert found.frames_reached == frames_reached
    assert found.num_bytes == room * ENTRY
    assert found.entry_bytes == ENTRY


def test_bytes_of_a_frame_and_of_an_hour() -> None:
    window = budget(fps=2.0)
    assert window.bytes_per_frame == ENTRY
    assert window.bytes_per_hour == ENTRY * 7200
    pool = budget(fps=2.0, retention="pool")
    assert pool.bytes_per_frame == pytest.approx(ENTRY * 32 / (8 + 17 * 4))
    assert pool.bytes_per_hour == ENTRY * 1800
    keyframes = budget(retention="keyframes")
    assert (keyframes.bytes_per_frame, keyframes.bytes_per_hour) == (0.0, 0.0)


def test_a_stream_that_names_no_length_has_that_of_its_model() -> None:
    model = replace(TINY, memory_frames=12)
    assert budget_of(model, StreamConfig()).frames_reached == 12
    assert budget_of(model, StreamConfig(memory_frames=5)).frames_reached == 5


@pytest.mark.parametrize("storage", ["model", "int8"])
@pytest.mark.parametrize("retention", ["window", "pool"])
def test_full_lanes_take_what_was_reckoned_before(retention: Retention, storage: Storage) -> None:
    model = tiny_model()
    config = StreamConfig(memory_frames=8, recent_frames=2, retention=retention, frame_storage=storage, text_tokens=64)
    frames, text = lanes_for(model, config)
    image = torch.zeros(20, 20, 3, dtype=torch.uint8).numpy()
    features_FPD, _ = model.encode_frames(preprocess(image, model.config.vision)[None])
    for position in range(30):
        frames.take(model.write_frames(features_FPD, torch.tensor([position])), [position])
    for layer in range(2):
        text.extend(layer, torch.zeros(1, 2, 1, 8), torch.zeros(1, 2, 1, 8))
    held = frames.num_bytes + text.num_bytes
    reckoned = lane_bytes(model, config)
    assert frames.num_bytes == budget_of(model.config, config, bytes_per_number=4).num_bytes
    assert held == reckoned


def test_the_twin_holds_its_frames_in_the_lane_of_text() -> None:
    config = StreamConfig(memory_frames=8, text_tokens=64)
    twin = tiny_model(twin_of(TINY))
    one_token = 2 * 4 * 2 * 8 * 4  # keys and values, 4 layers, 2 heads of 8 channels, 4 bytes
    assert lane_bytes(twin, config) == (64 + 8 * 4) * one_token
    assert lanes_for(twin, config)[1].capacity == 64 + 8 * 4


def test_some_memory_is_free() -> None:
    assert 0 < free_bytes(torch.device("cpu")) < 1 << 50
