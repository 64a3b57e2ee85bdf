"""A run of one stage: what it trains, what it writes, how it goes on, and what changes only its speed."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from tests.fakes import TILE_VIT, tiny_config
from tests.train.tiny import EVERY_STEP, STAGE, begun, curve, run
from vigil.errors import CheckpointError, ConfigError, DataError
from vigil.model import load
from vigil.train.loss import LossConfig
from vigil.train.run import RunConfig, make_feed
from vigil.train.stages import Mixture, alignment


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps of the tiny model."""
    out = tmp_path_factory.mktemp("plain")
    run(out).run()
    return out


def test_a_run_learns_and_leaves_a_model_that_loads(plain: Path) -> None:
    losses = [loss for (loss,) in curve(plain, "loss")]
    assert losses[0] > losses[1] > losses[2]
    trained, start = load(plain / "realtime_sft"), begun().model
    assert start is not None
    assert trained.config == start.config
    assert trained.tokenizer is not None
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, start.state_dict()[name])}
    assert changed == set(start.state_dict())
    row = json.loads((plain / "train.jsonl").read_text().splitlines()[-1])
    assert (row["stage"], row["step"], row["skipped"]) == ("realtime_sft", 3, 0)
    assert row["lr"] == pytest.approx(STAGE.lr * 0.25)


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [({"pack": False}, 1e-4), ({"accumulate": 2}, 1e-4), ({"recompute": True}, 1e-6), ({"bf16": True}, 0.02)],
    ids=["unpacked", "accumulated", "recomputed", "bf16"],
)
def test_what_only_changes_speed_and_memory_gives_the_same_curve(
    change: dict[str, Any], tolerance: float, plain: Path, tmp_path: Path
) -> None:
    config = replace(EVERY_STEP, **change)
    made = run(tmp_path, config=config)
    given = made._feed.step(0)
    assert len(given.parts) == config.accumulate
    assert (given.parts[0].segment_ids is not None) == config.pack
    made.run()
    for now, then in zip(curve(tmp_path), curve(plain), strict=True):
        assert now == pytest.approx(then, abs=tolerance)
    dtypes = {value.dtype for value in load(tmp_path / "realtime_sft").state_dict().values()}
    assert dtypes == {torch.bfloat16 if config.bf16 else torch.float32}


def test_a_finished_run_is_not_trained_again(plain: Path) -> None:
    before = curve(plain)
    again = run(plain)
    again._step = None  # type: ignore[method-assign, assignment] # would fail if a step were taken
    again.run()
    assert curve(plain) == before


def test_a_folder_with_a_run_under_other_settings_is_refused(plain: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds a run of realtime_sft with other settings: lr 0\.001 -> 0\.002"):
        run(plain, stage=replace(STAGE, lr=2e-3)).run()


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    run(tmp_path, stage=replace(STAGE, steps=1)).run()
    for shard in tmp_path.glob("state-*/*.distcp"):
        shard.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"cannot be resumed: .* Delete state\.json to start anew"):
        run(tmp_path, stage=replace(STAGE, steps=1)).run()
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"state\.json cannot be resumed: .* Delete it to start anew"):
        run(tmp_path, stage=replace(STAGE, steps=1)).run()


def test_alignment_trains_what_perceives_and_nothing_else(tmp_path: Path) -> None:
    start = begun(tiny_config(TILE_VIT))
    assert start.model is not None
    before = {name: value.clone() for name, value in start.model.state_dict().items()}
    stage = replace(alignment(1), videos_per_step=2, lr=1e-2)
    run(tmp_path, stage=stage, start=start).run()
    after = load(tmp_path / "alignment").state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    frozen = {name for name in after if stage.freezes(name, start.config)}
    assert changed.isdisjoint(frozen)
    assert {name.split(".")[0] for name in changed} == {"vision", "projector", "decoder"}
    assert {name.split(".")[2] for name in changed if name.startswith("decoder")} == {"1", "3"}


def test_broken_examples_are_named_in_the_log_and_the_run_goes_on(tmp_path: Path) -> None:
    talk = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    lines = [json.dumps(talk)] * 2 + ["{broken", '{"id": 1, "video": 2, "duration_s": 3, "turns": []}']
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    run(
        tmp_path / "out",
        data=(str(tmp_path / "t.jsonl"),),
        stage=replace(STAGE, steps=2, videos_per_step=4, mixture=Mixture(text=1, video=1)),
    ).run()
    rows = [json.loads(line) for line in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()]
    assert rows
    reasons = {row["name"]: row["reason"] for row in rows}
    assert reasons.keys() == {"t.jsonl #2", "t.jsonl #3"}
    assert reasons["t.jsonl #2"].startswith("t.jsonl line 3 is not JSON")
    assert reasons["t.jsonl #3"].startswith("t.jsonl line 4 is not a record: id cannot be 1.")
    samples = [samples for (samples,) in curve(tmp_path / "out", "samples")]
    assert sum(samples) + len(rows) == 8
    assert curve(tmp_path / "out", "skipped")[-1] == (len(rows),)


def test_a_run_whose_first_step_finds_nothing_usable_stops_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("{broken\n" * 4)
    with pytest.raises(
        DataError, match=r"not one of the 4 examples of the first step can be used\. The first: t\.jsonl"
    ):
        run(tmp_path / "out", data=(str(tmp_path / "t.jsonl"),)).run()


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="tensorboard is installed")
def test_without_tensorboard_the_error_names_the_extra(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'--tensorboard wants tensorboard\. Run pip install "vigil-video\[train\]"'):
        run(tmp_path, config=replace(EVERY_STEP, tensorboard=True)).run()


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_gets_the_numbers_too(tmp_path: Path) -> None:
    run(tmp_path, config=replace(EVERY_STEP, tensorboard=True)).run()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"realtime_sft/loss" in events.read_bytes()


def test_a_loss_is_chosen_by_the_stage(tmp_path: Path) -> None:
    kinds: tuple[Literal["silence", "focal"], ...] = ("silence", "focal")
    for kind in kinds:
        loss = LossConfig(kind=kind, alpha_response=3.0)
        run(tmp_path / kind, stage=replace(STAGE, steps=1, loss=loss)).run()
    assert curve(tmp_path / "silence")[0] != curve(tmp_path / "focal")[0]


def test_a_run_without_a_tokenizer_and_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"wants a model with a tokenizer\.json"):
        make_feed(STAGE, begun()._replace(tokenizer=None), ["world"], RunConfig())
    with pytest.raises(ConfigError, match="accumulate must be 1 or more, got 0"):
        RunConfig(accumulate=0)
