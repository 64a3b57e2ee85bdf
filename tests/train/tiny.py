"""A model of a few thousand weights, the parts of a run around it, and a run as a program of its own.

torchrun --nproc-per-node 2 tests/train/tiny.py OUT '{"accumulate": 2}'
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.fakes import CONV, byte_tokenizer, randomise, tiny_config
from vigil.config import ModelConfig
from vigil.data.layout import Layout
from vigil.model import VideoModel
from vigil.stream.source import open_source
from vigil.train import sharding
from vigil.train.examples import Maker
from vigil.train.mixture import MixFeed, StepInput
from vigil.train.run import Run, RunConfig, make_feed, process_group
from vigil.train.stages import StageConfig, realtime_sft
from vigil.train.start import Begun
from vigil.types import Frame
from vigil.world.scene import WorldConfig

SEES_64_PX = tiny_config(replace(CONV, image_px=64))
"""As small, with the canvas on which the world is drawn."""
EVERY_STEP = RunConfig(log_every=1, save_every=2, max_tokens=500)
STAGE = replace(realtime_sft(3), videos_per_step=4, lr=1e-3, warmup=1, world=WorldConfig(duration_s=(3.0, 6.0)))


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


def maker(stage: StageConfig = STAGE) -> Maker:
    """Makes examples for the tiny model."""
    config = tiny_config()
    layout = Layout(byte_tokenizer(), image_token_id=config.image_token_id)
    return Maker(stage, layout, config.vision, image_token_id=config.image_token_id, read_video=frames_of)


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


def curve(out: Path, *names: str) -> list[Any]:
    """What was reported after each step."""
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    return [tuple(row[name] for name in names or ("step", "loss", "grad_norm")) for row in rows]


def main(out: Path, changes: dict[str, Any]) -> None:
    """Train; `die_at` in `changes` kills the process without warning when that step's data is drawn."""
    die_at, steps = changes.pop("die_at", None), changes.pop("steps", STAGE.steps)
    torch.set_num_threads(1)
    with process_group():
        start = begun() if sharding.rank() == 0 else begun()._replace(model=None)
        made = run(out, stage=replace(STAGE, steps=steps), config=replace(EVERY_STEP, **changes), start=start)
        if die_at is not None:
            made._feed = _Deadly(**{name: getattr(made._feed, name) for name in FIELDS}, die_at=die_at)
        made.run()


FIELDS = ("order", "maker", "packer", "rank", "num_ranks", "accumulate")


class _Deadly(MixFeed):
    def __init__(self, *, die_at: int, **parts: Any) -> None:
        super().__init__(**parts)
        object.__setattr__(self, "_die_at", die_at)

    def step(self, step: int) -> StepInput:
        """Kill the process that asks for one step too many."""
        if step == self._die_at:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
