"""The transcript of a stream, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from event_logs import ask, decide, frame, happening, log_of, null, question, say, tokens, truth_of
from page_tree import Node, light, tree

from vigil.eval.report.pictures import Sheet
from vigil.eval.report.streams import Stream
from vigil.eval.report.transcript import transcript


def stream_of(*rows: dict[str, Any], truth: Sequence[dict[str, Any]] = (), end_s: float = 10.0, **head: Any) -> Stream:
    return Stream(name="s", log=log_of(*rows, end_s=end_s, **head), truth=truth_of(*truth))


def sheet_of(num: int) -> Sheet:
    return Sheet(id="sheet", url="data:image/jpeg;base64,AA==", cells={i: i for i in range(num)}, width_px=64)


def lines(stream: Stream, sheet: Sheet | None = None) -> list[Node]:
    return tree(transcript(stream, sheet)).one("ol").all("li")


def told(line: Node) -> tuple[str, str, str]:
    """Its kind, its time, and all its words."""
    return line.attrs["class"] or "", line.one("span", of="time").text, line.one("div", of="what").text


def test_a_transcript_tells_everything_in_order_of_time() -> None:
    assert [told(line) for line in lines(light())] == [
        ("silence", "0.1 s", "silent: 1 slot, P(silence) at least 0.750"),
        ("asked", "0.5 s", "q1asked as q1, answer expected now"),
        ("silence", "1.1 s", "silent: 1 slot, P(silence) at least 0.750"),
        ("speech", "1.5 s", "It is red.superseded at 5.5 sright1 s after it was due"),
        ("silence", "2.1 s", "silent until 5.1 s: 4 slots, P(silence) at least 0.750"),
        ("missed", "3 s", "missed, nothing said within 2 s: A cat appears."),
        ("revision", "5.5 s", "It is blue.revises 1.1right0.5 s after it was due"),
        ("silence", "6.1 s", "silent until 9.1 s: 4 slots, P(silence) at least 0.750"),
        ("speech", "9.5 s", "Nobody asked.nothing was due"),
    ]


def test_probabilities_are_rounded_down_so_that_at_least_holds() -> None:
    (line,) = lines(stream_of(decide(1.0, "silent", p=0.99999)))
    assert told(line)[2] == "silent: 1 slot, P(silence) at least 0.999"
    (line,) = lines(stream_of(decide(1.0, "silent")))
    assert told(line)[2] == "silent: 1 slot"


def answer(state: str, **more: Any) -> list[dict[str, Any]]:
    return [*tokens("1", [1.0], [-1], q=None), {"k": "answer", "a": "1", "q": None, "w": 2.0, "state": state, **more}]


@pytest.mark.parametrize(
    ("rows", "ending"),
    [
        (answer("cut"), "xcut shortnothing was due"),
        (answer("final"), "xnothing was due"),
        (tokens("1", [1.0], [-1], q=None), "xnever endednothing was due"),
        ([*answer("final"), {"k": "answer", "a": "1", "q": None, "w": 3.0, "state": "retracted"}],
         "xretracted at 3 snothing was due"),
    ],
    ids=["cut", "final", "open", "retracted"],
)  # fmt: skip
def test_how_an_answer_ended_is_told(rows: list[dict[str, Any]], ending: str) -> None:
    (line,) = lines(stream_of(*rows))
    assert told(line)[2] == ending


@pytest.mark.parametrize(
    ("at_s", "text", "words"),
    [
        (1.0, "A cat.", "A cat.rightat the moment it was due"),
        (1.5, "A cow.", "A cow.not a right text0.5 s after it was due; right would be A cat."),
    ],
)
def test_a_reply_is_judged_against_what_was_due(at_s: float, text: str, words: str) -> None:
    truth = [question("q1"), happening(1, 2, "cat", accept=["A cat.", "Cat."])]
    (line,) = lines(stream_of(*say("1", at_s, text), truth=truth))
    assert told(line)[2] == words


def test_a_miss_names_the_first_text_or_the_value_or_something() -> None:
    truth = [
        question("q1"),
        happening(1, 2, "cat"),
        happening(4, 5, None),
        happening(7, 8, "d", accept=["A dog.", "x"]),
    ]
    owed = [told(line)[2] for line in lines(stream_of(truth=truth)) if "missed" in (line.attrs["class"] or "")]
    assert owed == [f"missed, nothing said within 2 s: {due}" for due in ("cat", "something", "A dog.")]


def test_a_standing_question_is_told_apart() -> None:
    (line,) = lines(stream_of(ask("q7", 2.0)))
    assert told(line) == ("asked", "2 s", "q7asked as q7, standing question")


def test_moments_of_one_instant_keep_the_order_of_the_log() -> None:
    rows = [ask("q1", 1.0, direct=True), *say("1", 1.0, "Yes."), ask("q2", 1.0), *say("2", 1.0, "No.", q="q2")]
    kinds = [told(line)[0] for line in lines(stream_of(*rows))]
    assert kinds == ["asked", "speech", "asked", "speech"]


def test_each_moment_stands_beside_the_frames_that_had_been_seen_by_then() -> None:
    shown = lines(light(), sheet_of(10))
    frames = [[cell.one("title").text for cell in line.all("svg", of="frame")] for line in shown]
    assert frames[0] == ["frame 0 at 0 s"]
    assert frames[1] == ["frame 0 at 0 s"], "the newest one that was ready when it was asked"
    assert frames[3] == ["frame 1 at 1 s"]
    assert frames[4] == [f"frame {i} at {i} s" for i in (2, 3, 4, 5)]
    assert frames[5] == ["frame 3 at 3 s"], "the first one in which it could be seen"
    assert all(not line.all("svg") for line in lines(light())), "without pictures there are none"


def test_a_long_silence_shows_its_first_and_last_frames_and_a_few_between() -> None:
    rows = [row for i in range(50) for row in (*frame(i, float(i)), decide(i + 0.1, "silent", vis=i, p=0.9))]
    (line,) = lines(stream_of(*rows, end_s=50.0), sheet_of(50))
    numbers = [int(cell.one("title").text.split()[1]) for cell in line.all("svg", of="frame")]
    assert len(numbers) == 8
    assert (numbers[0], numbers[-1]) == (0, 49)
    assert numbers == sorted(set(numbers))


def test_a_frame_that_is_not_embedded_is_stood_for_by_the_one_before() -> None:
    sheet = Sheet(id="s", url="data:,", cells={0: 0, 4: 1, 8: 2}, width_px=64)
    assert [sheet.by_then(i) for i in (0, 3, 4, 7, 9)] == [0, 0, 4, 4, 8]
    late = Sheet(id="s", url="data:,", cells={5: 0}, width_px=64)
    assert late.by_then(2) == 5, "where none is before, the first one"
    shown = lines(light(), sheet)
    assert [cell.one("title").text for cell in shown[6].all("svg")] == ["frame 4 at 4 s"]


def test_where_nothing_is_due_and_nothing_is_said_there_is_nothing_to_tell() -> None:
    assert lines(stream_of(truth=[null(0, 9)])) == []
