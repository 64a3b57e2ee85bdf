"""What reaches a session: perceived frames, questions, drops and the next word's time. `vigil.stream.clock` says when.

A worker thread decodes and encodes, so that seeing never waits for speaking; the session's thread sleeps on a condition
until something is there, so that waiting costs nothing.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Literal, Protocol, Self

from vigil.stream.journal import Dropped, Moment, Question, Totals
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.types import Frame

Speed = float | Literal["max"]
Signal = Literal["interrupt", "close", "due", "end"]

JOIN_S = 1.0
"""How long the end of a stream waits for its workers; one that hangs in a source ends with the process."""
PERCEIVER = "vigil-perceiver"

Item = Perceived | Question | Dropped | Signal


class Inbox(Protocol):
    """What a driver reads."""

    totals: Totals

    def next(self, due_s: float | None) -> tuple[Item, Moment]: ...

    def now(self) -> Moment: ...

    def settle(self) -> list[Dropped]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Mailbox:
    """Questions and signals from any thread, and the condition that everything in a stream waits on."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.letters: deque[Question | Literal["interrupt", "close"]] = deque()

    def put(self, letter: Question | Literal["interrupt", "close"]) -> None:
        """Leave a letter and wake whoever waits."""
        with self.changed:
            self.letters.append(letter)
            self.changed.notify_all()


class BaseInbox:
    """What both clocks share: the letters, the questions with a time, the worker thread and its end."""

    def __init__(self, mailbox: Mailbox, frames: Iterator[Frame], perceiver: Perceiver) -> None:
        self.totals = Totals()
        self._changed = mailbox.changed
        self._letters = mailbox.letters
        self._frames = frames
        self._perceiver = perceiver
        self._scheduled: list[tuple[float, int, Question]] = []
        self._num_scheduled = 0
        self._ready: deque[Perceived] = deque()
        self._finished = False
        self._stopping = False
        self._error: BaseException | None = None
        self._start = time.monotonic()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=JOIN_S)

    def _restart(self, at_s: float) -> None:
        """Set the run clock, so that it reads `at_s` now."""
        self._start = time.monotonic() - at_s

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def _spawn(self, work: Callable[[], None], name: str) -> None:
        """Prepare a worker thread; what it raises is raised in the session's thread."""

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - carried over, not swallowed
                self._error = self._error or error
            with self._changed:
                self._over(name)
                self._changed.notify_all()

        self._threads.append(threading.Thread(target=run, name=name, daemon=True))

    def _over(self, name: str) -> None:
        """A worker has ended."""
        if name == PERCEIVER:
            self._finished = True

    def _open_letters(self) -> Question | Signal | None:
        """The first letter that is due at once; questions with a time are put aside until then."""
        while self._letters:
            letter = self._letters.popleft()
            if isinstance(letter, Question) and letter.at_s is not None:
                self._num_scheduled += 1
                heapq.heappush(self._scheduled, (letter.at_s, self._num_scheduled, letter))
            else:
                return letter
        return None
