"""A scripted session for tests of the command line: it yields given events, and notes what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self

from vigil.types import Asked, Done, Ended, Event, FramesDropped, Revise, Say, Silence


class Script:
    """Writes events with running numbers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def _add(self, kind: type[Event], at_s: float, **fields: Any) -> Self:
        seq = len(self.events) + 1
        self.events.append(kind(seq=seq, time_s=at_s, wall_s=at_s + 0.01, frame=int(at_s), **fields))
        return self

    def ask(self, at_s: float, text: str, *, turn: int = 1, standing: bool = False) -> Self:
        """A question."""
        return self._add(Asked, at_s, turn=turn, text=text, standing=standing)

    def say(self, at_s: float, text: str, *, answer: int = 1, rev: int = 1) -> Self:
        """A piece of an answer."""
        return self._add(Say, at_s, answer=answer, rev=rev, text=text)

    def done(self, at_s: float, text: str, *, answer: int = 1, rev: int = 1, status: str = "final") -> Self:
        """The end of an answer."""
        return self._add(Done, at_s, answer=answer, rev=rev, text=text, status=status, finish="silence")

    def spoken(self, at_s: float, text: str, *, answer: int = 1, rev: int = 1, status: str = "final") -> Self:
        """A whole answer, one second long; a later revision is announced."""
        if rev > 1:
            self._add(Revise, at_s, answer=answer, rev=rev, supersedes=rev - 1)
        self.say(at_s, text, answer=answer, rev=rev)
        return self.done(at_s + 1.0, text, answer=answer, rev=rev, status=status)

    def silence(self, first_s: float, last_s: float) -> Self:
        """A run of silence."""
        frames = int(last_s - first_s) + 1
        fields = {"first_s": first_s, "last_s": last_s, "frames": frames, "p_silence_mean": 0.9, "p_silence_min": 0.8}
        return self._add(Silence, last_s, **fields)

    def dropped(self, at_s: float, count: int) -> Self:
        """Frames lost."""
        return self._add(FramesDropped, at_s, first_s=at_s - 1, last_s=at_s, count=count, reason="queue")

    def ended(self, at_s: float, *, reason: str = "eof", dropped: int = 0) -> Self:
        """The end."""
        seen = int(at_s) + 1
        return self._add(
            Ended, at_s, reason=reason, received=seen + dropped, perceived=seen, dropped=dropped, pending=0
        )


def traffic_light() -> list[Event]:
    """A question, a silence, an answer, and its revision."""
    script = Script().ask(0.0, "What colour is the light?").silence(0.0, 2.0).spoken(3.0, "The light is red.")
    return script.silence(4.0, 6.0).spoken(7.0, "The light is green.", rev=2).ended(9.0).events


class FakeSession:
    """Stands where `vigil.Session` stands. After `stop_after` events it waits for `close`, if it is given."""

    events: list[Event]
    stop_after: int | None = None
    fails_with: BaseException | None = None
    made: list[FakeSession]

    def __init__(self, model: object, **settings: Any) -> None:
        self.model = model
        self.settings = settings
        self.asked: list[tuple[str, bool, float | None]] = []
        self.watched: SimpleNamespace | None = None
        self.closed = threading.Event()
        self.made.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def ask(self, text: str, *, standing: bool = False, at_s: float | None = None) -> None:
        """Note a question."""
        self.asked.append((text, standing, at_s))

    def close(self) -> None:
        """End the running watch."""
        self.closed.set()

    def watch(self, source: object, **how: Any) -> Iterator[Event]:
        """Yield the script; when it is stopped, an interrupted answer and the end."""
        self.watched = SimpleNamespace(source=source, **how)
        frames = list(source)  # type: ignore[call-overload]
        for number, event in enumerate(self.events, start=1):
            yield event
            if number == self.stop_after:
                assert self.closed.wait(20)
                yield from Script().done(5.0, "The light", status="interrupted").ended(5.0, reason="closed").events
                return
        if self.fails_with is not None:
            raise self.fails_with
        assert frames


def fakes(events: list[Event], **behaviour: Any) -> tuple[dict[str, object], list[FakeSession]]:
    """What to put into the namespace of `vigil`, and the list of sessions that will be made."""
    made: list[FakeSession] = []
    session = type("Scripted", (FakeSession,), {"events": events, "made": made, **behaviour})
    return {"Session": session, "load": lambda name: f"model {name}"}, made
