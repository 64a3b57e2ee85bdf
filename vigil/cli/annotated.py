"""`vigil watch --video FILE`: what was watched as a video, with what was said below the pictures and in a text track.

Its time line is that of the source. A new picture of it begins where something changes: with each frame of the source
and with each word. In between nothing is drawn, so silence costs next to nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vigil.cli.lines import note
from vigil.cli.mp4 import Mp4, ticks
from vigil.cli.story import Lag, Pace, Spoken, Story
from vigil.cli.strip import Layout, Shown, annotate, fitted, missing
from vigil.cli.subtitles import Cue, Track
from vigil.stream.notices import Notice
from vigil.stream.source import Source, printable
from vigil.types import Done, Event, Frame

KEPT_ENTRIES = 8
"""Newest questions and answers that are remembered; an answer and the one that it replaced are shown."""
AHEAD = 16
"""Pictures that may wait for their time, more than an inbox reads ahead, and as many that may wait to be drawn."""


class Film:
    """Makes the video of a session while it runs, out of its frames, measurements and events.

    Pictures are drawn and encoded in a thread of their own, so that the session does not wait for them. Without `path`
    it does nothing. Leaving it finishes the file, however the session ended.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._story = Story(keep=KEPT_ENTRIES)
        self._track = Track()
        self._lag = Lag("max")
        self._tape: Tape | None = None
        self._now_s = 0.0
        self._frame: Frame | None = None
        """The newest one whose time has come."""
        self._drawn: tuple[float, Shown] | None = None
        self._cues: list[Cue] = []
        """Those that go into the file with the next picture."""
        self._boxes: set[str] = set()
        self._file: Mp4 | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._work: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tape is None or self._worker is None:
            return
        with self._worker:
            self._draw()
            if self._frame is not None:
                end_s = max(self._now_s, self._frame.time_s + 1 / self._tape.fps)
                self._later(self._finish, [*self._cues, *self._track.end(end_s)], end_s)
            elif error is None:
                note(f"no picture was seen, so there is no {self._path}")
        self._collect(0)
        if self._boxes:
            boxes = "".join(sorted(self._boxes))[:20]
            note(f"no font of this system has {boxes}; in {self._path} boxes stand for them, its text track has them")

    def of(self, source: Source, pace: Pace) -> Source:
        """The source whose pictures are to be in the video; read it instead of the one that is given."""
        if self._path is None:
            return source
        self._lag = Lag(pace)
        self._tape = Tape(source)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vigil-video")
        return self._tape

    def trace(self, also: Callable[..., None]) -> Callable[..., None]:
        """The trace of a session, for the video and for another."""
        if self._path is None:
            return also

        def both(kind: str, **fields: Any) -> None:
            if kind in ("frame", "ready"):
                self._reach(fields["t"])
                self._lag.trace(kind, **fields)
            also(kind, **fields)

        return both

    def show(self, event: Event) -> None:
        """Take one event.

        Raises:
            OutputError: the video cannot be written.
        """
        if self._path is None:
            return
        self._reach(event.time_s)
        self._story.add(event)
        if isinstance(event, Done):
            self._boxes |= missing(printable(event.text))
        if self._story.entries:
            self._cues += self._track.reach(self._story.entries[-1])

    def _reach(self, time_s: float) -> None:
        """The video time has come to here: draw all that has changed before."""
        assert self._tape is not None
        while self._tape.frames and ticks(self._tape.frames[0].time_s) <= ticks(time_s):
            frame = self._tape.frames.popleft()
            self._step(frame.time_s)
            self._frame = frame
        self._step(time_s)

    def _step(self, time_s: float) -> None:
        """All that happens in one moment is one picture, drawn when the next moment comes."""
        if ticks(time_s) > ticks(self._now_s):
            self._draw()
            self._now_s = time_s

    def _draw(self) -> None:
        """Let the picture of this moment be drawn, if it differs from the one before."""
        shown = shown_of(self._story)
        if self._frame is None or self._drawn == (self._frame.time_s, shown):
            return
        self._drawn = self._frame.time_s, shown
        shown = replace(shown, now_s=self._now_s, lag_s=self._lag.lag_s)
        self._later(self._write, self._frame, shown, self._cues)
        self._cues = []

    # ---- in the other thread -------------------------------------------------------------------------------------

    def _later(self, do: Callable[..., None], *args: object) -> None:
        """Do something in the other thread after all before it; wait where too much has to be done there.

        Raises:
            OutputError: something before could not be written.
        """
        assert self._worker is not None
        self._work.append(self._worker.submit(do, *args))
        self._collect(AHEAD)

    def _collect(self, most: int) -> None:
        """Wait until at most so much remains to be done."""
        while len(self._work) > most or (self._work and self._work[0].done()):
            self._work.popleft().result()

    def _write(self, frame: Frame, shown: Shown, cues: Sequence[Cue]) -> None:
        assert self._path is not None
        assert self._tape is not None
        assert self._tape.layout is not None
        layout = self._tape.layout
        if self._file is None:
            self._file = Mp4(self._path, width_px=layout.width_px, height_px=layout.height_px)
        self._file.picture(annotate(frame.image, shown, layout), shown.now_s)
        for cue in cues:
            self._file.cue(cue)

    def _finish(self, cues: Sequence[Cue], end_s: float) -> None:
        if self._file is not None:
            for cue in cues:
                self._file.cue(cue)
            self._file.finish(end_s)


def shown_of(story: Story) -> Shown:
    """What is written under a picture, but for the clock and the lag.

    An answer stays until it is replaced or another question is asked, since until then it is what was said last.
    """
    question = "" if story.asked is None else printable(story.asked.text)
    lost = None if story.lost is None else story.lost.cause
    common = Shown(question=question, num_dropped=story.num_dropped, lost=lost)
    last = story.entries[-1] if story.entries else None
    if not isinstance(last, Spoken):
        return common
    tail = " ..." if last.status in ("interrupted", "error") else ""
    return replace(
        common,
        was=printable(last.replaces).strip(),
        text=printable(last.text).strip() + tail,
        holds=not last.is_withdrawn,
        said_s=last.start_s,
        is_speaking=last.end_s is None,
    )


class Tape(Source):
    """A source that keeps its newest frames, at the size of the video, until the session has come to their time."""

    def __init__(self, source: Source) -> None:
        self.name, self.fps, self.duration_s = source.name, source.fps, source.duration_s
        self.is_live, self.warnings = source.is_live, source.warnings
        self.frames: deque[Frame] = deque(maxlen=AHEAD)
        self.layout: Layout | None = None
        self._source = source

    @property
    def on_notice(self) -> Callable[[Notice], None]:
        """See `Source`."""
        return self._source.on_notice

    @on_notice.setter
    def on_notice(self, on_notice: Callable[[Notice], None]) -> None:
        self._source.on_notice = on_notice

    def __iter__(self) -> Iterator[Frame]:
        return self._copied(iter(self._source))  # time 0 of a live source is now, not at its first frame

    def _copied(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.layout = self.layout or Layout.of(frame.image)
            self.frames.append(Frame(fitted(frame.image, self.layout), frame.time_s))
            yield frame

    def close(self) -> None:
        """Close the other source."""
        self._source.close()
