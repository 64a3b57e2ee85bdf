"""The frames of one source on their way to the server: credit, numbers, and what is left out. Knows no socket.

The server has taken in all frames but the newest few: those are kept, and after a lost connection the ones that did not
arrive are sent again under their own numbers, so that none is lost and none is seen twice.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import Any

HEADER = struct.Struct(">BBHQq")
"""kind, flags, source, frame_no, ts_us; big-endian."""
KIND_FRAME = 0x01


@dataclass(eq=False, slots=True)
class Picture:
    """An encoded image on its way."""

    ts: float
    image: bytes
    number: int = 0
    """1, 2, 3, ... once it has gone out."""
    is_left_out: bool = False

    @property
    def is_settled(self) -> bool:
        """It has gone out, or never will."""
        return self.number > 0 or self.is_left_out


class Pace:
    """A rate limit kept on this side, so that the server's is never met."""

    def __init__(self, per_s: float, burst: int) -> None:
        self.per_s = per_s
        self._burst = burst
        self._level = float(burst)
        self._at: float | None = None

    def wait_s(self, now: float) -> float:
        """Seconds until the next one may go; 0 if it may go now."""
        level = self._refilled(now)
        return 0.0 if level >= 1 else (1 - level) / self.per_s

    def take(self, now: float) -> None:
        """Use one."""
        self._level, self._at = self._refilled(now) - 1, now

    def _refilled(self, now: float) -> float:
        since = 0.0 if self._at is None else now - self._at
        return min(float(self._burst), self._level + since * self.per_s)


class Lane:
    """One source. `skipped` counts the frames that were left out for want of credit."""

    def __init__(self, source: int) -> None:
        self.source = source
        self.sent = 0
        """Number of the newest frame that has gone out."""
        self.credit = 0
        """Number of the newest frame that may go out; 0 while the source is not open."""
        self.newest_ts = 0.0
        self.is_ended = False
        self.skipped = 0
        self._held: Picture | None = None
        """The newest frame, while there is no credit for it."""
        self._run: tuple[float, float, int] | None = None
        """First and last time, and number, of the frames left out since the last report."""
        self._kept: deque[Picture] = deque()
        self._again: deque[Picture] = deque()

    # ---- what comes from this side ---------------------------------------------------------------------------

    def hold(self, picture: Picture) -> None:
        """Take a frame in; one that still waits is left out for it."""
        self.leave_out()
        self._held = picture
        self.newest_ts = picture.ts

    def leave_out(self) -> None:
        """Give up the frame that waits."""
        if self._held is None:
            return
        self._held.is_left_out = True
        ts, self._held = self._held.ts, None
        first, _, count = self._run or (ts, ts, 0)
        self._run = (first, ts, count + 1)
        self.skipped += 1

    def report(self) -> dict[str, Any] | None:
        """What `input.skipped` has to say, once."""
        run, self._run = self._run, None
        if run is None:
            return None
        return {"source": self.source, "first_ts": run[0], "last_ts": run[1], "count": run[2]}

    @property
    def has_frame(self) -> bool:
        """A frame waits to go."""
        return bool(self._again) or self._held is not None

    @property
    def may_go(self) -> bool:
        """A frame waits, and the server takes it."""
        return bool(self._again) or (self._held is not None and self.sent < self.credit)

    def next(self, keep: int) -> bytes:
        """The next frame as a binary message. `keep`: so many may be on their way at most."""
        if self._again:
            return self._spelled(self._again.popleft())
        assert self._held is not None
        picture, self._held = self._held, None
        self.sent += 1
        picture.number = self.sent
        self._kept.append(picture)
        while len(self._kept) > keep:
            self._kept.popleft()
        return self._spelled(picture)

    # ---- what the server says --------------------------------------------------------------------------------

    def opened(self, room: int) -> None:
        """The source is open, and the server takes so many frames unasked."""
        if self.credit == 0:
            self.credit, self.is_ended = self.sent + room, False

    def ended(self) -> None:
        """The source takes no more frames."""
        self.credit, self.is_ended = 0, True
        self._again.clear()
        self.leave_out()

    def resumed(self, received: int, credit: int) -> None:
        """A new connection: what the server has not got goes out again."""
        lost = [picture for picture in self._kept if picture.number > received]
        for number, picture in enumerate(lost, start=received + 1):
            picture.number = number
        self._kept, self._again = deque(lost), deque(lost)
        self.sent, self.credit = received + len(lost), credit

    def _spelled(self, picture: Picture) -> bytes:
        header = HEADER.pack(KIND_FRAME, 0, self.source, picture.number, round(picture.ts * 1e6))
        return header + picture.image
