"""Roles for captions written by people: sentences with a time span, and no facts behind them.

Of such a caption only the words are known. It may be said once a set share of its span has been seen
(`SynthConfig.known_after`). A request for something that never happens names an event of another video, chosen so that
it shares no content word with this one.
"""

from __future__ import annotations

import random
from collections import Counter

from vigil.data import phrases
from vigil.data.phrases import STORY
from vigil.data.records import Turn
from vigil.data.timeline import Change, Timeline
from vigil.data.turns import Ask, Role, entry, follow, make_turn, requested, spoken
from vigil.data.wording import as_clause, content_words


def alert(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Fires once, when what a sentence says happens; where other videos are known, half of the requests never do."""
    hits = [(frame, text) for frame, _, text in line.told if frame > ask.first and not _was_told(line, text, frame)]
    strange = _strange(line)
    if strange and rng.random() < 0.5:
        return requested(ask, rng, "alert", as_clause(rng.choice(strange)), [])
    if not hits:
        return None
    frame, text = rng.choice(hits)
    return requested(ask, rng, "alert", as_clause(text), [spoken(line, ask, frame, text)])


def happened(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Whether what a sentence says has happened so far; often it never does."""
    strange = _strange(line)
    if not line.told:
        return None
    if strange and rng.random() < 0.4:
        text, changes = rng.choice(strange), [(0, "no")]
    else:
        text = rng.choice(line.told)[2]
        first = min(frame for frame, _, other in line.told if other == text)
        changes = [(0, "no"), (first, "yes")] if first else [(0, "yes")]
    told = {"yes": "Yes.", "no": "No." if ask.offline else "No, not yet."}
    replies = [spoken(line, ask, frame, told[value], (), value) for frame, value in follow(changes, ask)]
    question = rng.choice(STORY["happened"][ask.offline]).format(clause=as_clause(text))
    return make_turn(ask, "happened", question, replies)


def now(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What is happening, said anew when something else begins."""
    changes: list[Change] = []
    for frame, past, text in line.told:
        changes = [change for change in changes if change[0] < frame] + [(frame, text), (past, "")]
    replies = [spoken(line, ask, frame, text) for frame, text in follow(changes, ask)]
    return make_turn(ask, "now", rng.choice(STORY["now"][0]), replies) if replies else None


def narrate(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Running commentary: every sentence, as soon as it may be said."""
    replies = [spoken(line, ask, frame, text) for frame, _, text in line.told if frame > ask.first]
    question = rng.choice(phrases.QUESTIONS["narrate"][0])
    return make_turn(ask, "narrate", question, replies, standing=True) if replies else None


def last(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What happened last; silent until something has happened."""
    changes = [(frame, text) for frame, _, text in line.told]
    replies = [spoken(line, ask, frame, text) for frame, text in follow(changes, ask)]
    return make_turn(ask, "last", rng.choice(phrases.QUESTIONS["last"][ask.offline]), replies) if replies else None


def upcoming(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What comes next: silence until it comes."""
    later = [(frame, text) for frame, _, text in line.told if frame > ask.first]
    replies = [spoken(line, ask, *later[0])] if later else []
    return make_turn(ask, "next", rng.choice(phrases.QUESTIONS["next"][0]), replies) if later else None


def tally(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """Cumulative counting of what is told more than once."""
    often = [text for text, n in Counter(t for f, _, t in line.told if f > ask.first).items() if n > 1]
    if not often:
        return None
    text = rng.choice(often)
    frames = [frame for frame, _, other in line.told if other == text and frame > ask.first]
    replies = [entry(line, ask, frame, "tally", value=str(n)) for n, frame in enumerate(frames, start=1)]
    question = rng.choice(phrases.TALLY).format(clause=as_clause(text))
    return make_turn(ask, "tally", question, replies, standing=True)


def about(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """What the whole video shows, asked after it."""
    if not line.summary or not ask.offline:
        return None
    return make_turn(ask, "about", rng.choice(STORY["about"][1]), [spoken(line, ask, ask.first, line.summary)])


STORY_ONLINE: dict[str, Role] = {
    "alert": alert,
    "happened": happened,
    "now": now,
    "narrate": narrate,
    "last": last,
    "next": upcoming,
    "tally": tally,
}
STORY_OFFLINE: dict[str, Role] = {"about": about, "happened": happened, "last": last}


def _was_told(line: Timeline, text: str, before: int) -> bool:
    return any(other == text and frame < before for frame, _, other in line.told)


def _strange(line: Timeline) -> list[str]:
    """Events of other videos that share no content word with this one."""
    own = set().union(*(content_words(c.text) for c in line.captions.captions))
    return [event for event in line.other_events if not own & content_words(event)]
