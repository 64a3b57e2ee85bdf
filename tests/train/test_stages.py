"""The stages say what the paper says; what it leaves open is marked as ours."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from vigil.config import moss_11b
from vigil.errors import ConfigError
from vigil.train.stages import NANO, PAPER, Mixture, StageConfig, alignment, offline_sft, realtime_sft, temporal


def test_the_four_stages_follow_the_table() -> None:
    rows = {
        make.__name__: (s.mixture.text, s.mixture.image, s.mixture.video, s.lr, s.frames, s.fps)
        for make in PAPER
        for s in [make(100)]
    }
    assert rows["alignment"] == (0, 79, 21, 2e-5, (8, 64), 2.0)
    assert rows["temporal"][:3] == (0, 26, 74)
    assert rows["offline_sft"] == (14, 44, 42, 1e-5, (8, 256), 1.0)
    assert rows["realtime_sft"] == (11, 29, 60, 2e-5, (1, 256), 1.0)
    for make in PAPER:
        stage = make(100)
        assert (stage.name, stage.warmup, stage.decay) == (make.__name__, 10, "cosine")
        assert (stage.language_weight, stage.labels_weight, stage.loss.kind) == (1.0, 0.0, "uniform")


def test_alignment_freezes_the_text_and_the_others_nothing() -> None:
    config = moss_11b()
    names = {
        "vision.patch_embedding.weight": False,
        "projector.bias": False,
        "decoder.layers.3.cross_attn.q_proj.weight": False,
        "decoder.layers.38.mlp.up_proj.weight": False,
        "decoder.layers.4.self_attn.q_proj.weight": True,
        "decoder.layers.39.mlp.up_proj.weight": True,
        "decoder.embed_tokens.weight": True,
        "decoder.lm_head.weight": True,
        "decoder.norm.weight": True,
    }
    assert {name: alignment().freezes(name, config) for name in names} == names
    for make in (temporal, offline_sft, realtime_sft):
        assert not any(make().freezes(name, config) for name in names)


def test_a_stage_is_frozen_and_refuses_the_impossible() -> None:
    with pytest.raises(FrozenInstanceError):
        realtime_sft().lr = 1.0  # type: ignore[misc]
    with pytest.raises(ConfigError, match=r"frames must rise from 1 or more, got \(5, 2\)"):
        replace(realtime_sft(), frames=(5, 2))
    with pytest.raises(ConfigError, match=r"shares must not be negative nor all 0, got 0, 0, 0"):
        Mixture(text=0, image=0, video=0)
    with pytest.raises(ConfigError, match=r"fps and lr must be above 0, got 1\.0 and 0"):
        StageConfig(name="x", steps=1, lr=0)


def test_silence_counts_less_than_words_until_the_last_of_nano_s_stages() -> None:
    *before, last = (make().loss for make in NANO)
    assert {(loss.kind, loss.silence_weight, loss.normalise) for loss in before} == {("silence", 0.3, "weights")}
    assert (last.kind, last.silence_weight, last.normalise) == ("silence", 1.0, "weights")
