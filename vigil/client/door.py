"""How a client reaches its server: address and token, the socket, and the few things that plain HTTP is for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from vigil.client.errors import STATUS, cannot_import, refused
from vigil.errors import ConfigError, SourceError

if TYPE_CHECKING:
    import httpx
    from websockets.asyncio.client import ClientConnection

SUBPROTOCOL = "vigil.v1"
PING_S = 10.0
OPEN_S = 20.0
CLOSE_S = 1.0
CHUNK_BYTES = 1 << 16


class Unreachable(Exception):
    """No connection this time; another try may have more luck."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and the token that it wants."""

    url: str
    """Without a slash at its end."""
    token: str = field(repr=False)

    @classmethod
    def of(cls, url: str, token: str | None) -> Address:
        """Also takes the address that `vigil serve` prints, with the token behind a "#".

        Raises:
            ConfigError: it is no http or https address, or there is no token.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"{parts.scheme or url!r} is no address of a server. Give one as http://127.0.0.1:8765.")
        given = token or parse_qs(parts.fragment).get("token", [""])[0]
        if not given.strip():
            raise ConfigError("there is no token. Give token=..., or the whole address that vigil serve prints.")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", given.strip())

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}"}


class Door:
    """One server, seen from outside."""

    def __init__(self, address: Address) -> None:
        """Nothing is connected yet."""
        self.address = address
        self._http: httpx.AsyncClient | None = None

    async def settle(self) -> None:
        """Find out where this client belongs: an entry before many replicas sends it to one of them, for good.

        A server that does not answer is taken as it is; that it does not will be told by whatever is tried next.
        """
        with suppress(SourceError):
            reply = await self._ask("GET", "/livez", follow_redirects=True)
            url = str(reply.url).removesuffix("/livez")
            if urlsplit(url).netloc == urlsplit(self.address.url).netloc:  # nobody else gets the token
                self.address = Address(url, self.address.token)

    async def dial(self) -> ClientConnection:
        """A new socket.

        Raises:
            ConfigError: the token or the address is wrong. SourceError: nobody listens there.
            Unreachable: it was cut, is late, or has something else to do.
        """
        try:
            from websockets.asyncio.client import connect
            from websockets.exceptions import InvalidHandshake, InvalidStatus
            from websockets.typing import Subprotocol
        except ImportError as error:
            raise cannot_import(error.name) from error
        url = f"ws{self.address.url.removeprefix('http')}/v1/stream"
        try:
            return await connect(
                url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers=self.address.headers,
                compression=None,
                open_timeout=OPEN_S,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSE_S,
                max_size=None,
            )
        except InvalidStatus as error:
            if error.response.status_code in (401, 403):
                raise refused("the connection", STATUS[error.response.status_code]) from error
            raise Unreachable(f"it answers with status {error.response.status_code}") from error
        except (InvalidHandshake, TimeoutError, EOFError) as error:
            raise Unreachable("it does not finish the handshake") from error
        except OSError as error:
            raise SourceError(f"{self.address.url} does not answer. Is vigil serve running there?") from error

    async def capabilities(self) -> dict[str, Any]:
        """Model, limits, formats and cameras."""
        found: dict[str, Any] = (await self._ask("GET", "/v1/capabilities")).json()
        return found

    async def upload(self, media: Path | bytes) -> str:
        """Send a file to be watched; its id."""
        if isinstance(media, Path) and not media.is_file():
            raise ConfigError(f"there is no file {media}. Check the path.")
        num_bytes = len(media) if isinstance(media, bytes) else media.stat().st_size
        headers = {"Content-Length": str(num_bytes)}
        reply = await self._ask("PUT", "/v1/uploads", content=_chunks(media), headers=headers)
        return str(reply.json()["upload_id"])

    async def delete(self, session_id: str) -> None:
        """Remove everything that was kept of a session."""
        await self._ask("DELETE", f"/v1/sessions/{session_id}")

    async def close(self) -> None:
        """Let go of the connections for HTTP."""
        if self._http is not None:
            await self._http.aclose()

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Raises: VigilError: see `errors.CODES`; SourceError: nobody answers."""
        try:
            import httpx
        except ImportError as error:
            raise cannot_import(error.name) from error
        if self._http is None:
            needs_tls = self.address.url.startswith("https")
            timeout = httpx.Timeout(OPEN_S, read=60.0, write=60.0)
            self._http = httpx.AsyncClient(headers=self.address.headers, verify=needs_tls, timeout=timeout)
        try:
            reply = await self._http.request(method, self.address.url + path, **more)
        except httpx.HTTPError as error:
            raise SourceError(f"{self.address.url} does not answer. Is vigil serve running there?") from error
        if reply.is_success or path == "/livez":
            return reply
        code = STATUS.get(reply.status_code, "internal")
        if reply.headers.get("content-type") == "application/json":
            code = reply.json().get("error", {}).get("code", code)
        raise refused(f"{method} {path}", code)


async def _chunks(media: Path | bytes) -> AsyncIterator[bytes]:
    if isinstance(media, bytes):
        yield media
        return
    with media.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
