"""A reel: pictures with raw time stamps, as a source delivers them, and the one rule that samples it.

Letters in names: H height, W width, C colour channel (RGB).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vigil.types import Frame

Rgb = NDArray[np.uint8]
"""[H, W, 3], RGB, 0 to 255."""
Picture = tuple[float, Callable[[], Rgb]]
"""A raw time stamp (s), and a function that converts the picture to RGB; called only for sampled pictures."""

TOLERANCE_S = 1e-3
"""Containers round time stamps (Matroska to 1 ms), so a picture may be this early for its sampling instant."""
MAX_STEP_BACK_S = 10.0
"""A time stamp further back than this starts a new count (a joined or wrapped recording); less is a late picture."""


@dataclass(kw_only=True)
class Reel:
    """An opened source before sampling."""

    pictures: Iterator[Picture]
    duration_s: float | None = None
    warnings: list[str] = field(default_factory=list)
    """One line each; complete when `pictures` is used up."""
    close: Callable[[], None] = lambda: None


def sample(pictures: Iterable[Picture], fps: float) -> Generator[Frame, None, None]:
    """Keep, for k = 0, 1, 2, ..., the first picture at or after k / fps seconds; a picture is never kept twice.

    Times count from the first picture and strictly increase. Late pictures are left out. After a jump forward the next
    instant is the first one past the jump, so a gap of hours costs nothing. After a jump back of more than
    `MAX_STEP_BACK_S` the count goes on from the newest time.
    """
    start_s = newest_s = None
    instant = 0
    for raw_s, load in pictures:
        if start_s is None or newest_s is None:
            start_s = newest_s = raw_s
        if raw_s < newest_s - MAX_STEP_BACK_S:
            start_s += raw_s - newest_s
            newest_s = raw_s
        newest_s = max(newest_s, raw_s)
        time_s = raw_s - start_s
        if time_s >= instant / fps - TOLERANCE_S:
            instant = math.floor((time_s + TOLERANCE_S) * fps) + 1
            yield Frame(load(), time_s)
