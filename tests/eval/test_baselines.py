from __future__ import annotations

from functools import partial

import pytest
from event_logs import happening, question, truth_of, value

from vigil.errors import DataError
from vigil.eval.baselines import (
    ATTACKS,
    AlwaysSilent,
    AlwaysTalk,
    Constant,
    EchoAfter,
    KthLetter,
    LongestOption,
    ParseAttack,
    SinceQuestion,
    SpecialOption,
    cross_fitted,
    echo_logs,
    majority,
    options_of,
    watch_blind,
)
from vigil.eval.claims import claims_of, parser_of
from vigil.eval.controls import Setting, always_silent, always_talk, check_controls
from vigil.eval.door import VirtualClock
from vigil.eval.silence import judge_silence
from vigil.eval.truth import Truth
from vigil.eval.watcher import Watcher

CLOCK = VirtualClock(mode="free", fps=1.0, token_s=0.25)
CHOICE = "Where is it?\nA. on the table\nB. in the drawer under the table\nC. Unable to answer"


def run(
    make: type[Watcher] | partial[Watcher], *asks: tuple[float, str], end_s: float = 20.0
) -> list[tuple[float, str]]:
    """What is said to these questions: (media time, text)."""
    rows = [question(f"q{n}", t, kind="state", text=text) for n, (t, text) in enumerate(asks, start=1)]
    log = watch_blind(make, "control", truth_of(*rows), end_s, CLOCK)
    return [(speech.tau_first, speech.text) for speech in log.speech]


def test_options_are_read_from_a_question_however_they_are_listed() -> None:
    assert options_of("Which? A. red; B. dark blue; (C) none") == {"A": "red", "B": "dark blue", "C": "none"}
    assert list(options_of(CHOICE)) == ["A", "B", "C"]
    assert options_of("What is J. doing there?") == {}


def test_each_rule_answers_once_and_at_once() -> None:
    assert run(partial(Constant, "B"), (1.5, "Why?")) == [(1.5, "B")]
    assert run(LongestOption, (1.0, CHOICE)) == [(1.0, "B")]
    assert run(LongestOption, (1.0, "Why?")) == []
    assert run(partial(SpecialOption, "A"), (1.0, CHOICE), (4.0, "Or? A. x\nB. y")) == [(1.0, "C"), (4.0, "A")]


def test_the_kth_letter_counts_how_often_the_same_was_asked_whatever_its_options() -> None:
    other = CHOICE.replace("on the table", "nowhere")
    asks = [(1.0, CHOICE), (3.0, "Who? A. Ann\nB. Bob"), (5.0, other), (7.0, CHOICE), (9.0, CHOICE)]
    assert [text for _, text in run(KthLetter, *asks)] == ["A", "A", "B", "C", "C"]


def test_seconds_since_the_question_are_all_that_a_schedule_needs() -> None:
    counting = partial(SinceQuestion, [(10.0, "1"), (0.0, "0")])
    assert run(counting, (2.5, "How often?")) == [(2.5, "0"), (13.0, "1")]  # the first frame at or after 12.5
    assert run(counting, (2.0, "How often?"), (5.0, "And now?")) == [(2.0, "0"), (5.0, "0"), (15.0, "1")]


def test_an_echo_comes_after_its_wait_once() -> None:
    assert run(partial(EchoAfter, 3.0), (1.0, "Tell me when"), (9.0, "Why?")) == [(4.0, "Tell me when"), (12.0, "Why?")]


def test_attacks_take_turns_and_no_parser_reads_a_value_in_them() -> None:
    assert [text for _, text in run(ParseAttack, (1.0, "a"), (2.0, "b"), (3.0, "c"), (4.0, "d"))] == [
        *ATTACKS,
        ATTACKS[0],
    ]
    choices = truth_of(*(question(f"q{n}", n, kind="mcq", options=["x", "y", "z", "w"]) for n in (1, 2, 3)))
    counts = truth_of(*(question(f"q{n}", n, kind="count") for n in (1, 2, 3)))
    for truth in (choices, counts):
        assert all(parser_of(q, truth)(attack) is None for q in truth.questions for attack in ATTACKS)
    log = watch_blind(ParseAttack, "attack", choices, 9.0, CLOCK)
    claimed = [claim.v for q in ("q1", "q2", "q3") for claim in claims_of(log, choices, q)]
    assert claimed == ["abcd", "yes no", "0 1 2"]  # claims of their own text, which is no option


@pytest.mark.parametrize(
    ("watcher", "reference"), [(AlwaysSilent, always_silent), (AlwaysTalk, always_talk)], ids=["silent", "talk"]
)
def test_a_control_behind_the_door_says_what_the_control_made_from_the_truth_says(
    watcher: type[Watcher], reference: object
) -> None:
    assert callable(reference)
    truth = truth_of(question(kind="state", t_ask=2.5, text="What is it now?"), value(2.5, 9, "red"))
    log = reference(truth, Setting(duration_s=9.4, fps=1.0, tokens_per_s=4.0))
    through = watch_blind(watcher, "control", truth, 9.4, CLOCK)
    assert [(s.tau, s.text, s.q) for s in through.speech] == [(s.tau, s.text, s.q) for s in log.speech]
    assert [(d.w, d.vis, d.act) for d in through.decisions] == [(d.w, d.vis, d.act) for d in log.decisions]


def test_questions_keep_the_names_that_the_truth_gives_them() -> None:
    truth = truth_of(question("colour", 3.0, text="Which?"), question("count", 1.0, kind="count", text="How many?"))
    log = watch_blind(partial(Constant, "2"), "control", truth, 9.0, CLOCK)
    assert [(prompt.q, prompt.text, prompt.direct) for prompt in log.prompts] == [
        ("count", "How many?", True),
        ("colour", "Which?", False),
    ]
    assert [speech.q for speech in log.speech] == ["count", "colour"]


def test_what_is_fitted_for_a_video_never_saw_that_video() -> None:
    videos = ["a", "a", "b", "c", "d", "e", "f"]  # f falls into the fold of a
    fitted = cross_fitted(videos, videos, set)
    assert [own not in seen for own, seen in zip(videos, fitted, strict=True)] == [True] * 7
    assert fitted[0] == fitted[6] == {"b", "c", "d", "e"}
    assert fitted[2] == {"a", "c", "d", "e", "f"}


def test_the_majority_is_the_most_common_answer_and_the_earlier_of_two() -> None:
    assert majority(["B", "A", "A", "B"]) == "B"
    assert majority([]) == ""


def due(after_s: float) -> Truth:
    return truth_of(question(t_ask=1.0, text="Tell me."), happening(1.0 + after_s, after_s + 2.0))


def test_the_wait_of_an_echo_is_fitted_on_other_videos() -> None:
    streams = [(due(7.0), 30.0, CLOCK)] * 4 + [(due(2.0), 30.0, CLOCK)]
    logs = echo_logs(streams, ["a", "b", "c", "d", "e"])
    assert {log.head.model for log in logs} == {"echo after 7 s"}  # the fifth video would be served by 2 s
    assert [judge_silence(log, truth).f1 for log, (truth, _, _) in zip(logs, streams, strict=True)] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("wait_s", [0, 1, 2, 3, 5, 7, 10, 15, 20])
def test_each_usual_wait_of_an_echo_is_tried(wait_s: int) -> None:
    asked = truth_of(question(t_ask=0.0, text="Tell me."), happening(float(wait_s)))
    for log in echo_logs([(asked, 30.0, CLOCK)] * 2, ["a", "b"]):
        assert [speech.tau_first for speech in log.speech] == [float(wait_s)]  # of several in time, the shortest


def test_a_table_without_its_controls_is_refused() -> None:
    free = ["always_silent", "always_talk", "blind", "echo_after_k", "parse_attack"]
    check_controls(free, with_model=False)
    check_controls([*free, "text_only", "recent_4", "recent_16"], with_model=True)
    with pytest.raises(DataError, match="lacks the controls text_only, recent_16"):
        check_controls([*free, "recent_4"], with_model=True)
    with pytest.raises(DataError, match="lacks the controls blind"):
        check_controls([name for name in free if name != "blind"], with_model=False)
