"""The ground-truth file: what was asked, which values held when, what happened, and where silence is right.

One JSON object per line: `q` (a question), `val` (a value that holds over a span), `ev` (something to be said), `null`
(a span in which silence is right). The fields are those of the classes here; `data.truth` writes such rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

from vigil.errors import DataError
from vigil.eval.jsonl import json_lines, read_lines, row_from_json
from vigil.eval.text import normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question `q`, asked at media time `t_ask`; the log names it by the same `q`."""

    q: str
    t_ask: float
    kind: Literal["state", "event", "mcq", "count"]
    options: tuple[str, ...] | None = None
    role: str = ""
    named: bool = False
    text: str = ""
    until: float | None = None
    """When it stops being open (s); None: at the end of the stream."""
    clue: float | None = None
    """First moment at which the truth can be known (s); None: when it is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The right answer to `q` over [start_s, end_s); the last one holds at its end too."""

    q: str
    start_s: float = field(metadata={"key": "from"})
    end_s: float = field(metadata={"key": "to"})
    v: str
    alias: tuple[str, ...] = ()
    """Other texts that state the same value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something to be said about `q` (None: unasked), from `s` on; it is over at `e`."""

    q: str | None
    s: float
    e: float
    v: str | None
    accept: tuple[str, ...] = ()
    """Whole texts that are right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Null:
    """A span [start_s, end_s) in which nothing is to be said."""

    start_s: float = field(metadata={"key": "from"})
    end_s: float = field(metadata={"key": "to"})


_KINDS: dict[str, type[Question | Value | Happening | Null]] = {
    "q": Question,
    "val": Value,
    "ev": Happening,
    "null": Null,
}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What one stream should have been answered. Values and events are in order of time."""

    questions: tuple[Question, ...] = ()
    values: tuple[Value, ...] = ()
    events: tuple[Happening, ...] = ()
    nulls: tuple[Null, ...] = ()

    def __post_init__(self) -> None:
        if len(self.by_id) < len(self.questions):
            raise DataError("two questions of the truth have the same q. Give each its own.")
        asked = [value.q for value in self.values] + [event.q for event in self.events if event.q is not None]
        for q in asked:
            if q not in self.by_id:
                raise DataError(f"the truth speaks of question {q!r} without a line for it. Add its q line.")
        spans = [(value.start_s, value.end_s) for value in self.values] + [
            (null.start_s, null.end_s) for null in self.nulls
        ]
        for start_s, end_s in spans + [(event.s, event.e) for event in self.events]:
            if end_s < start_s:
                raise DataError(f"a span of the truth ends at {end_s} before it begins at {start_s}.")
        for q in self.by_id:
            for a, b in pairwise(self.values_of(q)):
                if b.start_s < a.end_s:
                    raise DataError(f"values of {q!r} overlap: {a.v!r} to {a.end_s} and {b.v!r} from {b.start_s}.")
            self.spellings(q)

    @cached_property
    def by_id(self) -> dict[str, Question]:
        return {question.q: question for question in self.questions}

    @cached_property
    def _values_of(self) -> dict[str, list[Value]]:
        rows: dict[str, list[Value]] = {}
        for value in sorted(self.values, key=lambda value: (value.start_s, value.end_s)):
            rows.setdefault(value.q, []).append(value)
        return rows

    def values_of(self, q: str) -> list[Value]:
        """The values of a question, in order of time."""
        return self._values_of.get(q, [])

    def events_of(self, q: str | None) -> list[Happening]:
        """What is to be said about a question (None: unasked), in order of time.

        A question with values and no `ev` line of its own has an event wherever it takes a value: its first answer is
        due when it is asked, or when the first value begins. Its texts are those that state the value. Nothing is to be
        said about a question that the truth does not know.
        """
        listed = sorted((event for event in self.events if event.q == q), key=lambda event: event.s)
        return listed if listed or q not in self.by_id else _events_of_values(self.by_id[q], self.values_of(q))

    @cached_property
    def all_events(self) -> list[Happening]:
        """What is to be said about any question, in order of time."""
        found = [event for q in (None, *self.by_id) for event in self.events_of(q)]
        return sorted(found, key=lambda event: event.s)

    def spellings(self, q: str) -> dict[str, str]:
        """Normalised text -> normalised value, for every text that states a value of `q`.

        Raises:
            DataError: one text stands for two values.
        """
        found: dict[str, str] = {}
        stated = [(v.v, v.alias) for v in self.values_of(q)]
        if not stated:
            stated = [(event.v, ()) for event in self.events if event.q == q and event.v is not None]
        for v, alias in stated:
            for text in (v, *alias):
                if found.setdefault(normalise(text), normalise(v)) != normalise(v):
                    raise DataError(f"{text!r} states two values of {q!r}: {found[normalise(text)]!r} and {v!r}.")
        return found


def _events_of_values(question: Question, values: Iterable[Value]) -> list[Happening]:
    events: list[Happening] = []
    for value in values:
        if events and normalise(events[-1].v or "") == normalise(value.v):
            events[-1] = replace(events[-1], e=value.end_s, accept=(*events[-1].accept, *(value.alias or (value.v,))))
        elif value.end_s >= question.t_ask:
            s = max(value.start_s, question.t_ask)
            events.append(Happening(q=value.q, s=s, e=value.end_s, v=value.v, accept=value.alias or (value.v,)))
    return events


def parse_truth(lines: Iterable[str], *, where: str = "truth") -> Truth:
    """Parse the lines of a truth file.

    Raises:
        DataError: a line breaks the format, or the lines contradict each other.
    """
    rows: dict[str, list[Question | Value | Happening | Null]] = {kind: [] for kind in _KINDS}
    for here, values in json_lines(lines, where=where):
        kind = values.pop("k")
        if kind not in _KINDS:
            raise DataError(f"{here} has the unknown kind {kind!r}. The kinds are: {', '.join(_KINDS)}.")
        rows[kind].append(row_from_json(_KINDS[kind], values, where=f"{here} ({kind})"))
    return Truth(
        questions=tuple(row for row in rows["q"] if isinstance(row, Question)),
        values=tuple(row for row in rows["val"] if isinstance(row, Value)),
        events=tuple(row for row in rows["ev"] if isinstance(row, Happening)),
        nulls=tuple(row for row in rows["null"] if isinstance(row, Null)),
    )


def read_truth(path: Path) -> Truth:
    """Read a truth file (JSONL, UTF-8)."""
    return parse_truth(read_lines(path), where=path.name)
