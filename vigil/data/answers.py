"""State questions: answered with what holds now, and answered anew when that changes."""

from __future__ import annotations

import random

from vigil.data import phrases
from vigil.data.phrases import HAPPENED, HAPPENS
from vigil.data.records import Reply, Turn
from vigil.data.requests import countable
from vigil.data.timeline import Change, Timeline, value_at
from vigil.data.turns import Ask, asked, entry, family, follow, make_turn, spoken, told
from vigil.data.wording import say, spoken_value


def state(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What a light, counter, place or picture is now; silent until it is known. Sometimes there is no such thing."""
    keys = [key for key in phrases.STATES if line.changes(*key)]
    absent = [key for key in phrases.NAMEABLE if not line.changes(*key)]
    if not keys:
        return None
    if absent and rng.random() < 0.1:
        key = rng.choice(absent)
        replies = [entry(line, ask, ask.first, "never", noun=key[0], value="never")]
    else:
        key = rng.choice(keys)
        replies = [_state_reply(line, ask, key, *change) for change in follow(line.changes(*key), ask)]
    words = phrases.STATES[key]
    question = rng.choice(words.ask_end if ask.offline else words.ask)
    return make_turn(ask, "state", question, replies)


def _state_reply(line: Timeline, ask: Ask, key: tuple[str, str], frame: int, value: str) -> Reply:
    words = phrases.STATES[key]
    voiced = spoken_value(key[1], value)
    return spoken(line, ask, frame, say(words.tell, value=voiced), [say(a, value=voiced) for a in words.also], value)


def where(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Where a named thing is; also hidden, gone, or not there at all."""
    nouns = tuple(noun for noun in line.nouns if line.is_single(noun))
    noun = _named(nouns, line.absent, rng, absent=0.2)
    if not noun:
        return None
    changes = follow(line.whereabouts(noun), ask)
    replies = [entry(line, ask, f, v if v in phrases.REPLIES else "visible", noun=noun, value=v) for f, v in changes]
    return asked("where", ask, rng, replies, noun)


def colour(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What colour a named thing has."""
    if not line.coloured:
        return None
    noun = rng.choice(line.coloured)
    changes = follow(line.changes(noun, "colour"), ask)
    replies = [entry(line, ask, f, "gone" if v == "gone" else "visible", noun=noun, value=v) for f, v in changes]
    return asked("colour", ask, rng, replies, noun) if replies else None


def last_seen(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Where a thing that cannot be seen any more was last seen."""
    out_of_sight = [n for n in line.nouns if value_at(line.whereabouts(n), ask.first) in ("gone", "hidden")]
    nouns = [noun for noun in out_of_sight if line.is_single(noun)]
    if not nouns:
        return None
    noun = rng.choice(nouns)
    places = [change for change in line.whereabouts(noun) if change[1] in phrases.PLACES]
    replies = [entry(line, ask, f, "was", noun=noun, value=v) for f, v in follow(places, ask)]
    return asked("last_seen", ask, rng, replies, noun)


def present(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Whether a named thing is there."""
    noun = _named(line.nouns, line.absent, rng, absent=0.35)
    if not noun:
        return None
    names = {"never": "not there", "gone": "not there", "hidden": "hidden"}
    changes = [(frame, names.get(v, "there")) for frame, v in line.whereabouts(noun) if v]
    replies = [entry(line, ask, f, v, noun=noun, value=v) for f, v in follow(changes, ask)]
    return asked("present", ask, rng, replies, noun)


def seen(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Whether a named thing has been seen so far."""
    noun = _named(line.nouns, line.absent, rng, absent=0.4)
    if not noun:
        return None
    shown = line.next_shown(noun, -1)
    changes = [(0, "no")] if shown != 0 else []
    changes += [(shown, "yes")] if shown is not None else []
    names = {"yes": "seen", "no": "not seen at all" if ask.offline else "not seen"}
    replies = [entry(line, ask, f, names[v], noun=noun, value=v) for f, v in follow(changes, ask)]
    return asked("seen", ask, rng, replies, noun)


def count(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """How many objects there are."""
    replies = [_counted(line, ask, f, v, "object") for f, v in follow(line.changes("objects", "count"), ask)]
    return asked("count", ask, rng, replies) if replies else None


def count_named(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """How many of a named thing there are; for half of the questions there are none at first."""
    known = [(noun, value_at(line.count_of(noun), ask.first)) for noun in (*line.nouns, *line.absent)]
    some = [noun for noun, value in known if value not in ("", "0")]
    several = [noun for noun in some if line.count_at(noun, ask.first) > 1]
    none = [noun for noun, value in known if value == "0"]
    pool = none if none and (not some or rng.random() < 0.5) else several if several and rng.random() < 0.5 else some
    if not pool:
        return None
    noun = rng.choice(pool)
    replies = [_counted(line, ask, f, v, noun) for f, v in follow(line.count_of(noun), ask)]
    return asked("count_named", ask, rng, replies, noun)


def _counted(line: Timeline, ask: Ask, frame: int, value: str, noun: str) -> Reply:
    return entry(line, ask, frame, "one" if value == "1" else "many", noun=noun, value=value)


def times(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """How many times something has happened since the start, revised at each further time."""
    kinds = sorted(countable(line) & phrases.TIMES.keys())
    if not kinds or not line.states_known:
        return None
    past = sorted({e.kind for e in line.happenings if e.frame <= ask.first} & set(kinds))
    kind = rng.choice(past if past and rng.random() < 0.75 else kinds)
    frames = [event.frame for event in line.happenings if event.kind == kind]
    changes = [(0, "0"), *((frame, str(n)) for n, frame in enumerate(frames, start=1))]
    replies = [entry(line, ask, f, "times", value=v) for f, v in follow(changes, ask)]
    return make_turn(ask, "times", rng.choice(phrases.TIMES[kind]), replies)


def last(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What happened last; silent until something has happened."""
    past = sum(frame <= ask.first for frame, _ in line.moments)
    replies = [told(line, ask, events[-1], table=HAPPENED) for _, events in line.moments[max(past - 1, 0) :]]
    return asked("last", ask, rng, replies) if replies else None


def upcoming(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What comes next: no evidence yet, so silence until it comes."""
    later = [event for event in line.happenings if event.frame > ask.first]
    things = [event for event in later if event.kind == "enter"]
    if things and "enter" in countable(line) and rng.random() < 0.5:
        reply = entry(line, ask, things[0].frame, "next thing", noun=things[0].subject, value=things[0].subject)
        question = rng.choice(phrases.QUESTIONS["next_thing"][0])
    elif later:
        reply = told(line, ask, later[0], table=HAPPENS)
        question = rng.choice(phrases.QUESTIONS["next"][0])
    else:
        return None
    return make_turn(ask, "next", question, [reply])


def describe(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What is to be seen, said again from the start as soon as what is being said is no longer true."""
    frames = [ask.first, *(frame for frame in line.frames_of_change if frame > ask.first)]
    changes: list[Change] = [(frame, _description(line, frame)) for frame in frames]
    replies = [spoken(line, ask, frame, text) for frame, text in follow(changes, ask)]
    return asked("describe", ask, rng, replies) if replies else None


def _description(line: Timeline, frame: int) -> str:
    """One sentence about everything visible: named things from left to right, or light and movement of the picture."""
    if line.nouns or line.changes("objects", "count"):
        spots = [(noun, value_at(line.whereabouts(noun), frame)) for noun in line.nouns]
        parts = [say("{a} {v}", noun, spot) for place in phrases.PLACES for noun, spot in spots if spot == place]
        crowds = [noun for noun, spot in spots if spot == "somewhere"]
        parts += [say("{n} {nouns}", noun, str(n)) for noun in crowds if (n := line.count_at(noun, frame)) > 1]
        parts += [say("{a}", noun) for noun in crowds if line.count_at(noun, frame) == 1]
        if not parts:
            return say(phrases.EMPTY)
    else:
        parts = []
        for key in (("picture", "brightness"), ("motion", "side"), ("display", "number")):
            value = line.value_at(*key, frame)
            if value:
                parts.append(say(phrases.STATES[key].tell[:-1], value=spoken_value(key[1], value)))
    text = ", ".join([*parts[:-2], " and ".join(parts[-2:])])
    return say(text + ".") if text else ""


def changed(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Whether something happened at all, asked after the whole video."""
    happened = {event.kind for event in line.happenings}
    kinds = family(line) & phrases.CHANGED.keys()
    pool = sorted(kinds & happened if rng.random() < 0.5 else kinds - happened) or sorted(kinds)
    if not pool or not line.states_known:
        return None
    kind = rng.choice(pool)
    question, yes, no = phrases.CHANGED[kind]
    value, clause = ("yes", yes) if kind in happened else ("no", no)
    reply = spoken(line, ask, ask.first, say(f"{value}, {clause}."), [say(f"{value}.")], value)
    return make_turn(ask, "changed", question, [reply])


def _named(nouns: tuple[str, ...], others: tuple[str, ...], rng: random.Random, *, absent: float) -> str:
    """A thing to ask about: one that never appears with probability `absent`; "" if there is none to name."""
    if others and (not nouns or rng.random() < absent):
        return rng.choice(others)
    return rng.choice(nouns) if nouns else ""
