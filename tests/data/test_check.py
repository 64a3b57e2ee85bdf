"""The check names each planted fault, and only it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.scenes import Film, camera_film, object_film
from vigil.data.check import RULES, CheckConfig, balance, check, check_all
from vigil.data.oracle import due
from vigil.data.records import Record, Reply, Turn, read_records, write_records
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.types import Caption, DenseCaptions


def lamp() -> DenseCaptions:
    """12 s: the light is red, green from 4 s, yellow from 8 s; a cat appears at 6 s; dogs never."""
    film = Film("lamp", 12.0)
    film.hold(0, "light", "colour", "red")
    film.hold(0, "dogs", "count", "0")
    for time_s, colour in ((4, "green"), (8, "yellow")):
        film.event(time_s, "light", "light", colour)
        film.hold(time_s, "light", "colour", colour)
    film.event(6, "enter", "cat", "on the left")
    film.hold(6, "cat", "presence", "visible")
    film.hold(6, "cat", "place", "on the left")
    return film.done()


def light(time_s: float, colour: str, **more: object) -> Reply:
    return Reply(time_s=time_s, text=f"The light is {colour}.", value=colour, **more)  # type: ignore[arg-type]


GOOD = Turn(
    ask_s=2.5,
    question="What colour is the light now?",
    kind="state",
    replies=(light(2.5, "red"), light(4.0, "green", overtakes=True), light(8.0, "yellow", overtakes=True)),
)
ALERT = Turn(
    ask_s=2.5,
    question="Tell me when a cat appears.",
    kind="alert",
    standing=True,
    subject="cat",
    replies=(Reply(time_s=6.0, text="A cat appears.", value="cat"),),
)
NEVER = replace(ALERT, question="Tell me when a dog appears.", subject="dog", replies=())


def record(*turns: Turn, name: str = "lamp:0") -> Record:
    opening = Turn(ask_s=0.0, question="", kind="opening")
    return Record(id=name, video="lamp", duration_s=12.0, turns=(opening, *turns))


def with_replies(turn: Turn, *replies: Reply) -> Record:
    return record(replace(turn, replies=replies))


PLANTED: dict[str, tuple[Record, str, str]] = {
    "a colour before it is shown": (
        with_replies(GOOD, GOOD.replies[0], light(3.0, "green"), GOOD.replies[2]),
        "future",
        "'The light is green.' at 3.0 s is shown at 4.0 s only",
    ),
    "an alert before its thing": (
        with_replies(ALERT, replace(ALERT.replies[0], time_s=5.0)),
        "future",
        "'A cat appears.' at 5.0 s is shown at 6.0 s only",
    ),
    "an alert for what never appears": (
        with_replies(NEVER, Reply(time_s=6.0, text="A dog appears.", value="dog")),
        "unknown",
        "'A dog appears.' at 6.0 s, when nothing is known or due",
    ),
    "a colour that never was": (
        with_replies(GOOD, light(2.5, "purple"), *GOOD.replies[1:]),
        "wrong",
        "'The light is purple.' at 2.5 s, but 'red' holds since 2.5 s",
    ),
    "a change that is not told": (
        with_replies(GOOD, GOOD.replies[0], GOOD.replies[2]),
        "missing",
        "'green' is due at 4.0 s and never said",
    ),
    "a change that is told late": (
        with_replies(GOOD, GOOD.replies[0], light(5.0, "green"), GOOD.replies[2]),
        "late",
        "'The light is green.' at 5.0 s was known at 4.0 s",
    ),
    "a value that the words do not state": (
        with_replies(GOOD, *GOOD.replies[:2], replace(GOOD.replies[2], text="The light is different.")),
        "words",
        "'The light is different.' does not state its value 'yellow'",
    ),
    "a value inside another word": (
        with_replies(GOOD, replace(GOOD.replies[0], text="The light is redder."), *GOOD.replies[1:]),
        "words",
        "'The light is redder.' does not state its value 'red'",
    ),
    "an alert that fires twice": (
        with_replies(ALERT, ALERT.replies[0], replace(ALERT.replies[0], time_s=8.0)),
        "unknown",
        "'A cat appears.' at 8.0 s was said before, and nothing new is due",
    ),
    "a reply between two frames": (
        with_replies(ALERT, replace(ALERT.replies[0], time_s=6.4)),
        "grid",
        "reply at 6.4 s is on no frame at 1.0 fps",
    ),
    "a reply after its turn": (
        record(replace(GOOD, replies=(light(9.0, "yellow"),)), replace(ALERT, ask_s=5.5)),
        "shape",
        "reply at 9.0 s lies outside its turn, 2.5 to 5.5 s",
    ),
    "a control mark in the text": (
        with_replies(GOOD, replace(GOOD.replies[0], text="<|silence|>"), *GOOD.replies[1:]),
        "shape",
        "'<|silence|>' holds a control mark or a line break",
    ),
    "replies in the opening": (
        replace(record(GOOD), turns=(replace(GOOD, question="", ask_s=0.0), GOOD)),
        "shape",
        "a record begins with a turn without question and replies",
    ),
    "no question": (record(), "shape", "no question is asked"),
    "turns out of order": (
        record(replace(GOOD, ask_s=6.5, replies=()), replace(ALERT, ask_s=3.5)),
        "shape",
        "asked at 3.5 s, before the turn before it (6.5 s)",
    ),
}


def test_right_records_have_no_fault() -> None:
    assert check(record(GOOD), lamp()) == []
    assert check(record(ALERT), lamp()) == []
    assert check(record(NEVER), lamp()) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named(name: str) -> None:
    bad, rule, message = PLANTED[name]
    found = [(problem.rule, problem.message) for problem in check(bad, lamp())]
    assert (rule, message) in found
    if name not in ("a reply between two frames", "replies in the opening"):
        assert {rule for rule, _ in found} == {rule}


def test_a_planted_bad_file_is_told_exactly(tmp_path: Path) -> None:
    names = sorted(PLANTED)
    bad = [replace(PLANTED[name][0], id=f"lamp:{number}") for number, name in enumerate(names)]
    write_records(tmp_path / "bad.jsonl", [record(GOOD, name="lamp:good"), *bad])
    problems = check_all(read_records(tmp_path / "bad.jsonl"), {"lamp": lamp()})
    assert {p.record for p in problems} == {r.id for r in bad}
    for number, name in enumerate(names):
        assert PLANTED[name][1] in {p.rule for p in problems if p.record == f"lamp:{number}"}
    assert {problem.rule for problem in problems} <= RULES.keys()


def test_two_truths_with_one_text_are_a_fault() -> None:
    same = with_replies(GOOD, *(replace(reply, text="It is red, green or yellow.") for reply in GOOD.replies))
    assert {problem.rule for problem in check(same, lamp())} == {"same"}


def test_a_commentary_that_cannot_be_spoken_in_time_is_a_fault() -> None:
    film = Film("busy", 12.0)
    for second in range(1, 11):
        film.event(second, "light", "light", "red")
    film.hold(0, "light", "colour", "red")
    replies = tuple(
        Reply(time_s=float(s), text="The light turns red.", value="the light turns red") for s in range(1, 11)
    )
    turn = Turn(ask_s=0.0, question="Say what happens.", kind="narrate", standing=True, replies=replies)
    busy = replace(record(turn), id="busy:0")
    assert check(busy, film.done()) == []
    slow = check(busy, film.done(), CheckConfig(words_per_s=2.0))
    assert [(p.rule, p.message) for p in slow] == [("rate", "a reply waits 9.0 s at 2.0 words/s, 4.0 s allowed")]


def test_free_text_is_held_to_the_captions_that_have_begun() -> None:
    told = DenseCaptions(
        id="lamp",
        duration_s=12.0,
        captions=(
            Caption(start_s=1.0, end_s=4.0, text="A man opens a box."),
            Caption(start_s=6.0, end_s=9.0, text="He takes out a kite."),
        ),
    )
    turn = Turn(ask_s=2.5, question="What does he do?", kind="free")

    def rules(time_s: float, text: str) -> set[str]:
        return {p.rule for p in check(with_replies(turn, Reply(time_s=time_s, text=text)), told)}

    assert rules(3.0, "The man is opening the box.") == set()
    assert rules(3.0, "The man takes out a kite.") == {"future"}
    assert rules(6.0, "The man takes out a kite.") == set()
    assert rules(6.0, "An elephant dances.") == {"unknown"}


def test_balance_sees_requests_that_are_always_met_and_answers_that_can_be_guessed() -> None:
    always = [record(ALERT, name=f"lamp:{n}") for n in range(60)]
    assert [p.message for p in balance(always)] == ["0% of the alert requests are never met, about half is right"]
    assert balance(always[:59]) == []
    half = [record(turn, name=f"lamp:{n}") for n in range(40) for turn in (ALERT, NEVER)]
    assert balance(half) == []
    guess = [record(replace(GOOD, replies=GOOD.replies[:1])) for _ in range(60)]
    assert "100% of the state (live) answers begin with 'The light is red.'" in balance(guess)[0].message


def test_a_record_without_captions_is_named_when_there_is_a_captions_file() -> None:
    stray = replace(record(GOOD), id="other:0")
    assert [(p.record, p.rule) for p in check_all([stray], {"lamp": lamp()})] == [("other:0", "shape")]
    assert check_all([stray], {}) == []


def test_every_question_that_the_rules_write_is_understood() -> None:
    for seed in range(60):
        film = (object_film if seed % 2 else camera_film)(seed)
        for written in synthesize(film, rng=random.Random(seed)):
            assert all(due(turn, written, film) is not None for turn in written.turns[1:])


MUTATIONS: dict[str, Callable[[Reply], Reply]] = {
    "a second early": lambda reply: replace(reply, time_s=reply.time_s - 1),
    "a second late": lambda reply: replace(reply, time_s=reply.time_s + 1),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_shifting_any_reply_of_any_role_by_one_frame_is_found(name: str) -> None:
    """Written records pass; each reply on a frame, shifted, fails."""
    config = SynthConfig(offline_share=0.0, second_question=0.0, records_per_video=6)
    shifted = missed = 0
    for seed in range(40):
        film = object_film(seed)
        for written in synthesize(film, rng=random.Random(seed), config=config):
            opening, turn = written.turns
            for index, reply in enumerate(turn.replies):
                moved = MUTATIONS[name](reply)
                if reply.time_s % 1 == 0 and turn.ask_s < moved.time_s < film.duration_s:
                    replies = [*turn.replies[:index], moved, *turn.replies[index + 1 :]]
                    changed = replace(turn, replies=tuple(sorted(replies, key=lambda r: r.time_s)))
                    shifted += 1
                    missed += not check(replace(written, turns=(opening, changed)), film)
    assert shifted > 200
    assert missed == 0
