from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from event_logs import happening, null, question, text_of, truth_of, value

from vigil.errors import DataError
from vigil.eval.truth import parse_truth, read_truth


def test_a_truth_file_is_read_with_its_optional_fields(tmp_path: Path) -> None:
    rows = [
        question(role="alert", named=True, text="Tell me.", until=9.0),
        happening(3.0, 4.0, "red", accept=["A red ball."]),
    ]
    rows += [question("q2", 9.0, "mcq", options=["x", "y"]), value(9.0, 12.0, "A", q="q2"), null(0, 3)]
    path = tmp_path / "truth.jsonl"
    path.write_text("\n".join(text_of(rows)), encoding="utf-8")
    truth = read_truth(path)
    assert truth.by_id["q1"].named
    assert truth.by_id["q2"].options == ("x", "y")
    assert truth.events_of("q1")[0].accept == ("A red ball.",)
    assert truth.values_of("q2")[0].end_s == 12.0
    assert truth.nulls[0].end_s == 3


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([question(), question()], "same q"),
        ([happening(1.0)], "'q1' without a line"),
        ([question(kind="state"), value(3, 2, "red")], "ends at 2.0 before it begins at 3.0"),
        ([question(kind="state"), value(0, 5, "red"), value(4, 8, "blue")], "overlap"),
        (
            [
                question(kind="state"),
                value(0, 5, "red", alias=["It changed."]),
                value(5, 8, "blue", alias=["it changed"]),
            ],
            "two values",
        ),
        ([question(kind="yes")], "one of 'state', 'event', 'mcq', 'count'"),
        ([{"k": "value"}], "unknown kind 'value'"),
    ],
)
def test_a_truth_that_contradicts_itself_is_refused(rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse_truth(text_of(rows))


def test_values_are_events_where_a_new_one_begins_and_only_without_listed_events() -> None:
    rows = [
        question(t_ask=2.0, kind="state"),
        value(0, 5, "red"),
        value(5, 7, "Red"),
        value(7, 9, "blue", alias=["It is blue."]),
    ]
    events = truth_of(*rows).events_of("q1")
    assert [(event.s, event.e, event.v) for event in events] == [(2.0, 7.0, "red"), (7.0, 9.0, "blue")]
    assert events[1].accept == ("It is blue.",)
    assert events[0].accept == ("red", "Red")
    listed = truth_of(*rows, happening(4.0)).events_of("q1")
    assert [event.s for event in listed] == [4.0]


def test_unasked_events_belong_to_no_question() -> None:
    truth = parse_truth([json.dumps(happening(1.0, q=None))])
    assert [event.s for event in truth.events_of(None)] == [1.0]
    assert [event.s for event in truth.all_events] == [1.0]
