"""From seconds and shares to places in a drawing: axes, ticks, and rows in which labels do not collide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vigil.eval.report.markup import Markup, tag

CHAR_PX = 6.0
"""Mean width of a character of a label (px)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A straight map from [lo, hi] to pixels [start_px, end_px]."""

    lo: float
    hi: float
    start_px: float
    end_px: float

    def __call__(self, value: float) -> float:
        """Pixel of a value; values outside are put on the edge."""
        span = self.hi - self.lo
        share = (min(max(value, self.lo), self.hi) - self.lo) / span if span else 0.0
        return self.start_px + share * (self.end_px - self.start_px)

    def ticks(self, *, most: int) -> list[float]:
        """Round values in [lo, hi], at most so many."""
        step = 10.0 ** math.floor(math.log10(max(self.hi - self.lo, 1e-9))) / 10
        while (self.hi - self.lo) / step + 1 > most:
            mantissa = round(step / 10 ** math.floor(math.log10(step) + 1e-9))
            step *= {1: 2.0, 2: 2.5, 5: 2.0}[mantissa]
        first = math.ceil(self.lo / step - 1e-9)
        return [round(n * step, 9) for n in range(first, math.floor(self.hi / step + 1e-9) + 1)]


def spell(value: float) -> str:
    """A number for people: no trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def clip(text: str, most: int) -> str:
    """The first characters of a text, with an ellipsis where it goes on."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def pack(spans: Sequence[tuple[float, float]], *, gap_px: float = 8.0) -> list[int]:
    """The row of each span (px), from the top, so that no two in one row come closer than the gap.

    Spans are taken in the order given; each goes to the first row that is free.
    """
    taken: list[list[tuple[float, float]]] = []
    rows: list[int] = []
    for start, end in spans:
        for row, others in enumerate(taken):
            if all(end + gap_px <= a or start >= b + gap_px for a, b in others):
                others.append((start, end))
                rows.append(row)
                break
        else:
            rows.append(len(taken))
            taken.append([(start, end)])
    return rows


def drawing(
    width: float,
    height: float,
    *children: Markup | None,
    anchor: str,
    title: str,
    desc: str,
    class_: str,
) -> Markup:
    """An SVG that a screen reader can announce: one image with a title and a description."""
    return tag(
        "svg",
        tag("title", title, id=f"{anchor}-t"),
        tag("desc", desc, id=f"{anchor}-d"),
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{anchor}-t {anchor}-d",
        class_=class_,
    )


def rule(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def words(x: float, y: float, text: str, class_: str, *, anchor: str | None = None) -> Markup:
    """A line of text; y is its baseline."""
    return tag("text", text, x=x, y=y, class_=class_, text_anchor=anchor)
