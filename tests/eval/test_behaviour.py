from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from event_logs import HEAD, ask, happening, log_of, near, null, question, say, text_of, truth_of, value

from vigil.errors import DataError
from vigil.eval.behaviour import Pair, compare, control_logs, report, score_log_file, summarize
from vigil.eval.controls import OF_THE_MODEL, SEEING_NOTHING, Setting, oracle
from vigil.eval.summary import METRICS

NAMES_OF_THE_REPORT = {
    "speak_f1_2s",
    "false_speech_per_min",
    "alert_hit",
    "alert_early",
    "alert_false_alarm",
    "rev_f1_2s",
    "rev_latency_median_s",
    "wrongful_rev_per_min",
    "twa_now",
    "content_exact",
    "content_exact_named",
}
STATE = truth_of(
    question(kind="state", role="state", t_ask=0.0, until=30.0, text="What colour is it?"),
    value(0, 8, "red", alias=["It is red."]),
    value(8, 30, "blue", alias=["It is blue."]),
    question("q2", 30.0, role="alert", named=True, text="Tell me when a cat comes."),
    happening(40.0, 42.0, accept=["A cat has come."], q="q2"),
)
ABSENT = truth_of(question(role="alert_absent", named=True, text="Tell me when a dog comes."), null(0, 60))


def perfect(times: int = 1) -> list[Pair]:
    return [(oracle(truth, Setting(duration_s=60.0)), truth) for truth in (STATE, ABSENT)] * times


def test_every_name_that_is_asked_for_is_there_and_the_oracle_is_perfect() -> None:
    numbers = summarize(perfect())
    assert set(METRICS) >= NAMES_OF_THE_REPORT
    assert set(numbers) == set(METRICS)
    right = {
        name: numbers[name]["value"]
        for name in ("speak_f1_2s", "alert_hit", "rev_f1_2s", "content_exact", "content_exact_named")
    }
    assert set(right.values()) == {1.0}
    none = [
        numbers[name]["value"]
        for name in ("false_speech_per_min", "alert_early", "alert_false_alarm", "wrongful_rev_per_min")
    ]
    assert none == [0.0] * 4
    # It pays for its words: two answers of 30 s determine their value half a second after they begin.
    assert numbers["twa_now"] == {"value": near(29 / 30), "lo": None, "hi": None, "n": 1}


def test_numbers_by_hand_for_a_system_that_errs() -> None:
    log = log_of(
        *(ask("q1", 0.0), ask("q2", 30.0)),
        *say("1", 3.0, "It is red."),  # 3 s late: no match at 2 s
        *say("2", 9.0, "It is blue!", supersedes="1"),  # matched, exact
        *say("3", 20.0, "red", supersedes="2"),  # right to wrong
        *say("4", 35.0, "A cat has come.", q="q2"),  # early
        *say("5", 41.0, "It is a dog.", q="q2"),  # matched, not exact
    )
    numbers = summarize([(log, STATE), (log_of(*say("1", 5.0, "A dog.")), ABSENT)])
    value_of = {name: estimate["value"] for name, estimate in numbers.items()}
    assert value_of["speak_f1_2s"] == near(2 * 2 / (6 + 3))  # six said, three due, two matched
    assert (value_of["alert_hit"], value_of["alert_early"], value_of["alert_false_alarm"]) == (0.0, 1.0, 1.0)
    assert value_of["twa_now"] == near((5 + 11) / 30)
    assert value_of["rev_latency_median_s"] == 1.0
    assert value_of["rev_f1_2s"] == near(2 / 3)  # one change, two transitions
    assert value_of["wrongful_rev_per_min"] == near(60 / 16)
    assert (value_of["content_exact"], value_of["content_exact_named"]) == (0.5, 0.0)
    # Silence was due for 10 s before the cat and for 60 s of the other stream; spoken once in each.
    assert value_of["false_speech_per_min"] == near(2 / (70 / 60))


def test_a_system_that_always_talks_is_caught() -> None:
    logs = control_logs(perfect())
    talk = summarize([(log, truth) for log, (_, truth) in zip(logs["always_talk"], perfect(), strict=True)])
    value_of = {name: estimate["value"] or 0.0 for name, estimate in talk.items()}
    assert value_of["speak_f1_2s"] < 0.1
    assert value_of["false_speech_per_min"] > 50
    assert (value_of["alert_false_alarm"], value_of["alert_early"]) == (1.0, 1.0)
    assert value_of["silence_recall"] < 0.05
    assert value_of["cost_0.3"] > 10


def test_a_system_that_never_talks_has_no_f1_and_cost_1() -> None:
    logs = control_logs(perfect())
    silent = summarize([(log, truth) for log, (_, truth) in zip(logs["always_silent"], perfect(), strict=True)])
    assert (silent["speak_f1_2s"]["value"], silent["cost_0.3"]["value"], silent["twa_now"]["value"]) == (0.0, 1.0, 0.0)
    assert (silent["silence_recall"]["value"], silent["content_exact"]["value"]) == (1.0, None)
    assert silent["rev_latency_median_s"] == {"value": None, "lo": None, "hi": None, "n": 1}  # not reached


def test_ten_videos_have_intervals_and_nine_have_none() -> None:
    ten = summarize(perfect(5), replicates=200)["speak_f1_2s"]
    assert (ten["lo"], ten["value"], ten["hi"], ten["n"]) == (1.0, 1.0, 1.0, 5)
    assert summarize(perfect(5)[:9], replicates=200)["speak_f1_2s"]["lo"] is None


def test_streams_of_one_video_are_resampled_together() -> None:
    pairs = perfect(6)
    names = [f"video {n // 2}" for n in range(12)]
    assert summarize(pairs, videos=names, replicates=50)["speak_f1_2s"]["lo"] is None  # six videos
    with pytest.raises(DataError, match="1 video names for 12 streams"):
        summarize(pairs, videos=["one"])


def test_an_interval_holds_the_value_and_is_wider_for_fewer_videos() -> None:
    def mixed(times: int) -> list[Pair]:
        good, bad = log_of(*say("a", 10.0, "x")), log_of(*say("a", 50.0, "x"))
        truth = truth_of(question(), happening(10.0))
        return [(good, truth), (bad, truth)] * times

    few, many = (summarize(mixed(times), replicates=400)["speak_f1_2s"] for times in (5, 30))
    widths: list[float] = []
    for estimate in (few, many):
        lo, hi, middle = estimate["lo"], estimate["hi"], estimate["value"]
        assert lo is not None
        assert hi is not None
        assert middle is not None
        assert lo < middle == 0.5 < hi
        widths.append(hi - lo)
    assert widths[0] > 1.5 * widths[1]


def test_systems_are_compared_on_the_same_resamples() -> None:
    truth = truth_of(question(), *(happening(s) for s in (10.0, 20.0, 30.0)))
    caught = [n % 3 for n in range(20)]  # one system catches so many of three events, the other one more
    worse = [(log_of(*(row for k in range(n) for row in say(str(k), 10.0 + 10 * k, "x"))), truth) for n in caught]
    better = [(log_of(*(row for k in range(n + 1) for row in say(str(k), 10.0 + 10 * k, "x"))), truth) for n in caught]
    gain = compare(better, worse, replicates=200)["speak_recall_2s"]
    assert (gain["value"], gain["lo"], gain["hi"], gain["n"]) == (near(1 / 3), near(1 / 3), near(1 / 3), 20)
    alone = summarize(better, replicates=200)["speak_recall_2s"]
    assert (alone["hi"] or 0) - (alone["lo"] or 0) > 0.1
    with pytest.raises(DataError, match="20 streams of one system and 19"):
        compare(better, worse[1:])


def test_a_report_with_the_models_own_controls_is_refused_if_one_is_missing() -> None:
    pairs = perfect()
    logs = [log for log, _ in pairs]
    whole = report(pairs, model_controls=dict.fromkeys(OF_THE_MODEL, logs), replicates=10)
    assert set(whole["controls"]) == {*SEEING_NOTHING, *OF_THE_MODEL, "oracle"}
    assert whole["controls_not_run"] == []
    with pytest.raises(DataError, match="lacks the controls recent_4"):
        report(pairs, model_controls={"text_only": logs, "recent_16": logs}, replicates=10)


def test_the_report_prints_the_controls_beside_the_score_and_fits_json() -> None:
    page = report(perfect(), replicates=10)
    assert json.loads(json.dumps(page, allow_nan=False)) == page
    assert set(page["controls"]) == {*SEEING_NOTHING, "oracle"}
    assert page["controls_not_run"] == list(OF_THE_MODEL)
    assert page["fitted"]["echo_after_k"][0].startswith("echo after ")
    assert page["twa_now_oracle"] == page["controls"]["oracle"]["twa_now"]
    assert page["run"]["clock"] == ["free"]
    assert page["chance_corrected"]["speak_f1_2s"] == 1.0
    assert page["counts"]["questions"] == 2
    assert page["counts"]["unanswered"] == 0


def test_a_log_file_of_any_system_is_scored(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        HEAD,
        ask("q1", 0.0),
        *say("a", 10.5, "x"),
        {"k": "end", "w": 60, "t": 60, "why": "eof"},
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(text_of(rows)), encoding="utf-8")
    (tmp_path / "truth.jsonl").write_text("\n".join(text_of([question(), happening(10.0)])), encoding="utf-8")
    page = score_log_file(tmp_path / "log.jsonl", tmp_path / "truth.jsonl")
    assert page["speak_f1_2s"] == {"value": 1.0, "lo": None, "hi": None, "n": 1}
    assert page["run"]["model"] == ["tiny"]
    assert len(page["run"]["log_sha256"]) == 64


def test_nothing_at_all_is_all_null() -> None:
    assert {tuple(estimate.values()) for estimate in summarize([]).values()} == {(None, None, None, 0)}
