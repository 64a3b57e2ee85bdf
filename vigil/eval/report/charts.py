"""The forms of chart over all streams: curves, the reliability diagram, and an interval on a ruler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigil.eval.report.curves import Bin, Points
from vigil.eval.report.markup import Markup, tag
from vigil.eval.report.scales import Scale, drawing, rule, spell, words

WIDTH, HEIGHT, _LEGEND_HEIGHT = 360.0, 238.0, 26.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 344.0, 14.0, 204.0
_LEGEND_PX = 96.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One line of a chart."""

    name: str
    points: Points
    style: str
    """Class of the style sheet: "c1" or "c2"; the second line is dashed."""
    is_step: bool = True


def curve_chart(curves: Sequence[Curve], *, anchor: str, title: str, desc: str, x_label: str, x_max: float) -> Markup:
    """Shares from 0 to 1 against x, with a legend; a curve without points says so in the legend."""
    x = Scale(lo=0.0, hi=x_max, start_px=_LEFT, end_px=_RIGHT)
    y = Scale(lo=0.0, hi=1.0, start_px=_BOTTOM, end_px=_TOP)
    marks = [*_axes(x, y, x_label)]
    marks += [tag("path", d=_path(curve, x, y), class_=f"curve {curve.style}") for curve in curves if curve.points]
    height = HEIGHT + (_LEGEND_HEIGHT if len(curves) > 1 else 0.0)
    return drawing(WIDTH, height, *marks, *_legend(curves), anchor=anchor, title=title, desc=desc, class_="chart")


def reliability_chart(bins: Sequence[Bin], *, anchor: str, title: str, desc: str) -> Markup:
    """Said against seen: mean P(silence) of a bin, and the share of its slots in which no event was active.

    The area of a dot grows with the number of slots; bars on the floor show their share.
    """
    x = Scale(lo=0.0, hi=1.0, start_px=_LEFT, end_px=_RIGHT)
    y = Scale(lo=0.0, hi=1.0, start_px=_BOTTOM, end_px=_TOP)
    total = sum(one.count for one in bins)
    marks = [*_axes(x, y, "P(silence) that the model gave"), rule(x(0), y(0), x(1), y(1), "ideal")]
    for one in bins:
        share = one.count / total
        height = 34 * share**0.5
        at = x(one.silence_mean)
        label = f"{one.count} slots, P(silence) {one.silence_mean:.3f}, nothing due in {one.quiet_share:.1%}"
        bar = tag("rect", x=at - 4, y=_BOTTOM - height, width=8, height=height, class_="quiet")
        stem = rule(at, y(one.silence_mean), at, y(one.quiet_share), "gap")
        dot = tag("circle", cx=at, cy=y(one.quiet_share), r=3.5 + 6 * share**0.5, class_="dot")
        marks.append(tag("g", tag("title", label), bar, stem, dot))
    marks.append(words(x(0.97), y(0.9), "ideal", "tick", anchor="end"))
    return drawing(WIDTH, HEIGHT, *marks, anchor=anchor, title=title, desc=desc, class_="chart")


def ruler(value: float | None, lo: float | None, hi: float | None, marks: Sequence[tuple[float | None, str]]) -> Markup:
    """A share with its interval on a line from 0 to 1, and other scores as ticks of their style. For a table cell."""
    x = Scale(lo=0.0, hi=1.0, start_px=6, end_px=174)
    parts = [rule(x(0), 11, x(1), 11, "grid"), *(rule(x(at), 8, x(at), 14, "grid") for at in (0.0, 0.5, 1.0))]
    parts += [rule(x(at), 4, x(at), 18, style) for at, style in marks if at is not None]
    if lo is not None and hi is not None:
        parts.append(tag("rect", x=x(lo), y=8, width=max(1.0, x(hi) - x(lo)), height=6, rx=3, class_="interval"))
    if value is not None:
        parts.append(tag("circle", cx=x(value), cy=11, r=4.5, class_="dot"))
    return tag("svg", *parts, viewBox="0 0 180 22", class_="ruler", aria_hidden="true")


def _axes(x: Scale, y: Scale, x_label: str) -> list[Markup]:
    marks: list[Markup] = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        marks.append(rule(_LEFT, y(share), _RIGHT, y(share), "grid"))
        marks.append(words(_LEFT - 6, y(share) + 3.5, spell(share), "tick", anchor="end"))
    for value in x.ticks(most=6):
        marks.append(rule(x(value), _BOTTOM, x(value), _BOTTOM + 4, "axis"))
        marks.append(words(x(value), _BOTTOM + 15, spell(value), "tick", anchor="middle"))
    marks.append(rule(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "axis"))
    marks.append(words((_LEFT + _RIGHT) / 2, _BOTTOM + 30, x_label, "label", anchor="middle"))
    return marks


def _path(curve: Curve, x: Scale, y: Scale) -> str:
    (first_x, first_y), *rest = curve.points
    steps = [f"M{x(first_x):.1f} {y(first_y):.1f}"]
    for at, share in rest:
        steps.append(f"H{x(at):.1f}V{y(share):.1f}" if curve.is_step else f"L{x(at):.1f} {y(share):.1f}")
    if curve.is_step:
        steps.append(f"H{x(x.hi):.1f}" if curve.points[-1][1] >= 1 else "")
    return "".join(steps)


def _legend(curves: Sequence[Curve]) -> list[Markup]:
    marks: list[Markup] = []
    for n, curve in enumerate(curves):
        at = _LEFT + n * _LEGEND_PX
        marks.append(rule(at, HEIGHT + 18, at + 14, HEIGHT + 18, f"curve {curve.style}"))
        marks.append(words(at + 19, HEIGHT + 21.5, curve.name + ("" if curve.points else " (none)"), "tick"))
    return marks if len(curves) > 1 else []
