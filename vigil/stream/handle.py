"""One session on an engine: what it shows to the outside, and its life as work that the engine shares out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Literal, Self

from torch import Tensor

from vigil.stream.clock import VirtualInbox, WallInbox
from vigil.stream.feed import Feed
from vigil.stream.journal import Question
from vigil.stream.perceiver import Glance, Perceived, Perceiver
from vigil.stream.session import Session
from vigil.types import EndReason, Event, Frame

Listener = Callable[[Event], None]
"""Called with each event in the engine's thread; it must return at once."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing happens by itself for so long (s; None: for ever)."""

    delay_s: float | None


class Bell(threading.Condition):
    """A session's condition; whoever rings it wakes the engine too."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def notify_all(self) -> None:
        """Wake all that wait, here and in the engine."""
        super().notify_all()
        self._ring()


class Handle:
    """A session that an engine runs. Everything here may be called from any thread, and returns at once but `events`.

    Used from outside::

        handle = engine.open()
        handle.ask("What is happening?")
        handle.push(image, time_s=0.0)
        for event in handle.events():
            print(event)
    """

    def __init__(
        self,
        session: Session,
        inbox: VirtualInbox | WallInbox,
        *,
        name: str = "",
        reserved_bytes: int = 0,
        on_event: Listener | None = None,
        room: int,
    ) -> None:
        """Made by an engine. `room`: events that may wait for their reader; then the session stands still."""
        self.name = name
        self.reserved_bytes = reserved_bytes
        self.session = session
        self.error: BaseException | None = None
        """What ended the session, where that was an error; `events` raises it at its end."""
        self.is_over = False
        """The last event, `Ended`, has been given."""
        self._inbox = inbox
        self._perceiver = Perceiver(session.model)
        self._changed = session.mailbox.changed
        self._on_event = on_event
        self._room = room
        self._events: deque[Event] = deque()
        self._life = self._live()
        self._want: Feed | None = None
        self._told = 0
        self._changes: deque[Callable[[Session], None]] = deque()
        inbox.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- from outside ----------------------------------------------------------------------------------------

    def push(self, frame: Frame) -> int | None:
        """Give a frame; its index, by which events name it, or None if no more frames are taken in."""
        return self._inbox.arrive(frame)

    def ask(self, text: str, *, standing: bool = False, at_s: float | None = None) -> None:
        """Ask now, or at a video time; an answer being spoken is cut. See `Session.ask`."""
        self.session.mailbox.put(Question(text, standing, at_s))

    def cancel(self) -> None:
        """Stop the answer that is being spoken, without a new question."""
        self.session.mailbox.put("interrupt")

    def instruct(self, system: str) -> None:
        """Go on under another system text; see `Session.instruct`."""
        self.session.instruct(system)

    def finish(self) -> None:
        """No more frames will come: what is being said and asked is finished, then the session ends."""
        self._inbox.no_more()

    def close(self) -> None:
        """End at once; the open answer is closed, and the totals still come."""
        self.session.mailbox.put("close")

    def change(self, how: Callable[[Session], None]) -> None:
        """Change the session between two of its steps, in the engine's thread."""
        with self._changed:
            self._changes.append(how)
            self._changed.notify_all()

    def events(self) -> Iterator[Event]:
        """Every event from now on, to the last; waits for them.

        Raises:
            whatever ended the session, after its last event.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._events or self.is_over)
                if not self._events:
                    break
                was_full = self._is_full
                event = self._events.popleft()
                if was_full:
                    self._changed.notify_all()
            yield event
        if self.error is not None:
            raise self.error

    def take_events(self) -> list[Event]:
        """The events that wait, without waiting for more."""
        with self._changed:
            events = list(self._events)
            self._events.clear()
            if len(events) >= self._room:
                self._changed.notify_all()
        return events

    # ---- for the engine --------------------------------------------------------------------------------------

    @property
    def _is_full(self) -> bool:
        return len(self._events) >= self._room

    def glance(self) -> Glance | None:
        """The next frame to be encoded, if one waits."""
        arrived = self._inbox.to_encode()
        return None if arrived is None else Glance(self._perceiver, arrived.index, arrived.frame, arrived.at_s)

    def saw(self, seen: Perceived | Exception) -> None:
        """What became of that frame; an error ends this session, after the frames before."""
        if isinstance(seen, Exception):
            self._inbox.fail(seen)
        else:
            self._inbox.encoded(seen)

    def advance(self, logits_V: Tensor | None = None) -> Feed | Idle | Literal["over"]:
        """Go on until the model is needed or nothing is due; `logits_V`, [V], answers the feed given before.

        A session whose reader does not keep up stands still: its frames wait, and are dropped by the rules of its
        clock. An error ends this session, and no other.
        """
        if self.is_over:
            return "over"
        if logits_V is None and self._want is not None:
            return self._want
        try:
            step = next(self._life) if logits_V is None else self._life.send(logits_V)
        except StopIteration:
            self._over(None)
            return "over"
        except Exception as error:  # noqa: BLE001 - it ends this session, is kept, and is raised by `events`
            self.fail(error)
            return "over"
        self._want = step if isinstance(step, Feed) else None
        return step

    def fail(self, error: BaseException) -> None:
        """End the session for an error; it still says how its open answer ended, and gives its totals."""
        if self.is_over:
            return
        now, self.error = self._inbox.now(), error
        self._tell(self.session.events_after(self._told))
        for dropped in self._inbox.settle():
            self._tell(self.session.lose(dropped, now))
        self._tell(self.session.end(now, "error", self._inbox.totals))
        self._over(error)

    def _over(self, error: BaseException | None) -> None:
        self._life.close()
        self._want = None
        self._inbox.stop()
        with self._changed:
            self.error, self.is_over = error, True
            self._changed.notify_all()

    def _live(self) -> Generator[Feed | Idle, Tensor, None]:
        """The session's whole life. It stops where logits are needed, and where nothing is due."""
        session, inbox = self.session, self._inbox
        now = inbox.now()
        self._tell((yield from session.opening(now)))
        reason: EndReason = "eof"
        while True:
            while self._changes:
                self._changes.popleft()(session)
            with self._changed:
                stands_still = self._is_full and not session.mailbox.letters
                coming = None if stands_still else inbox.poll(session.due_s)
            if not isinstance(coming, tuple):
                yield Idle(coming)
                continue
            item, now = coming
            if item in ("end", "close"):
                reason = "eof" if item == "end" else "closed"
                break
            self._tell((yield from session.take(item, now)))
        for dropped in inbox.settle():
            self._tell(session.lose(dropped, now))
        self._tell(session.end(now, reason, inbox.totals))

    def _tell(self, events: list[Event]) -> None:
        self._told = events[-1].seq if events else self._told
        if self._on_event is not None:
            for event in events:
                self._on_event(event)
        elif events:
            with self._changed:
                self._events += events
                self._changed.notify_all()
