"""Keeps one session connected: dials, sends what `Core` wants to say, hears, waits, and dials again."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.client.core import CLOSE_LOST, Broken, Core
from vigil.client.door import Unreachable
from vigil.errors import ConfigError, SourceError, SourceLost, VigilError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

log = logging.getLogger("vigil.client")
MAX_UNREAD = 10_000
"""Events that may wait to be taken; then the socket is read no further, and nothing is lost by that."""
OPENING_S = 30.0
"""How long the first connection may take over all its tries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconnect:
    """How to come back after a lost connection: waits that double, each drawn from 0 to its full length."""

    first_s: float = 0.5
    last_s: float = 30.0
    steady_s: float = 10.0
    """A connection that lasted longer starts the waits anew."""
    give_up_s: float = float("inf")
    """Without a connection for so long, the session counts as lost. Servers keep it for 24 h by default."""

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.last_s or self.give_up_s <= 0:
            raise ConfigError(
                f"first_s {self.first_s}, last_s {self.last_s}, give_up_s {self.give_up_s}: "
                "give 0 < first_s <= last_s and give_up_s > 0."
            )

    def wait_s(self, tries: int) -> float:
        """How long to wait before this try."""
        return random.uniform(0, min(self.last_s, self.first_s * 2.0 ** min(tries, 60)))


class Link:
    """The connection of one session, however often it has to be made."""

    def __init__(self, core: Core, dial: Callable[[], Awaitable[ClientConnection]], reconnect: Reconnect) -> None:
        """`begin` connects."""
        self._core = core
        self._dial = dial
        self._reconnect = reconnect
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._heard_at = time.monotonic()

    def pulse(self) -> None:
        """Something has changed: whoever waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Until something holds, or the session is over."""
        while not is_so() and not self._core.is_over:
            await self._changed.wait()

    async def begin(self) -> None:
        """Connect for the first time. Raises: VigilError: it cannot be."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._finished)
        try:
            await self.until(lambda: bool(self._core.session))
            if self._core.error is not None:
                raise self._core.error
        except BaseException:
            await self.hang_up()
            raise

    async def hang_up(self) -> None:
        """No connection any more."""
        self._core.end()
        self.pulse()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Nobody waits for ever where we ourselves have failed."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the connection's task failed", exc_info=error)
            self._core.end(VigilError(f"the client has failed: {error!r}. Is the server of the same version?"))
        self.pulse()

    async def _run(self) -> None:
        tries = 0
        while not self._core.is_over:
            began = time.monotonic()
            try:
                code, why = await self._connection(), "the connection was lost"
            except Unreachable as error:
                code, why = CLOSE_LOST, str(error)
            except SourceError as error:
                code, why = CLOSE_LOST, str(error)
                if not self._core.session:
                    self._core.end(error)
            except VigilError as error:
                self._core.end(error)
                break
            self._core.lost(code)
            self._maybe_give_up(why)
            self.pulse()
            if not self._core.is_over:
                log.info("%s (close code %s): trying again", why, code)
                tries = 0 if time.monotonic() - began > self._reconnect.steady_s else tries
                await asyncio.sleep(self._reconnect.wait_s(tries))
                tries += 1
        self.pulse()

    def _maybe_give_up(self, why: str) -> None:
        is_new, down_s = not self._core.session, time.monotonic() - self._heard_at
        if not self._core.is_over and down_s > (OPENING_S if is_new else self._reconnect.give_up_s):
            error = SourceError if is_new else SourceLost
            self._core.end(error(f"no connection for {down_s:.0f} s: {why}. Is vigil serve running there?"))

    async def _connection(self) -> int:
        """One connection, from its handshake to its end; its close code."""
        from websockets.exceptions import ConnectionClosed

        ws = await self._dial()
        self._core.connected()
        code = CLOSE_LOST
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._say(ws))
                both.create_task(self._hear(ws))
        except* Broken:
            pass
        except* ConnectionClosed:
            code = ws.close_code or CLOSE_LOST
        finally:
            await ws.close()
        return code

    async def _say(self, ws: ClientConnection) -> None:
        while True:
            while (message := self._core.next()) is not None:
                await ws.send(message)
                self.pulse()
            changed = self._changed
            with suppress(TimeoutError):
                async with asyncio.timeout(self._core.wait_s):
                    await changed.wait()

    async def _hear(self, ws: ClientConnection) -> None:
        while True:
            while len(self._core.rows) >= MAX_UNREAD and not self._core.commands:
                await self._changed.wait()
            text = await ws.recv()
            assert isinstance(text, str), "the server sends no binary messages"
            self._core.hear(text)
            self._heard_at = time.monotonic()
            self.pulse()
