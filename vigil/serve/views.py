"""One socket's view of a session. It pulls events out of the log at its own pace, so a slow reader costs no memory."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice

from vigil.serve.auth import SessionKeys
from vigil.serve.durable import Entry, Gap, SessionLog
from vigil.serve.events import transient
from vigil.serve.limits import Limits
from vigil.serve.refusal import CLOSE_NORMAL, CLOSE_SLOW, Refusal

SendText = Callable[[str], Awaitable[None]]
YIELD_EVERY = 16
"""Sending to a socket that takes everything at once never waits; others get their turn after so many events."""
INLINE_EVENTS = 32
"""So few events are read in place; more of them, which may lie on the disk, in a thread."""


class SlowReader(Exception):
    """The other side reads nothing any more."""


class View:
    """What one socket has been sent, and what it will be sent next.

    Transient messages that can be missed go to a short list whose oldest entries fall off; of credits only the newest
    per source is kept; answers to commands are never dropped.
    """

    def __init__(self, send: SendText, limits: Limits, *, controls: bool, client_id: str = "") -> None:
        self.controls = controls
        """May send commands and frames."""
        self.client_id = client_id
        self.acked = 0
        self.close_code: int | None = None
        self._send = send
        self._limits = limits
        self._log: SessionLog | None = None
        self._sent = 0
        self._replay_to: int | None = None
        self._must: deque[tuple[int, str]] = deque()
        self._may: deque[str] = deque(maxlen=limits.send_messages)
        self._credits: OrderedDict[int, int] = OrderedDict()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._close_after = 0
        self._has_caught_up = False

    # ---- what is put in --------------------------------------------------------------------------------------

    def follow(self, log: SessionLog, *, after: int) -> None:
        """Send the events of a session from `after` + 1 on."""
        self._log, self._sent = log, after
        self._replay_to = log.durable
        log.subscribe(self._grown)
        self._wake.set()

    def say(self, text: str, *, after: int = 0) -> None:
        """Send a transient message that must not be missed, once event `after` has been sent."""
        self._must.append((after, text))
        if len(self._must) > self._limits.send_messages:
            self.end(CLOSE_SLOW)
        self._wake.set()

    def mention(self, text: str) -> None:
        """Send a transient message that a slow reader may miss."""
        self._may.append(text)
        self._wake.set()

    def grant(self, source: int, up_to: int) -> None:
        """Tell the client how far it may send."""
        self._credits[source] = up_to
        self._wake.set()

    def refuse(self, refusal: Refusal, ref: str, cmd: int | None = None) -> None:
        """Tell the client that something was not done."""
        more = {"cmd": cmd, "expected": refusal.expected, "retry_after_s": refusal.retry_after_s}
        self.say(transient("error", code=refusal.code, ref=ref, **more))

    def end(self, code: int, *, after: int = 0) -> None:
        """Close the socket with this code, once event `after` has been sent; the first such call counts."""
        if self.close_code is None:
            self.close_code, self._close_after = code, after
        self._wake.set()

    # ---- what comes out --------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Send until the socket is to be closed; return the close code.

        Raises:
            SlowReader: one message took longer than the limit.
        """
        try:
            while True:
                self._wake.clear()
                has_sent = await self._round()
                if self._may_close:
                    await self._answers()
                    assert self.close_code is not None
                    return self.close_code
                if not has_sent:
                    await self._wake.wait()
        finally:
            if self._log is not None:
                self._log.unsubscribe(self._grown)

    @property
    def _may_close(self) -> bool:
        return self.close_code is not None and self._sent >= self._close_after

    async def _round(self) -> bool:
        """Send what is there now; False if there was nothing."""
        has_sent = await self._answers()
        has_sent |= await self._events()
        while self._credits:
            source, up_to = self._credits.popitem(last=False)
            await self._out(transient("input.credit", source=source, up_to=up_to))
            has_sent = True
        while self._may:
            await self._out(self._may.popleft())
            has_sent = True
        return has_sent

    async def _answers(self) -> bool:
        has_sent = False
        while self._must and self._must[0][0] <= self._sent:
            await self._out(self._must.popleft()[1])
            has_sent = True
        return has_sent

    async def _events(self) -> bool:
        log, has_sent = self._log, False
        if log is None:
            return False
        for index, item in enumerate(await self._read(log)):
            if index % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if isinstance(item, Gap):
                await self._out(transient("resume.gap", from_=item.first, to=item.last, reason=item.reason))
                self._sent = item.last
            else:
                await self._out(item.json)
                self._sent = item.seq
            has_sent = True
            if self._may_close:
                return True
        if self._replay_to is not None and self._sent >= self._replay_to:
            head, self._replay_to = self._replay_to, None
            await self._out(transient("resume.done", head=head))
            has_sent = True
        return has_sent

    async def _read(self, log: SessionLog) -> list[Entry | Gap]:
        behind = log.durable - self._sent
        if behind <= 0:
            return []

        def some() -> list[Entry | Gap]:
            return list(islice(log.replay(after=self._sent), self._limits.send_messages))

        if self._has_caught_up and behind <= INLINE_EVENTS:
            return some()
        items = await asyncio.to_thread(some)
        self._has_caught_up = behind <= len(items)
        return items

    async def _out(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._limits.send_stall_s):
                await self._send(text)
        except TimeoutError as error:
            raise SlowReader from error

    def _grown(self, head: int) -> None:
        """Called by the log's writer thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)


def show(known: SessionLog, view: View, after: int, *, keys: SessionKeys, limits: Limits) -> None:
    """Send what a closed session has said, and close."""
    view.say(
        transient(
            "session.ready",
            session_id=known.id,
            view_token=keys.view_token(known.id),
            epoch=known.head.epoch,
            t_mono=known.now(),
            head=known.durable,
            applied_cmd=0,
            received={},
            credit={},
            limits=limits.shown(),
            roles=["view"],
            version=1,
        )
    )
    view.follow(known, after=min(after, known.durable))
    view.end(CLOSE_NORMAL, after=known.durable)


class Bucket:
    """A rate limit: so many per second, with a burst."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._level = float(burst)
        self._at = clock()

    def take(self) -> bool:
        """Use one; False if there is none left."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._per_s)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True
