"""What roles are made of: the moment of a question, and replies and turns built from the tables of phrases."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from vigil.data import phrases
from vigil.data.records import Reply, Turn
from vigil.data.timeline import Change, Happening, Timeline, value_at
from vigil.data.wording import say

OBJECT_KINDS = frozenset({"cut", "light", "counter", "clock"})
CAMERA_KINDS = frozenset({"cut", "dark", "bright", "motion_start", "motion_stop", "freeze", "unfreeze", "display"})


@dataclass(frozen=True, slots=True)
class Ask:
    """When a question is asked, and what has been seen by then."""

    newest: int
    """Number of the newest frame seen; -1 before the first."""
    time_s: float
    offline: bool = False
    """True: asked after the whole video."""

    @property
    def first(self) -> int:
        """Number of the frame on which the first answer rests."""
        return max(self.newest, 0)


Role = Callable[[Timeline, Ask, random.Random], Turn | None]
"""A kind of question; None where this video gives no such question at that time."""


def follow(changes: Sequence[Change], ask: Ask) -> list[Change]:
    """The value at the question, then each new one, the last of each frame; unknown ("") and repeated ones are not."""
    told: list[Change] = []
    value = value_at(tuple(changes), ask.first)
    if value:
        told.append((ask.first, value))
    for frame, value in dict(changes).items():
        if frame > ask.first and value and (not told or told[-1][1] != value):
            told.append((frame, value))
    return told


def family(line: Timeline) -> frozenset[str]:
    """The kinds of event that could happen in this video, so that a request for one is a fair question."""
    if line.changes("picture", "motion") or line.changes("picture", "brightness"):
        return CAMERA_KINDS if line.changes("display", "number") else CAMERA_KINDS - {"display"}
    nameable = {subject for subject, attribute in phrases.NAMEABLE if line.changes(subject, attribute)}
    return frozenset(kind for kind in OBJECT_KINDS if kind == "cut" or kind in nameable)


def spoken(line: Timeline, ask: Ask, frame: int, text: str, accept: Iterable[str] = (), value: str = "") -> Reply:
    """A reply due on a frame, or right after the question if it was seen by then; `value` defaults to the text."""
    bare = value or text.rstrip(".").lower()
    return Reply(time_s=max(line.time_of(frame), ask.time_s), text=text, accept=tuple(accept), value=bare)


def entry(line: Timeline, ask: Ask, frame: int, name: str, *, noun: str = "", value: str = "") -> Reply:
    """A reply from the table `phrases.REPLIES`."""
    template, also = phrases.REPLIES[name]
    accept = (say(other, noun, value) for other in also)
    return spoken(line, ask, frame, say(template, noun, value), accept, value)


def told(line: Timeline, ask: Ask, *events: Happening, table: dict[str, str], value: str = "") -> Reply:
    """Tell the events of one frame, in the words of `phrases.HAPPENS` or `phrases.HAPPENED`."""
    texts = []
    for event in events:
        several = line.count_at(event.subject, event.frame if event.kind == "enter" else event.frame - 1) > 1
        texts.append(say(table[event.kind], event.subject, event.value, many=several))
    other = [" ".join(reversed(texts))] if len(texts) > 1 else []
    return spoken(line, ask, max(events[0].frame, ask.first), " ".join(texts), other, value)


def make_turn(
    ask: Ask, kind: str, question: str, replies: Sequence[Reply], subject: str = "", *, standing: bool = False
) -> Turn:
    """Close a turn. A reply that revises another overtakes it, because that one is no longer true."""
    if not standing:
        fresh = [after for before, after in pairwise(replies) if after.text != before.text]
        replies = [*replies[:1], *(replace(reply, overtakes=True) for reply in fresh)]
    return Turn(
        ask_s=ask.time_s, question=question, kind=kind, standing=standing, replies=tuple(replies), subject=subject
    )


def asked(role: str, ask: Ask, rng: random.Random, replies: Sequence[Reply], noun: str = "") -> Turn:
    """A turn that follows a state, with a question from `phrases.QUESTIONS`."""
    return make_turn(ask, role, say(rng.choice(phrases.QUESTIONS[role][ask.offline]), noun), replies, noun)


def requested(
    ask: Ask, rng: random.Random, kind: str, clause: str, replies: Sequence[Reply], subject: str = ""
) -> Turn:
    """A standing turn: "Tell me when {clause}."."""
    question = rng.choice(phrases.REQUESTS).format(clause=clause)
    return make_turn(ask, kind, question, replies, subject, standing=True)
