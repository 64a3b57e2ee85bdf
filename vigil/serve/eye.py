"""How the frames of one session reach the model: one at a time, decoded in the child, accounted for to the last one."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vigil.errors import SourceError
from vigil.serve.children import Decoder, DecoderGone, DecoderHopeless, Rgb
from vigil.serve.events import event, transient
from vigil.serve.media import Camera, Reader, Upload
from vigil.serve.protocol import FrameRef, SourceSpec
from vigil.serve.refusal import Refusal
from vigil.serve.sources import Queued, Source
from vigil.stream.address import address_of

if TYPE_CHECKING:
    from vigil.serve.live import By, Live
    from vigil.serve.state import State

SEEN_KEPT = 64
"""Frames that evidence can still name."""


class Eye:
    """The sources of one session, and the task that brings their frames to the model."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._child: Decoder | None = None
        self._has_frames = asyncio.Event()
        self._has_seen = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._readers: dict[int, tuple[Reader, asyncio.Task[None]]] = {}
        self._now: Queued | None = None
        """The frame that is being decoded or perceived."""
        self._seen: OrderedDict[int, Queued] = OrderedDict()
        self._reported: dict[int, int] = {}
        self.age_ms = 0.0

    # ---- sources ---------------------------------------------------------------------------------------------

    def add(self, spec: SourceSpec, *, by: By | None) -> int:
        """Open a source; return the number of the event that says so.

        Raises:
            Refusal: `bad_message` for a number that is taken or too high, `not_found` for a camera or an upload.
        """
        live, limits = self._live, self._live.hub.limits
        before = live.sources.get(spec.source)
        if spec.source >= limits.sources or (before is not None and not before.is_ended):
            raise Refusal("bad_message")
        fps = min(spec.fps or (1.0 if spec.kind != "push" else limits.frames_per_s), limits.media_fps)
        reader = self._reader(spec, fps)
        source = before or Source(spec.source, spec.kind, limits)
        source.kind, source.name, source.fps = spec.kind, spec.name, fps
        source.stream_epoch += before is not None
        source.is_ended = False
        return self.play(source, reader, by=by)

    def play(self, source: Source, reader: Reader | None, *, by: By | None = None) -> int:
        """Open a source; a reader brings its frames, or a client pushes them."""
        seq = self._live.record(source.opened(), by=by)
        self._live.sources[source.number] = source
        if reader is not None:
            task = asyncio.create_task(reader.run(source, self._live, self.look))
            self._readers[source.number] = (reader, task)
        elif self._child is None:
            self._child = self._live.hub.decoder()
            self._live.hub.spawn(self._child.warm())
        return seq

    def _reader(self, spec: SourceSpec, fps: float) -> Reader | None:
        hub = self._live.hub
        if spec.kind == "camera":
            try:
                address = address_of(hub.cameras.get(spec.name or "", ""))
            except SourceError as error:
                raise Refusal("not_found") from error
            if address is None:
                raise Refusal("not_found")
            return Camera(address, limits=hub.limits, fps=fps)
        if spec.kind == "upload":
            path = hub.uploads.path(spec.upload_id or "", self._live.owner)
            pace = 1.0 if spec.pace is None else spec.pace
            return Upload(path, hub.decoder(), fps=fps, start_s=spec.start_s or 0.0, pace=pace)
        return None

    def finish(self, source: Source, cause: str, *, by: By | None = None, drops: bool = False) -> int:
        """No more frames come; what waits is still seen, or dropped."""
        if drops:
            source.empty("shutdown", self._live.log.now())
            source.end_run()
            self._live.lost(source)
        seq = self._live.record(
            event("source.ended", source=source.number, cause=cause, last_ts=source.newest_ts), by=by
        )
        source.is_ended = True
        reader = self._readers.pop(source.number, None)
        if reader is not None and reader[1] is not asyncio.current_task():
            reader[1].cancel()
        return seq

    def restore(self, state: State) -> None:
        """Take the sources of an earlier life up: their numbers go on, files do not."""
        live, limits = self._live, self._live.hub.limits
        for key in sorted({*state.sources, *state.totals}, key=int):
            fields, total = state.sources.get(key), state.totals.get(key, {})
            kind = fields["kind"] if fields else "push"
            source = Source(int(key), kind, limits, name=fields["name"] if fields else None)
            source.is_ended = fields is None
            source.stream_epoch = fields["stream_epoch"] if fields else 1
            source.perceived = total.get("perceived", 0)
            source.dropped = Counter(total.get("dropped", {}))
            known = state.evidence.get(key, {}).get("frame_no", 0)
            source.received = max(total.get("received", 0), known)
            source.newest_ts = total.get("newest_ts", 0.0)
            live.sources[source.number] = source
            if source.pending:
                source.drop("shutdown", source.newest_ts, live.log.now(), count=source.pending)
                source.end_run()
                live.lost(source)
            if kind == "upload" and not source.is_ended:
                self.finish(source, "restart")
            elif kind == "camera" and not source.is_ended:
                source.is_ended = True
                with suppress(Refusal):
                    self.add(SourceSpec(source=source.number, kind="camera", name=source.name), by=None)

    # ---- the way of a frame ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to bring frames to the model."""
        self._task = asyncio.create_task(self._run())

    def look(self) -> None:
        """There is a frame in some queue."""
        self._has_frames.set()

    async def _run(self) -> None:
        while True:
            queued = self._next()
            if queued is None:
                self._has_frames.clear()
                await self._has_frames.wait()
                continue
            self._now = queued
            image = await self._decoded(queued)
            if image is not None:
                self._has_seen.clear()
                index = self._live.push(queued, image)
                if index is None:
                    return  # the seat is over; what is pending is dropped when the session ends
                self._seen[index] = queued
                while len(self._seen) > SEEN_KEPT:
                    self._seen.popitem(last=False)
                await self._has_seen.wait()
            self._now = None
            self._account_ended(self._live.sources[queued.source])
            self._live.dialogue.advance()

    def _next(self) -> Queued | None:
        """The frame that has waited longest, over all sources."""
        live = self._live
        waiting = [source for source in live.sources.values() if source.queue]
        for source in sorted(waiting, key=lambda source: source.queue[0].arrived_s):
            queued = source.leave(live.log.now())
            live.grant(source)
            if queued is not None:
                return queued
        return None

    async def _decoded(self, queued: Queued) -> Rgb | None:
        """The pixels of a frame; None where there are none, and then it has been counted as dropped."""
        if not isinstance(queued.image, bytes):
            return queued.image
        live = self._live
        self._child = self._child or live.hub.decoder()
        source = live.sources[queued.source]
        try:
            return await self._child.image(queued.image)
        except Refusal as refusal:
            source.drop("too_large" if refusal.code == "too_large" else "undecodable", queued.ts, live.log.now())
            live.hub.complain(live.controller, refusal)
        except DecoderGone:
            source.drop("undecodable", queued.ts, live.log.now())
            live.record(event("source.error", source=source.number, code="decoder", fatal=False))
        except DecoderHopeless:
            source.drop("undecodable", queued.ts, live.log.now())
            live.record(event("source.error", source=source.number, code="decoder", fatal=True))
            self.finish(source, "decoder", drops=True)
        return None

    def seen(self, index: int) -> None:
        """The model says that a frame is readable."""
        queued, live = self._seen[index], self._live
        now_s = live.log.now()
        source = live.sources[queued.source]
        source.saw(queued.frame_no)
        live.lost(source)
        self.age_ms = round(1000 * (now_s - queued.arrived_s), 1)
        live.hub.metrics.frame_age.observe(now_s - queued.arrived_s)
        live.hub.metrics.frames.labels(state="perceived", reason="").inc()
        fields = {"frame_no": queued.frame_no, "ts": queued.ts, "age_ms": self.age_ms}
        live.mention(transient("input.frame.perceived", source=queued.source, **fields))
        self._has_seen.set()

    def evidence(self, index: int, time_s: float) -> dict[str, Any] | None:
        """What the wire says about the newest frame that had been seen."""
        if index not in self._seen:
            return None
        queued = self._seen[index]
        lag_ms = round(1000 * max(0.0, time_s - queued.arrived_s), 1)
        return {"source": queued.source, "frame_no": queued.frame_no, "ts": queued.ts, "lag_ms": lag_ms}

    def is_waiting_for(self, about: FrameRef) -> bool:
        """Whether a frame has not come yet, or is still on its way to the model."""
        source = self._live.sources.get(about.source)
        if source is None or (source.is_ended and about.frame_no > source.received):
            return False
        if self._now is not None and (self._now.source, self._now.frame_no) == (about.source, about.frame_no):
            return not self._has_seen.is_set()
        return about.frame_no > source.received or any(q.frame_no == about.frame_no for q in source.queue)

    # ---- accounts --------------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Frames that wait."""
        return sum(len(source.queue) for source in self._live.sources.values())

    @property
    def is_busy(self) -> bool:
        """Frames wait, are on their way, or are still to be read from a file."""
        return self._now is not None or self.queued > 0 or any(r.is_finite for r, _ in self._readers.values())

    def totals(self) -> dict[str, int]:
        """All sources together."""
        sources = self._live.sources.values()
        return {
            "received": sum(source.received for source in sources),
            "perceived": sum(source.perceived for source in sources),
            "dropped": sum(sum(source.dropped.values()) for source in sources),
            "skipped": sum(source.skipped for source in sources),
            "sampled_out": 0,
        }

    def report_totals(self) -> None:
        """Log the account of each source that has changed."""
        for source in self._live.sources.values():
            if self._reported.get(source.number) != source.received:
                self._account(source)

    def _account_ended(self, source: Source) -> None:
        if source.is_ended and not source.pending:
            self._account(source)

    def _account(self, source: Source) -> None:
        source.end_run()
        self._live.lost(source)
        self._reported[source.number] = source.received if not source.pending else -1
        self._live.record(source.total())

    # ---- the end ---------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Bring no more frames; children end."""
        tasks = [task for _, task in self._readers.values()] + ([self._task] if self._task else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._readers.clear()
        if self._child is not None:
            await self._child.close()

    def settle(self) -> None:
        """The seat has ended: what was not perceived is dropped, and each source is accounted for."""
        now_s = self._live.log.now()
        for source in self._live.sources.values():
            source.empty("shutdown", now_s)
            if source.pending:
                source.drop("shutdown", source.newest_ts, now_s, count=source.pending)
            self._account(source)
