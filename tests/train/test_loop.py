"""Training resumes exactly, draws the same data for the same step, and learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.fakes import byte_tokenizer
from tests.train.tiny import SEES_64_PX, begun
from vigil.data.layout import Layout
from vigil.errors import CheckpointError
from vigil.model import VideoModel, load
from vigil.train.checkpoint import load_state, save_state
from vigil.train.feed import WorldFeed
from vigil.train.loop import Trainer
from vigil.train.loss import StateIds
from vigil.train.optim import optimisers
from vigil.train.stages import StageConfig, realtime, vision

SMALL = replace(realtime(3), frames=(2, 3), videos_per_step=2)


def trainer(out: Path, *stages: StageConfig) -> Trainer:
    torch.manual_seed(0)  # of the word heads
    start = begun(SEES_64_PX)
    assert start.model is not None
    return Trainer(start.model, out, stages)


def weights(model: VideoModel) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_run_that_was_cut_goes_on_exactly(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", SMALL)
    whole.run()

    cut = trainer(tmp_path / "cut", SMALL)
    chosen = optimisers(torch.nn.ModuleList([cut.model, cut.heads]), lr=SMALL.lr, muon_lr=SMALL.muon_lr)
    cut._save_every_s = 0.0  # after every step
    steps = iter(range(2))

    class Cut(Exception):
        pass

    def forward_twice(stage: StageConfig, step: object) -> object:
        if next(steps, None) is None:
            raise Cut
        return Trainer.forward(cut, stage, step)  # type: ignore[arg-type]

    cut.forward = forward_twice  # type: ignore[method-assign, assignment]
    with pytest.raises(Cut):
        cut.run()
    meta = load_state(tmp_path / "cut" / "state.safetensors", cut._modules, chosen)
    assert meta == {"stage": 0, "step": 2}

    resumed = trainer(tmp_path / "cut", SMALL)
    assert not torch.equal(weights(resumed.model), weights(whole.model))
    resumed.run()
    assert torch.equal(weights(resumed.model), weights(whole.model))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    stage = replace(vision(2), frames=(2, 2), videos_per_step=2)
    trainer(tmp_path, stage).run()
    again = trainer(tmp_path, stage)
    again.forward = None  # type: ignore[method-assign, assignment] # would fail if a step were taken
    again.run()
    row = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[-1])
    assert (row["stage"], row["step"]) == ("vision", 2)
    assert load(tmp_path / "vision").config == again.model.config


def test_the_vision_stage_leaves_the_decoder_s_layers_alone(tmp_path: Path) -> None:
    made = trainer(tmp_path, replace(vision(1), frames=(2, 2), videos_per_step=2))
    before = [layer.detach().clone() for layer in made.model.decoder.layers.parameters()]
    stem = made.model.vision.stem[0].weight.detach().clone()  # type: ignore[index, union-attr]
    made.run()
    for was, now in zip(before, made.model.decoder.layers.parameters(), strict=True):
        assert torch.equal(was, now)
    assert not torch.equal(stem, made.model.vision.stem[0].weight)  # type: ignore[index, union-attr]


def test_the_batch_of_a_step_depends_on_step_rank_and_split_alone() -> None:
    layout = Layout(byte_tokenizer(), image_token_id=SEES_64_PX.image_token_id)
    ids = StateIds.of(byte_tokenizer(), image_token_id=SEES_64_PX.image_token_id)
    feed = WorldFeed(SMALL, layout, ids)
    first = feed.step(1).batch
    feed.step(0)
    assert torch.equal(feed.step(1).batch.input_ids, first.input_ids)
    assert torch.equal(feed.step(1).batch.frames, first.frames)
    elsewhere = [WorldFeed(SMALL, layout, ids, rank=1), WorldFeed(SMALL, layout, ids, split="val")]
    others = [feed.step(2), *(other.step(1) for other in elsewhere)]
    assert all(not torch.equal(other.batch.frames, first.frames) for other in others)


def test_a_few_steps_on_one_batch_lower_its_loss(tmp_path: Path) -> None:
    made = trainer(tmp_path, SMALL)
    chosen = optimisers(torch.nn.ModuleList([made.model, made.heads]), lr=2e-3, muon_lr=0.02)
    step = WorldFeed(SMALL, made.layout, made.ids).step(0)
    losses = []
    for _ in range(8):
        made.model.zero_grad()
        total = made.forward(SMALL, step).total
        total.backward()
        for optimiser in chosen:
            optimiser.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    made = trainer(tmp_path, SMALL)
    path = tmp_path / "state.safetensors"
    save_state(path, made._modules, [], {"stage": 0, "step": 0})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"state\.safetensors cannot be resumed: .* Delete it to start anew"):
        trainer(tmp_path, SMALL).run()
