"""The streams on the page: a table of all, and each of the first ones in full."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from vigil.eval.report.document import many, scrollable, section
from vigil.eval.report.markup import Child, Markup, group, tag
from vigil.eval.report.pictures import Sheet, make_sheet
from vigil.eval.report.scales import spell
from vigil.eval.report.streams import Stream
from vigil.eval.report.timeline import timeline
from vigil.eval.report.transcript import transcript
from vigil.eval.summary import score


def index(streams: Sequence[Stream], num_shown: int) -> Markup:
    """A line for every stream, with links to those that are shown, and the legend of their time lines."""
    columns = ("stream", "s", "asked", "F1 of speech", "right answer", "missed", "unanswered")
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in columns]))
    rows = [_index_row(stream, n if n < num_shown else None) for n, stream in enumerate(streams)]
    first = "all" if num_shown == len(streams) else f"the first {num_shown}"
    lead = f"{many(len(streams), 'stream')} in the order of the logs; {first} shown in full below, none picked by hand."
    table = tag("table", head, tag("tbody", rows), class_="index")
    return section("streams", "Streams", lead, scrollable("Streams", table), _legend())


def _index_row(stream: Stream, shown: int | None) -> Markup:
    one = score(stream.log, stream.truth)
    name: Child = stream.name if shown is None else tag("a", stream.name, href=f"#stream-{shown}")
    silence = one.silence[2.0]
    told = [spell(stream.end_s), str(len(stream.log.prompts)), _share(silence.f1), _share(one.revision.twa),
            str(silence.events - silence.matches), str(one.unanswered)]  # fmt: skip
    return tag("tr", tag("th", name, scope="row"), [tag("td", text) for text in told])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _legend() -> Markup:
    keys = [
        ("bar speech", "said, right and in time"), ("bar speech off", "in time, not a right text"),
        ("bar speech extra", "nothing was due"), ("bar revision", "revision"), ("right", "right answer stands"),
        ("stale", "stale or wrong answer stands"), ("state", "true value"), ("event", "something due"),
        ("null", "nothing due"), ("quiet", "P(silence)"),
    ]  # fmt: skip
    marks = [
        tag("li", tag("svg", tag("rect", x=0, y=2, width=22, height=10, rx=2, class_=style), width=22, height=14,
                      aria_hidden="true"), text)
        for style, text in keys
    ]  # fmt: skip
    hatch = tag("pattern", tag("rect", width=5, height=5, class_="hatch-floor"),
                tag("path", d="M0 5L5 0", class_="hatch"), id="hatch", width=5, height=5,
                patternUnits="userSpaceOnUse")  # fmt: skip
    old = tag("li", tag("s", "struck through"), " superseded later")
    return group(_hidden(tag("defs", hatch)), tag("ul", marks, old, class_="legend"))


def stream_section(stream: Stream, number: int) -> Markup:
    """One stream in full: its time line, and its transcript beside its frames.

    Raises:
        SourceError, MediaError: its video file cannot be read.
    """
    sheet, origin = make_sheet(stream, anchor=f"sheet-{number}")
    asked = [question.role or question.kind for question in stream.truth.questions]
    kinds = ", ".join(f"{len(list(same))} {kind}" for kind, same in groupby(sorted(asked)))
    facts = f"{spell(stream.end_s)} s, {len(stream.log.frames)} frames; {kinds or 'no question'}. {origin}"
    step_s = 1 / stream.log.head.fps
    lanes = scrollable(
        f"Time line of {stream.name}",
        timeline(stream, sheet, anchor=f"line-{number}"),
        data_end=max(stream.end_s, step_s),
        data_step=step_s,
    )
    return tag(
        "section",
        tag("h3", tag("a", stream.name, href=f"#stream-{number}")),
        tag("p", facts, class_="note"),
        None if sheet is None else _hidden(sheet.definition()),
        tag("div", lanes, None if sheet is None else _preview(stream, sheet), class_="scrub"),
        tag("details", tag("summary", "Transcript beside its frames"), transcript(stream, sheet), open=True),
        id=f"stream-{number}",
        class_="stream",
    )


def _preview(stream: Stream, sheet: Sheet) -> Markup:
    """What the script fills with the frame under the pointer; `data-cells` is such as "0:0 1:1", time and cell."""
    cells = " ".join(f"{stream.log.frames[i].t:g}:{cell}" for i, cell in sheet.cells.items())
    size = {"data_wide": sheet.width_px, "data_high": sheet.height_px}
    return tag("div", class_="preview", hidden=True, data_cells=cells, data_sheet=sheet.id, **size)


def _hidden(definition: Markup) -> Markup:
    """Something that other drawings refer to."""
    return tag("svg", definition, width=0, height=0, aria_hidden="true", class_="defs")
