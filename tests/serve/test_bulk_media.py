"""M7: files that are nearly all sound or subtitles are read or refused, in bounded time and memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.serve import bulk_media
from tests.serve.figures import keep
from tests.serve.hostile_media import encoded
from tests.serve.test_corpus import children, outcome, with_child
from vigil.serve import children as decoders
from vigil.serve.children import Decoder, resident_bytes
from vigil.serve.limits import Limits
from vigil.stream._media import video_stream

MIB = 1 << 20
MOST_MIB, MOST_S = 100, 10
LIMITS = Limits(decode_s=60)
FILES: dict[str, Callable[[Path], Path]] = {
    "sound": lambda path: bulk_media.silent_sound(path, 25_000_000),
    "matroska": lambda path: bulk_media.subtitle_tracks(path, 1_000_000),
    "mp4": lambda path: bulk_media.subtitle_tracks_mp4(path, 1_000_000),
}
LOOSE = """
import av
from vigil.stream import _confine, _media
from vigil.serve.decoder import main

opened = av.open
av.open = lambda *given, options, **named: opened(*given, options={**options, "max_streams": "2000000"}, **named)
_confine.MEMORY_BYTES = _media.MAX_FILE_BYTES = 1 << 40
main()
"""
"""Planted: a child that may have as many streams and as much memory as it likes."""


def most_mib(pid: int) -> float:
    """The most memory that a process has ever held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def decoded(path: Path) -> tuple[str, float, float]:
    """What becomes of a file in a child, by how much that grew at its most (MiB), and how long it took (s)."""
    told: list[tuple[str, float, float]] = []

    async def work(child: Decoder) -> None:
        await child.image(encoded("JPEG"))
        process = child._process
        assert process is not None
        before_mib, began_s = most_mib(process.pid), time.monotonic()
        result = await outcome(child, path)
        passed_s = time.monotonic() - began_s
        grown_mib = most_mib(process.pid) - before_mib if process.returncode is None else float("nan")
        told.append((result, grown_mib, passed_s))

    with_child(work, LIMITS)
    return told[0]


def problems(result: str, grown_mib: float, passed_s: float) -> list[str]:
    """What the promise does not allow."""
    found = [] if passed_s <= MOST_S else [f"it took {passed_s:.1f} s"]
    if result not in ("frames", "bad_image", "too_large"):
        found.append(f"it {result}")
    elif result == "frames" and not grown_mib <= MOST_MIB:
        found.append(f"it took {grown_mib:.0f} MiB more")
    return found


@pytest.mark.tier_n
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FILES)
def test_m7_a_file_full_of_something_else_is_read_or_refused(tmp_path: Path, name: str) -> None:
    path = FILES[name](tmp_path / "bulk")
    before, ours_mib = children(), resident_bytes(os.getpid()) / MIB
    result, grown_mib, passed_s = decoded(path)
    keep(f"M7-{name}", result=result, child_mib=round(grown_mib), seconds=round(passed_s, 1))
    assert problems(result, grown_mib, passed_s) == []
    assert children() == before
    assert resident_bytes(os.getpid()) / MIB - ours_mib <= MOST_MIB


def test_m7_small_ones_are_read(tmp_path: Path) -> None:
    assert decoded(bulk_media.silent_sound(tmp_path / "sound", 100_000))[0] == "frames"
    assert decoded(bulk_media.subtitle_tracks(tmp_path / "tracks", 20))[0] == "frames"


def test_m7_the_reader_itself_steps_over_sound(tmp_path: Path) -> None:
    with av.open(str(bulk_media.silent_sound(tmp_path / "sound", 100_000))) as container:
        stream = video_stream(container, "a film")
        others = sum(packet.stream.index != stream.index for packet in container.demux())
    assert others < 1000  # of 12,800: what was read ahead to find out what the file is


@pytest.mark.tier_n
@pytest.mark.timeout(600)
def test_m7_control_a_child_without_limits_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bulk_media.subtitle_tracks(tmp_path / "bulk", 120_000)
    monkeypatch.setattr(decoders, "child_command", lambda module, *words: (sys.executable, "-c", LOOSE, *words))
    assert problems(*decoded(path)) != []
