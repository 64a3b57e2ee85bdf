"""A real server on a real socket of this machine, in a thread, with a scripted model; and a small client."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.fakes import ScriptedModel, picture
from vigil.config import StreamConfig
from vigil.model import VideoModel
from vigil.serve.app import ServeConfig, create_app
from vigil.serve.auth import SessionKeys, Tokens
from vigil.serve.children import resident_bytes
from vigil.serve.durable import Store, StoreConfig
from vigil.serve.frames import ClientFrame, pack_frame
from vigil.serve.gate import Gate
from vigil.serve.limits import Limits
from vigil.serve.runner import Runner
from vigil.serve.server import Server, listen, make_server

ADMIN, TALK, VIEW = "a" * 64, "b" * 64, "c" * 64
PACE = 200.0
"""Tokens per second: answers take no time."""
PATIENT = Limits(stale_s=60, after_frame_s=60, decode_s=60)
"""For machines that have other things to do: nothing is dropped because a child process starts slowly."""
CROWD = replace(
    PATIENT, errors=10**7, control_burst=10**7, seat_s=0.1, seats=1500, sockets_per_ip=10**4, sockets_per_token=10**4
)
"""For thousands of messages, sessions and sockets."""
Row = dict[str, Any]


@dataclass
class Served:
    """A server that runs."""

    gate: Gate
    port: int
    loop: asyncio.AbstractEventLoop
    server: Server
    sockets: ExitStack = field(default_factory=ExitStack)

    @property
    def http(self) -> httpx.Client:
        """A client with the admin's token."""
        return httpx.Client(
            verify=False, base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {ADMIN}"}
        )

    def client(self, token: str = ADMIN, **more: Any) -> Client:
        """A socket whose handshake says who it is."""
        return self.raw(additional_headers={"Authorization": f"Bearer {token}"}, **more)

    def raw(self, *, path: str = "/v1/stream", subprotocols: list[str] | None = None, **more: Any) -> Client:
        """A socket as given."""
        offered = ["vigil.v1"] if subprotocols is None else subprotocols
        url = f"ws://127.0.0.1:{self.port}{path}"
        opening = connect(url, subprotocols=offered or None, compression=None, close_timeout=1, **more)
        return Client(self.sockets.enter_context(opening))

    def session(self, open_id: str = "open-0001", **more: Any) -> Client:
        """A socket with a session that has one source of frames."""
        client = self.client()
        client.open(open_id, **more)
        return client

    def call(self, work: Callable[[], Any]) -> Any:
        """Run a function on the server's event loop."""

        async def on_loop() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(on_loop(), self.loop).result(5)


class Client:
    """Talks to `/v1/stream` and remembers everything it was told."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.rows: list[Row] = []
        self.texts: list[str] = []
        self.cmd = 0
        self._taken: set[int] = set()
        self.ready: Row = {}

    def open(self, open_id: str = "open-0001", **more: Any) -> Row:
        """Begin a session."""
        sources = more.pop("sources", [{"source": 0, "kind": "push"}])
        self.send(type="session.open", client_id="me", open_id=open_id, sources=sources, **more)
        self.ready = self.until("session.ready")
        return self.ready

    def resume(self, ready: Row, after: int, client_id: str = "me") -> Row:
        """Take control of a session again."""
        fields = {"session_id": ready["session_id"], "resume_token": ready["resume_token"]}
        self.send(type="session.resume", client_id=client_id, after=after, **fields)
        self.ready = self.until("session.ready")
        self.cmd = self.ready["applied_cmd"]
        return self.ready

    def send(self, **fields: Any) -> None:
        """Send a message."""
        self.ws.send(json.dumps(fields))

    def command(self, name: str, /, **fields: Any) -> int:
        """Send the next command; return its number."""
        self.cmd += 1
        self.send(type=name, cmd=self.cmd, **fields)
        return self.cmd

    def ask(self, text: str = "What?", mode: str = "interrupt", **more: Any) -> int:
        """Ask something."""
        return self.command("input.text", text=text, mode=mode, **more)

    def frame(self, frame_no: int, ts: float | None = None, *, source: int = 0, image: bytes | None = None) -> None:
        """Send a picture."""
        ts_us = int((frame_no * 0.1 if ts is None else ts) * 1e6)
        self.ws.send(pack_frame(ClientFrame(source, frame_no, ts_us, jpeg(frame_no) if image is None else image)))

    def next(self, timeout: float = 5.0) -> Row:
        """The next message."""
        text = self.ws.recv(timeout=timeout)
        assert isinstance(text, str)
        row: Row = json.loads(text)
        self.rows.append(row)
        self.texts.append(text)
        return row

    def until(self, kind: str, /, timeout: float = 30.0, **fields: Any) -> Row:
        """The first message of a type, with these fields, that was not asked for before; wait where it must come yet.

        Messages of different types may overtake each other, so those that came before are looked at too.
        """
        deadline, at = time.monotonic() + timeout, 0
        while True:
            while at == len(self.rows):
                self.next(max(0.0, deadline - time.monotonic()))
            row = self.rows[at]
            if at not in self._taken and row["type"] == kind and fields.items() <= row.items():
                self._taken.add(at)
                return row
            at += 1

    def done(self, cmd: int) -> Row:
        """Wait for the effect of a command."""
        return self.until("command.done", cmd=cmd)

    def error(self) -> str:
        """The code of the next error."""
        return str(self.until("error")["code"])

    def close_code(self, timeout: float = 5.0) -> int:
        """Read on until the other side closes; its code."""
        try:
            while True:
                self.next(timeout)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 1006

    @property
    def events(self) -> list[Row]:
        """The durable events seen so far."""
        return [row for row in self.rows if "seq" in row and row["type"] != "command.done"]

    @property
    def lines(self) -> list[str]:
        """The same as they came."""
        pairs = zip(self.rows, self.texts, strict=True)
        return [text for row, text in pairs if "seq" in row and row["type"] != "command.done"]

    def close(self) -> None:
        """Hang up."""
        self.ws.close()


@contextmanager
def serving(
    model: VideoModel | None = None,
    *,
    folder: Path | None = None,
    tokens_per_s: float = PACE,
    seats: int = 8,
    **config: Any,
) -> Iterator[Served]:
    """Run a server. Without a folder it remembers in memory; without a model it is silent."""
    stream = StreamConfig(tokens_per_s=tokens_per_s)
    runner = Runner(model or ScriptedModel(), name="scripted", seats=seats, stream=stream)
    config.setdefault("limits", PATIENT)
    store = Store(folder, StoreConfig(group_s=0.001, ballast_bytes=4096, low_bytes=2, critical_bytes=1))
    tokens = Tokens.of(admin=ADMIN, talk=TALK, view=VIEW)
    listener = listen("127.0.0.1", 0)
    started, box = threading.Event(), {}

    async def main() -> None:
        gate = create_app(runner, store, tokens, SessionKeys(b"test"), ServeConfig(**config))
        server = make_server(gate, limits=gate.hub.limits)
        serve = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serve.done():
            await asyncio.sleep(0.002)
        port = listener.getsockname()[1]
        box["served"] = Served(gate, port, asyncio.get_running_loop(), server)
        started.set()
        await serve

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="test-server")
    thread.start()
    try:
        assert started.wait(20)
        yield box["served"]
    finally:
        if "served" in box:
            box["served"].sockets.close()
            box["served"].server.should_exit = True
        thread.join(20)
        store.close()
        assert not thread.is_alive(), "the server did not end"


def jpeg(seed: int = 0, size: tuple[int, int] = (32, 24)) -> bytes:
    """A small picture, encoded."""
    out = io.BytesIO()
    Image.fromarray(picture(seed)).resize(size).save(out, "JPEG")
    return out.getvalue()


def kinds(rows: list[Row], *leave_out: str) -> list[str]:
    """The types of messages, in order."""
    return [row["type"] for row in rows if row["type"] not in leave_out]


def resident_mib() -> float:
    """Memory of this process, without what is garbage, or freed and kept by the allocator for later."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return resident_bytes(os.getpid()) / 2**20
