"""The dry run's numbers, by hand and at 11B, without making a weight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.train.tiny import STAGE, begun
from vigil.config import moss_11b
from vigil.train.estimate import count_parameters, memory, report
from vigil.train.run import RunConfig, make_feed
from vigil.train.stages import alignment, realtime_sft


def test_the_stages_train_what_the_paper_says_at_11b() -> None:
    everything, nothing = count_parameters(moss_11b(), realtime_sft())
    assert nothing == 0
    assert everything == pytest.approx(10.67e9, rel=1e-3)
    trained, frozen = count_parameters(moss_11b(), alignment())
    assert trained + frozen == everything
    # frozen: 32 text layers of 218.1 M, two tables of 525 M, the last norm
    assert frozen == 32 * 218_112_000 + (128256 + 8) * 4096 + 128256 * 4096 + 4096


def test_memory_is_weights_gradients_and_two_moments_shared_by_the_processes() -> None:
    alone = memory(moss_11b(), realtime_sft(), RunConfig(), trained=100, frozen=60)
    assert (alone.weights, alone.gradients, alone.optimiser) == (640, 400, 800)
    shared = memory(
        moss_11b(), realtime_sft(), RunConfig(bf16=True, recompute=True), trained=100, frozen=60, num_ranks=4
    )
    assert (shared.weights, shared.gradients, shared.optimiser) == (160, 100, 200)
    assert shared.largest_pass < alone.largest_pass / 10


def test_the_report_names_parameters_memory_and_samples() -> None:
    start = begun()
    stage = replace(STAGE, steps=10)
    lines = list(report(start.config, stage, RunConfig(), make_feed(stage, start, ["world"], RunConfig())))
    assert start.model is not None
    count = sum(param.numel() for param in start.model.parameters())
    assert lines[0] == f"realtime_sft: {count:,} parameters trained, 0 frozen"
    assert lines[1].startswith("memory of each of 1 processes, about: weights 0.00 GiB")
    assert lines[-1] == "  world:train: 1,000,000 video examples, 40 drawn (4e-05 passes)"
