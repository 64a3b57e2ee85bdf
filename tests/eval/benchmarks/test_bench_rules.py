"""Blind rules and tallies: what can be said without looking, fitted on other videos, and scores of when it was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.eval.benchmarks.base import Stream, mean_of, share
from vigil.eval.benchmarks.ovo_forward import step_spans
from vigil.eval.benchmarks.rtv_items import Probe, letter_of, question_groups, revision_groups, same_question, shuffled
from vigil.eval.benchmarks.rtv_revision import moments
from vigil.eval.benchmarks.rules import (
    WAITS_S,
    Replies,
    Timetable,
    constant,
    drawn,
    fitted_majority,
    fitted_wait,
    longest,
    special,
)
from vigil.eval.benchmarks.timing import event_sums, one_event, revision_scores, revision_sums, steps, timing_scores
from vigil.eval.benchmarks.watching import blank_frames, watch_stream
from vigil.eval.door import Ask, VirtualClock
from vigil.eval.log import Log
from vigil.eval.watcher import Watcher, WatcherSystem

CLOCK = VirtualClock(mode="free", fps=1.0, token_s=0.25)


def watch(watcher: Watcher, *asks: Ask, end_s: float = 20.0) -> Log:
    stream = Stream(id="s", asks=asks, end_s=end_s)
    return watch_stream(WatcherSystem("w", lambda: watcher), stream, blank_frames(stream, 1.0), clock=CLOCK)


def said(log: Log) -> list[tuple[float, str]]:
    return [(speech.tau_first, speech.text) for speech in log.speech]


def test_replies_answer_the_kth_question_with_the_kth_text_and_no_further() -> None:
    asks = [Ask(t=float(t), text="?") for t in (2, 4, 6)]
    assert said(watch(Replies(["A", "B"]), *asks)) == [(2.0, "A"), (4.0, "B")]
    assert said(watch(Replies([]), *asks)) == []


def test_a_timetable_waits_for_a_question_and_leaves_out_what_is_overtaken() -> None:
    table = [(3.0, "three"), (1.0, "one"), (2.0, "two"), (9.5, "later")]
    assert said(watch(Timetable(table), Ask(t=0.0, text="?"))) == [
        (1.0, "one"),
        (2.0, "two"),
        (3.0, "three"),
        (10.0, "later"),
    ]
    assert said(watch(Timetable(table), Ask(t=2.5, text="?"))) == [(2.5, "two"), (3.0, "three"), (10.0, "later")]
    assert said(watch(Timetable(table))) == []


def test_a_constant_of_nothing_is_silence() -> None:
    stream = Stream(id="s", asks=(Ask(t=1.0, text="?"),), end_s=5.0)
    assert said(watch(constant("B")(stream), *stream.asks)) == [(1.0, "B")]
    assert said(watch(constant("")(stream), *stream.asks)) == []


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        (["a", "bb", "c"], "B"),
        (["A. aa", "B. bb"], "A"),  # the first of several
        (["(A) a very long one", "no"], "A"),
        (["D) x", "C. xx"], "B"),  # its own letter does not count
    ],
)
def test_the_longest_option_by_hand(options: list[str], letter: str) -> None:
    assert longest(options) == letter


@pytest.mark.parametrize(
    ("options", "letter"),
    [
        (["red", "Unable to answer"], "B"),
        (["A. UNABLE TO ANSWER.", "B. red"], "A"),
        (["red", "Unable to answer this"], "Z"),
        ([], "Z"),
    ],
)
def test_the_option_that_says_there_is_no_answer(options: list[str], letter: str) -> None:
    assert special(options, "Z") == letter


def test_a_drawn_letter_hangs_on_its_key_alone_and_all_are_as_likely() -> None:
    counts = Counter(drawn(["a", "b", "c", "d"], f"key {n}") for n in range(2000))
    assert set(counts) == set("ABCD")
    assert max(counts.values()) < 1.2 * min(counts.values())
    assert drawn(["a", "b"], "x") == drawn(["c", "d"], "x")


def test_the_majority_is_that_of_the_same_task_in_other_videos() -> None:
    videos = ["v1", "v1", "v2", "v3", "v4"]
    answers, tasks = ["A", "A", "B", "B", "C"], ["x", "x", "x", "x", "y"]
    assert fitted_majority(answers, videos=videos, answers=answers, tasks=tasks) == ["B", "B", "A", "A", ""]


def test_a_wait_is_fitted_to_most_windows_of_other_videos() -> None:
    fit = partial(fitted_wait, early_s=0.0, late_s=2.0)
    assert fit([5.0, 5.5, 12.0], videos=["a", "b", "c"]) == [6.0, 5.0, 6.0]  # the shortest that serves most
    assert fit([5.0, 5.0], videos=["a", "a"]) == [0.0, 0.0]  # of one video, nothing is known
    assert fit([40.0, 40.0], videos=["a", "b"]) == [0.0, 0.0]  # longer than any that is tried
    assert (WAITS_S[0], WAITS_S[-1]) == (0.0, 30.0)
    assert fitted_wait([6.0, 6.0], videos=["a", "b"], early_s=2.0, late_s=0.0) == [4.0, 4.0]


# Tallies and scores of when something was said


def test_events_are_tallied_per_tolerance() -> None:
    truth = one_event(2.0, "Tell me.", s=10.0, v="now")
    log = watch(Timetable([(4.0, "now"), (13.0, "now"), (14.0, "now")]), Ask(t=2.0, text="Tell me.", standing=True))
    assert event_sums(log, truth, early_s=0.0, delays_s=(2.0, 5.0), prefix="X") == {
        **{"X:matches@2": 0, "X:content@2": 0, "X:matches@5": 1, "X:content@5": 1},
        **{"X:said": 3, "X:events": 1, "X:false": 1, "X:quiet_s": 8.0, "X:duplicate": 1, "X:premature": 1},
    }


def scored(scores: Sequence[Any], sums: dict[str, float]) -> dict[str, float | None]:
    return {score.name: score.of(sums) for score in scores}


def test_scores_of_timing_by_hand() -> None:
    scores = timing_scores("X", delays_s=(2.0, 5.0), scorer="strict", early_s=1.0)
    sums = {"X:matches@2": 1.0, "X:content@2": 0.0, "X:matches@5": 2.0, "X:content@5": 2.0}
    sums |= {"X:said": 5.0, "X:events": 3.0, "X:false": 2.0, "X:quiet_s": 30.0}
    assert scored(scores, sums) == {
        **{"X F1@2": 25.0, "X F1c@2": 0.0, "X recall@2": pytest.approx(100 / 3)},
        **{"X F1@5": 50.0, "X F1c@5": 50.0, "X recall@5": pytest.approx(200 / 3), "X false/min": 4.0},
    }
    assert [score.name for score in scores if score.is_shown] == ["X F1@2", "X F1c@2", "X false/min"]
    assert [score.name for score in scores if score.is_better_low] == ["X false/min"]
    assert "[-1, 2] s" in scores[0].definition
    assert set(scored(scores, {}).values()) == {None}
    silent = scored(scores, {"X:events": 3.0})
    assert (silent["X F1@2"], silent["X false/min"]) == (0.0, None)


def test_scores_of_revision_by_hand() -> None:
    spans = [(0.0, 4.0, "0"), (4.0, 8.0, "1"), (8.0, 10.0, "2")]
    truth = steps(0.0, "How many?", spans, alias={"1": ("one of them",)})
    log = watch(Timetable([(0.0, "0"), (5.0, "one of them"), (8.0, "3")]), Ask(t=0.0, text="?"), end_s=10.0)
    sums = revision_sums(log, truth, prefix="X")
    # "one of them" is claimed with its third word, half a second after its first
    assert sums == {
        **{"X:correct_s": pytest.approx(4 + 2.5), "X:window_s": 10.0, "X:changes": 2, "X:moves": 2},
        **{"X:credited@1": 0, "X:credited@2": 1, "X:credited@5": 1, "X:credited@10": 1},
    }
    scores = scored(revision_scores("X", scorer="strict"), sums)
    assert scores["X TWA"] == pytest.approx(65.0)
    ln2, ln25, ln10 = 0.693147, 0.916291, 2.302585
    assert scores["X RevF1-AUC"] == pytest.approx(100 * (0.25 * ln2 + 0.5 * ln25 + 0.5 * ln2) / ln10, abs=1e-3)
    assert set(scored(revision_scores("X", scorer="strict"), {}).values()) == {None}


def test_shares_and_means_of_shares() -> None:
    a, b = share("a", "na"), share("b", "nb")
    assert (a({"a": 1.0, "na": 4.0}), a({"a": 1.0}), a({"na": 4.0}), a({"na": 0.0})) == (25.0, None, 0.0, None)
    assert mean_of([a, b])({"a": 1.0, "na": 4.0, "b": 3.0, "nb": 4.0}) == 50.0
    assert mean_of([a, b])({"a": 1.0, "na": 4.0}) is None  # not the mean of what is there
    assert mean_of([])({}) is None


# Questions of RTV-Bench


def probe(at_s: float, *, question: str = "Which?", options: str = "xyz", answer: str = "A", video: str = "v") -> Probe:
    offered = dict(zip("ABC", options, strict=False))
    return Probe(
        id=f"{video}{at_s}", video=video, at_s=at_s, task="t", question=question, options=offered, answer=answer
    )


def test_questions_are_grouped_by_video_and_words_whatever_case_and_spaces() -> None:
    rows = [probe(9.0), probe(3.0, question=" which? "), probe(5.0, question="Which"), probe(1.0, video="w")]
    assert [[one.at_s for one in group] for group in question_groups(rows)] == [[3.0, 9.0], [5.0], [1.0]]
    assert same_question("A  B\nc") == "a b c"


@pytest.mark.parametrize(
    ("group", "kept"),
    [
        ([probe(1.0), probe(2.0)], True),
        ([probe(1.0), probe(1.0)], False),  # one moment
        ([probe(1.0)], False),
        ([probe(1.0), probe(2.0, options="xzy")], True),  # the same texts under other letters
        ([probe(1.0), probe(2.0, options="xyw")], False),
    ],
)
def test_a_revision_group_has_two_moments_and_one_set_of_options(group: list[Probe], kept: bool) -> None:
    assert bool(revision_groups(group)) == kept


def test_two_probes_of_one_moment_are_one() -> None:
    assert [one.at_s for one in moments([probe(1.0), probe(1.0), probe(2.0), probe(2.0)])] == [1.0, 2.0]


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=2, max_size=5, unique=True), st.text(max_size=5))
def test_a_shuffle_is_a_permutation_that_hangs_on_its_key_alone(texts: list[str], key: str) -> None:
    options = dict(zip("ABCDE", texts, strict=False))
    found = shuffled(options, key)
    assert list(found) == list(options)
    assert sorted(found.values()) == sorted(texts)
    assert found == shuffled(options, key)
    assert all(found[letter_of(found, text)] == text for text in texts)


def test_every_place_is_as_likely_after_a_shuffle() -> None:
    options = {"A": "a", "B": "b", "C": "c"}
    places = Counter(letter_of(shuffled(options, f"q{n}"), "a") for n in range(1500))
    assert max(places.values()) < 1.25 * min(places.values())


# Steps


@pytest.mark.parametrize(
    ("starts", "ends", "last_s", "spans"),
    [
        ([0], [5], 5, [(0, 5, "a")]),
        ([2], [9], 5, [(0, 2, "none"), (2, 5, "a")]),  # cut at the last probe
        ([0, 2], [4, 6], 8, [(0, 2, "a"), (2, 6, "b"), (6, 8, "none")]),  # the later of two that overlap
        ([0, 5], [5, 5], 8, [(0, 5, "a"), (5, 8, "none")]),  # no time at all
        ([6], [7], 5, [(0, 5, "none")]),
        ([], [], 5, [(0, 5, "none")]),
    ],
)
def test_which_step_is_performed_when(
    starts: list[float], ends: list[float], last_s: float, spans: list[tuple[float, float, str]]
) -> None:
    found = step_spans(starts, ends, ["a", "b"], last_s)
    assert found == spans
    assert [b for _, b, _ in found[:-1]] == [a for a, _, _ in found[1:]]  # no moment twice, none left out
