"""The outermost layer: which host, which origin, who, and whether they may. What it does not know is closed.

It decides on `scope["path"]` alone, before any route is looked up, so a forgotten route is a closed one.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vigil.errors import ConfigError
from vigil.serve.auth import LOCAL, Grant, Tickets, Tokens, WrongTokens
from vigil.serve.protocol import TICKET_PREFIX, Role
from vigil.serve.refusal import HTTP_STATUS, Refusal

if TYPE_CHECKING:
    from vigil.serve.sessions import Hub

PUBLIC = re.compile(r"/|/livez|/page/[a-zA-Z0-9_./-]*")
STREAM, REALTIME = "/v1/stream", "/v1/realtime"
RULES: tuple[tuple[str, re.Pattern[str], Role], ...] = (
    ("POST", re.compile(r"/v1/ticket"), "view"),
    ("GET", re.compile(r"/readyz|/metrics|/v1/capabilities|/v1/models(/[^/]*)?"), "view"),
    ("GET", re.compile(r"/v1/sessions/[^/]+/events"), "view"),
    ("DELETE", re.compile(r"/v1/sessions/[^/]+"), "talk"),
    ("PUT", re.compile(r"/v1/uploads"), "talk"),
    ("POST", re.compile(r"/v1/chat/completions"), "talk"),
    ("WEBSOCKET", re.compile(r"/v1/stream"), "view"),
    ("WEBSOCKET", re.compile(r"/v1/realtime"), "talk"),
)
"""Method, path and role; whatever is not here needs the role admin."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), display-capture=(self), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """Who may come in."""

    hosts: tuple[str, ...] = ()
    """More values of the Host header, such as "vigil.example" or "10.0.0.5:8765"."""
    origins: tuple[str, ...] = ()
    """More origins, exactly as browsers send them."""
    compat: bool = False
    """`/v1/realtime` on loopback without an Origin header needs no token."""

    def __post_init__(self) -> None:
        for origin in self.origins:
            if not re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", origin):
                raise ConfigError(f"{origin!r} is not an origin. Give one exactly, such as https://vigil.example.")


class Gate:
    """ASGI middleware. What gets through finds its `Grant`, or None where none is needed, in the scope's state."""

    def __init__(
        self, app: ASGIApp, config: GateConfig, tokens: Tokens, tickets: Tickets, wrong: WrongTokens, hub: Hub
    ) -> None:
        """`wrong` is shared with the sockets, whose first message may hold a token too."""
        self.hub = hub
        self._app = app
        self._config = config
        self._tokens = tokens
        self._tickets = tickets
        self._wrong = wrong
        self._metrics = hub.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            scope.setdefault("state", {})["grant"] = self._admit(scope)
        except Refusal as refusal:
            self._metrics.errors.labels(code=refusal.code).inc()
            await (refuse_socket if scope["type"] == "websocket" else refuse)(refusal, send)
            return
        await self._app(scope, receive, with_headers(send) if scope["type"] == "http" else send)

    def _admit(self, scope: Scope) -> Grant | None:
        """Raises: Refusal."""
        path, method = scope["path"], scope.get("method", "WEBSOCKET")
        headers = Headers(scope)
        host = self._host(scope, headers)
        is_public = method in ("GET", "HEAD") and PUBLIC.fullmatch(path) is not None
        token = bearer(headers)
        local = self._is_local(scope, headers)
        self._origin(scope, headers, host, may_lack=is_public or token is not None or local)
        if is_public:
            return None
        names = {name.lower() for name, _ in parse_qsl(scope.get("query_string", b"").decode("latin-1"))}
        if names & {"token", "access_token", "ticket", "authorization", "api_key"}:
            raise Refusal("unauthorized")
        grant = self._grant(scope, token)
        if grant is None and local:
            grant = LOCAL
        if grant is None:
            if method == "WEBSOCKET" and path in ((STREAM, REALTIME) if self._config.compat else (STREAM,)):
                return None  # the first message must say who it is
            raise Refusal("unauthorized")
        if role_for(method, path) not in grant.roles:
            raise Refusal("forbidden")
        return grant

    def _host(self, scope: Scope, headers: Headers) -> str:
        hosts = headers.all(b"host")
        if len(hosts) != 1 or not scope["path"].startswith("/"):
            raise Refusal("forbidden")
        host = hosts[0].lower()
        port = (scope.get("server") or ("", 0))[1]
        known = {f"{name}:{port}" for name in LOOPBACK} | set(self._config.hosts)
        if port == 80:
            known |= set(LOOPBACK)
        if host not in known:
            raise Refusal("forbidden")
        return host

    def _origin(self, scope: Scope, headers: Headers, host: str, *, may_lack: bool) -> None:
        origins = headers.all(b"origin")
        if not origins:
            if not may_lack:
                raise Refusal("unauthorized")
            return
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        if len(origins) != 1 or origins[0] not in (f"{scheme}://{host}", *self._config.origins):
            raise Refusal("forbidden")

    def _is_local(self, scope: Scope, headers: Headers) -> bool:
        """Whether this is the compatibility endpoint's local client: no browser, and from this machine."""
        if not self._config.compat or scope["path"] != REALTIME or scope["type"] != "websocket":
            return False
        return not headers.all(b"origin") and is_loopback(address_of(scope)) and is_loopback(bound_to(scope))

    def _grant(self, scope: Scope, token: str | None) -> Grant | None:
        """Raises: Refusal: a credential that is wrong."""
        tickets = [p.removeprefix(TICKET_PREFIX) for p in scope.get("subprotocols", ()) if p.startswith(TICKET_PREFIX)]
        if token is None and not tickets:
            return None
        grant = self._tokens.check(token) if token is not None else self._tickets.redeem(tickets[0])
        if grant is None:
            self._metrics.auth_failures.inc()
            full = self._wrong.note(address_of(scope))
            raise Refusal("rate_limited" if full else "unauthorized", retry_after_s=60 if full else None)
        return grant


class Headers:
    """The headers of a scope, each as often as it was sent."""

    def __init__(self, scope: Scope) -> None:
        self._raw: Iterable[tuple[bytes, bytes]] = scope["headers"]

    def all(self, name: bytes) -> list[str]:
        """Every value of a header."""
        return [value.decode("latin-1") for key, value in self._raw if key.lower() == name]


def bearer(headers: Headers) -> str | None:
    """The token of the Authorization header. Raises: Refusal: there are two, or one of another kind."""
    values = headers.all(b"authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) != 1 or scheme.lower() != "bearer" or not token:
        raise Refusal("unauthorized")
    return token.strip()


def role_for(method: str, path: str) -> Role:
    """The role that a request needs: admin, unless a rule says otherwise."""
    for known, pattern, role in RULES:
        if known == method and pattern.fullmatch(path):
            return role
    return "admin"


def address_of(scope: Scope) -> str:
    """The peer's address; "" where there is none."""
    return (scope.get("client") or ("", 0))[0]


def bound_to(scope: Scope) -> str:
    """The address that the peer has connected to."""
    return (scope.get("server") or ("", 0))[0]


def is_loopback(address: str) -> bool:
    """Whether an address is this machine."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def error_body(refusal: Refusal) -> dict[str, Any]:
    """Code and a number to find it in the log, nothing else. "message" is for clients of the OpenAI form."""
    return {"error": {"code": refusal.code, "message": refusal.code, "type": refusal.code, "ref": secrets.token_hex(4)}}


async def refuse(refusal: Refusal, send: Send) -> None:
    """Answer an HTTP request with an error."""
    headers = [(b"content-type", b"application/json"), *HEADERS]
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(int(refusal.retry_after_s)).encode()))
    if refusal.code == "unauthorized":
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": HTTP_STATUS[refusal.code], "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(error_body(refusal)).encode()})


async def refuse_socket(refusal: Refusal, send: Send) -> None:
    """Answer a handshake with an HTTP error."""
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": HTTP_STATUS[refusal.code], "headers": headers})
    await send({"type": "websocket.http.response.body", "body": json.dumps(error_body(refusal)).encode()})


def with_headers(send: Send) -> Send:
    """Add the security headers to every response."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *((n, v) for n, v in HEADERS if n not in present)]
        await send(message)

    return wrapped
