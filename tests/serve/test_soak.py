"""L2, L3: hours and days in real time. Memory stays, nothing is lost, frames add up, the server is ready.

    pytest -m tier_n tests/serve/test_soak.py                       # two hours
    VIGIL_SOAK_HOURS=72 pytest -m tier_r tests/serve/test_soak.py   # 24 without

Both are measured on the server's process alone, which is another one than that of its clients.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.serve.figures import keep
from tests.serve.nursery import Nursery
from tests.serve.soak import FAULTS, Soak, harm, p99, problems, slope_per_h, soaking
from tests.serve.test_hostile import wait_for

HOUR_S = 3600.0
WARM_S = 900.0
"""What is taken at the start is not counted."""
SOAK_H = float(os.environ.get("VIGIL_SOAK_HOURS", "24"))
LEAK_MIB_PER_H = 3.0


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def growth(soak: Soak, warm_s: float) -> dict[str, float]:
    """How memory and open files grow after the start, and how often the server was ready."""
    begun_s = soak.readings[0].at_s
    late = [reading for reading in soak.readings if reading.at_s - begun_s >= warm_s]
    half = len(late) // 2
    return {
        "hours": round((soak.readings[-1].at_s - begun_s) / HOUR_S, 2),
        "mib_per_h": round(slope_per_h([(reading.at_s, reading.rss_mib) for reading in late]), 3),
        "mib": round(late[-1].rss_mib),
        "files_more": max(r.files for r in late[half:]) - max(r.files for r in late[:half]),
        "ready_percent": round(100 * sum(r.is_ready for r in soak.readings) / len(soak.readings), 3),
    }


def drift_percent(soak: Soak, warm_s: float) -> float:
    """By how much frames at the end are older than at the start when the model can read them, 99th percentile."""
    begun_s, end_s = soak.readings[0].at_s + warm_s, soak.readings[-1].at_s
    middle_s = (begun_s + end_s) / 2
    ages = [age for talker in soak.talkers for age in talker.ages_ms]
    first = p99([ms for at_s, ms in ages if begun_s <= at_s < middle_s])
    return round(100 * (p99([ms for at_s, ms in ages if at_s >= middle_s]) / first - 1), 1)


def test_a_slope_is_found_under_noise_and_not_where_there_is_none() -> None:
    chance = random.Random(5)
    noise = [(10.0 * i, 200 + chance.uniform(-2, 2) + (30 if i % 97 == 0 else 0)) for i in range(630)]
    leaking = [(s, mib + LEAK_MIB_PER_H * s / HOUR_S) for s, mib in noise]
    assert abs(slope_per_h(noise)) < 1
    assert slope_per_h(leaking) == pytest.approx(LEAK_MIB_PER_H, abs=0.5)


@pytest.mark.tier_p
@pytest.mark.timeout(600)
def test_l3_each_fault_once_loses_nothing(nursery: Nursery, tmp_path: Path) -> None:
    with soaking(nursery, tmp_path, sessions=2, ask_every_s=1.0, limits={"ping_s": 1.0}) as soak:
        rows = soak.talkers[0].rows
        wait_for(lambda: any(row["type"] == "source.opened" and row["width"] for row in rows), 60)
        harm(soak, FAULTS, every_s=2.0, lasts_s=5.0)
        soak.read_for(2.0)
    assert problems(soak) == []
    causes = {row["cause"] for row in rows if row["type"] == "source.lost"}
    assert {"closed", "frozen", "decoder"} <= causes


@pytest.mark.tier_p
@pytest.mark.timeout(600)
def test_l3_control_one_event_dropped_per_reconnect_is_found_out(nursery: Nursery, tmp_path: Path) -> None:
    with soaking(nursery, tmp_path, sessions=1, ask_every_s=0.5) as soak:
        soak.read_for(2.0)
        soak.proxy.cut()
        soak.talkers[0].drops_next = True
        soak.read_for(2.0)
    assert problems(soak) != []


@pytest.mark.tier_n
@pytest.mark.timeout(9000)
def test_l2_two_hours_take_no_more_memory_and_no_more_time(nursery: Nursery, tmp_path: Path) -> None:
    leak = int(LEAK_MIB_PER_H * 2**20 / HOUR_S)
    with (
        soaking(nursery, tmp_path / "sound", sessions=4, nano=True, tokens_per_s=8.0) as soak,
        soaking(nursery, tmp_path / "leaking", sessions=1, leak_bytes_per_s=leak) as leaking,
    ):
        end_s = time.monotonic() + 2 * HOUR_S
        while time.monotonic() < end_s:
            soak.read_for(5.0)
            leaking.read()
    assert problems(soak) == []
    figures = {**growth(soak, WARM_S), "drift_percent": drift_percent(soak, WARM_S)}
    keep("L2", **figures)
    assert growth(leaking, WARM_S)["mib_per_h"] > 1  # the control
    assert figures["mib_per_h"] <= 1
    assert figures["files_more"] <= 2
    assert figures["drift_percent"] <= 10


@pytest.mark.tier_r
@pytest.mark.timeout(SOAK_H * HOUR_S + 1800)
def test_l3_days_with_a_fault_every_five_minutes_lose_nothing(nursery: Nursery, tmp_path: Path) -> None:
    with soaking(nursery, tmp_path, sessions=4, nano=True, tokens_per_s=8.0) as soak:
        harm(soak, cycle(FAULTS), every_s=300.0, lasts_s=25.0, seconds=SOAK_H * HOUR_S)
    found, figures = problems(soak), growth(soak, WARM_S)
    events = sum(len(talker.rows) for talker in soak.talkers)
    frames = sum(talker.sent for talker in soak.talkers)
    keep("L3", problems=len(found), events=events, frames=frames, **figures)
    assert found == []
    assert figures["mib_per_h"] <= 1
    assert figures["files_more"] <= 2
    assert figures["ready_percent"] >= 99.9
