"""Two clocks. The virtual one orders everything by video time and drops nothing; the wall one takes things as they come
and drops what is late.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from vigil.config import StreamConfig
from vigil.errors import ConfigError
from vigil.stream.inbox import PERCEIVER, BaseInbox, Item, Mailbox, Speed
from vigil.stream.journal import Dropped, Moment, Question
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.types import DropReason, Frame

EPSILON_S = 1e-9
"""Times closer than this are the same moment."""
READ_AHEAD_FRAMES = 4
"""Frames perceived before their time on the virtual clock."""
LAGS_KEPT = 4096
"""Frame lags remembered for the percentile."""


class VirtualInbox(BaseInbox):
    """The virtual clock: everything in order of video time, nothing dropped; `speed` only adds sleeping."""

    def __init__(
        self, mailbox: Mailbox, frames: Iterator[Frame], perceiver: Perceiver, *, config: StreamConfig, speed: Speed
    ) -> None:
        super().__init__(mailbox, frames, perceiver)
        if speed != "max" and not (isinstance(speed, int | float) and speed > 0):
            raise ConfigError(f'speed must be above 0 or "max", got {speed!r}.')
        self._speed = None if speed == "max" else float(speed)
        self._period_s = 1 / config.fps
        self._last_frame_s = 0.0
        self._now_s = 0.0
        self._shift_s = 0.0
        self._spawn(self._perceive, PERCEIVER)

    def now(self) -> Moment:
        """The video time that has been reached."""
        return Moment(self._now_s, self._elapsed_s())

    def next(self, due_s: float | None) -> tuple[Item, Moment]:
        """Wait for whatever comes first by video time.

        Raises:
            whatever the source or the perceiver raised, after the frames before it.
        """
        with self._changed:
            while True:
                letter = self._open_letters()
                if letter is not None:
                    return letter, self._typed_at()
                if not self._ready and not self._finished:
                    self._changed.wait()
                    continue
                item, at_s = self._first(due_s)
                if item == "end" and self._error is not None:
                    raise self._error
                delay_s = self._delay_s(at_s)
                if delay_s > 0 and item != "end":
                    self._changed.wait(delay_s)
                    continue
                self._now_s = max(self._now_s, at_s)
                return self._take(item), self.now()

    def _first(self, due_s: float | None) -> tuple[Item, float]:
        """What comes next and when. At one moment a frame comes before a question, and a question before a word."""
        coming: list[tuple[Item, float]] = []
        if self._scheduled and self._scheduled[0][0] <= 0:  # asked at 0 s means before the first frame
            coming.append((self._scheduled[0][2], self._now_s))
        if self._ready:
            coming.append((self._ready[0], self._ready[0].time_s))
        if self._scheduled:
            asked_s = max(self._scheduled[0][0], self._now_s)
            if not self._ready:  # the video is over one frame period after its last frame
                asked_s = min(asked_s, max(self._now_s, self._last_frame_s + self._period_s))
            coming.append((self._scheduled[0][2], asked_s))
        if due_s is not None:
            coming.append(("due", due_s))
        if not coming:
            return "end", self._now_s
        earliest_s = min(at_s for _, at_s in coming)
        return next(pair for pair in coming if pair[1] <= earliest_s + EPSILON_S)

    def _take(self, item: Item) -> Item:
        if isinstance(item, Perceived):
            self._ready.popleft()
            self._last_frame_s = item.time_s
            self.totals.received += 1
            self._changed.notify_all()
        elif isinstance(item, Question):
            heapq.heappop(self._scheduled)
        return item

    def _delay_s(self, at_s: float) -> float:
        """Seconds to sleep until a video time; running late moves the start, and is remembered."""
        if self._speed is None:
            return 0.0
        delay_s = at_s / self._speed + self._shift_s - self._elapsed_s()
        if delay_s < -0.05:
            self._shift_s -= delay_s
            self.totals.late_s = self._shift_s
        return delay_s

    def settle(self) -> list[Dropped]:
        """Nothing is lost on this clock, and a frame counts as received when its time has come."""
        return []

    def _typed_at(self) -> Moment:
        if self._speed is not None:
            next_s = self._ready[0].time_s if self._ready else self._now_s
            typed_s = (self._elapsed_s() - self._shift_s) * self._speed
            self._now_s = max(self._now_s, min(typed_s, next_s))
        return self.now()

    def _perceive(self) -> None:
        for index, frame in enumerate(self._frames):
            perceived = self._perceiver.perceive(index, frame)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or len(self._ready) < READ_AHEAD_FRAMES)
                if self._stopping:
                    return
                self._ready.append(perceived)
                self._changed.notify_all()


class WallInbox(BaseInbox):
    """The wall clock: frames come when they come. One thread captures, one perceives; late frames are dropped."""

    def __init__(
        self, mailbox: Mailbox, frames: Iterator[Frame], perceiver: Perceiver, *, config: StreamConfig
    ) -> None:
        super().__init__(mailbox, frames, perceiver)
        self._config = config
        self._waiting: deque[tuple[int, Frame, float]] = deque()
        self._lost: deque[tuple[int, float, DropReason]] = deque()
        self._captured_all = False
        self._encoding = 0
        self._newest_s = 0.0
        self._spawn(self._perceive, PERCEIVER)
        self._spawn(self._capture, "vigil-capture")

    def _over(self, name: str) -> None:
        super()._over(name)
        self._captured_all = True

    def now(self) -> Moment:
        """The time since the first frame came; it stands still where that frame set the clock back."""
        self._newest_s = max(self._newest_s, self._elapsed_s())
        return Moment(self._newest_s, self._newest_s)

    def next(self, due_s: float | None) -> tuple[Item, Moment]:
        """Wait for whatever comes first.

        Raises:
            whatever the source or the perceiver raised, after the frames before it.
        """
        with self._changed:
            while True:
                item = self._ready_now(due_s)
                if item is not None:
                    return item, self.now()
                upcoming = [due_s] if due_s is not None else []
                if self._scheduled:
                    upcoming.append(self._scheduled[0][0])
                self._changed.wait(max(0.0, min(upcoming) - self._elapsed_s()) if upcoming else None)

    def _ready_now(self, due_s: float | None) -> Item | None:
        letter = self._open_letters()
        if letter is not None:
            return letter
        if self._lost:
            return self._drop_run()
        now_s, over = self._elapsed_s(), self._finished and not self._ready
        if self._ready:
            perceived = self._ready.popleft()
            self.totals.lags_s.append(now_s - perceived.arrived_s)
            del self.totals.lags_s[:-LAGS_KEPT]
            return perceived
        if self._scheduled and (over or self._scheduled[0][0] <= now_s):
            return heapq.heappop(self._scheduled)[2]
        if due_s is not None:
            return "due" if due_s <= now_s else None
        if over and self._error is not None:
            raise self._error
        return "end" if over else None

    def settle(self) -> list[Dropped]:
        """Stop taking frames in; report drops not yet reported, and count what still waits."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            runs = []
            while self._lost:
                runs.append(self._drop_run())
            self.totals.pending = len(self._waiting) + len(self._ready) + self._encoding
            return runs

    def _drop_run(self) -> Dropped:
        """The oldest lost frames that share one reason."""
        run = [self._lost.popleft()]
        while self._lost and self._lost[0][2] == run[0][2]:
            run.append(self._lost.popleft())
        self.totals.dropped += len(run)
        return Dropped(tuple(i for i, _, _ in run), run[0][1], run[-1][1], run[0][2])

    def _capture(self) -> None:
        for index, frame in enumerate(self._frames):
            with self._changed:
                if index == 0:
                    self._restart(frame.time_s)
                self._changed.wait_for(lambda: self._stopping, timeout=frame.time_s - self._elapsed_s())
                if self._stopping:
                    return
                self.totals.received += 1
                self._waiting.append((index, frame, self._elapsed_s()))
                if len(self._waiting) > self._config.queue_frames:
                    self._lose(self._waiting.popleft(), "queue")
                self._changed.notify_all()

    def _perceive(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._waiting or self._captured_all)
                if self._stopping or not self._waiting:
                    return
                index, frame, arrived_s = self._waiting.popleft()
                if self._elapsed_s() - arrived_s > self._config.stale_s:
                    self._lose((index, frame, arrived_s), "stale")
                    continue
                self._encoding = 1
            perceived = self._perceiver.perceive(index, frame, arrived_s=arrived_s)
            with self._changed:
                self._encoding = 0
                if self._stopping:
                    return
                self._ready.append(perceived)
                self._changed.notify_all()

    def _lose(self, waiting: tuple[int, Frame, float], reason: DropReason) -> None:
        index, frame, _ = waiting
        self._lost.append((index, frame.time_s, reason))
        self._changed.notify_all()
