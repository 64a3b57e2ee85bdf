"""The bookkeeping of a session by hand: numbers, turns, revisions, runs of silence, totals."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from fakes import spell
from hypothesis import given
from hypothesis import strategies as st

from vigil.stream.journal import LONGEST_SILENCE_S, NEWEST_KEPT, Journal, Moment, Question, Totals
from vigil.stream.notices import Outage, Return
from vigil.types import Asked, Back, Ended, Event, FramesDropped, Lost, Silence


def at(time_s: float) -> Moment:
    return Moment(time_s, 10 * time_s)


def ask(journal: Journal, time_s: float = 0.0, *, standing: bool = False, spoken: str = "") -> list[Event]:
    return journal.asked(Question("Why?", standing), at(time_s), spoken)


def answer(journal: Journal, text: str = "yes", *, status: str = "final") -> list[Event]:
    """One whole answer."""
    now = at(1.0)
    ended = journal.ends
    return [*journal.starts(now), *journal.says(now, text), *ended(now, text, status=status, finish="silence")]  # type: ignore[arg-type]


def test_every_event_has_the_next_number_the_moment_and_the_newest_frame() -> None:
    journal = Journal()
    events = ask(journal, 0.5)
    journal.saw(4)
    events += answer(journal) + journal.dropped(at(2.0), 1.0, 1.5, 2, "queue")
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.frame for event in events] == [-1, 4, 4, 4]
    assert [(event.time_s, event.wall_s) for event in events] == [(0.5, 5.0), (1.0, 10.0), (1.0, 10.0), (2.0, 20.0)]


Steps = Callable[[Journal], list[Event]]
REPLIES: dict[str, tuple[Steps, list[str]]] = {
    "two replies to a state question": (
        lambda j: ask(j) + answer(j) + answer(j),
        ["ask 1 Why?", "say 1.1 yes", "done 1.1 final", "revise 1.2 supersedes 1", "say 1.2 yes", "done 1.2 final"],
    ),
    "two replies to a standing one": (
        lambda j: ask(j, standing=True) + answer(j) + answer(j),
        ["ask 1 Why?", "say 1.1 yes", "done 1.1 final", "say 2.1 yes", "done 2.1 final"],
    ),
    "a standing one that gave its first reply up": (
        lambda j: ask(j, standing=True) + answer(j, status="superseded") + answer(j),
        [
            "ask 1 Why?",
            "say 1.1 yes",
            "done 1.1 superseded",
            "revise 1.2 supersedes 1",
            "say 1.2 yes",
            "done 1.2 final",
        ],
    ),
    "a revision of a revision": (
        lambda j: ask(j) + answer(j) + answer(j) + answer(j)[:1],
        [
            *("ask 1 Why?", "say 1.1 yes", "done 1.1 final"),
            *("revise 1.2 supersedes 1", "say 1.2 yes", "done 1.2 final", "revise 1.3 supersedes 2"),
        ],
    ),
    "a new question forgets the answers of the one before": (
        lambda j: ask(j) + answer(j) + ask(j, 2.0) + answer(j),
        ["ask 1 Why?", "say 1.1 yes", "done 1.1 final", "ask 2 Why?", "say 2.1 yes", "done 2.1 final"],
    ),
    "what was given up before a question is not revised after it": (
        lambda j: ask(j) + answer(j, status="superseded") + ask(j, 2.0) + answer(j),
        ["ask 1 Why?", "say 1.1 yes", "done 1.1 superseded", "ask 2 Why?", "say 2.1 yes", "done 2.1 final"],
    ),
    "before any question": (
        lambda j: answer(j) + answer(j),
        ["say 1.1 yes", "done 1.1 final", "say 2.1 yes", "done 2.1 final"],
    ),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_later_reply_is_a_revision_or_an_update(name: str) -> None:
    steps, expected = REPLIES[name]
    assert spell(steps(Journal())) == expected


def test_a_question_cuts_the_answer_that_is_open_and_no_other() -> None:
    journal = Journal()
    ask(journal)
    journal.starts(at(1.0))
    assert spell(ask(journal, 2.0, spoken=" half ")) == ["ask 2 Why?", "done 1.1 interrupted", "interrupted 1 by 2"]
    assert spell(ask(journal, 3.0)) == ["ask 3 Why?"]


def test_a_cut_without_a_question_names_none() -> None:
    journal = Journal()
    ask(journal)
    journal.starts(at(1.0))
    assert spell(journal.cut(at(2.0), "half", next_turn=None)) == ["done 1.1 interrupted", "interrupted 1 by None"]


def test_an_answer_begins_with_its_first_token_even_where_that_makes_no_whole_character() -> None:
    journal = Journal()
    assert journal.starts(at(0.0)) == []
    assert spell(journal.says(at(0.0), "")) == ["say 1.1 "]
    assert journal.says(at(0.1), "") == []
    ask(journal)
    journal.starts(at(1.0))
    assert [spell(journal.says(at(1.0), text)) for text in ("", "", "é")] == [["say 2.1 "], [], ["say 2.1 é"]]
    journal.ends(at(1.0), "é", status="superseded", finish="cancel")
    assert spell([*journal.starts(at(1.0)), *journal.says(at(1.0), "")]) == ["revise 2.2 supersedes 1"]


def test_the_whole_text_is_told_without_spaces_around_it() -> None:
    journal = Journal()
    journal.starts(at(0.0))
    assert journal.says(at(0.0), " a")[0].text == " a"  # type: ignore[attr-defined]
    (done,) = journal.ends(at(0.0), " a b ", status="final", finish="end")
    assert (done.text, done.finish) == ("a b", "end")  # type: ignore[attr-defined]


# ---- deadlines ------------------------------------------------------------------------------------------------------


def test_a_direct_question_waits_until_it_is_answered() -> None:
    journal = Journal()
    assert journal.waited_s(at(3.0)) is None, "nobody has asked"
    ask(journal, 1.5)
    assert journal.waited_s(at(4.0)) == 2.5
    journal.starts(at(4.0))
    assert journal.waited_s(at(5.0)) is None
    ask(journal, 6.0)
    assert journal.waited_s(at(6.0)) == 0.0
    ask(journal, 7.0, standing=True)
    assert journal.waited_s(at(9.0)) is None, "a standing one is not pressed"


# ---- silence --------------------------------------------------------------------------------------------------------


def test_a_run_of_silence_is_told_when_something_is_said() -> None:
    journal = Journal()
    assert journal.silent(at(1.0), 0.75) == []
    assert journal.silent(at(3.0), 0.25) == []
    quiet, *rest = journal.starts(at(4.0))
    assert rest == []
    assert isinstance(quiet, Silence)
    assert (quiet.first_s, quiet.last_s, quiet.frames) == (1.0, 3.0, 2)
    assert (quiet.p_silence_mean, quiet.p_silence_min) == (0.5, 0.25)
    assert journal.starts(at(5.0)) == [], "a run is told once"


@pytest.mark.parametrize(("second_s", "is_told"), [(LONGEST_SILENCE_S - 0.01, False), (LONGEST_SILENCE_S, True)])
def test_a_long_run_is_told_in_parts(second_s: float, is_told: bool) -> None:
    journal = Journal()
    journal.silent(at(2.0), 0.9)
    told = journal.silent(at(2.0 + second_s), 0.8)
    assert [(e.first_s, e.last_s, e.frames) for e in told if isinstance(e, Silence)] == [(2.0, 2.0, 1)] * is_told
    (rest,) = journal.ended(at(20.0), "eof", Totals())[:-1]
    assert isinstance(rest, Silence)
    assert (rest.first_s, rest.frames) == ((2.0 + second_s, 1) if is_told else (2.0, 2))


@given(gaps=st.lists(st.floats(0.0, 6.0), min_size=1, max_size=30))
def test_every_silent_slot_is_in_exactly_one_run(gaps: list[float]) -> None:
    journal, time_s, runs = Journal(), 0.0, list[Event]()
    for gap_s in gaps:
        time_s += gap_s
        runs += journal.silent(at(time_s), 0.5)
    runs += journal.ended(at(time_s), "eof", Totals())[:-1]
    told = [run for run in runs if isinstance(run, Silence)]
    assert sum(run.frames for run in told) == len(gaps)
    assert all(run.last_s - run.first_s < LONGEST_SILENCE_S + 6.0 for run in told)
    assert all(one.last_s <= two.first_s for one, two in pairwise(told))


# ---- sources and totals ---------------------------------------------------------------------------------------------


def test_losing_and_finding_the_source_ends_a_run_of_silence() -> None:
    journal = Journal()
    journal.silent(at(1.0), 1.0)
    quiet, lost = journal.source_changed(at(2.0), Outage("frozen", 3, 0.5))
    assert isinstance(quiet, Silence)
    assert isinstance(lost, Lost)
    assert (lost.cause, lost.attempt, lost.retry_in_s) == ("frozen", 3, 0.5)
    (back,) = journal.source_changed(at(3.0), Return(2, "reconnect", 1.25))
    assert isinstance(back, Back)
    assert (back.epoch, back.cause, back.gap_s) == (2, "reconnect", 1.25)


def test_a_run_of_lost_frames_is_told_with_its_span_and_reason() -> None:
    (event,) = Journal().dropped(at(9.0), 7.0, 8.5, 4, "stale")
    assert isinstance(event, FramesDropped)
    assert (event.first_s, event.last_s, event.count, event.reason) == (7.0, 8.5, 4, "stale")


@pytest.mark.parametrize(
    ("lags_s", "p95"),
    [
        ([], None),
        ([0.3], 0.3),
        ([0.2, 0.1], 0.1),
        ([i / 100 for i in reversed(range(100))], 0.94),
        ([i / 100 for i in range(101)], 0.95),
    ],
)
def test_the_lag_of_nineteen_in_twenty_frames(lags_s: list[float], p95: float | None) -> None:
    (ended,) = Journal().ended(at(1.0), "eof", Totals(lags_s=lags_s))
    assert isinstance(ended, Ended)
    assert ended.lag_p95_s == p95


def test_the_totals_are_those_of_the_driver_and_what_was_seen_is_counted_here() -> None:
    journal = Journal()
    for index in (0, 2, 3):
        journal.saw(index)
    (ended,) = journal.ended(at(5.0), "closed", Totals(received=7, dropped=1, pending=3, late_s=0.5))
    assert isinstance(ended, Ended)
    assert (ended.received, ended.perceived, ended.dropped, ended.pending) == (7, 3, 1, 3)
    assert (ended.reason, ended.late_s, ended.frame) == ("closed", 0.5, 3)


def test_the_newest_events_are_kept_and_no_more_than_that() -> None:
    journal = Journal()
    for number in range(NEWEST_KEPT + 3):
        ask(journal, float(number))
    assert [event.seq for event in journal.newest] == list(range(4, NEWEST_KEPT + 4))
    assert all(isinstance(event, Asked) for event in journal.newest)
