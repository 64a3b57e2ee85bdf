"""What a server does each second, and how it tells whether it is alive and ready."""

from __future__ import annotations

import asyncio
import logging
import time

from vigil.errors import StorageError, VigilError
from vigil.serve.live import Live
from vigil.serve.sessions import Hub

log = logging.getLogger("vigil.serve")
TICK_S = 1.0
EXPIRE_EVERY = 60
"""Ticks between two looks for what is older than it is kept."""
MAX_LOOP_LAG_S = 1.0


class Watchman:
    """Looks after the sessions of a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._canary = asyncio.Lock()
        self._loop_lag_s = 0.0

    @property
    def is_alive(self) -> bool:
        """The event loop is not late."""
        return self._loop_lag_s < MAX_LOOP_LAG_S

    async def run(self) -> None:
        """The clock of the server: accounts, idle sessions, seats whose sockets are gone, retention, figures."""
        for tick in range(10**12):
            expected = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self._loop_lag_s = max(0.0, time.monotonic() - expected)
            self._hub.metrics.loop_lag.set(self._loop_lag_s)
            for live in list(self._hub.active.values()):
                if not live.closing:
                    live.tick()
                    self._retire(live)
            self._measure()
            if tick % EXPIRE_EVERY == 0:
                self._hub.uploads.expire()
                await asyncio.to_thread(self._expire)

    def _expire(self) -> None:
        try:
            self._hub.store.expire()
        except StorageError:
            log.warning("old events could not be removed")

    def _retire(self, live: Live) -> None:
        now_s = live.log.now()
        if now_s - live.input_s > self._hub.limits.idle_s:
            self._hub.spawn(self._hub.end(live, "idle"))
        elif live.left_s is not None and now_s - live.left_s > self._hub.limits.seat_s:
            self._hub.spawn(self._hub.end(live, "expired", closed=False))

    def _measure(self) -> None:
        self._hub.metrics.sessions.labels(state="live").set(len(self._hub.active))
        lives = self._hub.active.values()
        lags = [live.log.durable - view.acked for live in lives for view in live.views if view.acked]
        self._hub.metrics.lag.set(max(lags, default=0))

    async def is_ready(self) -> bool:
        """The model has made a step just now, or makes one when asked; the log can be written."""
        if self._hub.is_draining or not self.is_alive:
            return False
        try:
            health = await asyncio.to_thread(self._hub.store.health)
            self._hub.metrics.disk_free.set(health.free_bytes)
            async with self._canary, asyncio.timeout(self._hub.limits.canary_s):
                if time.monotonic() - self._hub.runner.newest_step > self._hub.limits.canary_s:
                    await asyncio.to_thread(self._hub.runner.canary, self._hub.limits.canary_s)
        except (VigilError, TimeoutError, RuntimeError):
            return False
        return health.takes_sessions
