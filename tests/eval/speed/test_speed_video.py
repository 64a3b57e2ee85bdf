"""The 1080p clip that decoding is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from very_small import SMALL

from vigil.eval.speed import video
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.machine import Rates
from vigil.stream.source import open_source


def test_the_clip_is_1080p_moves_and_has_every_frame(tmp_path: Path) -> None:
    video.write_clip(tmp_path / "clip.mp4", 3)
    with open_source(tmp_path / "clip.mp4", fps=1.0) as source:
        frames = [frame.image for frame in source]
    assert [frame.shape for frame in frames] == [(1080, 1920, 3)] * 3
    assert np.abs(frames[0].astype(int) - frames[1]).mean() > 5


def test_decoding_and_resizing_are_counted_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "LOOKED_AT", 2)
    part = video.video(Bench(SMALL, torch.device("cpu"), Rates(1e10, 1e11)))
    for row in part.rows:
        assert row["decode_s"] > 0
        assert row["resize_s"] > 0
        total = row["decode_s"] + row["resize_s"] + row["encoder_s"] + row["decoder_s"]
        assert row["ttft_s"] == pytest.approx(total)
    assert {row["decode_s"] for row in part.rows} == {part.rows[0]["decode_s"]}


def test_without_a_decoder_the_figures_are_null_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, num_frames: int) -> None:
        raise ImportError("No module named 'av'")

    monkeypatch.setattr(video, "write_clip", missing)
    part = video.video(Bench(SMALL, torch.device("cpu"), Rates(1e10, 1e11)))
    assert all(figure.value is None and "No module named 'av'" in figure.reason for figure in part.figures)
