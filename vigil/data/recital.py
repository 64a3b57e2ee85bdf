"""Recitals: every item of a panel in turn, while the items go on changing.

The turn of a recital lists sentences, not replies: each `Reply` of it is one sentence, true from its time until the
next one about the same item. What is said of them depends on the speaking pace, so that `Recitation` decides it for the
layout, word by word: each sentence states what the newest frame shows when its value is said, and what changes after
it was said is said again, alone, once the running reply is complete.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from vigil.data.phrases import ASK_ITEM, ASK_RECITAL, RECITED
from vigil.data.records import Reply, Turn
from vigil.data.timeline import Timeline, value_at
from vigil.data.turns import Ask, Role, follow, spoken
from vigil.data.wording import say
from vigil.world.words import ITEMS

LATE_KINDS = frozenset({"recital", "item"})
"""Kinds of turn that are composed by `Recitation`, while they are spoken."""
_USUAL = 0.6
"""Share of the recitals that are asked for in the words of the benchmark, the first of `phrases.ASK_RECITAL`."""


def item_of(reply: Reply) -> str:
    """What a sentence speaks of: all that comes before its value, such as "B is "."""
    return reply.text.rpartition(reply.value)[0]


class Recitation:
    """What is said in one turn of sentences that change while they are spoken."""

    def __init__(self, turn: Turn, encode: Callable[[str], tuple[int, ...]]) -> None:
        self._sentences = turn.replies
        self._encode = encode
        self._stated: dict[str, str] = {}
        self._plan: dict[str, str] = {}

    def begin(self, now_s: float) -> tuple[int, ...]:
        """Tokens of the reply that starts now, with what has not been stated yet; none if there is nothing to say.

        The reply before, if there was one, has been spoken to its end.
        """
        self._stated |= self._plan
        shown = self._shown(now_s)
        self._plan = {item: text for item, text in shown.items() if self._stated.get(item) != text}
        return self._encode(" ".join(self._plan.values()))

    def mend(self, said: tuple[int, ...], now_s: float) -> tuple[int, ...]:
        """Tokens of the running reply after a frame, of which `said` are out: what is still open states what holds."""
        shown, planned = self._shown(now_s), list(self._plan.values())
        newest = [shown[item] for item in self._plan]
        for kept in range(len(planned) + 1):
            texts = [*planned[:kept], *newest[kept:]]
            tokens = self._encode(" ".join(texts))
            if tokens[: len(said)] == said:
                break
        self._plan = dict(zip(self._plan, texts, strict=True))
        return tokens

    def _shown(self, now_s: float) -> dict[str, str]:
        """The sentence that holds about each item, in the order in which the turn first names them."""
        return {item_of(reply): reply.text for reply in self._sentences if reply.time_s <= now_s}


def recital(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """The colours of all items, in order."""
    if not has_panel(line):
        return None
    question = ASK_RECITAL[0] if rng.random() < _USUAL else rng.choice(ASK_RECITAL[1:])
    if ask.offline:
        text = " ".join(say(RECITED, item, value_at(line.changes(item, "colour"), ask.first)) for item in ITEMS)
        return _turn(ask, "recital", question, [spoken(line, ask, ask.first, text)])
    sentences = [reply for item in ITEMS for reply in _sentences(line, ask, item)]
    return _turn(ask, "recital", question, sorted(sentences, key=lambda reply: reply.time_s))


def item(line: Timeline, ask: Ask, rng: random.Random) -> Turn | None:
    """The colour of one item."""
    if not has_panel(line):
        return None
    name = rng.choice(ITEMS)
    return _turn(ask, "item", say(rng.choice(ASK_ITEM[ask.offline]), name), _sentences(line, ask, name), name)


def has_panel(line: Timeline) -> bool:
    """Whether a video shows a panel: every item has a colour."""
    return all(line.changes(item, "colour") for item in ITEMS)


def _sentences(line: Timeline, ask: Ask, item: str) -> list[Reply]:
    changes = follow(line.changes(item, "colour"), ask)
    return [spoken(line, ask, frame, say(RECITED, item, colour), value=colour) for frame, colour in changes]


def _turn(ask: Ask, kind: str, question: str, replies: list[Reply], subject: str = "") -> Turn:
    return Turn(ask_s=ask.time_s, question=question, kind=kind, replies=tuple(replies), subject=subject)


PANEL_ROLES: dict[str, Role] = {"recital": recital, "item": item}
"""All that is asked about a panel, while the video plays and after it."""
