"""Progress of a training run: a bar with the time that is left, or a line a minute where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Self

LINE_EVERY_S = 60.0


class Progress:
    """Shows one stage. `rate` is steps per second since the stage (re)started."""

    def __init__(self, name: str, steps: int, first: int, *, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.rate = 0.0
        self._name, self._steps, self._first = name, steps, first
        self._quiet = quiet
        self._start = self._said = time.monotonic()
        console = Console(stderr=True)
        self._bar = None
        if not quiet and console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
            )
            self._task = self._bar.add_task(name, total=steps, completed=first, note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, step: int, note: str) -> None:
        """Show that a step is done, with a few words on how it went."""
        now = time.monotonic()
        self.rate = (step + 1 - self._first) / max(1e-6, now - self._start)
        if self._bar is not None:
            self._bar.update(self._task, completed=step + 1, note=note)
        elif not self._quiet and (now - self._said > LINE_EVERY_S or step + 1 == self._steps):
            left_s = (self._steps - step - 1) / self.rate
            print(f"{self._name} {step + 1}/{self._steps}  {note}  {left_s:.0f} s left", file=sys.stderr, flush=True)
            self._said = now
