"""Sessions that nobody writes to: how old each is, and when it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vigil.errors import DataError, StorageError
from vigil.serve.disk import Clock, Files
from vigil.serve.retention import expire_files, peek
from vigil.serve.session_log import SessionLog


@dataclass(slots=True)
class Shelf:
    """A session that nobody writes to, and how old it is on the clock that no one can set."""

    newest_t: float
    """`t_mono` of its newest event."""
    newest_mono: float
    """When that event happened, on the monotonic clock of this process."""
    keep_s: float | None
    is_closed: bool = True
    due_t: float | None = 0.0
    """`t_mono` at which something in it expires next; None: never."""


class Shelves:
    """Ages are counted on the monotonic clock, so a wall clock that jumps lets nothing expire. How long no process ran
    is known from the wall clock alone: it is asked once, when a session is first seen."""

    def __init__(self, files: Files, clock: Clock, delete: Callable[[str], object]) -> None:
        """`delete` removes a session by its id."""
        self._files, self._clock, self._delete = files, clock, delete
        self._shelves: dict[str, Shelf] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._shelves))

    def put(self, log: SessionLog) -> None:
        """A session of this process has been closed, or is left alone for now."""
        newest_mono = self._clock.mono() - (log.now() - log.newest_t)
        self._shelves[log.id] = Shelf(log.newest_t, newest_mono, log.head.keep_s, log.is_closed)

    def find(self, name: str, folder: Path) -> None:
        """A session of an earlier process; what cannot be read is left alone."""
        seen = None
        with suppress(StorageError, DataError):
            seen = None if name in self._shelves else peek(folder)
        if seen is not None:
            age_s = max(0.0, self._clock.wall() - seen.t_wall)
            self._shelves[name] = Shelf(seen.t_mono, self._clock.mono() - age_s, seen.keep_s, seen.is_closed)

    def drop(self, name: str) -> None:
        """It is gone, or somebody writes to it again."""
        self._shelves.pop(name, None)

    def expire(self, name: str, folder: Path | None) -> None:
        """Remove what is too old of one session, or all of it. Raises `OSError`."""
        shelf = self._shelves[name]
        age_s = self._clock.mono() - shelf.newest_mono
        now_t = shelf.newest_t + age_s
        if folder is None or (shelf.keep_s is not None and age_s > shelf.keep_s):
            self._delete(name)
        elif shelf.due_t is not None and now_t > shelf.due_t:
            shelf.due_t = expire_files(self._files, folder, now_t=now_t, keep_s=shelf.keep_s)

    def make_room(self, is_low: Callable[[], bool]) -> None:
        """Remove closed sessions that are not kept for ever, the oldest first, until there is space again."""
        for name, shelf in sorted(self._shelves.items(), key=lambda pair: pair[1].newest_mono):
            if not is_low():
                return
            if shelf.is_closed and shelf.keep_s is not None:
                self._delete(name)
