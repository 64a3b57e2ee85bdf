"""The time line of a stream, mark by mark."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from event_logs import ask, decide, frame, happening, log_of, question, say, tokens, truth_of, value
from page_tree import Node, light, tree

from vigil.eval.report.lanes import judged, missed, silences, stands
from vigil.eval.report.pictures import Sheet
from vigil.eval.report.streams import Stream
from vigil.eval.report.timeline import GUTTER_PX, MARGIN_PX, timeline

WIDE = 1040.0
"""Pixels of the axis of a short stream."""


def drawn(stream: Stream, sheet: Sheet | None = None) -> Node:
    return tree(timeline(stream, sheet, anchor="line")).one("svg", of="timeline")


def px(seconds: float, of_s: float = 10.0) -> Any:
    """Where a moment of a stream of this length is drawn, to two decimals."""
    return pytest.approx(GUTTER_PX + WIDE * seconds / of_s, abs=0.006)


def stream_of(*rows: dict[str, Any], truth: Sequence[dict[str, Any]] = (), end_s: float = 10.0, **head: Any) -> Stream:
    return Stream(name="s", log=log_of(*rows, end_s=end_s, **head), truth=truth_of(*truth))


def sheet_of(num: int) -> Sheet:
    return Sheet(id="sheet", url="data:image/jpeg;base64,AA==", cells={i: i for i in range(num)}, width_px=64)


# ---- what is judged -------------------------------------------------------------------------------------------------


def test_speech_is_right_in_time_or_due_by_nothing() -> None:
    truth = [question("q1"), happening(1, 2, "cat", accept=["A cat."]), happening(5, 6, "dog", accept=["A dog."])]
    stream = stream_of(*say("1", 1.5, "A cat."), *say("2", 5.5, "A cow."), *say("3", 9.0, "A cat."), truth=truth)
    verdicts = judged(stream.log, stream.truth)
    assert [(one.event is not None, one.is_right) for one in verdicts] == [(True, True), (True, False), (False, False)]
    assert missed(stream.log, stream.truth) == []


def test_what_is_said_late_leaves_its_event_missed() -> None:
    truth = [question("q1"), happening(1, 2, "cat", accept=["A cat."])]
    late = stream_of(*say("1", 4.5, "A cat."), truth=truth)
    assert [event.v for event in missed(late.log, late.truth)] == ["cat"]
    in_time = stream_of(*say("1", 3.0, "A cat."), truth=truth)
    assert missed(in_time.log, in_time.truth) == [], "2 s after it is in time"


@pytest.mark.parametrize(
    ("said", "states"),
    [
        ([], [("none", 0.0, 10.0)]),
        ([(2.0, "red")], [("none", 0.0, 2.0), ("right", 2.0, 6.0), ("stale", 6.0, 10.0)]),
        ([(2.0, "blue")], [("none", 0.0, 2.0), ("early", 2.0, 6.0), ("right", 6.0, 10.0)]),
        ([(2.0, "green")], [("none", 0.0, 2.0), ("wrong", 2.0, 10.0)]),
        ([(2.0, "red"), (7.0, "blue")], [("none", 0, 2), ("right", 2, 6), ("stale", 6, 7), ("right", 7, 10)]),
    ],
)
def test_what_stands_is_compared_with_what_holds(
    said: list[tuple[float, str]], states: list[tuple[str, float, float]]
) -> None:
    truth = [question("q1", kind="state"), value(0, 6, "red"), value(6, 10, "blue")]
    rows = [row for n, (at, text) in enumerate(said) for row in say(str(n), at, text)]
    stream = stream_of(*rows, truth=truth)
    found = [(one.state, one.start_s, one.end_s) for one in stands(stream.log, stream.truth, "q1")]
    assert found == states


def test_a_question_without_values_has_nothing_that_stands() -> None:
    stream = stream_of(*say("1", 1.0, "A cat."), truth=[question("q1"), happening(1, 2)])
    assert stands(stream.log, stream.truth, "q1") == []


def test_slots_that_spoke_are_no_silence() -> None:
    rows = [decide(0.0, "speak", p=0.1), decide(1.0, "continue"), decide(2.0, "silent", p=0.9), decide(3.0, "stop")]
    (run,) = silences(stream_of(*rows).log)
    assert (run.slots, run.first_s, run.last_s, run.p_min, run.frames) == (1, 2.0, 2.0, 0.9, ())


# ---- the time line --------------------------------------------------------------------------------------------------


def test_a_short_stream_is_as_wide_as_a_screen_and_a_long_one_is_bounded() -> None:
    def width(end_s: float) -> float:
        return float((drawn(stream_of(end_s=end_s)).attrs["viewbox"] or "").split()[2])

    margins = GUTTER_PX + MARGIN_PX
    assert width(10.0) == margins + WIDE
    assert width(100.0) == margins + 1700
    assert width(3600.0) == margins + 12_000


def test_lanes_stand_below_one_another_in_their_order_and_empty_ones_are_left_out() -> None:
    svg = drawn(light())
    names = [text.text for text in svg.all("text", of="lane")]
    assert names == ["asked", "frames", "truth", "answer", "said", "P(silence)"]
    ys = [text.number("y") for text in svg.all("text", of="lane")]
    assert ys == sorted(ys)
    assert [text.text for text in drawn(stream_of(*frame(0, 0.0))).all("text", of="lane")] == ["frames"]


def test_a_question_is_a_flag_at_its_time_and_a_line_through_all_lanes() -> None:
    svg = drawn(light())
    assert svg.one("circle", of="flag").number("cx") == px(0.5)
    line = svg.one("line", of="asked")
    assert (line.number("x1"), line.number("x2")) == (px(0.5), px(0.5))
    assert "0.5 s, asked: q1" in [title.text for title in svg.all("title")]


def test_truth_has_values_events_and_spans_in_which_nothing_is_due() -> None:
    svg = drawn(light())
    red, blue = svg.all("rect", of="state")
    assert (red.number("x"), red.number("width")) == (px(0.5), pytest.approx(0.45 * WIDE - 1, abs=0.006))
    assert blue.number("x") == px(5.0)
    assert [text.text for text in svg.all("text", of="value")] == ["red", "blue", "a cat"]
    null_ = svg.one("rect", of="null")
    assert (null_.number("x"), null_.number("width")) == (px(0.0), pytest.approx(0.05 * WIDE))
    event = svg.one("rect", of="event")
    assert (event.number("x"), event.number("width")) == (px(3.0), pytest.approx(0.1 * WIDE))
    titles = [title.text for title in svg.all("title")]
    assert {"0 to 0.5 s: nothing is due", "0.5 to 5 s: red", "3 to 4 s, due: a cat"} <= set(titles)


def test_the_lane_of_answers_is_coloured_by_what_stood() -> None:
    svg = drawn(light())
    lanes = {style: svg.all("rect", of=style) for style in ("none", "right", "stale", "wrong", "early")}
    assert {style: len(rects) for style, rects in lanes.items()} == {
        "none": 1, "right": 2, "stale": 1, "wrong": 0, "early": 0
    }  # fmt: skip
    assert [rect.number("x") for rect in lanes["right"]] == [px(1.5), px(5.5)]
    titles = [title.text for title in svg.all("title")]
    assert {"0.5 to 1.5 s, none: no answer", "5 to 5.5 s, stale: red"} <= set(titles)


def test_what_was_said_is_filled_hatched_or_hollow_and_a_revision_has_its_own_colour() -> None:
    truth = [question("q1", kind="state"), value(0, 5, "red"), value(5, 10, "blue")]
    rows = [
        *say("1", 1.0, "red"),
        *say("2", 5.5, "green", supersedes="1"),
        *say("3", 9.0, "blue"),
    ]
    svg = drawn(stream_of(*rows, truth=truth))
    bars = svg.all("rect", of="bar")
    assert [bar.classes for bar in bars] == [{"bar", "speech"}, {"bar", "revision", "off"}, {"bar", "speech", "extra"}]
    assert [bar.number("x") for bar in bars] == [px(1.0), px(5.5), px(9.0)]
    texts = [(text.text, "struck" in text.classes) for text in svg.all("text", of="said")]
    assert texts == [("red", True), ("green", False), ("blue", False)]
    (link,) = svg.all("path", of="link")
    start, end = f"{GUTTER_PX + 0.1 * WIDE:.1f}", f"{GUTTER_PX + 0.55 * WIDE:.1f}"
    assert (link.attrs["d"] or "").startswith(f"M{start} "), "it leads from what is replaced"
    assert f" {end} " in (link.attrs["d"] or "")
    assert "5.5 to 5.5 s, final: green (not a right text)" in [title.text for title in svg.all("title")]


def test_marks_of_speech_carry_their_time_and_words_for_the_script() -> None:
    marks = [node for node in drawn(light()).all("g") if "data-from" in node.attrs]
    assert [(node.number("data-from"), node.attrs["data-text"]) for node in marks] == [
        (1.5, "It is red."), (5.5, "It is blue."), (9.5, "Nobody asked.")
    ]  # fmt: skip


def test_a_label_that_has_no_room_to_the_right_stands_to_the_left_of_its_bar() -> None:
    svg = drawn(light())
    first, *_, last = svg.all("text", of="said")
    assert first.number("x") > px(1.5).expected
    assert "text-anchor" not in first.attrs
    assert last.attrs["text-anchor"] == "end"
    assert last.number("x") < px(9.5).expected


def test_a_very_long_text_lies_on_its_bar() -> None:
    words = [*tokens("1", [0.5, 9.9], [-1, -1], q=None)]
    words[1]["text"] = "w" * 300
    svg = drawn(stream_of(*words))
    (text,) = svg.all("text", of="said")
    assert "inside" in text.classes, "there is no room on either side"
    assert len(text.text) == 40
    asked = drawn(stream_of({**ask("q1", 5.0), "text": "q" * 200}))
    (flag,) = asked.all("text", of="question")
    assert len(flag.text) == 90


def test_spoken_and_silent_slots_have_the_height_of_their_probability() -> None:
    rows = [
        decide(1.0, "silent", p=1.0),
        decide(2.0, "silent", p=0.5),
        decide(3.0, "speak", p=0.0),
        decide(4.0, "silent"),
    ]
    svg = drawn(stream_of(*rows))
    heights = [(rect.number("x"), rect.number("height")) for rect in svg.all("rect", of="quiet")]
    assert heights == [(px(1.0), 30.0), (px(2.0), 15.0)]
    (spoke,) = svg.all("rect", of="spoke")
    assert spoke.number("height") == 0.8, "it can still be seen"
    assert len(svg.all("circle", of="spoke")) == 1
    assert "2 s, silent: P(silence) 0.5000" in [title.text for title in svg.all("title")]


def test_a_frame_that_was_dropped_is_marked_with_the_reason() -> None:
    rows = [*frame(0, 0.0), *frame(1, 1.0, ready_s=None), {"k": "drop", "i": 1, "w": 1.0, "why": "policy"}]
    svg = drawn(stream_of(*rows))
    assert svg.one("line", of="dropped").number("x1") == px(1.0)
    assert "frame 1 dropped: policy" in [title.text for title in svg.all("title")]


def test_frames_lie_side_by_side_at_their_times_as_many_as_have_room() -> None:
    few = stream_of(*(row for i in range(10) for row in frame(i, float(i))))
    cells = drawn(few, sheet_of(10)).all("svg", of="frame")
    assert [cell.number("x") for cell in cells] == [px(float(i)) for i in range(10)]
    assert [cell.one("title").text for cell in cells][3] == "frame 3, 3 s"
    assert cells[3].attrs["viewbox"] == "192 0 64 64"
    many = stream_of(*(row for i in range(100) for row in frame(i, i / 10)), fps=10)
    xs = [cell.number("x") for cell in drawn(many, sheet_of(100)).all("svg", of="frame")]
    assert 10 < len(xs) < 60
    widths = {round(cell.number("width"), 2) for cell in drawn(many, sheet_of(100)).all("svg", of="frame")}
    assert min(b - a for a, b in pairwise(xs)) >= max(widths), "none covers another"


def test_the_drawing_is_described_in_words() -> None:
    assert drawn(light()).one("desc").text == (
        "10 seconds, 10 frames, 1 questions. 3 things said, 2 of them when something was due, 1 as revisions; "
        "1 of 3 events missed. The transcript below has the same in words."
    )


def test_a_time_axis_has_round_seconds() -> None:
    ticks = [text.text for text in drawn(stream_of(end_s=60.0)).all("text", of="tick")]
    assert ticks[0] == "0 s"
    assert ticks[-1] == "60 s"
    assert len(ticks) <= 26
