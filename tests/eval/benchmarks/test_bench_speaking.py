"""Alerts, commentary and spans, item by item: what is said when comes to what, against counts by hand."""

from __future__ import annotations

import pytest
from bench_folders import cases_of, mark_of, replying, saying, sums_of

from vigil.eval.benchmarks import benchmark
from vigil.eval.benchmarks.omnimmi import ADDRESSED_S

# RIVER


def test_an_alert_of_river_may_come_a_second_early() -> None:
    """Asked at 1 s, due at 9 s."""
    (item,) = [
        case.id
        for case in cases_of("river").values()
        if case.task.startswith("Pro-Response-Instant") and case.video == "r1.mp4"
    ]
    keys = ("Instant:matches@2", "Instant:matches@5", "Instant:matches@10", "Instant:false", "Instant:quiet_s")
    for at_s, expected in ((8, [1, 1, 1, 1, 8]), (7, [0, 0, 0, 1, 8]), (11, [1, 1, 1, 0, 8]), (14, [0, 1, 1, 0, 8])):
        assert sums_of("river", item, "strict", saying((at_s, "Now.")), *keys) == expected
    assert sums_of("river", item, "strict", saying((20, "Now.")), *keys) == [0, 0, 0, 0, 8]


def test_the_commentary_of_river_is_matched_by_its_starts() -> None:
    """Due: "You lift the cup." at 2 s, "You drink." at 5 s, "You put it down." at 9 s."""
    (item,) = [case.id for case in cases_of("river").values() if case.task == "Pro-Response-Streaming"]
    keys = ("commentary:said", "commentary:due", "commentary:matches", "commentary:accuracy")
    perfect = saying((2, "You lift the cup."), (5, "You drink."), (9, "You put it down."))
    assert sums_of("river", item, "strict", perfect, *keys) == [3, 3, 3, 3]
    wrong = saying((2, "No idea."), (20, "You drink."))
    assert sums_of("river", item, "strict", wrong, *keys) == [2, 3, 1, 0.5]
    scores = {score.name: score.of for score in benchmark("river").scores([])}
    assert scores["commentary F1"](mark_of(cases_of("river")[item, "strict"], wrong).sums) == pytest.approx(40.0)
    assert scores["commentary F1"]({}) is None


# OmniMMI


@pytest.mark.parametrize(
    ("times", "accuracy", "precision", "iou", "matches"),
    [
        ([6], 1, 1, 0, 1),
        ([10], 1, 1, 0, 1),
        ([11], 0, 0, 0, 0),
        ([5, 6], 0, 0.5, 0, 1),
        ([6, 8, 10], 1, 1, 1, 1),
        ([0, 8], 1, 1, 0, 1),  # what is said in the first second is discarded by theirs
        ([], 0, 0, 0, 0),
    ],
)
def test_alerts_of_omnimmi(times: list[float], accuracy: float, precision: float, iou: float, matches: int) -> None:
    """The bus comes from 6 to 10 s."""
    keys = ("PA:accuracy", "PA:precision", "PA:iou", "PA:matches@span", "PA:said")
    found = sums_of("omnimmi", "PA-0000", "strict", saying(*((t, "Now.") for t in times)), *keys)
    assert found == pytest.approx([accuracy, precision, iou, matches, len(times)])


@pytest.mark.parametrize(("reply", "right"), [("", 1), ("<2> still listening", 1), ("2", 0), ("Yes.", 0)])
def test_talk_that_is_not_addressed_to_it_wants_no_reply(reply: str, right: int) -> None:
    assert sums_of("omnimmi", "PT-0000", "strict", replying(reply), "PT:right", "PT:items") == [right, 1]


def test_a_question_that_is_addressed_to_it_wants_one_in_time() -> None:
    case = cases_of("omnimmi")["PT-0000-addressed", "strict"]
    plan = case.play()
    stream = next(plan)
    assert (stream.asks[0].text, stream.asks[0].t) == ("Who is speaking?", 3.0)
    assert sums_of("omnimmi", case.id, "strict", replying("Ann"), "addressed:right") == [1]
    assert sums_of("omnimmi", case.id, "strict", replying(), "addressed:right", "addressed:items") == [0, 1]
    late = saying((14, "Ann"))
    assert sums_of("omnimmi", case.id, "strict", late, "addressed:right") == [0]
    other = cases_of("omnimmi")["PT-0001-addressed", "strict"]  # no question about its own video: the file's next one
    assert other.video == "t1.mp4"
    assert next(cases_of("omnimmi")["PT-0001", "strict"].play()).asks[0].t == ADDRESSED_S


# ProactiveVideoQA


@pytest.mark.parametrize(
    ("said", "area", "outside", "repeated", "early"),
    [
        ([], 0.125, 0, 0, 0),
        ([(10, "the cat jumps")], 1.0, 0, 0, 0),
        ([(14, "the cat jumps")], (0.5 * 2 + 4 * 6) / 32, 0, 0, 0),
        ([(18, "the cat jumps")], (0.5 * 4 + 4 * 4) / 32, 0, 0, 0),
        ([(10, "the dog sleeps")], (1 * 8) / 32, 0, 0, 0),  # one word of three: 1 + round(4/3), less 1
        ([(5, "the cat jumps")], 0.125, 1, 0, 1),
        ([(19, "the cat jumps")], 0.125, 1, 0, 0),
        ([(10, "the cat jumps"), (14, "the cat jumps")], 1.0, 0, 1, 0),
        ([(10, "the cat jumps"), (14, "nonsense")], (4 * 2 + 0 * 6) / 32, 0, 0, 0),
        ([(10, "No reply.")], 0.125, 0, 0, 0),
    ],
)
def test_a_span_of_proactive_by_hand(
    said: list[tuple[float, str]], area: float, outside: int, repeated: int, early: int
) -> None:
    """WEB: "the cat jumps" is due on [10, 18], asked at 0 s; a quarter of the way counts for omega 0.5."""
    keys = ("outside", "repeated", "early", "said", "waited_s")
    marked = mark_of(cases_of("proactive")["WEB-web_1", "strict"], saying(*said)).sums
    assert [marked[key] for key in keys] == [outside, repeated, early, len(said), 10.0]
    for scorer in ("official", "strict"):
        assert marked[f"{scorer}:WEB@0.5"] == pytest.approx(area)
        assert marked[f"{scorer}:WEB"] == 1.0
