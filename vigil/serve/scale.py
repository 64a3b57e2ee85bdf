"""Many replicas of the server, as Ray Serve applications, behind one address.

    python -m vigil.serve.scale --replicas 2 --data DIR      # starts them, and the entry that sends clients to them
    python -m vigil.serve.scale --drain 1                    # ends one: nobody new, what is said is finished, logs stay

Each replica is an application of its own under a path of its own, /0, /1, ..., with a model, an event log and uploads
of its own. A client is sent to one of them once, by the entry at /, and stays with that path: whatever it opens,
uploads and resumes is where it was, also after the replica was restarted. No request has to be understood to be routed,
and nothing moves between logs. Tokens and session keys are the same everywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from vigil.errors import ConfigError
from vigil.serve.protocol import SUBPROTOCOL
from vigil.serve.refusal import CLOSE_FULL

if TYPE_CHECKING:
    from vigil.serve.gate import Gate

ENTRY, REPLICA = "vigil", "vigil-{}"
"""Names of the applications."""
LOADS_S = 1.0
"""How long the entry relies on what the replicas have told it of their load."""
FULL = 1.0
AWAY = re.compile(r"/\d+(/|$)")
"""A path of a replica; the entry sees it only while there is no such replica."""
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]
Loads = Callable[[], Awaitable[Mapping[int, float]]]
"""Share of the seats that are taken, for each replica that takes new sessions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaConfig:
    """One replica. `data` is shared by all; each writes to a folder of its own in it."""

    number: int
    data: Path
    model: str = "nano"
    seats: int = 8
    hosts: tuple[str, ...] = ()
    """More values of the Host header, such as "vigil.example"."""
    origins: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """The path under which it is found."""
        return f"/{self.number}"


def build(config: ReplicaConfig) -> Gate:
    """The server of one replica, with the model loaded.

    Raises:
        ConfigError, StorageError, ModelError: tokens, log or model cannot be opened.
    """
    from vigil.model import load
    from vigil.serve.app import ServeConfig, create_app
    from vigil.serve.auth import SessionKeys, Tokens
    from vigil.serve.durable import Store, StoreConfig
    from vigil.serve.gate import GateConfig
    from vigil.serve.limits import Limits
    from vigil.serve.runner import Runner, weights_sha256

    os.umask(0o077)
    folder = config.data / f"replica-{config.number}"
    limits = Limits(seats=config.seats)
    tokens, keys = Tokens.from_file(config.data / "token"), SessionKeys.from_file(config.data / "secret")
    runner = Runner(
        load(config.model), name=Path(config.model).name, sha256=weights_sha256(config.model), seats=limits.seats
    )
    store = Store(folder, StoreConfig(keep_s=limits.keep_s))
    gate = GateConfig(hosts=config.hosts, origins=config.origins)
    return create_app(runner, store, tokens, keys, ServeConfig(limits=limits, gate=gate, uploads=folder / "uploads"))


def under(prefix: str, app: ASGIApp) -> ASGIApp:
    """An application that knows nothing of the path it is put under, nor of whether its sockets can be cut."""

    async def moved(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            path = scope["path"].removeprefix(prefix) or "/"
            extensions = {**scope.get("extensions", {}), "vigil": {"abort": lambda code: None}}
            scope = {**scope, "path": path, "raw_path": path.encode(), "root_path": "", "extensions": extensions}
        await app(scope, receive, send)

    return moved


def entry_app(loads: Loads) -> ASGIApp:
    """Sends everybody who comes to the replica that has most room, and tells which there are."""

    async def place(request: Request) -> Response:
        found = await loads()
        is_away = AWAY.match(request.url.path) is not None
        if is_away or not found or min(found.values()) >= FULL:
            return PlainTextResponse("away" if is_away else "full", status_code=503, headers={"retry-after": "5"})
        number = min(found, key=lambda number: (found[number], number))
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/{number}{request.url.path}{query}", status_code=307)

    async def replicas(request: Request) -> Response:
        return JSONResponse({"replicas": {f"/{number}": load for number, load in sorted((await loads()).items())}})

    async def away(ws: WebSocket) -> None:
        offered = ws.scope["subprotocols"]
        await ws.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        await ws.close(CLOSE_FULL)  # whoever was with a replica that is away comes again

    routes = [
        Route("/replicas", replicas),
        Route("/{path:path}", place, methods=METHODS),
        WebSocketRoute("/{path:path}", away),
    ]
    return Starlette(routes=routes)


def replica(config: ReplicaConfig, *, num_gpus: float = 0.0) -> Any:
    """One replica as an application for `ray.serve.run`."""
    from ray import serve

    @serve.deployment(
        name="Replica",
        num_replicas=1,
        max_ongoing_requests=10_000,
        graceful_shutdown_timeout_s=40.0,
        ray_actor_options={"num_gpus": num_gpus},
    )
    @serve.ingress()
    class Replica:
        """The server, and what the entry and an operator ask of it beside."""

        def __init__(self, config: ReplicaConfig) -> None:
            self.config = config
            self.gate: Gate | None = None

        def __serve_build_asgi_app__(self) -> ASGIApp:
            self.gate = build(self.config)
            return under(self.config.prefix, self.gate)

        async def load(self) -> float | None:
            """Share of the seats that are taken; None where nobody new is let in."""
            return None if self.gate is None or self.gate.hub.is_draining else self.gate.hub.load

        async def drain(self) -> None:
            """Let nobody new in, finish what is being said, and send everybody away."""
            assert self.gate is not None
            await self.gate.hub.drain(self.gate.hub.limits.drain_s)

    return Replica.bind(config)  # type: ignore[attr-defined]


def entry() -> Any:
    """The entry as an application for `ray.serve.run`."""
    from ray import serve

    @serve.deployment(name="Entry", num_replicas=1, ray_actor_options={"num_cpus": 0.1})
    @serve.ingress()
    class Entry:
        """Asks the replicas for their load."""

        def __init__(self) -> None:
            self._known: dict[int, float] = {}
            self._until = 0.0
            self._asking = asyncio.Lock()

        def __serve_build_asgi_app__(self) -> ASGIApp:
            return entry_app(self._loads)

        async def _loads(self) -> Mapping[int, float]:
            async with self._asking:
                if time.monotonic() > self._until:
                    numbers = await asyncio.to_thread(running)
                    answers = await asyncio.gather(*(load_of(number) for number in numbers))
                    self._known = {n: load for n, load in zip(numbers, answers, strict=True) if load is not None}
                    self._until = time.monotonic() + LOADS_S
            return self._known

    return Entry.bind()  # type: ignore[attr-defined]


def running() -> list[int]:
    """The replicas that there are."""
    from ray import serve

    names = serve.status().applications
    return sorted(int(name.removeprefix("vigil-")) for name in names if name.startswith("vigil-"))


async def load_of(number: int) -> float | None:
    """What a replica tells; None where it does not answer."""
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        async with asyncio.timeout(LOADS_S):
            load: float | None = await serve.get_app_handle(REPLICA.format(number)).load.remote()
    except (TimeoutError, RayError, RayServeException):
        return None
    return load


def start(configs: list[ReplicaConfig], *, host: str, port: int, num_gpus: float = 0.0) -> None:
    """Start everything; return when all of it answers. Tokens are made before anybody could race for it."""
    from ray import serve

    from vigil.serve.auth import SessionKeys, Tokens

    for config in configs[:1]:
        Tokens.from_file(config.data / "token")
        SessionKeys.from_file(config.data / "secret")
    serve.start(http_options={"host": host, "port": port})
    for config in configs:
        serve.run(replica(config, num_gpus=num_gpus), name=REPLICA.format(config.number), route_prefix=config.prefix)
    serve.run(entry(), name=ENTRY, route_prefix="/")


def drain(number: int) -> None:
    """End one replica in good order; its log stays, and it can be started again under its number."""
    from ray import serve

    if number not in running():
        raise ConfigError(f"there is no replica {number}. There are {running()}.")
    serve.get_app_handle(REPLICA.format(number)).drain.remote().result(timeout_s=60)
    serve.delete(REPLICA.format(number))


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = argparse.ArgumentParser(prog="python -m vigil.serve.scale", description=__doc__.split("\n")[0])
    flags.add_argument("--replicas", type=int, default=2, metavar="N", help="how many (default: 2)")
    flags.add_argument("--data", type=Path, default=Path.home() / ".vigil" / "scale", metavar="DIR")
    flags.add_argument("--model", default="nano", metavar="NAME", help="nano, a folder, or a hub name")
    flags.add_argument("--max-sessions", type=int, default=8, metavar="N", help="of each replica (default: 8)")
    flags.add_argument("--gpus", type=float, default=0.0, metavar="N", help="of each replica (default: 0)")
    flags.add_argument("--host", default="127.0.0.1", metavar="ADDRESS")
    flags.add_argument("--port", type=int, default=8765, metavar="PORT")
    flags.add_argument("--allow-host", action="append", default=[], metavar="HOST")
    flags.add_argument("--allow-origin", action="append", default=[], metavar="ORIGIN")
    flags.add_argument("--drain", type=int, metavar="NUMBER", help="end one that runs, and do nothing else")
    return flags


def main(argv: list[str] | None = None) -> None:
    """Start, and drain all on SIGTERM or ctrl-C; or drain one."""
    args = parser().parse_args(argv)
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise ConfigError("many replicas need Ray. Run pip install 'vigil-video[serve,scale]'.") from error
    ray.init(address="auto" if args.drain is not None else os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    if args.drain is not None:
        drain(args.drain)
        return
    more = {"model": args.model, "seats": args.max_sessions}
    more |= {"hosts": tuple(args.allow_host), "origins": tuple(args.allow_origin)}
    start(
        [ReplicaConfig(number=number, data=args.data.resolve(), **more) for number in range(args.replicas)],
        host=args.host,
        port=args.port,
        num_gpus=args.gpus,
    )
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    print(
        f"{args.replicas} replicas at http://{args.host}:{args.port}/ (token: {args.data / 'token'})", file=sys.stderr
    )
    stop.wait()
    for number in running():
        drain(number)
    serve.shutdown()


if __name__ == "__main__":
    from vigil.serve import scale  # under its own name, by which replicas find it

    scale.main()
