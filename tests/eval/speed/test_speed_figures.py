"""Figures, the machine they were measured on, and the JSON object that other programs read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain, repeat

import pytest
import torch
from contestant import prescribe

from vigil.eval.speed import machine
from vigil.eval.speed.card import TITLES
from vigil.eval.speed.figures import DEFINITIONS, REQUIRED, Bound, Figure, Part, Results
from vigil.eval.speed.machine import Clock, Rates, facts, quantile, rates_of
from vigil.eval.speed.run import PARTS

CPU = torch.device("cpu")


# ---- figures --------------------------------------------------------------------------------------------------------


def test_every_part_has_a_title_and_every_figure_words() -> None:
    assert set(TITLES) == set(PARTS)
    assert all(wanted.text for wanted in DEFINITIONS.values())
    assert {name for name, wanted in DEFINITIONS.items() if wanted.target is not None} >= {
        "decoder_prefill_ratio_twin",
        "ttft_question_ratio",
        "gap_p95_ratio",
    }


@pytest.mark.parametrize("name", [name for name, wanted in DEFINITIONS.items() if wanted.target is not None])
def test_a_target_is_met_at_its_value_and_missed_beyond_it(name: str) -> None:
    wanted = DEFINITIONS[name]
    assert wanted.target is not None
    beyond = wanted.target + (1e-6 if wanted.at_most else -1e-6)
    assert Figure(name, wanted.target, "here").meets is True
    assert Figure(name, beyond, "here").meets is False


def test_figures_come_in_the_order_of_the_parts() -> None:
    parts = {"gaps": Part((Figure("gap_p95_ratio", 1.0, ""),)), "live": Part((Figure("frames_per_s", 8.0, ""),))}
    assert [figure.name for figure in Results({}, parts).figures] == ["gap_p95_ratio", "frames_per_s"]


def test_an_empty_run_is_an_object_of_nulls_with_reasons() -> None:
    told = Results({"scale": "tiny"}).to_json()
    assert list(told)[: len(REQUIRED)] == list(REQUIRED)
    assert {told[name] for name in REQUIRED} == {None}
    assert set(told["reasons"]) == set(REQUIRED)
    assert set(told["reasons"].values()) == {"its part was not asked for (--parts)"}
    assert (told["settings"], told["bounds"], told["rows"], told["interrupted"]) == ({}, {}, {}, False)
    assert told["about"] == {"scale": "tiny"}


def test_a_figure_beyond_the_required_ones_stands_behind_them_only_where_it_was_measured() -> None:
    told = Results({}, {"memory": Part((Figure("bytes_per_frame_11b", 3_309_568, "reckoned"),))}).to_json()
    assert told["bytes_per_frame_11b"] == 3_309_568
    assert list(told).index("bytes_per_frame_11b") == len(REQUIRED)
    assert "bytes_per_frame_small" not in told
    assert told["settings"] == {"bytes_per_frame_11b": "reckoned"}


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(1234567.89, 1234570.0), (0.00012345678, 0.000123457), (3_309_568, 3_309_568), (0.0, 0.0), (2.0, 2.0)],
)
def test_numbers_have_six_digits_and_counts_all_of_theirs(value: float, spelled: float) -> None:
    bound = Bound("arithmetic", 0.123456789)
    told = Results({}, {"live": Part((Figure("frames_per_s", value, "", bound),))}).to_json()
    assert told["frames_per_s"] == spelled
    assert isinstance(told["frames_per_s"], type(value))
    assert told["bounds"]["frames_per_s"]["fraction"] == 0.123457


def test_rows_keep_words_and_truths_and_have_null_for_what_was_not_measured() -> None:
    row = {"who": "vigil", "lag_p95_s": math.nan, "in_real_time": False, "streams": 4, "fps": 1.23456789}
    told = Results({}, {"live": Part((), (row,))}).to_json()
    assert told["rows"]["live"] == [
        {"who": "vigil", "lag_p95_s": None, "in_real_time": False, "streams": 4, "fps": 1.23457}
    ]
    json.dumps(told, allow_nan=False)


# ---- the machine ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [([7.0], 0.95, 7.0), ([1.0, 2.0], 0.5, 1.5), ([0.0, 10.0], 0.95, 9.5), ([3.0, 1.0, 2.0], 1.0, 3.0)],
)
def test_quantiles_by_hand(values: list[float], q: float, expected: float) -> None:
    assert quantile(values, q) == pytest.approx(expected)


def test_rates_are_those_of_the_best_repetition_and_of_the_quicker_way_to_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sums, products, squares = [0.5, 0.4, 0.9, 0.6, 0.7], [0.3, 0.2, 0.25, 0.8, 0.4], [2.0, 1.0, 3.0, 1.5, 4.0]
    taken = prescribe(monkeypatch, chain(sums, products, squares))
    rates = rates_of(CPU, torch.float32)
    assert len(taken) == 3 * machine.REPEATS
    assert rates.bytes_per_s == pytest.approx((1 << 20) / 0.2)
    assert rates.flops_per_s == pytest.approx(2 * 64**3 / 1.0)


def test_memory_is_read_in_the_type_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[torch.dtype, int]] = []
    ones = torch.ones

    def spy(*shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        made = ones(*shape, dtype=dtype, device=device)
        shapes.append((dtype, made.nbytes))
        return made

    monkeypatch.setattr(torch, "ones", spy)
    prescribe(monkeypatch, repeat(1.0))
    for dtype in (torch.float32, torch.bfloat16):
        rates_of(CPU, dtype)
    assert [pair for pair in shapes if pair[1] > 1 << 19] == [(torch.float32, 1 << 20), (torch.bfloat16, 1 << 20)]


def test_a_measured_machine_reads_and_multiplies() -> None:
    rates = rates_of(CPU, torch.float32)
    assert isinstance(rates, Rates)
    assert rates.bytes_per_s > 1e7
    assert rates.flops_per_s > 1e6


def test_a_clock_runs_the_work_once_and_gives_the_time_of_this_thread() -> None:
    done: list[int] = []
    clock = Clock(CPU)

    def work() -> Iterator[int]:
        done.append(1)
        return iter(range(10))

    before_s = clock.now_s()
    spent_s = clock.time_s(work)
    assert done == [1]
    assert 0 <= spent_s <= clock.now_s() - before_s


def test_facts_name_machine_and_load() -> None:
    told = facts(CPU)
    assert set(told) == {"date", "machine", "load_1min", "torch", "threads"}
    assert "CPU" in told["machine"]
    assert "cores" in told["machine"]
    assert told["torch"] == torch.__version__
    assert told["threads"] == torch.get_num_threads()
    assert told["load_1min"] >= 0
