"""Every number of the summary, worked out by hand on one stream of 20 s; and what many streams make of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from event_logs import ask, decide, frame, happening, log_of, near, question, truth_of, value

from vigil.eval.behaviour import pooled_share, summarize
from vigil.eval.log import Log
from vigil.eval.summary import METRICS, score

TRUTH = truth_of(
    question("q1", 2.0, "state", role="state", until=20.0),
    value(0, 8, "red", alias=["It is red."]),
    value(8, 14, "blue", alias=["It is blue."]),
    value(14, 20, "red", alias=["It is red."]),
    question("q2", 5.0, role="alert", named=True),
    happening(12.0, 13.0, q="q2", accept=["A cat."]),
    question("q3", 6.0, role="alert_absent"),
)


def spoken(a: str, q: str, *words: tuple[float, int, str], supersedes: str | None = None) -> list[dict[str, Any]]:
    """An answer of (time, frame that was seen, text)."""
    rows: list[dict[str, Any]] = [{"k": "answer", "a": a, "q": q, "w": words[0][0], "state": "open"}]
    if supersedes is not None:
        rows[0]["supersedes"] = supersedes
    rows += [{"k": "tok", "n": n, "w": w, "vis": vis, "text": text, "a": a} for n, (w, vis, text) in enumerate(words)]
    return [*rows, {"k": "answer", "a": a, "q": q, "w": words[-1][0], "state": "final"}]


def errs() -> Log:
    """Right, but late; frame 4 is ready late, and frame 17 is lost."""
    acts = {2: "speak", 3: "continue", 9: "speak", 13: "speak", 16: "speak", 18: "speak"}
    rows = [row for i in range(20) for row in frame(i, float(i), ready_s={4: 1.15, 17: None}.get(i, 0.1))]
    rows += [decide(i + 0.2, acts.get(i, "silent"), vis=i) for i in range(20) if i not in (4, 17)]
    rows += [ask("q1", 2.0, direct=True), ask("q2", 5.0), ask("q3", 6.0)]
    rows.append({"k": "drop", "i": 17, "w": 17.3, "why": "queue_full"})
    rows += spoken("1", "q1", (2.5, 2, "It is"), (3.25, 3, " red"), (4.5, 3, "."))
    rows += spoken("2", "q1", (9.5, 9, "It is blue."), supersedes="1")
    rows += spoken("3", "q2", (13.5, 13, "A dog."))
    rows += spoken("4", "q1", (16.5, 16, "It is red."))
    rows += spoken("5", "q3", (18.5, 18, "A cow."))
    return log_of(*rows, end_s=20.0, clock="free", cost=None)


LN = math.log
BY_HAND: dict[str, float] = {
    # Due: q1 at 2, 8, 14 and q2 at 12. Said: 2.5, 9.5 and 16.5, 13.5, and 18.5 about what never comes.
    "speak_f1_1s": 2 * 1 / (5 + 4),
    "speak_f1_2s": 2 * 3 / (5 + 4),
    "speak_f1_5s": 2 * 4 / (5 + 4),
    "speak_f1_content_2s": 2 * 2 / (5 + 4),  # a dog is no cat
    "speak_precision_2s": 3 / 5,
    "speak_recall_2s": 3 / 4,
    "false_speech_per_min": 60 * 1 / 15,  # q2 waits from 5 to 12, q3 from 6 to 20: 15 s together, and one cow
    "silence_recall": 7 / 8,  # due silent: frames 0 1 5 6 7 11 18 19, and on 18 it spoke
    "silence_precision": 7 / 12,
    "cost_0.3": 0.3 * 3 + 1 / 4,  # the cow is one false alarm in 20 s; 16.5 comes late for 14
    "answer_guarantee_1s": 1.0,
    "alert_hit": 1.0,
    "alert_early": 0.0,
    "alert_false_alarm": 1.0,
    "content_exact": 2 / 3,
    "content_exact_named": 0.0,
    # q1 from 2 to 20: red is determined at 3.25, blue stands from 9.5, red from 16.5.
    "twa_now": (4.75 + 4.5 + 3.5) / 18,
    "share_stale": (1.5 + 2.5) / 18,
    "share_unanswered": 1.25 / 18,
    "share_premature": 0.0,
    "share_wrong": 0.0,
    "rev_f1_1s": 0.0,
    "rev_f1_2s": 0.5,
    "rev_f1_5s": 1.0,
    "rev_f1_10s": 1.0,
    "rev_f1_auc": (0.25 * LN(2) + 0.75 * LN(2.5) + LN(2)) / LN(10),
    "rev_recall_2s": 0.5,
    "rev_precision_2s": 0.5,
    "rev_latency_median_s": 1.5,  # of 1.5 and 2.5 s: survival is one half after the first
    "wrongful_rev_per_min": 0.0,
    "churn_per_min": 0.0,
    "oscillations_per_min": 0.0,  # red, blue, red, but each change explains its own
    "explicitness": 0.5,
    # First words see frames 0.5 s old; the others 0.25 and, as frame 4 was not ready, 1.5 s.
    "pl_first_mean_s": 0.5,
    "pl_first_p95_s": 0.5,
    "pl_mean_s": (0.25 + 1.5) / 2,
    "pl_p95_s": 0.25 + 0.95 * 1.25,
    # The first answer alone has three words: at 0, .75, 2 s they lag .5, .25, 1.5 s, of which 0, 0, 1 in excess.
    "pl_slope": 1.125 / (0.75**2 + 4 - 2.75**2 / 3),
    "el_mean_s": 1 / 7,
    "el_slope": (2 - 2.75 / 3) / (0.75**2 + 4 - 2.75**2 / 3),
    "on_time_ingest": 1 / 2,  # frames 3 and 4 came while it spoke
    "decode_stall": 0.25 / 2,  # gaps of .75 and 1.25 s, both with a frame; the usual one is 1 s
    "frame_loss": 1 / 20,
    "synchrony": 18 / 20,
}


def test_every_metric_has_a_figure_by_hand() -> None:
    assert list(BY_HAND) == list(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_each_metric_is_what_it_is_by_hand(name: str) -> None:
    found = summarize([(errs(), TRUTH)])[name]
    assert found == {"value": near(BY_HAND[name]), "lo": None, "hi": None, "n": 1}


def silent() -> Log:
    rows = [row for i in range(20) for row in (*frame(i, float(i)), decide(float(i), "silent", vis=i))]
    return log_of(*rows, ask("q1", 2.0, direct=True), ask("q2", 5.0), ask("q3", 6.0), end_s=20.0, clock="free")


NEEDS_SPEECH = {
    *("speak_precision_2s", "content_exact", "content_exact_named", "rev_precision_2s", "wrongful_rev_per_min"),
    *("explicitness", "rev_latency_median_s", "pl_first_mean_s", "pl_first_p95_s", "pl_mean_s", "pl_p95_s"),
    *("pl_slope", "el_mean_s", "el_slope", "on_time_ingest", "decode_stall"),
}


def test_without_a_word_what_needs_words_is_null_and_never_0() -> None:
    found = summarize([(silent(), TRUTH)])
    assert {name for name, one in found.items() if one["value"] is None} == NEEDS_SPEECH
    ones = {"cost_0.3", "silence_recall", "share_unanswered", "synchrony"}
    assert {name: one["value"] for name, one in found.items() if name in ones} == dict.fromkeys(ones, 1.0)
    others = set(METRICS) - NEEDS_SPEECH - ones - {"silence_precision"}
    assert {found[name]["value"] for name in others} == {0.0}
    assert found["silence_precision"]["value"] == 9 / 20


def test_streams_are_added_before_anything_is_divided() -> None:
    both = summarize([(errs(), TRUTH), (silent(), TRUTH)])
    by_hand = {
        "speak_f1_2s": 2 * 3 / (5 + 8),
        "speak_precision_2s": 3 / 5,  # nothing to add: what is undefined in one stream does not count as 0
        "false_speech_per_min": 60 * 1 / 30,
        "silence_recall": (7 + 9) / (8 + 9),  # frame 17 was seen this time
        "alert_hit": 0.5,
        "content_exact": 2 / 3,
        "twa_now": 12.75 / 36,
        "rev_f1_5s": 2 * 2 / (2 + 4),
        "rev_latency_median_s": 2.5,  # four changes, two never followed
        "frame_loss": 1 / 40,
        "synchrony": 38 / 40,
    }
    assert {name: both[name]["value"] for name in by_hand} == near_all(by_hand)
    assert {both[name]["n"] for name in ("speak_f1_2s", "twa_now", "synchrony")} == {2}
    assert {both[name]["n"] for name in ("speak_precision_2s", "content_exact", "pl_slope")} == {1}


def near_all(values: dict[str, float]) -> dict[str, Any]:
    return {name: near(number) for name, number in values.items()}


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.is_sum])
def test_rows_that_may_be_added_give_the_same_value_once_they_are(name: str) -> None:
    metric = METRICS[name]
    rows = np.asarray([list(row) for log in (errs(), silent(), errs()) for row in metric.rows(score(log, TRUTH))])
    assert rows.shape[1] == metric.columns
    assert metric.value(rows) == near_or_none(metric.value(rows.sum(axis=0, keepdims=True)))


def near_or_none(number: float | None) -> Any:
    return None if number is None else near(number)


def test_the_first_reply_decides_an_alert() -> None:
    alert = truth_of(question(role="alert"), happening(10.0))

    def counted(*times: float) -> tuple[int, int]:
        found = score(log_of(*(row for n, t in enumerate(times) for row in spoken(str(n), "q1", (t, -1, "x")))), alert)
        return found.alerts_hit, found.alerts_early

    assert counted(10.0) == counted(12.0) == (1, 0)
    assert counted(12.000001) == counted() == (0, 0)
    assert counted(9.999999, 10.5) == (0, 1)  # a second chance is none
    assert counted(10.5, 9.0) == (0, 1)


def test_questions_that_nothing_answers_are_counted() -> None:
    found = score(silent(), TRUTH)
    assert (found.questions, found.unanswered, found.absent, found.absent_answered) == (2, 2, 1, 0)
    found = score(errs(), TRUTH)
    assert (found.questions, found.unanswered, found.absent_answered) == (2, 0, 1)


def test_a_share_over_videos_has_an_interval_that_resamples_them() -> None:
    certain = pooled_share([(2.0, 4.0)] * 12, replicates=100)
    assert certain == {"value": 0.5, "lo": 0.5, "hi": 0.5, "n": 12}
    mixed = pooled_share([(0.0, 1.0), (3.0, 3.0)] * 8 + [(0.0, 0.0)], replicates=300)
    assert (mixed["value"], mixed["n"]) == (0.75, 16)
    assert mixed["lo"] is not None
    assert mixed["hi"] is not None
    assert 0.4 < mixed["lo"] < 0.75 < mixed["hi"] < 0.95
    assert pooled_share([(0.0, 0.0)] * 12) == {"value": None, "lo": None, "hi": None, "n": 0}
    assert pooled_share([]) == {"value": None, "lo": None, "hi": None, "n": 0}
