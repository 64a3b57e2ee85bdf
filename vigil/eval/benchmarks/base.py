"""What a benchmark is made of, and how what was said is read out of an event log.

A benchmark reads its annotations into cases. A case is one item under one scorer: it asks for streams to be watched,
one after the other, is given their logs, and ends with a mark. Marks are tallies that are added over cases; a score is
a function of such sums, so that a bootstrap can recompute any composite.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vigil.eval.door import Ask
from vigil.eval.log import Log
from vigil.eval.rows import AnswerRow
from vigil.eval.stats import mean
from vigil.eval.watcher import Watcher

Scorer = Literal["official", "strict"]
"""official: as the publishers score, faults included; strict: ours."""
State = Literal["read", "unanswered", "unparsable", "late"]
ANSWER_S = 10.0
"""Strict: an answer that is not closed within this many seconds of its question is wrong."""
HOLD_S = 60.0
"""Official: how long an answer may take while no frame comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """A part of a video to be watched, and what is asked when."""

    id: str
    """Unique among the streams of its case; a file name."""
    asks: tuple[Ask, ...]
    """In order of time, in seconds since `start_s`."""
    end_s: float
    """Where it ends, in seconds since `start_s`."""
    start_s: float = 0.0
    """Where it begins in the video (s)."""
    holds: bool = False
    """True: no frame comes after its one question."""
    is_over_when_answered: bool = False
    """True: it ends when the first answer to its one question is closed; nothing after that counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What a case came to."""

    sums: Mapping[str, float]
    """Tallies, added over cases."""
    replies: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    """How each reply could be read."""


Play = Generator[Stream, Log, Mark]
"""Yields streams, is sent their logs, returns the mark."""
Rule = Callable[[Stream], Watcher]
"""Makes the watcher that follows a blind rule in one stream of its case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One item under one scorer."""

    id: str
    """Unique under its scorer; a file name."""
    task: str
    video: str
    """Path below the data folder; the cluster of the bootstrap."""
    scorer: Scorer
    play: Callable[[], Play]
    oracle: Rule
    """What would have been right: shows that the full score can be reached."""
    blind: Mapping[str, Rule] = field(default_factory=dict)
    """What can be guessed without a picture. Where a rule says nothing about a case, it is silent."""
    serves: tuple[Scorer, ...] = ()
    """Scorers that its tallies are for, where one run serves both; empty: its own."""

    @property
    def served(self) -> tuple[Scorer, ...]:
        return self.serves or (self.scorer,)


Sums = Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One number of the table."""

    name: str
    scorer: Scorer
    definition: str
    """Which average of what it is."""
    of: Callable[[Sums], float | None]
    is_shown: bool = True
    """False: only in the JSON."""
    is_better_low: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotationFile:
    """A file that a person downloads."""

    path: str
    """Below the data folder; `*` stands for any file name."""
    sha256: str = ""
    """First 16 hex digits at the pinned revision; empty where none is pinned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """What a benchmark needs, and under which terms."""

    source: str
    revision: str
    files: tuple[AnnotationFile, ...]
    videos: str
    """Which videos, and where they go."""
    size: str
    licence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A result that others report, in percent."""

    system: str
    values: Mapping[str, float]
    source: str


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A public benchmark."""

    name: str
    title: str
    download: Download
    read: Callable[[Path], list[Case]]
    """All cases of a data folder. Raises: DataError."""
    scores: Callable[[Sequence[Case]], list[Score]]
    """The scores that are defined on these cases; the first of each scorer is its headline."""
    published: tuple[Published, ...]
    notes: tuple[str, ...] = ()
    """What must be known to read the numbers."""


def share(right: str, of: str) -> Callable[[Sums], float | None]:
    """100 * one tally / another; None where the second is 0."""
    return lambda sums: 100 * sums.get(right, 0.0) / sums[of] if sums.get(of) else None


def mean_of(parts: Sequence[Callable[[Sums], float | None]]) -> Callable[[Sums], float | None]:
    """Unweighted mean; None where a part is."""

    def value(sums: Sums) -> float | None:
        values = [part(sums) for part in parts]
        known = [one for one in values if one is not None]
        return mean(known) if len(known) == len(values) else None

    return value


@dataclass(frozen=True, slots=True)
class Reading:
    """The first answer to a question."""

    text: str
    state: State


def first_answer(log: Log, k: int = 0, *, scorer: Scorer) -> Reading:
    """The first answer to the k-th question of a log; strictly it must have been finished within `ANSWER_S`."""
    if k >= len(log.prompts):
        return Reading("", "unanswered")
    prompt = log.prompts[k]
    said = next((speech for speech in log.speech if speech.q == prompt.q), None)
    if said is None:
        return Reading("", "unanswered")
    text = said.text.strip()
    if scorer == "strict":
        closed_w = [
            row.w for row in log.rows if isinstance(row, AnswerRow) and row.a == said.a and row.state == "final"
        ]
        if not closed_w or log.tau(closed_w[0]) - prompt.t > ANSWER_S + 1e-6:
            return Reading(text, "late")
    return Reading(text, "read")


def polled(id: str, text: str, *, at_s: float, start_s: float = 0.0, scorer: Scorer) -> Stream:  # noqa: A002
    """A stream with one direct question at `at_s` of the video: official stands still there, strict goes on."""
    t = at_s - start_s
    if scorer == "official":
        return Stream(
            id=id,
            asks=(Ask(t=t, text=text),),
            end_s=t + HOLD_S,
            start_s=start_s,
            holds=True,
            is_over_when_answered=True,
        )
    return Stream(id=id, asks=(Ask(t=t, text=text),), end_s=t + ANSWER_S, start_s=start_s, is_over_when_answered=True)
