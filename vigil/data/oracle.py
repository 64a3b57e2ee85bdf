"""What must be said about a question, worked out from the question's words alone, frame by frame.

This is the slow, second way to the truth: it reads the question as a user would, looks at the states and captions of
each frame by itself, and shares no code with the roles that wrote the record. `vigil.data.check` compares the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from vigil.data import phrases
from vigil.data.records import Record, Turn
from vigil.data.wording import plural_of, say
from vigil.types import Caption, DenseCaptions
from vigil.world.words import ITEMS

_GRAIN_S = 1e-6
Look = Callable[[float], str]
"""Time of a frame (s) -> the value that holds then, "" where nothing is known."""


@dataclass(frozen=True, slots=True)
class Due:
    """A value that becomes true on a frame."""

    time_s: float
    value: str


def due(turn: Turn, record: Record, captions: DenseCaptions) -> list[Due] | None:
    """Every value to be stated from the question to the end of the video; None if the question is not known."""
    facts = _Facts(captions, record.fps)
    first_s = captions.duration_s if record.offline else turn.ask_s
    if turn.standing or turn.kind == "next":
        return _standing(turn, facts, first_s)
    if turn.question in phrases.ASK_RECITAL:
        return _recited(facts, first_s, offline=record.offline)
    look = _state_of(turn, facts)
    if look is None:
        return None
    found: list[Due] = []
    for frame_s in facts.frames_s:
        value = look(frame_s)
        if frame_s <= first_s and value:
            found = [Due(first_s, value)]
        elif value and (not found or found[-1].value != value):
            found.append(Due(frame_s, value))
        elif frame_s <= first_s:
            found = []
    return found


class _Facts:
    """Plain look-ups in the captions, without any index."""

    def __init__(self, captions: DenseCaptions, fps: float) -> None:
        count = max(1, math.ceil(captions.duration_s * fps - _GRAIN_S))
        self.frames_s = [round(k / fps, 4) for k in range(count)]
        self.captions = captions

    def holds(self, subject: str, attribute: str, frame_s: float) -> str:
        for state in self.captions.states:
            is_it = (state.subject, state.attribute) == (subject, attribute)
            if is_it and state.start_s - _GRAIN_S <= frame_s < state.end_s - _GRAIN_S:
                return state.value
        return ""

    def shown_s(self, caption: Caption) -> float:
        return next((f for f in self.frames_s if f >= caption.start_s - _GRAIN_S), math.inf)

    def events(self, *kinds: str) -> list[tuple[float, Caption]]:
        """Captions of these kinds (none given: of any known kind) with the frame that first shows each."""
        wanted = kinds or tuple(phrases.HAPPENS)
        rows = [(self.shown_s(c), c) for c in self.captions.captions if c.kind in wanted]
        return sorted(((at, c) for at, c in rows if 0 < at < math.inf), key=lambda row: row[0])

    def is_seen(self, noun: str, frame_s: float) -> bool:
        return self.holds(noun, "presence", frame_s) == "visible"

    def names(self, attribute: str) -> list[str]:
        """Subjects that have this attribute at some time."""
        return sorted({state.subject for state in self.captions.states if state.attribute == attribute})

    def spot(self, noun: str, frame_s: float) -> str:
        """Place, "somewhere", "hidden", "gone" or "never"."""
        presence = self.holds(noun, "presence", frame_s)
        if presence == "visible":
            return self.holds(noun, "place", frame_s) or "somewhere"
        if any(self.holds(noun, "presence", f) == "visible" for f in self.frames_s if f <= frame_s):
            return presence or "gone"
        return "never"


def _state_of(turn: Turn, facts: _Facts) -> Look | None:
    """What a state question asks for, as a function of time."""
    noun = turn.subject
    simple: dict[str, Look] = {
        "where": lambda t: facts.spot(noun, t),
        "present": lambda t: _there(facts.spot(noun, t)),
        "seen": lambda t: "yes" if any(facts.is_seen(noun, f) for f in facts.frames_s if f <= t) else "no",
        "colour": lambda t: facts.holds(noun, "colour", t),
        "item": lambda t: facts.holds(noun, "colour", t),
        "describe": lambda t: _description(facts, t),
        "last_seen": lambda t: _newest([facts.spot(noun, f) for f in facts.frames_s if f <= t]),
        "count": lambda t: facts.holds("objects", "count", t),
        "count_named": lambda t: facts.holds(_counted_as(facts, noun), "count", t),
        "last": lambda t: _last_event(facts, t),
    }
    if turn.kind in simple:
        return simple[turn.kind]
    for kind, questions in phrases.TIMES.items():
        if turn.question in questions:
            return lambda t: str(sum(at <= t for at, _ in facts.events(kind)))
    for kind, (question, _, _) in phrases.CHANGED.items():
        if turn.question == question:
            return lambda t: "yes" if any(at <= t for at, _ in facts.events(kind)) else "no"
    for key, words in phrases.STATES.items():
        if turn.question in (*words.ask, *words.ask_end):
            subject, attribute = key
            return partial(facts.holds, subject, attribute) if subject in facts.names(attribute) else lambda _: "never"
    return None


def _recited(facts: _Facts, first_s: float, *, offline: bool) -> list[Due]:
    """Whole sentences: those of all items first, then each as it becomes true."""

    def sentence(item: str, frame_s: float) -> str:
        return say(phrases.RECITED, item, facts.holds(item, "colour", frame_s))

    opening = [sentence(item, max(f for f in facts.frames_s if f <= first_s)) for item in ITEMS]
    if offline:
        return [Due(first_s, " ".join(opening))]
    later = [(before_s, frame_s) for before_s, frame_s in pairwise(facts.frames_s) if frame_s > first_s]
    changed = [
        (now_s, item)
        for before_s, now_s in later
        for item in ITEMS
        if sentence(item, now_s) != sentence(item, before_s)
    ]
    return [Due(first_s, text) for text in opening] + [Due(now_s, sentence(item, now_s)) for now_s, item in changed]


def _standing(turn: Turn, facts: _Facts, first_s: float) -> list[Due] | None:
    """What a request waits for. Events count when a frame later than the newest one seen shows them."""
    seen_s = max((f for f in facts.frames_s if f < first_s), default=0.0)
    later = [(at, caption) for at, caption in facts.events() if at > seen_s]
    if turn.kind == "narrate":
        shown = {at: [_told(facts, at, c) for other, c in later if other == at] for at, _ in later}
        return [Due(at, ". ".join(texts)) for at, texts in shown.items()]
    if turn.kind == "next":
        if turn.question in phrases.QUESTIONS["next_thing"][0]:
            return [Due(at, caption.subject) for at, caption in later if caption.kind == "enter"][:1]
        return [Due(at, _told(facts, at, caption)) for at, caption in later[:1]]
    if turn.kind == "alert":
        hits = [f for f in facts.frames_s if f > seen_s and facts.is_seen(turn.subject, f)]
        return [Due(hits[0], turn.subject)] if hits else []
    clause = _clause_of(turn.question)
    for kind, words in phrases.TALLY_CLAUSES.items():
        if clause == words:
            hits = [at for at, caption in later if caption.kind == kind]
            told = [_told(facts, at, caption) for at, caption in later if caption.kind == kind]
            numbers = [str(n) for n in range(1, len(hits) + 1)]
            return [Due(at, v) for at, v in zip(hits, numbers if turn.kind == "tally" else told, strict=True)]
    for kind in ("leave", "hide", "move"):
        if turn.subject and clause == say(phrases.ALERT_CLAUSES[kind], turn.subject):
            return [Due(at, turn.subject) for at, c in later if (c.kind, c.subject) == (kind, turn.subject)][:1]
    return _value_hits(turn, clause, facts, seen_s)


def _value_hits(turn: Turn, clause: str, facts: _Facts, seen_s: float) -> list[Due] | None:
    for key, template in phrases.VALUE_CLAUSES.items():
        found = re.fullmatch(re.escape(template).replace(r"\{v\}", "(.+)"), clause)
        if found:
            values = {phrases.SPOKEN.get((key[1], s.value), s.value): s.value for s in facts.captions.states}
            value = values.get(found[1], found[1])
            before = facts.holds(*key, seen_s)
            hits: list[Due] = []
            for frame_s in (f for f in facts.frames_s if f > seen_s):
                now = facts.holds(*key, frame_s)
                if now == value != before:
                    hits.append(Due(frame_s, value))
                before = now or before
            return hits if turn.kind == "cue" else hits[:1]
    return None


def _clause_of(question: str) -> str:
    for frame in (*phrases.CUES, *phrases.TALLY, *phrases.REQUESTS):  # the bare clause, which fits anything, is last
        found = re.fullmatch(re.escape(frame).replace(r"\{clause\}", "(.+)"), question)
        if found:
            return found[1]
    return question


def _counted_as(facts: _Facts, noun: str) -> str:
    """The subject under which a thing is counted; captions may spell a plural in their own way."""
    subjects = {s.subject for s in facts.captions.states if s.attribute == "count"}
    plural = plural_of(noun)
    return plural if plural in subjects else noun + "s" if noun + "s" in subjects else plural


def _description(facts: _Facts, frame_s: float) -> str:
    """Everything visible in one sentence, from left to right."""
    parts: list[str] = []
    if facts.names("presence") or "objects" in facts.names("count"):
        spots = {noun: facts.spot(noun, frame_s) for noun in facts.names("presence")}
        for place in phrases.PLACES:
            parts += [say("{a} {v}", noun, place) for noun, spot in spots.items() if spot == place]
        crowds = [noun for noun, spot in spots.items() if spot == "somewhere"]
        numbers = {noun: facts.holds(_counted_as(facts, noun), "count", frame_s) for noun in crowds}
        parts += [say("{n} {nouns}", noun, n) for noun, n in numbers.items() if n not in ("", "0", "1")]
        parts += [say("{a}", noun) for noun, n in numbers.items() if n == "1"]
        if not parts:
            return phrases.EMPTY.rstrip(".")
    else:
        for subject, attribute in (("picture", "brightness"), ("motion", "side"), ("display", "number")):
            value = facts.holds(subject, attribute, frame_s)
            voiced = phrases.SPOKEN.get((attribute, value), value)
            if value:
                parts.append(say(phrases.STATES[subject, attribute].tell.rstrip("."), value=voiced))
    return re.sub(r", ([^,]*)$", r" and \1", ", ".join(parts))


def _there(spot: str) -> str:
    return {"never": "not there", "gone": "not there", "hidden": "hidden", "": ""}.get(spot, "there")


def _newest(spots: list[str]) -> str:
    return next((spot for spot in reversed(spots) if spot in phrases.PLACES), "")


def _last_event(facts: _Facts, frame_s: float) -> str:
    past = [(at, caption) for at, caption in facts.events() if at <= frame_s]
    return _told(facts, *past[-1], phrases.HAPPENED) if past else ""


def _told(facts: _Facts, shown_s: float, caption: Caption, table: dict[str, str] = phrases.HAPPENS) -> str:
    """An event in words; of a thing of which there are several, it is told as "one dog" or "another dog"."""
    before = [f for f in facts.frames_s if f < shown_s]
    seen_s = shown_s if caption.kind == "enter" or not before else before[-1]
    several = int(facts.holds(_counted_as(facts, caption.subject), "count", seen_s) or 0) > 1
    value = caption.value.split(" ")[0] if caption.kind == "recolour" else caption.value
    return say(table[caption.kind], caption.subject, value, many=several).rstrip(".").lower()
