"""A proxy that breaks every connection at a chosen byte, and what must hold for a client behind it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import vigil.client
from tests.serve.serving import ADMIN, Served
from vigil.serve.gate import GateConfig

Row = dict[str, Any]
QUICK = vigil.client.Reconnect(first_s=0.002, last_s=0.01)


def connected(served: Served, token: str = ADMIN) -> vigil.client.Client:
    """A client of a server."""
    return vigil.client.connect(f"http://127.0.0.1:{served.port}", token=token, reconnect=QUICK)


@dataclass
class Proxy:
    """Stands before a server; connection i is reset after `cuts[i]` bytes in one direction, later ones are not."""

    cuts: Sequence[int]
    upstream: bool
    port: int = 0
    """Where it listens."""
    server_port: int = 0
    num_connections: int = 0
    is_held: bool = False
    """Nothing is read from either side any more, and the connections stay: half open, or a reader that stands still."""
    connected: list[asyncio.StreamWriter] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def gate(self) -> GateConfig:
        """For a server that shall answer behind it."""
        return GateConfig(hosts=(f"127.0.0.1:{self.port}",))

    @property
    def is_cutting(self) -> bool:
        """There are connections yet to be broken."""
        return self.num_connections <= len(self.cuts)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways."""
        number, self.num_connections = self.num_connections, self.num_connections + 1
        left = self.cuts[number] if number < len(self.cuts) else None
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        self.connected += [writer, back]
        up = asyncio.create_task(self._pipe(reader, back, left if self.upstream else None))
        down = asyncio.create_task(self._pipe(there, writer, None if self.upstream else left))
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        for pipe in (up, down):
            pipe.cancel()
        writer.transport.abort()
        back.transport.abort()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                while self.is_held:
                    await asyncio.sleep(0.02)
                part = data if left is None else data[:left]
                writer.write(part)
                await writer.drain()
                if left is not None:
                    left -= len(part)
                    if left <= 0:
                        return

    def cut(self) -> None:
        """Break what is connected now. From any thread."""
        connected, self.connected = self.connected, []
        for writer in connected:
            self.loop.call_soon_threadsafe(writer.transport.abort)


@contextmanager
def cutting(cuts: Sequence[int] = (), *, upstream: bool = False) -> Iterator[Proxy]:
    """Run a proxy in a thread; `server_port` is to be set once the server runs."""
    proxy = Proxy(cuts, upstream)
    loop = proxy.loop
    started = threading.Event()

    async def listen() -> None:
        server = await asyncio.start_server(proxy.take, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        started.set()
        with suppress(asyncio.CancelledError):
            await server.serve_forever()
        proxy.cut()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    task = loop.create_task(listen())
    thread = threading.Thread(target=lambda: loop.run_until_complete(task), name="test-proxy")
    thread.start()
    try:
        assert started.wait(20)
        yield proxy
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        loop.close()


def log_of(served: Served, session_id: str) -> list[Row]:
    """The events of a session, as the server has kept them."""
    with served.http as http:
        lines = http.get(f"/v1/sessions/{session_id}/events?limit=9999").text.splitlines()
    return [json.loads(line) for line in lines]


def violations(rows: list[Row], log: list[Row], *, asked: list[str], frames: list[int | None]) -> list[str]:
    """What is wrong with what a client was given: each event once and in order, each question once, each frame once."""
    found = []
    if [row["seq"] for row in rows] != list(range(1, len(rows) + 1)):
        jumps = [(a["seq"], b["seq"]) for a, b in pairwise(rows) if b["seq"] != a["seq"] + 1]
        found.append(f"numbers jump {jumps}")
    if rows != log:
        found.append(f"{len(rows)} events given, {len(log)} in the log")
    if [row["text"] for row in log if row["type"] == "input.text.accepted"] != asked:
        found.append("questions are missing, doubled or out of order")
    if frames != list(range(1, len(frames) + 1)):
        found.append(f"frames are numbered {frames}")
    usage = log[-1].get("usage", {"frames": {"received": -1, "dropped": -1}})["frames"]
    if (usage["received"], usage["dropped"]) != (len(frames), 0):
        found.append(f"{len(frames)} frames sent, {usage['received']} received, {usage['dropped']} dropped")
    return found
