"""Each rule of the check at its own edge: the last thing that is allowed, and the first that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.data.test_check import ALERT, GOOD, lamp, light, record
from vigil.data.check import RULES, CheckConfig, Problem, balance, check, check_all
from vigil.data.records import Record, Reply, Turn
from vigil.types import Caption, DenseCaptions, State

ONE = Turn(ask_s=2.5, question="What is it?", kind="free", replies=(Reply(time_s=3.0, text="A lamp."),))


def rules(made: Record, captions: DenseCaptions | None = None, **config: Any) -> list[str]:
    return [problem.rule for problem in check(made, captions, CheckConfig(**config))]


def asked(**changes: Any) -> Turn:
    return replace(ONE, **changes)


def said(time_s: float, text: str = "A lamp.", **more: Any) -> Reply:
    return Reply(time_s=time_s, text=text, **more)


# ---- shape ----------------------------------------------------------------------------------------------------------

FINE = {
    "asked at the very end": record(asked(ask_s=12.0, replies=())),
    "a reply right after the question": record(asked(replies=(said(2.5),))),
    "two replies on one frame": record(asked(replies=(said(3.0), said(3.0, "Two.")))),
    "two questions at one time": record(asked(replies=()), asked(ask_s=2.5)),
    "a question after the video": replace(record(asked(ask_s=12.0, replies=(said(12.0),))), offline=True),
}
BAD: dict[str, tuple[Record, str]] = {
    "no video": (replace(record(ONE), duration_s=0.0), "duration_s 0.0 and fps 1.0 must be above 0"),
    "no rate": (replace(record(ONE), fps=-1.0), "duration_s 12.0 and fps -1.0 must be above 0"),
    "an empty question": (record(asked(question="  ")), "the question is empty"),
    "asked after the end": (
        record(asked(ask_s=12.5, replies=())),
        "asked at 12.5 s, after the end of the video (12.0 s)",
    ),
    "a reply before the question": (record(asked(replies=(said(2.0),))), "reply at 2.0 s lies outside its turn, 2.5"),
    "a reply at the end": (record(asked(replies=(said(12.0),))), "reply at 12.0 s lies outside its turn, 2.5 to 12.0"),
    "a reply when the next is asked": (
        record(asked(replies=(said(5.0),)), asked(ask_s=5.0, replies=())),
        "reply at 5.0 s lies outside its turn, 2.5 to 5.0 s",
    ),
    "replies that go back": (record(asked(replies=(said(4.0), said(3.0)))), "replies go back from 4.0 to 3.0 s"),
    "an empty reply": (record(asked(replies=(said(3.0, " "),))), "a reply is empty"),
    "a control mark in the question": (record(asked(question="a <|b")), "'a <|b' holds a control mark or a line break"),
    "a line break in a reply": (record(asked(replies=(said(3.0, "a\nb"),))), r"'a\nb' holds a control mark or a line"),
    "an offline question before the end": (
        replace(record(asked(ask_s=11.0, replies=(said(12.0),))), offline=True),
        "an offline question is asked at the end and has one reply",
    ),
    "an offline question with two replies": (
        replace(record(asked(ask_s=12.0, replies=(said(12.0), said(12.0, "b")))), offline=True),
        "an offline question is asked at the end and has one reply",
    ),
    "no turn at all": (replace(record(), turns=()), "a record begins with a turn without question and replies"),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_just_allowed_has_no_fault(name: str) -> None:
    assert check(FINE[name], None) == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_just_not_allowed_is_named(name: str) -> None:
    made, message = BAD[name]
    problems = check(made, None)
    assert {problem.rule for problem in problems} == {"shape"}
    assert any(message in problem.message for problem in problems)


def test_a_problem_says_where_it_is() -> None:
    assert str(Problem("a:0", 2, "late", "x")) == "a:0 turn 2: late: x"
    assert str(Problem("file", -1, "balance", "y")) == "file: balance: y"
    assert str(check(BAD["an empty question"][0], None)[0]).startswith("lamp:0 turn 1: shape: ")
    assert all(problem.rule in RULES for made, _ in BAD.values() for problem in check(made, None))


def test_a_record_that_is_out_of_shape_is_judged_no_further() -> None:
    broken = record(replace(GOOD, replies=(light(2.0, "purple"),)))
    assert rules(broken, lamp()) == ["shape"]


# ---- grid, rate, same -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time_s", "fps", "faults"),
    [(4.0, 1.0, []), (4.00005, 1.0, []), (4.01, 1.0, ["grid"]), (4.5, 2.0, []), (4.25, 2.0, ["grid"]), (2.5, 1.0, [])],
)
def test_a_reply_is_due_on_a_frame_or_right_after_the_question(time_s: float, fps: float, faults: list[str]) -> None:
    bare = DenseCaptions(id="lamp", duration_s=12.0, captions=(Caption(start_s=0.0, end_s=1.0, text="a lamp"),))
    assert rules(replace(record(asked(replies=(said(time_s),))), fps=fps), bare) == faults


@pytest.mark.parametrize(("max_wait_s", "faults"), [(1.0, []), (0.99, ["rate"])])
def test_updates_may_wait_for_each_other_so_long_and_no_longer(max_wait_s: float, faults: list[str]) -> None:
    told = (said(3.0, "one two three four five six seven eight"), said(4.0, "nine"))
    assert rules(record(asked(standing=True, replies=told)), words_per_s=4.0, max_wait_s=max_wait_s) == faults
    assert rules(record(asked(replies=told)), words_per_s=4.0, max_wait_s=max_wait_s) == [], "a revision does not wait"


def test_only_answers_that_replace_each_other_must_differ() -> None:
    told = (said(3.0), said(5.0))
    bare = DenseCaptions(id="lamp", duration_s=12.0, captions=(Caption(start_s=0.0, end_s=1.0, text="a lamp"),))
    assert rules(record(asked(replies=told)), bare) == ["same"]
    assert rules(record(asked(standing=True, replies=told)), bare) == []


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text", "is_stated"),
    [
        ("3", "There are three dogs.", True),
        ("3", "There are 3 dogs.", True),
        ("3", "There are thirteen dogs.", False),
        ("0", "Zero times.", True),
        ("0", "There are no dogs.", True),
        ("21", "21 times.", True),
        ("21", "Twenty-one times.", False),
        ("never", "There is no dog.", True),
        ("not there", "No.", True),
        ("there", "There is a dog.", True),
        ("there", "Yes, a dog.", True),
        ("there", "A dog.", False),
        ("moving", "Something is moving.", True),
        ("normal", "It is bright.", True),
        ("red", "RED!", True),
        ("red", "It is colored.", False),
    ],
)
def test_a_value_is_stated_by_its_own_words_or_by_those_that_stand_for_it(
    value: str, text: str, is_stated: bool
) -> None:
    """The question is one that the oracle knows, so that a value that is stated wrongly has other faults besides."""
    turn = Turn(
        ask_s=2.5, question="How many dogs are there?", kind="count_named", subject="dog",
        replies=(Reply(time_s=3.0, text=text, value=value),),
    )  # fmt: skip
    found = check(record(turn), lamp())
    assert ("words" in [problem.rule for problem in found]) is not is_stated


def test_a_cue_is_one_word_whatever_its_value() -> None:
    cue = Turn(
        ask_s=2.5, question="Say now when the light is green.", kind="cue", standing=True,
        replies=(Reply(time_s=4.0, text="Now.", value="green"),),
    )  # fmt: skip
    assert check(record(cue), lamp()) == []
    assert rules(record(replace(cue, replies=(replace(cue.replies[0], time_s=5.0),))), lamp()) == ["late"]


# ---- free text ------------------------------------------------------------------------------------------------------

PARK = DenseCaptions(
    id="park",
    duration_s=12.0,
    captions=(
        Caption(start_s=0.0, end_s=12.0, text="A picnic.", level="video"),
        Caption(start_s=2.0, end_s=5.0, text="A boy throws a red ball."),
        Caption(start_s=6.0, end_s=9.0, text="A dog catches it."),
    ),
)


@pytest.mark.parametrize(
    ("time_s", "text", "faults"),
    [
        (3.0, "The boy throws a ball.", []),
        (3.0, "A boy with a kite throws a ball.", []),
        (3.0, "A boy flies a kite and sings.", ["unknown"]),
        (3.0, "A dog will catch the ball.", ["future"]),
        (6.0, "A dog catches the ball.", []),
        (3.0, "It is a picnic.", ["future"]),
        (11.0, "It is a picnic.", ["future"]),
    ],
)
def test_free_words_must_stand_in_captions_that_have_begun(time_s: float, text: str, faults: list[str]) -> None:
    assert rules(replace(record(asked(replies=(said(time_s, text),))), duration_s=12.0), PARK) == faults


def test_what_tells_of_the_whole_video_is_known_at_its_end() -> None:
    after = replace(record(asked(ask_s=12.0, replies=(said(12.0, "It is a picnic."),))), offline=True)
    assert check(after, PARK) == []


@pytest.mark.parametrize(("min_grounded", "faults"), [(0.5, []), (0.6, ["unknown"])])
def test_as_many_words_as_the_config_says_must_be_known(min_grounded: float, faults: list[str]) -> None:
    two_of_four = record(asked(replies=(said(3.0, "A boy throws orange kites."),)))
    assert rules(two_of_four, PARK, min_grounded=min_grounded) == faults


def test_words_of_states_count_as_known_from_their_start() -> None:
    film = replace(PARK, states=(State(subject="lamp", attribute="colour", value="blue", start_s=4.0, end_s=12.0),))
    free = Turn(ask_s=2.5, question="What is it?", kind="free", replies=(said(3.0, "A blue lamp."),))
    assert rules(record(free), film) == ["future"]
    assert rules(record(replace(free, replies=(said(4.0, "A blue lamp."),))), film) == []


# ---- files ----------------------------------------------------------------------------------------------------------


def many(turn: Turn, count: int) -> list[Record]:
    return [record(turn, name=f"{turn.kind}{number}:0") for number in range(count)]


@pytest.mark.parametrize(("never", "is_fair"), [(17, False), (18, True), (45, True), (46, False)])
def test_of_sixty_requests_a_third_to_three_quarters_may_never_be_met(never: int, is_fair: bool) -> None:
    made = many(replace(ALERT, replies=()), never) + many(ALERT, 60 - never)
    assert (balance(made) == []) is is_fair


@pytest.mark.parametrize(("same", "is_fair"), [(45, True), (46, False)])
def test_of_sixty_answers_three_quarters_may_begin_alike(same: int, is_fair: bool) -> None:
    made = many(GOOD, same)
    made += [record(replace(GOOD, replies=(light(2.5, f"c{n}"),)), name=f"x{n}:0") for n in range(60 - same)]
    found = balance(made)
    assert (found == []) is is_fair
    if not is_fair:
        assert str(found[0]) == "file: balance: 77% of the state (live) answers begin with 'The light is red.'"


def test_fewer_than_sixty_are_not_judged() -> None:
    assert balance(many(ALERT, 59)) == []
    assert balance(many(GOOD, 59)) == []


def test_a_file_is_judged_record_by_record_and_as_a_whole() -> None:
    broken = record(replace(GOOD, replies=GOOD.replies[:1]), name="other:0")
    found = check_all([record(GOOD), broken], {"lamp": lamp()})
    assert [(problem.record, problem.rule) for problem in found] == [("other:0", "shape")]
    assert "its captions are not in the captions file" in found[0].message
    assert check_all([broken], {}) == [], "without a captions file only shape and rate are judged"
    both = check_all([broken], {"other": lamp()})
    assert [problem.rule for problem in both] == ["missing", "missing"]
