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
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Literal, Protocol, Self

from vigil.stream.journal import Dropped, Instruction, Moment, Question, Totals
from vigil.stream.notices import Notice, Outage, Return, Skipped
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.types import Frame

Speed = float | Literal["max"]
Signal = Literal["interrupt", "close", "due", "end"]

JOIN_S = 1.0
"""How long the end of a stream waits for its workers; one that hangs in a source ends with the process."""
PERCEIVER, CAPTURE = "vigil-perceiver", "vigil-capture"

Letter = Question | Instruction | Dropped | Outage | Return | Literal["interrupt", "close"]
Item = Perceived | Letter | Signal


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

    def __init__(self, changed: threading.Condition | None = None) -> None:
        self.changed = changed or threading.Condition()
        self.letters: deque[Letter] = deque()

    def put(self, letter: Letter) -> None:
        """Leave a letter and wake whoever waits."""
        with self.changed:
            self.letters.append(letter)
            self.changed.notify_all()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A frame that has come in and waits to be encoded."""

    index: int
    frame: Frame
    at_s: float
    """When, on the run clock."""


class BaseInbox:
    """What both clocks share: letters, questions with a time, the way of a frame, the worker threads and their end.

    A frame comes in by `arrive`, goes out to the encoder by `to_encode`, and comes back by `encoded`. With a source and
    a perceiver of its own an inbox does that in two threads; without them, whoever made it does.
    """

    def __init__(self, mailbox: Mailbox, frames: Iterator[Frame] | None, perceiver: Perceiver | None) -> None:
        self.totals = Totals()
        self._changed = mailbox.changed
        self._letters = mailbox.letters
        self._frames = frames
        self._perceiver = perceiver
        self._scheduled: list[tuple[float, int, Question]] = []
        self._num_scheduled = 0
        self._num_arrived = 0
        self._waiting: deque[Arrived] = deque()
        self._encoding = 0
        self._ready: deque[Perceived] = deque()
        self._captured_all = False
        self._stopping = False
        self._is_blind = False
        self._error: BaseException | None = None
        self._start = time.monotonic()
        self._threads: list[threading.Thread] = []
        if perceiver is not None:
            self._spawn(partial(self._perceive, perceiver), PERCEIVER, self.fail)
        if frames is not None:
            self._spawn(partial(self._capture, frames), CAPTURE, self.no_more)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(timeout=JOIN_S)

    # ---- what a session's driver reads -----------------------------------------------------------------------

    def next(self, due_s: float | None) -> tuple[Item, Moment]:
        """Wait for whatever comes first.

        Raises:
            whatever the source or the perceiver raised, after the frames before it.
        """
        with self._changed:
            while True:
                coming = self.poll(due_s)
                if isinstance(coming, tuple):
                    return coming
                self._changed.wait(coming)

    def poll(self, due_s: float | None) -> tuple[Item, Moment] | float | None:
        """What has come, or for how long nothing will come by itself (s; None: for ever). The lock must be held."""
        raise NotImplementedError

    # ---- the way of a frame ----------------------------------------------------------------------------------

    def arrive(self, frame: Frame) -> int | None:
        """Take a frame in and give its index; None where no more frames are taken in."""
        with self._changed:
            if self._captured_all or self._stopping:
                return None
            index, self._num_arrived = self._num_arrived, self._num_arrived + 1
            self._waiting.append(Arrived(index, frame, self._arrives_at(frame)))
            self._changed.notify_all()
            return index

    def note(self, notice: Notice) -> None:
        """Take in what a live source says besides its frames; those that it skipped count as received and dropped."""
        with self._changed:
            if isinstance(notice, Skipped):
                first, self._num_arrived = self._num_arrived, self._num_arrived + notice.count
                self.totals.received += notice.count
                self.totals.dropped += notice.count
                indices = tuple(range(first, self._num_arrived))
                self._letters.append(Dropped(indices, notice.first_s, notice.last_s, notice.reason))
            elif isinstance(notice, Outage | Return):
                self._letters.append(notice)
            self._changed.notify_all()

    def _arrives_at(self, frame: Frame) -> float:
        """What the run clock says of a frame that comes in now."""
        raise NotImplementedError

    def no_more(self, error: BaseException | None = None) -> None:
        """No frame will come any more; with an error, the session hears of it after the frames before."""
        with self._changed:
            self._error = self._error or error
            self._captured_all = True
            self._changed.notify_all()

    def to_encode(self) -> Arrived | None:
        """The next frame for the encoder, if there is one and its result has a place."""
        with self._changed:
            if self._stopping or not self._has_work():
                return None
            self._encoding += 1
            return self._waiting.popleft()

    def _has_work(self) -> bool:
        return bool(self._waiting)

    def encoded(self, perceived: Perceived) -> None:
        """A frame has become readable."""
        with self._changed:
            self._encoding -= 1
            if not self._stopping:
                self._ready.append(perceived)
            self._changed.notify_all()

    def fail(self, error: BaseException | None) -> None:
        """No frame can be perceived any more; the session hears of it after those that were."""
        if error is not None:
            with self._changed:
                self._is_blind = True
                self.no_more(error)

    def stop(self) -> None:
        """Take no more frames in, and let the threads go."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    @property
    def _finished(self) -> bool:
        """Every frame that will ever come is readable."""
        return self._is_blind or (self._captured_all and not self._waiting and not self._encoding)

    # ---- the threads -----------------------------------------------------------------------------------------

    def _capture(self, frames: Iterator[Frame]) -> None:
        for frame in frames:
            with self._changed:
                self._until_its_time(frame)
                if self._stopping:
                    return
            self.arrive(frame)

    def _until_its_time(self, frame: Frame) -> None:
        """Wait until a frame of the source may come in."""
        raise NotImplementedError

    def _perceive(self, perceiver: Perceiver) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._has_work() or self._finished)
                if self._stopping or self._finished:
                    return
                arrived = self.to_encode()
            if arrived is not None:
                self.encoded(perceiver.perceive(arrived.index, arrived.frame, arrived_s=arrived.at_s))

    def _spawn(self, work: Callable[[], None], name: str, over: Callable[[BaseException | None], None]) -> None:
        """Prepare a worker thread; `over` is told how it ended."""

        def run() -> None:
            """Do the work, and say how it ended."""
            error: BaseException | None = None
            try:
                work()
            except BaseException as raised:  # noqa: BLE001 - carried over, and raised in the session's thread
                error = raised
            over(error)

        self._threads.append(threading.Thread(target=run, name=name, daemon=True))

    # ---- time and letters ------------------------------------------------------------------------------------

    def _restart(self, at_s: float) -> None:
        """Set the run clock, so that it reads `at_s` now."""
        self._start = time.monotonic() - at_s

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def _open_letters(self) -> Letter | None:
        """The first letter that is due at once; questions with a time are put aside until then."""
        while self._letters:
            letter = self._letters.popleft()
            if isinstance(letter, Question) and letter.at_s is not None:
                self._num_scheduled += 1
                heapq.heappush(self._scheduled, (letter.at_s, self._num_scheduled, letter))
            else:
                return letter
        return None
