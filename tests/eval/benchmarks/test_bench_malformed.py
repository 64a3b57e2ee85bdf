"""Annotations that are not what they should be: each is refused when it is read, in one line that names its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_folders import folder_of

from vigil.cli import main
from vigil.errors import DataError
from vigil.eval.benchmarks import BENCHMARKS, benchmark

REAL = "src/data/questions_real.json"
PO = "src/data/questions_proactive.json"
OVO = "data/ovo_bench_new.json"
INSTANT = "annotations/pro_response_instant_short.json"
STREAM = "annotations/pro_response_streaming.json"
PA, PT, SI = "proactive_alerting.json", "proactive_turntaking.json", "speaker_identification.json"
Path_ = tuple[str | int, ...]
"""Where in a file: keys and places."""


def put(*way: Any) -> Callable[[Any], None]:
    """Sets the value at the end of a way: put(0, "answer", "E")."""
    *keys, last, wrong = way

    def change(rows: Any) -> None:
        for key in keys:
            rows = rows[key]
        rows[last] = wrong

    return change


def without(*way: str | int) -> Callable[[Any], None]:
    """Takes away what stands at the end of a way."""
    *keys, last = way

    def change(rows: Any) -> None:
        for key in keys:
            rows = rows[key]
        del rows[last]

    return change


REFUSED: list[tuple[str, str, Callable[[Any], None], str]] = [
    ("streamingbench", REAL, without(0, "questions"), "questions_real.json record 1 lacks the field 'questions'"),
    ("streamingbench", REAL, without(1, "video_path"), "questions_real.json record 2 lacks the field 'video_path'"),
    ("streamingbench", REAL, put(0, "questions", {}), "record 1 has 'questions' = {}, which is of the wrong type"),
    ("streamingbench", REAL, without(0, "questions", 1, "answer"), "record 1 question 2 lacks the field 'answer'"),
    (
        "streamingbench",
        REAL,
        put(0, "questions", 0, "answer", "E"),
        "question 1 has the answer 'E', which is none of its 4",
    ),
    (
        "streamingbench",
        REAL,
        put(0, "questions", 0, "answer", ""),
        "question 1 has the answer '', which is none of its 4",
    ),
    ("streamingbench", REAL, put(0, "questions", 0, "options", []), "the answer 'D', which is none of its 0 options"),
    (
        "streamingbench",
        REAL,
        put(0, "questions", 0, "time_stamp", "soon"),
        "has the time 'soon', which must be HH:MM:SS",
    ),
    ("streamingbench", REAL, put(0, "questions", 0, "time_stamp", 5), "'time_stamp' = 5, which is of the wrong type"),
    ("streamingbench", PO, without(0, "questions", 0, "ground_truth_output"), "lacks the field 'ground_truth_output'"),
    ("streamingbench", PO, put(0, "questions", 0, "ground_truth_time_stamp", ""), "has the time '', which must be"),
    ("ovo", OVO, without(0, "task"), "ovo_bench_new.json record 1 lacks the field 'task'"),
    ("ovo", OVO, put(0, "gt", 10), "record 1 has 'gt' = 10 and the options ['red', 'a long blue car']: no letter"),
    ("ovo", OVO, put(0, "gt", -1), "record 1 has 'gt' = -1 and the options"),
    ("ovo", OVO, put(0, "gt", 0.5), "record 1 has 'gt' = 0.5 and the options"),
    ("ovo", OVO, put(0, "gt", True), "record 1 has true in 'gt', where a number must be"),
    ("ovo", OVO, put(0, "options", []), "record 1 has 'gt' = 1 and the options []"),
    ("ovo", OVO, put(0, "options", "AB"), "record 1 has 'options' = \"AB\", which is of the wrong type"),
    ("ovo", OVO, put(0, "realtime", "5"), "record 1 has 'realtime' = \"5\", which is of the wrong type"),
    ("ovo", OVO, put(0, "realtime", float("nan")), "record 1 has NaN in 'realtime', where a number must be"),
    ("ovo", OVO, put(9, "test_info", []), "record 10 has 'test_info' = [], where a list of records must be"),
    ("ovo", OVO, put(9, "test_info", [3]), "record 10 has 'test_info' = [3], where a list of records must be"),
    ("ovo", OVO, without(9, "test_info", 1, "count"), "record 10 test_info 2 lacks the field 'count'"),
    ("ovo", OVO, without(9, "test_info", 0, "realtime"), "record 10 test_info 1 lacks the field 'realtime'"),
    ("ovo", OVO, put(9, "end_times", [4, "x"]), "record 10 has \"x\" in 'end_times', where a number must be"),
    ("ovo", OVO, without(10, "test_info", 0, "step"), "record 11 test_info 1 lacks the field 'step'"),
    ("ovo", OVO, put(10, "end_time", [1]), "record 11 has 1 numbers in 'end_time', where 2 must be"),
    ("ovo", OVO, without(11, "clue_time"), "record 12 lacks the field 'clue_time'"),
    (
        "ovo",
        OVO,
        put(11, "test_info", 0, "type", "no"),
        "record 12 test_info 1 has 'type' = \"no\", which is of the wrong",
    ),
    ("rtv", "QA.json", without(0, "questionID"), "QA.json record 1 lacks the field 'questionID'"),
    ("rtv", "QA.json", put(0, "options", {}), "QA.json record 1 has no 'options', of which one must be right"),
    ("rtv", "QA.json", put(0, "options", ["red"]), "'options' = [\"red\"], which is of the wrong type"),
    ("rtv", "QA.json", put(0, "answer", "D"), "q-group-9g1-0-x has the answer 'D', which is none of its options"),
    ("rtv", "QA.json", put(0, "end_time", None), "'end_time' = null, which is of the wrong type"),
    (
        "river",
        INSTANT,
        without(0, "question_type"),
        "pro_response_instant_short.json record 1 lacks the field 'question",
    ),
    ("river", INSTANT, put(1, "correct_answer", "C"), "record 2 has the answer 'C', which is none of its 2 options"),
    ("river", INSTANT, put(0, "time_reference", [9.0]), "'time_reference' = [9.0], which is of the wrong type"),
    ("river", "annotations/retro_memory_short.json", put(0, "choices", []), "record 1 has no 'choices', of which one"),
    (
        "river",
        STREAM,
        put(0, "question_time", [1.0, 2.0]),
        "record 1 has 2 numbers in 'question_time', where 1 must be",
    ),
    ("river", STREAM, put(0, "time_reference", "r3@1", [2.0]), "record 1 has 1 numbers in 'r3@1', where 3 must be"),
    ("river", STREAM, put(0, "time_reference", {}), "record 1 lacks the field 'r3@1'"),
    ("river", STREAM, put(0, "question_id", []), "record 1 has 1 questions and 0 answers, where one of each must be"),
    (
        "omnimmi",
        PA,
        put(0, "answer", [6]),
        "proactive_alerting.json record 1 has 1 numbers in 'answer', where 2 must be",
    ),
    ("omnimmi", PA, put(1, "answer", [8, None]), "record 2 has null in 'answer', where a number must be"),
    ("omnimmi", PA, put(1, "answer", [8, 7]), "record 2 has an answer that ends at 7 before it begins at 8"),
    ("omnimmi", PT, put(0, "conversation", ["Ann: hello"]), "where a list of records must be"),
    ("omnimmi", PT, without(1, "video"), "proactive_turntaking.json record 2 lacks the field 'video'"),
    (
        "omnimmi",
        SI,
        put(0, "timestamp", "3"),
        "speaker_identification.json record 1 has 'timestamp' = \"3\", which is of",
    ),
    (
        "proactive",
        "WEB/anno.json",
        put(0, "conversation", []),
        "anno.json record 1 has 'conversation' = [], where a list",
    ),
    (
        "proactive",
        "WEB/anno.json",
        put(0, "conversation", 0, "role", "system"),
        "no turn of the role 'user' in 'conversa",
    ),
    (
        "proactive",
        "WEB/anno.json",
        without(0, "conversation", 0, "content"),
        "conversation 1 lacks the field 'content'",
    ),
    ("proactive", "WEB/anno.json", put(0, "answer", []), "record 1 has 'answer' = [], where a list of records must be"),
    (
        "proactive",
        "WEB/anno.json",
        put(0, "answer", 0, "reply_timespan", [4]),
        "answer 1 has 1 numbers in 'reply_timesp",
    ),
    ("proactive", "WEB/anno.json", without(0, "answer", 0, "content"), "record 1 answer 1 lacks the field 'content'"),
]


@pytest.mark.parametrize(("name", "file", "change", "says"), REFUSED, ids=[f"{r[0]}: {r[3][:60]}" for r in REFUSED])
def test_a_record_that_breaks_the_format_is_refused_when_it_is_read(
    name: str, file: str, change: Callable[[Any], None], says: str, tmp_path: Path
) -> None:
    folder = folder_of(name, tmp_path)
    rows = json.loads((folder / file).read_text(encoding="utf-8"))
    change(rows)
    (folder / file).write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        benchmark(name).read(folder)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_records_are_read_as_they_are(name: str, tmp_path: Path) -> None:
    """The negative control: what the tests above change is all that they refuse."""
    assert benchmark(name).read(folder_of(name, tmp_path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[{]", "QA.json is not JSON"),
        ("", "QA.json is not JSON"),
        ("[" * 200_000, "QA.json is not JSON"),
        ("[" + "9" * 5000 + "]", "QA.json is not JSON: Exceeds the limit"),
        ('{"a": 1}', "QA.json holds a dict where a list of records must be"),
        ('"text"', "QA.json holds a str where a list"),
        ("[3]", "QA.json record 1 lacks the field 'options'"),
        ("[null]", "QA.json record 1 lacks the field 'options'"),
    ],
    ids=["broken", "empty", "brackets", "digits", "object", "text", "number", "null"],
)
def test_a_file_that_is_no_list_of_records_is_exit_code_7(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "QA.json").write_text(text, encoding="utf-8")
    assert main(["eval", "bench", "rtv", "--data", str(tmp_path)]) == 7
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"vigil: {says}")
    assert len(lines) == 2  # the first says that it is not the pinned file


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "QA.json").write_bytes('[{"video": "für.mp4"}]'.encode("latin-1"))
    with pytest.raises(DataError, match=r"QA\.json is not JSON: .*Download it again"):
        benchmark("rtv").read(tmp_path)
