"""`vigil watch --log DIR --resume ID --out FILE`: what a run leaves on disk, written before anybody sees it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from vigil.cli.lines import note
from vigil.cli.subtitles import write_whole
from vigil.errors import ConfigError, OutputError
from vigil.stream.source import Source, printable
from vigil.types import Ended, Event, Frame, event_to_json

if TYPE_CHECKING:
    from vigil.cli.logged import Recorder
    from vigil.cli.options import Options
    from vigil.serve.durable import Recovered, Store

BALLAST_BYTES = 1 << 20
"""Enough to close what is open when the disk is full."""


@contextmanager
def recorded(options: Options) -> Iterator[Kept]:
    """Open what a run is to be written to; with `--resume`, also fill in what the log knows.

    Raises:
        ConfigError: flags that do not go together. SourceError: there is no such session.
        StorageError: the log cannot be written, or the session is closed.
    """
    if options.resume is not None and options.log is None:
        raise ConfigError("--resume needs --log DIR, the folder that holds the session.")
    if options.log is None:
        with Kept(options, None, None) as kept:
            yield kept
        return
    from vigil.cli.log import session
    from vigil.serve.durable import Store, StoreConfig

    name = None if options.resume is None else session(options.log, options.resume).name
    settings = StoreConfig(keep_s=None, group_s=0.0, ballast_bytes=BALLAST_BYTES, waits_for_space=False)
    with Store(options.log, settings) as store:
        recovered = None if name is None else store.resume(name)
        for damage in () if recovered is None else recovered.damage:
            note(f"the log is damaged: {damage}. `vigil log verify` tells more.")
        with Kept(options, store, recovered) as kept:
            yield kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a resumed run goes on. A first run goes on at nothing."""

    time_s: float = 0.0
    """Video time of the last frame that was perceived (s)."""
    frames: int = 0
    answers: int = 0
    turns: int = 0

    def shift(self, event: Event) -> Event:
        """Give an event the times and numbers of the whole session instead of those of this run."""
        add = {"time_s": self.time_s, "first_s": self.time_s, "last_s": self.time_s, "frame": self.frames}
        add |= {"answer": self.answers, "turn": self.turns, "next_turn": self.turns}
        values = {field.name: getattr(event, field.name) for field in fields(event) if field.name in add}
        return replace(event, **{name: value + add[name] for name, value in values.items() if value is not None})


class Kept:
    """What a run writes to. Without `--log` and `--out` it hands events on as they are."""

    def __init__(self, options: Options, store: Store | None, recovered: Recovered | None) -> None:
        self.options = options
        self._store, self._recovered = store, recovered
        self._recorder: Recorder | None = None
        self._out: OutFile | None = None
        self._start = Start()
        self._name = ""
        self._is_live = False
        if recovered is not None:
            from vigil.cli.logged import resumed

            self.options, self._start = resumed(options, recovered.log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._out is not None:
            self._out.close()

    def rest_of(self, source: Source, options: Options) -> Source:
        """What of a source has not been seen before."""
        self._is_live = source.is_live
        if self._recovered is None:
            return source
        if self._is_live:
            self._start = replace(self._start, time_s=self._recovered.log.now())
            return source
        return Rest(source, self._start.time_s)

    def trace(self, also: Callable[..., None]) -> Callable[..., None]:
        """The trace of a session, for the log and for another."""
        if self._store is None:
            return also

        def both(kind: str, **values: Any) -> None:
            if self._recorder is not None:
                self._recorder.trace(kind, **values)
            also(kind, **values)

        return both

    def begin(self, source: Source, options: Options) -> None:
        """The model is there as well: begin or go on with the session.

        Raises:
            StorageError: the log cannot be written. OutputError: `--out` cannot.
        """
        self._name = source.name
        if options.out is not None:
            self._out = OutFile(options.out, is_live=self._is_live)
        if self._store is None:
            return
        from vigil.cli.logged import Recorder, begin, go_on

        if self._recovered is None:
            log = begin(self._store, source, options)
        else:
            log = self._recovered.log
            go_on(self._recovered, source)
        note(f"session {log.id} is kept in {options.log}")
        self._recorder = Recorder(log, self._start)

    def keep(self, events: Iterator[Event]) -> Iterator[Event]:
        """Hand each event on once it is safe.

        Raises:
            StorageError: the log cannot be written. OutputError: `--out` cannot.
        """
        for event in events:
            if self._recorder is not None:
                self._recorder.record(event)
            shown = self._start.shift(event)
            if self._out is not None:
                self._out.add(json.dumps({**event_to_json(shown), "source": self._name}))
                if isinstance(event, Ended) and event.reason != "error":
                    self._out.finish()
            yield shown


class Rest(Source):
    """What comes after a time in another source, with times that count from there."""

    def __init__(self, source: Source, after_s: float) -> None:
        self.name, self.fps, self.warnings = source.name, source.fps, source.warnings
        self.duration_s = None if source.duration_s is None else max(0.0, source.duration_s - after_s)
        self._source, self._after_s = source, after_s

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            if frame.time_s > self._after_s:
                yield Frame(frame.image, frame.time_s - self._after_s)

    def close(self) -> None:
        """Close the other source."""
        self._source.close()


class OutFile:
    """`--out`: the lines of `--json`. Of a finite source the file is there completely or not at all; of a live one each
    line is safe before it is shown."""

    def __init__(self, path: Path, *, is_live: bool) -> None:
        self._path = path
        self._lines: list[str] = []
        self._file: BinaryIO | None = None
        if is_live:
            try:
                self._file = path.open("ab", buffering=0)
            except OSError as error:
                raise self._failed(error) from error

    def add(self, line: str) -> None:
        """Take one line in."""
        if self._file is None:
            self._lines.append(line + "\n")
            return
        try:
            self._file.write(line.encode() + b"\n")
            os.fdatasync(self._file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EROFS):  # a pipe or a terminal has nothing to sync
                raise self._failed(error) from error

    def finish(self) -> None:
        """The last line has been added."""
        if self._file is None:
            write_whole(self._path, "".join(self._lines))

    def close(self) -> None:
        """Close the file; without `finish`, that of a finite source is not there."""
        if self._file is not None:
            self._file.close()

    def _failed(self, error: OSError) -> OutputError:
        path = printable(str(self._path))
        return OutputError(f"{path} cannot be written: {error.strerror}. Choose another --out.")
