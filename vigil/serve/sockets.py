"""`/v1/stream`: one socket from its handshake to its close. Every message is checked for size, form, role and rate."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from vigil.errors import StorageError
from vigil.serve.auth import Grant, Tickets, Tokens, WrongTokens
from vigil.serve.events import transient
from vigil.serve.frames import parse_frame
from vigil.serve.gate import address_of
from vigil.serve.live import Live
from vigil.serve.protocol import (
    ROLE_OF,
    SUBPROTOCOL,
    Auth,
    EventsAck,
    Message,
    Ping,
    SessionAttach,
    SessionOpen,
    SessionResume,
    parse_message,
)
from vigil.serve.refusal import (
    CLOSE_FULL,
    CLOSE_INTERNAL,
    CLOSE_NOT_TALKING,
    CLOSE_POLICY,
    CLOSE_SLOW,
    CLOSE_UNAUTHENTICATED,
    Refusal,
)
from vigil.serve.sessions import Hub
from vigil.serve.views import Bucket, SlowReader, View

log = logging.getLogger("vigil.serve")


class Door:
    """How a socket proves who it is."""

    def __init__(self, tokens: Tokens, tickets: Tickets, wrong: WrongTokens) -> None:
        self.tokens = tokens
        self.tickets = tickets
        self.wrong = wrong

    def check(self, message: Auth, address: str) -> Grant:
        """What a first message allows. Raises: Refusal."""
        if message.token is not None:
            grant = self.tokens.check(message.token)
        else:
            grant = self.tickets.redeem(message.ticket or "")
        if grant is None:
            is_full = self.wrong.note(address)
            raise Refusal("rate_limited" if is_full else "unauthorized", close=CLOSE_UNAUTHENTICATED)
        return grant


class Socket:
    """One client's connection."""

    def __init__(self, ws: WebSocket, hub: Hub, door: Door) -> None:
        self._ws = ws
        self._hub = hub
        self._door = door
        self._limits = hub.limits
        self._address = address_of(ws.scope)
        self._grant: Grant | None = ws.scope["state"]["grant"]
        self._view = View(ws.send_text, hub.limits, controls=False)
        self._live: Live | None = None
        self._errors: deque[float] = deque(maxlen=hub.limits.errors + 1)
        self._controls = Bucket(hub.limits.controls_per_s, hub.limits.control_burst)
        self._frames = Bucket(hub.limits.frames_per_s, hub.limits.frame_burst)
        self._counted: list[str] = []
        self._open_by = 0.0

    async def run(self) -> None:
        """Until either side has had enough."""
        if SUBPROTOCOL not in self._ws.scope["subprotocols"]:
            await self._ws.close(CLOSE_POLICY)
            return
        await self._ws.accept(subprotocol=SUBPROTOCOL)
        reading = asyncio.create_task(self._read())
        sending = asyncio.create_task(self._view.run())
        try:
            await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await self._close(sending)
            elif reading.exception() is not None:
                log.error("a socket failed", exc_info=reading.exception())
                self._hub.complain(None, Refusal("internal"))
                await self._ws.close(CLOSE_INTERNAL)
        finally:
            reading.cancel()
            sending.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)
            if self._live is not None:
                self._live.leave(self._view)
            for name in self._counted:
                self._hub.sockets[name] -= 1
                if not self._hub.sockets[name]:
                    del self._hub.sockets[name]

    async def _close(self, sending: asyncio.Task[int]) -> None:
        try:
            code = sending.result()
        except SlowReader:
            self._hub.metrics.send_stalls.inc()
            self._ws.scope["extensions"]["vigil"]["abort"](CLOSE_SLOW)
            return
        except (WebSocketDisconnect, RuntimeError):
            return
        with suppress(RuntimeError, WebSocketDisconnect):
            await self._ws.close(code)

    # ---- reading ---------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            self._count(f"ip {self._address}", self._limits.sockets_per_ip)
            async with asyncio.timeout(self._limits.auth_s):
                while self._grant is None:
                    await self._guarded(self._identify)
            self._count(f"token {self._grant.token_id}", self._limits.sockets_per_token)
            self._open_by = asyncio.get_running_loop().time() + self._limits.auth_s
            while not await self._guarded(self._begin):
                continue
            while True:
                await self._guarded(self._hear)
        except TimeoutError:
            code = CLOSE_UNAUTHENTICATED if self._grant is None else CLOSE_POLICY
            self._refuse(Refusal("unauthorized" if self._grant is None else "bad_message", close=code))
        except Refusal as refusal:
            self._refuse(refusal)
        except WebSocketDisconnect:
            return
        await self._until_closed()

    def _count(self, name: str, most: int) -> None:
        if self._hub.sockets[name] >= most:
            self._hub.metrics.admission_refused.labels(reason="sockets").inc()
            raise Refusal("capacity", close=CLOSE_FULL, retry_after_s=5.0)
        self._hub.sockets[name] += 1
        self._counted.append(name)

    async def _guarded(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """One message; what is refused is said, and the socket stays open unless the refusal closes it."""
        try:
            return await step()
        except Refusal as refusal:
            self._refuse(refusal)
        except StorageError:
            self._refuse(Refusal("storage"))
        if self._view.close_code is not None:
            await self._until_closed()
        return False

    async def _until_closed(self) -> None:
        """The sender closes the socket; then this task is cancelled."""
        await asyncio.Event().wait()

    def _refuse(self, refusal: Refusal) -> None:
        self._hub.complain(self._view, refusal, cmd=refusal.cmd)
        now = time.monotonic()
        self._errors.append(now)
        if refusal.close is not None:
            self._view.end(refusal.close)
        elif len(self._errors) > self._limits.errors and now - self._errors[0] < self._limits.errors_window_s:
            self._view.end(CLOSE_POLICY)

    async def _next(self) -> Message | bytes:
        """The next message. Raises: Refusal, WebSocketDisconnect."""
        raw = await self._ws.receive()
        if raw["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(raw.get("code", 1000))
        data = raw.get("bytes")
        if data is not None:
            return bytes(data)
        if not self._controls.take():
            raise Refusal("rate_limited", retry_after_s=round(1 / self._limits.controls_per_s, 3))
        return parse_message(raw["text"], self._limits)

    async def _identify(self) -> bool:
        message = await self._next()
        if not isinstance(message, Auth):
            raise Refusal("unauthorized", close=CLOSE_UNAUTHENTICATED)
        self._auth(message)
        return True

    def _auth(self, message: Auth) -> None:
        try:
            self._grant = self._door.check(message, self._address)
        except Refusal:
            self._hub.metrics.auth_failures.inc()
            raise
        self._view.say(transient("auth.ok", roles=sorted(self._grant.roles), expires_s=None))

    async def _begin(self) -> bool:
        """The message that opens, resumes or attaches; it must come in time, and what it asks for takes its own."""
        async with asyncio.timeout_at(self._open_by):
            message = await self._next()
        if isinstance(message, bytes):
            raise Refusal("bad_message", close=CLOSE_NOT_TALKING)
        self._permit(message)
        assert self._grant is not None
        match message:
            case SessionOpen():
                self._live = await self._hub.open(message, self._grant, self._view)
            case SessionResume():
                self._live = await self._hub.resume(message, self._view)
            case SessionAttach():
                self._live = await self._hub.attach(message, self._view)
            case Ping():
                self._pong(message)
                return False
            case Auth():
                self._auth(message)
                return False
            case _:
                raise Refusal("not_ready")
        return True

    async def _hear(self) -> bool:
        """A message of an open session."""
        message = await self._next()
        if isinstance(message, bytes):
            self._frame(message)
            return True
        self._permit(message)
        match message:
            case Ping():
                self._pong(message)
            case EventsAck():
                self._view.acked = max(self._view.acked, message.seq)
            case Auth() | SessionOpen() | SessionResume() | SessionAttach():
                raise Refusal("bad_message")
            case _:
                self._command(message)
        return True

    def _command(self, message: Message) -> None:
        if not self._view.controls:
            raise with_cmd(Refusal("forbidden"), message)
        if self._live is None:
            raise with_cmd(Refusal("gone"), message)
        try:
            self._live.commands.take(self._view, message)  # type: ignore[arg-type]
        except Refusal as refusal:
            raise with_cmd(refusal, message) from refusal

    def _frame(self, data: bytes) -> None:
        assert self._grant is not None
        if not self._view.controls or "talk" not in self._grant.roles:
            raise Refusal("forbidden", close=CLOSE_NOT_TALKING)
        frame = parse_frame(data, self._limits)
        if self._live is None or self._live.closing:
            raise Refusal("gone")
        self._live.frame(frame, in_rate=self._frames.take())

    def _permit(self, message: Message) -> None:
        role = ROLE_OF[message.type]
        assert self._grant is not None
        if role is not None and role not in self._grant.roles:
            raise with_cmd(Refusal("forbidden"), message)

    def _pong(self, message: Ping) -> None:
        t_mono = self._live.log.now() if self._live is not None else 0.0
        self._view.say(transient("pong", id=message.id, t_mono=t_mono))


def with_cmd(refusal: Refusal, message: Message) -> Refusal:
    """Name the command that was refused."""
    refusal.cmd = getattr(message, "cmd", None)
    return refusal
