"""All sessions of a server: who gets a seat, who may come back, and when one ends. Runs on the event loop alone."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from vigil.errors import StorageError
from vigil.serve.auth import Grant, SessionKeys, same
from vigil.serve.children import Decoder
from vigil.serve.durable import SessionLog, Store
from vigil.serve.events import event, transient
from vigil.serve.limits import Limits
from vigil.serve.live import By, Live
from vigil.serve.metrics import Metrics
from vigil.serve.protocol import SessionAttach, SessionOpen, SessionResume
from vigil.serve.refusal import CLOSE_EXPIRED, CLOSE_FULL, CLOSE_NO_SESSION, Refusal
from vigil.serve.runner import Runner
from vigil.serve.settings import Settings
from vigil.serve.uploads import Uploads
from vigil.serve.views import View, show

log = logging.getLogger("vigil.serve")
RETRY_AFTER_S = 5.0


class Hub:
    """The sessions of one server over one model."""

    def __init__(
        self,
        runner: Runner,
        store: Store,
        keys: SessionKeys,
        *,
        limits: Limits,
        uploads: Uploads,
        metrics: Metrics,
        cameras: Mapping[str, str],
    ) -> None:
        """`cameras` are names and addresses set up by the operator; no client ever sees an address."""
        self.runner = runner
        self.store = store
        self.keys = keys
        self.limits = limits
        self.uploads = uploads
        self.metrics = metrics
        self.cameras = cameras
        self.active: dict[str, Live] = {}
        self.sockets: Counter[str] = Counter()
        """Open sockets by token and by address."""
        self.is_draining = False
        self.hurried = asyncio.Event()
        """Set where sessions that drain shall wait no longer."""
        self._seats = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Each is there for as long as somebody has it or waits for it."""
        self._tasks: set[asyncio.Task[Any]] = set()
        runner.on_step = metrics.step.observe
        store.watch_commits(lambda seconds, num_events: metrics.log_commit.observe(seconds))
        for kind, size in runner.kv_bytes().items():
            metrics.kv.labels(ring="frames" if kind.startswith("vision") else "all", kind=kind).set(size)

    # ---- coming in -------------------------------------------------------------------------------------------

    async def open(self, message: SessionOpen, grant: Grant, view: View) -> Live:
        """Begin a session, or give the one that the same `open_id` began.

        Raises:
            Refusal: `capacity`, `not_found` for a model or source, `forbidden`, `storage`, `gone`.
        """
        session_id = self.keys.session_id(grant.token_id, message.client_id, message.open_id)
        async with self._lock(session_id):
            live = await self._current(session_id)
            if live is None:
                known = await asyncio.to_thread(self.store.get, session_id)
                live = await (self._create(message, grant, session_id) if known is None else self._revive(known))
            view.controls, view.client_id = True, message.client_id
            live.join(view, after=0)
            return live

    async def resume(self, message: SessionResume, view: View) -> Live | None:
        """Take control of a session again; None where it is closed, and only its log is shown.

        Raises:
            Refusal: `not_found` for a wrong token, `gone`, `capacity`, `storage`.
        """
        session_id = message.session_id
        self._check(self.keys.resume_token(session_id), message.resume_token)
        async with self._lock(session_id):
            known = await self._known(session_id)
            live = await self._current(session_id)
            if live is None:
                known = await self._known(session_id)
            applied = known.state.applied
            if message.client_id not in applied and len(applied) >= self.limits.client_ids:
                raise Refusal("capacity")
            if live is None and known.state.closed is None:
                live = await self._revive(known)
            if live is None:
                show(known, view, message.after, keys=self.keys, limits=self.limits)
                return None
            view.controls, view.client_id = True, message.client_id
            live.join(view, after=message.after)
            self.metrics.resumes.labels(outcome="ok").inc()
            return live

    async def attach(self, message: SessionAttach, view: View) -> Live | None:
        """Look on. Raises: as `resume`."""
        self._check(self.keys.view_token(message.session_id), message.view_token)
        live, known = self.active.get(message.session_id), await self._known(message.session_id)
        if live is None:
            show(known, view, message.after, keys=self.keys, limits=self.limits)
        else:
            live.join(view, after=message.after)
        return live

    async def _current(self, session_id: str) -> Live | None:
        """A session that has a seat; one that is just giving it up is waited for."""
        live = self.active.get(session_id)
        if live is not None and live.closing:
            await live.over.wait()
        return self.active.get(session_id)

    def _check(self, right: str, given: str) -> None:
        if not same(given, right):
            self.metrics.resumes.labels(outcome="refused").inc()
            raise Refusal("not_found", close=CLOSE_NO_SESSION)

    async def _known(self, session_id: str) -> SessionLog:
        known = await asyncio.to_thread(self.store.get, session_id)
        if known is None:  # its token is right, so it has existed
            self.metrics.resumes.labels(outcome="gone").inc()
            raise Refusal("gone", close=CLOSE_EXPIRED)
        return known

    async def _create(self, message: SessionOpen, grant: Grant, session_id: str) -> Live:
        if message.model not in (None, self.runner.name):
            raise Refusal("not_found")
        if message.record:
            raise Refusal("forbidden")
        self._check_sources(message, grant)
        self.runner.check_system(message.system)
        settings = Settings(system=message.system, policy=message.policy, sampling=message.sampling)
        with self._seat():
            log = await asyncio.to_thread(self._new_log, message, grant, session_id, settings)
            live = Live(self, log, settings)
            await live.start()
        self.active[session_id] = live
        for spec in message.sources:
            live.eye.add(spec, by=None)
        return live

    def _new_log(self, message: SessionOpen, grant: Grant, session_id: str, settings: Settings) -> SessionLog:
        level = "off" if self.store.folder is None else message.durability or self.store.config.level
        keep_s = min(message.keep_s or self.limits.keep_s, self.limits.keep_s)
        created = event(
            "session.created",
            model=self.runner.name,
            weights_sha256=self.runner.sha256,
            **settings.shown(self.limits),
            sources=[spec.model_dump(exclude={"upload_id"}) for spec in message.sources],
            durability=level,
            keep_s=keep_s,
        )
        private = {"owner": grant.token_id, "system": message.system}
        return self.store.create(created, session_id=session_id, level=level, keep_s=keep_s, private=private)

    def _check_sources(self, message: SessionOpen, grant: Grant) -> None:
        numbers = [spec.source for spec in message.sources]
        if len(set(numbers)) != len(numbers) or any(number >= self.limits.sources for number in numbers):
            raise Refusal("bad_message")
        for spec in message.sources:
            if spec.kind == "camera" and spec.name not in self.cameras:
                raise Refusal("not_found")
            if spec.kind == "upload":
                self.uploads.path(spec.upload_id or "", grant.token_id)

    async def _revive(self, known: SessionLog) -> Live:
        """Take a session up that has no seat, because its sockets were gone for long or the server was restarted."""
        if known.state.closed is not None or self.store.folder is None:
            raise Refusal("gone", close=CLOSE_EXPIRED)
        with self._seat():
            back = await asyncio.to_thread(self.store.resume, known.id)
            settings = Settings.from_log(back.log.state.settings, back.log.head.private)
            live = Live(self, back.log, settings)
            await live.start(recovered="resume", interrupted=back.interrupted)
        self.active[known.id] = live
        return live

    @contextmanager
    def _seat(self) -> Iterator[None]:
        """Count a seat before anything is waited for, so that two can never get the last one; a failure frees it."""
        if self.is_draining or self._seats >= self.runner.seats:
            self.metrics.admission_refused.labels(reason="draining" if self.is_draining else "seats").inc()
            raise Refusal("capacity", close=CLOSE_FULL, retry_after_s=RETRY_AFTER_S)
        self._seats += 1
        try:
            yield
        except StorageError as error:
            self._seats -= 1
            raise Refusal("storage") from error
        except BaseException:
            self._seats -= 1
            raise

    def _lock(self, session_id: str) -> asyncio.Lock:
        """One socket at a time opens or resumes a session."""
        return self._locks.setdefault(session_id, asyncio.Lock())

    # ---- going out -------------------------------------------------------------------------------------------

    async def end(
        self, live: Live, reason: str, *, by: By | None = None, drain_s: float = 0.0, closed: bool = True
    ) -> None:
        """End a session, or with `closed` false only give up its seat."""
        if live.closing:
            return
        is_last = closed or self.store.folder is None
        await live.end(reason, by=by, drain_s=drain_s, closed=is_last)
        if self.active.pop(live.id, None) is not None:
            self._seats -= 1
        live.over.set()
        if not is_last:
            async with self._lock(live.id):
                if live.id not in self.active:
                    await asyncio.to_thread(self.store.rest, live.id)

    async def delete(self, session_id: str, grant: Grant) -> None:
        """Remove everything that was kept of a session. Raises: Refusal: `not_found`, `forbidden`, `storage`."""
        known = await asyncio.to_thread(self.store.get, session_id)
        if known is None:
            raise Refusal("not_found")
        if "admin" not in grant.roles and known.head.private.get("owner") != grant.token_id:
            raise Refusal("forbidden")
        live = self.active.get(session_id)
        if live is not None:
            await self.end(live, "client")
        try:
            await asyncio.to_thread(self.store.delete, session_id)
        except StorageError as error:
            raise Refusal("storage") from error

    async def drain(self, drain_s: float) -> None:
        """Take nothing new, tell everybody, let answers end, then close all sessions; those on disk can be resumed."""
        self.is_draining = True
        self.hurried.clear() if drain_s else self.hurried.set()
        for live in self.active.values():
            for view in live.views:
                view.say(transient("server.going_away", deadline_s=drain_s, reason="shutdown"))
        ending = [self.end(live, "shutdown", drain_s=drain_s, closed=False) for live in list(self.active.values())]
        await asyncio.gather(*ending)
        for task in list(self._tasks):
            task.cancel()

    async def fail(self) -> None:
        """The model will never answer again: tell everybody, close what was being said, and give all seats up."""
        self.is_draining = True
        self.hurried.set()
        self.metrics.worker_restarts.labels(cause="hung").inc()
        for live in list(self.active.values()):
            for view in live.views:
                view.say(transient("server.going_away", deadline_s=0.0, reason="model"))
            live.dialogue.fault()
        ending = [self.end(live, "error", closed=False) for live in list(self.active.values())]
        await asyncio.gather(*ending)

    def hurry(self) -> None:
        """Wait for no answer any more."""
        self.hurried.set()

    # ---- small things ------------------------------------------------------------------------------------------

    @property
    def load(self) -> float:
        """Share of the seats that are taken."""
        return round(self._seats / self.runner.seats, 3)

    def decoder(self) -> Decoder:
        """A child that decodes; it starts when it is first used."""
        wanted_px = 2 * self.runner.model.config.vision.image_px

        def restarted(cause: str) -> None:
            self.metrics.decoder_restarts.labels(cause=cause).inc()

        return Decoder(self.limits, wanted_px=wanted_px, on_restart=restarted)

    def complain(self, view: View | None, refusal: Refusal, *, cmd: int | None = None) -> None:
        """Tell a client what was not done, under a number that the server's own log has too."""
        ref = secrets.token_hex(4)
        self.metrics.errors.labels(code=refusal.code).inc()
        log.info("refused", extra={"code": refusal.code, "ref": ref})
        if view is not None:
            view.refuse(refusal, ref, cmd)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something beside, and keep it alive."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.metrics.errors.labels(code="internal").inc()
            log.error("a task failed", exc_info=task.exception())
