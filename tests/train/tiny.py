"""A model of a few thousand weights and the parts of a run around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.fakes import byte_tokenizer, randomise, tiny_config
from vigil.config import ModelConfig
from vigil.model import VideoModel
from vigil.stream.source import open_source
from vigil.train.run import Run, RunConfig, make_feed
from vigil.train.stages import StageConfig, realtime_sft
from vigil.train.start import Begun
from vigil.types import Frame

EVERY_STEP = RunConfig(log_every=1, save_every=1)
STAGE = replace(realtime_sft(3), videos_per_step=4, lr=1e-3, warmup=1)


def frames_of(path: Path, fps: float) -> list[Frame]:
    """Frames of a video file, as a session sees them."""
    with open_source(path, fps=fps) as source:
        return list(source)


def begun(config: ModelConfig | None = None) -> Begun:
    """A starting point: the tiny model, ready to be trained."""
    model = VideoModel(config or tiny_config())
    randomise(model, 0)
    model.tokenizer = byte_tokenizer()
    return Begun(model.config, model.tokenizer, model)


def run(
    out: Path,
    *,
    stage: StageConfig = STAGE,
    data: tuple[str, ...] = ("world",),
    config: RunConfig = EVERY_STEP,
    start: Begun | None = None,
) -> Run:
    """A run that has not begun."""
    start = start or begun()
    feed = make_feed(stage, start, data, config, frames_of)
    return Run(stage, start, feed, out, config, torch.device("cpu"))
