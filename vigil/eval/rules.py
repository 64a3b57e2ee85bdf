"""The validity rules of an event log, checked line by line before any metric.

(a) `head` first, `end` last, `w` never goes back.          (b) frames are 0, 1, 2, ... and `t` never goes back.
(c) at most one `ready` or `drop` per frame, after it.      (d) `vis` never goes back; it is -1 or a ready frame.
(e) an answer has one `open`, at most one `final` or `cut`, and `retracted` only after `open`.
(f) `supersedes` names an earlier answer to the same question.          (g) a token belongs to an open answer.
"""

from __future__ import annotations

from typing import NoReturn

from vigil.errors import DataError
from vigil.eval.rows import AnswerRow, DecideRow, DropRow, EndRow, FrameRow, HeadRow, ReadyRow, Row, TokRow


class Rules:
    """What has been seen of one log so far; `check` takes its rows in order, then `finish` closes it."""

    def __init__(self) -> None:
        self._where = ""
        self._head = False
        self._end = False
        self._w: float | None = None
        self._frame_t: list[float] = []
        self._settled: dict[int, str] = {}
        """Frame index -> "ready" or "drop"."""
        self._vis = -1
        self._questions: dict[str, str | None] = {}
        """Answer -> its question, in the order in which they were opened."""
        self._open: set[str] = set()
        self._closed: set[str] = set()

    def check(self, row: Row, *, where: str) -> None:
        """Take the next row.

        Raises:
            DataError: the row breaks a rule; the text begins with `where` and the letter of the rule.
        """
        self._where = where
        self._check_order(row)
        if isinstance(row, FrameRow):
            self._check_frame(row)
        elif isinstance(row, ReadyRow | DropRow):
            self._check_settled(row)
        elif isinstance(row, AnswerRow):
            self._check_answer(row)
        elif isinstance(row, TokRow | DecideRow):
            self._check_vis(row.vis)
            if isinstance(row, TokRow) and row.a not in self._open:
                self._broken("g", f"token {row.n} belongs to answer {row.a!r}, which is not open. Open it before")

    def finish(self, *, where: str) -> None:
        """Close the log.

        Raises:
            DataError: there was no `head` or no `end`.
        """
        self._where = where
        if not self._head:
            self._broken("a", "there is no line at all. A log begins with a head line")
        if not self._end:
            self._broken("a", "the last line is not an end line. A log that was cut short needs one to be scored")

    def _broken(self, rule: str, what: str) -> NoReturn:
        raise DataError(f"{self._where} breaks rule ({rule}): {what}.")

    def _check_order(self, row: Row) -> None:
        if isinstance(row, HeadRow):
            if self._head:
                self._broken("a", "a second head line. One log holds one run")
            if row.fps <= 0 or row.speed <= 0:
                self._broken("a", f"fps = {row.fps} and speed = {row.speed} in the head must be above 0")
            self._head = True
            return
        if not self._head:
            self._broken("a", "the first line is not a head line")
        if self._end:
            self._broken("a", "a line after the end line")
        if self._w is not None and row.w < self._w:
            self._broken("a", f"w goes back from {self._w} to {row.w}. Write lines in the order of the run clock")
        self._w = row.w
        self._end = isinstance(row, EndRow)

    def _check_frame(self, row: FrameRow) -> None:
        if row.i != len(self._frame_t):
            self._broken("b", f"frame {row.i} where frame {len(self._frame_t)} must come. Count arrivals from 0")
        if self._frame_t and row.t < self._frame_t[-1]:
            self._broken("b", f"t goes back from {self._frame_t[-1]} to {row.t} at frame {row.i}")
        self._frame_t.append(row.t)

    def _check_settled(self, row: ReadyRow | DropRow) -> None:
        kind = "ready" if isinstance(row, ReadyRow) else "drop"
        if not 0 <= row.i < len(self._frame_t):
            self._broken("c", f"{kind} of frame {row.i}, which has no frame line above it")
        if row.i in self._settled:
            self._broken("c", f"{kind} of frame {row.i}, which already has a {self._settled[row.i]} line")
        self._settled[row.i] = kind

    def _check_vis(self, vis: int) -> None:
        if vis < self._vis:
            self._broken("d", f"vis goes back from {self._vis} to {vis}")
        if vis != -1 and self._settled.get(vis) != "ready":
            self._broken("d", f"vis is {vis}, but frame {vis} has no ready line above it")
        self._vis = vis

    def _check_answer(self, row: AnswerRow) -> None:
        if row.state == "open":
            if row.a in self._questions:
                self._broken("e", f"answer {row.a!r} is opened twice. Give each answer and each revision its own id")
        elif row.a not in self._questions:
            self._broken("e", f"answer {row.a!r} is {row.state} before it was opened")
        elif row.q != self._questions[row.a]:
            self._broken("e", f"answer {row.a!r} was opened for question {self._questions[row.a]!r}, not {row.q!r}")
        elif row.state in ("final", "cut") and row.a in self._closed:
            self._broken("e", f"answer {row.a!r} is closed twice")
        if row.supersedes is not None:
            self._check_supersedes(row.a, row.q, row.supersedes)
        self._questions.setdefault(row.a, row.q)
        if row.state == "open":
            self._open.add(row.a)
        else:
            self._open.discard(row.a)
            if row.state != "retracted":
                self._closed.add(row.a)

    def _check_supersedes(self, a: str, q: str | None, old: str) -> None:
        earlier = list(self._questions)
        if a in self._questions:
            earlier = earlier[: earlier.index(a)]
        if old not in earlier:
            self._broken("f", f"answer {a!r} supersedes {old!r}, which is no earlier answer")
        if self._questions[old] != q:
            self._broken("f", f"answer {a!r} to {q!r} supersedes {old!r}, an answer to {self._questions[old]!r}")
