"""The streaming door: four calls through which any system is watched, so that all are scored by the same code.

    live = system.open(clock)                      # one stream begins
    live.push_frame(image, t)                      # a frame arrives
    live.push_prompt("What is happening?", t)      # the user asks
    rows = live.advance(t)                         # what happened before media time t, as rows of the event log

Times are media time (s) and never go back. `advance(t)` stops short of `t`, so that a frame or a question of that very
moment comes before the next word. Behind the door stand a vigil model (`vigil.eval.session_door`), or anything that can
see, hear and reply (`vigil.eval.watcher`), among it models that are polled (`vigil.eval.recent`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vigil.errors import ConfigError
from vigil.eval.log import Log, validate
from vigil.eval.rows import AnswerRow, DecideRow, EndRow, FrameRow, HeadRow, PromptRow, Timed, TokRow

Image = NDArray[np.uint8]
"""[H, W, 3], RGB."""
EPSILON_S = 1e-6
"""Times closer than this are the same moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualClock:
    """What computing costs on media time. Frames and questions come when they come, whatever the system is doing."""

    mode: Literal["free", "cost"] = "cost"
    """free: speech only has a pace. cost: a token is on show `token_s` after the pass that makes it has begun."""
    fps: float = 2.0
    """Frames per second of video (Hz)."""
    token_s: float = 0.1
    """Seconds from one token to the next."""
    frame_s: float = 0.0
    """Seconds from the arrival of a frame until the system can see it."""
    prefill_s: float = 0.0
    """Seconds that a system of whole replies takes to read its input, before the first token of each reply."""

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.token_s <= 0 or self.frame_s < 0 or self.prefill_s < 0:
            raise ConfigError(
                f"fps = {self.fps} and token_s = {self.token_s} must be above 0, "
                f"frame_s = {self.frame_s} and prefill_s = {self.prefill_s} not below."
            )

    @property
    def delay_s(self) -> float:
        """Seconds from the beginning of a pass until its token is on show."""
        return self.token_s if self.mode == "cost" else 0.0

    def head(self, model: str, *, seed: int = 0, policy: str = "greedy") -> HeadRow:
        """First row of a log on this clock."""
        cost = {"token": self.token_s, "frame": self.frame_s, "prefill": self.prefill_s}
        return HeadRow(
            v=1,
            clock=self.mode,
            w0=0.0,
            speed=1.0,
            fps=self.fps,
            model=model,
            seed=seed,
            policy=policy,
            cost=cost if self.mode == "cost" else None,
        )


class Door(Protocol):
    """One stream that is being watched."""

    def push_frame(self, image: Image, t: float) -> None:
        """A frame arrives at media time `t`."""
        ...

    def push_prompt(self, text: str, t: float, *, standing: bool = False) -> None:
        """The user asks at media time `t`. A standing question is answered anew each time there is news."""
        ...

    def advance(self, t: float) -> list[Timed]:
        """Let the system do what it does before media time `t`; the rows since the last call, in order of `w`."""
        ...


class System(Protocol):
    """Something that can be watched, many times over."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    def open(self, clock: VirtualClock) -> Door:
        """Begin a new stream at media time 0, with nothing left of earlier ones."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A question and its media time."""

    t: float
    text: str
    standing: bool = False


def play(
    system: System, frames: Iterable[Image], asks: Sequence[Ask], *, clock: VirtualClock, end_s: float, seed: int = 0
) -> Log:
    """Watch a whole stream: frame i arrives at i / fps, each question in its time; the log of what happened.

    A question at 0 s comes before the first frame, any other after the frame of its moment.
    """
    live = system.open(clock)
    rows: list[Timed] = []
    moments: list[tuple[float, int, Image | Ask]] = [(ask.t, 1 if ask.t > 0 else -1, ask) for ask in asks]
    moments += [(i / clock.fps, 0, image) for i, image in enumerate(frames)]
    for t, _, what in sorted(moments, key=lambda moment: moment[:2]):
        if t > end_s + EPSILON_S:
            break
        rows += live.advance(t)
        if isinstance(what, Ask):
            live.push_prompt(what.text, t, standing=what.standing)
        else:
            live.push_frame(what, t)
    rows += live.advance(end_s)
    return finish(clock.head(system.name, seed=seed), rows + live.advance(end_s + 2 * EPSILON_S), end_s)


def finish(head: HeadRow, rows: Iterable[Timed], end_s: float) -> Log:
    """A valid log of the rows that a door gave until `end_s`."""
    kept = [row for row in rows if row.w <= end_s]
    return validate([head, *kept, EndRow(w=end_s, t=end_s, why="eof")])


class Outbox:
    """Holds rows until their time has come. Rows of one moment stand as they came, but what a pass brings on show later
    than it began comes after the frames and questions that arrive at that moment."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, bool, int, Timed]] = []
        self._order = count()
        self._now_w = 0.0

    def put(self, row: Timed) -> None:
        """Take a row in."""
        row = replace(row, w=round(row.w, 6))
        if isinstance(row, FrameRow | PromptRow):
            self._now_w = max(self._now_w, row.w)
        is_ahead = isinstance(row, TokRow | AnswerRow | DecideRow) and row.w > self._now_w
        heapq.heappush(self._waiting, (row.w, is_ahead, next(self._order), row))

    def take(self, t: float) -> list[Timed]:
        """The rows before media time `t`."""
        rows = []
        while self._waiting and self._waiting[0][0] < t - EPSILON_S / 2:
            rows.append(heapq.heappop(self._waiting)[-1])
        return rows
