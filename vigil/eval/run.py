"""Runs a model over world scenes, free-running and greedy, and hands logs and truth to the measure."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vigil.config import StreamConfig
from vigil.data.records import Record
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.data.truth import truth_of
from vigil.errors import ConfigError
from vigil.eval.log import Log, write_log
from vigil.eval.report.streams import FRAMES_ENDING, fingerprint
from vigil.eval.rows import HeadRow
from vigil.eval.truth import Truth, parse_truth
from vigil.eval.writer import LogWriter
from vigil.model.model import VideoModel
from vigil.stream.session import Session
from vigil.world.captions import describe
from vigil.world.chance import Split
from vigil.world.render import render
from vigil.world.scene import Scene, WorldConfig, sample_scene


@dataclass(frozen=True, kw_only=True, slots=True)
class BehaviourConfig:
    """The setting of `vigil eval behaviour`."""

    split: Split = "test"
    num_scenes: int = 200
    seed: int = 0
    """Number of the first scene."""
    duration_s: float = 60.0
    fps: float = 1.0
    tokens_per_s: float = 8.0
    world: WorldConfig = field(default_factory=WorldConfig)
    roles: tuple[str, ...] = ()
    """Kinds of question asked; empty: all, in the shares of the training data."""

    def __post_init__(self) -> None:
        if self.num_scenes < 1:
            raise ConfigError(f"num_scenes must be at least 1, got {self.num_scenes}.")


def scenes(config: BehaviourConfig) -> Iterator[tuple[Scene, Record]]:
    """The scenes of a setting, each with one conversation about it; scenes that give nothing to ask are passed over."""
    world = replace(config.world, fps=config.fps, duration_s=(config.duration_s, config.duration_s))
    synth = SynthConfig(fps=config.fps, offline_share=0.0, records_per_video=1)
    if config.roles:
        synth = replace(synth, roles=tuple((role, 1.0) for role in config.roles), second_question=0.0)
    number, found = config.seed, 0
    while found < config.num_scenes:
        scene = sample_scene(config.split, number, config=world)
        for record in synthesize(describe(scene), rng=random.Random(number), config=synth):
            found += 1
            yield scene, record
        number += 1


def run_scene(
    model: VideoModel, scene: Scene, record: Record, *, config: BehaviourConfig, name: str
) -> tuple[Log, Truth]:
    """Watch one scene, and pair what happened with what should have."""
    log = watch_frames(model, record, render(scene), config=config, name=name)
    return log, parse_truth(json.dumps(row) for row in truth_of(record, describe(scene)))


def watch_frames(
    model: VideoModel, record: Record, frames_FHWC: NDArray[np.uint8], *, config: BehaviourConfig, name: str
) -> Log:
    """Watch frames on the virtual clock, computation free of cost, ask a record's questions, and log what happens."""
    head = HeadRow(
        v=1, clock="free", w0=0.0, speed=1.0, fps=config.fps, model=name, seed=config.seed, policy="greedy", cost=None
    )
    writer = LogWriter(head)
    stream = StreamConfig(fps=config.fps, tokens_per_s=config.tokens_per_s)
    with Session(model, config=stream, trace=writer.trace) as session:
        for turn in record.turns:
            if turn.question:
                session.ask(turn.question, standing=turn.standing, at_s=turn.ask_s)
        frames = ((image, index / config.fps) for index, image in enumerate(frames_FHWC))
        for event in session.watch(frames, speed="max"):
            writer.event(event)
    return writer.log()


def keep(folder: Path, scene: Scene, record: Record, log: Log) -> None:
    """Write a scene's event log, truth and the hash of its frames, for `vigil eval log` and `vigil eval report`."""
    stem = record.id.replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    write_log(folder / f"{stem}.log.jsonl", log)
    (folder / f"{stem}{FRAMES_ENDING}").write_text(fingerprint(render(scene)) + "\n", encoding="utf-8")
    rows = truth_of(record, describe(scene))
    (folder / f"{stem}.truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
