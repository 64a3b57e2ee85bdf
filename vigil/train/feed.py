"""Batches straight from the world: the batch of a step is a pure function of (stage, rank, step), so training resumes
exactly where it stopped."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vigil.data.ablations import Unrelated, learn_first_answers
from vigil.data.batch import Batch, collate
from vigil.data.layout import Layout, Sample
from vigil.data.records import Record
from vigil.data.synthesize import synthesize
from vigil.train.loss import StateIds, target_kinds
from vigil.train.stages import StageConfig
from vigil.world.captions import describe
from vigil.world.chance import Split
from vigil.world.labels import CellLabels, labels
from vigil.world.render import render
from vigil.world.scene import sample_scene


@dataclass(frozen=True, slots=True)
class Step:
    """What one process learns from in one step."""

    batch: Batch
    cells: tuple[CellLabels, ...]
    """One per video."""
    records: tuple[Record, ...]
    """One per row."""
    kinds: Tensor
    """[B, T]: kind of each token as a target (`vigil.train.loss`)."""


class WorldFeed:
    """Draws scenes, asks about them, and lays the conversations out."""

    def __init__(
        self,
        stage: StageConfig,
        layout: Layout,
        ids: StateIds,
        *,
        split: Split = "train",
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self._stage = stage
        self._layout = layout
        self._ids = ids
        self._split: Split = split
        self._rank = rank
        self._num_videos = max(1, stage.videos_per_step // num_ranks)
        self._unrelated = Unrelated(stage.world, layout.encode) if stage.revisions == "unrelated" else None

    def step(self, step: int) -> Step:
        """The input of one step."""
        stage = self._stage
        rng = random.Random(f"{stage.name}:{stage.seed}:{self._rank}:{step}")
        num_frames = random.Random(f"{stage.seed}:{step}").randint(*stage.frames)  # the same in every process
        seconds = num_frames / stage.world.fps
        world = replace(stage.world, duration_s=(seconds, seconds))
        panel = replace(world, family="panel", held_out=False)
        videos: list[NDArray[np.uint8]] = []
        rows: list[tuple[int, Sample]] = []
        cells, records = [], []
        while len(videos) < self._num_videos or not rows:
            is_panel = stage.panel_share > 0 and rng.random() < stage.panel_share
            scene = sample_scene(self._split, rng.getrandbits(40), config=panel if is_panel else world)
            for record in synthesize(describe(scene), rng=rng, config=stage.synth):
                rows.append((len(videos), self._lay_out(record, num_frames, rng)))
                records.append(record)
            videos.append(render(scene))
            cells.append(labels(scene))
        batch = collate(videos, rows)
        kinds = torch.zeros_like(batch.labels)
        for row, (_, sample) in enumerate(rows):
            kinds[row, : len(sample.ids)] = torch.tensor(target_kinds(sample, self._ids))
        return Step(batch, tuple(cells), tuple(records), kinds)

    def _lay_out(self, record: Record, num_frames: int, rng: random.Random) -> Sample:
        stage = self._stage
        times_s = [index / record.fps for index in range(num_frames)]
        if self._unrelated is not None:
            record = self._unrelated(record)
        sample = self._layout.lay_out(record, times_s, tokens_per_s=rng.uniform(*stage.tokens_per_s))
        if not record.offline and rng.random() < stage.jitter:
            sample = self._layout.jitter(sample, rng)
        if stage.revisions == "cut" and not record.offline:
            sample = learn_first_answers(sample, self._layout.control)
        return sample
