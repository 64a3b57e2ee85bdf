"""The truth file, row by row: what each may hold, what may not stand together, and what follows from values."""

from __future__ import annotations

from typing import Any

import pytest
from event_logs import happening, null, question, text_of, truth_of, value

from vigil.errors import DataError
from vigil.eval.truth import Happening, parse_truth


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (question() | {"t_ask": "0"}, "(q) has 't_ask' = \"0\", which must be a finite number."),
        (question() | {"q": 1}, "(q) has 'q' = 1, which must be a string."),
        (question() | {"options": "AB"}, "(q) has 'options' = \"AB\", which must be a list of strings or null."),
        (question() | {"options": [1]}, "(q) has 'options' = [1], which must be a list of strings or null."),
        (question() | {"named": 1}, "(q) has 'named' = 1, which must be true or false."),
        (question() | {"until": "end"}, "(q) has 'until' = \"end\", which must be a finite number or null."),
        (question() | {"role": None}, "(q) has 'role' = null, which must be a string."),
        ({"k": "q", "q": "q1", "t_ask": 0}, "(q) lacks the field 'kind', which must be one of 'state', 'event', "),
        ({"k": "val", "q": "q1", "from": 0, "to": 1}, "(val) lacks the field 'v', which must be a string."),
        (value(0, 1, "x") | {"from": None}, "(val) has 'from' = null, which must be a finite number."),
        (value(0, 1, "x") | {"alias": "x"}, "(val) has 'alias' = \"x\", which must be a list of strings."),
        (value(0, 1, "x") | {"start_s": 0}, "(val) has the unknown field 'start_s'. It may have: q, from, to, v, "),
        ({"k": "ev", "q": "q1", "s": 0, "e": 1}, "(ev) lacks the field 'v', which must be a string or null."),
        (happening(1) | {"accept": [None]}, "(ev) has 'accept' = [null], which must be a list of strings."),
        (happening(1) | {"s": float("nan")}, "(ev) has 's' = NaN, which must be a finite number."),
        ({"k": "null", "from": 0}, "(null) lacks the field 'to', which must be a finite number."),
        (null(0, 1) | {"q": "q1"}, "(null) has the unknown field 'q'. It may have: from, to."),
    ],
)
def test_a_row_that_breaks_the_format_is_refused_by_line_field_and_remedy(row: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_truth(["", *text_of([row])], where="truth.jsonl")
    assert str(caught.value).startswith(f"truth.jsonl line 2 {says}")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([null(5, 4)], "a span of the truth ends at 4.0 before it begins at 5.0"),
        ([question(), happening(3, 2)], "a span of the truth ends at 2.0 before it begins at 3.0"),
        ([question(), value(0, 1, "x", q="q2")], "speaks of question 'q2' without a line for it. Add its q line"),
        ([question(), happening(1, q="q2")], "speaks of question 'q2' without a line for it"),
        ([question(kind="state"), value(0, 9, "red"), value(2, 3, "blue")], "values of 'q1' overlap: 'red' to 9.0"),
        ([question(kind="state"), value(2, 3, "b"), value(0, 2.5, "a")], "values of 'q1' overlap: 'a' to 2.5 and 'b'"),
        (
            [question(kind="state"), value(0, 1, "one", alias=["x"]), value(1, 2, "2", alias=["X!"])],
            "'X!' states two values of 'q1': '1' and '2'",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_refused_with_the_values(rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_truth(text_of(rows))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [
        [question(kind="state"), value(0, 5, "red"), value(5, 8, "blue")],  # half-open: they touch
        [question(kind="state"), value(5, 8, "blue"), value(0, 5, "red")],  # in any order
        [question(kind="state"), value(0, 0, "red")],
        [question(), happening(1, q=None)],  # said without being asked
        [question(kind="state"), value(0, 1, "red", alias=["x"]), value(1, 2, "Red!", alias=["x"])],  # one value
        [
            question("a", kind="state"),
            value(0, 5, "red", q="a", alias=["x"]),
            question("b", kind="state"),
            value(0, 5, "blue", q="b", alias=["x"]),
        ],  # one text for two values, but of two questions
        [],
    ],
)
def test_rows_that_only_look_like_a_contradiction_are_read(rows: list[dict[str, Any]]) -> None:
    assert len(parse_truth(text_of(rows)).questions) == sum(row["k"] == "q" for row in rows)


def times(events: list[Happening]) -> list[tuple[float, float, str | None]]:
    return [(event.s, event.e, event.v) for event in events]


@pytest.mark.parametrize(
    ("t_ask", "expected"),
    [
        (0.0, [(0.0, 4.0, "a"), (4.0, 6.0, "b"), (6.0, 9.0, "a")]),
        (2.0, [(2.0, 4.0, "a"), (4.0, 6.0, "b"), (6.0, 9.0, "a")]),  # due when it is asked
        (4.0, [(4.0, 4.0, "a"), (4.0, 6.0, "b"), (6.0, 9.0, "a")]),  # a value holds at its end too
        (5.0, [(5.0, 6.0, "b"), (6.0, 9.0, "a")]),  # what is over is not due
        (9.5, []),
    ],
)
def test_a_question_with_values_is_due_when_asked_and_at_each_new_value(
    t_ask: float, expected: list[tuple[float, float, str]]
) -> None:
    rows = [value(6, 9, "a"), value(0, 4, "a"), value(4, 6, "b")]
    assert times(truth_of(question(t_ask=t_ask, kind="state"), *rows).events_of("q1")) == expected


def test_a_value_under_another_spelling_is_no_new_one() -> None:
    rows = [value(0, 4, "two", alias=["Two cats."]), value(4, 6, "2", alias=["A pair."]), value(6, 7, "3")]
    first, second = truth_of(question(kind="count"), *rows).events_of("q1")
    assert (first.s, first.e, first.accept) == (0.0, 6.0, ("Two cats.", "A pair."))
    assert (second.s, second.v, second.accept) == (6.0, "3", ("3",))


def test_events_stand_in_order_of_time_whatever_the_order_of_the_file() -> None:
    rows = [happening(9), happening(1), happening(4, q="q2"), happening(2, q=None), question("q2"), question()]
    truth = truth_of(*rows)
    assert [event.s for event in truth.all_events] == [1.0, 2.0, 4.0, 9.0]
    assert [event.s for event in truth.events_of("q1")] == [1.0, 9.0]
    assert [event.s for event in truth.events_of(None)] == [2.0]


def test_spellings_are_those_of_the_values_or_where_there_are_none_of_the_events() -> None:
    stated = truth_of(question(kind="state"), value(0, 5, "Two cats", alias=["A pair!"]), happening(1, v="lion"))
    assert stated.spellings("q1") == {"2 cats": "2 cats", "a pair": "2 cats"}
    told = truth_of(question(), happening(1, v="A lion."), happening(2))
    assert told.spellings("q1") == {"a lion": "a lion"}
    assert truth_of(question()).spellings("q1") == {}
