"""The child process of a live source: opens the address, decodes tolerantly, and sends what is due as raw pixels.

`python -m vigil.stream._live_child`, started by `vigil.stream._live_process`. The request comes on stdin, so that no
password is in the list of processes; stdin ends when the parent does, and then this process ends too, whatever blocks.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from vigil.errors import MediaError
from vigil.stream._confine import confine, renew_cpu_budget
from vigil.stream._live_pipe import MAX_NOTE, MAX_SIDE_PX, REPLY, Status, Why
from vigil.stream._media import MAX_BAD_PACKETS, Tolerant, Upright, video_stream

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from vigil.stream._reel import Rgb

LOOK_S = 0.25
"""Time between two signs of life, and between two looks at whether the picture still changes."""
SAME_BYTES = frozenset({"mjpeg"})
"""Codecs in which each picture stands alone: the noise of a camera changes every one, so equal bytes are a picture that
was taken once. Other codecs may repeat a picture truthfully."""


class Lost(Exception):
    """The source is gone, or was never there."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


class Stillness:
    """Tells from check sums whether the picture of a camera still changes. `stuck`: the one it had frozen on before."""

    def __init__(self, still_s: float, stuck: int | None) -> None:
        self._still_s = still_s
        self.newest = stuck
        """Check sum of the newest picture that was looked at."""
        self._looked_s, self._changed_s = -float("inf"), None if stuck is not None else -float("inf")

    def is_fresh(self, check: int, now_s: float) -> bool:
        """Look at a picture; False while it is still the one that the source had frozen on before.

        Raises:
            Lost: it has been the same for too long.
        """
        if self._changed_s is not None and now_s - self._looked_s < LOOK_S:
            return True
        self._looked_s = now_s
        if check != self.newest:
            self.newest, self._changed_s = check, now_s
        elif self._changed_s is not None and now_s - self._changed_s >= self._still_s:
            raise Lost("stuck")
        return self._changed_s is not None


class Looking(Tolerant):
    """Looks at each packet before it is decoded."""

    def __init__(self, container: InputContainer, stream: VideoStream, stillness: Stillness | None) -> None:
        super().__init__(container, stream)
        self._stillness = stillness

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        """The packets that bring something new."""
        for packet in super().packets():
            stillness = self._stillness if packet.size else None
            if stillness is None or stillness.is_fresh(zlib.crc32(packet), time.monotonic()):
                yield packet


class Watcher:
    """Watches one live source until it is lost."""

    def __init__(self, request: dict[str, Any], replies: BinaryIO) -> None:
        self._request = request
        self._replies = replies
        self._period_s = 1 / request["fps"]
        self._is_open = False
        self._next_s = self._told_s = 0.0
        self._tolerant: Looking | None = None
        self._stillness: Stillness | None = None
        self._upright = Upright()

    def run(self) -> None:
        """Say what becomes of the source; the last word is `Status.END` or `Status.LOST`."""
        import av

        try:
            self._watch()
        except Lost as lost:
            self._say(Status.LOST, note=lost.why)
        except MediaError as error:
            self._say(Status.LOST, note="too_large" if "too large" in str(error) else "not_video")
        except av.FFmpegError as error:
            self._say(Status.LOST, note=_why(error, is_open=self._is_open))
        except (ValueError, MemoryError):
            self._say(Status.LOST, note="undecodable")
        else:
            self._say(Status.END)

    def _watch(self) -> None:
        import av

        want = self._request
        timeout = (want["open_s"], want["read_s"])
        with av.open(want["url"], mode="r", format=want["format"], timeout=timeout, options=want["options"]) as source:
            stream = video_stream(source, "the source")
            stream.thread_type = "SLICE"  # threads over frames would hold each picture back by several
            length_s = source.duration / 1e6 if source.duration and source.size > 0 else 0.0
            if stream.codec_context.name in SAME_BYTES and want["still_s"] is not None:
                self._stillness = Stillness(want["still_s"], want["stuck"])
            self._tolerant = Looking(source, stream, self._stillness)
            began_s = time.monotonic() - (source.start_time or 0) / 1e6
            for frame in self._tolerant.frames():
                if length_s:
                    self._wait_for(began_s + (frame.time or 0.0))
                if not self._is_open:
                    self._is_open = True
                    self._say(Status.OPENED, frame.width, frame.height, length_s, note=stream.codec_context.name)
                self._take(frame)
            if self._tolerant.num_bad_in_a_row > MAX_BAD_PACKETS:
                raise Lost("undecodable")
        if not length_s:
            raise Lost("closed")

    def _take(self, frame: av.VideoFrame) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            is_late = now_s - self._next_s > self._period_s / 2
            self._next_s = (now_s if is_late else self._next_s) + self._period_s
            self._send(now_s, self._upright(frame))
        elif now_s - self._told_s >= LOOK_S:
            self._say(Status.ALIVE, time_s=now_s)

    def _wait_for(self, due_s: float) -> None:
        """A file is shown at its own pace."""
        while (delay_s := due_s - time.monotonic()) > 0:
            time.sleep(min(delay_s, LOOK_S))
            if self._is_open:
                self._say(Status.ALIVE, time_s=time.monotonic())

    def _send(self, now_s: float, rgb_HWC: Rgb) -> None:
        height, width, _ = rgb_HWC.shape
        if max(height, width) > MAX_SIDE_PX:
            raise Lost("too_large")
        self._say(Status.FRAME, width, height, now_s, body=rgb_HWC.tobytes())

    def _say(
        self,
        status: Status,
        width: int = 0,
        height: int = 0,
        time_s: float = 0.0,
        *,
        note: str = "",
        body: bytes = b"",
    ) -> None:
        renew_cpu_budget()
        self._told_s = time.monotonic()
        body = body or note.encode()[:MAX_NOTE]
        num_bad = 0 if self._tolerant is None else self._tolerant.num_bad
        check = None if self._stillness is None else self._stillness.newest
        self._replies.write(REPLY.pack(status, width, height, time_s, num_bad, check or 0, len(body)))
        self._replies.write(body)
        self._replies.flush()


def _why(error: av.FFmpegError, *, is_open: bool) -> Why:
    """One word for an error of the library; its text holds the address."""
    import av

    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Why], ...] = (
        ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError), "unauthorized"),
        ((av.error.HTTPNotFoundError, FileNotFoundError), "not_found"),
        (PermissionError, "denied"),
        ((av.error.ExitError, TimeoutError), "frozen" if is_open else "timeout"),
        (av.error.InvalidDataError, "undecodable" if is_open else "not_video"),
    )
    for kind, why in kinds:
        if isinstance(error, kind):
            return why
    if error.errno == 16:  # EBUSY: another program has the device
        return "busy"
    return "closed" if is_open else "refused"


def main() -> None:
    """From here on stdout belongs to the pipe alone."""
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    confine(network=True)
    renew_cpu_budget()
    try:
        Watcher(request, replies).run()
    except OSError:  # nobody reads any more
        os._exit(0)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
