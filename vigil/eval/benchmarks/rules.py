"""Watchers that need no picture, made per stream: what blind rules and oracles say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from vigil.eval.baselines import AlwaysSilent, Constant, Unseeing, cross_fitted, majority
from vigil.eval.benchmarks.base import Rule
from vigil.eval.benchmarks.parse import LETTERS, bare
from vigil.eval.watcher import Reply, Watcher

Item = TypeVar("Item")


class Replies(Unseeing):
    """Gives the k-th question the k-th text."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self.texts = texts

    def reply(self, t: float) -> Reply:
        """A text, once per question; nothing after the last."""
        return self.once(self.texts[self.num_asked - 1]) if 0 < self.num_asked <= len(self.texts) else None


class Timetable(Unseeing):
    """Says each text in the first slot at or after its time of the stream (s), once there is a question."""

    def __init__(self, entries: Sequence[tuple[float, str]]) -> None:
        super().__init__()
        self.entries = sorted(entries)
        self.num_said = 0

    def reply(self, t: float) -> Reply:
        """The next text that is due. Where the next one is due as well, the earlier is left out."""
        due = sum(at_s <= t + 1e-6 for at_s, _ in self.entries) if self.num_asked else 0
        if due <= self.num_said:
            return None
        self.num_said = due
        return self.entries[due - 1][1]


def always(make: Callable[[], Watcher]) -> Rule:
    """The same kind of watcher in every stream of a case."""
    return lambda stream: make()


def constant(text: str) -> Rule:
    """One reply to every question."""
    return always(lambda: Constant(text) if text else AlwaysSilent())


def longest(options: Sequence[str]) -> str:
    """Letter of the longest option; of several, the first."""
    lengths = [len(bare(option)) for option in options]
    return LETTERS[lengths.index(max(lengths))]


def drawn(options: Sequence[str], key: str) -> str:
    """A letter that depends on nothing but `key`."""
    return LETTERS[int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % len(options)]


def special(options: Sequence[str], otherwise: str, *, text: str = "unable to answer") -> str:
    """Letter of the option that says that there is no answer, else another."""
    plain = [bare(option).casefold().rstrip(".") for option in options]
    return LETTERS[plain.index(text)] if text in plain else otherwise


def fitted_majority(
    items: Sequence[Item], *, videos: Sequence[str], answers: Sequence[str], tasks: Sequence[str]
) -> list[str]:
    """For each item the most common answer of its task, in the items of other videos."""
    rows = list(zip(tasks, answers, strict=True))

    def fit(some: list[tuple[str, str]]) -> dict[str, str]:
        return {task: majority([answer for other, answer in some if other == task]) for task in set(tasks)}

    fitted = cross_fitted(rows, videos, fit)
    return [table[task] for table, task in zip(fitted, tasks, strict=True)]


WAITS_S = tuple(float(s) for s in range(31))
"""Waits among which an echo is fitted (s)."""


def fitted_wait(waits_s: Sequence[float], *, videos: Sequence[str], early_s: float, late_s: float) -> list[float]:
    """For each item the wait that falls into most windows of other videos (s); of several the shortest."""

    def fit(some: list[float]) -> float:
        return max(WAITS_S, key=lambda k: sum(-early_s <= k - wait_s <= late_s for wait_s in some))

    return cross_fitted(waits_s, videos, fit)
