"""Records on disk: what is written comes back, and a line that is no record is told by its number."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.data.records import Record, Reply, Turn, read_records, record_from_json, write_records
from vigil.errors import DataError

TEXTS = st.text(max_size=12)
TIMES = st.floats(0, 1e4, allow_nan=False)
REPLIES = st.builds(
    Reply, time_s=TIMES, text=TEXTS, accept=st.lists(TEXTS, max_size=2).map(tuple), overtakes=st.booleans(), value=TEXTS
)
TURNS = st.builds(
    Turn,
    ask_s=TIMES,
    question=TEXTS,
    kind=TEXTS,
    standing=st.booleans(),
    replies=st.lists(REPLIES, max_size=3).map(tuple),
    subject=TEXTS,
)
RECORDS = st.builds(
    Record,
    id=TEXTS,
    video=TEXTS,
    duration_s=TIMES,
    turns=st.lists(TURNS, max_size=3).map(tuple),
    fps=st.floats(0.1, 60),
    offline=st.booleans(),
    system=TEXTS,
)
ONE = Record(
    id="v:0",
    video="v.mp4",
    duration_s=9.0,
    turns=(
        Turn(ask_s=0.0, question="", kind="opening"),
        Turn(
            ask_s=2.5,
            question="Colour?",
            kind="state",
            replies=(Reply(time_s=2.5, text="Red.", accept=("It is red.",)),),
        ),
    ),
)


@given(record=RECORDS)
def test_any_record_comes_back_from_json_as_it_was(record: Record) -> None:
    assert record_from_json(json.loads(json.dumps(asdict(record)))) == record


def test_a_file_holds_one_record_a_line_in_order_and_letters_as_they_are(tmp_path: Path) -> None:
    path, odd = tmp_path / "r.jsonl", Record(id="é\n\u2028", video="", duration_s=1.0, turns=())
    assert write_records(path, [ONE, odd]) == 2
    assert path.read_bytes().count(b"\n") == 2
    assert "é".encode() in path.read_bytes()
    assert list(read_records(path)) == [ONE, odd]


def test_empty_lines_are_passed_over_and_counted_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write_records(path, [ONE])
    path.write_text("\n  \n" + path.read_text() + "\n{}\n")
    broken: list[str] = []
    assert list(read_records(path, broken=broken)) == [ONE]
    assert len(broken) == 1
    assert broken[0].startswith("r.jsonl line 5 is not a record: 'turns'")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"r\.jsonl line 1 is not JSON: Expecting property name"),
        ("[]", r"r\.jsonl line 1 is not a record: list indices must be integers"),
        ('{"id": "a"}', r"line 1 is not a record: 'turns'\. The fields are listed in docs/data-formats\.md"),
        ('{"turns": [], "colour": 1}', "unexpected keyword argument 'colour'"),
        ('{"turns": []}', "missing 3 required keyword-only arguments: 'id', 'video', and 'duration_s'"),
        ('{"turns": [{"ask_s": 1}], "id": "", "video": "", "duration_s": 1}', "line 1 is not a record: 'replies'"),
        ('{"turns": 3}', "'int' object is not iterable"),
        ('{"turns": [3]}', "'int' object"),
        ('{"turns": [{"replies": ["x"]}]}', "'str' object"),
        ('{"turns": [{"replies": [{"time_s": "2", "text": "a"}]}]}', "time_s cannot be '2'"),
        ('{"turns": [{"replies": [{"time_s": true, "text": "a"}]}]}', "time_s cannot be True"),
        ('{"turns": [{"replies": [{"time_s": NaN, "text": "a"}]}]}', "time_s cannot be nan"),
        ('{"turns": [{"replies": [{"time_s": 2, "text": 5}]}]}', "text cannot be 5"),
        ('{"turns": [{"replies": [{"time_s": 2, "text": "a", "accept": "b"}]}]}', "accept cannot be 'b'"),
        ('{"turns": [{"replies": [{"time_s": 2, "text": "a", "accept": [1]}]}]}', r"accept cannot be \(1,\)"),
        ('{"turns": [{"replies": [], "ask_s": null}]}', "ask_s cannot be None"),
        ('{"turns": [], "id": "a", "video": "b", "duration_s": Infinity}', "duration_s cannot be inf"),
        ('{"turns": [], "id": "a", "video": "b", "duration_s": 1, "offline": 1}', "offline cannot be 1"),
        ('{"turns": [], "id": 7, "video": "b", "duration_s": 1}', "id cannot be 7"),
    ],
)
def test_what_is_no_record_says_where_and_why(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        list(read_records(path))


def test_a_file_in_another_encoding_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes('{"id": "é"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match=r"r\.jsonl line 1 is not JSON: 'utf-8' codec can't decode byte 0xe9"):
        list(read_records(path))


def test_a_mark_of_byte_order_and_line_ends_of_windows_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write_records(path, [ONE, ONE])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert list(read_records(path)) == [ONE, ONE]


def test_a_broken_line_does_not_end_the_file_where_messages_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write_records(path, [ONE, ONE])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{", lines[1], "[]"]) + "\n")
    broken: list[str] = []
    assert list(read_records(path, broken=broken)) == [ONE, ONE]
    assert [message.split(" is ")[0] for message in broken] == ["r.jsonl line 2", "r.jsonl line 4"]
    with pytest.raises(DataError, match="line 2 is not JSON"):
        list(read_records(path))


def test_fields_that_may_be_left_out_have_their_defaults() -> None:
    turn = {"ask_s": 0, "question": "", "kind": "opening", "replies": [{"time_s": 1, "text": "a"}]}
    record = record_from_json({"id": "a", "video": "b", "duration_s": 1, "turns": [turn]})
    assert (record.fps, record.offline, record.system) == (1.0, False, "")
    assert (record.turns[0].standing, record.turns[0].subject) == (False, "")
    (reply,) = record.turns[0].replies
    assert (reply.accept, reply.overtakes, reply.value) == ((), False, "")
