"""The client for programs with an event loop: one server, and the sessions on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from vigil.client.core import Core, Opening, Saved
from vigil.client.door import Address, Door
from vigil.client.link import Link, Reconnect
from vigil.client.session import AsyncSession
from vigil.client.sources import Push, Source


class AsyncClient:
    """One server and one token; any number of sessions."""

    def __init__(self, url: str, *, token: str | None = None, reconnect: Reconnect | None = None) -> None:
        """Nothing is connected yet. `url` may be the whole address that `vigil serve` prints.

        Raises:
            ConfigError: it is no address, or there is no token.
        """
        self._door = Door(Address.of(url, token))
        self._reconnect = reconnect or Reconnect()
        self._sessions: list[AsyncSession] = []
        self._settling = asyncio.Lock()
        self._has_settled = False

    async def session(
        self,
        *sources: Source,
        system: str = "",
        policy: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
        durability: str | None = None,
        keep_s: float | None = None,
    ) -> AsyncSession:
        """Begin a session that watches these sources, numbered 0, 1, ...; without any, frames that this program sends.

        Args:
            policy, sampling: see docs/client.md; what is left out is as the server has it.
            durability: "strict", "process" or "off". keep_s: how long its events are kept.

        Raises:
            ConfigError: a setting, the token or a camera's name is wrong. CapacityError: the server is full.
            SourceError: it does not answer.
        """
        wired = [source.wire(number) for number, source in enumerate(sources or (Push(),))]
        more = {"policy": policy, "sampling": sampling, "durability": durability, "keep_s": keep_s}
        opening = Opening.new(wired, system=system or None, **more)
        await self._settle()
        return await self._begin(opening, self._door)

    async def resume(self, saved: Saved) -> AsyncSession:
        """Go on with a session that this or another process has left. Raises: as `session`; SourceLost: it is gone."""
        return await self._begin(Opening.resume(saved), Door(Address.of(saved.url, self._door.address.token)))

    async def attach(self, session_id: str, view_token: str, *, after: int = 0) -> AsyncSession:
        """Look at a session from the event behind `after` on. Raises: as `resume`."""
        return await self._begin(Opening.attach(session_id, view_token, after), self._door)

    async def upload(self, media: str | Path | bytes) -> str:
        """Send a video file to be watched; its id is for `Upload`. Raises: VigilError: it was refused."""
        await self._settle()
        return await self._door.upload(media if isinstance(media, bytes) else Path(media))

    async def capabilities(self) -> dict[str, Any]:
        """Model, limits, formats and the operator's cameras. Raises: VigilError."""
        return await self._door.capabilities()

    async def delete(self, session_id: str) -> None:
        """Remove everything that the server keeps of a session. Raises: VigilError."""
        await self._door.delete(session_id)

    async def close(self) -> None:
        """End all sessions and connections."""
        for session in self._sessions:
            await session.close()
        await self._door.close()

    async def _settle(self) -> None:
        """Sessions and uploads of one client belong to the same replica."""
        async with self._settling:
            if not self._has_settled:
                await self._door.settle()
                self._has_settled = True

    async def _begin(self, opening: Opening, door: Door) -> AsyncSession:
        core = Core(opening, clock=time.monotonic)
        link = Link(core, door.dial, self._reconnect)
        await link.begin()
        session = AsyncSession(core, link, door.address.url)
        self._sessions = [*(one for one in self._sessions if not one.is_over), session]
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
