"""Several processes, and processes that die: the curve is that of one process that lives. Programs of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.tiny import STAGE, curve, run
from vigil.model import load
from vigil.train import sharding

ROOT = Path(__file__).parents[2]
STEPS = 4


ENV = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def program(out: Path, *before: str, env: dict[str, str] | None = None, **changes: Any) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    words = [*before, str(ROOT / "tests/train/tiny.py"), str(out), json.dumps({"steps": STEPS, **changes})]
    return subprocess.Popen([sys.executable, *words], env=ENV | (env or {}), stderr=subprocess.PIPE, text=True)


def pair(out: Path, **changes: Any) -> list[subprocess.Popen[str]]:
    """Two processes of one run, as torchrun would start them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [program(out, env={**group, "RANK": str(rank)}, **changes) for rank in range(2)]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what was said on stderr."""
    _, said = process.communicate(timeout=100)
    return process.returncode, said


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, start to end."""
    out = tmp_path_factory.mktemp("alone")
    run(out, stage=replace(STAGE, steps=STEPS)).run()
    return out


def test_two_processes_give_the_curve_and_the_weights_of_one(alone: Path, tmp_path: Path) -> None:
    for process in pair(tmp_path, accumulate=2, recompute=True):
        code, said = ended(process)
        assert code == 0, said
    assert len(curve(tmp_path)) == STEPS
    for two, one in zip(curve(tmp_path), curve(alone), strict=True):
        assert two == pytest.approx(one, abs=1e-4)
    theirs, ours = load(tmp_path / STAGE.name).state_dict(), load(alone / STAGE.name).state_dict()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=1e-4, rtol=0)
    assert len(list(tmp_path.glob("state-*/*.distcp"))) == 2  # each wrote its own part

    whole = run(tmp_path, stage=replace(STAGE, steps=STEPS))  # and one process goes on from it
    assert whole._resume() == STEPS
    torch.testing.assert_close(sharding.whole_weights(whole.root)["model.projector.weight"], theirs["projector.weight"])


def test_a_run_that_is_killed_goes_on_as_if_it_had_not_been(alone: Path, tmp_path: Path) -> None:
    code, said = ended(program(tmp_path, die_at=3))  # drawn ahead, so it dies somewhere in the third step
    assert code == -signal.SIGKILL, said
    meta = sharding.read_meta(tmp_path)
    assert meta is not None
    assert meta["step"] == 2
    assert not (tmp_path / STAGE.name).exists()
    with (tmp_path / "train.jsonl").open("a") as log:  # a report that the state on disk does not hold yet
        log.write(json.dumps({"stage": STAGE.name, "step": STEPS, "loss": 99.0, "grad_norm": 0.0}) + "\n")
    run(tmp_path, stage=replace(STAGE, steps=STEPS)).run()
    assert curve(tmp_path) == curve(alone)
    theirs, ours = load(tmp_path / STAGE.name).state_dict(), load(alone / STAGE.name).state_dict()
    assert all(torch.equal(theirs[name], value) for name, value in ours.items())


@pytest.mark.slow
def test_a_pair_under_torchrun_that_is_killed_goes_on_too(alone: Path, tmp_path: Path) -> None:
    assert ended(program(tmp_path, *TORCHRUN, die_at=3))[0] != 0
    assert not (tmp_path / STAGE.name).exists()
    code, said = ended(program(tmp_path, *TORCHRUN))
    assert code == 0, said
    assert [row[0] for row in curve(tmp_path)] == [1, 2, 3, 4]
    for two, one in zip(curve(tmp_path), curve(alone), strict=True):
        assert two == pytest.approx(one, abs=1e-4)
