"""The application: routes, and what they need, put together. `create_app` is all that a server has to know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from vigil.serve.auth import Grant, SessionKeys, Tickets, Tokens, WrongTokens
from vigil.serve.durable import Gap, Store
from vigil.serve.gate import Gate, GateConfig, error_body
from vigil.serve.limits import Limits
from vigil.serve.metrics import Metrics, measure
from vigil.serve.protocol import VERSION
from vigil.serve.refusal import HTTP_STATUS, Refusal
from vigil.serve.runner import Runner
from vigil.serve.sessions import Hub
from vigil.serve.sockets import Door, Socket
from vigil.serve.store_folder import num_bytes
from vigil.serve.uploads import Uploads
from vigil.serve.watchman import Watchman

PAGE = Path(__file__).parent / "page"
PAGE_TYPES = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png",
    ".ico": "image/x-icon", ".json": "application/json", ".webmanifest": "application/manifest+json",
    ".mp4": "video/mp4", ".woff2": "font/woff2",
}  # fmt: skip
"""What is served of the page's folder, and as what."""
EVENTS_PER_REPLY = 10_000


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What an operator chooses. The model, the store and the tokens are opened before."""

    limits: Limits = field(default_factory=Limits)
    gate: GateConfig = field(default_factory=GateConfig)
    cameras: Mapping[str, str] = field(default_factory=dict)
    """Names and addresses of live sources."""
    media: Mapping[str, Path] = field(default_factory=dict)
    """Names and files that `/v1/realtime` may play."""
    compat_markers: bool = False
    uploads: Path | None = None
    """Folder for uploads; None: a temporary one."""


def create_app(runner: Runner, store: Store, tokens: Tokens, keys: SessionKeys, config: ServeConfig) -> Gate:
    """The whole server as one ASGI application; `gate.hub` is what a driver drains at the end."""
    metrics = Metrics()
    limits = config.limits
    tickets, wrong = Tickets(limits), WrongTokens(limits)
    uploads = Uploads(config.uploads, limits)
    hub = Hub(runner, store, keys, limits=limits, uploads=uploads, metrics=metrics, cameras=dict(config.cameras))

    watchman = Watchman(hub)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """The model's thread and the server's clock run for as long as the app does."""
        runner.start()
        clock = asyncio.create_task(watchman.run())
        yield
        await hub.drain(0.0)
        clock.cancel()
        await asyncio.to_thread(runner.close)
        uploads.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.hub = hub
    add_errors(app)
    add_page(app)
    add_health(app, hub, watchman)
    add_sessions(app, hub, tickets)
    add_uploads(app, hub)
    add_sockets(app, hub, Door(tokens, tickets, wrong), config)
    from vigil.serve.chat import add_chat

    add_chat(app, hub)
    return Gate(app, config.gate, tokens, tickets, wrong, hub)


def grant_of(request: Request) -> Grant:
    """Who asks; the gate has seen to it that there is somebody."""
    grant = request.scope["state"]["grant"]
    assert isinstance(grant, Grant)
    return grant


def add_errors(app: FastAPI) -> None:
    """Errors are a code and a number, never a text of ours or of a library."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        more = {} if refusal.retry_after_s is None else {"retry-after": str(int(refusal.retry_after_s))}
        return JSONResponse(error_body(refusal), status_code=HTTP_STATUS[refusal.code], headers=more)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def not_found(request: Request, error: Exception) -> Response:
        return JSONResponse(error_body(Refusal("not_found")), status_code=404)

    @app.exception_handler(500)
    async def failed(request: Request, error: Exception) -> Response:
        return JSONResponse(error_body(Refusal("internal")), status_code=500)


def add_page(app: FastAPI) -> None:
    """The web page: plain files from one folder."""

    @app.get("/")
    async def index() -> Response:
        return page_file("index.html")

    @app.get("/page/{name:path}")
    async def page(name: str) -> Response:
        if name == "demo.mp4":
            from vigil.assets import demo_clip

            return FileResponse(demo_clip(), media_type="video/mp4")
        return page_file(name)


def page_file(name: str) -> Response:
    """A file of the page. Raises: Refusal: `not_found`, also for every way out of the folder."""
    path = (PAGE / name).resolve()
    if not path.is_relative_to(PAGE.resolve()) or path.suffix not in PAGE_TYPES or not path.is_file():
        raise Refusal("not_found")
    return FileResponse(path, media_type=PAGE_TYPES[path.suffix])


def add_health(app: FastAPI, hub: Hub, watchman: Watchman) -> None:
    """For monitoring."""

    @app.get("/livez")
    async def livez() -> Response:
        return PlainTextResponse("ok" if watchman.is_alive else "late", status_code=200 if watchman.is_alive else 503)

    @app.get("/readyz")
    async def readyz() -> Response:
        is_ready = await watchman.is_ready()
        return PlainTextResponse("ready" if is_ready else "not ready", status_code=200 if is_ready else 503)

    @app.get("/metrics")
    async def figures() -> Response:
        hub.metrics.log_bytes.set(await asyncio.to_thread(num_bytes, hub.store.folder))
        measure(hub)
        return Response(hub.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/capabilities")
    async def capabilities() -> dict[str, Any]:
        """What a client may rely on before it opens a session."""
        return {
            "protocol": VERSION,
            "version": version("vigil-video"),
            "model": hub.runner.name,
            "weights_sha256": hub.runner.sha256,
            "limits": hub.limits.shown(),
            "formats": {"frames": ["jpeg", "png", "webp"], "uploads": ["mp4", "mkv", "webm", "avi", "mpegts"]},
            "cameras": sorted(hub.cameras),
            "recordings": False,
            "demo": {"upload_id": "demo", "clip": "/page/demo.mp4", "questions": demo_questions()},
        }


def demo_questions() -> list[dict[str, Any]]:
    """The questions that come with the bundled clip."""
    from vigil import assets

    return [{"at_s": q.at_s, "text": q.text, "standing": q.standing} for q in assets.demo_questions()]


def add_sessions(app: FastAPI, hub: Hub, tickets: Tickets) -> None:
    """Sessions over plain HTTP."""

    @app.post("/v1/ticket")
    async def ticket(request: Request) -> dict[str, Any]:
        return {"ticket": tickets.issue(grant_of(request)), "expires_s": hub.limits.ticket_s}

    @app.get("/v1/sessions")
    async def sessions() -> dict[str, Any]:
        names = await asyncio.to_thread(hub.store.ids)
        return {"sessions": [{"session_id": name, "live": name in hub.active} for name in names]}

    @app.delete("/v1/sessions/{session_id}")
    async def delete(session_id: str, request: Request) -> Response:
        await hub.delete(session_id, grant_of(request))
        return Response(status_code=204)

    @app.get("/v1/sessions/{session_id}/events")
    async def events(session_id: str, request: Request, after: int = 0, limit: int = 1000) -> Response:
        grant = grant_of(request)
        return await event_lines(hub, session_id, grant, after=max(0, after), limit=limit)


async def event_lines(hub: Hub, session_id: str, grant: Grant, *, after: int, limit: int) -> Response:
    """The log as lines. Raises: Refusal: `not_found`, `forbidden`, `gone` where the next event has expired."""
    known = await asyncio.to_thread(hub.store.get, session_id)
    if known is None:
        raise Refusal("not_found")
    if "admin" not in grant.roles and known.head.private.get("owner") != grant.token_id:
        raise Refusal("forbidden")
    most = max(1, min(limit, EVENTS_PER_REPLY))
    items = await asyncio.to_thread(lambda: list(islice(known.replay(after=after), most)))
    if items and isinstance(items[0], Gap):
        raise Refusal("gone")
    lines = "".join(f"{item.json}\n" for item in items if not isinstance(item, Gap))
    return Response(lines, media_type="application/x-ndjson")


def add_uploads(app: FastAPI, hub: Hub) -> None:
    """Media to be watched."""

    @app.put("/v1/uploads")
    async def upload(request: Request) -> dict[str, Any]:
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > hub.limits.upload_bytes:
            raise Refusal("too_large" if length.isdecimal() else "bad_message")
        upload_id, num_bytes = await hub.uploads.take(request.stream(), grant_of(request).token_id)
        return {"upload_id": upload_id, "bytes": num_bytes}


def add_sockets(app: FastAPI, hub: Hub, door: Door, config: ServeConfig) -> None:
    """The two WebSocket endpoints."""

    @app.websocket("/v1/stream")
    async def stream(ws: WebSocket) -> None:
        await Socket(ws, hub, door).run()

    if config.gate.compat:
        from vigil.serve.realtime import Realtime

        @app.websocket("/v1/realtime")
        async def realtime(ws: WebSocket) -> None:
            await Realtime(ws, hub, door, markers=config.compat_markers, media=config.media).run()
