"""The time line of one stream: lanes under one axis, so that what was said can be read against what was true."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vigil.eval.report.lanes import Verdict, judged, missed, stands
from vigil.eval.report.markup import Markup, tag
from vigil.eval.report.pictures import Sheet
from vigil.eval.report.scales import CHAR_PX, Scale, clip, drawing, pack, rule, spell, words
from vigil.eval.report.streams import Stream
from vigil.eval.truth import Happening

GUTTER_PX = 104.0
"""Room for the names of the lanes."""
MARGIN_PX = 16.0
"""Room right of the axis."""
_LEAST_PX, _MOST_PX, _PX_PER_S = 1040.0, 12_000.0, 17.0
_ROW_PX, _LABEL_CHARS, _TICKS = 19.0, 40, 26
_QUIET_PX, _FILM_PX = 30.0, 44.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """One lane, drawn from y = 0 down."""

    name: str
    height: float
    marks: tuple[Markup, ...]


def timeline(stream: Stream, sheet: Sheet | None, *, anchor: str) -> Markup:
    """Questions, frames, truth, what stood, what was said and P(silence) of one stream, over one axis of seconds."""
    end_s = max(stream.end_s, 1 / stream.log.head.fps)
    width = min(max(_LEAST_PX, end_s * _PX_PER_S), _MOST_PX)
    x = Scale(lo=0.0, hi=end_s, start_px=GUTTER_PX, end_px=GUTTER_PX + width)
    verdicts = judged(stream.log, stream.truth)
    lanes = [
        _questions(stream, x),
        _frames(stream, sheet, x),
        _truth(stream, x),
        _standing(stream, x),
        _said(verdicts, x),
        _silence(stream, x),
    ]
    y, parts = 26.0, [*_axis(x)]
    for lane in lanes:
        if lane.height:
            parts.append(words(GUTTER_PX - 12, y + min(lane.height, 22) / 2 + 4, lane.name, "lane", anchor="end"))
            parts.append(tag("g", *lane.marks, transform=f"translate(0 {y:g})"))
            y += lane.height + 12
    asked = [rule(x(prompt.t), 22, x(prompt.t), y - 8, "asked") for prompt in stream.log.prompts]
    cursor = rule(GUTTER_PX, 18, GUTTER_PX, y - 4, "cursor")
    return drawing(
        GUTTER_PX + width + MARGIN_PX,
        y,
        *asked,
        *parts,
        cursor,
        anchor=anchor,
        title=f"Time line of {stream.name}",
        desc=_described(stream, verdicts),
        class_="timeline",
    )


def _described(stream: Stream, verdicts: Sequence[Verdict]) -> str:
    timely = sum(verdict.event is not None for verdict in verdicts)
    revised = sum(verdict.speech.supersedes is not None for verdict in verdicts)
    return (
        f"{spell(stream.end_s)} seconds, {len(stream.log.frames)} frames, {len(stream.log.prompts)} questions. "
        f"{len(verdicts)} things said, {timely} of them when something was due, {revised} as revisions; "
        f"{len(missed(stream.log, stream.truth))} of {len(stream.truth.all_events)} events missed. "
        "The transcript below has the same in words."
    )


def _axis(x: Scale) -> Iterator[Markup]:
    for at in x.ticks(most=_TICKS):
        yield rule(x(at), 17, x(at), 21, "axis")
        yield words(x(at), 12, f"{spell(at)} s", "tick", anchor="middle")
    yield rule(x(x.lo), 21, x(x.hi), 21, "axis")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """Where a span and its label go (px): the label right of it, left where that is full, or inside."""

    start: float
    end: float
    label: float
    anchor: Literal["end"] | None
    taken: tuple[float, float]

    @property
    def is_inside(self) -> bool:
        """Whether the label lies on the bar."""
        return self.start < self.label < self.end


def _bar(x: Scale, start_s: float, end_s: float, text: str) -> Bar:
    a, b, width = x(start_s), max(x(end_s), x(start_s) + 3), CHAR_PX * len(text)
    if b + 5 + width <= x.end_px + 12:
        return Bar(start=a, end=b, label=b + 5, anchor=None, taken=(a, b + 5 + width))
    if a - 5 - width >= x.start_px:
        return Bar(start=a, end=b, label=a - 5, anchor="end", taken=(a - 5 - width, b))
    return Bar(start=a, end=b, label=a + 5, anchor=None, taken=(a, max(b, a + 5 + width)))


def _label(bar: Bar, y: float, text: str, style: str) -> Markup:
    return words(bar.label, y, text, f"{style} inside" if bar.is_inside else style, anchor=bar.anchor)


def _questions(stream: Stream, x: Scale) -> Lane:
    prompts = stream.log.prompts
    texts = [clip(prompt.text, 90) for prompt in prompts]
    bars = [_bar(x, prompt.t, prompt.t, text) for prompt, text in zip(prompts, texts, strict=True)]
    rows = pack([bar.taken for bar in bars])
    marks = [
        tag(
            "g",
            tag("title", f"{spell(prompt.t)} s, asked: {prompt.text}"),
            tag("circle", cx=x(prompt.t), cy=row * _ROW_PX + 9, r=3.5, class_="flag"),
            _label(bar, row * _ROW_PX + 13, text, "question"),
        )
        for prompt, text, bar, row in zip(prompts, texts, bars, rows, strict=True)
    ]
    return Lane(name="asked", height=_height(rows), marks=tuple(marks))


def _frames(stream: Stream, sheet: Sheet | None, x: Scale) -> Lane:
    log = stream.log
    dropped = {row.i: row.why for row in log.drops}
    marks, top = ([], 0.0) if sheet is None else _film(stream, sheet, x)
    for frame in log.frames:
        at, why = x(frame.t), dropped.get(frame.i)
        mark = rule(at, top + 3, at, top + 8, "axis" if why is None else "dropped")
        marks.append(mark if why is None else tag("g", tag("title", f"frame {frame.i} dropped: {why}"), mark))
    return Lane(name="frames", height=top + 8 if log.frames else 0.0, marks=tuple(marks))


def _film(stream: Stream, sheet: Sheet, x: Scale) -> tuple[list[Markup], float]:
    """(frames side by side, each at its own time, as many as have room; their height)."""
    log = stream.log
    wide = _FILM_PX * sheet.width_px / sheet.height_px
    period = x(1 / log.head.fps) - x.start_px
    step = period * max(1, math.ceil(wide / period)) if period <= 2 * wide else wide
    width = step - 2
    height = width * sheet.height_px / sheet.width_px
    marks: list[Markup] = []
    free_px = x.start_px
    for i in sorted(sheet.cells):
        at = x(log.frames[i].t)
        if at >= free_px - 0.01 and at + width <= x.end_px + 0.01:
            free_px = at + step
            title = f"frame {i}, {spell(log.frames[i].t)} s"
            marks.append(sheet.cell(i, title=title, x=at, y=0, width=width, height=height, class_="frame"))
    return marks, height


def _truth(stream: Stream, x: Scale) -> Lane:
    truth = stream.truth
    marks = [
        tag(
            "g",
            tag("title", f"{_span(null.start_s, null.end_s)}: nothing is due"),
            tag("rect", x=x(null.start_s), y=0, width=x(null.end_s) - x(null.start_s), height=16, class_="null"),
        )
        for null in truth.nulls
    ]
    states = [value for q in truth.by_id for value in truth.values_of(q)]
    for value in states:
        a, b = x(value.start_s), x(value.end_s)
        label = clip(value.v, max(int((b - a - 8) / CHAR_PX), 1))
        box = tag("rect", x=a, y=0, width=max(b - a - 1, 1), height=16, class_="state")
        title = tag("title", f"{_span(value.start_s, value.end_s)}: {value.v}")
        marks.append(tag("g", title, box, words(a + 5, 12, label, "value")))
    events = [event for event in truth.all_events if event.q is None or not truth.values_of(event.q)]
    bars = [_bar(x, event.s, event.e, _due(event)) for event in events]
    rows = pack([bar.taken for bar in bars])
    top = 20.0 if states else 0.0
    for event, bar, row in zip(events, bars, rows, strict=True):
        y = top + row * _ROW_PX
        title = tag("title", f"{_span(event.s, event.e)}, due: {_due(event)}")
        box = tag("rect", x=bar.start, y=y + 2, width=bar.end - bar.start, height=13, rx=2, class_="event")
        marks.append(tag("g", title, box, _label(bar, y + 12.5, _due(event), "value")))
    height = max(16.0 if marks else 0.0, top + _height(rows) if rows else top - 4)
    return Lane(name="truth", height=height, marks=tuple(marks))


def _span(start_s: float, end_s: float) -> str:
    return f"{spell(start_s)} to {spell(end_s)} s"


def _due(event: Happening) -> str:
    return clip(event.v or (event.accept[0] if event.accept else "something"), _LABEL_CHARS)


def _standing(stream: Stream, x: Scale) -> Lane:
    marks = [
        tag(
            "g",
            tag("title", f"{_span(stand.start_s, stand.end_s)}, {stand.state}: {stand.said or 'no answer'}"),
            tag("rect", x=x(stand.start_s), y=0, width=x(stand.end_s) - x(stand.start_s), height=9, class_=stand.state),
        )
        for q in stream.truth.by_id
        for stand in stands(stream.log, stream.truth, q)
    ]
    return Lane(name="answer", height=9.0 if marks else 0.0, marks=tuple(marks))


def _said(verdicts: Sequence[Verdict], x: Scale) -> Lane:
    texts = [clip(verdict.speech.text.strip(), _LABEL_CHARS) for verdict in verdicts]
    speech = [verdict.speech for verdict in verdicts]
    bars = [_bar(x, one.tau_first, one.tau_last, text) for one, text in zip(speech, texts, strict=True)]
    rows = pack([bar.taken for bar in bars])
    at_of = {one.a: (x(one.tau_first), row * _ROW_PX + 9) for one, row in zip(speech, rows, strict=True)}
    marks: list[Markup] = []
    for verdict, text, bar, row in zip(verdicts, texts, bars, rows, strict=True):
        one, y = verdict.speech, row * _ROW_PX
        style = "revision" if one.supersedes is not None else "speech"
        kind = "extra" if verdict.event is None else "" if verdict.is_right else "off"
        box = tag(
            "rect", x=bar.start, y=y + 3, width=bar.end - bar.start, height=12, rx=2, class_=f"bar {style} {kind}"
        )
        label = _label(bar, y + 13, text, "said struck" if verdict.replaced_by else "said")
        marks.append(tag("g", tag("title", _told(verdict)), box, label, data_from=one.tau_first, data_text=one.text))
        old = at_of.get(one.supersedes or "")
        if old is not None:
            (a, b), (c, d) = old, at_of[one.a]
            bend = f"M{a:.1f} {b + 5:.1f}C{a:.1f} {max(b, d) + 13:.1f} {c:.1f} {max(b, d) + 13:.1f} {c:.1f} {d + 5:.1f}"
            marks.insert(0, tag("path", d=bend, class_="link"))
    return Lane(name="said", height=_height(rows) + 2 if rows else 0.0, marks=tuple(marks))


def _told(verdict: Verdict) -> str:
    one = verdict.speech
    due = "nothing was due" if verdict.event is None else "right" if verdict.is_right else "not a right text"
    return f"{_span(one.tau_first, one.tau_last)}, {one.state}: {one.text.strip()} ({due})"


def _silence(stream: Stream, x: Scale) -> Lane:
    log, marks = stream.log, []
    width = max(min(x(1 / log.head.fps) - x.start_px - 1, 14), 0.6)
    for slot in log.decisions:
        if slot.p is not None:
            at, height = x(log.tau(slot.w)), max(_QUIET_PX * slot.p, 0.8)
            title = tag("title", f"{spell(log.tau(slot.w))} s, {slot.act}: P(silence) {slot.p:.4f}")
            style = "quiet" if slot.act == "silent" else "spoke"
            box = tag("rect", x=at, y=_QUIET_PX - height, width=width, height=height, class_=style)
            dot = None if slot.act == "silent" else tag("circle", cx=at + 1.5, cy=_QUIET_PX - 4, r=3, class_="spoke")
            marks.append(tag("g", title, box, dot))
    floor = rule(x.start_px, _QUIET_PX + 0.5, x.end_px, _QUIET_PX + 0.5, "grid")
    return Lane(name="P(silence)", height=_QUIET_PX + 2 if marks else 0.0, marks=(*marks, floor))


def _height(rows: Sequence[int]) -> float:
    return (max(rows) + 1) * _ROW_PX if rows else 0.0
