"""The event log: format, each validity rule, the hash, and the derived tables."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from event_logs import HEAD, ask, decide, frame, log_of, say, text_of, tokens

from vigil.errors import DataError, SourceError
from vigil.eval.log import log_hash, parse_log, read_log, validate, write_log

LAMP = """\
{"k":"head","v":1,"clock":"cost","w0":0,"speed":1,"fps":1,"model":"tiny","seed":0,"policy":"argmax","cost":{"token":0.1}}
{"k":"frame","i":0,"t":0.0,"w":0.0}
{"k":"ready","i":0,"w":0.05}
{"k":"prompt","q":"q1","t":0.5,"w":0.5,"text":"What colour is the lamp?","direct":true}
{"k":"decide","w":0.5,"vis":0,"p":0.08,"act":"speak"}
{"k":"answer","a":"a1","q":"q1","w":0.6,"state":"open"}
{"k":"tok","n":0,"w":0.6,"vis":0,"text":"Red.","a":"a1"}
{"k":"answer","a":"a1","q":"q1","w":0.7,"state":"final","text":"Red."}
{"k":"end","w":5.0,"t":5.0,"why":"eof"}
""".splitlines()
END = {"k": "end", "w": 9.0, "t": 9.0, "why": "eof"}


def test_the_example_of_the_format_is_read() -> None:
    log = parse_log(LAMP)
    (speech,) = log.speech
    assert (speech.tau_first, speech.tau_last, speech.a, speech.q, speech.text) == (0.6, 0.6, "a1", "q1", "Red.")
    assert log.ready_w == {0: 0.05}
    assert log.prompts[0].direct
    assert log.decisions[0].p == 0.08


def test_the_hash_is_sha256_of_lines_with_sorted_keys_no_spaces_and_six_digits() -> None:
    rows = [
        HEAD | {"cost": {"token": 0.1234567}},
        {"k": "frame", "t": 1 / 3, "i": 0, "w": 1},
        *say("a", 2, "Tür 門"),
        END,
    ]
    lines = [
        '{"clock":"cost","cost":{"token":0.123457},"fps":1,"k":"head","model":"tiny","policy":"argmax","seed":0,'
        '"speed":1,"v":1,"w0":0}',
        '{"i":0,"k":"frame","t":0.333333,"w":1}',
        '{"a":"a","k":"answer","q":"q1","state":"open","w":2}',
        '{"a":"a","k":"tok","n":0,"text":"Tür 門","vis":-1,"w":2}',
        '{"a":"a","k":"answer","q":"q1","state":"final","text":"Tür 門","w":2}',
        '{"k":"end","t":9.0,"w":9.0,"why":"eof"}',
    ]
    by_hand = hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
    assert log_hash(parse_log(text_of(rows))) == by_hand


@pytest.mark.parametrize(("clock", "same"), [("wall", True), ("cost", False), ("free", False)])
def test_the_hash_forgets_the_run_clock_on_the_wall_clock_only(clock: str, same: bool) -> None:
    slow, fast = (log_of(*frame(0, 0.0, ready_s=lag), clock=clock) for lag in (0.5, 0.1))
    assert (slow.hash == fast.hash) is same


def test_a_written_log_is_read_back_the_same(tmp_path: Path) -> None:
    log = parse_log(LAMP)
    write_log(tmp_path / "run.jsonl", log)
    again = read_log(tmp_path / "run.jsonl")
    assert again.rows == log.rows
    assert again.hash == log.hash
    assert again.hash == hashlib.sha256((tmp_path / "run.jsonl").read_bytes()).hexdigest()
    assert validate(log.rows).rows == log.rows


def test_a_slow_system_pays_because_text_stands_at_the_run_clock() -> None:
    log = log_of(*frame(0, 10.0), *tokens("a", [14.0], [0]), w0=4.0, speed=2.0)
    assert log.speech[0].tau == (20.0,)


def test_an_open_answer_without_tokens_is_no_speech() -> None:
    assert log_of({"k": "answer", "a": "a", "q": None, "w": 1, "state": "open"}).speech == ()


FRAME = {"k": "frame", "i": 0, "t": 0.0, "w": 0.0}
READY = {"k": "ready", "i": 0, "w": 0.0}
OPEN = {"k": "answer", "a": "a", "q": "q1", "w": 1.0, "state": "open"}
FINAL = OPEN | {"state": "final"}
TOK = {"k": "tok", "n": 0, "w": 1.0, "vis": -1, "text": "x", "a": "a"}


@pytest.mark.parametrize(
    ("rows", "line", "rule", "says"),
    [
        ([FRAME, END], 1, "a", "first line is not a head"),
        ([HEAD, HEAD, END], 2, "a", "second head"),
        ([HEAD, FRAME], 2, "a", "not an end line"),
        ([HEAD, END, FRAME | {"w": 9.0}], 3, "a", "after the end"),
        ([HEAD, FRAME | {"w": 2.0}, READY, END], 3, "a", "w goes back from 2.0 to 0.0"),
        ([HEAD | {"fps": 0}, END], 1, "a", "must be above 0"),
        ([HEAD, FRAME | {"i": 1}, END], 2, "b", "frame 1 where frame 0 must come"),
        ([HEAD, FRAME | {"t": 3.0}, FRAME | {"i": 1}, END], 3, "b", "t goes back from 3.0 to 0.0"),
        ([HEAD, READY, END], 2, "c", "no frame line above"),
        ([HEAD, FRAME, READY, READY, END], 4, "c", "already has a ready"),
        ([HEAD, FRAME, READY, READY | {"k": "drop", "why": "policy"}, END], 4, "c", "already has a ready"),
        ([HEAD, FRAME, OPEN, TOK | {"vis": 0}, END], 4, "d", "frame 0 has no ready line"),
        ([HEAD, FRAME, READY, OPEN, TOK | {"vis": 0}, TOK, END], 6, "d", "vis goes back from 0 to -1"),
        ([HEAD, OPEN, OPEN, END], 3, "e", "opened twice"),
        ([HEAD, FINAL, END], 2, "e", "before it was opened"),
        ([HEAD, OPEN | {"state": "retracted"}, END], 2, "e", "before it was opened"),
        ([HEAD, OPEN, FINAL, FINAL | {"state": "cut"}, END], 4, "e", "closed twice"),
        ([HEAD, OPEN, FINAL | {"q": "q2"}, END], 3, "e", "was opened for question 'q1'"),
        ([HEAD, OPEN | {"supersedes": "z"}, END], 2, "f", "no earlier answer"),
        ([HEAD, OPEN | {"supersedes": "a"}, END], 2, "f", "no earlier answer"),
        ([HEAD, OPEN, OPEN | {"a": "b", "q": "q2", "supersedes": "a"}, END], 3, "f", "an answer to 'q1'"),
        ([HEAD, TOK, END], 2, "g", "which is not open"),
        ([HEAD, OPEN, FINAL, TOK, END], 4, "g", "which is not open"),
    ],
)
def test_a_log_that_breaks_a_rule_is_refused_by_line_and_rule(
    rows: list[dict[str, Any]], line: int, rule: str, says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        parse_log(text_of(rows), where="run.jsonl")
    assert str(caught.value).startswith(f"run.jsonl line {line} breaks rule ({rule}): ")


def test_an_empty_log_is_refused() -> None:
    with pytest.raises(DataError, match="no line at all"):
        parse_log([])


def test_an_answer_may_be_retracted_after_it_was_final_and_a_revision_may_follow() -> None:
    log = log_of(OPEN, TOK, FINAL, FINAL | {"state": "retracted", "w": 2.0}, *say("b", 3, "y", supersedes="a"))
    first, second = log.speech
    assert (first.state, first.retracted_s, second.supersedes) == ("final", 2.0, "a")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('{"k":"frame"', "is not JSON"),
        ("[1]", "is not an object"),
        ('{"k":"fame"}', "unknown kind 'fame'"),
        ('{"k":"frame","i":0,"w":0}', r"line 2 \(frame\) lacks the field 't', which must be a finite number"),
        ('{"k":"frame","i":0.5,"t":0,"w":0}', "'i' = 0.5, which must be a whole number"),
        ('{"k":"frame","i":true,"t":0,"w":0}', "'i' = true"),
        ('{"k":"frame","i":0,"t":NaN,"w":0}', "'t' = NaN"),
        ('{"k":"frame","i":0,"t":0,"w":0,"note":1}', "unknown field 'note'"),
        ('{"k":"decide","w":0,"vis":-1,"p":null,"act":"shout"}', "one of 'silent', 'speak', 'continue', 'stop'"),
    ],
)
def test_a_line_that_breaks_the_format_is_refused_with_what_it_must_be(row: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse_log([*text_of([HEAD]), row])


def test_a_file_that_is_not_there_or_not_text_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.jsonl cannot be opened: No such file"):
        read_log(tmp_path / "none.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_log(tmp_path / "bytes.jsonl")


def test_derived_tables_list_what_the_log_holds() -> None:
    log = log_of(
        *frame(0, 0.0), *frame(1, 1.0, ready_s=None), {"k": "drop", "i": 1, "w": 1.5, "why": "policy"}, ask("q1", 2.0)
    )
    assert [row.i for row in log.frames] == [0, 1]
    assert [row.i for row in log.drops] == [1]
    assert log.prompts[0].q == "q1"
    assert log_of(decide(0.0, "silent", p=0.5)).decisions[0].p == 0.5
