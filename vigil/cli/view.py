"""The live view of `vigil watch` in a terminal: clock, lag, what is said, what was withdrawn, and a calm silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.segment import Segment, SegmentLines
from rich.table import Table
from rich.text import Text

from vigil.cli.story import LATE_S, Lag, Pace, Spoken, Story, clock
from vigil.stream.source import printable
from vigil.types import Asked, Event

Lines = list[list[Segment]]

CURSOR = "▌"
TAILS = {"interrupted": " [cut]", "error": " [failed]"}
"""What follows an answer that did not come to its end."""
KEPT_ENTRIES = 200
REFRESH_HZ = 4.0
NARROW = 46
"""Below this many columns the least important parts of the status line go."""


class LiveView:
    """Shows a session as it runs; the newest entries stay on the screen, and at the end all kept ones are printed.

    `pace` is the speed of the video, "max", or "live" (the wall clock); `typed`: questions can be typed; `height`:
    lines that it may take (default: the whole screen).
    Events and measurements may come while the screen is being drawn in another thread.
    """

    def __init__(
        self,
        source: str,
        *,
        duration_s: float | None = None,
        pace: Pace = 1.0,
        typed: bool = False,
        console: Console | None = None,
        height: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.story = Story(keep=KEPT_ENTRIES)
        self.console = console or Console()
        self._height = height
        self._source = printable(source)
        self._duration_s = duration_s
        self._pace = pace
        self._typed = typed
        self._line = ""
        self._now = now
        self._seen = (0.0, now())
        self._lag = Lag(pace)
        self._rendered: dict[tuple[int, str, str, str, str, str, str], Lines] = {}
        self._lock = threading.Lock()
        self._screen = Live(
            get_renderable=self.render, console=self.console, refresh_per_second=REFRESH_HZ, transient=True
        )

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._screen.stop()
        self.console.print(self.summary())

    def show(self, event: Event) -> None:
        """Take one event, and draw at once."""
        self.take(event)
        self._screen.refresh()

    def take(self, event: Event) -> None:
        """Take one event, to be drawn later."""
        with self._lock:
            self.story.add(event)
            self._seen = (max(self._seen[0], event.time_s), self._now())

    def trace(self, kind: str, **fields: object) -> None:
        """Take the time of a frame, and how late it became readable: after its arrival (live) or its due time."""
        if kind not in ("frame", "ready"):
            return
        with self._lock:
            self._lag.trace(kind, **fields)
            if kind == "frame":
                self._seen = (max(self._seen[0], float(str(fields["t"]))), self._now())

    def typing(self, text: str) -> None:
        """The user has typed this much of a question."""
        self._line = printable(text)
        self._screen.refresh()

    def video_s(self) -> float:
        """The video time now: that of the newest event or frame, and what has passed since, never past the end."""
        newest_s, at = self._seen
        if self._pace == "max" or self.story.ended is not None:
            return newest_s
        time_s = newest_s + (self._now() - at) * (1.0 if self._pace == "live" else self._pace)
        return min(time_s, max(self._duration_s, newest_s)) if self._duration_s else time_s

    def render(self) -> RenderableType:
        """The status line, as many of the newest entries as fit, and the line for what is happening now."""
        with self._lock:
            parts: list[RenderableType] = [self._status(), Text()]
            foot = self._foot()
            room = (self._height or self.console.height) - 2 - len(foot) - 1
            parts += self._newest(room)
            return Group(*parts, *foot)

    def summary(self) -> RenderableType:
        """What stays on the terminal: all kept entries, and the totals."""
        with self._lock:
            ended = self.story.ended
            totals = Text(overflow="ellipsis").append(f"{self._source}  {clock(self.story.newest_s)}", style="bold")
            if ended is not None:
                totals.append(f"  {ended.perceived} of {ended.received} frames seen", style="dim")
                totals.append(f"  {ended.dropped} dropped", style="yellow" if ended.dropped else "dim")
            rows = (SegmentLines(self._entry(entry), new_lines=True) for entry in self.story.entries)
            return Group(*rows, Text(), totals)

    def _status(self) -> Text:
        speaking = self.story.speaking is not None
        is_wide = self.console.width >= NARROW
        whole = f" / {clock(self._duration_s)}" if self._duration_s and is_wide else ""
        line = Text(no_wrap=True, overflow="ellipsis")
        what, style = ("speaking", "bold green") if speaking else ("watching", "cyan")
        if self.story.lost is not None:
            what, style = f"lost ({self.story.lost.cause})", "bold yellow"
        line.append("● ", style=style).append(what, style=style)
        line.append(f"  {clock(self.video_s())}", style="bold").append(whole, style="dim")
        lag_s = self._lag.lag_s
        if lag_s is not None and is_wide:
            line.append(f"  lag {lag_s:.2f} s", style="yellow" if lag_s > LATE_S else "dim")
        if self.story.num_dropped:
            line.append(f"  {self.story.num_dropped} dropped", style="yellow")
        return line.append(f"  {self._source}", style="dim")

    def _foot(self) -> list[Text]:
        """How long it has been silent, and the question that is being typed."""
        quiet_s = int(self.video_s() - self.story.quiet_since_s)
        foot = [Text(f"          · silent for {quiet_s} s", style="dim")]
        if self.story.speaking is not None or quiet_s < 1:
            foot = [Text()]
        if self._typed:
            prompt = Text(no_wrap=True, overflow="ellipsis").append("> ", style="bold")
            room = max(8, self.console.width - 4)
            shown = self._line if len(self._line) <= room else "…" + self._line[1 - room :]
            prompt.append(*((shown + "▏", "") if shown else ("type a question, then Enter", "dim")))
            foot += [Text(), prompt]
        return foot

    def _newest(self, room: int) -> list[RenderableType]:
        """The newest entries, in order, that fit into so many lines; at least the last one."""
        chosen: list[RenderableType] = []
        for entry in reversed(self.story.entries):
            lines = self._entry(entry)
            room -= len(lines)
            if room < 0 and chosen:
                break
            chosen.append(SegmentLines(lines, new_lines=True))
        return chosen[::-1]

    def _entry(self, entry: Asked | Spoken) -> Lines:
        """One question or answer beside its time, as rendered lines; wrapping is done once, not at every refresh."""
        key = (self.console.width, clock(entry.time_s if isinstance(entry, Asked) else entry.start_s), *_look(entry))
        if key not in self._rendered:
            if len(self._rendered) > 2 * KEPT_ENTRIES:
                self._rendered.clear()
            self._rendered[key] = self._row(*key)
        return self._rendered[key]

    def _row(self, width: int, time: str, mark: str, mark_style: str, text: str, style: str, tail: str) -> Lines:
        row = Table.grid(padding=(0, 1), expand=False)
        row.add_column(justify="right", min_width=7, no_wrap=True)
        row.add_column(width=1, no_wrap=True)
        row.add_column(overflow="fold")
        said = Text(text, style=style).append(tail, style="green" if tail == CURSOR else "dim")
        row.add_row(Text(time, style="dim"), Text(mark, style=mark_style), said)
        return self.console.render_lines(row, self.console.options.update(width=width), pad=False)


def _look(entry: Asked | Spoken) -> tuple[str, str, str, str, str]:
    """Mark, its style, text, its style, and what follows the text."""
    text = printable(entry.text)
    if isinstance(entry, Asked):
        return "*" if entry.standing else "?", "bold magenta", text, "magenta", ""
    tail = CURSOR if entry.end_s is None else TAILS.get(entry.status or "", "")
    if entry.is_withdrawn:
        return "~", "bold yellow", text, "strike dim", tail
    return "→" if entry.rev > 1 else " ", "bold yellow", text, "", tail
