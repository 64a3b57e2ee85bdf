"""Charts, point by point: where a value is drawn, what a legend says, and what stands for nothing."""

from __future__ import annotations

import re

import pytest
from page_tree import Node, light, tree

from vigil.eval.report.charts import HEIGHT, Curve, curve_chart, reliability_chart, ruler
from vigil.eval.report.curves import Bin
from vigil.eval.report.distributions import calibration, latency
from vigil.eval.report.markup import number, tag
from vigil.eval.report.scales import Scale, clip, drawing, pack, rule, spell, words

LEFT, RIGHT, TOP, FLOOR = 40.0, 344.0, 14.0, 204.0


def chart(*curves: Curve, x_max: float = 10.0) -> Node:
    return tree(curve_chart(curves, anchor="a", title="T", desc="D", x_label="seconds", x_max=x_max))


# ---- scales ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "px"), [(0.0, 100.0), (5.0, 150.0), (10.0, 200.0), (-3.0, 100.0), (99.0, 200.0)], ids=str
)
def test_a_scale_is_straight_and_keeps_to_its_edges(value: float, px: float) -> None:
    assert Scale(lo=0.0, hi=10.0, start_px=100.0, end_px=200.0)(value) == px
    assert Scale(lo=0.0, hi=10.0, start_px=200.0, end_px=100.0)(value) == 300.0 - px, "and may run upward"


def test_a_scale_of_no_length_puts_everything_at_its_start() -> None:
    assert Scale(lo=3.0, hi=3.0, start_px=7.0, end_px=9.0)(3.0) == 7.0


@pytest.mark.parametrize(
    ("lo", "hi", "most", "ticks"),
    [
        (0.0, 1.0, 6, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 10.0, 6, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
        (0.0, 60.0, 7, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]),
        (0.0, 7.0, 4, [0.0, 5.0]),
        (2.0, 4.0, 5, [2.0, 2.5, 3.0, 3.5, 4.0]),
        (0.0, 0.35, 4, [0.0, 0.2]),
    ],
)
def test_ticks_by_hand(lo: float, hi: float, most: int, ticks: list[float]) -> None:
    assert Scale(lo=lo, hi=hi, start_px=0.0, end_px=1.0).ticks(most=most) == pytest.approx(ticks)


@pytest.mark.parametrize(("value", "text"), [(1.0, "1"), (0.5, "0.5"), (0.125, "0.12"), (100.0, "100"), (0.0, "0")])
def test_numbers_for_people_have_no_trailing_zeros(value: float, text: str) -> None:
    assert spell(value) == text
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.001, "0"), (12.345, "12.35"), (-1.5, "-1.5")])
def test_coordinates_keep_two_decimals(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("ab  cd", 4, "ab…"), ("a", 1, "a"), ("ab", 1, "…")],
)
def test_a_text_is_cut_to_its_room(text: str, most: int, expected: str) -> None:
    assert clip(text, most) == expected
    assert len(clip(text, most)) <= most


@pytest.mark.parametrize(
    ("spans", "rows"),
    [
        ([(0, 10), (20, 30)], [0, 0]),
        ([(0, 10), (18, 30)], [0, 0]),
        ([(0, 10), (17.9, 30)], [0, 1]),
        ([(0, 100), (10, 20), (30, 40), (50, 60)], [0, 1, 1, 1]),
        ([(50, 60), (0, 10), (5, 55)], [0, 0, 1]),
        ([], []),
    ],
)
def test_spans_go_to_the_first_row_with_room(spans: list[tuple[float, float]], rows: list[int]) -> None:
    assert pack(spans, gap_px=8.0) == rows


def test_a_drawing_can_be_announced() -> None:
    svg = tree(drawing(10, 20, rule(0, 1, 2, 3, "axis"), anchor="x", title="T", desc="D", class_="chart")).one("svg")
    assert svg.attrs["viewbox"] == "0 0 10 20"
    assert svg.attrs["role"] == "img"
    assert svg.attrs["aria-labelledby"] == "x-t x-d"
    assert (svg.one("title").attrs["id"], svg.one("title").text) == ("x-t", "T")
    assert (svg.one("desc").attrs["id"], svg.one("desc").text) == ("x-d", "D")
    line = svg.one("line", of="axis")
    assert [line.number(name) for name in ("x1", "y1", "x2", "y2")] == [0, 1, 2, 3]
    assert tree(words(1, 2, "a<b", "tick")).one("text").text == "a<b"


# ---- curves ---------------------------------------------------------------------------------------------------------


def test_a_step_curve_goes_right_and_then_up_and_on_to_the_edge_where_all_has_happened() -> None:
    points = [(0.0, 0.0), (5.0, 0.5), (10.0, 1.0)]
    (path,) = chart(Curve(name="a", points=points, style="c1")).all("path")
    half, middle = (LEFT + RIGHT) / 2, (TOP + FLOOR) / 2
    assert path.classes == {"curve", "c1"}
    assert path.attrs["d"] == f"M40.0 204.0H{half:.1f}V{middle:.1f}H344.0V14.0H344.0"


def test_a_curve_that_ends_below_1_ends_where_it_was_last_known() -> None:
    points = [(0.0, 0.0), (5.0, 0.5), (8.0, 0.5)]
    (path,) = chart(Curve(name="a", points=points, style="c1")).all("path")
    assert (path.attrs["d"] or "").endswith(f"H{LEFT + 0.8 * (RIGHT - LEFT):.1f}V{(TOP + FLOOR) / 2:.1f}")


def test_a_curve_that_is_no_step_is_a_line() -> None:
    curve = Curve(name="risk", points=[(0.5, 0.0), (1.0, 1.0)], style="c2", is_step=False)
    (path,) = chart(curve, x_max=1.0).all("path")
    assert path.attrs["d"] == f"M{(LEFT + RIGHT) / 2:.1f} 204.0L344.0 14.0"


def test_one_curve_needs_no_legend_and_of_two_the_one_without_points_says_so() -> None:
    known, empty = Curve(name="first", points=[(0.0, 1.0)], style="c1"), Curve(name="other", points=[], style="c2")
    alone = chart(known)
    assert alone.one("svg").attrs["viewbox"] == f"0 0 360 {HEIGHT:g}"
    assert "first" not in [text.text for text in alone.all("text")]
    both = chart(known, empty)
    texts = [text.text for text in both.all("text")]
    assert {"first", "other (none)"} <= set(texts)
    assert len(both.all("path")) == 1
    assert both.one("svg").attrs["viewbox"] == f"0 0 360 {HEIGHT + 26:g}"


def test_axes_have_shares_upward_and_the_label_below() -> None:
    texts = [text.text for text in chart().all("text")]
    assert [text for text in texts if text in ("0", "0.25", "0.5", "0.75", "1")][:5] == [
        "0",
        "0.25",
        "0.5",
        "0.75",
        "1",
    ]
    assert texts[-1] == "seconds"
    assert {"2", "4", "6", "8", "10"} <= set(texts)


# ---- the reliability diagram ----------------------------------------------------------------------------------------


def test_a_bin_is_a_dot_at_what_was_said_and_seen_with_a_stem_to_the_ideal() -> None:
    bins = [Bin(count=75, silence_mean=0.5, quiet_share=1.0), Bin(count=25, silence_mean=0.0, quiet_share=0.0)]
    svg = tree(reliability_chart(bins, anchor="r", title="T", desc="D"))
    first, second = svg.all("circle", of="dot")
    assert (first.number("cx"), first.number("cy")) == ((LEFT + RIGHT) / 2, TOP)
    assert (second.number("cx"), second.number("cy")) == (LEFT, FLOOR)
    # the area beyond the least grows with the share of slots
    assert (first.number("r") - 3.5) ** 2 / (second.number("r") - 3.5) ** 2 == pytest.approx(3.0, rel=0.01)
    stem, _ = svg.all("line", of="gap")
    assert (stem.number("y1"), stem.number("y2")) == ((TOP + FLOOR) / 2, TOP)
    bar, _ = svg.all("rect", of="quiet")
    assert bar.number("height") == pytest.approx(34 * 0.75**0.5, abs=0.01)
    assert [title.text for title in svg.all("title")][1:] == [
        "75 slots, P(silence) 0.500, nothing due in 100.0%",
        "25 slots, P(silence) 0.000, nothing due in 0.0%",
    ]
    ideal = svg.one("line", of="ideal")
    assert [ideal.number(name) for name in ("x1", "y1", "x2", "y2")] == [LEFT, FLOOR, RIGHT, TOP]


def test_a_diagram_of_no_slots_has_axes_alone() -> None:
    svg = tree(reliability_chart([], anchor="r", title="T", desc="D"))
    assert svg.all("circle") == []
    assert svg.all("line", of="ideal")


# ---- rulers ---------------------------------------------------------------------------------------------------------


def test_a_ruler_has_a_dot_an_interval_and_the_marks_of_others() -> None:
    svg = tree(ruler(0.5, 0.25, 0.75, [(0.0, "blindmark"), (1.0, "oraclemark"), (None, "recent")])).one("svg")
    assert svg.attrs["aria-hidden"] == "true", "the numbers stand beside it"
    assert svg.one("circle", of="dot").number("cx") == 90.0
    interval = svg.one("rect", of="interval")
    assert (interval.number("x"), interval.number("width")) == (48.0, 84.0)
    assert svg.one("line", of="blindmark").number("x1") == 6.0
    assert svg.one("line", of="oraclemark").number("x1") == 174.0
    assert svg.all("line", of="recent") == []


@pytest.mark.parametrize(("value", "lo", "hi"), [(0.5, None, None), (0.5, 0.4, None), (None, None, None)])
def test_what_is_not_known_is_not_drawn(value: float | None, lo: float | None, hi: float | None) -> None:
    svg = tree(ruler(value, lo, hi, []))
    assert svg.all("rect", of="interval") == []
    assert len(svg.all("circle")) == (value is not None)


def test_an_interval_of_no_width_can_still_be_seen_and_a_score_below_0_stands_at_the_edge() -> None:
    svg = tree(ruler(-0.5, 0.5, 0.5, []))
    assert svg.one("rect", of="interval").number("width") == 1.0
    assert svg.one("circle").number("cx") == 6.0


# ---- the sections of charts -----------------------------------------------------------------------------------------


def test_latency_tells_medians_and_what_was_censored() -> None:
    stream = light()
    section = tree(latency([(stream.log, stream.truth)])).one("section")
    assert section.attrs["id"] == "latency"
    assert [one.text for one in section.all("h3")] == ["Perception lag", "Time to first token", "Revision delay"]
    told = [one.text for one in section.all("figcaption")]
    assert told[1] == "answers: median 1 s, n = 1"
    assert told[2] == "revisions: median 0.5 s, n = 1"
    for chart_, caption in zip(section.all("svg"), told, strict=True):
        assert chart_.one("desc").text.endswith(f"{caption}.")
    assert "computing costs nothing" not in section.text
    assert "computing costs nothing" in tree(latency([(light(clock="free", cost=None).log, stream.truth)])).text


def test_delays_that_never_came_leave_a_median_that_is_not_reached() -> None:
    from event_logs import ask, log_of, truth_of

    log = log_of(ask("q1", 1.0, direct=True), ask("q2", 2.0, direct=True), end_s=9.0)
    section = tree(latency([(log, truth_of())]))
    told = [one.text for one in section.all("figcaption")]
    assert told == ["first tokens: none; other tokens: none", "answers: median not reached, n = 2, 2 censored",
                    "revisions: none"]  # fmt: skip


def test_calibration_tells_errors_and_areas_and_what_is_missing() -> None:
    stream = light()
    section = tree(calibration([(stream.log, stream.truth)])).one("section")
    first, second = (one.text for one in section.all("figcaption"))
    # red, blue or the cat is active at every frame but that of 0 s: quiet share 1/10 where 0.75 was said
    assert (
        first == "expected calibration error 0.650, 10 slots. Bars: share of the slots. Up: share with no event active"
    )
    assert re.fullmatch(r"area under the curve 0\.\d{3}, 3 events\. Up: share of errors so far", second)
    from event_logs import log_of, truth_of

    silent = tree(calibration([(log_of(end_s=5.0), truth_of())]))
    first, second = (one.text for one in silent.all("figcaption"))
    assert first.startswith("no P(silence) in these logs, 0 slots")
    assert second.startswith("no event with a confidence")


def test_only_tag_makes_markup() -> None:
    assert tree(words(0, 0, "</text><script>", "tick")).all("script") == []
    assert tag("p", 'a"b').html == "<p>a&quot;b</p>"
