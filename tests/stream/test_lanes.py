"""What a stream keeps: what it was told to, or else what its model was trained to keep."""

from __future__ import annotations

from dataclasses import replace

import pytest

import vigil
from vigil import Session
from vigil.config import StreamConfig
from vigil.errors import ConfigError
from vigil.model import VideoModel
from vigil.stream.capacity import lane_bytes
from vigil.stream.lanes import lanes_for


@pytest.fixture(scope="module")
def nano() -> VideoModel:
    return vigil.load("nano")


def test_a_stream_keeps_what_its_model_was_trained_to_keep(nano: VideoModel) -> None:
    own = Session(nano, fps=2.0).config
    assert (own.fps, own.memory_frames, own.text_tokens) == (2.0, 60, 256)
    assert (nano.config.memory_frames, nano.config.text_tokens) == (60, 256)
    frames, _ = lanes_for(nano, StreamConfig())
    assert frames.config.memory_frames == 60
    assert lane_bytes(nano, StreamConfig()) == lane_bytes(nano, StreamConfig(memory_frames=60, text_tokens=256))


def test_what_it_is_told_goes_before_what_the_model_was_trained_on(nano: VideoModel) -> None:
    told = Session(nano, config=StreamConfig(memory_frames=300, text_tokens=1000)).config
    assert (told.memory_frames, told.text_tokens) == (300, 1000)
    assert lane_bytes(nano, told) > lane_bytes(nano, StreamConfig(text_tokens=1000)) > lane_bytes(nano, StreamConfig())


def test_a_policy_without_room_in_the_models_memory_is_refused_when_they_meet(nano: VideoModel) -> None:
    config = StreamConfig(retention="pool", recent_frames=60)
    with pytest.raises(ConfigError, match="memory_frames=60"):
        Session(nano, config=config)
    assert replace(config, memory_frames=100).settled(nano.config).num_recent == 60
