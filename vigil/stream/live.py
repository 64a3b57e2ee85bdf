"""Live sources: cameras, screens and streams that freeze, break and come back, read by a child process.

    with open_source("rtsp://user:password@camera/stream", fps=1.0) as source:
        source.on_notice = print
        for frame in source:
            print(frame.time_s, frame.image.shape)

States: opening -> live -> lost -> waiting -> opening ..., until it is closed or has been away for too long. Times of
frames are those of arrival, so they go on over every loss.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from typing import Self

from vigil.errors import ConfigError, MediaError, SourceError, SourceLost
from vigil.stream._live_pipe import Status, Why
from vigil.stream._live_process import LiveProcess, Reply
from vigil.stream.address import Address
from vigil.stream.notices import Found, Notice, Outage, Return, Skipped
from vigil.stream.source import Source
from vigil.types import DropReason, Frame, LostCause

BACKOFF_S, BACKOFF_MAX_S, HEALTHY_S = 0.5, 30.0, 60.0
DEATHS, DEATHS_WINDOW_S = 5, 60.0
"""A decoder child that dies so often in so short a time is not started again."""
GRACE_S = 0.5
"""What the parent waits longer than the child before it ends it."""
CAUSES: dict[Why, LostCause] = {
    "closed": "closed",
    "frozen": "frozen",
    "stuck": "frozen",
    "silent": "frozen",
    "undecodable": "decoder",
    "nonsense": "decoder",
    "died": "decoder",
}
"""What a reason is called in events; any other one is "refused"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveConfig:
    """How patient a live source is. Change a copy with `dataclasses.replace`."""

    open_s: float = 5.0
    """To connect."""
    read_s: float = 2.0
    """Between two pieces of data from the network."""
    first_s: float = 10.0
    """For the first picture once it is connected."""
    freeze_s: float = 2.0
    """Without a picture for this long, a source is frozen."""
    still_s: float | None = 2.0
    """A motion-JPEG camera that sends the same bytes for this long is stuck; None: a still picture is no fault."""
    stale_s: float = 2.0
    """A frame that nobody has taken for this long is dropped."""
    patience_s: float | None = 300.0
    """A source that stays away for longer is lost for good; None: never."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be above 0 and finite, got {value}.")


class Backoff:
    """How long to wait before the next attempt: longer each time, and drawn, so that many do not come back at once."""

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self.attempt = 0

    def next_s(self, healthy_s: float) -> float:
        """Seconds until the next attempt, after the source was healthy for `healthy_s`."""
        if healthy_s > HEALTHY_S:
            self.attempt = 0
        longest_s = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** min(self.attempt, 16))
        self.attempt += 1
        return round(self._draw(0.0, longest_s), 3)


class LiveSource(Source):
    """A live source. `on_notice` is called in the thread that reads the frames."""

    is_live = True

    def __init__(
        self, address: Address, *, fps: float, config: LiveConfig | None = None, backoff: Backoff | None = None
    ) -> None:
        """Nothing is opened before `open`, or before the first frame is asked for."""
        self.name = address.shown
        self.fps = fps
        self.duration_s = None
        self.warnings = []
        self.on_notice: Callable[[Notice], None] = lambda notice: None
        self._address = address
        self._config = config or LiveConfig()
        self._backoff = backoff or Backoff()
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        """Held by whoever runs `_frames`."""
        self._is_closed = False
        self._process: LiveProcess | None = None
        self._num_bad = 0
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._stuck: int | None = None
        """Check sum of the picture that the source has frozen on."""
        self._shape: tuple[int, ...] | None = None
        self._epoch = 0
        self._zero_s = self._opened_s = self._seen_s = time.monotonic()
        """On the monotonic clock: time 0 of the frames, the newest opening, the newest sign of life."""
        self._frames = self._watched()

    def open(self) -> Self:
        """Wait for the first picture.

        Raises:
            SourceError: it cannot be reached. MediaError: it is reached, but sends nothing that can be decoded.
        """
        try:
            reply = self._connect()
        except BaseException:
            self.close()
            raise
        if reply is not None and reply.status is Status.LOST:
            self.close()
            raise _not_opened(self.name, self._address, reply.why, self._config)
        return self

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come; time 0 is now.

        Raises:
            SourceLost (while it is read): it is lost for good.
        """
        self._zero_s = time.monotonic()
        if self._process is not None:
            self._process.keep_newest()
        return self._taken()

    def _taken(self) -> Iterator[Frame]:
        """The frames, one by one; whoever closes the source takes its turn between two of them."""
        while True:
            with self._turn:
                frame = next(self._frames, None)
            if frame is None:
                return
            yield frame

    def close(self) -> None:
        """Give no more frames, and end the child; from any thread, and as often as you like."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if not self._turn.acquire(blocking=False):  # another thread is waiting for a frame; it wakes and ends the child
            return
        try:
            self._frames.close()
            self._end_process()
        finally:
            self._turn.release()

    # ---- the states ------------------------------------------------------------------------------------------

    def _watched(self) -> Generator[Frame, None, None]:
        try:
            while not self._is_closed:
                lost = None if self._process is not None else self._connect()
                if lost is None or lost.status is Status.OPENED:
                    lost = yield from self._live()
                if lost is None or lost.status is Status.END:
                    return
                self._wait(lost)
        finally:
            self._end_process()
            if self._num_bad:
                self.warnings.append(f"{self.name} is damaged: {self._num_bad} of its packets could not be decoded.")

    def _connect(self) -> Reply | None:
        """Start a child and wait for the first picture; None: closed meanwhile."""
        config = self._config
        still_s = None if self._address.may_stand_still else config.still_s
        request = {"fps": self.fps, "open_s": config.open_s, "read_s": config.read_s}
        self._process = LiveProcess(self._address, {**request, "still_s": still_s, "stuck": self._stuck}, self._changed)
        reply = self._next(config.open_s + config.first_s)
        if reply is not None and reply.status is Status.OPENED:
            self._opened(reply)
        elif reply is not None and reply.why == "silent" and self._stuck is None:
            return Reply(Status.LOST, 0, 0, 0.0, why="timeout")
        return reply

    def _opened(self, reply: Reply) -> None:
        now_s = time.monotonic()
        self.duration_s = reply.time_s or None
        self._epoch += 1
        if self._epoch == 1:
            self.on_notice(Found(reply.width, reply.height, reply.note))
        else:
            self.on_notice(Return(self._epoch, "reconnect", round(now_s - self._seen_s, 3)))
        self._opened_s = self._seen_s = now_s
        self._stuck = self._shape = None

    def _live(self) -> Generator[Frame, None, Reply | None]:
        """Yield frames until there are none; return the last word, None where it is that of the caller."""
        while (reply := self._next(self._config.freeze_s + GRACE_S)) is not None:
            if reply.status not in (Status.FRAME, Status.ALIVE):
                return reply
            self._seen_s = time.monotonic()
            if reply.image is None:
                continue
            time_s = max(0.0, reply.time_s - self._zero_s)
            if self._seen_s - reply.time_s > self._config.stale_s:
                self._skip([time_s], "stale")
                continue
            if self._shape not in (None, reply.image.shape):
                self._epoch += 1
                self.on_notice(Return(self._epoch, "resolution", 0.0))
            self._shape = reply.image.shape
            yield Frame(reply.image, time_s)
        return None

    def _wait(self, lost: Reply) -> None:
        """Say that the source is lost, and wait before the next attempt.

        Raises:
            SourceLost: there will be none.
        """
        self._end_process()
        now_s = time.monotonic()
        if lost.why == "stuck":
            self._stuck = lost.check
        if lost.why in ("died", "nonsense"):
            self._deaths.append(now_s)
        retry_in_s = self._backoff.next_s(self._seen_s - self._opened_s)
        self.on_notice(Outage(CAUSES.get(lost.why, "refused"), self._backoff.attempt, retry_in_s))
        if len(self._deaths) == DEATHS and now_s - self._deaths[0] < DEATHS_WINDOW_S:
            raise SourceLost(f"the decoder of {self.name} died {DEATHS} times in a row. The stream harms it; stop it.")
        if self.duration_s is not None:
            raise SourceLost(f"{self.name} broke off before the end of its file. Download it, and watch the file.")
        away_s, patience_s = now_s - self._seen_s, self._config.patience_s
        if patience_s is not None and away_s + retry_in_s > patience_s:
            raise SourceLost(
                f"{self.name} has been away for {away_s:.0f} s ({_WORDS.get(lost.why, lost.why)}). "
                "Check it, and start again; --patience is how long it may be away."
            )
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, timeout=retry_in_s)

    # ---- the child -------------------------------------------------------------------------------------------

    def _next(self, within_s: float) -> Reply | None:
        """What the child says next; None: closed meanwhile. A child that says nothing in time is "silent"."""
        assert self._process is not None
        with self._changed:
            deadline = time.monotonic() + within_s
            while True:
                reply, replaced = self._process.take(), self._process.replaced[:]
                self._process.replaced.clear()
                if self._is_closed or reply is not None or replaced:
                    break
                late_s = time.monotonic() - deadline
                if late_s > within_s:  # it was this process that stood still
                    deadline, late_s = time.monotonic() + within_s, -within_s
                if late_s >= 0:
                    return Reply(Status.LOST, 0, 0, 0.0, why="silent")
                self._changed.wait(-late_s)
        if self._is_closed:
            return None
        if replaced:
            self._skip([max(0.0, at_s - self._zero_s) for at_s in replaced], "queue")
        return reply if reply is not None else self._next(within_s)

    def _skip(self, times_s: list[float], reason: DropReason) -> None:
        self.on_notice(Skipped(times_s[0], times_s[-1], len(times_s), reason))

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()
            self._num_bad += process.num_bad


_WORDS: dict[Why, str] = {
    "frozen": "no pictures",
    "silent": "no pictures",
    "stuck": "the same picture all the time",
    "timeout": "no answer in time",
    "unauthorized": "user or password refused",
    "not_found": "no such stream",
    "denied": "permission denied",
    "not_video": "no video",
    "died": "its decoder died",
}


def _not_opened(name: str, address: Address, why: Why, config: LiveConfig) -> SourceError | MediaError:
    """The error for a source that could not be opened for the first time."""
    is_device = address.format is not None
    match why:
        case "unauthorized":
            text = f"{name} refuses the user or the password, or wants one. Write {address.kind}://user:password@host."
        case "not_found" if is_device:
            text = f"{name} does not exist ({address.url}). Connect it, or choose another number."
        case "not_found":
            text = f"{name} has no such stream. Check the path of the address."
        case "denied":
            text = f"{name} may not be read: permission denied. Allow it in the system; on Linux, join the group video."
        case "busy":
            text = f"{name} is in use by another program. Close that one first."
        case "timeout" | "silent" | "frozen":
            text = f"{name} sent no picture within {config.open_s + config.first_s:g} s. Check that it is on."
        case "not_video":
            return MediaError(f"{name} sends no video that can be read. Give the address of the stream, not of a page.")
        case "too_large":
            return MediaError(f"{name} sends pictures that are too large, over 4096x4096. Choose a smaller stream.")
        case "undecodable":
            return MediaError(f"{name} sends nothing that can be decoded. Set it to H.264 or motion JPEG.")
        case _:
            text = f"{name} cannot be opened: {_WORDS.get(why, 'it refused, or did not answer')}. Check that it is on."
    return SourceError(text)
