"""Many replicas of the server, as Ray Serve applications, behind one address.

    vigil serve --replicas 2 --data DIR      # starts them, and the entry that sends clients to them
    vigil serve --drain 1                    # ends one: nobody new, what is said is finished, logs stay

Each replica is an application of its own under a path of its own, /0, /1, ..., with a model, an event log and uploads
of its own. A client is sent to one of them once, by the entry at /, and stays with that path: whatever it opens,
uploads and resumes is where it was, also after the replica was restarted. No request has to be understood to be routed,
and nothing moves between logs. Tokens and session keys are the same everywhere.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from vigil.errors import ConfigError
from vigil.serve.build import Options, build
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
    """One replica, as one server of its own would be run."""

    number: int
    options: Options

    @property
    def prefix(self) -> str:
        """The path under which it is found."""
        return f"/{self.number}"


def replica_configs(options: Options, count: int) -> list[ReplicaConfig]:
    """So many replicas. Tokens and the secret are those of all; each writes to a folder of its own in `data`."""
    data = options.data.resolve()
    shared = replace(options, token_file=options.tokens.resolve(), secret_file=options.secret.resolve())
    return [
        ReplicaConfig(number=number, options=replace(shared, data=data / f"replica-{number}"))
        for number in range(count)
    ]


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
        """Redirect to the emptiest replica, or say that all are full."""
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
            self.gate = build(self.config.options)
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

    @serve.deployment(name="Entry", num_replicas=1, ray_actor_options={"num_cpus": 0})
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


def start(configs: Sequence[ReplicaConfig], *, num_gpus: float = 0.0) -> None:
    """Start everything; return when all of it answers. Tokens are made before anybody could race for them."""
    from ray import serve

    from vigil.serve.auth import SessionKeys, Tokens

    options = configs[0].options
    Tokens.from_file(options.tokens)
    SessionKeys.from_file(options.secret)
    serve.start(http_options={"host": options.host, "port": options.port})
    for config in configs:
        serve.run(replica(config, num_gpus=num_gpus), name=REPLICA.format(config.number), route_prefix=config.prefix)
    serve.run(entry(), name=ENTRY, route_prefix="/")


def drain(number: int) -> None:
    """End one replica in good order; its log stays, and it can be started again under its number.

    Raises:
        ConfigError: there is no such replica.
    """
    from ray import serve

    if number not in running():
        raise ConfigError(f"there is no replica {number}. There are {running()}.")
    serve.get_app_handle(REPLICA.format(number)).drain.remote().result(timeout_s=60)
    serve.delete(REPLICA.format(number))


def run_replicas(configs: Sequence[ReplicaConfig], *, num_gpus: float, on_ready: Callable[[], None]) -> None:
    """Start all, and drain all on SIGTERM or ctrl-C.

    Raises:
        ConfigError: Ray is not installed, the cluster that RAY_ADDRESS names is not there, or it is too small.
    """
    _join(os.environ.get("RAY_ADDRESS"))
    import ray
    from ray import serve

    check_room(len(configs), num_gpus, ray.cluster_resources())
    start(configs, num_gpus=num_gpus)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    on_ready()
    stop.wait()
    for number in running():
        drain(number)
    serve.shutdown()


def check_room(replicas: int, num_gpus: float, resources: Mapping[str, float]) -> None:
    """Raises: ConfigError: replicas would wait for ever, for a processor each or for their GPUs."""
    for name, wanted in (("CPU", float(replicas)), ("GPU", replicas * num_gpus)):
        there = resources.get(name, 0.0)
        if wanted > there:
            raise ConfigError(
                f"{replicas} replicas want {wanted:g} {name}s, and Ray has {there:g}. Give fewer --replicas, or set "
                "RAY_ADDRESS to a larger cluster."
            )


def drain_one(number: int) -> None:
    """End one of the replicas that run on this machine or cluster.

    Raises:
        ConfigError: Ray is not installed, nothing runs, or there is no such replica.
    """
    _join("auto")
    drain(number)


def _join(address: str | None) -> None:
    try:
        import ray
    except ImportError as error:
        raise ConfigError("many replicas need Ray. Run pip install 'vigil-video[serve,scale]'.") from error
    try:
        ray.init(address=address, log_to_driver=False)
    except ConnectionError as error:
        raise ConfigError("no replicas run here, or their Ray cluster is not reached. Check RAY_ADDRESS.") from error
