from __future__ import annotations

import pytest
from event_logs import happening, question, truth_of, value

from vigil.errors import ConfigError
from vigil.eval.controls import Setting, always_silent, always_talk, blind, blind_logs, fit_prior, oracle
from vigil.eval.revision import revise
from vigil.eval.silence import judge_silence

STATE = truth_of(
    question(kind="state", text="What colour is it?", t_ask=0.5),
    value(0.5, 8, "red", alias=["It is red."]),
    value(8, 14, "blue", alias=["It is blue."]),
    value(14, 20, "red", alias=["It is red."]),
)
ALERT = truth_of(
    question(role="alert", text="Tell me when a cat comes.", t_ask=2), happening(9.5, 12, accept=["A cat has come."])
)
TWENTY = Setting(duration_s=20.0)


def test_always_silent_decides_in_every_slot_and_says_nothing() -> None:
    log = always_silent(STATE, TWENTY)
    assert log.speech == ()
    assert len(log.frames) == 20
    assert [slot.act for slot in log.decisions] == ["silent"] * 21  # 20 frames and one question


def test_always_talk_speaks_once_in_every_slot() -> None:
    log = always_talk(ALERT, TWENTY)
    assert len(log.speech) == 20
    assert log.speech[0].q is None
    assert log.speech[-1].q == "q1"
    assert log.speech[5].text == "Tell me when a"  # four words a second, then the next slot cuts it
    assert log.speech[5].state == "cut"


def test_the_oracle_starts_the_true_text_on_the_frame_of_each_change() -> None:
    log = oracle(STATE, TWENTY)
    assert [(said.tau_first, said.text, said.supersedes) for said in log.speech] == [
        (0.5, "It is red.", None),
        (8.0, "It is blue.", "1.1"),
        (14.0, "It is red.", "2.1"),
    ]
    seen = judge_silence(log, STATE)
    assert (seen.f1, seen.f1_content) == (1.0, 1.0)
    assert revise(log, STATE).f1(2.0) == 1.0


def test_the_oracle_waits_for_a_frame_and_pays_for_the_length_of_its_text() -> None:
    log = oracle(ALERT, TWENTY)
    (said,) = log.speech
    assert (said.tau, said.text) == ((10.0, 10.25, 10.5, 10.75), "A cat has come.")
    assert [token.vis for token in said.tokens] == [10, 10, 10, 10]


def test_what_is_still_being_said_is_cut_by_the_next_change_and_by_a_question() -> None:
    long = "one two three four five six"
    truth = truth_of(
        question(),
        happening(1, accept=[long]),
        happening(2, accept=["two words"]),
        question("q2", 2.2),
        happening(3, q=None, v="x"),
    )
    log = oracle(truth, Setting(duration_s=5.0))
    assert [(said.text, said.state) for said in log.speech] == [
        ("one two three four", "cut"),
        ("two", "cut"),
        ("x", "final"),
    ]


def test_changes_of_one_instant_are_said_one_after_the_other() -> None:
    truth = truth_of(question(), happening(1, accept=["a cat"]), happening(1, accept=["a dog"]))
    log = oracle(truth, Setting(duration_s=5.0))
    assert [(said.text, said.tau_first) for said in log.speech] == [("a cat", 1.0), ("a dog", 1.5)]


def test_speech_stops_at_the_end_of_the_stream() -> None:
    truth = truth_of(question(), happening(2, accept=["one two three four five six"]))
    (said,) = oracle(truth, Setting(duration_s=2.6)).speech
    assert (said.text, said.state) == ("one two three", "cut")


def test_blind_repeats_the_most_common_reply_after_the_usual_wait() -> None:
    prior = fit_prior([ALERT, ALERT, STATE])
    assert prior == {"alert": (7.5, "A cat has come."), "state": (0.0, "It is red.")}
    log = blind(ALERT, TWENTY, prior)
    assert [(said.tau_first, said.text) for said in log.speech] == [(10.0, "A cat has come.")]
    assert blind(ALERT, TWENTY, {}).speech == ()


def test_blind_cannot_tell_an_alert_that_never_comes_from_one_that_does() -> None:
    absent = truth_of(question(role="alert_absent", text="Tell me when a dog comes."))
    assert len(blind(absent, TWENTY, fit_prior([ALERT])).speech) == 1
    assert fit_prior([ALERT, absent, absent]) == {}


def test_blind_is_fitted_on_other_streams_only() -> None:
    cat, dog = ALERT, truth_of(question(role="alert"), happening(5, accept=["A dog."]))
    first, second = blind_logs([cat, dog], [TWENTY, TWENTY])
    assert (first.speech[0].text, second.speech[0].text) == ("A dog.", "A cat has come.")
    assert blind_logs([cat], [TWENTY])[0].speech == ()


def test_frames_come_at_the_given_rate() -> None:
    assert Setting(duration_s=2.0, fps=2.0).frame_times == [0.0, 0.5, 1.0, 1.5]
    assert Setting(duration_s=2.1, fps=1.0).frame_times == [0.0, 1.0, 2.0]
    assert Setting(duration_s=0.0).frame_times == []
    with pytest.raises(ConfigError, match="fps = 0"):
        Setting(duration_s=1.0, fps=0)
