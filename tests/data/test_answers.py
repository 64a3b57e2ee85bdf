"""State questions about one small film, each answered by hand."""

from __future__ import annotations

import pytest

from tests.data.dog_film import END, FILM, LINE, all_turns, asked_after, by_subject, record_of, told
from vigil.data import answers, phrases
from vigil.data.check import check
from vigil.data.oracle import Due, due
from vigil.data.records import Turn
from vigil.data.timeline import Timeline
from vigil.data.turns import Ask, Role
from vigil.types import Caption, DenseCaptions, State

AFTER_3 = asked_after(3)


def by_question(role: Role, ask: Ask) -> dict[str, list[tuple[float, str]]]:
    return {turn.question: told(turn) for turn in all_turns(role, ask)}


def test_where_a_thing_is_through_moving_hiding_and_leaving() -> None:
    assert by_subject(answers.where, AFTER_3) == {
        "dog": [
            (3.5, "The dog is on the left."),
            (5.0, "The dog is on the right."),
            (8.0, "The dog is hidden."),
            (10.0, "The dog is in the middle."),
        ],
        "cat": [(3.5, "The cat is in the middle."), (4.0, "The cat is gone.")],
        "house": [(3.5, "There is no house.")],
    }
    assert by_subject(answers.where, END) == {
        "dog": [(12.0, "The dog is in the middle.")],
        "cat": [(12.0, "The cat is gone.")],
        "house": [(12.0, "There is no house.")],
    }


def test_a_thing_that_has_not_come_yet_is_not_there() -> None:
    assert by_subject(answers.where, asked_after(-1))["dog"][:2] == [
        (0.0, "There is no dog."),
        (2.0, "The dog is on the left."),
    ]


def test_what_colour_a_thing_has() -> None:
    assert by_subject(answers.colour, AFTER_3) == {
        "square": [(3.5, "The square is red."), (5.0, "The square is blue."), (9.0, "The square is gone.")]
    }


def test_where_a_thing_was_last_seen_that_cannot_be_seen() -> None:
    assert by_subject(answers.last_seen, AFTER_3) == {}, "the cat is still there, and the dog has just come"
    assert by_subject(answers.last_seen, asked_after(9)) == {
        "dog": [(9.5, "The dog was on the right."), (10.0, "The dog was in the middle.")],
        "cat": [(9.5, "The cat was in the middle.")],
    }


def test_whether_a_thing_is_there() -> None:
    assert by_subject(answers.present, AFTER_3) == {
        "dog": [(3.5, "There is a dog."), (8.0, "The dog is hidden."), (10.0, "There is a dog.")],
        "cat": [(3.5, "There is a cat."), (4.0, "There is no cat.")],
        "house": [(3.5, "There is no house.")],
    }


def test_whether_a_thing_has_been_seen_so_far() -> None:
    assert by_subject(answers.seen, asked_after(1)) == {
        "dog": [(1.5, "No dog yet."), (2.0, "Yes, a dog appeared.")],
        "cat": [(1.5, "Yes, a cat appeared.")],
        "house": [(1.5, "No house yet.")],
    }
    assert by_subject(answers.seen, END)["house"] == [(12.0, "No house appeared.")]


def test_how_many_objects_there_are() -> None:
    one = "There is one object."
    assert by_subject(answers.count, asked_after(1)) == {
        "": [(1.5, one), (2.0, "There are two objects."), (4.0, one), (8.0, "There are no objects."), (10.0, one)]
    }


def test_how_many_of_a_thing_there_are() -> None:
    assert by_subject(answers.count_named, AFTER_3) == {
        "dog": [(3.5, "There is one dog."), (8.0, "There are no dogs."), (10.0, "There is one dog.")],
        "cat": [(3.5, "There is one cat."), (4.0, "There are no cats.")],
        "house": [(3.5, "There are no houses.")],
    }


def test_half_of_the_questions_after_a_number_are_about_what_is_not_there() -> None:
    nouns = [turn.subject for turn in all_turns(answers.count_named, AFTER_3)]
    assert 0.35 < nouns.count("house") / len(nouns) < 0.65


@pytest.mark.parametrize(
    ("kind", "replies"),
    [
        ("enter", [(3.5, "One time.")]),
        ("light", [(3.5, "Zero times."), (6.0, "One time.")]),
        ("cut", [(3.5, "Zero times.")]),
    ],
)
def test_how_many_times_something_has_happened(kind: str, replies: list[tuple[float, str]]) -> None:
    found = by_question(answers.times, AFTER_3)
    assert {question: found[question] for question in phrases.TIMES[kind]} == dict.fromkeys(
        phrases.TIMES[kind], replies
    )


def test_what_is_asked_for_by_number_has_mostly_happened_before() -> None:
    turns = all_turns(answers.times, AFTER_3)
    entered = sum(turn.question in phrases.TIMES["enter"] for turn in turns)
    assert entered > 0.75 * len(turns) * 0.9
    assert entered < len(turns)


def test_what_happened_last_is_told_anew_with_each_event() -> None:
    later = [
        (4.0, "The cat left."),
        (5.0, "The dog moved to the right."),
        (6.0, "The light turned green."),
        (8.0, "The dog hid."),
        (10.0, "The dog came back."),
    ]
    assert by_subject(answers.last, AFTER_3) == {"": [(3.5, "A dog appeared."), *later]}
    assert by_subject(answers.last, asked_after(0)) == {"": [(2.0, "A dog appeared."), *later]}
    assert by_subject(answers.last, END) == {"": [(12.0, "The dog came back.")]}


def test_what_comes_next_is_an_event_or_a_thing() -> None:
    found = by_question(answers.upcoming, asked_after(0))
    for kind, said in (("next", "A dog appears."), ("next_thing", "A dog.")):
        for question in phrases.QUESTIONS[kind][0]:
            assert found[question] == [(2.0, said)]
    assert set(by_question(answers.upcoming, AFTER_3)) == set(phrases.QUESTIONS["next"][0]), "no thing comes any more"
    assert by_question(answers.upcoming, asked_after(10)) == {}, "nothing comes any more"


def test_a_description_goes_from_left_to_right_and_is_begun_anew_when_it_is_no_longer_true() -> None:
    assert by_subject(answers.describe, AFTER_3) == {
        "": [
            (3.5, "A dog on the left and a cat in the middle."),
            (4.0, "A dog on the left."),
            (5.0, "A dog on the right."),
            (8.0, "There is nothing here."),
            (10.0, "A dog in the middle."),
        ]
    }


def test_whether_something_happened_at_all() -> None:
    found = by_question(answers.changed, END)
    assert found == {
        "Did the light change?": [(12.0, "Yes, the light changed.")],
        "Did the scene change?": [(12.0, "No, the scene did not change.")],
    }


def test_the_light_and_a_thing_that_is_not_there() -> None:
    found = by_question(answers.state, AFTER_3)
    for question in phrases.STATES["light", "colour"].ask:
        assert found[question] == [(3.5, "The light is red."), (6.0, "The light is green.")]
    assert found["What does the counter show?"] == [(3.5, "There is no counter.")]
    assert "Where are we?" not in found, "a place is never supposed to be there"
    others = sum(turn.replies[0].value == "never" for turn in all_turns(answers.state, AFTER_3))
    assert 0 < others < 0.25 * 150, "about a tenth"


# ---- crowds ---------------------------------------------------------------------------------------------------------


def test_several_of_a_kind_are_counted_and_have_no_place() -> None:
    two = DenseCaptions(
        id="two",
        duration_s=4.0,
        captions=(),
        states=(
            State(subject="dog", attribute="presence", value="visible", start_s=0.0, end_s=4.0),
            State(subject="dogs", attribute="count", value="2", start_s=0.0, end_s=2.0),
            State(subject="dogs", attribute="count", value="1", start_s=2.0, end_s=4.0),
        ),
    )
    line = Timeline(two, 1.0)
    assert all_turns(answers.where, asked_after(0), line=line) == [], "which one?"
    (said,) = {tuple(told(turn)) for turn in all_turns(answers.describe, asked_after(0), line=line)}
    assert said == ((0.5, "Two dogs."), (2.0, "A dog."))


def test_footage_is_described_by_its_light_its_movement_and_its_display() -> None:
    film = DenseCaptions(
        id="camera",
        duration_s=4.0,
        captions=(Caption(start_s=2.0, end_s=2.0, text="", kind="dark", subject="picture", value="dark"),),
        states=(
            State(subject="picture", attribute="brightness", value="normal", start_s=0.0, end_s=2.0),
            State(subject="picture", attribute="brightness", value="dark", start_s=2.0, end_s=4.0),
            State(subject="motion", attribute="side", value="left", start_s=1.0, end_s=4.0),
            State(subject="display", attribute="number", value="42", start_s=0.0, end_s=4.0),
        ),
    )
    (said,) = {tuple(told(t)) for t in all_turns(answers.describe, asked_after(0), line=Timeline(film, 1.0))}
    assert said == (
        (0.5, "The picture is bright and the display shows 42."),
        (1.0, "The picture is bright, something is moving on the left and the display shows 42."),
        (2.0, "The picture is dark, something is moving on the left and the display shows 42."),
    )


# ---- the second way to the truth ------------------------------------------------------------------------------------

LOOKED_UP: dict[str, tuple[Turn, list[Due]]] = {
    "where": (
        Turn(ask_s=3.5, question="Where is the dog?", kind="where", subject="dog"),
        [Due(3.5, "on the left"), Due(5.0, "on the right"), Due(8.0, "hidden"), Due(10.0, "in the middle")],
    ),
    "present": (
        Turn(ask_s=3.5, question="Is there a cat?", kind="present", subject="cat"),
        [Due(3.5, "there"), Due(4.0, "not there")],
    ),
    "seen": (
        Turn(ask_s=1.5, question="Have you seen a dog yet?", kind="seen", subject="dog"),
        [Due(1.5, "no"), Due(2.0, "yes")],
    ),
    "last_seen": (
        Turn(ask_s=9.5, question="Where was the dog last seen?", kind="last_seen", subject="dog"),
        [Due(9.5, "on the right"), Due(10.0, "in the middle")],
    ),
    "times": (
        Turn(ask_s=3.5, question="How often did the light change?", kind="times"),
        [Due(3.5, "0"), Due(6.0, "1")],
    ),
    "state": (
        Turn(ask_s=3.5, question="What colour is the light?", kind="state"),
        [Due(3.5, "red"), Due(6.0, "green")],
    ),
    "state of nothing": (Turn(ask_s=3.5, question="What time is it?", kind="state"), [Due(3.5, "never")]),
    "count": (
        Turn(ask_s=7.5, question="How many objects are there?", kind="count"),
        [Due(7.5, "1"), Due(8.0, "0"), Due(10.0, "1")],
    ),
    "alert": (
        Turn(ask_s=0.5, question="Tell me when a dog appears.", kind="alert", subject="dog", standing=True),
        [Due(2.0, "dog")],
    ),
    "alert for what never comes": (
        Turn(ask_s=0.5, question="Tell me when a house appears.", kind="alert", subject="house", standing=True),
        [],
    ),
    "a change that is asked for": (
        Turn(ask_s=0.5, question="Say so when the dog hides.", kind="alert_change", subject="dog", standing=True),
        [Due(8.0, "dog")],
    ),
    "a value that is asked for": (
        Turn(ask_s=0.5, question="Let me know when the light is green.", kind="alert_change", standing=True),
        [Due(6.0, "green")],
    ),
    "a cue": (
        Turn(ask_s=0.5, question="Say now when the light is green.", kind="cue", standing=True),
        [Due(6.0, "green")],
    ),
    "a tally": (
        Turn(ask_s=0.5, question="Count each time something appears.", kind="tally", standing=True),
        [Due(2.0, "1")],
    ),
    "next": (Turn(ask_s=4.5, question="What happens next?", kind="next"), [Due(5.0, "the dog moves to the right")]),
    "next thing": (Turn(ask_s=0.5, question="What appears next?", kind="next"), [Due(2.0, "dog")]),
    "narrate": (
        Turn(ask_s=7.5, question="Say what happens.", kind="narrate", standing=True),
        [Due(8.0, "the dog hides"), Due(10.0, "the dog is back")],
    ),
}


@pytest.mark.parametrize("name", LOOKED_UP)
def test_what_must_be_said_is_worked_out_from_the_question_alone(name: str) -> None:
    turn, expected = LOOKED_UP[name]
    assert due(turn, record_of(turn), FILM) == expected


def test_a_question_that_is_not_known_has_no_truth() -> None:
    turn = Turn(ask_s=3.5, question="How do you feel?", kind="free")
    assert due(turn, record_of(turn), FILM) is None


@pytest.mark.parametrize("ask", [asked_after(0), AFTER_3, asked_after(9), END], ids=["start", "3", "9", "end"])
def test_both_ways_to_the_truth_agree_about_the_film(ask: Ask) -> None:
    roles = answers.state, answers.where, answers.colour, answers.last_seen, answers.present, answers.seen
    more = answers.count, answers.count_named, answers.times, answers.last, answers.describe, answers.upcoming
    for role in roles + (() if ask.offline else more):
        for turn in all_turns(role, ask)[:40]:
            assert check(record_of(turn, offline=ask.offline), FILM) == []
    assert LINE.num_frames == 12
