"""What was asked and said so far, folded from events. The terminal view, the plain lines and the subtitles read it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

from vigil.types import Asked, Back, Done, Ended, Event, FramesDropped, Lost, Revise, Say, Status

Pace = float | Literal["max", "live"]
"""Seconds of video per second, as fast as it goes, or by the wall clock."""
LATE_S = 0.5
"""A larger lag is shown as a warning."""


@dataclass(slots=True)
class Spoken:
    """One revision of an answer."""

    answer: int
    rev: int
    start_s: float
    text: str = ""
    end_s: float | None = None
    """None while it is being said."""
    status: Status | None = None
    replaced_s: float | None = None
    """When a later revision took its place."""
    replaces: str = ""
    """Text of the revision that it took the place of."""

    @property
    def is_withdrawn(self) -> bool:
        """It no longer holds."""
        return self.replaced_s is not None or self.status == "superseded"


class Story:
    """Folds events. With `keep`, only that many newest entries stay, so that a stream of any length fits."""

    def __init__(self, keep: int | None = None) -> None:
        self.entries: deque[Asked | Spoken] = deque(maxlen=keep)
        self.asked: Asked | None = None
        """The open question."""
        self.newest_s = 0.0
        self.quiet_since_s = 0.0
        self.num_dropped = 0
        self.lost: Lost | None = None
        """Why a live source gives no pictures now."""
        self.ended: Ended | None = None

    @property
    def speaking(self) -> Spoken | None:
        """The answer that is being said, if there is one."""
        last = next((entry for entry in reversed(self.entries) if isinstance(entry, Spoken)), None)
        return last if last is not None and last.end_s is None else None

    def add(self, event: Event) -> Spoken | None:
        """Take one event in; return the revision that it closed, if it closed one."""
        self.newest_s = max(self.newest_s, event.time_s)
        match event:
            case Asked():
                self.asked = event
                self.entries.append(event)
            case Say():
                self._at(event.answer, event.rev, event.time_s).text += event.text
            case Revise():
                old = self._find(event.answer, event.supersedes)
                new = self._at(event.answer, event.rev, event.time_s)
                if old is not None:
                    old.replaced_s = event.time_s
                    new.replaces = old.text
            case Done():
                spoken = self._at(event.answer, event.rev, event.time_s)
                spoken.text, spoken.status, spoken.end_s = event.text, event.status, event.time_s
                self.quiet_since_s = event.time_s
                return spoken
            case FramesDropped():
                self.num_dropped += event.count
            case Lost():
                self.lost = event
            case Back():
                self.lost = None
            case Ended():
                self.ended = event
                self.num_dropped = event.dropped
        return None

    def _find(self, answer: int, rev: int) -> Spoken | None:
        same = (e for e in reversed(self.entries) if isinstance(e, Spoken) and (e.answer, e.rev) == (answer, rev))
        return next(same, None)

    def _at(self, answer: int, rev: int, time_s: float) -> Spoken:
        spoken = self._find(answer, rev)
        if spoken is None:
            spoken = Spoken(answer, rev, time_s)
            self.entries.append(spoken)
        return spoken


class Lag:
    """How late the newest frame became readable: after its arrival (live), or after its due time at a speed."""

    def __init__(self, pace: Pace) -> None:
        self.lag_s: float | None = None
        """In seconds; None before the first frame, and where nothing is due."""
        self._pace = pace
        self._arrived_s = 0.0

    def trace(self, kind: str, **fields: Any) -> None:
        """Take one measurement of a session; see `vigil.stream.session.Trace`."""
        if kind == "frame":
            self._arrived_s = fields["w"] if isinstance(self._pace, str) else fields["t"] / self._pace
        elif kind == "ready" and self._pace != "max":
            self.lag_s = max(0.0, fields["w"] - self._arrived_s)


def clock(time_s: float) -> str:
    """Spell a video time: 0:07.3, 12:00.0, 1:02:03.4."""
    tenths = round(max(time_s, 0.0) * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"
