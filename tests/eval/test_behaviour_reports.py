"""What stands in a report beside the scores: controls, chance, counts, what ran, and how far a difference is known."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from event_logs import HEAD, ask, frame, happening, log_of, near, null, question, say, text_of, tokens, truth_of, value

from vigil.cli import main
from vigil.errors import DataError
from vigil.eval.behaviour import USUAL_PACE, Pair, compare, control_logs, pace_of, report, score_log_file, summarize
from vigil.eval.controls import OF_THE_MODEL, Setting, always_silent, oracle
from vigil.eval.log import Log
from vigil.eval.summary import METRICS

END = {"k": "end", "w": 60, "t": 60, "why": "eof"}
STATE = truth_of(question(kind="state", role="state", text="What colour?"), value(0, 20, "red"), value(20, 60, "blue"))
ALERT = truth_of(question(role="alert", text="Tell me when."), happening(30.0, 31.0, accept=["Now."]))


def pairs() -> list[Pair]:
    said_again = say("c", 50, "blue")
    right = log_of(ask("q1", 0, direct=True), *say("a", 1, "red"), *say("b", 22, "blue", supersedes="a"), *said_again)
    return [(right, STATE), (log_of(ask("q1", 0), *say("a", 30.5, "Now.")), ALERT)]


def test_the_score_is_corrected_by_the_best_that_can_be_had_without_looking() -> None:
    page = report(pairs(), replicates=10)
    for name in ("speak_f1_2s", "twa_now", "rev_f1_2s"):
        seeing_nothing = ("always_silent", "always_talk", "blind", "echo_after_k", "parse_attack")
        best = max(page["controls"][control][name]["value"] or 0.0 for control in seeing_nothing)
        assert page["chance_corrected"][name] == near((page[name]["value"] - best) / (1 - best))
    assert "false_speech_per_min" not in page["chance_corrected"]  # 1 is not the best there


def test_the_oracle_is_no_chance_and_text_only_is() -> None:
    logs = [log for log, _ in pairs()]
    without = report(pairs(), replicates=10)
    mute: dict[str, list[Log]] = {name: [log_of(), log_of()] for name in OF_THE_MODEL}
    unchanged = report(pairs(), model_controls=mute, replicates=10)
    assert unchanged["chance_corrected"] == without["chance_corrected"]
    guessing = report(pairs(), model_controls=mute | {"text_only": logs}, replicates=10)
    assert guessing["chance_corrected"]["speak_f1_2s"] == 0.0  # without pictures it is as good
    seeing = report(pairs(), model_controls=mute | {"recent_16": logs}, replicates=10)
    assert seeing["chance_corrected"]["speak_f1_2s"] == without["chance_corrected"]["speak_f1_2s"]


def test_what_is_undefined_is_corrected_to_nothing() -> None:
    only_alert = report(pairs()[1:], replicates=10)
    assert only_alert["twa_now"]["value"] is None
    assert only_alert["chance_corrected"]["twa_now"] is None


def test_what_was_left_out_or_lost_is_counted() -> None:
    rows = [*frame(0, 0.0), *frame(1, 1.0, ready_s=None), {"k": "drop", "i": 1, "w": 1.0, "why": "error"}]
    rows += [*tokens("x", [2.0, 2.5], [-1, 0], q="q1"), ask("q1", 0, direct=True)]
    counts = report([(log_of(*rows), STATE), (log_of(), ALERT)], replicates=10)["counts"]
    assert counts["null_metrics"] == sum(
        one["value"] is None for one in summarize([(log_of(*rows), STATE), (log_of(), ALERT)]).values()
    )
    del counts["null_metrics"]
    assert counts == {
        **{"questions": 2, "unanswered": 1, "speech": 1, "blind_tokens": 1, "short_utterances": 1},
        **{"dropped_frames": 1, "pre_satisfied_changes": 0},
    }
    early = log_of(*say("a", 1, "red"), *say("b", 19, "blue"))
    assert report([(early, STATE)], replicates=10)["counts"]["pre_satisfied_changes"] == 1


def test_what_ran_is_named_with_the_hash_of_its_logs() -> None:
    first, second = log_of(model="a", seed=1), log_of(model="b", seed=1, fps=2)
    run = report([(first, STATE), (second, ALERT)], replicates=10)["run"]
    assert (run["model"], run["seed"], run["fps"], run["streams"]) == (["a", "b"], [1], [1.0, 2.0], 2)
    assert run["log_sha256"] == sha256(f"{first.hash}\n{second.hash}".encode()).hexdigest()
    turned = report([(second, ALERT), (first, STATE)], replicates=10)["run"]
    assert turned["log_sha256"] != run["log_sha256"]
    assert report([(first, STATE)], replicates=10)["run"]["log_sha256"] == first.hash


def test_controls_run_as_long_and_as_fast_as_what_they_are_compared_with() -> None:
    long = log_of(ask("q1", 0), *say("a", 30.5, "Now."), fps=4, end_s=90.0)
    for name, (log,) in control_logs([(long, ALERT)], tokens_per_s=2.0).items():
        assert (log.end.w, log.head.fps) == (90.0, 4.0)
        gaps = {round(b - a, 6) for said in log.speech for a, b in zip(said.tau, said.tau[1:], strict=False)}
        assert gaps <= {0.5}, name


@pytest.mark.parametrize(
    ("times", "pace"),
    [
        ([1.0, 1.1, 1.2], 10.0),
        ([1.0, 1.1, 1.5, 1.6], 10.0),  # the median does not see a pause
        ([1.0, 1.3], 3.333),
        ([1.0], USUAL_PACE),
        ([], USUAL_PACE),
        ([1.0, 1.0, 1.0], USUAL_PACE),  # all at once is no pace
    ],
)
def test_the_pace_of_a_run_is_told_from_its_words(times: list[float], pace: float) -> None:
    rows = tokens("a", times, [-1] * len(times)) if times else []
    assert pace_of([(log_of(*rows), ALERT), (log_of(), ALERT)]) == near(pace)


def test_the_pace_is_in_media_time() -> None:
    assert pace_of([(log_of(*tokens("a", [1.0, 1.1, 1.2], [-1] * 3), speed=2.0), ALERT)]) == near(5.0)


def test_a_median_that_one_system_never_reaches_has_no_difference() -> None:
    quick = log_of(*say("a", 1, "red"), *say("b", 22, "blue"))
    never = log_of(*say("a", 1, "red"))
    found = compare([(quick, STATE)], [(never, STATE)])
    assert found["rev_latency_median_s"] == {"value": None, "lo": None, "hi": None, "n": 1}
    assert found["twa_now"]["value"] == near((38 - 0) / 60)
    assert found["rev_precision_2s"] == {"value": None, "lo": None, "hi": None, "n": 0}  # the other has no transition


def test_comparing_a_system_with_itself_is_0_with_no_doubt() -> None:
    streams = [(log_of(*say("a", 1 + n, "red"), *say("b", 22 + n, "blue")), STATE) for n in range(12)]
    found = compare(streams, streams, replicates=50)
    assert {one["value"] for one in found.values()} <= {0.0, None}
    assert (found["twa_now"]["lo"], found["twa_now"]["hi"], found["twa_now"]["n"]) == (0.0, 0.0, 12)


def test_comparing_the_other_way_round_turns_the_sign() -> None:
    good = [(oracle(STATE, Setting(duration_s=60.0)), STATE)] * 10
    bad = [(log_of(*say("a", n, "red")), STATE) for n in range(10)]
    there, back = compare(good, bad, replicates=200)["twa_now"], compare(bad, good, replicates=200)["twa_now"]
    assert there["value"] is not None
    assert (there["lo"], there["hi"]) != (there["value"], there["value"])
    assert back["value"] == near(-there["value"])
    assert (back["lo"], back["hi"]) == (near(-(there["hi"] or 0.0)), near(-(there["lo"] or 0.0)))


def test_systems_that_watched_other_videos_are_not_compared() -> None:
    silent = [(always_silent(STATE, Setting(duration_s=60.0)), STATE)] * 3
    with pytest.raises(DataError, match="2 video names for 3 streams"):
        compare(silent, silent, videos=["a", "b"])
    with pytest.raises(DataError, match=r"3 streams of one system and 2 of the other\. Compare the same streams"):
        compare(silent, silent[:2])


def test_streams_of_one_video_stand_or_fall_together() -> None:
    """20 streams of 10 videos, both of a video alike, are no surer than the 10."""
    good, bad = log_of(*say("a", 30.5, "x")), log_of()
    once = [(good if n % 2 else bad, ALERT) for n in range(10)]
    twice = [one for one in once for _ in range(2)]
    names = [f"v{n // 2}" for n in range(20)]
    assert summarize(twice, videos=names, replicates=200)["alert_hit"] == {
        **summarize(once, replicates=200)["alert_hit"],
        "n": 20,
    }
    apart = summarize(twice, replicates=200)["alert_hit"]
    together = summarize(twice, videos=names, replicates=200)["alert_hit"]
    assert (apart["hi"] or 0) - (apart["lo"] or 0) < (together["hi"] or 0) - (together["lo"] or 0)


def test_a_report_is_the_same_every_time_and_has_every_metric() -> None:
    first, again = report(pairs(), replicates=20), report(pairs(), replicates=20)
    assert first == again
    assert set(METRICS) <= set(first)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A log and a truth that are right."""
    log, truth = tmp_path / "run.jsonl", tmp_path / "truth.jsonl"
    log.write_text("\n".join(text_of([HEAD, ask("q1", 0), *say("a", 30.5, "Now."), END])), encoding="utf-8")
    truth.write_text("\n".join(text_of([question(role="alert"), happening(30.0), null(0, 30)])), encoding="utf-8")
    return log, truth


def test_a_scored_file_carries_its_controls_at_its_own_pace(files: tuple[Path, Path]) -> None:
    page = score_log_file(*files)
    assert (page["alert_hit"]["value"], page["false_speech_per_min"]["value"]) == (1.0, 0.0)
    assert page["controls"]["oracle"]["alert_hit"]["value"] == 1.0
    assert page["controls"]["always_talk"]["alert_early"]["value"] == 1.0


@pytest.mark.parametrize(
    ("which", "row", "says"),
    [
        (0, '{"k":"tok","n":1,"w":31,"vis":-1,"text":"x","a":"b"}', "run.jsonl line 3 breaks rule (g): token 1"),
        (0, "not JSON", "run.jsonl line 3 is not JSON: Expecting value"),
        (0, '{"k":"frame","i":0,"t":"0","w":31}', "run.jsonl line 3 (frame) has 't' = \"0\", which must be"),
        (1, '{"k":"ev","q":"q2","s":1,"e":2,"v":null}', "the truth speaks of question 'q2' without a line for it"),
        (1, '{"k":"val","q":"q1","from":0,"to":1}', "truth.jsonl line 3 (val) lacks the field 'v'"),
    ],
)
def test_a_file_that_is_wrong_is_one_line_and_exit_code_7(
    which: int, row: str, says: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = files[which].read_text(encoding="utf-8").splitlines()
    files[which].write_text("\n".join([*lines[:2], row, *lines[2:]]), encoding="utf-8")
    assert main(["eval", "log", str(files[0]), "--truth", str(files[1])]) == 7
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"vigil: {says}")
    assert len(said.err.splitlines()) == 1


def test_a_file_that_is_not_there_is_exit_code_3(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "log", str(files[0]), "--truth", str(files[1].with_name("none.jsonl"))]) == 3
    assert "none.jsonl cannot be opened" in capsys.readouterr().err
    page: dict[str, Any] = json.loads(json.dumps(score_log_file(*files), allow_nan=False))
    assert page["run"]["streams"] == 1
