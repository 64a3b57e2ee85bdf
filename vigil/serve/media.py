"""Sources that the server reads itself: cameras set up by the operator, and uploaded files."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vigil.serve.children import Decoder, DecoderGone, DecoderHopeless, Opened
from vigil.serve.events import event
from vigil.serve.refusal import Refusal
from vigil.serve.sources import Source

if TYPE_CHECKING:
    from vigil.serve.live import Live

OPEN_S = 15.0
"""To reach a live source (5 s) and to get its first frame (10 s)."""
FREEZE_S = 2.0
"""Without a frame for this long, or for three frame intervals, a live source is frozen."""
BACKOFF_S, BACKOFF_MAX_S, HEALTHY_S = 0.5, 30.0, 60.0
MAX_ATTEMPT = 1000


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
    """Reads a live source; when it freezes or goes away, tries again for as long as the session lives."""

    is_finite = False

    def __init__(self, address: str, decoder: Decoder, *, fps: float) -> None:
        self._address = address
        self._decoder = decoder
        self._fps = fps
        self._attempt = 0
        self._lost_s: float | None = None
        """When it was lost; None before it was open for the first time."""
        self._opened_s = 0.0

    async def run(self, source: Source, live: Live, look: Callable[[], None]) -> None:
        """See `Reader`."""
        try:
            while True:
                cause = "refused"
                with suppress(DecoderGone):
                    opened = await self._decoder.open_live(self._address, fps=self._fps, open_s=OPEN_S)
                    self._note_opened(source, live, opened)
                    cause = await self._watch(source, live, look)
                await self._wait(source, live, cause)
        except DecoderHopeless:
            live.record(event("source.error", source=source.number, code="decoder", fatal=True))
            live.eye.finish(source, "decoder")
        finally:
            await self._decoder.close()

    def _note_opened(self, source: Source, live: Live, what: Opened) -> None:
        self._opened_s = live.log.now()
        if self._lost_s is None:
            live.record(source.opened(width=what.width, height=what.height, codec=what.codec))
            return
        source.stream_epoch += 1
        gap = {"cause": "reconnect", "gap_s": round(self._opened_s - self._lost_s, 3)}
        fields = {"source": source.number, "stream_epoch": source.stream_epoch, **gap}
        live.record(event("source.discontinuity", **fields))

    async def _watch(self, source: Source, live: Live, look: Callable[[], None]) -> str:
        """Take frames until there are none; say why."""
        within_s = max(FREEZE_S, 3 / self._fps)
        state = live.hub.metrics.source_state.labels(state="live")
        state.inc()
        try:
            while (image := await self._decoder.live_frame(within_s)) is not None:
                live.input_s = now_s = live.log.now()
                source.feed(round(now_s, 6), image, now_s)
                live.lost(source)
                look()
        except DecoderGone:
            return "frozen"
        finally:
            state.dec()
            self._lost_s = live.log.now()
        return "closed"

    async def _wait(self, source: Source, live: Live, cause: str) -> None:
        """Say that the source is lost, and wait longer each time, so that many do not come back at once."""
        if self._lost_s is not None and self._lost_s - self._opened_s > HEALTHY_S:
            self._attempt = 0
        retry_in_s = round(random.uniform(0, min(BACKOFF_MAX_S, BACKOFF_S * 2**self._attempt)), 3)
        self._attempt = min(self._attempt + 1, MAX_ATTEMPT)
        lost = {"cause": cause, "attempt": self._attempt, "retry_in_s": retry_in_s}
        live.record(event("source.lost", source=source.number, **lost))
        live.hub.metrics.reconnects.inc()
        await asyncio.sleep(retry_in_s)
