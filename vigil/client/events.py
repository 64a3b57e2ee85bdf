"""From the wire's events to `vigil.types`. Every event of a session becomes one, so that `seq` has no holes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vigil.types import (
    Asked,
    Back,
    Done,
    Ended,
    EndReason,
    Event,
    FramesDropped,
    Interrupted,
    Lost,
    Revise,
    Say,
    Silence,
)

Row = dict[str, Any]
REASONS: dict[str, EndReason] = {"shutdown": "interrupted", "error": "error"}
"""Other ends are plain ones: somebody has closed it, or nothing came for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """An event that `vigil.types` has no class for, such as "source.opened" or "turn.started"."""

    kind: str
    fields: Row = field(hash=False)
    """Its own fields, as docs/serve.md and the server's protocol name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing(Event):
    """Events `first` to `seq` are not kept any more. The only way in which numbers can jump, and it is said."""

    first: int
    reason: str


class Translator:
    """Remembers what an event needs to know of those before it: the newest frame seen, and the video's time."""

    def __init__(self) -> None:
        self._frame = -1
        self._ahead_s = 0.0
        """Video time less session time."""
        self._wall_s = 0.0

    def event(self, row: Row) -> Event:
        """The next event."""
        self._wall_s = row.get("t_mono", self._wall_s)
        seen = row.get("evidence")
        if seen is not None:
            self._frame = seen["frame_no"] - 1
            self._ahead_s = seen["ts"] + (seen["lag_ms"] or 0.0) / 1000 - self._wall_s
        time_s = round(self._wall_s + self._ahead_s, 6)
        base = {"seq": row.get("seq"), "time_s": time_s, "wall_s": self._wall_s, "frame": self._frame}
        return _MAKE.get(row["type"], _notice)(row, base, self._ahead_s)


def _asked(row: Row, base: Row, ahead_s: float) -> Event:
    return Asked(**base, turn=row["turn"], text=row["text"], standing=row.get("standing", False))


def _say(row: Row, base: Row, ahead_s: float) -> Event:
    return Say(**base, answer=row["answer_id"], rev=row["rev"], text=row["text"])


def _revise(row: Row, base: Row, ahead_s: float) -> Event:
    return Revise(**base, answer=row["answer_id"], rev=row["rev"], supersedes=row["supersedes"])


def _done(row: Row, base: Row, ahead_s: float) -> Event:
    said = {"answer": row["answer_id"], "rev": row["rev"], "text": row["text"]}
    return Done(**base, **said, status=row["status"], finish=row["finish"])


def _silence(row: Row, base: Row, ahead_s: float) -> Event:
    first_s, last_s = round(row["first_ts"] + ahead_s, 6), round(row["last_ts"] + ahead_s, 6)
    p = row["p_silence"]
    return Silence(
        **base, first_s=first_s, last_s=last_s, frames=row["frames"], p_silence_mean=p["mean"], p_silence_min=p["min"]
    )


def _interrupted(row: Row, base: Row, ahead_s: float) -> Event:
    return Interrupted(**base, turn=row["turn"], next_turn=row["next_turn"])


def _dropped(row: Row, base: Row, ahead_s: float) -> Event:
    times = {"first_s": row["first_ts"], "last_s": row["last_ts"]}
    return FramesDropped(**base, **times, count=row["count"], reason=row["reason"])


def _lost(row: Row, base: Row, ahead_s: float) -> Event:
    return Lost(**base, cause=row["cause"], attempt=row["attempt"], retry_in_s=row["retry_in_s"])


def _back(row: Row, base: Row, ahead_s: float) -> Event:
    return Back(**base, epoch=row["stream_epoch"], cause=row["cause"], gap_s=row["gap_s"])


def _ended(row: Row, base: Row, ahead_s: float) -> Event:
    frames = row["usage"]["frames"]
    counts = {name: frames[name] for name in ("received", "perceived", "dropped")}
    pending = counts["received"] - counts["perceived"] - counts["dropped"]
    return Ended(**base, reason=REASONS.get(row["reason"], "closed"), **counts, pending=pending)


def _missing(row: Row, base: Row, ahead_s: float) -> Event:
    return Missing(**{**base, "seq": row["to"]}, first=row["from"], reason=row["reason"])


def _notice(row: Row, base: Row, ahead_s: float) -> Event:
    return Notice(**base, kind=row["type"], fields={key: row[key] for key in row if key not in _COMMON})


_COMMON = ("seq", "type", "t_mono", "t_wall", "epoch", "by")
_MAKE: dict[str, Callable[[Row, Row, float], Event]] = {
    "input.text.accepted": _asked,
    "answer.delta": _say,
    "answer.revised": _revise,
    "answer.done": _done,
    "silence": _silence,
    "turn.interrupted": _interrupted,
    "input.frames.dropped": _dropped,
    "source.lost": _lost,
    "source.discontinuity": _back,
    "session.closed": _ended,
    "resume.gap": _missing,
}
