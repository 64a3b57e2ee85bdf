"""Turns a session into an event log: its events, and what its trace callback reports.

    head = HeadRow(v=1, clock="free", w0=0.0, speed=1.0, fps=1.0, model="nano", seed=0, policy="greedy", cost=None)
    writer = LogWriter(head)
    with Session(model, trace=writer.trace) as live:
        for event in live.watch("clip.mp4"):
            writer.event(event)
    write_log(path, writer.log())

An answer of the log is one revision of an answer of the session: `a` = "<answer>.<rev>". Turn n is question "q<n>".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from threading import Lock
from typing import Any, Literal

from vigil.eval.jsonl import row_from_json
from vigil.eval.log import Log, validate
from vigil.eval.rows import (
    KINDS,
    AnswerRow,
    AnswerState,
    DropRow,
    DropWhy,
    EndRow,
    FrameRow,
    HeadRow,
    PromptRow,
    SourceRow,
    Timed,
    TokRow,
)
from vigil.types import Asked, Back, Done, DropReason, Ended, Event, FramesDropped, Lost, Revise, Say

Trace = Callable[..., None]
"""Called as trace(kind, **fields): the fields of a frame, ready, drop, evict or decide row, and `t`, the media time."""

Place = tuple[float, int]
"""Where a row stands in the log: run clock, then order of coming."""

_TRACED = ("frame", "ready", "drop", "evict", "decide")
_WHY: dict[DropReason, DropWhy] = {
    "queue": "queue_full",
    "over_credit": "queue_full",
    "stale": "policy",
    "rate": "policy",
    "not_ready": "policy",
    "shutdown": "policy",
    "undecodable": "error",
    "too_large": "error",
    "bad_timestamp": "error",
}


class LogWriter:
    """Collects the rows of one run. `trace` may be called from several threads.

    The run clock of a row is the wall time on the "wall" clock, and the media time on the virtual ones ("free" and
    "cost"). A trace record without `t` counts on a virtual clock as of the newest frame or event. The rows are put in
    order of the run clock at the end; rows of one instant stay in the order in which they came. Kinds of trace that are
    no rows of the log are left out.
    """

    def __init__(self, head: HeadRow) -> None:
        self._head = head
        self._rows: list[tuple[Place, float, Timed]] = []
        """(place, index of a frame, row); what stands at the place of a frame and is no frame comes after it."""
        self._order = count()
        self._lock = Lock()
        self._media_s = 0.0
        self._num_tokens = 0
        self._question: str | None = None
        self._question_of: dict[int, str | None] = {}
        """Answer of the session -> the question that was open when it began."""
        self._opened: set[str] = set()
        self._came: dict[int, Place] = {}
        """Frames that were traced."""
        self._dropped: dict[int, Place] = {}
        self._untimed: list[int] = []
        """Dropped frames that the next `FramesDropped` tells the times of."""
        self._untraced: dict[int, FrameRow] = {}
        """Frames of which nothing is known but that they were dropped, as if they had come then."""

    def trace(self, kind: str, **fields: Any) -> None:
        """Take one trace record of the session.

        Raises:
            DataError: a field of a row is missing or does not fit.
        """
        if kind not in _TRACED:
            return
        with self._lock:
            if kind == "drop":
                fields["why"] = _WHY.get(fields["why"], fields["why"])
            t = fields["t"] if kind == "frame" else fields.pop("t", self._media_s)
            if self._head.clock != "wall":
                fields["w"] = t
            row = row_from_json(KINDS[kind], fields, where=f"trace {kind}")
            assert not isinstance(row, HeadRow)
            self._media_s = max(self._media_s, t)
            place = self._put(row)
            if isinstance(row, FrameRow):
                self._came[row.i] = place
            elif isinstance(row, DropRow):
                self._dropped[row.i] = place
                self._untimed.append(row.i)

    def event(self, event: Event) -> None:
        """Take one event of the session, in the order of `seq`. Silence and interruptions leave no row of their own."""
        w = event.wall_s if self._head.clock == "wall" else event.time_s
        with self._lock:
            self._media_s = max(self._media_s, event.time_s)
            if isinstance(event, Asked):
                q = self._question = f"q{event.turn}"
                self._put(PromptRow(q=q, t=event.time_s, w=w, text=event.text, direct=not event.standing))
            elif isinstance(event, Revise):
                self._open(event.answer, event.rev, w, supersedes=event.supersedes)
            elif isinstance(event, Say):
                self._say(event, w)
            elif isinstance(event, Done):
                self._done(event, w)
            elif isinstance(event, FramesDropped):
                self._time_drops(event)
            elif isinstance(event, Lost | Back):
                state: Literal["lost", "back"] = "lost" if isinstance(event, Lost) else "back"
                self._put(SourceRow(w=w, t=event.time_s, state=state, why=event.cause))
            elif isinstance(event, Ended):
                self._put(EndRow(w=w, t=event.time_s, why=event.reason))

    def log(self) -> Log:
        """The finished log, validated.

        Raises:
            DataError: the rows break a validity rule, such as a token that saw a frame before it was ready.
        """
        with self._lock:
            rows = sorted([*self._rows, *self._arrivals()], key=lambda entry: entry[:2])
            return validate([self._head, *(row for _, _, row in rows)])

    def take(self) -> list[Timed]:
        """Hand over the rows so far, in the order in which they came; `log` no longer has them."""
        with self._lock:
            rows, self._rows = self._rows, []
            return [row for _, _, row in rows]

    def _put(self, row: Timed) -> Place:
        place = (row.w, next(self._order))
        self._rows.append((place, row.i if isinstance(row, FrameRow) else math.inf, row))
        return place

    def _open(self, answer: int, rev: int, w: float, *, supersedes: int | None = None) -> str:
        a = f"{answer}.{rev}"
        if a not in self._opened:
            self._opened.add(a)
            q = self._question_of.setdefault(answer, self._question)
            old = None if supersedes is None else f"{answer}.{supersedes}"
            self._put(AnswerRow(a=a, q=q, w=w, state="open", supersedes=old))
        return a

    def _say(self, event: Say, w: float) -> None:
        a = self._open(event.answer, event.rev, w)
        self._put(TokRow(n=self._num_tokens, w=w, vis=event.frame, text=event.text, a=a))
        self._num_tokens += 1

    def _done(self, event: Done, w: float) -> None:
        a = self._open(event.answer, event.rev, w)
        state: AnswerState = "final" if event.status == "final" else "cut"
        self._put(AnswerRow(a=a, q=self._question_of[event.answer], w=w, state=state, text=event.text))

    def _time_drops(self, event: FramesDropped) -> None:
        """Give the dropped frames of a run that were not traced on arrival their times, spread evenly over the run."""
        run, self._untimed = self._untimed, []
        step_s = (event.last_s - event.first_s) / max(len(run) - 1, 1)
        for n, i in enumerate(run):
            if i not in self._came:
                self._untraced[i] = FrameRow(i=i, t=event.first_s + n * step_s, w=self._dropped[i][0])

    def _arrivals(self) -> list[tuple[Place, float, Timed]]:
        """Where untraced frames stand: at their drop, or at the next frame if that came before, the latest possible.

        That is known at the end alone, for a frame that waits is traced after the drop of one before it.
        """
        found: list[tuple[Place, float, Timed]] = []
        latest: Place = (math.inf, 0)
        for i in sorted({*self._came, *self._untraced}, reverse=True):
            if i in self._came:
                latest = self._came[i]
            else:
                latest = min(latest, self._dropped[i])
                found.append((latest, i, replace(self._untraced[i], w=latest[0])))
        return found
