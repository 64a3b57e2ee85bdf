"""Training data with something taken out, for controlled comparisons: what is learnt of revisions, or what they say.

A *revision* here is any reply of a turn but the first, and in a turn of sentences (`vigil.data.recital`) any sentence
about an item but the first. Both forms leave the videos, the questions, the times and the number of tokens as they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from vigil.data.layout import Sample
from vigil.data.recital import LATE_KINDS, item_of
from vigil.data.records import Record, Reply, Turn
from vigil.data.synthesize import synthesize
from vigil.model.loss import IGNORE
from vigil.model.tokens import ControlIds
from vigil.world.captions import describe
from vigil.world.scene import WorldConfig, sample_scene
from vigil.world.words import PANEL_COLOURS

Revisions = Literal["kept", "cut", "unrelated"]
"""What a stage does with revisions: learn them, learn nothing after the first answer of a turn, or learn other texts of
equal length in their place."""
_POOL_SCENES = 300

Encode = Callable[[str], Sequence[int]]


def learn_first_answers(sample: Sample, control: ControlIds) -> Sample:
    """Take the labels off all that follows the first answer of each turn; the token that ends it is still learnt.

    An answer that is given up for another (`<|...|>`) ends unlearnt, because giving up is what a revision begins with.
    """
    labels = list(sample.labels)
    is_over = is_speaking = False
    ends = {control.silence, control.end_of_turn}
    for i, (token, label) in enumerate(zip(sample.ids, sample.labels, strict=True)):
        if token == control.start_header:
            is_over = is_speaking = False
        if is_over or label == IGNORE:
            labels[i] = IGNORE
        elif label == control.ellipsis:
            labels[i], is_over = IGNORE, True
        elif label in ends:
            is_over = is_speaking
        else:
            is_speaking = True
    return replace(sample, labels=labels)


class Unrelated:
    """Puts a text from another video, of as many tokens, in the place of each revision."""

    def __init__(self, world: WorldConfig, encode: Encode) -> None:
        self._encode = encode
        self._pool = _pool(world, encode)

    def __call__(self, record: Record) -> Record:
        """The record with other revisions; the same record always gets the same ones."""
        if record.offline:
            return record
        rng = random.Random(f"unrelated:{record.id}")
        return replace(record, turns=tuple(self._turn(turn, rng) for turn in record.turns))

    def _turn(self, turn: Turn, rng: random.Random) -> Turn:
        told: set[str] = set()
        replies = []
        for number, reply in enumerate(turn.replies):
            if turn.kind in LATE_KINDS:
                is_first = item_of(reply) not in told
                told.add(item_of(reply))
                replies.append(reply if is_first else self._other_colour(reply, rng))
            else:
                replies.append(reply if number == 0 else self._other_text(reply, rng))
        return replace(turn, replies=tuple(replies))

    def _other_text(self, reply: Reply, rng: random.Random) -> Reply:
        texts = [text for text in self._pool.get(len(self._encode(reply.text)), ()) if text != reply.text]
        return replace(reply, text=rng.choice(texts), accept=(), value="") if texts else reply

    def _other_colour(self, reply: Reply, rng: random.Random) -> Reply:
        size = len(self._encode(reply.text))
        sentences = {colour: _with_value(reply, colour) for colour in PANEL_COLOURS if colour != reply.value}
        fitting = [colour for colour, text in sentences.items() if len(self._encode(text)) == size]
        colour = rng.choice(fitting or list(sentences))
        return replace(reply, text=sentences[colour], accept=(), value=colour)


def _with_value(reply: Reply, value: str) -> str:
    before, _, after = reply.text.rpartition(reply.value)
    return before + value + after


def _pool(world: WorldConfig, encode: Encode) -> dict[int, tuple[str, ...]]:
    """Replies of many videos by their number of tokens."""
    texts: dict[int, set[str]] = {}
    for number in range(_POOL_SCENES):
        rng = random.Random(f"pool:{number}")
        for record in synthesize(describe(sample_scene("train", number, config=world)), rng=rng):
            for reply in (reply for turn in record.turns for reply in turn.replies):
                texts.setdefault(len(encode(reply.text)), set()).add(reply.text)
    return {size: tuple(sorted(found)) for size, found in texts.items()}
