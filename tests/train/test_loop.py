"""Training resumes exactly, draws the same data for the same step, and learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vigil.data.layout import Layout
from vigil.errors import CheckpointError
from vigil.model import VideoModel, load
from vigil.model.tokens import Tokenizer
from vigil.train.checkpoint import load_state, save_state
from vigil.train.feed import WorldFeed
from vigil.train.loop import Trainer
from vigil.train.nano import from_tokenizer
from vigil.train.optim import optimisers
from vigil.train.stages import StageConfig, realtime, vision
from vigil.train.tokenizer import train_tokenizer

SMALL = replace(realtime(3), frames=(2, 3), videos_per_step=2)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["Tell me when a dog appears.", "The light is red."], vocab_size=300)


def trainer(tokenizer: Tokenizer, out: Path, *stages: StageConfig) -> Trainer:
    return Trainer(from_tokenizer(tokenizer), out, stages)


def weights(model: VideoModel) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_run_that_was_cut_goes_on_exactly(tokenizer: Tokenizer, tmp_path: Path) -> None:
    whole = trainer(tokenizer, tmp_path / "whole", SMALL)
    whole.run()

    cut = trainer(tokenizer, tmp_path / "cut", SMALL)
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

    resumed = trainer(tokenizer, tmp_path / "cut", SMALL)
    assert not torch.equal(weights(resumed.model), weights(whole.model))
    resumed.run()
    assert torch.equal(weights(resumed.model), weights(whole.model))


def test_a_finished_run_is_not_trained_again(tokenizer: Tokenizer, tmp_path: Path) -> None:
    stage = replace(vision(2), frames=(2, 2), videos_per_step=2)
    trainer(tokenizer, tmp_path, stage).run()
    again = trainer(tokenizer, tmp_path, stage)
    again.forward = None  # type: ignore[method-assign, assignment] # would fail if a step were taken
    again.run()
    row = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[-1])
    assert (row["stage"], row["step"]) == ("vision", 2)
    assert load(tmp_path / "vision").config == again.model.config


def test_the_vision_stage_leaves_the_decoder_s_layers_alone(tokenizer: Tokenizer, tmp_path: Path) -> None:
    made = trainer(tokenizer, tmp_path, replace(vision(1), frames=(2, 2), videos_per_step=2))
    before = [layer.detach().clone() for layer in made.model.decoder.layers.parameters()]
    stem = made.model.vision.stem[0].weight.detach().clone()  # type: ignore[index, union-attr]
    made.run()
    for was, now in zip(before, made.model.decoder.layers.parameters(), strict=True):
        assert torch.equal(was, now)
    assert not torch.equal(stem, made.model.vision.stem[0].weight)  # type: ignore[index, union-attr]


def test_the_batch_of_a_step_depends_on_step_rank_and_split_alone(tokenizer: Tokenizer) -> None:
    layout = Layout(tokenizer, image_token_id=from_tokenizer(tokenizer).config.image_token_id)
    feed = WorldFeed(SMALL, layout)
    first = feed.step(1).batch
    feed.step(0)
    assert torch.equal(feed.step(1).batch.input_ids, first.input_ids)
    assert torch.equal(feed.step(1).batch.frames, first.frames)
    others = [feed.step(2), WorldFeed(SMALL, layout, rank=1).step(1), WorldFeed(SMALL, layout, split="val").step(1)]
    assert all(not torch.equal(other.batch.frames, first.frames) for other in others)


def test_a_few_steps_on_one_batch_lower_its_loss(tokenizer: Tokenizer, tmp_path: Path) -> None:
    made = trainer(tokenizer, tmp_path, SMALL)
    chosen = optimisers(torch.nn.ModuleList([made.model, made.heads]), lr=2e-3, muon_lr=0.02)
    step = WorldFeed(SMALL, made.layout).step(0)
    losses = []
    for _ in range(8):
        made.model.zero_grad()
        total = made.forward(SMALL, step).total
        total.backward()
        for optimiser in chosen:
            optimiser.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_a_damaged_state_says_what_to_do(tokenizer: Tokenizer, tmp_path: Path) -> None:
    made = trainer(tokenizer, tmp_path, SMALL)
    path = tmp_path / "state.safetensors"
    save_state(path, made._modules, [], {"stage": 0, "step": 0})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"state\.safetensors cannot be resumed: .* Delete it to start anew"):
        trainer(tokenizer, tmp_path, SMALL).run()
