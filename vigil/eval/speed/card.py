"""The card for people: every figure with what it is, its setting, its bound and its target, then the tables."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from vigil.eval.speed.figures import DEFINITIONS, REQUIRED, Figure, Results, Row

TITLES = {
    "memory": "Memory per frame",
    "question": "Streaming: from question to first visible text",
    "decode": "Speaking: time per token against length of the stream",
    "matched": "Offline, vision tokens matched",
    "gaps": "Gaps between tokens while frames arrive (wall clock)",
    "live": "Live streams (wall clock)",
    "paper": "Offline, the paper's protocol",
    "video": "Offline, decoding and resizing counted",
}


def show(results: Results, console: Console) -> None:
    """Print the card."""
    console.print(Group(_about(results), *_parts(results), *_missing(results)))


def _about(results: Results) -> RenderableType:
    about = results.about
    clock = "CPU time of one thread" if about["device"] == "cpu" else "the wall clock, device synchronised"
    lines = [
        f"vigil bench --scale {about['scale']}  on {about['machine']}, {about['dtype']}, torch {about['torch']}",
        f"load {about['load_1min']}, reads {about['read_gb_per_s']:.1f} GB/s, multiplies "
        f"{about['matmul_gflop_per_s']:,.0f} GFLOP/s; times are {clock} unless a table says otherwise",
    ]
    return Text("\n".join(lines))


def _parts(results: Results) -> list[RenderableType]:
    shown: list[RenderableType] = []
    for name, part in results.parts.items():
        shown += [Text(f"\n{TITLES[name]}", style="bold"), _figures(part.figures)]
        shown += [_rows(part.rows)] if part.rows else []
    return shown


def _figures(figures: tuple[Figure, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("figure", "", "of bound", "target", "what it is"):
        table.add_column(column, justify="right" if column in ("", "of bound", "target") else "left")
    for figure in figures:
        wanted = DEFINITIONS[figure.name]
        value = "-" if figure.value is None else f"{number(figure.value)} {wanted.unit}".rstrip()
        style = {True: "green", False: "red", None: ""}[figure.meets]
        bound = "" if figure.bound is None else f"{figure.bound.fraction:.0%} {figure.bound.kind}"
        target = "" if wanted.target is None else f"{'<=' if wanted.at_most else '>='} {wanted.target:g}"
        table.add_row(figure.name, Text(value, style=style), bound, target, figure.reason or wanted.text)
        table.add_row("", "", "", "", Text(figure.setting, style="dim"))
    return table


def _rows(rows: tuple[Row, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column in ("who", "design") else "right")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def _missing(results: Results) -> list[RenderableType]:
    found = {figure.name for figure in results.figures}
    names = [name for name in REQUIRED if name not in found]
    return [Text(f"\nnot here: {', '.join(names)}: {results.missing(names[0])}", style="dim")] if names else []


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)


def number(value: float) -> str:
    """Three digits that count, thousands apart; whole numbers whole."""
    if math.isnan(value):
        return "-"
    if isinstance(value, int) or value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
