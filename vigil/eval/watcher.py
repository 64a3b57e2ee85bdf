"""The simplest way through the streaming door: a class that sees, hears, and is asked for a reply in each slot.

class Alarm:
    interrupts_itself = False

    def see(self, image, t): self.is_dark = image.mean() < 40
    def hear(self, text, t, *, standing): ...
    def reply(self, t): return "It is dark." if self.is_dark else None

log = play(WatcherSystem("alarm", Alarm), frames, asks, clock=VirtualClock(), end_s=60.0)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from re import findall
from typing import Protocol

from vigil.eval.door import EPSILON_S, Door, Image, Outbox, VirtualClock
from vigil.eval.rows import Act, AnswerRow, AnswerState, DecideRow, FrameRow, PromptRow, ReadyRow, Timed, TokRow

Reply = str | Iterable[str] | None
"""A whole text, spoken word by word, during which nothing is seen; or tokens, each asked for when it is due, so that a
generator can look at what it has seen by then; or None for silence."""


class Watcher(Protocol):
    """The simplest system: it is shown everything, and asked in each slot whether it has something to say.

    A slot opens after each frame and each question; while a reply is spoken only if `interrupts_itself`.
    """

    interrupts_itself: bool

    def see(self, image: Image, t: float) -> None:
        """A frame has become visible; `t` is its own time, also where it was seen later."""
        ...

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        """The user has asked."""
        ...

    def reply(self, t: float) -> Reply:
        """What to say now."""
        ...


@dataclass(frozen=True, slots=True)
class WatcherSystem:
    """Opens a fresh watcher for each stream."""

    name: str
    make: Callable[[], Watcher]

    def open(self, clock: VirtualClock) -> Door:
        """Begin a stream."""
        return WatcherDoor(self.make(), clock)


@dataclass(slots=True)
class _Answer:
    """The reply that is being spoken."""

    a: str
    q: str | None
    words: Iterator[str]
    due_s: float
    """When the pass for the next word begins."""
    fixed_vis: int | None
    """The newest frame when a whole reply was made; None where each word is made when it is due."""
    supersedes: str | None
    said: list[str] = field(default_factory=list)


class WatcherDoor:
    """Runs a `Watcher` on a virtual clock: paces what it says, and writes its rows."""

    def __init__(self, watcher: Watcher, clock: VirtualClock) -> None:
        self._watcher = watcher
        self._clock = clock
        self._rows = Outbox()
        self._now_s = 0.0
        self._arrived: deque[tuple[float, int, float, Image]] = deque()
        """(when it can be seen, index, when it came, image)."""
        self._num_frames = self._num_tokens = self._num_answers = 0
        self._vis = -1
        self._turn = 0
        self._standing = True
        self._last: str | None = None
        """The answer before in this turn."""
        self._speaking: _Answer | None = None

    def push_frame(self, image: Image, t: float) -> None:
        """A frame arrives; it is seen `frame_s` later, or when a whole reply has been spoken."""
        self._run(t)
        self._rows.put(FrameRow(i=self._num_frames, t=t, w=t))
        self._arrived.append((t + self._clock.frame_s, self._num_frames, t, image))
        self._num_frames += 1
        if self._sees_at() <= t:
            self._see(t)
            self._slot()

    def push_prompt(self, text: str, t: float, *, standing: bool = False) -> None:
        """A question cuts what is being said, and opens a slot; frames that waited for the end of it are seen first."""
        self._run(t)
        self._turn += 1
        self._rows.put(PromptRow(q=f"q{self._turn}", t=t, w=t, text=text, direct=not standing))
        self._close("cut")
        self._last, self._standing = None, standing
        self._see(t)
        self._watcher.hear(text, t, standing=standing)
        self._slot()

    def advance(self, t: float) -> list[Timed]:
        """Speak and see until `t`."""
        self._run(t)
        return self._rows.take(t)

    def _run(self, t: float) -> None:
        while True:
            seen_s = self._sees_at()
            due_s = math.inf if self._speaking is None else self._speaking.due_s
            if min(seen_s, due_s) >= t - EPSILON_S:
                self._now_s = t
                return
            self._now_s = min(seen_s, due_s)
            if seen_s <= due_s + EPSILON_S:
                self._see(self._now_s)
                self._slot()
            else:
                self._speak()

    def _sees_at(self) -> float:
        """When the next frame is seen."""
        is_blocked = self._speaking is not None and self._speaking.fixed_vis is not None
        if not self._arrived or (is_blocked and not self._watcher.interrupts_itself):
            return math.inf
        return max(self._arrived[0][0], self._now_s)

    def _see(self, t: float) -> None:
        """See every frame that can be seen."""
        while self._arrived and self._arrived[0][0] <= t + EPSILON_S:
            _, self._vis, came_s, image = self._arrived.popleft()
            self._rows.put(ReadyRow(i=self._vis, w=t))
            self._watcher.see(image, came_s)

    def _slot(self) -> None:
        is_free = self._speaking is None or self._watcher.interrupts_itself
        reply = self._watcher.reply(self._now_s) if is_free else None
        if reply is None:
            if self._speaking is None or self._speaking.fixed_vis is None:
                self._decide("silent" if self._speaking is None else "continue")
            return
        self._close("cut")
        self._decide("speak")
        self._num_answers += 1
        is_whole = isinstance(reply, str)
        self._speaking = _Answer(
            a=str(self._num_answers),
            q=f"q{self._turn}" if self._turn else None,
            words=iter(findall(r"\s*\S+", reply) if isinstance(reply, str) else reply),
            due_s=self._now_s + (self._clock.prefill_s if is_whole else 0.0),
            fixed_vis=self._vis if is_whole else None,
            supersedes=None if self._standing else self._last,
        )

    def _speak(self) -> None:
        """Say the word that is due, or end the answer."""
        answer = self._speaking
        assert answer is not None
        word = next(answer.words, None)
        if word is None:
            self._close("final")
            return
        if not answer.said:
            self._put_answer(answer, "open")
        vis = self._vis if answer.fixed_vis is None else answer.fixed_vis
        shown_s = self._now_s + self._clock.delay_s
        self._rows.put(TokRow(n=self._num_tokens, w=shown_s, vis=vis, text=word, a=answer.a))
        self._num_tokens += 1
        answer.said.append(word)
        answer.due_s += self._clock.token_s

    def _close(self, state: AnswerState) -> None:
        answer, self._speaking = self._speaking, None
        if answer is not None and answer.said:
            self._put_answer(answer, state)
            self._last = answer.a

    def _put_answer(self, answer: _Answer, state: AnswerState) -> None:
        self._rows.put(
            AnswerRow(
                a=answer.a,
                q=answer.q,
                w=self._now_s + self._clock.delay_s,
                state=state,
                supersedes=answer.supersedes if state == "open" else None,
                text=None if state == "open" else "".join(answer.said).strip(),
            )
        )

    def _decide(self, act: Act) -> None:
        self._rows.put(DecideRow(w=self._now_s + self._clock.delay_s, vis=self._vis, p=None, act=act))
