"""Standing requests: silent until what they name happens. As many are made for things that never happen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from vigil.data import phrases
from vigil.data.phrases import HAPPENS
from vigil.data.records import Turn
from vigil.data.timeline import AWAY, Happening, Timeline, value_at
from vigil.data.turns import Ask, entry, family, make_turn, requested, spoken, told
from vigil.data.wording import alternatives, say, spoken_value

T = TypeVar("T")


def alert(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Fires once, when a named thing comes into sight; for half of the requests it never does, but others do."""
    hits: list[tuple[str, int]] = []
    misses = list(line.absent)
    for noun in line.nouns:
        if value_at(line.whereabouts(noun), ask.first) in ("never", "gone"):
            shown = line.next_shown(noun, ask.first)
            if shown is None:
                misses.append(noun)
            else:
                hits.append((noun, shown))
    if not hits or not misses:
        return None
    noun, shown = _either(rng, hits, [(noun, -1) for noun in misses])
    text = say(HAPPENS["enter"], noun)
    replies = [] if shown < 0 else [spoken(line, ask, shown, text, (say("{a}.", noun),), noun)]
    return requested(ask, rng, "alert", say(phrases.ALERT_CLAUSES["enter"], noun), replies, noun)


def alert_change(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Fires once, when a named thing leaves, hides or moves, or a state takes a named value; half never do."""
    kind = rng.choice(("leave", "hide", "move", "value", "value"))
    if kind == "value":
        return _value_request(line, ask, rng, kind="alert_change")
    hits: list[tuple[str, Happening | None]] = []
    misses: list[tuple[str, Happening | None]] = []
    for noun in line.nouns:
        here = line.whereabouts(noun)
        if value_at(here, ask.first) in AWAY or not line.is_single(noun):
            continue
        event = next((e for e in line.happenings if e.frame > ask.first and (e.kind, e.subject) == (kind, noun)), None)
        if event and not any(ask.first < f < event.frame and v in AWAY for f, v in here):
            hits.append((noun, event))
        elif event is None and all(f <= ask.first or v == _kept(kind, v) for f, v in here):
            misses.append((noun, None))
    if not hits or not misses:
        return None
    noun, event = _either(rng, hits, misses)
    replies = [told(line, ask, event, table=HAPPENS, value=noun)] if event else []
    clause = say(phrases.ALERT_CLAUSES[kind], noun)
    return requested(ask, rng, "alert_change", clause, replies, noun)


def _kept(kind: str, value: str) -> str:
    """The value itself if taking it does not look like this kind of event, else nothing."""
    likeness = {"leave": ("gone",), "hide": ("hidden", "gone"), "move": phrases.PLACES}
    return "" if value in likeness[kind] else value


def cue(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Is it time to speak: one word each time a state has a named value; for half of the cues it never does."""
    return _value_request(line, ask, rng, kind="cue")


def _value_request(line: Timeline, ask: Ask, rng: random.Random, kind: str) -> Turn | None:
    keys = [key for key in phrases.VALUE_CLAUSES if line.changes(*key)]
    if not keys:
        return None
    key = rng.choice(keys)
    later = [(f, v) for f, v in line.changes(*key) if f > ask.first and v]
    now = line.value_at(*key, ask.first)
    coming = {v for _, v in later} - {now}
    missing = [v for v in (*alternatives(key, rng), *line.values(*key)) if v not in coming and v != now]
    if not coming or not missing:
        return None
    value = _either(rng, sorted(coming), missing)
    words = spoken_value(key[1], value)
    clause = say(phrases.VALUE_CLAUSES[key], value=words)
    text, also = (phrases.STATES[key].tell, phrases.STATES[key].also) if kind == "alert_change" else ("now.", ())
    replies = [
        spoken(line, ask, f, say(text, value=words), [say(a, value=words) for a in also], value)
        for f, v in later
        if v == value
    ]
    if kind == "cue":
        question = rng.choice(phrases.CUES).format(clause=clause)
        return make_turn(ask, kind, question, replies, standing=True)
    return requested(ask, rng, kind, clause, replies[:1])


def watch(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Fires at every change of a kind that needs no name, such as a scene cut; half of the kinds asked never come.

    In a long video every kind may come: then half of the requests are for one of them, the others are not made.
    """
    later = [e for e in line.happenings if e.frame > ask.first]
    kinds = family(line) & phrases.WATCH_CLAUSES.keys()
    hits = sorted(kinds & {e.kind for e in later})
    misses = sorted(kinds - set(hits))
    pool = hits if rng.random() < 0.5 else misses
    if not pool:
        return None
    kind = rng.choice(pool)
    replies = [told(line, ask, e, table=HAPPENS) for e in later if e.kind == kind]
    return requested(ask, rng, "watch", phrases.WATCH_CLAUSES[kind], replies)


def narrate(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Running commentary: every event, as it becomes visible."""
    replies = [told(line, ask, *events, table=HAPPENS) for frame, events in line.moments if frame > ask.first]
    question = rng.choice(phrases.QUESTIONS["narrate"][0])
    return make_turn(ask, "narrate", question, replies, standing=True) if replies else None


def tally(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Cumulative counting from the question on: a number at each event of a kind."""
    kinds = countable(line) & phrases.TALLY_CLAUSES.keys()
    later = [e for e in line.happenings if e.frame > ask.first and e.kind in kinds]
    if not later:
        return None
    hits = sorted({e.kind for e in later})
    kind = rng.choice(hits if rng.random() < 0.8 else sorted(kinds))
    frames = [e.frame for e in later if e.kind == kind]
    replies = [entry(line, ask, f, "tally", value=str(n)) for n, f in enumerate(frames, start=1)]
    question = rng.choice(phrases.TALLY).format(clause=phrases.TALLY_CLAUSES[kind])
    return make_turn(ask, "tally", question, replies, standing=True)


def countable(line: Timeline) -> frozenset[str]:
    """Kinds of event that can be counted; where scenes change, what appears with the new scene is in doubt."""
    has_cuts = any(e.kind == "cut" for e in line.happenings)
    return family(line) | (frozenset({"enter"}) if line.nouns and not has_cuts else frozenset())


def _either(rng: random.Random, hits: Sequence[T], misses: Sequence[T]) -> T:
    """One of the two, with even odds."""
    return rng.choice(hits if rng.random() < 0.5 else misses)
