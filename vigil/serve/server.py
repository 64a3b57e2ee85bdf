"""The process around the application: sockets, time-outs that uvicorn lacks, and an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from asyncio import TimerHandle
from asyncio.transports import BaseTransport
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from vigil.errors import ModelError, OutputError
from vigil.serve.frames import HEADER
from vigil.serve.gate import Gate
from vigil.serve.limits import KIB, Limits
from vigil.serve.runner import Runner

ABORT_S = 1.0
"""How long a socket that is cut may take its last bytes."""
TOO_LARGE_SLACK = 64 * KIB
"""A frame a little too large gets a typed error; a larger message ends the connection unread."""
WATCH_S = 0.5
"""How often the watchdog looks at the model."""
GRACE_S = 1.5
"""After the drain, for sockets to close."""


class Http(H11Protocol):
    """HTTP that does not wait for ever for the first request of a connection."""

    handshake_s = Limits().auth_s
    _waiting: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Start the clock."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._waiting = self.loop.call_later(self.handshake_s, self._too_slow)

    def _too_slow(self) -> None:
        if self.cycle is None and self.transport.get_protocol() is self:  # not upgraded, and nothing asked
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)


class WebSockets(WebSocketsSansIOProtocol):
    """WebSockets that can be cut: closing politely waits for a reader that may never read again."""

    def handle_connect(self, event: Request) -> None:
        """Give the application a way to cut."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"]["vigil"] = {"abort": self.abort}

    def keepalive_timeout(self) -> None:
        """No answer to a ping: the peer is gone."""
        super().keepalive_timeout()
        self._abort_soon()

    def abort(self, code: int) -> None:
        """Say why, if that still gets through, and cut."""
        with contextlib.suppress(InvalidState):
            self.conn.send_close(code)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._abort_soon()

    def _abort_soon(self) -> None:
        self.loop.call_later(ABORT_S, self.transport.abort)


class Server(uvicorn.Server):
    """uvicorn, but signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield


def make_server(gate: Gate, *, limits: Limits) -> Server:
    """A server for the application; sockets are given to `serve`."""
    config = uvicorn.Config(
        gate,
        http=Http,
        ws=WebSockets,
        ws_max_size=limits.frame_bytes + HEADER.size + TOO_LARGE_SLACK,
        ws_ping_interval=limits.ping_s,
        ws_ping_timeout=limits.ping_s,
        ws_per_message_deflate=False,
        timeout_keep_alive=int(limits.auth_s),
        timeout_graceful_shutdown=GRACE_S,  # type: ignore[arg-type]
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OutputError: the address is taken, or is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OutputError(f"{host} port {port} cannot be used: {error.strerror}. Choose another --port.") from error
    return listener


async def run(gate: Gate, listener: socket.socket, *, limits: Limits, on_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal skips the drain.

    `on_ready` is called once the model has made a step.

    Raises:
        ModelError: the model made no first step, or will make no more; everybody has been told.
    """
    server = make_server(gate, limits=limits)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = 0

    def told() -> None:
        nonlocal signals
        signals += 1
        stop.set()
        if signals > 1:
            gate.hub.hurry()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    serving: asyncio.Task[Any] = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if serving.done():
        await serving
        return
    watching = asyncio.create_task(watch(gate.hub.runner, limits, on_ready))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping, watching), return_when=asyncio.FIRST_COMPLETED)
    trouble = watching.exception() if watching.done() else None
    await (gate.hub.fail() if trouble else gate.hub.drain(limits.drain_s))
    server.should_exit = True
    await serving
    stopping.cancel()
    watching.cancel()
    await asyncio.to_thread(gate.hub.store.close)
    if trouble is not None:
        raise trouble


async def watch(runner: Runner, limits: Limits, on_ready: Callable[[], None]) -> None:
    """Wait for the model's first step, then for one that never ends.

    Raises:
        ModelError: always; it says what happened.
    """
    await asyncio.to_thread(runner.canary, limits.start_s)
    on_ready()
    while (trouble := runner.trouble(limits.step_s)) is None:
        await asyncio.sleep(WATCH_S)
    raise ModelError(f"the model will not go on: {trouble}. Sessions are safe; start vigil serve again.")
