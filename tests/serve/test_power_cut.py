"""D8: a real file system that loses its power while it is written to keeps everything that was acknowledged.

Each round, a process writes to an ext4 of its own, which is then cut off from its disk, at once and for good, and what
only its caches held is gone: `EXT4_IOC_SHUTDOWN` without a flush of its journal, as the kernel's own tests cut power.
It is mounted anew, replays its journal, and the log is taken up. Needs the right to mount.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.durable_fakes import after_crash
from tests.serve.figures import keep
from tests.serve.test_durable_kill import killed
from vigil.serve.disk import Files

SHUTDOWN = 0x8004587D
"""`EXT4_IOC_SHUTDOWN`."""
NO_LOG_FLUSH = 2
DISK_BYTES = 64 << 20


class Disk:
    """A disk image with an ext4 on it."""

    def __init__(self, folder: Path) -> None:
        self.image, self.place = folder / "disk", folder / "mounted"
        self.place.mkdir()
        with self.image.open("wb") as file:
            file.truncate(DISK_BYTES)
        run("mkfs.ext4", "-q", "-F", str(self.image))
        self.mount()

    def mount(self) -> None:
        """Bring it up; the journal is replayed."""
        run("mount", "-o", "loop", str(self.image), str(self.place))

    def cut(self) -> None:
        """The power goes: nothing reaches the disk any more."""
        fd = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def unmount(self) -> None:
        """Take it down."""
        run("umount", str(self.place))


def run(*command: str) -> None:
    """Run a program of the system."""
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        disk = Disk(tmp_path)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no right to make and mount a file system")
    yield disk
    disk.unmount()


def power_cuts(disk: Disk, rounds: int, *words: str) -> tuple[list[str], int]:
    """What was lost over some rounds with one session, and how many events had been acknowledged."""
    acknowledged: dict[int, str] = {}
    chance = random.Random(8)
    found: list[str] = []
    for seed in range(rounds):
        acknowledged |= killed(disk.place / "log", seed, chance, "real", *words, power_cut=disk.cut)
        disk.unmount()
        disk.mount()
        found = after_crash(disk.place / "log", acknowledged, files=Files())
        if found:
            break
    return found, len(acknowledged)


def test_d8_two_power_cuts_lose_nothing_that_was_acknowledged(disk: Disk) -> None:
    found, events = power_cuts(disk, 2)
    assert found == []
    assert events > 0


def test_d8_control_a_writer_that_does_not_sync_is_found_out(disk: Disk) -> None:
    found, _ = power_cuts(disk, 20, "lying")  # until one is found
    assert found != []


@pytest.mark.tier_r
@pytest.mark.timeout(3600)
def test_d8_two_hundred_power_cuts_lose_nothing_that_was_acknowledged(disk: Disk) -> None:
    found, events = power_cuts(disk, 200)
    keep("D8", rounds=200, events=events, lost=len(found))
    assert found == []
