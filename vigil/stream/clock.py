"""Two clocks. The virtual one orders everything by video time and drops nothing; the wall one takes things as they come
and drops what is late.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from vigil.config import StreamConfig
from vigil.errors import ConfigError
from vigil.stream.inbox import Arrived, BaseInbox, Item, Mailbox, Speed
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
        self,
        mailbox: Mailbox,
        frames: Iterator[Frame] | None,
        perceiver: Perceiver | None,
        *,
        config: StreamConfig,
        speed: Speed,
    ) -> None:
        super().__init__(mailbox, frames, perceiver)
        if speed != "max" and not (isinstance(speed, int | float) and speed > 0):
            raise ConfigError(f'speed must be above 0 or "max", got {speed!r}.')
        self._speed = None if speed == "max" else float(speed)
        self._period_s = 1 / config.fps
        self._last_frame_s = 0.0
        self._now_s = 0.0
        self._shift_s = 0.0

    def now(self) -> Moment:
        """The video time that has been reached."""
        return Moment(self._now_s, self._elapsed_s())

    def poll(self, due_s: float | None) -> tuple[Item, Moment] | float | None:
        """What comes first by video time, or for how long nothing does; see `BaseInbox.poll`."""
        letter = self._open_letters()
        if letter is not None:
            return letter, self._typed_at()
        if not self._ready and not self._finished:
            return None
        item, at_s = self._first(due_s)
        if item == "end" and self._error is not None:
            raise self._error
        delay_s = self._delay_s(at_s)
        if delay_s > 0 and item != "end":
            return delay_s
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

    def _arrives_at(self, frame: Frame) -> float:
        return frame.time_s

    def _has_work(self) -> bool:
        return bool(self._waiting) and len(self._ready) + self._encoding < READ_AHEAD_FRAMES

    def _until_its_time(self, frame: Frame) -> None:
        self._changed.wait_for(lambda: self._stopping or len(self._waiting) < READ_AHEAD_FRAMES)


class WallInbox(BaseInbox):
    """The wall clock: frames come when they come. One thread captures, one perceives; late frames are dropped."""

    def __init__(
        self,
        mailbox: Mailbox,
        frames: Iterator[Frame] | None,
        perceiver: Perceiver | None,
        *,
        config: StreamConfig,
    ) -> None:
        super().__init__(mailbox, frames, perceiver)
        self._config = config
        self._lost: deque[tuple[Arrived, DropReason]] = deque()
        self._newest_s = 0.0

    def now(self) -> Moment:
        """The time since the first frame came; it stands still where that frame set the clock back."""
        self._newest_s = max(self._newest_s, self._elapsed_s())
        return Moment(self._newest_s, self._newest_s)

    def poll(self, due_s: float | None) -> tuple[Item, Moment] | float | None:
        """What has come, or for how long nothing will by itself; see `BaseInbox.poll`."""
        item = self._ready_now(due_s)
        if item is not None:
            return item, self.now()
        upcoming = [due_s] if due_s is not None else []
        if self._scheduled:
            upcoming.append(self._scheduled[0][0])
        return max(0.0, min(upcoming) - self._elapsed_s()) if upcoming else None

    def _ready_now(self, due_s: float | None) -> Item | None:
        letter = self._open_letters()
        if letter is not None:
            return letter
        if self._lost:
            return self._drop_run()
        now_s, over = self._elapsed_s(), self._finished and not self._ready
        if self._scheduled and (over or self._scheduled[0][0] <= now_s):  # before frames, of which there may be no end
            return heapq.heappop(self._scheduled)[2]
        if self._ready:
            perceived = self._ready.popleft()
            self._changed.notify_all()
            self.totals.lags_s.append(now_s - perceived.arrived_s)
            del self.totals.lags_s[:-LAGS_KEPT]
            return perceived
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
        while self._lost and self._lost[0][1] == run[0][1]:
            run.append(self._lost.popleft())
        self.totals.dropped += len(run)
        frames = [arrived for arrived, _ in run]
        indices = tuple(arrived.index for arrived in frames)
        return Dropped(indices, frames[0].frame.time_s, frames[-1].frame.time_s, run[0][1])

    def _until_its_time(self, frame: Frame) -> None:
        if self._num_arrived == 0:
            self._restart(frame.time_s)
        self._changed.wait_for(lambda: self._stopping, timeout=frame.time_s - self._elapsed_s())

    def arrive(self, frame: Frame) -> int | None:
        """Take a frame in; when too many wait, the oldest of them is lost."""
        with self._changed:
            index = super().arrive(frame)
            self.totals.received += index is not None
            if len(self._waiting) > self._config.queue_frames:
                self._lost.append((self._waiting.popleft(), "queue"))
            return index

    def _arrives_at(self, frame: Frame) -> float:
        return self._elapsed_s()

    def _has_work(self) -> bool:
        """Frames that have waited too long are lost here."""
        while self._waiting and self._elapsed_s() - self._waiting[0].at_s > self._config.stale_s:
            self._lost.append((self._waiting.popleft(), "stale"))
            self._changed.notify_all()
        return bool(self._waiting) and len(self._ready) + self._encoding < READ_AHEAD_FRAMES
