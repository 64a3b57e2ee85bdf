"""Recitals: what is said of a panel while it changes, at any pace."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.data.test_layout import IMAGE_ID, LAYOUT, TOKENIZER, disagreements, lay_out, replay, spelled
from vigil.data.check import check
from vigil.data.layout import Sample
from vigil.data.moss import moss_sample
from vigil.data.oracle import due
from vigil.data.phrases import ASK_RECITAL
from vigil.data.recital import PANEL_ROLES, recital
from vigil.data.records import Record, Turn
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.data.timeline import Timeline
from vigil.data.truth import truth_of
from vigil.data.turns import Ask
from vigil.errors import DataError
from vigil.eval.text import closed_mentions
from vigil.eval.truth import parse_truth
from vigil.types import DenseCaptions
from vigil.world.captions import describe
from vigil.world.panel import Panel
from vigil.world.scene import Change, Scene, WorldConfig, panel_scene, sample_scene
from vigil.world.words import ITEMS, PANEL_COLOURS

FIRST = Panel(colours=("red", "green", "blue", "yellow", "white", "black"))
PROMPT = "State the colour of each item, one sentence per item, in the order A to F."
OPENING = Turn(ask_s=0.0, question="", kind="opening")


def turns(item: str, frame: int, colour: str) -> Change:
    return Change(frame=frame, kind="item", subject=item, value=colour)


def film(*changes: Change, num_frames: int = 60) -> DenseCaptions:
    return describe(panel_scene(FIRST, changes, num_frames=num_frames))


def asked(captions: DenseCaptions, role: str = "recital", *, newest: int = -1, seed: int = 0) -> Record:
    """A record with one question, asked half a second after frame `newest`."""
    ask = Ask(newest=newest, time_s=max(0.0, newest + 0.5))
    turn = PANEL_ROLES[role](Timeline(captions, 1.0), ask, random.Random(seed))
    assert turn is not None
    return Record(id="r", video="v", duration_s=captions.duration_s, turns=(OPENING, turn))


def said(record: Record, tokens_per_s: float) -> str:
    """What follows the question, bytes being tokens: # is a frame, ~ silence; frames in silence are left out."""
    return re.sub(r"(~#)+~", "~", spelled(lay_out(record, tokens_per_s)).rpartition("$>")[2])


def words(text: str) -> str:
    return text.replace("#", "")


def panel_records(count: int) -> list[tuple[Scene, Record, float]]:
    """Real-time records of panels, each with a pace in bytes per second: a sentence takes about ten bytes."""
    found: list[tuple[Scene, Record, float]] = []
    for seed in range(count):
        rng = random.Random(seed)
        scene = sample_scene("val", seed, config=WorldConfig(family="panel", duration_s=(5.0, 14.0)))
        records = synthesize(describe(scene), rng=rng, config=SynthConfig(offline_share=0.0, records_per_video=2))
        found += [(scene, record, rng.choice((5.0, 8.0, 12.0, 30.0, rng.uniform(4, 40)))) for record in records]
    return found


RECORDS = panel_records(60)


def test_the_prompt_is_that_of_the_benchmark() -> None:
    assert ASK_RECITAL[0] == PROMPT
    asked_in = [turn.question for _, record, _ in RECORDS for turn in record.turns if turn.kind == "recital"]
    assert asked_in.count(PROMPT) > 0.4 * len(asked_in)
    assert set(asked_in) == set(ASK_RECITAL)


def test_a_calm_panel_is_recited_once_in_one_reply() -> None:
    text = "A is red. B is green. C is blue. D is yellow. E is white. F is black."
    assert words(said(asked(film()), 10.0)) == f"~{text}~"  # asked before the first frame: silent until it is there
    assert words(said(asked(film(), newest=2), 10.0)) == f"{text}~"


def test_an_item_not_yet_said_is_simply_said_right() -> None:
    assert words(said(asked(film(turns("F", 3, "orange"))), 10.0)).endswith(" E is white. F is orange.~")


def test_a_value_is_decided_with_its_own_first_token() -> None:
    """At ten bytes a second "A is red. " is out when frame 1 comes, so that all of B is open."""
    assert said(asked(film(turns("B", 1, "white"))), 10.0).startswith("~#A is red. #B is white#. C is")
    # a pace of 5: "A is " is out when frame 1 comes, so that the value is still open
    assert said(asked(film(turns("A", 1, "white"))), 5.0).startswith("~#A is #white#. B i#s gre")
    # at 6, "A is r" is out: "red" cannot be taken back, but has "white" after it
    late = said(asked(film(turns("A", 1, "white"))), 6.0)
    assert late.startswith("~#A is r#ed. B ")
    assert words(late).endswith("F is black.~A is white.~")


def test_what_is_said_so_far_is_kept_where_it_fits_the_new_value() -> None:
    """ "bl" is out when "blue" turns "black"."""
    first = asked(film(turns("C", 1, "black")), "recital", newest=-1)
    pace = len("A is red. B is green. C is bl")
    assert said(first, float(pace)).startswith("~#A is red. B is green. C is bl#ack. D is")


def test_an_item_that_changes_after_it_was_said_is_said_again_alone_after_the_reply() -> None:
    both = film(turns("B", 4, "orange"), turns("A", 5, "purple"))
    assert words(said(asked(both), 10.0)).endswith(" F is black.~A is purple. B is orange.~")


def test_a_correction_waits_for_the_slot_of_the_next_frame() -> None:
    record = asked(film(turns("A", 6, "purple"), num_frames=20))
    assert spelled(lay_out(record, 10.0)).endswith("F #is black.~#A is purpl#e.~" + "#~" * 11)


def test_a_change_during_a_correction_is_said_after_it() -> None:
    captions = film(turns("F", 20, "purple"), turns("A", 21, "purple"))
    assert words(said(asked(captions), 8.0)).endswith("F is black.~F is purple.~A is purple.~")


def test_a_change_that_is_undone_before_it_could_be_said_is_never_said() -> None:
    captions = film(turns("A", 3, "purple"), turns("A", 5, "red"))
    assert words(said(asked(captions), 10.0)).endswith("F is black.~")


def test_a_new_background_changes_nothing_that_is_said() -> None:
    cut = Change(frame=4, kind="cut", subject="scene", value="moon")
    assert said(asked(film(cut)), 10.0) == said(asked(film()), 10.0)


def test_a_question_about_one_item_is_answered_and_revised() -> None:
    for seed in range(20):
        captions = film(*(turns(item, 10 + n, "purple") for n, item in enumerate(ITEMS)))
        record = asked(captions, "item", newest=3, seed=seed)
        name = record.turns[1].subject
        old = FIRST.colours[ITEMS.index(name)]
        assert f"item {name}" in record.turns[1].question
        assert words(said(record, 12.0)) == f"{name} is {old}.~{name} is purple.~"


def contradictions(scene: Scene, record: Record, sample: Sample) -> tuple[int, int]:
    """Read a sample as the model does: sentences that do not state what the newest frame shows, and sentences.

    A value is decided from its first byte to the first at which no other colour is possible ("blu"); either may hold.
    """
    assert scene.panels is not None
    text = "".join("#" if i == IMAGE_ID else "\x00" if i in TOKENIZER.control_ids else chr(i) for i in _bytes(sample))
    wrong = count = 0
    for match in re.finditer(r"([A-F])#* #*i#*s#* (#*[a-z][a-z#]*)\.", text):
        value = match[2].replace("#", "")
        prefix = next(n for n in range(10) if sum(c.startswith(value[: n + 1]) for c in PANEL_COLOURS) == 1)
        letters = [at for at in range(match.start(2), match.end(2)) if text[at] != "#"]
        frames = [text[:at].count("#") - 1 for at in (letters[0], letters[prefix])]
        count += 1
        wrong += value not in [scene.panels[frame].colours[ITEMS.index(match[1])] for frame in frames]
    return wrong, count


def _bytes(sample: Sample) -> list[int]:
    """Ids, with each text token as the code of its letter."""
    plain = {*TOKENIZER.control_ids, IMAGE_ID}
    return [i if i in plain else ord(TOKENIZER.decode([i])[:1] or "\x00") for i in sample.ids]


def test_every_sentence_states_what_the_newest_frame_shows_when_its_value_is_decided() -> None:
    found = [contradictions(scene, record, lay_out(record, pace)) for scene, record, pace in RECORDS]
    assert sum(wrong for wrong, _ in found) == 0
    assert sum(count for _, count in found) > 300


def test_control_sentences_fixed_when_the_reply_begins_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigil.data.recital.Recitation.mend", lambda self, said, now_s: self._encode(_plan(self)))
    found = [contradictions(scene, record, lay_out(record, pace)) for scene, record, pace in RECORDS]
    assert sum(wrong for wrong, _ in found) > 10


def _plan(recitation: object) -> str:
    return " ".join(recitation._plan.values())  # type: ignore[attr-defined]


def test_after_the_last_slot_each_item_was_last_said_as_it_is() -> None:
    """Changes end at frame 20 of 60, and everything is said by then."""
    for seed in range(40):
        rng = random.Random(seed)
        panel, changes = FIRST, []
        for frame in sorted(rng.sample(range(1, 21), 8)):
            item = rng.randrange(6)
            colour = rng.choice([name for name in PANEL_COLOURS if name != panel.colours[item]])
            changes.append(turns(ITEMS[item], frame, colour))
            panel = panel.after(changes[-1])
        record = asked(film(*changes), newest=rng.randrange(-1, 6))
        text = words(said(record, rng.uniform(6, 40)))
        mentions = closed_mentions(text, items=ITEMS, values=tuple(PANEL_COLOURS))
        assert tuple({m.item: m.value for m in sorted(mentions, key=lambda m: m.item)}.values()) == panel.colours
        for name in ITEMS:
            values = [m.value for m in mentions if m.item == name]
            assert all(a != b for a, b in pairwise(values))  # nothing is said twice in a row


def test_law_8_a_session_replays_a_recital_token_for_token() -> None:
    records = [(record, pace) for _, record, pace in RECORDS[:18]]
    assert len([record for record, _ in records if record.turns[1].kind == "recital"]) > 6
    assert disagreements(records) == 0


def test_law_8_control_another_pace_is_noticed() -> None:
    slow = [record for _, record, _ in RECORDS if record.turns[1].kind == "recital"][:4]
    assert all(replay(record, lay_out(record, 8.0), tokens_per_s=11.0) != lay_out(record, 8.0).ids for record in slow)


def test_frames_of_a_recital_are_never_jittered() -> None:
    for _, record, pace in RECORDS[:20]:
        sample = lay_out(record, pace)
        assert LAYOUT.jitter(sample, random.Random(0), share=1.0) == sample
    moved = LAYOUT.jitter(replace(sample, is_timed=False), random.Random(0), share=1.0)
    assert moved.ids != sample.ids


def test_records_of_panels_are_proven_right() -> None:
    for seed in range(60):
        captions = describe(sample_scene("train", seed, config=WorldConfig(family="panel")))
        records = synthesize(captions, rng=random.Random(seed))
        assert len(records) == 4
        assert [problem for record in records for problem in check(record, captions)] == []


def test_check_control_two_items_swapped_a_sentence_late_or_left_out() -> None:
    captions = film(turns("B", 20, "orange"))
    record = asked(captions)
    good = record.turns[1].replies
    assert due(record.turns[1], record, captions) is not None
    red, green, *rest = good
    swapped = (replace(red, text="A is green.", value="green"), replace(green, text="B is red.", value="red"), *rest)
    late = (*good[:-1], replace(good[-1], time_s=21.0))
    for replies in (swapped, late, good[:-1], good[1:]):
        bad = replace(record, turns=(OPENING, replace(record.turns[1], replies=replies)))
        assert check(bad, captions)
    assert check(record, captions) == []


def test_truth_is_one_state_question_per_item_named_as_its_claims() -> None:
    captions = film(turns("B", 4, "orange"), num_frames=12)
    record = asked(captions, newest=1)
    truth = parse_truth(json.dumps(row) for row in truth_of(record, captions))
    assert [question.q for question in truth.questions] == [f"q1.{item}" for item in ITEMS]
    assert {(question.kind, question.t_ask, question.role) for question in truth.questions} == {
        ("state", 1.5, "recital")
    }
    spans = [(value.start_s, value.end_s, value.v) for value in truth.values_of("q1.B")]
    assert spans == [(1.5, 4.0, "green"), (4.0, 12.0, "orange")]
    assert truth.spellings("q1.A") == {"red": "red", "a is red": "red"}


def test_after_the_video_the_whole_recital_is_one_reply() -> None:
    captions = film(turns("B", 4, "orange"), num_frames=12)
    ask = Ask(newest=11, time_s=12.0, offline=True)
    turn = recital(Timeline(captions, 1.0), ask, random.Random(0))
    assert turn is not None
    record = Record(id="r", video="v", duration_s=12.0, turns=(OPENING, turn), offline=True)
    text = "A is red. B is orange. C is blue. D is yellow. E is white. F is black."
    assert [reply.text for reply in turn.replies] == [text]
    assert check(record, captions) == []
    assert spelled(LAYOUT.lay_out(record, [float(n) for n in range(12)])).endswith(f">{text}$")
    truth = parse_truth(json.dumps(row) for row in truth_of(record, captions))
    assert [value.v for value in truth.values_of("q1.B")] == ["orange"]


def test_the_released_format_refuses_a_recital() -> None:
    with pytest.raises(DataError, match="recites a panel"):
        moss_sample(asked(film()))
