"""What the memory benchmarks share: world scenes, questions about them with the answers that count, and a session that
is driven step by step in virtual time, so that each step can be timed and nothing ever waits.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vigil.config import StreamConfig
from vigil.data.roles import ONLINE
from vigil.data.timeline import Timeline
from vigil.data.turns import Ask
from vigil.eval.text import normalise
from vigil.model.model import VideoModel
from vigil.stream.feed import Asking, Feed, feed_together
from vigil.stream.journal import Moment, Question
from vigil.stream.perceiver import Glance, Perceived, Perceiver, perceive_together
from vigil.stream.session import Session
from vigil.types import Done, Event, Frame
from vigil.world.captions import describe
from vigil.world.render import render
from vigil.world.scene import Scene, WorldConfig, sample_scene

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Needle:
    """A question at one moment of a scene, and every text that answers it."""

    kind: str
    frame: int
    """The newest frame that has been seen when it is asked."""
    question: str
    right: frozenset[str]

    def is_answered_by(self, text: str) -> bool:
        """Whether the whole text is right."""
        return normalise(text) in self.right


def stage_scenes(num: int, *, seconds: float, first: int = 0) -> list[Scene]:
    """Scenes with things that have names, none of them used in training."""
    config = WorldConfig(family="objects", duration_s=(seconds, seconds))
    return [sample_scene("test", 2_000_000 + first + n, config=config) for n in range(num)]


def needle_of(scene: Scene, kind: str, frame: int, *, subjects: Iterable[str] | None = None) -> Needle | None:
    """A question of this kind at this frame; None where the scene gives none, or not about one of the `subjects`."""
    line, wanted = Timeline(describe(scene), scene.fps), None if subjects is None else set(subjects)
    for attempt in range(12):
        rng = random.Random(f"{scene.id}:{kind}:{frame}:{attempt}")
        turn = ONLINE[kind](line, Ask(newest=frame, time_s=scene.time_s(frame)), rng)
        if turn is None or not turn.replies or line.frame_of(turn.replies[0].time_s) > frame:
            continue
        if wanted is None or turn.subject in wanted:
            reply = turn.replies[0]
            return Needle(kind, frame, turn.question, frozenset(map(normalise, (reply.text, *reply.accept))))
    return None


def gone_for(scene: Scene, frame: int, least: int) -> list[str]:
    """Things that were to be seen, but not in the last `least` frames."""
    line = Timeline(describe(scene), scene.fps)
    shown = {noun: [f for f in range(frame + 1) if _is_visible(line, noun, f)] for noun in line.nouns}
    return [noun for noun, frames in shown.items() if frames and frames[-1] <= frame - least]


def _is_visible(line: Timeline, noun: str, frame: int) -> bool:
    return line.next_shown(noun, -1) is not None and line.count_at(noun, frame) > 0


def images(scene: Scene) -> list[Image]:
    """The frames of a scene."""
    return list(render(scene))


@dataclass
class Stepper:
    """A session driven by hand. Seconds are CPU seconds of this thread, so that a busy machine disturbs them little."""

    model: VideoModel
    config: StreamConfig
    trace: Callable[..., None] | None = None
    see_s: list[float] = field(default_factory=list)
    """One number per frame: placing it, keeping the memory, and the decision in its slot."""
    word_s: list[float] = field(default_factory=list)
    """One number per word."""
    perceive_s: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """Text of each answer since the newest question that was brought to its end."""

    def __post_init__(self) -> None:
        self.session = Session(self.model, config=self.config, trace=self.trace)
        self.now_s = 0.0
        self._perceiver = Perceiver(self.model)
        self._num_frames = 0
        self._keep(self.session.open(self._moment()))

    def perceive(self, image: Image) -> Perceived:
        """Encode the next frame."""
        start_s = time.thread_time()
        perceived = self._perceiver.perceive(self._num_frames, Frame(image, self._num_frames / self.config.fps))
        self.perceive_s.append(time.thread_time() - start_s)
        return perceived

    def frame(self, image: Image) -> None:
        """Let time pass until the next frame, and take it in."""
        perceived = self.perceive(image)
        self._num_frames += 1
        self.until(perceived.time_s)
        start_s = time.thread_time()
        events = self.session.see(perceived, self._moment())
        self.see_s.append(time.thread_time() - start_s)
        self._keep(events)

    def ask(self, question: str) -> None:
        """Ask now."""
        self.answers = []
        self._keep(self.session.hear(Question(question), self._moment()))

    def until(self, time_s: float) -> None:
        """Say what is due before this time."""
        while self.session.due_s is not None and self.session.due_s < time_s:
            self.now_s = self.session.due_s
            start_s = time.thread_time()
            events = self.session.step(self._moment())
            self.word_s.append(time.thread_time() - start_s)
            self._keep(events)
        self.now_s = max(self.now_s, time_s)

    def _moment(self) -> Moment:
        return Moment(self.now_s, self.now_s)

    def _keep(self, events: Sequence[Event]) -> None:
        self.answers += [event.text for event in events if isinstance(event, Done) and event.status == "final"]


def watch_together(
    model: VideoModel,
    config: StreamConfig,
    clips: Sequence[Sequence[Image]],
    questions: Sequence[str],
    patience_s: float,
) -> list[str | None]:
    """Watch clips of one length, a session each, in shared passes; ask at the end; the first whole answer of each."""
    sessions = [Session(model, config=config) for _ in clips]
    perceivers = [Perceiver(model) for _ in clips]
    _share(model, [session.opening(Moment(0.0, 0.0)) for session in sessions])
    for frame in range(len(clips[0])):
        now_s = frame / config.fps
        _words_before(model, sessions, now_s)
        glances = [
            Glance(p, frame, Frame(clip[frame], now_s), now_s) for p, clip in zip(perceivers, clips, strict=True)
        ]
        seen = perceive_together(model, glances)
        moment = Moment(now_s, now_s)
        _share(model, [session.take(one, moment) for session, one in zip(sessions, seen, strict=True)])
    asked = [s.take(Question(question), moment) for s, question in zip(sessions, questions, strict=True)]
    events = _share(model, asked)
    events = [a + b for a, b in zip(events, _words_before(model, sessions, now_s + patience_s), strict=True)]
    return [next((e.text for e in own if isinstance(e, Done) and e.status == "final"), None) for own in events]


def _words_before(model: VideoModel, sessions: Sequence[Session], time_s: float) -> list[list[Event]]:
    """Let all sessions say what is due before this time."""
    events: list[list[Event]] = [[] for _ in sessions]
    while True:
        due = [(n, s.due_s) for n, s in enumerate(sessions) if s.due_s is not None and s.due_s < time_s]
        if not due:
            return events
        said = _share(model, [sessions[n].take("due", Moment(due_s, due_s)) for n, due_s in due])
        for (n, _), new in zip(due, said, strict=True):
            events[n] += new


def _share(model: VideoModel, work: Sequence[Asking[list[Event]]]) -> list[list[Event]]:
    """Do several sessions' work to its end, each pass of the model shared by all that wait for one."""
    results: list[list[Event]] = [[] for _ in work]
    logits: dict[int, Tensor | None] = dict.fromkeys(range(len(work)))
    while logits:
        waiting: dict[int, Feed] = {}
        for n, answer in logits.items():
            try:
                waiting[n] = next(work[n]) if answer is None else work[n].send(answer)
            except StopIteration as done:
                results[n] = done.value
        logits = dict(zip(waiting, feed_together(model, list(waiting.values())), strict=True)) if waiting else {}
    return results
