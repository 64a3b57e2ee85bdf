"""What flows through vigil: frames in, events out, and the records that describe videos.

An answer has an id (1, 2, 3, ... in one session) and revisions (1, 2, 3, ... in one answer). Its text arrives in
pieces as `Say`; each revision ends with exactly one `Done`. A second revision starts with `Revise`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Status = Literal["final", "superseded", "interrupted", "error"]
Finish = Literal["silence", "end", "length", "deadline", "cancel", "fault"]
EndReason = Literal["eof", "closed", "interrupted", "error"]
LostCause = Literal["frozen", "closed", "refused", "decoder"]
BackCause = Literal["reconnect", "gap", "resolution", "codec", "clock"]
DropReason = Literal[
    "queue", "stale", "rate", "undecodable", "too_large", "bad_timestamp", "over_credit", "not_ready", "shutdown"
]


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled image and the time it belongs to."""

    image: NDArray[np.uint8]
    """[H, W, 3], RGB, 0 to 255."""
    time_s: float
    """Seconds since the first frame of the stream; of a live source, since it began to be watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of everything that a session reports."""

    seq: int
    """1, 2, 3, ... without gaps."""
    time_s: float
    """Video time at which it happened (s)."""
    wall_s: float
    """Seconds since the session started, on the run clock."""
    frame: int
    """Index of the newest frame that had been seen; -1 before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Event):
    """A question was taken in; it opens a turn."""

    turn: int
    text: str
    standing: bool
    """True: each later reply is an update. False: each later reply revises the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Say(Event):
    """The next piece of an answer's text: whole characters only, so the first may be empty, which begins an answer."""

    answer: int
    rev: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revise(Event):
    """A new revision of an answer starts; its full text follows as `Say`."""

    answer: int
    rev: int
    supersedes: int
    """The revision that no longer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Event):
    """A revision of an answer is closed."""

    answer: int
    rev: int
    text: str
    status: Status
    finish: Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Event):
    """A run of decision slots in which nothing was said."""

    first_s: float
    last_s: float
    frames: int
    p_silence_mean: float
    p_silence_min: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Event):
    """The user cut an answer, by a new question (`next_turn`) or without one (None)."""

    turn: int
    next_turn: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesDropped(Event):
    """A run of frames that will never be perceived."""

    first_s: float
    last_s: float
    count: int
    reason: DropReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(Event):
    """A live source gives no pictures any more, or could not be opened again; the next attempt follows."""

    cause: LostCause
    attempt: int
    """1, 2, 3, ...; counts from 1 again when the source has been healthy for a while."""
    retry_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Back(Event):
    """A live source gives pictures again, or gives them differently than before; what it shows may have jumped."""

    epoch: int
    """2, 3, 4, ...: which run of pictures without a break this is."""
    cause: BackCause
    gap_s: float
    """For how long there was no picture (s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """The last event. Always received = perceived + dropped + pending."""

    reason: EndReason
    received: int
    perceived: int
    dropped: int
    pending: int
    lag_p95_s: float | None = None
    """95th percentile of frame lag, arrival to readable, on the wall clock; None on the virtual one."""
    late_s: float = 0.0
    """Virtual clock with a speed: how far the machine fell behind at most."""


_NAMES = {
    Asked: "ask",
    Say: "say",
    Revise: "revise",
    Done: "done",
    Silence: "silence",
    Interrupted: "interrupted",
    FramesDropped: "dropped",
    Lost: "lost",
    Back: "back",
    Ended: "ended",
}
_RENAMED = {"time_s": "t", "wall_s": "wall"}


def event_to_json(event: Event) -> dict[str, Any]:
    """Spell an event as one flat JSON object, the line that `vigil watch --json` prints."""
    row: dict[str, Any] = {"seq": event.seq, "event": _NAMES[type(event)]}
    for name in event.__dataclass_fields__:
        value = getattr(event, name)
        if name != "seq":
            row[_RENAMED.get(name, name)] = round(value, 4) if isinstance(value, float) else value
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A span of a video and what it shows, in words and, where known, as a fact.

    The facts are what makes exact truth: a world fills them, captions written by people leave them empty.
    """

    start_s: float
    """When it begins to be visible."""
    end_s: float
    """When it is over; equal to `start_s` for an instant."""
    text: str
    level: Literal["video", "event", "action"] = "event"
    kind: str = ""
    """Machine-readable kind, such as "enter" or "light"; empty for captions written by people."""
    subject: str = ""
    """What it is about, such as "red ball"; empty where unknown."""
    value: str = ""
    """The value that holds afterwards, such as "on the left"; empty where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A value that holds over the half-open span [start_s, end_s)."""

    subject: str
    attribute: str
    value: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCaptions:
    """Everything known about one video: captions at three levels, and states where truth is exact."""

    id: str
    duration_s: float
    captions: tuple[Caption, ...]
    """In order of `start_s`."""
    states: tuple[State, ...] = ()
    video: str | None = None
    """File name relative to the captions file, or None where the video is drawn on the fly."""
    meta: tuple[tuple[str, str], ...] = ()
    """Pairs that identify the source, such as ("split", "train"), ("seed", "17")."""


Row = TypeVar("Row")


def from_json(kind: type[Row], fields: Mapping[str, Any]) -> Row:
    """Build one of the plain records above from the fields of a parsed JSON object; nested ones are built before.

    Raises:
        TypeError: a field is missing, unknown, or of the wrong type; a number must be finite.
    """
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable, whatever its instances are
    for name, value in fields.items():
        if not _fits(value, hints.get(name)):
            raise TypeError(f"{name} cannot be {value!r}")
    return kind(**fields)


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation of a number, a text, a choice or a list of texts asks for."""
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint in (str, bool):
        return isinstance(value, hint)
    if hint == str | None:
        return value is None or isinstance(value, str)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint == tuple[str, ...]:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    return True
