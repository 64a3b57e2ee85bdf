"""A long session that is filmed, in a process of its own: how much its memory grows after the first third (bytes).

python long_film.py FILE SECONDS [keep]    with "keep", the pictures are kept: the control
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scripted import Script

from vigil.cli.annotated import Film
from vigil.stream.source import RawImage, open_source

SHAPE = (360, 640, 3)


def pictures(seconds: int) -> Iterator[tuple[RawImage, float]]:
    """One a second, all different."""
    for second in range(seconds):
        yield np.full(SHAPE, second % 256, dtype=np.uint8), float(second)


def rss_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main(path: Path, seconds: int, *, keeps: bool) -> int:
    """Film a session that answers every second."""
    kept, before = [], 0
    with Film(path) as film:
        frames = iter(film.of(open_source(pictures(seconds), fps=1.0), "max"))
        for second in range(seconds):
            frame = next(frames)
            kept += [frame.image] if keeps else []
            for event in Script().spoken(float(second), f"Answer {second}.", answer=second).events:
                film.show(event)
            if second == seconds // 3:
                before = rss_bytes()
        return rss_bytes() - before


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), int(sys.argv[2]), keeps="keep" in sys.argv))
