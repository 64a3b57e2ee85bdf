"""A vigil model behind the streaming door: a `Session` on a virtual clock, driven by hand, without a thread."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from vigil.config import StreamConfig
from vigil.eval.door import EPSILON_S, Door, Image, Outbox, VirtualClock
from vigil.eval.rows import AnswerRow, DecideRow, Timed, TokRow
from vigil.eval.writer import LogWriter
from vigil.model.model import VideoModel
from vigil.stream.journal import Moment, Question
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.stream.policy import Policy
from vigil.stream.session import Session
from vigil.types import Event, Frame


@dataclass(frozen=True, slots=True)
class ModelSystem:
    """A model that streams: frames enter its memory while it speaks."""

    model: VideoModel
    name: str = "nano"
    policy: Policy | None = None
    """When to speak; None: greedy."""

    def open(self, clock: VirtualClock) -> Door:
        """Begin a stream."""
        return SessionDoor(self.model, clock, policy=self.policy)


class SessionDoor:
    """Feeds one session in order of media time, and turns its events into rows.

    On the "cost" clock all that a pass decides is on show one token later than on the "free" one; a pass reads the
    frames that were readable when it began. Frames are encoded beside speech: they never hold a token up.
    """

    def __init__(self, model: VideoModel, clock: VirtualClock, *, policy: Policy | None = None) -> None:
        self._clock = clock
        self._rows = Outbox()
        self._writer = LogWriter(clock.head("door"))
        stream = StreamConfig(fps=clock.fps, tokens_per_s=1 / clock.token_s)
        self._session = Session(model, config=stream, policy=policy, trace=self._trace)
        self._perceiver = Perceiver(model)
        self._arrived: deque[tuple[float, Perceived]] = deque()
        self._num_frames = 0
        self._keep(self._session.open(Moment(0.0, 0.0)))

    def push_frame(self, image: Image, t: float) -> None:
        """A frame arrives; it is readable `frame_s` later."""
        self._run(t)
        perceived = self._perceiver.perceive(self._num_frames, Frame(image, t))
        self._writer.trace("frame", i=self._num_frames, t=t, w=t)
        self._num_frames += 1
        self._arrived.append((t + self._clock.frame_s, perceived))
        self._run(t + 2 * EPSILON_S if not self._clock.frame_s else t)
        self._keep([])

    def push_prompt(self, text: str, t: float, *, standing: bool = False) -> None:
        """A question cuts what is being said, and is decided upon at once."""
        self._run(t)
        self._keep(self._session.hear(Question(text, standing), Moment(t, t)))

    def advance(self, t: float) -> list[Timed]:
        """Speak and see until `t`."""
        self._run(t)
        return self._rows.take(t)

    def _run(self, t: float) -> None:
        while True:
            seen_s = self._arrived[0][0] if self._arrived else math.inf
            due_s = math.inf if self._session.due_s is None else self._session.due_s
            now_s = min(seen_s, due_s)
            if now_s >= t - EPSILON_S:
                return
            now = Moment(now_s, now_s)
            if seen_s <= due_s + EPSILON_S:
                self._keep(self._session.see(self._arrived.popleft()[1], now))
            else:
                self._keep(self._session.step(now))

    def _trace(self, kind: str, **fields: Any) -> None:
        """Frames are noted when they arrive, not when they become readable."""
        if kind != "frame":
            self._writer.trace(kind, **fields)

    def _keep(self, events: list[Event]) -> None:
        for event in events:
            self._writer.event(event)
        for row in self._writer.take():
            is_made_by_a_pass = isinstance(row, TokRow | AnswerRow | DecideRow)
            self._rows.put(replace(row, w=row.w + self._clock.delay_s) if is_made_by_a_pass else row)
