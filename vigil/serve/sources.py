"""One source of frames: its queue, its credit, and where every frame went.

Always received = perceived + dropped + pending.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from vigil.serve.children import Rgb
from vigil.serve.events import event
from vigil.serve.frames import ClientFrame
from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal
from vigil.types import DropReason


@dataclass(frozen=True, slots=True)
class Queued:
    """A frame that waits for the model."""

    source: int
    frame_no: int
    ts: float
    arrived_s: float
    """On the session's clock."""
    image: bytes | Rgb
    """Encoded from a client, decoded from a camera or a file."""


@dataclass(slots=True)
class _Run:
    """Frames lost one after the other for one reason."""

    reason: DropReason
    first_ts: float
    last_ts: float
    count: int
    since_s: float


@dataclass(slots=True)
class Source:
    """Everything that is counted of one source. Knows no clock: the time comes with each call."""

    number: int
    kind: str
    limits: Limits
    name: str | None = None
    fps: float | None = None
    stream_epoch: int = 1
    received: int = 0
    """Also the number of the newest frame: they come without gaps."""
    perceived: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    newest_ts: float = 0.0
    is_ended: bool = False
    queue: deque[Queued] = field(default_factory=deque)
    pinned: set[int] = field(default_factory=set)
    """Frames that a question is about: neither overflow nor age drops them."""
    losses: list[dict[str, Any]] = field(default_factory=list)
    """Finished runs of drops, as events to be logged."""
    _run: _Run | None = None

    has_room: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing waits, for readers that are in no hurry."""

    def __post_init__(self) -> None:
        self.has_room.set()

    @property
    def pending(self) -> int:
        """Received, but neither perceived nor dropped."""
        return self.received - self.perceived - sum(self.dropped.values())

    @property
    def up_to(self) -> int:
        """Highest frame number that the client may send: a total, so that a lost or repeated one does no harm."""
        return self.received + max(0, self.limits.queue_frames - len(self.queue))

    def take(self, frame: ClientFrame, now_s: float, *, in_rate: bool) -> bool:
        """Take a frame of a client in; False if it had come before.

        Raises:
            Refusal: `bad_sequence` is not counted; `bad_timestamp`, `too_large`, `over_credit` and `rate_limited` are
                counted as dropped.
        """
        if frame.frame_no <= self.received:
            return False
        if frame.frame_no > self.received + 1:
            raise Refusal("bad_sequence", expected=self.received + 1)
        is_over = self.up_to == self.received
        self.received += 1
        if frame.ts < self.newest_ts:
            self.drop("bad_timestamp", frame.ts, now_s)
            raise Refusal("bad_timestamp")
        self.newest_ts = frame.ts
        if len(frame.image) > self.limits.frame_bytes:
            self.drop("too_large", frame.ts, now_s)
            raise Refusal("too_large")
        if is_over:
            self.drop("over_credit", frame.ts, now_s)
            raise Refusal("over_credit")
        if not in_rate:
            self.drop("rate", frame.ts, now_s)
            raise Refusal("rate_limited")
        self.queue.append(Queued(self.number, frame.frame_no, frame.ts, now_s, frame.image))
        return True

    def feed(self, ts: float, image: bytes | Rgb, now_s: float) -> bool:
        """Take a frame in, whatever waits: a full queue gives up its oldest frame without a question.

        Returns:
            whether it did.
        """
        self.received += 1
        self.newest_ts = ts
        self.queue.append(Queued(self.number, self.received, ts, now_s, image))
        self.has_room.clear()
        loose = [queued for queued in self.queue if queued.frame_no not in self.pinned]
        if len(self.queue) <= self.limits.queue_frames or not loose:
            return False
        self.queue.remove(loose[0])
        self.drop("queue", loose[0].ts, now_s)
        return True

    def leave(self, now_s: float) -> Queued | None:
        """The next frame to be perceived; those that are too old go first."""
        while self.queue:
            queued = self.queue.popleft()
            if not self.queue:
                self.has_room.set()
            if now_s - queued.arrived_s <= self.limits.stale_s or queued.frame_no in self.pinned:
                return queued
            self.drop("stale", queued.ts, now_s)
        return None

    def saw(self, frame_no: int) -> None:
        """A frame became readable."""
        self.perceived += 1
        self.pinned.discard(frame_no)
        self.end_run()

    def empty(self, reason: DropReason, now_s: float) -> None:
        """Give up what waits."""
        while self.queue:
            self.drop(reason, self.queue.popleft().ts, now_s)

    def drop(self, reason: DropReason, ts: float, now_s: float, *, count: int = 1) -> None:
        """Count frames that will never be perceived."""
        if self._run is not None and self._run.reason != reason:
            self.end_run()
        if self._run is None:
            self._run = _Run(reason, ts, ts, 0, now_s)
        self._run.count += count
        self._run.first_ts, self._run.last_ts = min(self._run.first_ts, ts), max(self._run.last_ts, ts)
        self.dropped[reason] += count

    def end_run(self, *, older_than_s: float | None = None) -> None:
        """Report the run of drops that is going on."""
        run = self._run
        if run is None or (older_than_s is not None and run.since_s > older_than_s):
            return
        self._run = None
        self.losses.append(
            event(
                "input.frames.dropped",
                source=self.number,
                first_ts=run.first_ts,
                last_ts=run.last_ts,
                count=run.count,
                reason=run.reason,
            )
        )

    def opened(self, *, width: int = 0, height: int = 0, codec: str = "") -> dict[str, Any]:
        """The event that this source is open; what is not known yet is null."""
        return event(
            "source.opened",
            source=self.number,
            stream_epoch=self.stream_epoch,
            kind=self.kind,
            name=self.name,
            width=width or None,
            height=height or None,
            fps=self.fps,
            codec=codec or None,
        )

    def total(self) -> dict[str, Any]:
        """The account of this source."""
        return event(
            "input.frames.total",
            source=self.number,
            received=self.received,
            perceived=self.perceived,
            dropped=dict(self.dropped),
            pending=self.pending,
            newest_ts=self.newest_ts,
        )
