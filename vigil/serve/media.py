"""Sources that the server reads itself: cameras set up by the operator, and uploaded files."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vigil.errors import SourceError
from vigil.serve.children import Decoder, DecoderGone, DecoderHopeless
from vigil.serve.events import event
from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal
from vigil.serve.sources import Source
from vigil.stream.address import Address
from vigil.stream.live import LiveConfig, LiveSource
from vigil.stream.notices import Found, Notice, Outage, Return, Skipped
from vigil.types import Frame

if TYPE_CHECKING:
    from vigil.serve.live import Live

AHEAD = 4
"""Frames and notices of a camera that may wait for the event loop."""
JOIN_S = 5.0


class Reader(Protocol):
    """Brings the frames of one source into its queue."""

    is_finite: bool

    async def run(self, source: Source, live: Live, look: Callable[[], None]) -> None:
        """Until the source is at its end, or the task is cancelled."""
        ...


class Upload:
    """Reads a file at its own pace. Nothing is dropped: the next frame is read when there is room for it."""

    is_finite = True

    def __init__(self, path: Path, decoder: Decoder, *, fps: float, start_s: float, pace: float) -> None:
        self._path = path
        self._decoder = decoder
        self._fps = fps
        self._start_s = start_s
        self._pace = pace

    async def run(self, source: Source, live: Live, look: Callable[[], None]) -> None:
        """See `Reader`."""
        cause = "eof"
        try:
            await self._decoder.open_file(self._path, fps=self._fps, start_s=self._start_s)
            await self._frames(source, live, look)
        except (Refusal, DecoderGone, DecoderHopeless) as error:
            code = error.code if isinstance(error, Refusal) else "decoder"
            live.record(event("source.error", source=source.number, code=code, fatal=True))
            cause = "error"
        finally:
            await self._decoder.close()
        live.eye.finish(source, cause)
        if not source.pending:
            live.eye.report_totals()

    async def _frames(self, source: Source, live: Live, look: Callable[[], None]) -> None:
        began_s = live.log.now()
        while (frame := await self._decoder.next_frame()) is not None:
            ts, image = frame
            due_s = began_s + (ts - self._start_s) / self._pace if self._pace else 0.0
            await asyncio.sleep(max(0.0, due_s - live.log.now()))
            await source.has_room.wait()
            live.input_s = live.log.now()
            source.feed(ts, image, live.input_s)
            look()


class Camera:
    """Hands a live source of the operator on to the event loop; how it is lost and found again is its own business.

    The source is read in a thread, which waits where the loop has not taken what came before.
    """

    is_finite = False

    def __init__(self, address: Address, *, limits: Limits, fps: float) -> None:
        config = LiveConfig(patience_s=None, stale_s=limits.stale_s)
        self._frames = LiveSource(address, fps=fps, config=config)
        self._frames.on_notice = self._put
        self._items: asyncio.Queue[Frame | Notice | SourceError | None] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        self._loop = asyncio.get_running_loop()

    async def run(self, source: Source, live: Live, look: Callable[[], None]) -> None:
        """See `Reader`."""
        thread = threading.Thread(target=self._read, name="vigil-camera", daemon=True)
        thread.start()
        state = live.hub.metrics.source_state.labels(state="live")
        is_live = False
        try:
            while (item := await self._items.get()) is not None:
                self._room.release()
                was_live, is_live = is_live, _is_live(item, before=is_live)
                state.inc(is_live - was_live)
                self._take(item, source, live, look)
            if not source.is_ended:
                live.eye.finish(source, "eof")
        finally:
            state.dec(is_live)
            self._frames.close()
            self._room.release(2 * AHEAD)  # more than the thread still has to say
            await asyncio.to_thread(thread.join, JOIN_S)

    def _read(self) -> None:
        try:
            for frame in self._frames:
                self._put(frame)
            self._put(None)
        except SourceError as error:
            self._put(error)
            self._put(None)

    def _put(self, item: Frame | Notice | SourceError | None) -> None:
        """From the thread to the loop."""
        self._room.acquire()
        with suppress(RuntimeError):  # the loop is closed: the server is gone
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    def _take(self, item: Frame | Notice | SourceError, source: Source, live: Live, look: Callable[[], None]) -> None:
        now_s, number = live.log.now(), source.number
        match item:
            case Frame(image=image):
                live.input_s = now_s
                source.feed(round(now_s, 6), image, now_s)
                live.lost(source)
                look()
            case Found(width=width, height=height, codec=codec):
                live.record(source.opened(width=width, height=height, codec=codec))
            case Outage(cause=cause, attempt=attempt, retry_in_s=retry_in_s):
                live.record(event("source.lost", source=number, cause=cause, attempt=attempt, retry_in_s=retry_in_s))
                live.hub.metrics.reconnects.inc()
                if cause == "decoder":
                    live.hub.metrics.decoder_restarts.labels(cause="died").inc()
            case Return(cause=cause, gap_s=gap_s):
                source.stream_epoch += 1
                epoch = {"stream_epoch": source.stream_epoch, "cause": cause, "gap_s": gap_s}
                live.record(event("source.discontinuity", source=number, **epoch))
            case Skipped(count=count, reason=reason):
                source.received += count
                source.drop(reason, now_s, now_s, count=count)
                live.lost(source)
            case _:
                live.record(event("source.error", source=number, code="decoder", fatal=True))
                live.eye.finish(source, "decoder")


def _is_live(item: Frame | Notice | SourceError, *, before: bool) -> bool:
    return isinstance(item, Frame | Found | Return) or (before and isinstance(item, Skipped))
