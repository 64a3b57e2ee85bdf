"""The files of one session while it is being written: when a new one begins, and what happens when the disk is full."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vigil.serve.disk import NO_SPACE, Clock, Files, Guard
from vigil.serve.index import Index
from vigil.serve.segments import Head, Segment
from vigil.serve.state import State
from vigil.serve.store_config import StoreConfig
from vigil.serve.writer import Writer

SPACE_RETRY_S = 1.0
"""How often a log that waits for space tries again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all logs of a store use together."""

    config: StoreConfig
    files: Files
    clock: Clock
    guard: Guard
    writer: Writer
    index: Index | None


class NoSpace(OSError):
    """The disk is full, the ballast is spent, and nobody waits for space."""


class Tape:
    """Takes groups of lines, and makes each safe at the level of the session."""

    def __init__(self, shared: Shared, folder: Path, head: Head) -> None:
        """Begin with a new file. Raises `OSError`."""
        self.head = head
        """The head of the file that is being written."""
        self.gives_up = False
        """Set from another thread: stop waiting for space."""
        self._shared = shared
        self._folder = folder
        self._lock = threading.Lock()
        self._segment: Segment | None = Segment(shared.files, folder, head)

    @property
    def is_closed(self) -> bool:
        """Nothing is open any more."""
        return self._segment is None

    def store(
        self, data: bytes, *, t_mono: float, last: int, state: State, private: Mapping[str, Any] | None = None
    ) -> None:
        """Write a group and make it safe.

        Args:
            t_mono: of its first event. last: number of its last one. state: the fold of all before it.
            private: see `Head.private`; it changes with a new file.

        Raises:
            OSError: it is not safe and never will be. `NoSpace` where the file is as it was before.
        """
        with self._lock:
            if private is not None:
                self.head = replace(self.head, private=dict(private))
            segment = self._write(data, t_mono, state)
            segment.sync(data, last=last, t_mono=t_mono)

    def close(self, *, seal: bool) -> None:
        """Close the file; sealed where nothing will follow."""
        with self._lock:
            segment, self._segment = self._segment, None
            if segment is None or segment.is_sealed:
                return
            if seal:
                with suppress(OSError):  # the next life finds out what is there
                    segment.seal()
                    return
            segment.close()

    def _write(self, data: bytes, t_mono: float, state: State) -> Segment:
        """On a full disk: give the ballast up, try once more, then wait for space."""
        guard, has_released = self._shared.guard, False
        while True:
            try:
                segment = self._roll(len(data), t_mono, state)
                segment.write(data)
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
            else:
                guard.is_full = False
                return segment
            if not has_released:
                has_released = True
                guard.release()
            elif not self._waited():
                raise NoSpace("no space left on the device")

    def _waited(self) -> bool:
        """Wait a while for space; False where that is not wanted."""
        if not self._shared.config.waits_for_space:
            return False
        self._shared.guard.is_full = True
        return not self._shared.writer.stopping.wait(SPACE_RETRY_S) and not self.gives_up

    def _roll(self, num_bytes: int, t_mono: float, state: State) -> Segment:
        """The file to write to: a new one where the old one is full, or its first event is old."""
        segment, config = self._segment, self._shared.config
        assert segment is not None, "the tape is closed"
        has_events = segment.first_t is not None
        is_full = has_events and segment.size + num_bytes > config.segment_bytes
        is_old = segment.first_t is not None and t_mono - segment.first_t > config.segment_s
        if not (segment.is_sealed or is_full or is_old) and segment.head.private == self.head.private:
            return segment
        if not segment.is_sealed:
            segment.seal()
        self._segment = Segment(self._shared.files, self._folder, self.head.following(state))
        self.head = self._segment.head
        return self._segment
