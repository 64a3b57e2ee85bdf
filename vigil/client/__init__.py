"""Talk to a `vigil serve`: sessions that survive lost connections, with every event once and in order.

    import vigil.client

    with vigil.client.connect("http://127.0.0.1:8765", token=token) as client, client.session() as session:
        session.ask("Tell me when the water boils.", standing=True)
        session.frame(image, time_s)
        for event in session:
            print(event)

`connect` is for plain programs, `connect_async` for those with an event loop. Needs the extra `client`.
"""

from __future__ import annotations

from vigil.client.aio import AsyncClient
from vigil.client.core import Saved
from vigil.client.events import Missing, Notice
from vigil.client.link import Reconnect
from vigil.client.session import AsyncSession
from vigil.client.sources import Camera, Push, Upload
from vigil.client.sync import Client, Session

__all__ = [
    "AsyncClient",
    "AsyncSession",
    "Camera",
    "Client",
    "Missing",
    "Notice",
    "Push",
    "Reconnect",
    "Saved",
    "Session",
    "Upload",
    "connect",
    "connect_async",
]


def connect(url: str, *, token: str | None = None, reconnect: Reconnect | None = None) -> Client:
    """A client for plain programs. `url` may be the whole address that `vigil serve` prints.

    Raises:
        ConfigError: it is no address, or there is no token.
    """
    return Client(url, token=token, reconnect=reconnect)


def connect_async(url: str, *, token: str | None = None, reconnect: Reconnect | None = None) -> AsyncClient:
    """The same for programs with an event loop: `async with connect_async(...) as client`."""
    return AsyncClient(url, token=token, reconnect=reconnect)
