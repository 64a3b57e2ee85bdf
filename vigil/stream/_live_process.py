"""The parent's side of a live source's decoder child: what it says is checked, kept short, and waited for with a limit.

A thread empties the pipe, so that the child never waits for whoever uses the pictures: of those that nobody has taken
only the newest few stay.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np

from vigil.stream._confine import child_command, child_environment
from vigil.stream._live_pipe import MAX_NOTE, MAX_SIDE_PX, REPLY, WHYS, Status, Why
from vigil.stream._media import MAX_PIXELS
from vigil.stream._reel import Rgb
from vigil.stream.address import Address

KEPT_FRAMES = 4
"""Frames that nobody has taken yet; a fifth one takes the place of the oldest."""
END_S = 2.0
"""How long the end of a child is waited for."""


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """One message of a child."""

    status: Status
    width: int
    height: int
    time_s: float
    """Of a frame, its arrival on the monotonic clock; of an opened file, its length."""
    note: str = ""
    """Of an opened source, its codec."""
    check: int = 0
    image: Rgb | None = None
    why: Why = "died"


class LiveProcess:
    """One child, from its start to its end. All methods may be called from any thread."""

    def __init__(self, address: Address, request: dict[str, Any], changed: threading.Condition) -> None:
        """Start the child. `changed` is notified for each message and at the end."""
        self.num_bad = 0
        """Damaged packets so far."""
        self.replaced: list[float] = []
        """Times of the frames that a newer one took the place of."""
        self._changed = changed
        self._replies: deque[Reply] = deque()
        self._is_over = False
        more = ("DISPLAY", "XAUTHORITY", "HOME") if address.kind == "screen" else ()
        self._process = subprocess.Popen(
            child_command("vigil.stream._live_child"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(*more),
        )
        self._reader = threading.Thread(target=self._read, name="vigil-live", daemon=True)
        self._reader.start()
        with suppress(OSError):  # it died at once: the reader says so
            assert self._process.stdin is not None
            opening = {"url": address.url, "format": address.format, "options": address.options}
            self._process.stdin.write(json.dumps({**opening, **request}).encode() + b"\n")
            self._process.stdin.flush()

    def take(self) -> Reply | None:
        """The oldest message that waits; the last one is of status LOST or END. The condition must be held."""
        if self._replies:
            return self._replies.popleft()
        return Reply(Status.LOST, 0, 0, 0.0) if self._is_over else None

    def keep_newest(self) -> None:
        """Forget all frames but the newest: nobody has been watching so far."""
        with self._changed:
            frames = [reply for reply in self._replies if reply.status is Status.FRAME]
            for frame in frames[:-1]:
                self._replies.remove(frame)
            self.replaced.clear()

    def end(self) -> None:
        """Kill the child and wait until it is gone."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps even a killed process for a while
            self._process.wait(timeout=END_S)
        self._reader.join(timeout=END_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while (reply := self._next(cast("BinaryIO", self._process.stdout))) is not None:
                self._put(reply)
        except ValueError:
            self._put(Reply(Status.LOST, 0, 0, 0.0, why="nonsense"))
            self._process.kill()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _next(self, pipe: BinaryIO) -> Reply | None:
        """Read one message; its lengths are checked before its body is read.

        Raises:
            ValueError: it makes no sense.
        """
        head = pipe.read(REPLY.size)
        if len(head) < REPLY.size:
            return None
        code, width, height, time_s, self.num_bad, check, length = REPLY.unpack(head)
        status = Status(code)
        if status is Status.FRAME:
            if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX and width * height <= MAX_PIXELS):
                raise ValueError("sides out of range")
            if length != width * height * 3:
                raise ValueError("length does not fit")
        elif length > MAX_NOTE:
            raise ValueError("note too long")
        body = pipe.read(length)
        if len(body) < length:
            return None
        if status is Status.FRAME:
            image_HWC = np.frombuffer(body, np.uint8).reshape(height, width, 3)
            return Reply(status, width, height, time_s, image=image_HWC)
        note = body.decode("ascii", "replace")
        if status is Status.LOST and note not in WHYS:
            raise ValueError("no such reason")
        why = cast("Why", note) if status is Status.LOST else "died"
        return Reply(status, width, height, time_s, note, check, why=why)

    def _put(self, reply: Reply) -> None:
        with self._changed:
            self._replies.append(reply)
            waiting = [r for r in self._replies if r.status is Status.FRAME]
            if len(waiting) > KEPT_FRAMES:
                self._replies.remove(waiting[0])
                self.replaced.append(waiting[0].time_s)
            elif len(self._replies) > 2 * KEPT_FRAMES:  # signs of life that nobody has looked at
                stale = next((r for r in self._replies if r.status is Status.ALIVE), None)
                if stale is not None:
                    self._replies.remove(stale)
            self._changed.notify_all()
