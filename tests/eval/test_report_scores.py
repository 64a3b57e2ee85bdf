"""The numbers on a page: headlines, tables, facts and counts, and the summary that tells what logs cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from event_logs import ask, decide, frame, log_of, question, say, tokens, truth_of, value
from page_tree import Node, light, tree

from vigil.errors import ConfigError, DataError, SourceError
from vigil.eval.behaviour import report
from vigil.eval.controls import OF_THE_MODEL, SEEING_NOTHING
from vigil.eval.report.facts import CLOCKS, count_list, extra_scores, run_facts
from vigil.eval.report.markup import Markup
from vigil.eval.report.scores import (
    GROUPS,
    HEADLINES,
    control_table,
    controls_of,
    headlines,
    not_run,
    score_table,
)
from vigil.eval.report.streams import Stream
from vigil.eval.summary import METRICS


def estimate(value: float | None, lo: float | None = None, hi: float | None = None, n: int = 3) -> dict[str, Any]:
    return {"value": value, "lo": lo, "hi": hi, "n": n}


def result(**own: dict[str, Any]) -> dict[str, Any]:
    """A report in which only these metrics are defined in some stream."""
    return {name: estimate(None, n=0) for name in METRICS} | own


def controls(**values: float | None) -> dict[str, dict[str, Any]]:
    """Controls by name, each with one score for every metric."""
    return {name: {metric: estimate(value) for metric in METRICS} for name, value in values.items()}


def row_of(table: Markup, label: str) -> list[str]:
    """The cells of a row, its heading first."""
    rows = [row for row in tree(table).all("tr") if row.all("th") and row.all("th")[0].text == label]
    (row,) = [row for row in rows if len(row.children) > 1]
    return [cell.text for cell in row.children if isinstance(cell, Node)]


def heads(table: Markup) -> list[str]:
    return [one.text for one in tree(table).all("thead")[0].all("th")]


# ---- what is shown --------------------------------------------------------------------------------------------------


def test_what_a_page_shows_is_measured_and_explained() -> None:
    shown = [one for group in GROUPS.values() for one in group]
    assert {one.key for one in shown} <= set(METRICS)
    assert len({one.key for one in shown}) == len({one.label for one in shown}) == len(shown)
    assert all(one.meaning for one in shown)
    assert {key for _, key in HEADLINES} <= {one.key for one in shown if one.is_share}


def test_a_headline_has_its_question_number_interval_and_what_stands_against_it() -> None:
    own = result(speak_f1_2s=estimate(0.97, 0.95, 0.98), twa_now=estimate(0.5))
    page = tree(headlines(own, controls(always_silent=0.0, blind=0.25, oracle=1.0)))
    first, second = page.all("li")
    assert first.one("p").text == "Does it speak when there is something to say?"
    assert first.one("strong").text == "0.97"
    assert [one.text for one in first.all("small")] == ["95 % 0.95 to 0.98", "best blind 0.25 · oracle 1.00"]
    assert second.all("small")[0].text == "no interval below 10 videos"
    assert first.one("line", of="blindmark").number("x1") == pytest.approx(6 + 0.25 * 168)


def test_a_headline_that_is_defined_nowhere_is_left_out() -> None:
    assert tree(headlines(result(), {})).all("li") == []
    (only,) = tree(headlines(result(rev_f1_2s=estimate(None, n=2)), {})).all("li")
    assert only.one("strong").text == "–"
    assert only.all("small")[1].text == ""
    assert only.all("circle") == []


def test_a_score_stands_beside_the_best_of_those_that_see_nothing() -> None:
    own = result(speak_f1_2s=estimate(0.8, 0.7, 0.9, n=12))
    against = controls(always_silent=0.0, always_talk=0.2, blind=0.6, oracle=1.0, recent_4=0.4)
    table = score_table(own, against)
    assert heads(table) == [
        "", "definition", "", "score", "95 %", "best blind", "chance-corrected", "recent-4", "oracle", "n",
    ]  # fmt: skip
    cells = row_of(table, "F1 of speech")
    assert cells[3:] == ["0.80", "0.70 to 0.90", "0.60", "0.50", "0.40", "1.00", "12"]
    assert cells[1].startswith("things said matched one to one")


def test_what_is_no_share_has_no_chance_and_no_ruler() -> None:
    own = result(false_speech_per_min=estimate(0.09, 0.02, 0.18), speak_f1_2s=estimate(0.5))
    table = score_table(own, controls(always_silent=0.0, blind=0.42))
    assert row_of(table, "false speech per minute")[3:] == ["0.09", "0.02 to 0.18", "–", "–", "–", "3"]
    rulers = {row.all("th")[0].text: len(row.all("svg")) for row in tree(table).all("tr") if row.all("td")}
    assert rulers == {"F1 of speech": 1, "false speech per minute": 0}


def test_where_blind_scores_1_there_is_nothing_to_correct() -> None:
    own = result(speak_f1_2s=estimate(1.0))
    assert row_of(score_table(own, controls(blind=1.0)), "F1 of speech")[5:7] == ["1.00", "–"]


@pytest.mark.parametrize("name", [*SEEING_NOTHING, "text_only"])
def test_each_control_that_sees_nothing_may_be_the_best_blind_one(name: str) -> None:
    own = result(speak_f1_2s=estimate(0.8))
    assert (
        row_of(score_table(own, controls(**{name: 0.3, "oracle": 0.9, "recent_4": 0.7})), "F1 of speech")[5] == "0.30"
    )


def test_groups_without_a_defined_metric_have_no_heading() -> None:
    table = tree(score_table(result(twa_now=estimate(0.5)), {}))
    assert [row.text for row in table.all("tr", of="group")] == ["Continuous perception"]
    assert len(table.all("tbody")) == 1


def test_every_control_stands_beside_every_score() -> None:
    own = result(twa_now=estimate(0.5), frame_loss=estimate(0.0))
    table = control_table(own, controls(always_silent=None, oracle=0.87))
    assert heads(table) == ["", "score", "always-silent", "oracle"]
    assert row_of(table, "right answer, share of time") == ["right answer, share of time", "0.50", "–", "0.87"]
    assert row_of(table, "frames lost")[1] == "0.00"
    assert tree(table).one("summary").text == "Every control beside every score"


def test_controls_of_a_summary_come_behind_those_of_the_logs_and_never_replace_them() -> None:
    own = {"controls": controls(blind=0.1)}
    found = controls_of(own, {"controls": controls(blind=0.9, text_only=0.5)})
    assert list(found) == ["blind", "text_only"]
    assert found["blind"]["twa_now"]["value"] == 0.1
    assert controls_of(own, {}) == own["controls"]


def test_what_was_not_run_is_named() -> None:
    assert not_run(controls()) == "Controls not run for these logs: text-only, recent-4, recent-16."
    assert not_run(controls(text_only=0.1, recent_16=None)) == "Controls not run for these logs: recent-4."
    assert not_run(controls(**dict.fromkeys(OF_THE_MODEL, 0.5))) == ""


# ---- facts and counts -----------------------------------------------------------------------------------------------


def listed(markup: Markup) -> dict[str, str]:
    page = tree(markup)
    return {
        term.text: what.text for term, what in zip(page.all("dt"), page.all("dd"), strict=True)
    }  # fmt: skip


def measured(*streams: Stream) -> dict[str, Any]:
    return report([(one.log, one.truth) for one in streams], replicates=10)


def test_the_facts_of_a_run_are_those_of_its_logs() -> None:
    streams = [light(model="m<b>", seed=7, policy="threshold 0.5", cost={"token": 0.25, "encode": 0.5}), light("two")]
    own = measured(*streams)
    facts = listed(run_facts(streams, own, replicates=2000))
    assert facts["log hash (SHA-256)"] == own["run"]["log_sha256"]
    assert facts["clock"] == f"cost: {CLOCKS['cost']} (token 0.25 s, encode 0.5 s)"
    assert (facts["model"], facts["seed"]) == ("m<b>", "7")
    assert facts["policy"].startswith("threshold 0.5, as the log states it")
    assert facts["frames"] == "1 per second of video, played at speed 1"
    assert facts["intervals"].startswith("95 %, 2,000 resamples of whole videos")
    assert facts["pace of speech"].startswith("4 tokens per second"), "too little is said to tell its own"


@pytest.mark.parametrize("clock", CLOCKS)
def test_each_clock_is_explained(clock: str) -> None:
    streams = [light(clock=clock, cost={"token": 0.1} if clock == "cost" else None)]
    told = listed(run_facts(streams, measured(*streams), replicates=10))["clock"]
    assert told.startswith(f"{clock}: {CLOCKS[clock]}")
    assert told.endswith("(token 0.1 s)") == (clock == "cost")


def test_the_pace_is_that_of_what_was_said() -> None:
    log = log_of(*frame(0, 0.0), *tokens("1", [1.0, 1.125, 1.25], [0] * 3, q=None), end_s=3.0)
    streams = [Stream(name="x", log=log, truth=truth_of())]
    facts = listed(run_facts(streams, measured(*streams), replicates=10))
    assert facts["pace of speech"].startswith("8 tokens per second of video (median gap)")


def test_what_was_counted_and_left_out() -> None:
    late = log_of(
        *frame(0, 0.0),
        *frame(1, 1.0, ready_s=None),
        {"k": "drop", "i": 1, "w": 1.5, "why": "queue_full"},
        decide(0.5, "silent", vis=0, p=0.5),
        ask("q1", 0.5, direct=True),
        *(row | {"vis": 0} if row["k"] == "tok" else row for row in say("1", 2.0, "Perhaps.", q="q1")),
        end_s=3.0,
    )
    truth = truth_of(question("q1", 0.5, "state"), value(0.5, 3, "red"), question("q2", 0.0, "state"),
                     value(0, 3, "x", q="q2"))  # fmt: skip
    streams = [light(), Stream(name="late", log=late, truth=truth)]
    counts = listed(count_list(streams, measured(*streams)))
    assert {name: counts[name] for name in (
        "streams", "minutes of video", "frames", "frames dropped", "questions with something due",
        "of those unanswered (wrong)", "things said", "unparsable replies (wrong)",
    )} == {
        "streams": "2", "minutes of video": "0.22", "frames": "12", "frames dropped": "1",
        "questions with something due": "4", "of those unanswered (wrong)": "2", "things said": "4",
        "unparsable replies (wrong)": "1",
    }  # fmt: skip
    assert f"undefined of {len(METRICS)} metrics" in counts


# ---- the summary ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", DataError, r"s\.json is not JSON: .*Give what vigil eval behaviour --json printed"),
        ("3", DataError, 's.json has no "run" and "controls"'),
        ('{"run": {}}', DataError, 'has no "run" and "controls"'),
        ('{"run": [], "controls": {}}', DataError, 'has no "run" and "controls"'),
        ('{"run": {}, "controls": []}', DataError, 'has no "run" and "controls"'),
        ('{"run": {"log_sha256": "bbbbbbbbbbbbbbbbbbbb"}, "controls": {}}', ConfigError,
         "s.json is about logs with the hash bbbbbbbbbbbbbbbb, these have aaaaaaaaaaaaaaaa. Give the summary"),
        ('{"run": {}, "controls": {}}', ConfigError, "is about logs with the hash None, these have aaaa"),
    ],
)  # fmt: skip
def test_a_summary_of_something_else_is_refused(
    text: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / "s.json").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=message):
        extra_scores(tmp_path / "s.json", "a" * 64)


def test_a_summary_of_these_logs_is_read_whole(tmp_path: Path) -> None:
    summary = {"run": {"log_sha256": "a" * 64}, "controls": {"recent_4": {}}, "more": 1}
    (tmp_path / "s.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
    assert extra_scores(tmp_path / "s.json", "a" * 64) == summary
    assert extra_scores(None, "a" * 64) == {}
    with pytest.raises(SourceError, match="cannot be opened"):
        extra_scores(tmp_path / "none.json", "a" * 64)
