"""A film of twelve seconds that fits on one screen, so that every question about it can be answered by hand.

second   0   1   2   3   4   5   6   7   8   9   10  11
dog              left........right.......hidden..middle
cat      middle..........gone
square   red.................blue............gone
light    red.....................green
house    never
"""

from __future__ import annotations

import random

from vigil.data.records import Record, Turn
from vigil.data.timeline import Timeline
from vigil.data.turns import Ask, Role
from vigil.types import Caption, DenseCaptions, State

DURATION_S = 12.0


def _spans(subject: str, attribute: str, *values: tuple[float, str]) -> list[State]:
    ends_s = [*(start_s for start_s, _ in values[1:]), DURATION_S]
    return [
        State(subject=subject, attribute=attribute, value=value, start_s=start_s, end_s=end_s)
        for (start_s, value), end_s in zip(values, ends_s, strict=True)
    ]


def _event(time_s: float, kind: str, subject: str, value: str) -> Caption:
    return Caption(start_s=time_s, end_s=time_s, text=f"{subject} {kind}", kind=kind, subject=subject, value=value)


FILM = DenseCaptions(
    id="film",
    duration_s=DURATION_S,
    captions=(
        _event(2, "enter", "dog", "on the left"),
        _event(4, "leave", "cat", "gone"),
        _event(5, "move", "dog", "on the right"),
        _event(6, "light", "light", "green"),
        _event(8, "hide", "dog", "hidden"),
        _event(10, "reappear", "dog", "in the middle"),
    ),
    states=(
        *_spans("dog", "presence", (2, "visible"), (8, "hidden"), (10, "visible")),
        *_spans("dog", "place", (2, "on the left"), (5, "on the right"), (8, "behind the box"), (10, "in the middle")),
        *_spans("cat", "presence", (0, "visible"), (4, "gone")),
        *_spans("cat", "place", (0, "in the middle"), (4, "gone")),
        *_spans("square", "colour", (0, "red"), (5, "blue"), (9, "gone")),
        *_spans("light", "colour", (0, "red"), (6, "green")),
        *_spans("dogs", "count", (0, "0"), (2, "1"), (8, "0"), (10, "1")),
        *_spans("cats", "count", (0, "1"), (4, "0")),
        *_spans("houses", "count", (0, "0")),
        *_spans("objects", "count", (0, "1"), (2, "2"), (4, "1"), (8, "0"), (10, "1")),
    ),
)
LINE = Timeline(FILM, 1.0)
END = Ask(newest=11, time_s=DURATION_S, offline=True)


def asked_after(newest: int) -> Ask:
    """A question after frame `newest` and before the next one; -1: before the first."""
    return Ask(newest, max(0.0, newest + 0.5))


def all_turns(role: Role, ask: Ask, *, line: Timeline = LINE) -> list[Turn]:
    """What a role asks over many draws."""
    turns = (role(line, ask, random.Random(seed)) for seed in range(150))
    return [turn for turn in turns if turn is not None]


def told(turn: Turn) -> list[tuple[float, str]]:
    """What is said, and when."""
    return [(reply.time_s, reply.text) for reply in turn.replies]


def by_subject(role: Role, ask: Ask) -> dict[str, list[tuple[float, str]]]:
    """What is said about each thing that a role asks about; the same whenever it is asked about."""
    found: dict[str, list[tuple[float, str]]] = {}
    for turn in all_turns(role, ask):
        assert found.setdefault(turn.subject, told(turn)) == told(turn)
    return found


def record_of(turn: Turn, *, offline: bool = False) -> Record:
    """A record with one question about the film."""
    opening = Turn(ask_s=0.0, question="", kind="opening")
    return Record(id="film:0", video="film", duration_s=DURATION_S, turns=(opening, turn), offline=offline)
