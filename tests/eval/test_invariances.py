"""What must not change the measure: when the run began, how fast it ran, what things are called, the order of streams.

Streams are drawn at random, with answers right and wrong, cut, taken back and replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from event_logs import ask, decide, frame, happening, log_of, near, null, question, truth_of, value
from hypothesis import given
from hypothesis import strategies as st

from vigil.eval.behaviour import Pair, summarize
from vigil.eval.controls import Setting, always_silent, always_talk, oracle
from vigil.eval.log import Log
from vigil.eval.perception import perceive
from vigil.eval.revision import DELAYS_S, PairedProbes, paired_change, revise
from vigil.eval.silence import judge_silence
from vigil.eval.summary import METRICS
from vigil.eval.truth import Truth

END_S = 24.0
WORDS = ("red", "blue", "green", "Hm")


@dataclass(frozen=True)
class Drawn:
    """The rows of a log and of its truth."""

    rows: tuple[dict[str, Any], ...]
    truth: tuple[dict[str, Any], ...]

    def log(self, *, end_s: float = END_S, **head: Any) -> Log:
        return log_of(*self.rows, end_s=end_s, **head)

    def pair(self) -> Pair:
        return self.log(), truth_of(*self.truth)


@st.composite
def streams(draw: st.DrawFn) -> Drawn:
    """Times are eighths of a second, so that sums of them are exact."""
    rows: list[dict[str, Any]] = [row for i in range(24) for row in frame(i, float(i), ready_s=draw(ready))]
    rows += [ask("q1", 1.0, direct=True), ask("q2", 2.0)]
    rows += [decide(i + 0.75, draw(st.sampled_from(["silent", "speak"]))) for i in range(0, 24, 3)]
    at_s = 1.0
    last: dict[str, str | None] = {"q1": None, "q2": None}
    for n in range(draw(st.integers(0, 6))):
        at_s += draw(eighths(1, 30))
        q, a = draw(st.sampled_from(["q1", "q2"])), f"a{n}"
        opened = {"k": "answer", "a": a, "q": q, "w": at_s, "state": "open"}
        rows.append(opened if last[q] is None or draw(st.booleans()) else opened | {"supersedes": last[q]})
        last[q] = a
        for k in range(draw(st.integers(1, 3))):
            word = draw(st.sampled_from(WORDS)) if k == 0 else "!"
            rows.append({"k": "tok", "n": k, "w": at_s, "vis": -1, "text": word, "a": a})
            at_s += draw(eighths(1, 8))
        rows.append({"k": "answer", "a": a, "q": q, "w": at_s, "state": draw(st.sampled_from(["final", "cut"]))})
        if draw(st.integers(0, 4)) == 0:
            rows.append({"k": "answer", "a": a, "q": q, "w": at_s, "state": "retracted"})
    cuts = [0.0, *sorted(draw(st.sets(eighths(16, 160), max_size=4))), 22.0]
    held = [draw(st.sampled_from(WORDS[:3])) for _ in cuts[1:]]
    truth: list[dict[str, Any]] = [question("q1", 1.0, "state"), question("q2", 2.0, until=20.0)]
    truth += [value(a, b, v) for a, b, v in zip(cuts, cuts[1:], held, strict=False)]
    truth += [happening(s, s + 1, v="red", q="q2") for s in sorted(draw(st.sets(eighths(24, 144), max_size=3)))]
    return Drawn(tuple(row for row in rows if row["w"] < END_S), (*truth, null(3, 5)))


def eighths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda n: n / 8)


ready = st.sampled_from([0.0, 0.125, 0.5])


def tallies(log: Log, truth: Truth) -> tuple[Any, ...]:
    """All that is counted in media time."""
    return (revise(log, truth), *(judge_silence(log, truth, late_s=late_s) for late_s in (1.0, 2.0, 5.0)))


def on_clock(rows: tuple[dict[str, Any], ...], of: Callable[[float], float]) -> list[dict[str, Any]]:
    return [row | {"w": of(row["w"])} for row in rows]


@given(streams(), st.integers(0, 40))
def test_when_the_run_clock_started_changes_nothing(drawn: Drawn, w0: int) -> None:
    log, truth = drawn.pair()
    later = log_of(*on_clock(drawn.rows, lambda w: w + w0), end_s=END_S + w0, w0=w0)
    assert tallies(later, truth) == tallies(log, truth)
    assert perceive(later) == perceive(log)


@given(streams(), st.sampled_from([0.25, 2.0, 8.0]))
def test_how_fast_the_video_was_played_changes_nothing_in_media_time(drawn: Drawn, speed: float) -> None:
    log, truth = drawn.pair()
    faster = log_of(*on_clock(drawn.rows, lambda w: w / speed), end_s=END_S / speed, speed=speed)
    assert revise(faster, truth) == revise(log, truth)
    ours, theirs = (replace(judge_silence(one, truth), answered=None) for one in (faster, log))  # type: ignore[arg-type]
    assert ours == theirs  # but for the answer guarantee, which is on the run clock
    assert perceive(faster).synchrony == perceive(log).synchrony


@given(streams(), st.integers(1, 50))
def test_a_stream_that_begins_with_more_of_nothing_is_scored_the_same(drawn: Drawn, later_s: int) -> None:
    log, truth = drawn.pair()
    rows = [row | {key: row[key] + later_s for key in ("t", "w") if key in row} for row in drawn.rows]
    keys = ("t_ask", "until", "from", "to", "s", "e")
    moved = [row | {key: row[key] + later_s for key in keys if row.get(key) is not None} for row in drawn.truth]
    after, before = tallies(log_of(*rows, end_s=END_S + later_s), truth_of(*moved)), tallies(log, truth)
    assert [replace(one, stream_s=0.0) if hasattr(one, "stream_s") else one for one in after] == [
        replace(one, stream_s=0.0) if hasattr(one, "stream_s") else one for one in before
    ]


@given(streams())
def test_what_questions_and_answers_are_called_changes_nothing(drawn: Drawn) -> None:
    log, truth = drawn.pair()
    names = {"q1": "zz", "q2": "aa", **{f"a{n}": f"9{9 - n}" for n in range(9)}}

    def named(row: dict[str, Any]) -> dict[str, Any]:
        return row | {key: names[row[key]] for key in ("q", "a", "supersedes") if row.get(key) is not None}

    assert tallies(log_of(*map(named, drawn.rows), end_s=END_S), truth_of(*map(named, drawn.truth))) == tallies(
        log, truth
    )


@given(streams())
def test_the_order_of_the_truth_file_changes_nothing(drawn: Drawn) -> None:
    log, truth = drawn.pair()
    assert tallies(log, truth_of(*reversed(drawn.truth))) == tallies(log, truth)


@given(st.lists(streams(), min_size=2, max_size=3))
def test_neither_the_order_of_the_streams_nor_having_each_twice_changes_a_value(drawn: list[Drawn]) -> None:
    pairs = [one.pair() for one in drawn]
    values = {name: one["value"] for name, one in summarize(pairs).items()}
    for others in (pairs[::-1], pairs * 2):
        assert {name: one["value"] for name, one in summarize(others).items()} == {
            name: None if number is None else near(number, abs=1e-9) for name, number in values.items()
        }


@given(streams())
def test_shares_and_counts_keep_within_their_bounds(drawn: Drawn) -> None:
    log, truth = drawn.pair()
    seen = revise(log, truth)
    assert seen.window_s == near(22.0 - 1.0)
    assert min(seen.correct_s, seen.unanswered_s, seen.stale_s, seen.premature_s, seen.wrong_s) >= 0
    assert [seen.credited[a] <= seen.credited[b] for a, b in pairwise(DELAYS_S)] == [True] * 3
    assert seen.credited[10.0] <= min(seen.changes, seen.transitions)
    assert sum(found for _, found in seen.delays) >= seen.credited[10.0]
    assert len(seen.delays) == seen.changes
    strict, late = judge_silence(log, truth, late_s=1.0), judge_silence(log, truth, late_s=5.0)
    assert strict.matches <= late.matches
    for one in (strict, late):
        assert one.right_matches <= one.matches <= min(one.speech, one.events)
        assert one.unmatched.total() == one.speech - one.matches
        assert 0 <= one.missed_events <= one.events - one.matches
        assert 0 <= one.silent_right <= min(one.silent_due, one.silent)


@given(streams())
def test_the_oracle_is_perfect_and_silence_is_the_floor_whatever_the_truth(drawn: Drawn) -> None:
    truth = truth_of(*drawn.truth)
    setting = Setting(duration_s=END_S, fps=8.0, tokens_per_s=100.0)  # one-word texts, and a frame on every eighth
    right, mute = oracle(truth, setting), always_silent(truth, setting)
    assert judge_silence(right, truth).f1 in (1.0, None)
    assert judge_silence(right, truth).f1_content == judge_silence(right, truth).f1
    assert revise(right, truth).twa == near(1.0)
    assert revise(right, truth).f1(1.0) in (1.0, None)
    assert {judge_silence(mute, truth).cost(weight) for weight in (0.1, 0.3, 1.0, 3.0)} <= {1.0, None}
    assert (judge_silence(mute, truth).silence_recall, revise(mute, truth).twa) == (1.0, 0.0)
    talk = judge_silence(always_talk(truth, Setting(duration_s=END_S)), truth)
    assert talk.silence_recall == 0.0
    assert talk.f1 is None or talk.f1 < 0.5


def test_every_metric_of_the_summary_was_defined_in_some_such_stream() -> None:
    """The negative control of the tests above: they compare numbers, not nulls."""
    rows = [row for i in range(24) for row in frame(i, float(i))]
    words = [{"k": "tok", "n": k, "w": 3.0 + k, "vis": 3 + k, "text": "red", "a": "a"} for k in range(3)]
    rows += [{"k": "answer", "a": "a", "q": "q1", "w": 3.0, "state": "open"}, *words]
    rows.append({"k": "answer", "a": "a", "q": "q1", "w": 6.0, "state": "cut"})
    log = log_of(*rows, ask("q1", 3.0, direct=True), decide(1.0, "silent"), end_s=END_S)
    truth = truth_of(question("q1", 3.0, "state"), value(0, 9, "red"), value(9, 20, "blue"))
    undefined = {name for name, one in summarize([(log, truth)]).items() if one["value"] is None}
    assert undefined < set(METRICS)
    assert not undefined & {"speak_f1_2s", "twa_now", "rev_f1_2s", "pl_slope", "silence_recall", "synchrony"}


# Probes instead of times


def pairs_of(num_options: int, *, same: bool) -> list[PairedProbes]:
    """Every pair of answers that a guess among so many options may give, each once; `same`: also one answer twice."""
    names = [str(n) for n in range(num_options)]
    return [
        PairedProbes(first=a, second=b, truth_first="0", truth_second="1")
        for a in names
        for b in names
        if same or a != b
    ]


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_chance_is_1_in_k_squared_and_without_replacement_1_in_k_times_k_less_1(k: int) -> None:
    guessed, drawn = paired_change(pairs_of(k, same=True)), paired_change(pairs_of(k, same=False))
    assert (guessed.pca, guessed.stuck, guessed.gain) == (near(1 / k**2), near(1 / k), near(0.0, abs=1e-12))
    assert (drawn.pca, drawn.stuck) == (near(1 / (k * (k - 1))), 0.0)
    assert drawn.gain == near((1 / (k * (k - 1)) - 1 / k**2) / (1 - 1 / k**2))
