"""The live view of several sources: one lane for each, drawn by the view of a single source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vigil.cli.view import REFRESH_HZ, LiveView
from vigil.stream.source import printable
from vigil.types import Event

LEAST_HEIGHT = 6
"""Lines of a lane: its status, a blank, two entries, what is happening now, a blank."""


class Lanes:
    """One lane per source, stacked; at the end the whole story of each is printed, one after another."""

    def __init__(
        self,
        names: Sequence[str],
        durations_s: Sequence[float | None],
        *,
        pace: float | Literal["max", "live"] = 1.0,
        typed: bool = False,
        console: Console | None = None,
    ) -> None:
        """Arguments as in `LiveView`, one name and duration per source."""
        self.console = console or Console()
        height = max(LEAST_HEIGHT, (self.console.height - 2) // len(names))
        self.lanes = [
            LiveView(name, duration_s=duration_s, pace=pace, console=self.console, height=height)
            for name, duration_s in zip(names, durations_s, strict=True)
        ]
        self._typed = typed
        self._line = ""
        self._screen = Live(
            get_renderable=self.render, console=self.console, refresh_per_second=REFRESH_HZ, transient=True
        )

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._screen.stop()
        for lane in self.lanes:
            self.console.print(lane.summary())
            self.console.print()

    def show(self, source: int, event: Event) -> None:
        """Take one event of a source, and draw at once."""
        self.lanes[source].take(event)
        self._screen.refresh()

    def trace(self, source: int, kind: str, **fields: object) -> None:
        """Take the time of a frame of a source."""
        self.lanes[source].trace(kind, **fields)

    def typing(self, text: str) -> None:
        """The user has typed this much of a question, which goes to all sources."""
        self._line = printable(text)
        self._screen.refresh()

    def render(self) -> RenderableType:
        """All lanes, and the line for questions."""
        parts: list[RenderableType] = []
        for lane in self.lanes:
            parts += [lane.render(), Text()]
        if self._typed:
            prompt = self._line or "type a question to all, then Enter"
            parts.append(Text(f"> {prompt}", style="" if self._line else "dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)
