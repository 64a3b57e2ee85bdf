"""One live session: what goes in, what the model says, and the log that both end in. Runs on the event loop alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from vigil.errors import StorageError
from vigil.serve.children import Rgb
from vigil.serve.commands import Commands
from vigil.serve.dialogue import Dialogue
from vigil.serve.durable import SessionLog
from vigil.serve.events import event, transient
from vigil.serve.eye import Eye
from vigil.serve.frames import ClientFrame
from vigil.serve.refusal import CLOSE_NORMAL, CLOSE_RESTART, CLOSE_SUPERSEDED, Refusal
from vigil.serve.runner import Report, Seat
from vigil.serve.settings import Settings
from vigil.serve.sources import Queued, Source
from vigil.serve.views import View
from vigil.types import Ended, Frame

if TYPE_CHECKING:
    from vigil.serve.sessions import Hub

log = logging.getLogger("vigil.serve")
By = tuple[str, int]
"""Client id and command number."""
TOTALS_S, USAGE_S = 10.0, 60.0
DROP_RUN_S = 1.0
"""A run of drops is reported at the latest after this."""
SEATS_JOIN_S = 10.0


class Live:
    """A session with a seat on the model."""

    def __init__(self, hub: Hub, log: SessionLog, settings: Settings) -> None:
        """The seat is taken by `start`."""
        self.hub = hub
        self.log = log
        self.id = log.id
        self.owner = str(log.head.private.get("owner", ""))
        self.settings = settings
        self.views: set[View] = set()
        self.controller: View | None = None
        self.sources: dict[int, Source] = {}
        self.eye = Eye(self)
        self.dialogue = Dialogue(self)
        self.commands = Commands(self)
        self.closing = False
        self.over = asyncio.Event()
        """It has ended, and its seat is free."""
        self.counts = {"text_in": 0, "text_out": 0, "silence": 0}
        self.busy_s = 0.0
        self.left_s: float | None = log.now()
        """When the last socket went; None while there is one."""
        self.input_s = log.now()
        """When the last frame or command came."""
        self.on_closed: Callable[[int], None] = lambda seq: None
        self.newest = log.durable
        """Number of the newest event that was recorded."""
        self._seat: Seat | None = None
        self._totals_s = self._usage_s = log.now()
        self._storage_failed = False

    # ---- life ------------------------------------------------------------------------------------------------

    async def start(self, *, recovered: str | None = None, interrupted: tuple[dict[str, Any], ...] = ()) -> None:
        """Take the seat. A session that comes back goes on with its numbers, its sources and its open question."""
        state = self.log.state
        question = None if recovered is None else self.dialogue.restore(state)
        report = partial(_from_thread, asyncio.get_running_loop(), self._report)
        voice = self.settings.voice(self.hub.limits)
        self._seat = await asyncio.to_thread(
            self.hub.runner.seat, voice, system=self.settings.system, start_s=self.log.now(), report=report
        )
        if recovered is None:
            self.record(event("turn.started", turn=0, cause="open"))
        else:
            cut = [{"answer_id": row["answer_id"], "rev": row["rev"]} for row in interrupted]
            turns = 0 if question is None else 1
            back = {"frames_restored": 0, "turns_restored": turns, "interrupted": cut}
            self.record(event("session.recovered", cause=recovered, **back))
            self.eye.restore(state)
        if question is not None:
            self.dialogue.ask(question)
        self.eye.start()

    async def end(self, reason: str, *, by: By | None = None, drain_s: float = 0.0, closed: bool = True) -> None:
        """Finish: what is queued is seen and said for up to `drain_s`, then everything is closed and accounted for.

        With `closed` false only the seat is given up, and the session can be resumed.
        """
        if self.closing:
            return
        self.closing = True
        deadline = asyncio.get_running_loop().time() + drain_s
        while drain_s and self.is_busy and asyncio.get_running_loop().time() < deadline:
            if self.hub.hurried.is_set():
                break
            await asyncio.sleep(0.02)
        await self.eye.stop()
        if self._seat is not None:
            self._seat.close()
            join_s = 0.0 if self.hub.runner.trouble(self.hub.limits.step_s) else SEATS_JOIN_S
            await asyncio.to_thread(self._seat.join, join_s)
            await asyncio.sleep(0)
        self.dialogue.give_up_all("closed")
        self.eye.settle()
        if closed:
            self.record(event("turn.ended", turn=self.dialogue.answers.turn.number, cause="closed"))
            self.on_closed(self.record(event("session.closed", reason=reason, usage=self.usage()), by=by))
        for view in self.views:
            view.end(CLOSE_NORMAL if closed else CLOSE_RESTART, after=self.newest)

    # ---- sockets ---------------------------------------------------------------------------------------------

    def join(self, view: View, *, after: int) -> None:
        """A socket comes: it gets all events after `after`. One that controls takes the place of the former one.

        Raises:
            Refusal: `capacity`.
        """
        if view.controls and self.controller is not None:
            self.controller.end(CLOSE_SUPERSEDED)
            self.views.discard(self.controller)
        if len(self.views) >= self.hub.limits.sockets_per_session:
            raise Refusal("capacity", close=1013)
        if view.controls:
            self.controller = view
        self.views.add(view)
        self.left_s = None
        view.say(self._ready(view))
        view.follow(self.log, after=min(after, self.log.durable))

    def leave(self, view: View) -> None:
        """A socket has gone; the session goes on without it."""
        self.views.discard(view)
        if self.controller is view:
            self.controller = None
        if not self.views:
            self.left_s = self.log.now()

    def _ready(self, view: View) -> str:
        sources = [source for source in self.sources.values() if source.kind == "push" and not source.is_ended]
        keys = self.hub.keys
        return transient(
            "session.ready",
            session_id=self.id,
            resume_token=keys.resume_token(self.id) if view.controls else None,
            view_token=keys.view_token(self.id),
            epoch=self.log.head.epoch,
            t_mono=self.log.now(),
            head=self.log.durable,
            applied_cmd=self.log.applied(view.client_id) if view.controls else 0,
            received={str(source.number): source.received for source in sources},
            credit={str(source.number): source.up_to for source in sources},
            limits=self.hub.limits.shown(),
            roles=["view", "talk"] if view.controls else ["view"],
            version=1,
        )

    def mention(self, text: str) -> None:
        """Send a transient message to every socket."""
        for view in self.views:
            view.mention(text)

    # ---- what the model says ---------------------------------------------------------------------------------

    def _report(self, report: Report) -> None:
        """One step of the seat; one that a model in trouble makes after the session's end counts no more."""
        if self.over.is_set():
            return
        metrics = self.hub.metrics
        self.busy_s += report.busy_s
        self.counts["text_in"] += report.text_in
        self.counts["text_out"] += report.text_out
        self.counts["silence"] += report.silences
        for index in report.perceived:
            self.eye.seen(index)
        self.dialogue.report(report)
        for decision in report.decisions:
            metrics.decided(speak=decision.speak)
            if self.settings.policy.silence == "each":
                fields = {"speak": decision.speak, "p_silence": round(decision.p_silence, 4)}
                self.mention(transient("decision", ts=round(decision.time_s, 3), **fields))
        if isinstance(report.event, Ended) and not self.closing:
            log.error("session %s has failed", self.id, exc_info=self.seat.error)
            metrics.worker_restarts.labels(cause="error").inc()
            self.dialogue.fault()
            is_own = self.hub.runner.engine.error is None  # else all sessions end, and the next process takes them up
            self.hub.spawn(self.hub.end(self, "error", closed=is_own))

    @property
    def seat(self) -> Seat:
        """The place on the model."""
        assert self._seat is not None, "the session has been started"
        return self._seat

    @property
    def is_busy(self) -> bool:
        """Something is still queued, being seen, or being said."""
        return self.dialogue.is_busy or self.eye.is_busy

    # ---- frames and sources ----------------------------------------------------------------------------------

    def source(self, number: int) -> Source:
        """An open source. Raises: Refusal: `not_found`."""
        source = self.sources.get(number)
        if source is None or source.is_ended:
            raise Refusal("not_found")
        return source

    def frame(self, frame: ClientFrame, *, in_rate: bool) -> None:
        """Take a client's frame in. Raises: Refusal."""
        source = self.source(frame.source)
        if source.kind != "push":
            raise Refusal("not_found")
        self.input_s = now_s = self.log.now()
        try:
            if source.take(frame, now_s, in_rate=in_rate):
                self.eye.look()
        finally:
            self.grant(source)

    def grant(self, source: Source) -> None:
        """Tell the client how many frames it may send."""
        if self.controller is not None and source.kind == "push" and not source.is_ended:
            self.controller.grant(source.number, source.up_to)

    def lost(self, source: Source) -> None:
        """Log the runs of drops that are over."""
        while source.losses:
            row = source.losses.pop(0)
            self.record(row)
            self.hub.metrics.frames.labels(state="dropped", reason=row["reason"]).inc(row["count"])

    # ---- the log ---------------------------------------------------------------------------------------------

    def record(self, row: dict[str, Any], *, by: By | None = None, private: dict[str, Any] | None = None) -> int:
        """Put an event into the log. Raises: Refusal: `storage`, for the effect of a command."""
        try:
            self.newest = self.log.append(row, by=by, private=private).seq
        except StorageError as error:
            self.storage_failed()
            if by is not None:
                raise Refusal("storage") from error
        return self.newest

    def storage_failed(self) -> None:
        """Tell every socket, once."""
        if not self._storage_failed:
            self._storage_failed = True
            for view in self.views:
                view.say(transient("storage.failed", cause="read_only"))

    def tick(self) -> None:
        """What is done each second."""
        now_s = self.log.now()
        if self.log.failed:
            self.storage_failed()
        for source in self.sources.values():
            source.end_run(older_than_s=now_s - DROP_RUN_S)
            self.lost(source)
        if now_s - self._totals_s >= TOTALS_S:
            self._totals_s = now_s
            self.eye.report_totals()
        if now_s - self._usage_s >= USAGE_S:
            self._usage_s = now_s
            self.record(event("session.usage", **self.usage()))
        self.mention(
            transient(
                "server.status",
                queue=self.eye.queued,
                step_ms=round(1000 * self.hub.runner.step_s, 1),
                frame_age_ms=self.eye.age_ms,
                load=self.hub.load,
            )
        )

    def usage(self) -> dict[str, Any]:
        """What the session has cost so far."""
        answers = self.dialogue.answers
        frames = self.eye.totals()
        vision = frames["perceived"] * self.hub.runner.model.config.vision.tokens_per_frame
        return {
            "wall_s": round(self.log.now(), 3),
            "gpu_s": round(self.busy_s, 3),
            "frames": frames,
            "tokens": {"vision": vision, **self.counts},
            "kv": self.hub.runner.kv_bytes(),
            "answers": {name: answers.status[name] for name in ("final", "superseded", "interrupted", "error")},
            "unanswered": answers.unanswered,
        }

    def change(self, settings: Settings) -> None:
        """Go on differently, from the next decision on."""
        if settings.system != self.settings.system:
            self.seat.instruct(settings.system)
        self.settings = settings
        self.seat.change(self.settings.voice(self.hub.limits))

    def push(self, queued: Queued, image: Rgb) -> int | None:
        """Give a decoded frame to the model; the index by which it will be named, None where it is not taken."""
        return self.seat.push(Frame(image, queued.ts))


def _from_thread(loop: asyncio.AbstractEventLoop, report_to: Callable[[Report], None], report: Report) -> None:
    """Carry a report from the seat's thread to the event loop."""
    try:
        loop.call_soon_threadsafe(report_to, report)
    except RuntimeError:  # the loop is closed: the server is gone
        return
