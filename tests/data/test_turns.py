"""What roles are made of, by hand: what is followed, when it is told, and in which words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.scenes import camera_film, object_film
from vigil.data import phrases
from vigil.data.pace import max_wait_s
from vigil.data.records import Reply, Turn
from vigil.data.timeline import Change, Happening, Timeline, value_at
from vigil.data.turns import CAMERA_KINDS, Ask, asked, entry, family, follow, make_turn, requested, spoken, told
from vigil.types import DenseCaptions, State


def line(*states: State, duration_s: float = 10.0, fps: float = 1.0) -> Timeline:
    return Timeline(DenseCaptions(id="v", duration_s=duration_s, captions=(), states=states), fps)


def state(subject: str, attribute: str, value: str, start_s: float = 0.0, end_s: float = 10.0) -> State:
    return State(subject=subject, attribute=attribute, value=value, start_s=start_s, end_s=end_s)


# ---- what is followed -----------------------------------------------------------------------------------------------

LIGHT: tuple[Change, ...] = ((1, "red"), (3, ""), (5, "red"), (6, "green"), (8, "red"))


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (-1, [(1, "red"), (6, "green"), (8, "red")]),
        (0, [(1, "red"), (6, "green"), (8, "red")]),
        (1, [(1, "red"), (6, "green"), (8, "red")]),
        (2, [(2, "red"), (6, "green"), (8, "red")]),
        (3, [(5, "red"), (6, "green"), (8, "red")]),
        (6, [(6, "green"), (8, "red")]),
        (9, [(9, "red")]),
    ],
)
def test_the_value_at_the_question_is_followed_by_each_new_one(newest: int, expected: list[Change]) -> None:
    assert follow(LIGHT, Ask(newest, newest + 0.5)) == expected


def test_of_two_values_on_one_frame_the_last_one_counts() -> None:
    assert follow(((0, "a"), (2, "b"), (2, "c")), Ask(0, 0.5)) == [(0, "a"), (2, "c")]


@given(
    values=st.lists(st.sampled_from(("", "a", "b")), min_size=1, max_size=12),
    newest=st.integers(-1, 12),
)
def test_what_is_followed_is_what_a_slow_walk_over_the_frames_tells(values: list[str], newest: int) -> None:
    changes = tuple((f, v) for f, v in enumerate(values) if f == 0 or v != values[f - 1])
    first, expected = max(newest, 0), list[Change]()
    for frame in range(first, max(len(values), first + 1)):
        value = values[min(frame, len(values) - 1)]
        if value and (not expected or expected[-1][1] != value):
            expected.append((frame, value))
    assert follow(changes, Ask(newest, newest + 0.5)) == expected


@given(values=st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc")), max_size=8), frame=st.integers(-1, 22))
def test_the_value_at_a_frame_is_the_newest_one_at_or_before_it(values: list[Change], frame: int) -> None:
    changes = tuple(sorted(values, key=lambda change: change[0]))
    slow = [value for at, value in changes if at <= frame]
    assert value_at(changes, frame) == (slow[-1] if slow else "")


# ---- replies --------------------------------------------------------------------------------------------------------


def test_a_reply_is_due_on_its_frame_or_right_after_the_question() -> None:
    seen = line(fps=2.0)
    ask = Ask(3, 1.75)
    assert spoken(seen, ask, 2, "Red.").time_s == 1.75
    assert spoken(seen, ask, 5, "Red.").time_s == 2.5


def test_the_value_of_a_reply_is_its_text_unless_it_is_named() -> None:
    assert spoken(line(), Ask(0, 0.5), 0, "The Dog left.").value == "the dog left"
    reply = spoken(line(), Ask(0, 0.5), 0, "Red.", ["It is red."], "red")
    assert (reply.value, reply.accept) == ("red", ("It is red.",))


def test_an_entry_of_the_table_is_told_with_all_its_other_forms() -> None:
    reply = entry(line(), Ask(0, 0.5), 4, "many", noun="dog", value="3")
    template, also = phrases.REPLIES["many"]
    assert reply.text == template.format(n="three", nouns="dogs", noun="dog", v="3", count="three").capitalize()
    assert len(reply.accept) == len(also)
    assert reply.value == "3"


def test_events_of_one_frame_are_told_together_in_either_order() -> None:
    seen = line(state("dog", "presence", "visible"))
    one, other = Happening(4, "leave", "dog", "gone"), Happening(4, "cut", "scene", "beach")
    reply = told(seen, Ask(0, 0.5), one, other, table=phrases.HAPPENED)
    first, second = (told(seen, Ask(0, 0.5), event, table=phrases.HAPPENED) for event in (one, other))
    assert first.accept == ()
    assert reply.text == f"{first.text} {second.text}"
    assert reply.accept == (f"{second.text} {first.text}",)
    assert reply.time_s == 4.0


@pytest.mark.parametrize(("kind", "count_before", "count_then", "article"), [
    ("enter", "0", "1", "A dog"), ("enter", "1", "2", "Another dog"), ("leave", "2", "1", "One dog"),
    ("leave", "1", "0", "The dog"),
])  # fmt: skip
def test_one_of_several_is_told_as_such(kind: str, count_before: str, count_then: str, article: str) -> None:
    dogs = (state("dogs", "count", count_before, 0.0, 4.0), state("dogs", "count", count_then, 4.0, 10.0))
    seen = line(state("dog", "presence", "visible"), *dogs)
    reply = told(seen, Ask(0, 0.5), Happening(4, kind, "dog", "on the left"), table=phrases.HAPPENS)
    assert reply.text.startswith(article + " ")


# ---- turns ----------------------------------------------------------------------------------------------------------


def replies(*texts: str) -> list[Reply]:
    return [Reply(time_s=float(number), text=text) for number, text in enumerate(texts)]


def test_a_revision_overtakes_the_reply_before_and_a_repetition_is_not_made() -> None:
    turn = make_turn(Ask(0, 0.5), "state", "Colour?", replies("Red.", "Red.", "Green.", "Red."))
    assert [(r.text, r.overtakes) for r in turn.replies] == [("Red.", False), ("Green.", True), ("Red.", True)]


def test_updates_of_a_standing_turn_stay_as_they_are() -> None:
    turn = make_turn(Ask(0, 0.5), "tally", "Count.", replies("One.", "One."), standing=True)
    assert [(r.text, r.overtakes) for r in turn.replies] == [("One.", False), ("One.", False)]
    assert turn.standing


def test_an_asked_turn_has_one_of_its_roles_questions_about_the_thing() -> None:
    for offline in (False, True):
        ask = Ask(9, 10.0, offline=offline)
        turns = [asked("where", ask, random.Random(seed), replies("On the left."), "dog") for seed in range(30)]
        assert {turn.question for turn in turns} == {
            template.format(noun="dog", the="the dog")[:1].upper() + template.format(noun="dog", the="the dog")[1:]
            for template in phrases.QUESTIONS["where"][offline]
        }
        assert {(turn.ask_s, turn.kind, turn.subject, turn.standing) for turn in turns} == {
            (10.0, "where", "dog", False)
        }


def test_a_requested_turn_is_standing_and_names_its_clause_in_every_form() -> None:
    turns = [requested(Ask(0, 0.5), random.Random(seed), "alert", "a dog appears", []) for seed in range(60)]
    assert {turn.question for turn in turns} == {form.format(clause="a dog appears") for form in phrases.REQUESTS}
    assert all(turn.standing and not turn.replies for turn in turns)


def test_before_the_first_frame_the_first_answer_rests_on_frame_0() -> None:
    assert (Ask(-1, 0.0).first, Ask(0, 0.5).first, Ask(7, 7.5).first) == (0, 0, 7)


# ---- families -------------------------------------------------------------------------------------------------------


def test_only_what_could_happen_in_a_video_is_a_fair_question() -> None:
    assert family(line()) == {"cut"}
    assert family(line(state("light", "colour", "red"))) == {"cut", "light"}
    assert family(line(state("picture", "brightness", "dark"))) == CAMERA_KINDS - {"display"}
    assert family(line(state("picture", "motion", "still"), state("display", "number", "4"))) == CAMERA_KINDS
    for seed in range(20):
        assert {e.kind for e in Timeline(camera_film(seed), 1.0).happenings} <= CAMERA_KINDS
        named = {"enter", "leave", "move", "hide"}
        seen = Timeline(object_film(seed), 1.0)
        assert {e.kind for e in seen.happenings} - named <= family(seen)


# ---- pace -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "words_per_s", "wait_s"),
    [
        ([], 4.0, 0.0),
        ([(2.0, "one two three four", False)], 4.0, 0.0),
        ([(2.0, "one two three four", False), (2.5, "five", False)], 4.0, 0.5),
        ([(2.0, "one two three four", False), (2.5, "five", True)], 4.0, 0.0),
        ([(0.0, "a b c d", False), (1.0, "e f g h", False), (2.0, "i", False)], 2.0, 2.0),
        ([(0.0, "a b c d", False), (1.0, "e", True), (1.25, "f", False)], 2.0, 0.25),
    ],
    ids=["none", "alone", "waits", "overtakes", "adds-up", "after-an-overtaking"],
)
def test_a_reply_waits_for_the_ones_before_it(
    due: list[tuple[float, str, bool]], words_per_s: float, wait_s: float
) -> None:
    said = tuple(Reply(time_s=time_s, text=text, overtakes=overtakes) for time_s, text, overtakes in due)
    turn = Turn(ask_s=0.0, question="?", kind="narrate", replies=said)
    assert max_wait_s(turn, words_per_s) == pytest.approx(wait_s)
