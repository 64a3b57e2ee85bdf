"""Plays the streams of a case through the streaming door: frames of a video, or blank ones where nobody looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import count
from pathlib import Path

import numpy as np

from vigil.eval.benchmarks.base import Stream
from vigil.eval.door import EPSILON_S, Ask, Image, System, VirtualClock, finish
from vigil.eval.log import Log
from vigil.eval.rows import AnswerRow, Timed

CACHE_BYTES = 2 << 30
"""Frames of one video that are kept while its cases are played; a longer video is decoded again for each stream."""
STEP_S = 1.0
"""How often it is looked whether an answer is closed while no frame comes (s)."""
_BLANK: Image = np.zeros((1, 1, 3), dtype=np.uint8)
Pictures = Iterator[tuple[float, Image]]
"""(seconds since the stream began, image), in order of time."""


def blank_frames(stream: Stream, fps: float) -> Pictures:
    """One blank pixel per frame, for watchers that look at none."""
    for k in count():
        if k / fps > stream.end_s:
            return
        yield k / fps, _BLANK


class Video:
    """The frames of one file at one rate, decoded when they are first needed."""

    def __init__(self, path: Path, fps: float, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._path, self._fps, self._room = path, fps, cache_bytes
        self._kept: list[tuple[float, Image]] = []
        self._rest: Pictures | None = None
        self._is_whole = False

    def frames(self, stream: Stream) -> Pictures:
        """Those of a stream.

        Raises:
            SourceError, MediaError: the file cannot be opened or decoded.
        """
        for t, image in self._all():
            if t > stream.start_s + stream.end_s + EPSILON_S:
                return
            if t >= stream.start_s - EPSILON_S:
                yield max(t - stream.start_s, 0.0), image

    def _all(self) -> Pictures:
        if self._rest is None and not self._is_whole:
            self._rest = self._decoded()
        n = 0
        while True:
            if n < len(self._kept):
                yield self._kept[n]
                n += 1
                continue
            if self._is_whole or self._rest is None:
                return
            if self._room <= 0:
                break
            found = next(self._rest, None)
            if found is None:
                self._is_whole, self._rest = True, None
                return
            self._kept.append(found)
            self._room -= found[1].nbytes
        for k, found in enumerate(self._decoded()):
            if k >= n:
                yield found

    def _decoded(self) -> Pictures:
        from vigil.stream.source import open_source

        with open_source(self._path, fps=self._fps) as source:
            for frame in source:
                yield frame.time_s, frame.image


def watch_stream(system: System, stream: Stream, frames: Iterable[tuple[float, Image]], *, clock: VirtualClock) -> Log:
    """The log of one stream. A question at 0 s comes before the first frame, others after the frame of their moment."""
    live = system.open(clock)
    rows: list[Timed] = []
    for t, what in _moments(stream, frames):
        new = live.advance(t)
        rows += new
        if stream.is_over_when_answered and _is_answered(new):
            return finish(clock.head(system.name), rows, t)
        if isinstance(what, Ask):
            live.push_prompt(what.text, t, standing=what.standing)
        elif what is not None:
            live.push_frame(what, t)
    rows += live.advance(stream.end_s + 2 * EPSILON_S)
    return finish(clock.head(system.name), rows, stream.end_s)


def _moments(stream: Stream, frames: Iterable[tuple[float, Image]]) -> Iterator[tuple[float, Image | Ask | None]]:
    """What comes when, in order; None is a moment at which it is only looked whether an answer is closed."""
    last_s = stream.asks[-1].t if stream.holds else stream.end_s
    shown = ((t, 0, image) for t, image in frames)
    asked = ((ask.t, 1 if ask.t > 0 else -1, ask) for ask in stream.asks)
    moments: Iterable[tuple[float, int, Image | Ask]] = merge(shown, asked, key=lambda moment: moment[:2])
    for t, _, what in moments:
        if t > last_s + EPSILON_S:
            break
        yield t, what
    while last_s < stream.end_s:
        last_s = min(last_s + STEP_S, stream.end_s)
        yield last_s, None


def _is_answered(rows: Iterable[Timed]) -> bool:
    return any(isinstance(row, AnswerRow) and row.q is not None and row.state in ("final", "cut") for row in rows)


def unwatched(system: System, stream: Stream, *, clock: VirtualClock) -> Log:
    """The log of a stream that could not be decoded: nothing came, nothing was said."""
    return finish(clock.head(system.name), [], stream.end_s)
