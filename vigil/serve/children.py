"""The server's side of the decoder child: given deadlines, never trusted, replaced when it dies."""

from __future__ import annotations

import asyncio
import os
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vigil.serve.limits import Limits
from vigil.serve.pipe import MAX_CODEC, REPLY, REQUEST, Op, Status
from vigil.serve.refusal import Refusal
from vigil.stream._confine import child_command, child_environment

PIPE_BYTES = 1 << 20
RENEW_S = 6 * 3600.0
RENEW_BYTES = 200 << 20
RESTARTS = 5
RESTARTS_WINDOW_S = 60.0

Rgb = NDArray[np.uint8]


class DecoderGone(Exception):
    """The child died, did not answer in time, or answered nonsense; it is started again at the next request."""


class DecoderHopeless(Exception):
    """It died too often in too short a time."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of a source once it is open; 0 and "" where it is not."""

    width: int
    height: int
    duration_s: float
    """Of a file; of a frame, its time."""
    codec: str


class Decoder:
    """One child process. One request at a time."""

    def __init__(
        self,
        limits: Limits,
        *,
        wanted_px: int,
        on_restart: Callable[[str], None] = lambda cause: None,
    ) -> None:
        self._limits = limits
        self._wanted_px = wanted_px
        self._on_restart = on_restart
        self._process: Process | None = None
        self._deaths: deque[float] = deque(maxlen=RESTARTS)
        self._started = 0.0
        self._start_bytes = 0
        self._closed = False
        self._starting = asyncio.Lock()

    async def warm(self) -> None:
        """Start the child before it is needed."""
        with suppress(DecoderGone, DecoderHopeless):
            await self._running()

    async def image(self, data: bytes) -> Rgb:
        """Decode one image. Shapes: -> [H, W, 3].

        Raises:
            Refusal: `bad_image` or `too_large`. DecoderGone, DecoderHopeless: see there.
        """
        await self._renew()
        status, _, rgb = await self._ask(Op.IMAGE, data)
        if status is not Status.FRAME or rgb is None:
            raise Refusal("too_large" if status is Status.TOO_LARGE else "bad_image")
        return rgb

    async def open_file(self, path: Path, *, fps: float, start_s: float = 0.0) -> Opened:
        """Open an uploaded file. Raises: as `image`."""
        status, opened, _ = await self._ask(Op.FILE, os.fsencode(path), fps=fps, start_s=start_s)
        if status is not Status.OPENED:
            raise Refusal("too_large" if status is Status.TOO_LARGE else "bad_image")
        return opened

    async def next_frame(self) -> tuple[float, Rgb] | None:
        """The next frame of the file; None at its end. Raises: as `image`."""
        status, opened, rgb = await self._ask(Op.NEXT, b"")
        if status is Status.END:
            return None
        if rgb is None:
            raise Refusal("too_large" if status is Status.TOO_LARGE else "bad_image")
        return opened.duration_s, rgb

    async def close(self) -> None:
        """End the child."""
        self._closed = True
        await self._end()

    # ---- inside ----------------------------------------------------------------------------------------------

    async def _ask(
        self, op: Op, body: bytes, *, fps: float = 0.0, start_s: float = 0.0
    ) -> tuple[Status, Opened, Rgb | None]:
        process = await self._running()
        assert process.stdin is not None
        with suppress(ConnectionError):
            process.stdin.write(REQUEST.pack(op, len(body), fps, start_s) + body)
        return await self._within(self._limits.decode_s, self._read(process))

    async def _within(
        self, within_s: float, reading: asyncio.Future[tuple[Status, Opened, Rgb | None]] | object
    ) -> tuple[Status, Opened, Rgb | None]:
        try:
            async with asyncio.timeout(within_s):
                return await reading  # type: ignore[misc, no-any-return]
        except TimeoutError:
            cause = "deadline"
        except (asyncio.IncompleteReadError, ConnectionError):
            cause = "died"
        except ValueError:
            cause = "nonsense"
        except asyncio.CancelledError:
            await self._end()
            raise
        self._deaths.append(time.monotonic())
        self._on_restart(cause)
        await self._end()
        raise DecoderGone

    async def _read(self, process: Process) -> tuple[Status, Opened, Rgb | None]:
        """Read one answer; its lengths are checked before its body is read."""
        pipe = process.stdout
        assert pipe is not None
        code, width, height, number, length = REPLY.unpack(await pipe.readexactly(REPLY.size))
        status = Status(code)
        if status is Status.FRAME:
            limits = self._limits
            if not (0 < width <= limits.max_side_px and 0 < height <= limits.max_side_px):
                raise ValueError("sides out of range")
            if width * height > limits.max_pixels or length != width * height * 3:
                raise ValueError("length does not fit")
            body = await pipe.readexactly(length)
            return status, Opened(width, height, number, ""), np.frombuffer(body, np.uint8).reshape(height, width, 3)
        if length > MAX_CODEC:
            raise ValueError("too long")
        codec = (await pipe.readexactly(length)).decode("ascii", "replace")
        return status, Opened(width, height, number, codec), None

    async def _running(self) -> Process:
        async with self._starting:
            return await self._started_process()

    async def _started_process(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._closed:
            raise DecoderGone
        if len(self._deaths) == RESTARTS and time.monotonic() - self._deaths[0] < RESTARTS_WINDOW_S:
            raise DecoderHopeless
        self._process = await asyncio.create_subprocess_exec(
            *child_command("vigil.serve.decoder", str(self._wanted_px)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            limit=PIPE_BYTES,
            env=child_environment(),
        )
        self._started, self._start_bytes = time.monotonic(), 0
        return self._process

    async def _renew(self) -> None:
        """Replace a child that is old or has grown."""
        if self._process is None or self._process.returncode is not None:
            return
        resident = resident_bytes(self._process.pid)
        self._start_bytes = self._start_bytes or resident
        if time.monotonic() - self._started > RENEW_S or resident > self._start_bytes + RENEW_BYTES:
            self._on_restart("renewed")
            await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
