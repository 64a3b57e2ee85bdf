"""Many sessions on one model: one pass of the weights serves all that speak, one batch of the encoder all that look.

    engine = Engine(model)
    with engine:
        handles = [engine.watch(path) for path in ("a.mp4", "b.mp4", "c.mp4")]
        handles[0].ask("What is happening?")
        for event in handles[0].events():
            print(event)

Two threads, one for each channel, that sleep until a session rings. Without them (tests, other loops) `step` does one
round of both by hand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from vigil.config import StreamConfig
from vigil.errors import CapacityError, ConfigError
from vigil.model.model import VideoModel
from vigil.stream.capacity import free_bytes, lane_bytes
from vigil.stream.clock import VirtualInbox, WallInbox
from vigil.stream.feed import Feed, feed_together
from vigil.stream.handle import Bell, Handle, Idle, Listener
from vigil.stream.inbox import JOIN_S, Mailbox, Speed
from vigil.stream.journal import Question
from vigil.stream.perceiver import Glance, perceive_together
from vigil.stream.session import Session
from vigil.stream.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """What an engine may use. Change a copy with `dataclasses.replace`."""

    memory_bytes: int | None = None
    """Memory that the lanes of all sessions may take; None: nine tenths of what is free when the engine is made."""
    max_sessions: int = 64
    pass_tokens: int = 512
    """Most tokens in one pass of the weights, so that a long question delays the words of others by a bounded time."""
    encode_frames: int = 8
    """Most frames in one batch of the encoder."""
    waiting_events: int = 1024
    """Events that may wait for their reader; a session whose reader does not keep up stands still."""

    def __post_init__(self) -> None:
        for name in ("max_sessions", "pass_tokens", "encode_frames", "waiting_events"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.memory_bytes is not None and self.memory_bytes < 0:
            raise ConfigError(f"memory_bytes must be at least 0, got {self.memory_bytes}.")


class Engine:
    """One loaded model and the sessions on it."""

    def __init__(self, model: VideoModel, config: EngineConfig | None = None) -> None:
        """Nothing runs before `start`, `with engine:` or `step`."""
        self.model = model
        self.config = config or EngineConfig()
        limit = self.config.memory_bytes
        self.memory_bytes = int(0.9 * free_bytes(model.device)) if limit is None else limit
        self.num_passes = 0
        """Passes of the weights so far; with `num_rows`, how well they were shared."""
        self.num_rows = 0
        self.error: Exception | None = None
        """What stopped a thread of the engine; every session was ended with it."""
        self._handles: list[Handle] = []
        self._turn = {"speech": 0, "sight": 0}
        self._bell = threading.Condition()
        self._rings = 0
        self._stopping = False
        self._threads: list[threading.Thread] = []

    # ---- sessions --------------------------------------------------------------------------------------------

    @property
    def handles(self) -> tuple[Handle, ...]:
        """Sessions that run."""
        with self._bell:
            return tuple(self._handles)

    @property
    def reserved_bytes(self) -> int:
        """Memory that the lanes of the running sessions may take."""
        return sum(handle.reserved_bytes for handle in self.handles)

    def open(
        self,
        *,
        config: StreamConfig | None = None,
        speed: Speed | None = None,
        questions: Iterable[Question] = (),
        name: str = "",
        on_event: Listener | None = None,
        **settings: Any,
    ) -> Handle:
        """Open a session to which frames are pushed.

        Args:
            speed: None for the wall clock: what comes late is dropped and counted. Else the virtual clock: seconds of
                video per second, or "max"; nothing is dropped.
            questions: asked at their times; those of 0 s are surely asked before the first frame.
            name: what to call the session.
            on_event: see `Listener`; without it, read `Handle.events`.
            settings: `policy`, `sampler`, `system`, `trace`; see `Session`.

        Raises:
            CapacityError: there is no room; sessions that run are not affected.
        """
        session = Session(self.model, config=config, **settings)
        return self._add(session, None, speed, questions, name=name, on_event=on_event)

    def watch(
        self,
        source: Source,
        *,
        config: StreamConfig | None = None,
        speed: Speed | None = 1.0,
        questions: Iterable[Question] = (),
        on_event: Listener | None = None,
        **settings: Any,
    ) -> Handle:
        """Open a session on an opened source, read in a thread of its own; the caller closes the source.

        Arguments and errors as in `open`; the session has the name of the source.
        """
        session = Session(self.model, config=config, **settings)
        speed = None if source.is_live else speed
        return self._add(session, source, speed, questions, name=source.name, on_event=on_event)

    def _add(
        self,
        session: Session,
        source: Source | None,
        speed: Speed | None,
        questions: Iterable[Question],
        **outside: Any,
    ) -> Handle:
        wanted = lane_bytes(self.model, session.config)
        session.mailbox = Mailbox(Bell(self._ring))
        session.mailbox.letters.extend(questions)
        frames = None if source is None else iter(source)
        inbox: VirtualInbox | WallInbox
        if speed is None:
            inbox = WallInbox(session.mailbox, frames, None, config=session.config)
        else:
            inbox = VirtualInbox(session.mailbox, frames, None, config=session.config, speed=speed)
        if source is not None:
            source.on_notice = inbox.note
        with self._bell:
            self._admit(wanted)
            handle = Handle(session, inbox, reserved_bytes=wanted, room=self.config.waiting_events, **outside)
            self._handles.append(handle)
        self._ring()
        return handle

    def _admit(self, wanted: int) -> None:
        """Refuse a session that might not fit. The lock is held."""
        reserved = sum(handle.reserved_bytes for handle in self._handles)
        if len(self._handles) >= self.config.max_sessions:
            raise CapacityError(
                f"the engine runs {len(self._handles)} of {self.config.max_sessions} sessions. "
                "Close one, or raise EngineConfig.max_sessions."
            )
        if reserved + wanted > self.memory_bytes:
            raise CapacityError(
                f"one more session wants {wanted:,} bytes, and {reserved:,} of {self.memory_bytes:,} are reserved by "
                f"{len(self._handles)} sessions. Close one, lower StreamConfig.memory_frames or text_tokens, or raise "
                "EngineConfig.memory_bytes."
            )

    # ---- by hand ---------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """One round of both channels; False if nothing was due."""
        looked = self.look()
        spoke, _ = self.speak()
        return looked or spoke

    def look(self) -> bool:
        """Encode one frame of each session that has one waiting, in one batch; False if none has."""
        work: list[tuple[Handle, Glance]] = []
        for handle in self._in_turn("sight"):
            glance = handle.glance() if len(work) < self.config.encode_frames else None
            if glance is not None:
                work.append((handle, glance))
        if not work:
            return False
        done = _each(lambda glances: perceive_together(self.model, glances), [glance for _, glance in work])
        for (handle, _), seen in zip(work, done, strict=True):
            handle.saw(seen)
        return True

    def speak(self) -> tuple[bool, float | None]:
        """Bring every session to where it needs the model, and serve those in one pass of the weights.

        Returns whether anything was done, and else for how long nothing will be by itself (s; None: for ever).
        """
        work: list[tuple[Handle, Feed]] = []
        delays: list[float] = []
        num_tokens = 0
        for handle in self._in_turn("speech"):
            state = handle.advance()
            if state == "over":
                self._forget(handle)
            elif isinstance(state, Idle):
                delays += [] if state.delay_s is None else [state.delay_s]
            elif not work or num_tokens + len(state.ids) <= self.config.pass_tokens:
                work.append((handle, state))
                num_tokens += len(state.ids)
        if not work:
            return False, min(delays, default=None)
        self.num_passes += 1
        self.num_rows += len(work)
        rows = _each(lambda feeds: feed_together(self.model, feeds), [want for _, want in work])
        for (handle, _), logits_V in zip(work, rows, strict=True):
            if isinstance(logits_V, Exception):
                handle.fail(logits_V)
            else:
                handle.advance(logits_V)
        return True, None

    def _in_turn(self, channel: str) -> list[Handle]:
        """All sessions, beginning with another one each time: where not all can be served, none always waits."""
        handles = list(self.handles)
        self._turn[channel] += 1
        first = self._turn[channel] % max(1, len(handles))
        return handles[first:] + handles[:first]

    def _forget(self, handle: Handle) -> None:
        with self._bell:
            if handle in self._handles:
                self._handles.remove(handle)
        self._ring()

    # ---- threads ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self) -> None:
        """Run by itself from now on."""
        for name, work, blame in (
            ("vigil-speech", self.speak, Handle.fail),
            ("vigil-sight", lambda: (self.look(), None), Handle.saw),
        ):
            self._threads.append(threading.Thread(target=self._run, args=(work, blame), name=name, daemon=True))
            self._threads[-1].start()

    def close(self) -> None:
        """End every session, and the threads; each session still gives its totals."""
        for handle in self.handles:
            handle.close()
        self._ring(stopping=True)
        for thread in self._threads:
            thread.join(timeout=JOIN_S)
        while not self._threads and self.handles:
            self.speak()

    def _ring(self, *, stopping: bool = False) -> None:
        """Something has changed: wake both channels."""
        with self._bell:
            self._rings += 1
            self._stopping = self._stopping or stopping
            self._bell.notify_all()

    def _run(self, work: Callable[[], tuple[bool, float | None]], blame: Callable[[Handle, Exception], None]) -> None:
        """Do the work again and again; where there was none, sleep for as long as it says, or until a ring."""
        try:
            while True:
                with self._bell:
                    rings, stopping = self._rings, self._stopping
                done, delay_s = work()
                if stopping and not self.handles:
                    return
                if not done:
                    with self._bell:
                        if self._rings == rings:
                            self._bell.wait(delay_s)
        except Exception as error:  # noqa: BLE001 - our own mistake: kept, and every session ends with it
            self.error = error
            for handle in self.handles:
                blame(handle, error)


def _each(work: Callable[[list[Any]], list[Any]], items: list[Any]) -> list[Any]:
    """Do the work for all at once; where that fails, for each alone, so that an error stays with its cause."""
    try:
        return work(items)
    except Exception as error:  # noqa: BLE001 - given to the one session that caused it
        if len(items) == 1:
            return [error]
    return [result for item in items for result in _each(work, [item])]
