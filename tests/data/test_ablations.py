"""Data without revisions: what is still learnt, and what is said in their place."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from fakes import byte_tokenizer

from vigil.data.ablations import Unrelated, learn_first_answers
from vigil.data.layout import Layout, Sample
from vigil.data.records import Record, Reply, Turn
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.model.loss import IGNORE
from vigil.world.captions import describe
from vigil.world.config import WorldConfig
from vigil.world.scene import sample_scene

TOKENIZER = byte_tokenizer()
LAYOUT = Layout(TOKENIZER, image_token_id=TOKENIZER.special("<|image|>"))
WORLD = WorldConfig(family="objects", num_nouns=6)


def turn(ask_s: float, *replies: tuple[float, str], standing: bool = False) -> Turn:
    made = tuple(Reply(time_s=t, text=text, overtakes=bool(n) and not standing) for n, (t, text) in enumerate(replies))
    return Turn(ask_s=ask_s, question="Q?", kind="state", standing=standing, replies=made)


def record(*turns: Turn) -> Record:
    opening = Turn(ask_s=0.0, question="", kind="opening")
    return Record(id="r", video="world:train:1", duration_s=8.0, turns=(opening, *turns))


def lay_out(one: Record) -> Sample:
    return LAYOUT.lay_out(one, [float(i) for i in range(8)], tokens_per_s=3.0)


def learnt(sample: Sample) -> str:
    """What is learnt: text as it is, the end of an answer and silence as ".", `<|...|>` as "^"."""
    control = LAYOUT.control
    marks = {control.silence: ".", control.ellipsis: "^", control.end_of_turn: "/"}
    return "".join(marks.get(label) or TOKENIZER.decode([label]) for label in sample.labels if label != IGNORE)


def test_after_the_first_answer_of_a_turn_nothing_is_learnt_until_the_next_question() -> None:
    sample = lay_out(record(turn(0.5, (0.5, "ab"), (3.0, "cd")), turn(5.5, (5.5, "ef"), (7.0, "gh"))))
    assert "cd" in learnt(sample)
    assert "gh" in learnt(sample)
    cut = learn_first_answers(sample, LAYOUT.control)
    assert learnt(cut) == "..ab.ef."
    assert cut.ids == sample.ids
    assert cut.frame_positions == sample.frame_positions


def test_giving_an_answer_up_is_not_learnt() -> None:
    sample = lay_out(record(turn(0.5, (0.5, "abcdefgh"), (2.0, "xy"))))
    assert "^" in learnt(sample)
    cut = learnt(learn_first_answers(sample, LAYOUT.control))
    assert "^" not in cut
    assert "xy" not in cut
    assert "abc" in cut


def test_silence_before_the_first_answer_is_learnt() -> None:
    sample = lay_out(record(turn(0.5, (4.0, "ab"), standing=True)))
    whole, cut = learnt(sample), learnt(learn_first_answers(sample, LAYOUT.control))
    assert cut == whole[: whole.index("ab") + 3]
    assert cut.count(".") > 4


@pytest.fixture(scope="module")
def unrelated() -> Unrelated:
    return Unrelated(WORLD, LAYOUT.encode)


def records(family: str, num: int) -> list[Record]:
    world = replace(WORLD, family=family)
    synth = SynthConfig(offline_share=0.0)
    made = []
    for n in range(num):
        made += synthesize(describe(sample_scene("train", n, config=world)), rng=random.Random(n), config=synth)
    return made


def test_revisions_become_other_texts_of_as_many_tokens_at_the_same_times(unrelated: Unrelated) -> None:
    changed = same = 0
    for one in records("objects", 12):
        for before, after in zip(one.turns, unrelated(one).turns, strict=True):
            assert before.replies[:1] == after.replies[:1], "the first answer stays"
            for a, b in zip(before.replies[1:], after.replies[1:], strict=True):
                assert (a.time_s, a.overtakes) == (b.time_s, b.overtakes)
                assert len(LAYOUT.encode(a.text)) == len(LAYOUT.encode(b.text))
                changed += a.text != b.text
                same += a.text == b.text
    assert changed > 5 * same


def test_what_a_panel_shows_later_is_told_in_another_colour(unrelated: Unrelated) -> None:
    changed = 0
    for one in records("panel", 6):
        for before, after in zip(one.turns, unrelated(one).turns, strict=True):
            told: set[str] = set()
            for a, b in zip(before.replies, after.replies, strict=True):
                item = a.text.rpartition(a.value)[0]
                assert b.text == item + b.value + a.text.rpartition(a.value)[2]
                assert (a == b) == (item not in told)
                told.add(item)
                changed += a != b
    assert changed


def test_the_same_record_always_gets_the_same_texts_and_offline_records_stay(unrelated: Unrelated) -> None:
    one = next(r for r in records("objects", 12) if any(len(turn.replies) > 1 for turn in r.turns))
    assert unrelated(one) == unrelated(one) != one
    assert unrelated(replace(one, offline=True)) == replace(one, offline=True)
