"""The numbers of a study: measures over units, their spread over seeds, paired differences, and the tables of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from event_logs import ask, decide, frame, happening, log_of, near, question, say, tokens, truth_of, value
from studied import Given, around, cells, measure, seeing, speed

from vigil.eval.behaviour import Estimate, Pair, summarize
from vigil.eval.l5.score import KINDS, Outcome, Scores
from vigil.eval.study import tables
from vigil.eval.study.measures import (
    BEHAVIOUR,
    Measure,
    first_token_waits,
    is_constant,
    of_confidence,
    of_pairs,
    of_streams,
    of_trials,
    of_videos,
)
from vigil.eval.study.results import Differences, Spread
from vigil.eval.study.tables import FrameCost
from vigil.eval.summary import METRICS, score

# ---- measures -------------------------------------------------------------------------------------------------------


def red_then_blue(*, says_blue: bool = True, constant: bool = False) -> Pair:
    """Ten seconds: red until 5 s and then blue (or red all the time), asked at once and answered."""
    truth = truth_of(
        question(kind="state"), *([value(0, 10, "red")] if constant else [value(0, 5, "red"), value(5, 10, "blue")])
    )
    said = say("1", 1.0, "red")
    if says_blue:
        said += say("2", 6.0, "blue", supersedes="1")
    slots = [row for i in range(10) for row in (*frame(i, float(i)), decide(i + 0.5, "silent", vis=i, p=0.8))]
    return log_of(*slots, ask("q1", 0.0, direct=True), *seeing(said), end_s=10.0), truth


def test_a_measure_over_all_units_is_that_of_the_summary() -> None:
    pairs = [red_then_blue(), red_then_blue(says_blue=False), red_then_blue(constant=True)]
    summary = summarize(pairs, replicates=10)
    found = of_pairs(pairs)
    for name in BEHAVIOUR:
        own = found[name].value
        assert (None if own is None or math.isinf(own) else own) == summary[name]["value"], name
        assert found[name].num == 3


@pytest.mark.parametrize("name", ["twa_now", "rev_latency_median_s", "rev_f1_2s", "cost_0.3"])
def test_a_measure_over_drawn_units_counts_a_unit_as_often_as_it_was_drawn(name: str) -> None:
    pairs = [red_then_blue(), red_then_blue(says_blue=False), red_then_blue(constant=True)]
    drawn = of_streams(name, [score(*pair) for pair in pairs]).statistic(np.array([0, 0, 1]))
    again = of_streams(name, [score(*pairs[n]) for n in (0, 0, 1)]).value
    assert drawn == again


def test_changes_of_the_answer_where_nothing_changes_are_told_apart() -> None:
    found = of_pairs([red_then_blue(), red_then_blue(constant=True)])
    assert METRICS["churn_per_min"].columns == 2
    # both window spans are 10 s; the first change is credited, the one on constant truth is not
    assert found["churn_constant_per_min"].value == pytest.approx(60 / 10)
    assert of_pairs([red_then_blue()])["churn_constant_per_min"].value is None, "no scene is constant"
    assert of_pairs([red_then_blue(says_blue=False, constant=True)])["churn_constant_per_min"].value == 0


def test_the_length_of_a_reply_is_its_tokens() -> None:
    log = log_of(*tokens("1", [1.0, 1.1, 1.2], [-1] * 3), *tokens("2", [3.0], [-1]), end_s=9.0)
    nothing = log_of(end_s=9.0)
    truth = truth_of(question())
    assert of_pairs([(log, truth), (nothing, truth)])["reply_tokens"].value == 2.0
    assert of_pairs([(nothing, truth)])["reply_tokens"].value is None


def test_the_first_token_of_each_direct_question_counts_and_no_later_one() -> None:
    log = log_of(
        ask("q1", 1.0, direct=True),
        *say("1", 1.5, "one", q="q1"),
        *say("2", 3.0, "two", q="q1"),
        ask("q2", 4.0, direct=False),
        *say("3", 4.25, "three", q="q2"),
        ask("q3", 5.0, direct=True),
        ask("q4", 6.0, direct=True),
        *say("4", 8.0, "four", q="q4"),
        end_s=9.0,
    )
    assert first_token_waits(log) == [0.5, 2.0], "q2 may wait, and q3 was never answered"
    truth = truth_of(question(), *(question(f"q{n}") for n in (2, 3, 4)))
    assert of_pairs([(log, truth)])["ttft_s"].value == 1.25
    assert of_pairs([(log_of(end_s=9.0), truth)])["ttft_s"].value is None


def test_a_truth_is_constant_if_no_answer_ever_changes() -> None:
    assert is_constant(truth_of(question(), happening(1, 2)))
    assert is_constant(truth_of(question(kind="state"), value(0, 5, "red"), value(5, 9, "red")))
    assert not is_constant(truth_of(question(kind="state"), value(0, 5, "red"), value(5, 9, "blue")))
    two = (question(kind="state"), question("q2", kind="state"))
    assert not is_constant(truth_of(*two, value(0, 9, "red"), value(0, 5, "a", q="q2"), value(5, 9, "b", q="q2")))


def confident(p: float, *, answered: bool) -> Pair:
    """One event at 2 s about which the model is so sure that silence is right."""
    truth = truth_of(question(), happening(2, 3, "cat", accept=["A cat."]))
    slots = [row for i in range(6) for row in (*frame(i, float(i)), decide(i + 0.25, "silent", vis=i, p=p))]
    return log_of(*slots, *(seeing(say("1", 2.5, "A cat.")) if answered else []), end_s=6.0), truth


def test_risk_takes_confidence_from_the_silent_run_and_mistakes_from_the_free_one() -> None:
    silent = [confident(0.1, answered=False), confident(0.4, answered=False), confident(0.9, answered=False)]
    free = [confident(0.5, answered=answered) for answered in (True, False, True)]
    found = of_confidence(silent, free)
    # the surest event was answered, the second was not, the third was: errors 0 of 1, 1 of 2, 1 of 3
    assert found["aurc"].value == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert found["aurc"].statistic(np.array([0, 2])) == 0.0
    # 12 slots of 18 while the event is not active at its frame; each run's error is weighted by its slots
    errors = [abs(0.9 - 2 / 6), abs(0.6 - 2 / 6), abs(0.1 - 2 / 6)]
    assert found["ece"].value == pytest.approx(sum(errors) / 3)


def outcome(kind: Any, hit: bool | None, **more: Any) -> Outcome:
    return Outcome(kind=kind, hit=hit, **more)


def trial(f: bool, b: bool, d: bool, n: bool) -> list[Outcome]:
    hits = {"F": f, "B": b, "D": d, "N": n}
    return [outcome(kind, hits[kind]) for kind in KINDS]


def test_trials_are_told_under_names_of_their_own_and_nl5_counts_from_the_best_blind_one() -> None:
    ours = Scores([trial(True, True, False, False), trial(True, False, False, False)])
    blind = Scores([trial(False, True, False, False), trial(False, True, False, False)])
    found = of_trials(ours, [blind])
    assert found["l5_pfc"].value == 1.0
    assert found["l5_bcr"].value == 0.5
    assert found["l5_frr"].value == 0.0
    l5, floor = (1 + 0.5 + 1) / 3, (0 + 1 + 1) / 3
    assert found["l5_l5"].value == pytest.approx(l5)
    assert found["l5_nl5"].value == pytest.approx((l5 - floor) / (1 - floor))
    assert all(one.num == 2 for one in found.values())


def test_a_kind_of_question_is_a_share_of_its_own_questions() -> None:
    found = of_videos([[("count", True), ("where", False)], [], [("count", False), ("count", True)]])
    assert sorted(found) == ["offline", "offline_count", "offline_where"]
    assert found["offline"].value == 0.5
    assert found["offline_count"].value == pytest.approx(2 / 3)
    assert found["offline_where"].value == 0.0
    assert found["offline_where"].statistic(np.array([1, 2])) is None, "no such question was drawn"


def test_a_difference_is_taken_on_the_same_resample() -> None:
    noisy = np.asarray(around(0.5, 0.4))
    ours, theirs = measure(list(noisy + 0.1)), measure(list(noisy))
    paired = ours.less(theirs).estimate(seed=0, replicates=100)
    assert paired["value"] == near(0.1)
    assert (paired["lo"], paired["hi"]) == (near(0.1), near(0.1)), "what both share is not noise"
    alone = ours.estimate(seed=0, replicates=100)
    assert alone["lo"] is not None
    assert alone["hi"] is not None
    assert alone["hi"] - alone["lo"] > 0.1


def test_what_was_measured_on_other_units_cannot_be_compared() -> None:
    with pytest.raises(AssertionError, match="both were measured on the same units"):
        measure([0.1] * 12).less(measure([0.1] * 13))


def test_a_median_that_was_not_reached_has_no_finite_difference() -> None:
    never = Measure(lambda drawn: math.inf, 12)
    assert never.value == math.inf
    assert never.less(never).value is None
    assert never.estimate(seed=0, replicates=10) == {"value": None, "lo": None, "hi": None, "n": 12}


# ---- over seeds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "defined", "mean"),
    [
        ((0.25, 0.75), [0.25, 0.75], 0.5),
        ((None, 0.5), [0.5], 0.5),
        ((math.inf, 0.5, None), [0.5], 0.5),
        ((0.0, -0.5), [0.0, -0.5], -0.25),
        ((None, math.inf, -math.inf), [], None),
        ((), [], None),
    ],
)
def test_a_spread_counts_what_is_defined_and_finite(
    values: tuple[float | None, ...], defined: list[float], mean: float | None
) -> None:
    assert Spread(values).defined == defined
    assert Spread(values).mean == mean


def estimate(value: float | None, lo: float | None, hi: float | None) -> Estimate:
    return {"value": value, "lo": lo, "hi": hi, "n": 30}


@pytest.mark.parametrize(
    ("estimates", "above", "below", "is_above", "is_below"),
    [
        ([estimate(0.2, 0.1, 0.3), estimate(0.1, 0.05, 0.2)], 2, 0, True, False),
        ([estimate(0.2, 0.1, 0.3), estimate(0.1, 0.0, 0.2)], 1, 0, False, False),
        ([estimate(-0.2, -0.3, -0.1), estimate(-0.1, -0.2, -0.001)], 0, 2, False, True),
        ([estimate(-0.2, -0.3, 0.0), estimate(-0.1, -0.2, -0.001)], 0, 1, False, False),
        ([estimate(0.2, None, None), estimate(0.1, 0.05, 0.2)], 1, 0, False, False),
        ([estimate(0.2, 0.1, 0.3), estimate(-0.2, -0.3, -0.1)], 1, 1, False, False),
    ],
)
def test_a_difference_excludes_0_only_on_one_side_and_only_with_an_interval(
    estimates: list[Estimate], above: int, below: int, is_above: bool, is_below: bool
) -> None:
    found = Differences(tuple(estimates))
    assert (found.num_above, found.num_below) == (above, below)
    assert (found.is_above, found.is_below) == (is_above, is_below)
    assert found.spread.values == tuple(one["value"] for one in estimates)


def test_each_seed_is_compared_with_the_same_seed_of_the_first_row_or_of_another() -> None:
    results = Given("B", [{"x": 0.1}, {"x": 0.2}], [{"x": 0.5}, {"x": 0.9}], [{"x": 0.0}, {"x": 0.0}])
    first, second, third = results.labels
    assert results.differences(second, "x").spread.values == (near(0.4), near(0.7))
    assert results.differences(second, "x", to=third).spread.values == (near(0.5), near(0.9))
    assert results.differences(first, "x").spread.values == (0.0, 0.0)
    assert results.spread(second, "x").mean == near(0.7)
    assert results.spread(second, "y").values == (None, None), "a number that no run has"


# ---- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "digits", "text"),
    [
        ((0.123, 0.456), 2, "**0.29** 0.12 to 0.46"),
        ((0.5, None, 0.25), 3, "**0.375** 0.250 to 0.500 (1 undefined)"),
        ((0.5, math.inf), 1, "**0.5** 0.5 to 0.5 (1 undefined)"),
        ((None, None), 2, "-"),
        ((math.inf, None), 2, "not reached"),
        ((-0.5,), 2, "**-0.50** -0.50 to -0.50"),
    ],
)
def test_a_cell_tells_mean_and_range(values: tuple[float | None, ...], digits: int, text: str) -> None:
    assert tables.cell(Spread(values), digits) == text


def test_a_cell_of_differences_tells_in_how_many_seeds_it_excludes_0() -> None:
    found = Differences((estimate(0.2, 0.1, 0.3), estimate(-0.1, -0.2, -0.05), estimate(0.0, -0.1, 0.1)))
    assert tables.difference_cell(found) == "+0.033 (-0.100 to +0.200; 2 of 3)"
    assert tables.difference_cell(found, 1) == "+0.0 (-0.1 to +0.2; 2 of 3)"
    assert tables.difference_cell(Differences((estimate(None, None, None),))) == "-"


def test_a_table_is_markdown_with_a_rule_below_its_headings() -> None:
    assert tables.table(["", "a"], [["x", "1"], ["y", "2"]]) == "|  | a |\n|---|---|\n| x | 1 |\n| y | 2 |"


def test_rows_are_followed_by_the_controls_on_the_same_scenes() -> None:
    numbers: list[list[Any]] = [[{"x": 0.1, "tuned_x": 0.3}], [{"x": 0.2}], [{"x": None}]]
    controls: dict[str, Any] = {"always_silent": {"x": 0.75}, "oracle": {"y": 1.0}}
    results = Given("B", *numbers, controls=controls)
    found = cells(tables.by_rows(results, [("X", "x", 2), ("tuned", "tuned_x", 1)]))
    assert found == [
        ["", "X", "tuned"],
        [results.labels[0], "**0.10** 0.10 to 0.10", "**0.3** 0.3 to 0.3"],
        [results.labels[1], "**0.20** 0.20 to 0.20", "-"],
        [results.labels[2], "-", "-"],
        ["*control: always silent*", "0.75", "0.8"],
        ["*control: oracle*", "-", "-"],
    ]


def test_a_control_whose_median_was_not_reached_is_a_dash() -> None:
    assert tables._control(Measure(lambda drawn: math.inf, 3), 2) == "-"
    assert tables._control(Measure(lambda drawn: -0.5, 3), 1) == "-0.5"
    assert tables._control(None, 2) == "-"


def test_differences_are_those_of_every_other_row_to_the_first() -> None:
    results = Given("B", *([{"x": around(x)}] * 2 for x in (0.5, 0.3, 0.7)))  # type: ignore[list-item]
    found = cells(tables.paired(results, [("X", "x", 2)]))
    assert [row[0] for row in found] == ["less with revisions", *results.labels[1:]]
    assert [row[1] for row in found[1:]] == ["-0.200 (-0.200 to -0.200; 2 of 2)", "+0.200 (+0.200 to +0.200; 2 of 2)"]


def test_the_table_of_times_has_seconds_milliseconds_and_what_a_frame_costs() -> None:
    results = Given("A", *([{}, {}] for _ in range(3)))  # type: ignore[list-item]
    times = {label: [speed(0.25, 0.002, 1.0, 2.0), speed(0.75, 0.004, 3.0, 4.0)] for label in results.labels}
    costs = {label: FrameCost(2_130_000.0, 9216) for label in results.labels}
    head, row, *others = cells(tables.speed_table(results, times, costs))
    assert head[1:5] == ["first token after the video (s)", "first token in a stream (s)", "ms/token", "ms/frame"]
    assert row == [
        "cross-attention",
        "**0.5000** 0.2500 to 0.7500",
        "**0.0030** 0.0020 to 0.0040",
        "**2.00** 1.00 to 3.00",
        "**3.00** 2.00 to 4.00",
        "2.13",
        "9,216",
    ]
    assert len(others) == 2


def test_long_streams_are_told_in_minutes_and_kib() -> None:
    row = {"length_s": 90.0, "ms_per_frame": 4.9876, "bytes": 2048 * 1024 + 600, "twa": None}
    times = {"a": [{"lengths": [row, {**row, "length_s": 3600.0, "twa": 0.5}]}], "b": [{"lengths": [row]}, {}]}
    found = cells(tables.lengths_table(times))
    assert found[1:] == [
        ["a", "1.5", "4.99", "2,049", "-"],
        ["a", "60", "4.99", "2,049", "0.50"],
        ["b", "1.5", "4.99", "2,049", "-"],
    ]


def offline(where: float, count: float) -> dict[str, Any]:
    return {"offline": (where + count) / 2, "offline_where": where, "offline_count": count}


def test_the_table_of_tasks_has_the_blind_score_and_each_change() -> None:
    rows = [[offline(0.5, 0.5)], [offline(0.25, 0.75)], *([[offline(0.5, 0.5)]] * 3)]
    results = Given("D", *rows, controls={"blind": {"offline": 0.4, "offline_where": 0.1}})
    head, whole, where, count = cells(tables.offline_table(results))
    assert head == ["task", "*blind*", *results.labels]
    assert whole[:4] == [
        "**all questions**", "0.40", "**0.50** 0.50 to 0.50",
        "**0.50** 0.50 to 0.50<br>+0.000 (+0.000 to +0.000; 0 of 1)",
    ]  # fmt: skip
    assert where[:4] == [
        "where", "0.10", "**0.50** 0.50 to 0.50", "**0.25** 0.25 to 0.25<br>-0.250 (-0.250 to -0.250; 1 of 1)"
    ]  # fmt: skip
    assert count[1] == "-", "a task that no blind control was asked"


def test_shares_of_tasks_are_over_tasks_and_seeds() -> None:
    before = [offline(0.5, 0.5), offline(0.5, 0.5)]
    after = [offline(0.25, 0.75), offline(0.25, 0.5)]
    results = Given("D", before, after, before, before, before)  # type: ignore[arg-type]
    _, changed, same, *_ = cells(tables.shares_table(results))
    assert changed == ["after, no replay", "-0.062", "50%", "25%"]
    assert same == ["after, 10 % replay", "+0.000", "0%", "0%"]


def test_every_column_of_every_table_is_a_number_that_is_measured() -> None:
    known = {*of_pairs([]), *of_videos([[]]), "aurc", "ece"}
    known |= {f"l5_{name}" for name in ("nl5", "frr", "bcr")}
    known |= {f"tuned_{name}" for name in of_pairs([])}
    for columns in (tables.A1, tables.B, tables.C, tables.C_TUNED):
        assert {name for _, name, _ in columns} <= known
    assert len(tables.C_TUNED) == len(tables.C) - 2
