"""Bookkeeping of a session: event numbers, turns, answers and their revisions, runs of silence."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from vigil.stream.notices import Outage, Return
from vigil.types import (
    Asked,
    Back,
    Done,
    DropReason,
    Ended,
    EndReason,
    Event,
    Finish,
    FramesDropped,
    Interrupted,
    Lost,
    Revise,
    Say,
    Silence,
    Status,
)

NEWEST_KEPT = 16
"""More events than one item of an inbox can cause."""
LONGEST_SILENCE_S = 10.0
"""A run of silence is reported at the latest after this (s of video)."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happens, on both clocks."""

    time_s: float
    """Video time (s)."""
    wall_s: float
    """Seconds since the session started, on the run clock."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a user asks."""

    text: str
    standing: bool = False
    at_s: float | None = None
    """Video time at which to ask; None: now."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """Another system text."""

    text: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """Frames that will never be perceived, one run with one reason."""

    indices: tuple[int, ...]
    first_s: float
    last_s: float
    reason: DropReason


@dataclass(slots=True)
class _Quiet:
    """The run of silence that is going on."""

    first_s: float
    last_s: float
    p: list[float] = field(default_factory=list)


class Journal:
    """Turns what happens into numbered events. A later reply in a turn revises the one before, unless the turn is a
    standing one and the reply before was finished."""

    def __init__(self) -> None:
        self.newest_frame = -1
        self.perceived = 0
        self.turn = 0
        self.standing = True
        self.newest: deque[Event] = deque(maxlen=NEWEST_KEPT)
        """Events made last: what work that failed had made, and could not return, is found here."""
        self._seq = 0
        self._asked_s: float | None = None
        self._answer = 0
        self._rev = 0
        self._open = False
        self._told = False
        """Some event has said that what is open has begun."""
        self._abandoned = False
        self._answered_turn = False
        self._quiet: _Quiet | None = None

    def saw(self, index: int) -> None:
        """Frame `index` became readable."""
        self.newest_frame = index
        self.perceived += 1

    def waited_s(self, now: Moment) -> float | None:
        """Seconds since a direct question that has no answer yet; None if there is none."""
        if self._asked_s is None or self.standing or self._answered_turn:
            return None
        return now.time_s - self._asked_s

    def asked(self, question: Question, now: Moment, spoken: str) -> list[Event]:
        """A question opens a turn, and cuts the answer being spoken (`spoken` is its text so far)."""
        turn = self.turn + 1
        events = self._flush(now)
        events.append(self._make(Asked, now, turn=turn, text=question.text, standing=question.standing))
        if self._open:
            events += self.cut(now, spoken, next_turn=turn)
        self.turn, self.standing, self._asked_s = turn, question.standing, now.time_s
        self._answered_turn = self._abandoned = False
        return events

    def cut(self, now: Moment, spoken: str, *, next_turn: int | None) -> list[Event]:
        """The user stops the answer being spoken."""
        done = self.ends(now, spoken, status="interrupted", finish="cancel")
        return [*done, self._make(Interrupted, now, turn=self.turn, next_turn=next_turn)]

    def silent(self, now: Moment, p_silence: float) -> list[Event]:
        """Nothing was said in a slot."""
        events: list[Event] = []
        if self._quiet is not None and now.time_s - self._quiet.first_s >= LONGEST_SILENCE_S:
            events = self._flush(now)
        if self._quiet is None:
            self._quiet = _Quiet(now.time_s, now.time_s)
        self._quiet.last_s = now.time_s
        self._quiet.p.append(p_silence)
        return events

    def starts(self, now: Moment) -> list[Event]:
        """An answer, or a new revision of the one before, begins."""
        events = self._flush(now)
        self._open, self._told = True, False
        if self._answered_turn and (self._abandoned or not self.standing):
            self._rev += 1
            events.append(self._make(Revise, now, answer=self._answer, rev=self._rev, supersedes=self._rev - 1))
            self._told = True
        else:
            self._answer, self._rev = self._answer + 1, 1
        self._answered_turn, self._abandoned = True, False
        return events

    def says(self, now: Moment, text: str) -> list[Event]:
        """The next piece of text; no event while a character is not whole, but for the one that begins an answer."""
        is_news, self._told = bool(text) or not self._told, True
        return [self._make(Say, now, answer=self._answer, rev=self._rev, text=text)] if is_news else []

    def ends(self, now: Moment, text: str, *, status: Status, finish: Finish) -> list[Event]:
        """The answer being spoken is closed; "superseded" means that a revision follows at once."""
        self._open = False
        self._abandoned = status == "superseded"
        text = text.strip()
        return [self._make(Done, now, answer=self._answer, rev=self._rev, text=text, status=status, finish=finish)]

    def dropped(self, now: Moment, first_s: float, last_s: float, count: int, reason: DropReason) -> list[Event]:
        """A run of frames was lost."""
        return [self._make(FramesDropped, now, first_s=first_s, last_s=last_s, count=count, reason=reason)]

    def source_changed(self, now: Moment, notice: Outage | Return) -> list[Event]:
        """A live source was lost, or is back; a run of silence ends here."""
        events = self._flush(now)
        match notice:
            case Outage(cause=cause, attempt=attempt, retry_in_s=retry_in_s):
                events.append(self._make(Lost, now, cause=cause, attempt=attempt, retry_in_s=retry_in_s))
            case Return(epoch=epoch, cause=back, gap_s=gap_s):
                events.append(self._make(Back, now, epoch=epoch, cause=back, gap_s=gap_s))
        return events

    def ended(self, now: Moment, reason: EndReason, totals: Totals) -> list[Event]:
        """The last event."""
        lags = sorted(totals.lags_s)
        return [
            *self._flush(now),
            self._make(
                Ended,
                now,
                reason=reason,
                received=totals.received,
                perceived=self.perceived,
                dropped=totals.dropped,
                pending=totals.pending,
                lag_p95_s=lags[int(0.95 * (len(lags) - 1))] if lags else None,
                late_s=totals.late_s,
            ),
        ]

    def _flush(self, now: Moment) -> list[Event]:
        quiet, self._quiet = self._quiet, None
        if quiet is None:
            return []
        return [
            self._make(
                Silence,
                now,
                first_s=quiet.first_s,
                last_s=quiet.last_s,
                frames=len(quiet.p),
                p_silence_mean=sum(quiet.p) / len(quiet.p),
                p_silence_min=min(quiet.p),
            )
        ]

    def _make(self, kind: type[Event], now: Moment, **fields: object) -> Event:
        self._seq += 1
        event = kind(seq=self._seq, time_s=now.time_s, wall_s=now.wall_s, frame=self.newest_frame, **fields)
        self.newest.append(event)
        return event


@dataclass(slots=True)
class Totals:
    """What a driver counted of the frames it was given."""

    received: int = 0
    dropped: int = 0
    pending: int = 0
    """Received, but neither perceived nor dropped when the stream ended."""
    late_s: float = 0.0
    """Virtual clock with a speed: how far the machine fell behind at most."""
    lags_s: list[float] = field(default_factory=list)
    """Arrival to readable of the newest frames (s)."""
