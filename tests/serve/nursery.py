"""Server processes with a scripted model, run as `vigil serve` runs them, forked so that each starts in an instant.

with Nursery() as nursery:
    server = nursery.start(folder, script=["Hi."])
    client = server.client()
    server.kill(signal.SIGTERM)
    assert server.wait() == 0
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import connect

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import vigil
from tests.fakes import ScriptedModel
from tests.serve.serving import ADMIN, Client
from vigil.config import StreamConfig
from vigil.errors import VigilError
from vigil.model import VideoModel
from vigil.model.tokens import SILENCE
from vigil.serve.app import ServeConfig, create_app
from vigil.serve.auth import SessionKeys, Tokens
from vigil.serve.durable import Store, StoreConfig
from vigil.serve.gate import GateConfig
from vigil.serve.limits import Limits
from vigil.serve.runner import Runner
from vigil.serve.server import listen, run

CANARY_STEPS = 2
"""Entries of a script that the first look at the model takes: its opening slot, and one frame."""


class Stuck(ScriptedModel):
    """A model whose steps never end from a certain one on."""

    def __init__(self, *script: str, after: int) -> None:
        super().__init__(*script)
        self._after = after

    def decode(self, *args: Any, **named: Any) -> Any:
        """As the name says."""
        if self.used >= self._after:
            threading.Event().wait()
        return super().decode(*args, **named)


class Server:
    """One server process."""

    def __init__(self, nursery: Nursery, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port
        self._nursery = nursery

    def client(self, *, open_id: str | None = None, **more: Any) -> Client:
        """A socket; with `open_id`, also a session without sources of frames."""
        client = self._nursery.client(self.port)
        if open_id is not None:
            client.open(open_id, sources=more.pop("sources", []), **more)
        return client

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, once it has ended; minus the signal that ended it."""
        return int(self._nursery.ask(op="wait", pid=self.pid)["code"])


class Nursery:
    """The process that all servers are forked from. It has imported everything and started no thread."""

    def __enter__(self) -> Self:
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-P", __file__]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
        )
        self._sockets = ExitStack()
        self._pids: list[int] = []
        return self

    def __exit__(self, *exc: object) -> None:
        self._sockets.close()
        for pid in self._pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def start(self, folder: Path, **how: Any) -> Server:
        """Start a server and wait until it serves. `how`: as the arguments of `serve` below."""
        told = self.ask(op="start", folder=str(folder), **how)
        self._pids.append(told["pid"])
        return Server(self, told["pid"], told["port"])

    def client(self, port: int) -> Client:
        """A socket to a server of ours."""
        headers = {"Authorization": f"Bearer {ADMIN}"}
        url = f"ws://127.0.0.1:{port}/v1/stream"
        opening = connect(url, subprotocols=["vigil.v1"], additional_headers=headers, compression=None, close_timeout=1)
        return Client(self._sockets.enter_context(opening))

    def ask(self, **what: Any) -> dict[str, Any]:
        """Have the process do something."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told


@contextmanager
def nursing() -> Iterator[Nursery]:
    """For fixtures."""
    with Nursery() as nursery:
        yield nursery


# ---- the process -----------------------------------------------------------------------------------------------------


def main() -> None:
    """Fork servers until stdin ends."""
    for line in sys.stdin:
        what = json.loads(line)
        if what.pop("op") == "start":
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reader)
                os._exit(serve(writer, **what))
            os.close(writer)
            with os.fdopen(reader) as pipe:
                told = {"pid": pid, "port": int(pipe.readline() or 0)}
        else:
            code = os.waitpid(what["pid"], 0)[1]
            told = {"code": os.waitstatus_to_exitcode(code)}
        print(json.dumps(told), flush=True)


def serve(
    writer: int,
    folder: str,
    *,
    script: tuple[str, ...] = (),
    tokens_per_s: float = 200.0,
    limits: dict[str, Any] | None = None,
    stuck_after: int | None = None,
    nano: bool = False,
    hosts: tuple[str, ...] = (),
    cameras: dict[str, str] | None = None,
    leak_bytes_per_s: int = 0,
) -> int:
    """Serve until a signal; the exit code. `nano`: no script, the real model."""
    entries = (*[SILENCE] * CANARY_STEPS, *script)
    model: VideoModel = vigil.load("nano") if nano else ScriptedModel(*entries)
    if stuck_after is not None:
        model = Stuck(*entries, after=CANARY_STEPS + stuck_after)
    if leak_bytes_per_s:
        threading.Thread(target=leak, args=(leak_bytes_per_s,), daemon=True).start()
    runner = Runner(model, name="scripted", stream=StreamConfig(tokens_per_s=tokens_per_s), seats=64)
    store = Store(Path(folder), StoreConfig(group_s=0.001, ballast_bytes=0, low_bytes=0, critical_bytes=0))
    config = ServeConfig(
        limits=Limits(**{"seats": 64, "step_s": 60.0, **(limits or {})}),
        gate=GateConfig(hosts=tuple(hosts)),
        cameras=cameras or {},
    )
    listener = listen("127.0.0.1", 0)

    def ready() -> None:
        os.write(writer, f"{listener.getsockname()[1]}\n".encode())

    async def work() -> None:
        gate = create_app(runner, store, Tokens.of(admin=ADMIN), SessionKeys(b"test"), config)
        await run(gate, listener, limits=config.limits, on_ready=ready)

    try:
        asyncio.run(work())
    except VigilError as error:
        return error.exit_code
    return 0


def leak(bytes_per_s: int) -> None:
    """Planted: memory that is never given back."""
    kept: list[bytes] = []
    while True:
        kept.append(os.urandom(bytes_per_s))
        threading.Event().wait(1.0)


if __name__ == "__main__":
    main()
