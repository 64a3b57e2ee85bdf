"""Files that were opened and left leave no threads behind: a server's decoder has room for few, and opens many."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
from videos import ten

from vigil.stream._media import open_media
from vigil.stream._reel import Reel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
ROUNDS = 12


def num_threads() -> int:
    found = re.search(r"Threads:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.fixture
def without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def grown(path: Path, look: Callable[[Reel], object]) -> int:
    """Threads that are there after many files, beyond those after one."""
    counts = []
    for _ in range(ROUNDS):
        reel = open_media(path, "clip")
        look(reel)
        reel.close()
        del reel
        counts.append(num_threads())
    return counts[-1] - counts[0]


def some(reel: Reel) -> None:
    for _, (_, load) in zip(range(3), reel.pictures, strict=False):
        load()


def every(reel: Reel) -> None:
    for _, load in reel.pictures:
        load()


@pytest.mark.usefixtures("without_gc")
@pytest.mark.parametrize("look", [some, every])
def test_files_that_are_closed_leave_no_threads(look: Callable[[Reel], object], tmp_path: Path) -> None:
    assert grown(ten(tmp_path / "clip.mp4"), look) == 0


@pytest.mark.usefixtures("without_gc")
def test_the_count_sees_frames_that_are_converted_each_by_itself(tmp_path: Path) -> None:
    path, kept, before = ten(tmp_path / "clip.mp4"), [], num_threads()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frame.to_ndarray(format="rgb24")
            kept.append(frame)
    assert num_threads() >= before + len(kept)
