"""Typed lines of JSON: every kind of row there and back, and what a row may not be, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from event_logs import HEAD, log_of, say, text_of
from hypothesis import given
from hypothesis import strategies as st

from vigil.errors import DataError
from vigil.eval.jsonl import json_lines, read_lines, row_from_json
from vigil.eval.log import keep_log, parse_log, read_log, validate, write_log
from vigil.eval.rows import KINDS, AnswerRow, EndRow, FrameRow, HeadRow, PromptRow, TokRow, canonical_line, object_of

WHOLE: dict[str, dict[str, Any]] = {
    "head": {
        **{"v": 1, "clock": "cost", "w0": 0.5, "speed": 2.0, "fps": 4.0, "model": "m", "seed": 7, "policy": "greedy"},
        "cost": {"token": 0.1},
    },
    "frame": {"i": 0, "t": 0.25, "w": 0.5},
    "ready": {"i": 0, "w": 0.5},
    "drop": {"i": 0, "w": 0.5, "why": "queue_full"},
    "evict": {"i": 0, "w": 0.5},
    "prompt": {"q": "q1", "t": 0.25, "w": 0.5, "text": "Why?", "direct": True},
    "decide": {"w": 0.5, "vis": -1, "p": 0.25, "act": "silent"},
    "tok": {"n": 0, "w": 0.5, "vis": -1, "text": " a", "a": "1.1", "lp": -0.5},
    "answer": {"a": "1.2", "q": "q1", "w": 0.5, "state": "open", "supersedes": "1.1", "text": "x"},
    "sample": {"w": 0.5, "rss": 1.0, "vram": 2.0, "kv_text": 3, "kv_vis": 4, "pos": 5},
    "source": {"w": 0.5, "t": 0.25, "state": "lost", "why": "closed"},
    "end": {"w": 0.5, "t": 0.25, "why": "eof"},
}
"""A row of each kind with every field that it may have."""
MAY_LACK = {"prompt": ["direct"], "tok": ["lp"], "answer": ["supersedes", "text"]}
"""The optional fields; all others are required."""
HEAD_LINE = json.dumps(HEAD)
END_ROW = {"k": "end", "w": 9.0, "t": 9.0, "why": "eof"}


def test_there_is_an_example_of_every_kind() -> None:
    assert list(WHOLE) == list(KINDS)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_row_is_spelt_as_it_was_read(kind: str) -> None:
    row = row_from_json(KINDS[kind], WHOLE[kind], where="here")
    assert isinstance(row, KINDS[kind])
    assert object_of(row) == {"k": kind, **WHOLE[kind]}


@pytest.mark.parametrize("kind", WHOLE)
def test_each_required_field_is_missed_by_name_and_each_optional_one_is_not(kind: str) -> None:
    for name in WHOLE[kind]:
        values = {key: value for key, value in WHOLE[kind].items() if key != name}
        if name in MAY_LACK.get(kind, []):
            assert object_of(row_from_json(KINDS[kind], values, where="here")) == {"k": kind, **values}
            continue
        with pytest.raises(DataError, match=rf"^here lacks the field '{name}', which must be "):
            row_from_json(KINDS[kind], values, where="here")


@pytest.mark.parametrize(
    ("kind", "field", "wrong", "must"),
    [
        ("head", "v", 2, "one of 1"),
        ("head", "v", True, "one of 1"),
        ("head", "clock", "real", "one of 'free', 'cost', 'wall'"),
        ("head", "w0", "0", "a finite number"),
        ("head", "fps", None, "a finite number"),
        ("head", "speed", False, "a finite number"),
        ("head", "model", 3, "a string"),
        ("head", "seed", 1.0, "a whole number"),
        ("head", "policy", ["greedy"], "a string"),
        ("head", "cost", {"token": "0.1"}, "an object of numbers or null"),
        ("head", "cost", 0.1, "an object of numbers or null"),
        ("frame", "i", "0", "a whole number"),
        ("frame", "t", float("inf"), "a finite number"),
        ("ready", "i", None, "a whole number"),
        ("drop", "why", "tired", "one of 'queue_full', 'policy', 'error'"),
        ("evict", "w", [], "a finite number"),
        ("prompt", "q", None, "a string"),
        ("prompt", "text", 1, "a string"),
        ("prompt", "direct", 1, "true or false"),
        ("decide", "p", "0.5", "a finite number or null"),
        ("decide", "vis", 0.0, "a whole number"),
        ("decide", "act", None, "one of 'silent', 'speak', 'continue', 'stop'"),
        ("tok", "n", True, "a whole number"),
        ("tok", "text", None, "a string"),
        ("tok", "lp", "low", "a finite number or null"),
        ("answer", "a", 1, "a string"),
        ("answer", "q", 1, "a string or null"),
        ("answer", "state", "done", "one of 'open', 'final', 'cut', 'retracted'"),
        ("answer", "supersedes", 1, "a string or null"),
        ("sample", "rss", "1 GB", "a finite number"),
        ("sample", "pos", 1.5, "a whole number"),
        ("source", "state", "gone", "one of 'lost', 'back'"),
        ("end", "why", None, "a string"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_with_its_line_its_value_and_what_it_must_be(
    kind: str, field: str, wrong: object, must: str
) -> None:
    row = {"k": kind, **WHOLE[kind], field: wrong}
    lines = [json.dumps(row)] if kind == "head" else [HEAD_LINE, "", json.dumps(row)]
    with pytest.raises(DataError) as caught:
        parse_log(lines, where="run.jsonl")
    at = f"run.jsonl line {len(lines)} ({kind})"  # the blank line is counted, and is no error
    assert str(caught.value) == f"{at} has '{field}' = {json.dumps(wrong)[:80]}, which must be {must}."


def test_null_is_a_value_where_it_may_stand() -> None:
    for kind, field in (("head", "cost"), ("decide", "p"), ("answer", "q")):
        assert getattr(row_from_json(KINDS[kind], {**WHOLE[kind], field: None}, where="here"), field) is None


def test_a_whole_number_may_stand_for_any_number_and_becomes_one() -> None:
    row = row_from_json(FrameRow, {"i": 0, "t": 3, "w": 10**300}, where="here")
    assert (row.t, row.w, type(row.t)) == (3.0, 1e300, float)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"k":"frame","i":0,"t":1' + "0" * 400 + ',"w":0}', "'t' = 1000.*, which must be a finite number"),
        ('{"k":"frame","i":0,"t":1e999,"w":0}', "'t' = Infinity, which must be a finite number"),
        ('{"k":"frame","i":' + "9" * 5000 + ',"t":0,"w":0}', "is not JSON: Exceeds the limit"),
        ('{"k":' * 200_000, "is not JSON"),
        ('{"k":"frame","i":0,"t":0,"w":0}{}', "is not JSON: Extra data"),
        ('{"k":"frame","i":0,"t":0,"w":0,}', "is not JSON"),
        ("null", "is not an object"),
        ('{"i":0}', 'is not an object with a kind "k"'),
        ('{"k":7}', 'is not an object with a kind "k"'),
        ('{"k":["frame"]}', 'is not an object with a kind "k"'),
        ('{"k":"Frame","i":0,"t":0,"w":0}', "unknown kind 'Frame'. The kinds are: head, frame, ready, drop"),
        ('{"k":"frame","i":0,"t":0,"w":0,"T":1}', "unknown field 'T'. It may have: i, t, w"),
    ],
    ids=["huge", "infinite", "digits", "brackets", "two", "comma", "null", "no-k", "k-7", "k-list", "kind", "field"],
)
def test_no_line_whatever_it_holds_is_worse_than_an_error_of_one_line(line: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        parse_log([HEAD_LINE, line], where="run.jsonl")
    assert str(caught.value).startswith("run.jsonl line 2 ")
    assert "\n" not in str(caught.value)


def test_lines_keep_their_numbers_and_blank_ones_are_skipped() -> None:
    lines = ["", '{"k":"a"}', "  \t", '{"k":"b"}', "\r"]
    assert [(where, values["k"]) for where, values in json_lines(lines, where="x")] == [
        ("x line 2", "a"),
        ("x line 4", "b"),
    ]


def test_a_file_of_another_system_may_end_its_lines_as_windows_does(tmp_path: Path) -> None:
    rows = text_of([HEAD, *say("a", 1, "Line\u2028break."), END_ROW])
    (tmp_path / "log.jsonl").write_bytes("\r\n".join(rows).encode())
    assert read_log(tmp_path / "log.jsonl").speech[0].text == "Line\u2028break."
    assert len(read_lines(tmp_path / "log.jsonl")) == len(rows)


@pytest.mark.parametrize("text", ["Tür 門 🚪", 'quo"te\\', "line\nbreak\r", "\x00\x1f", "\u2028", "caf\udce9", ""])
def test_whatever_was_asked_or_said_is_written_and_read_back(text: str, tmp_path: Path) -> None:
    asked = {"k": "prompt", "q": "q1", "t": 0.5, "w": 0.5, "text": text}
    log = log_of(asked, *say("a", 1.0, text))
    write_log(tmp_path / "log.jsonl", log)
    again = read_log(tmp_path / "log.jsonl")
    assert (again.prompts[0].text, again.speech[0].text) == (text, text)
    assert (again.rows, again.hash) == (log.rows, log.hash)


def test_a_log_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    log = log_of(*say("a", 1, "x"))
    keep_log(tmp_path / "run.jsonl", log)
    assert read_log(tmp_path / "run.jsonl").rows == log.rows
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]
    (tmp_path / "no folder.jsonl").mkdir()
    with pytest.raises(OSError, match=r"."):
        keep_log(tmp_path / "no folder.jsonl", log)
    assert not list((tmp_path / "no folder.jsonl").iterdir())


# The canonical form


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"k": "x", "b": 1, "a": "é"}, '{"a":"é","b":1,"k":"x"}'),
        ({"t": 0.1 + 0.2}, '{"t":0.3}'),
        ({"t": 1e-7}, '{"t":0.0}'),
        ({"t": 1.0000004}, '{"t":1.0}'),
        ({"t": 1.0000006}, '{"t":1.000001}'),
        ({"n": 1}, '{"n":1}'),
        ({"cost": {"z": 1 / 3, "a": 2}}, '{"cost":{"a":2,"z":0.333333}}'),
        ({"p": None, "direct": True}, '{"direct":true,"p":null}'),
    ],
)
def test_the_canonical_line_by_hand(values: dict[str, Any], line: str) -> None:
    assert canonical_line(values) == line
    assert canonical_line({**values, "w": 1.0}, with_w=False) == line


def test_the_hash_does_not_depend_on_how_the_json_was_laid_out() -> None:
    rows = [HEAD, *say("a", 1, "x"), END_ROW]
    turned = [json.dumps(dict(reversed(row.items())), indent=None, separators=(" , ", " : ")) for row in rows]
    assert parse_log(turned).hash == parse_log(text_of(rows)).hash
    assert parse_log(["", *turned, ""]).hash == parse_log(text_of(rows)).hash
    changed = [*rows[:-1], {**END_ROW, "why": "closed"}]
    assert parse_log(text_of(changed)).hash != parse_log(text_of(rows)).hash


moments = st.floats(0, 1e4, allow_nan=False)


@given(times=st.lists(moments, min_size=1, max_size=6).map(sorted), p=st.one_of(st.none(), st.floats(-1e3, 0)))
def test_rows_built_in_memory_are_the_log_that_is_read_back(times: list[float], p: float | None) -> None:
    head = HeadRow(**{**WHOLE["head"], "w0": 0.0})
    rows = [FrameRow(i=i, t=t, w=t) for i, t in enumerate(times)]
    asked = PromptRow(q="q1", t=times[-1], w=times[-1], text="?")
    opened = AnswerRow(a="a", q="q1", w=times[-1], state="open")
    token = TokRow(n=0, w=times[-1], vis=-1, text="x", a="a", lp=p)
    log = validate([head, *rows, asked, opened, token, EndRow(w=times[-1], t=times[-1], why="eof")])
    again = parse_log([canonical_line(values) for values in log.objects])
    assert (again.rows, again.hash) == (log.rows, log.hash)
    assert all(abs(a.t - b.t) <= 5e-7 for a, b in zip(log.frames, rows, strict=True))
