"""What simple policies would have said: the controls that stand in every table, as watchers behind the streaming door.

Nothing here looks at a frame; `vigil.eval.recent` has the control that does. A rule with a parameter is fitted on other
videos than it is scored on (`cross_fitted`), and what was fitted is printed beside its score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from vigil.eval.door import EPSILON_S, Ask, Image, VirtualClock, play
from vigil.eval.log import Log, validate
from vigil.eval.rows import AnswerRow, PromptRow
from vigil.eval.silence import judge_silence
from vigil.eval.stats import f_score
from vigil.eval.text import normalise
from vigil.eval.truth import Truth
from vigil.eval.watcher import Reply, Watcher, WatcherSystem

Item = TypeVar("Item")
Fitted = TypeVar("Fitted")

ATTACKS = ("ABCD", "Yes No", "0 1 2")
"""Replies that name every answer at once; a strict parser reads nothing in them."""
ECHO_S = (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0)
"""Waits among which `EchoAfter` is fitted (s)."""
FOLDS = 5
_OPTION = re.compile(r"(?:^|[\n;?:])\s*\(?([A-Z])[.):]\s+([^\n;]+)")
_NO_PICTURE: Image = np.zeros((1, 1, 3), dtype=np.uint8)


class Unseeing:
    """A watcher that looks at nothing, and remembers the open question."""

    interrupts_itself = False

    def __init__(self) -> None:
        self.question = ""
        self.asked_s = 0.0
        self.num_asked = 0
        self.has_answered = False

    def see(self, image: Image, t: float) -> None:
        """Nothing is looked at."""

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        """Remember the question."""
        self.question, self.asked_s, self.has_answered = text, t, False
        self.num_asked += 1

    def reply(self, t: float) -> Reply:
        """Silence."""
        return None

    def once(self, text: str | None) -> str | None:
        """A text, but only as the first answer to a question."""
        if self.has_answered or not self.num_asked or not text:
            return None
        self.has_answered = True
        return text


class AlwaysSilent(Unseeing):
    """Never says anything."""


class AlwaysTalk(Unseeing):
    """Says the question in every slot, cutting itself short; before the first question, that it is watching."""

    interrupts_itself = True

    def reply(self, t: float) -> Reply:
        """Always something."""
        return self.question or "Still watching."


class ParseAttack(Unseeing):
    """Answers each question with every answer at once, in one of the ways of `ATTACKS` after the other."""

    def reply(self, t: float) -> Reply:
        """An attack, once per question."""
        return self.once(ATTACKS[(self.num_asked - 1) % len(ATTACKS)])


class EchoAfter(Unseeing):
    """Repeats the question a fixed time after it."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self.after_s = after_s

    def reply(self, t: float) -> Reply:
        """The question, once it is time."""
        return self.once(self.question) if t >= self.asked_s + self.after_s - 1e-6 else None


class Constant(Unseeing):
    """Gives every question the same reply, such as the most common letter."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def reply(self, t: float) -> Reply:
        """The text, once per question."""
        return self.once(self.text)


class SinceQuestion(Unseeing):
    """Says by the seconds since the question alone: each text of a list when its time has come."""

    def __init__(self, schedule: Sequence[tuple[float, str]]) -> None:
        super().__init__()
        self.schedule = sorted(schedule)
        self.num_said = 0

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        """Begin the list anew."""
        super().hear(text, t, standing=standing)
        self.num_said = 0

    def reply(self, t: float) -> Reply:
        """The newest text that is due and has not been said."""
        due = sum(after_s <= t - self.asked_s + 1e-6 for after_s, _ in self.schedule) if self.num_asked else 0
        if due <= self.num_said:
            return None
        self.num_said = due
        return self.schedule[due - 1][1]


class LongestOption(Unseeing):
    """Picks the option with the longest text."""

    def reply(self, t: float) -> Reply:
        """Its letter; nothing where the question has no options."""
        options = options_of(self.question)
        return self.once(max(options, key=lambda letter: len(options[letter])) if options else None)


class SpecialOption(Unseeing):
    """Picks the option that says that there is no answer, and a fixed letter where there is none."""

    def __init__(self, otherwise: str, *, special: str = "Unable to answer") -> None:
        super().__init__()
        self.otherwise, self.special = otherwise, normalise(special)

    def reply(self, t: float) -> Reply:
        """A letter, once per question."""
        options = options_of(self.question)
        found = [letter for letter, text in options.items() if normalise(text) == self.special]
        return self.once(found[0] if found else self.otherwise)


class KthLetter(Unseeing):
    """Answers the k-th time that a question is asked with the k-th letter; options often stand in order of time."""

    def __init__(self) -> None:
        super().__init__()
        self.times: Counter[str] = Counter()

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        """Count how often this was asked, whatever the options."""
        super().hear(text, t, standing=standing)
        self.times[normalise(_stem(text))] += 1

    def reply(self, t: float) -> Reply:
        """A letter, once per question; after the last option the last letter."""
        letters = list(options_of(self.question))
        k = self.times[normalise(_stem(self.question))]
        return self.once(letters[min(k, len(letters)) - 1] if letters else None)


def options_of(question: str) -> dict[str, str]:
    """Letter -> text of the options in a question, each on its own line, or after a mark."""
    return {letter: text.strip() for letter, text in _OPTION.findall(question)}


def _stem(question: str) -> str:
    """The question without its options."""
    first = _OPTION.search(question)
    return question if first is None else question[: first.start()]


def majority(answers: Sequence[str]) -> str:
    """The most common answer; of several, the one that came first."""
    return Counter(answers).most_common(1)[0][0] if answers else ""


def cross_fitted(
    items: Sequence[Item], videos: Sequence[str], fit: Callable[[list[Item]], Fitted], *, folds: int = FOLDS
) -> list[Fitted]:
    """For each item, what `fit` makes of the items of other videos; the videos are split into folds as they come."""
    number = {video: n for n, video in enumerate(dict.fromkeys(videos))}
    fold_of = [number[video] % folds for video in videos]
    fitted = [fit([item for item, at in zip(items, fold_of, strict=True) if at != fold]) for fold in range(folds)]
    return [fitted[at] for at in fold_of]


Stream = tuple[Truth, float, VirtualClock]
"""What is asked in a stream, its length (s) and its clock."""


def watch_blind(make: Callable[[], Watcher], name: str, truth: Truth, end_s: float, clock: VirtualClock) -> Log:
    """The log of a watcher that needs no picture, asked the questions of a truth."""
    asked = sorted(truth.questions, key=lambda question: question.t_ask)
    asks = [Ask(t=q.t_ask, text=q.text or q.q, standing=q.kind == "event") for q in asked if q.t_ask <= end_s]
    num_frames = int(end_s * clock.fps + EPSILON_S) + 1
    log = play(WatcherSystem(name, make), [_NO_PICTURE] * num_frames, asks, clock=clock, end_s=end_s)
    return named(log, [question.q for question in asked])


def named(log: Log, questions: Sequence[str]) -> Log:
    """The log with its questions, which a door counts as "q1", "q2", ..., called as a truth calls them."""
    name = {f"q{number}": q for number, q in enumerate(questions, start=1)}
    if all(old == new for old, new in name.items()):
        return log
    rows = [
        replace(row, q=name[row.q]) if isinstance(row, PromptRow | AnswerRow) and row.q is not None else row
        for row in log.rows
    ]
    return validate(rows)


def echo_logs(streams: Sequence[Stream], videos: Sequence[str]) -> list[Log]:
    """What `EchoAfter` says in each stream, after the wait that had the best F1 of speech on other videos.

    Each log names its wait as the model that ran, such as "echo after 7 s".
    """
    logs = [
        [watch_blind(partial(EchoAfter, wait_s), f"echo after {wait_s:g} s", *one) for wait_s in ECHO_S]
        for one in streams
    ]
    found = [[judge_silence(log, one[0]) for log in said] for said, one in zip(logs, streams, strict=True)]

    def best(numbers: list[int]) -> int:
        def f1(wait: int) -> float:
            some = [found[n][wait] for n in numbers]
            return f_score(sum(s.matches for s in some), sum(s.speech for s in some), sum(s.events for s in some))

        return max(range(len(ECHO_S)), key=f1)

    waits = cross_fitted(range(len(streams)), videos, best)
    return [said[wait] for said, wait in zip(logs, waits, strict=True)]
