"""D1: processes killed at random moments lose nothing that was acknowledged, also where the page cache is lost too."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from durable_fakes import after_crash

from tests.serve.figures import keep

WRITER = Path(__file__).with_name("durable_writer.py")


def killed(
    folder: Path, seed: int, chance: random.Random, *words: str, power_cut: Callable[[], None] | None = None
) -> dict[int, str]:
    """Let a process write, kill it, and return what it had acknowledged; before the `power_cut`, where there is one:
    what a machine says once its power is gone reaches nobody."""
    with subprocess.Popen([sys.executable, WRITER, folder, str(seed), *words], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        fd = process.stdout.fileno()
        assert select.select([fd], [], [], 60)[0], "the writer said nothing"
        text, until = b"", time.monotonic() + chance.uniform(0.0, 0.03)
        while time.monotonic() < until and select.select([fd], [], [], 0.001)[0]:
            text += os.read(fd, 1 << 20)
        if power_cut is not None:
            power_cut()
        process.kill()
        rest = process.stdout.read()
        text += rest if power_cut is None else b""
    lines = [line.split(b" ", 1) for line in text.split(b"\n")[:-1]]
    return {int(seq): json.decode() for seq, json in lines}


def lose_page_cache(folder: Path) -> int:
    """Cut every file to what its newest sync had made safe; return how many bytes went."""
    safe = dict(line.rsplit(" ", 1) for line in (folder / "synced.txt").read_text().splitlines())
    lost = 0
    for name, size in safe.items():
        path = Path(name)
        if path.exists() and path.stat().st_size > int(size):
            lost += path.stat().st_size - int(size)
            os.truncate(path, int(size))
    (folder / "synced.txt").unlink()
    return lost


def kill_rounds(folder: Path, rounds: int, *words: str, power: bool) -> tuple[list[str], int, int]:
    """Problems found, events acknowledged, and torn tails, over some rounds with one session."""
    acknowledged: dict[int, str] = {}
    chance = random.Random(7)
    found: list[str] = []
    for seed in range(rounds):
        acknowledged |= killed(folder, seed, chance, *words)
        if power:
            lose_page_cache(folder)
        found += after_crash(folder, acknowledged)
        if found:
            break
    return found, len(acknowledged), len(list(folder.rglob("*.torn-*")))


def test_d1_ten_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    found, events, _ = kill_rounds(tmp_path / "log", 10, power=False)
    assert found == []
    assert events > 100


def test_d1_losing_the_page_cache_as_well_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    found, events, _ = kill_rounds(tmp_path / "log", 4, power=True)
    assert found == []
    assert events > 40


def test_d1_control_a_writer_that_acknowledges_before_its_sync_is_found_out(tmp_path: Path) -> None:
    found, _, _ = kill_rounds(tmp_path / "log", 100, "lying", power=True)  # until one is found
    assert found != []


@pytest.fixture(scope="module")
def tally() -> dict[str, int]:
    """Over both kinds of rounds."""
    return {"rounds": 0, "events": 0, "lost": 0}


@pytest.mark.tier_p
@pytest.mark.timeout(900)
@pytest.mark.parametrize("power", [False, True], ids=["kill -9", "kill -9 and page cache lost"])
def test_d1_a_hundred_rounds(tmp_path: Path, tally: dict[str, int], power: bool) -> None:
    found, events, torn = kill_rounds(tmp_path / "log", 100, power=power)
    print(f"100 rounds, {events} events acknowledged, {torn} torn tails, {len(found)} problems")
    tally["rounds"], tally["events"] = tally["rounds"] + 100, tally["events"] + events
    tally["lost"] += len(found)
    keep("D1", **tally)
    assert found == []


@pytest.mark.tier_r
@pytest.mark.timeout(3600)
def test_d1_a_thousand_rounds(tmp_path: Path) -> None:
    found, events, torn = kill_rounds(tmp_path / "log", 1000, power=False)
    keep("D1-release", rounds=1000, events=events, lost=len(found), torn=torn)
    assert found == []
