"""One session for programs with an event loop. The protocol is in `core`, the connection in `link`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from vigil.client.commands import Command
from vigil.client.core import Core, Row, Saved
from vigil.client.events import Translator
from vigil.client.link import Link
from vigil.client.pictures import encoded
from vigil.client.sources import Source
from vigil.errors import ConfigError, VigilError
from vigil.types import Event

if TYPE_CHECKING:
    from vigil.client.pictures import Pixels

ANSWER_BY_S = 10.0
CLOSE_S, DRAIN_S = 10.0, 40.0
"""How long `close` waits for the server, which drains for up to 30 s."""


class AsyncSession:
    """One session. Iterating gives every event once and in order, whatever happens to the connection."""

    def __init__(self, core: Core, link: Link, url: str) -> None:
        """Made by `AsyncClient`."""
        self.url = url
        """Where it is."""
        self._core = core
        self._link = link
        self._translate = Translator()
        self._taken = core.opening.after

    # ---- what it is ------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The session's name on the server."""
        return str(self._core.session["session_id"])

    @property
    def view_token(self) -> str:
        """Lets others look on."""
        return str(self._core.session["view_token"])

    @property
    def saved(self) -> Saved:
        """What another process needs to go on behind the newest event that was taken here."""
        opening, ready = self._core.opening, self._core.session
        if "resume_token" not in ready:
            raise ConfigError("a session that is only looked at cannot be resumed. Attach to it again.")
        return Saved(
            url=self.url,
            session_id=self.id,
            resume_token=ready["resume_token"],
            client_id=opening.client_id,
            after=self._taken,
        )

    @property
    def now_s(self) -> float:
        """Seconds since the session began, on the server's clock."""
        return self._core.now_s

    @property
    def skipped(self) -> int:
        """Frames that were left out here, because newer ones came before the server had room. It knows of them."""
        return sum(lane.skipped for lane in self._core.lanes.values())

    @property
    def is_connected(self) -> bool:
        """There is a connection now."""
        return self._core.is_open

    @property
    def is_over(self) -> bool:
        """No more events will come."""
        return self._core.is_over

    @property
    def newest(self) -> Mapping[str, Row]:
        """The newest of each message that is no event, such as "server.status" or "input.frame.perceived"."""
        return self._core.newest

    # ---- events ----------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event. Raises: VigilError: the session was lost."""
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None at the end. Raises: TimeoutError; VigilError: the session was lost."""
        row = await self.next_row(timeout_s)
        return None if row is None else self._translate.event(row)

    async def next_row(self, timeout_s: float | None = None) -> Row | None:
        """The same as `next`, as the server has spelled it. Each event comes by one of the two."""
        async with asyncio.timeout(timeout_s):
            await self._link.until(lambda: bool(self._core.rows))
        if self._core.rows:
            row = self._core.rows.popleft()
            self._taken = row["to"] if row["type"] == "resume.gap" else row["seq"]
            self._link.pulse()
            return row
        if self._core.error is not None:
            raise self._core.error
        return None

    # ---- what it is told -------------------------------------------------------------------------------------

    async def frame(
        self, image: Pixels, time_s: float | None = None, *, source: int = 0, wait: bool = False
    ) -> int | None:
        """Send a picture: JPEG, PNG or WebP bytes, RGB pixels uint8 [H, W, 3], or a Pillow image.

        Where the server has no room, live sources go on: the newest picture waits, those that it replaces are counted
        in `skipped` and reported. With `wait` none is left out: this returns once the picture has gone.

        Args:
            time_s: when it was taken (s), not before the one before. None: now, on the session's clock.

        Returns:
            its number, for `ask(after_frame=...)`, with `wait`; None without.

        Raises:
            ConfigError: it is no picture, too large, or its time goes back. VigilError: the session is over.
        """
        data = image if isinstance(image, bytes) else await asyncio.to_thread(encoded, image)
        if wait:
            await self._link.until(lambda: not self._core.lane(source).has_frame)
        picture = self._core.frame(source, data, time_s)
        self._link.pulse()
        if not wait:
            return None
        await self._link.until(lambda: picture.is_settled)
        if not picture.is_settled:
            self._core.check()
        return picture.number if picture.number else None

    async def ask(
        self,
        text: str,
        *,
        standing: bool = False,
        answer_by_s: float = ANSWER_BY_S,
        queue: bool = False,
        after_frame: int | None = None,
        source: int = 0,
    ) -> int:
        """Ask; what is being said is cut. Asked exactly once, and kept by the server when this returns.

        Args:
            standing: the model may stay silent until it happens ("tell me when ...").
            answer_by_s: without `standing`, an answer begins within so many seconds, or `input.text.unanswered` says
                that there is none. queue: ask after the answer that is being said.
            after_frame: number of the frame of `source` that the question is about.

        Returns:
            the turn that it opens.

        Raises:
            ConfigError: the text is empty or too long. VigilError: the session is over.
        """
        fields: dict[str, Any] = {"text": text, "mode": "queue" if queue else "interrupt"}
        if after_frame is not None:
            fields["after_frame"] = {"source": source, "frame_no": after_frame}
        command = await self._do("input.text", **fields, answer_by_s=None if standing else answer_by_s)
        return int(command.result.get("turn", 0))

    async def interrupt(self) -> bool:
        """Stop what is being said; False if nothing is."""
        command = self._core.command("answer.cancel")
        await self._settled(command)
        if command.error is not None and self._core.is_over:
            raise command.error
        return command.error is None

    async def update(
        self,
        *,
        policy: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
        system: str | None = None,
    ) -> None:
        """Go on differently, from the next decision on. Raises: ConfigError: a value is out of range."""
        given = {"policy": policy and dict(policy), "sampling": sampling and dict(sampling), "system": system}
        await self._do("session.update", **{name: value for name, value in given.items() if value is not None})

    async def add(self, number: int, source: Source) -> None:
        """Watch one more source. Raises: ConfigError: its number is taken, or there is no such thing."""
        await self._do("source.add", **source.wire(number))

    async def remove(self, number: int) -> None:
        """Watch a source no longer; what waits in its queue is dropped."""
        await self._do("source.remove", source=number)

    async def end(self, source: int = 0) -> None:
        """No more frames will come from a source; those that wait still go first."""
        await self._do("input.end", source=source)

    # ---- the end ---------------------------------------------------------------------------------------------

    async def close(self, *, drain: bool = False) -> None:
        """End the session on the server. Its last events can still be taken. With `drain` what is queued is seen and
        said first; without a connection only this side ends, and the server gives the seat up a minute later.
        """
        if not self._core.is_over and self._core.opening.controls and (self._core.is_open or drain):
            with suppress(TimeoutError, VigilError):
                async with asyncio.timeout(DRAIN_S if drain else CLOSE_S):
                    await self._do("session.close", mode="drain" if drain else "now")
                    await self._link.until(lambda: False)
        await self.leave()

    async def leave(self) -> None:
        """Hang up. The session stays on the server, and can be resumed with `saved`."""
        await self._link.hang_up()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _settled(self, command: Command) -> None:
        self._link.pulse()
        await self._link.until(lambda: command.is_done)

    async def _do(self, type_: str, /, **fields: Any) -> Command:
        """Raises: VigilError: it was refused, or the session is over."""
        command = self._core.command(type_, **fields)
        await self._settled(command)
        if command.error is not None:
            raise command.error
        return command
