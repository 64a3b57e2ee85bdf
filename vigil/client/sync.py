"""The client for programs without an event loop: the same sessions, driven by one thread of their own.

Every method may be called from any thread, and several at the same time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from vigil.client.aio import AsyncClient
from vigil.client.core import Row, Saved
from vigil.client.link import Reconnect
from vigil.client.pictures import encoded
from vigil.client.session import ANSWER_BY_S, AsyncSession
from vigil.client.sources import Source
from vigil.errors import ConfigError
from vigil.types import Event

if TYPE_CHECKING:
    from vigil.client.pictures import Pixels

Given = TypeVar("Given")


class Loop:
    """A thread with an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vigil-client", daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """The thread has ended."""
        return self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, Given]) -> Given:
        """Have something done there; wait for it."""
        if self.is_closed:
            work.close()
            raise ConfigError("the client is closed. Connect again.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # ctrl-C, too: it must not go on by itself
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Client:
    """One server and one token; any number of sessions."""

    def __init__(self, url: str, *, token: str | None = None, reconnect: Reconnect | None = None) -> None:
        """As `AsyncClient`."""
        self._client = AsyncClient(url, token=token, reconnect=reconnect)
        self._loop = Loop()

    def session(
        self,
        *sources: Source,
        system: str = "",
        policy: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
        durability: str | None = None,
        keep_s: float | None = None,
    ) -> Session:
        """Begin a session: see `AsyncClient.session`."""
        opening = self._client.session(
            *sources, system=system, policy=policy, sampling=sampling, durability=durability, keep_s=keep_s
        )
        return Session(self._loop.run(opening), self._loop)

    def resume(self, saved: Saved) -> Session:
        """Go on with a session that this or another process has left."""
        return Session(self._loop.run(self._client.resume(saved)), self._loop)

    def attach(self, session_id: str, view_token: str, *, after: int = 0) -> Session:
        """Look at a session from the event behind `after` on."""
        return Session(self._loop.run(self._client.attach(session_id, view_token, after=after)), self._loop)

    def upload(self, media: str | Path | bytes) -> str:
        """Send a video file to be watched; its id is for `Upload`."""
        return self._loop.run(self._client.upload(media))

    def capabilities(self) -> dict[str, Any]:
        """Model, limits, formats and the operator's cameras."""
        return self._loop.run(self._client.capabilities())

    def delete(self, session_id: str) -> None:
        """Remove everything that the server keeps of a session."""
        self._loop.run(self._client.delete(session_id))

    def close(self) -> None:
        """End all sessions and connections."""
        if not self._loop.is_closed:
            self._loop.run(self._client.close())
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Session:
    """One session. Iterating gives every event once and in order, whatever happens to the connection.

    Methods, arguments and errors are those of `AsyncSession`, without `await`.
    """

    def __init__(self, session: AsyncSession, loop: Loop) -> None:
        """Made by `Client`."""
        self._session = session
        self._loop = loop

    @property
    def id(self) -> str:
        """The session's name on the server."""
        return self._session.id

    @property
    def url(self) -> str:
        """Where it is."""
        return self._session.url

    @property
    def view_token(self) -> str:
        """Lets others look on."""
        return self._session.view_token

    @property
    def saved(self) -> Saved:
        """What another process needs to go on behind the newest event that was taken here."""
        return self._session.saved

    @property
    def now_s(self) -> float:
        """Seconds since the session began, on the server's clock."""
        return self._session.now_s

    @property
    def skipped(self) -> int:
        """Frames that were left out here, because newer ones came before the server had room. It knows of them."""
        return self._session.skipped

    @property
    def is_connected(self) -> bool:
        """There is a connection now."""
        return self._session.is_connected

    @property
    def is_over(self) -> bool:
        """No more events will come."""
        return self._session.is_over

    @property
    def newest(self) -> Mapping[str, Row]:
        """The newest of each message that is no event, such as "server.status" or "input.frame.perceived"."""
        return self._session.newest

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        """The next event. Raises: VigilError: the session was lost."""
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None at the end. Raises: TimeoutError; VigilError: the session was lost."""
        return self._loop.run(self._session.next(timeout_s))

    def next_row(self, timeout_s: float | None = None) -> Row | None:
        """The same as `next`, as the server has spelled it. Each event comes by one of the two."""
        return self._loop.run(self._session.next_row(timeout_s))

    def frame(self, image: Pixels, time_s: float | None = None, *, source: int = 0, wait: bool = False) -> int | None:
        """Send a picture; with `wait` until the server has room for it."""
        return self._loop.run(self._session.frame(encoded(image), time_s, source=source, wait=wait))

    def ask(
        self,
        text: str,
        *,
        standing: bool = False,
        answer_by_s: float = ANSWER_BY_S,
        queue: bool = False,
        after_frame: int | None = None,
        source: int = 0,
    ) -> int:
        """Ask, exactly once; the turn that it opens."""
        asking = self._session.ask(
            text, standing=standing, answer_by_s=answer_by_s, queue=queue, after_frame=after_frame, source=source
        )
        return self._loop.run(asking)

    def interrupt(self) -> bool:
        """Stop what is being said; False if nothing is."""
        return self._loop.run(self._session.interrupt())

    def update(
        self,
        *,
        policy: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
        system: str | None = None,
    ) -> None:
        """Go on differently, from the next decision on."""
        self._loop.run(self._session.update(policy=policy, sampling=sampling, system=system))

    def add(self, number: int, source: Source) -> None:
        """Watch one more source."""
        self._loop.run(self._session.add(number, source))

    def remove(self, number: int) -> None:
        """Watch a source no longer; what waits in its queue is dropped."""
        self._loop.run(self._session.remove(number))

    def end(self, source: int = 0) -> None:
        """No more frames will come from a source; those that wait still go first."""
        self._loop.run(self._session.end(source))

    def close(self, *, drain: bool = False) -> None:
        """End the session on the server; with `drain` what is queued is seen and said first."""
        self._loop.run(self._session.close(drain=drain))

    def leave(self) -> None:
        """Hang up. The session stays on the server, and can be resumed with `saved`."""
        self._loop.run(self._session.leave())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
