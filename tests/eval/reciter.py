"""A scripted system that recites a panel without a flaw: it reads the true state from the frames, and speaks in words.

Its frames are no pictures: they spell the state in numbers, so that no eyes are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from event_logs import frame, log_of

from vigil.eval.door import Image
from vigil.eval.l5.trials import COLOURS, PROMPT, L5Config, Reel, draw_trial, run_trial
from vigil.eval.log import Log
from vigil.eval.watcher import Reply, WatcherSystem
from vigil.world.chance import Change
from vigil.world.panel import unfold
from vigil.world.words import ITEMS, PLACES


class SpeltReel(Reel):
    """Frames that spell the panel: one number per item, then one for the background."""

    def image(self, i: int, change: Change | None) -> Image:
        panel = unfold(self._draws.panel, [] if change is None else [change], self._config.num_frames)[i]
        numbers = [*(COLOURS.index(colour) for colour in panel.colours), PLACES.index(panel.place)]
        return np.array([[[number] * 3 for number in numbers]], dtype=np.uint8)


def read(image: Image) -> list[str]:
    """The colour of each item."""
    return [COLOURS[number] for number in image[0, : len(ITEMS), 0]]


@dataclass
class Reciter:
    """States every item from the newest frame, word by word; afterwards it corrects what no longer holds."""

    corrects: bool = True
    interrupts_itself: bool = False
    guess: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    shown: list[str] | None = None
    is_asked: bool = False
    stated: dict[str, str] = field(default_factory=dict)

    def see(self, image: Image, t: float) -> None:
        self.shown = read(image)

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        self.is_asked = True
        self.stated = {}

    def reply(self, t: float) -> Reply:
        if not self.is_asked:
            return None
        if not self.stated:
            return self._recite(list(ITEMS))
        wrong = [item for item in ITEMS if self.stated[item] != self._colour(item)]
        return self._recite(wrong) if wrong and self.corrects else None

    def _recite(self, items: list[str]) -> Iterator[str]:
        for item in items:
            yield from ("Item", f" {item}", " is")
            self.stated[item] = self._colour(item)
            yield from (f" {self.stated[item]}", ". ")

    def _colour(self, item: str) -> str:
        if self.shown is None:  # it has never seen anything: a guess, which it keeps
            return self.stated.get(item) or str(self.guess.choice(COLOURS))
        return self.shown[ITEMS.index(item)]


def reciter(*, corrects: bool = True) -> WatcherSystem:
    seeds = iter(range(10**9))
    return WatcherSystem("reciter", lambda: Reciter(corrects=corrects, guess=np.random.default_rng(next(seeds))))


def calm(number: int, config: L5Config) -> Log:
    """What it says in a trial in which nothing changes."""
    return run_trial(reciter(), SpeltReel(draw_trial(number), config), None, config)[0]


def said(*claims: tuple[float, str], cut: bool = False, prompt: bool = True) -> Log:
    """One answer per claim; the first is the reply, and is cut by the second on demand."""
    rows: list[dict[str, Any]] = [row for i in range(4) for row in frame(i, i * 0.5)]
    if prompt:
        rows.append({"k": "prompt", "q": "q1", "t": 1.0, "w": 1.0, "text": PROMPT, "direct": True})
    for n, (t, text) in enumerate(claims, start=1):
        a = str(n)
        rows.append({"k": "answer", "a": a, "q": "q1", "w": t, "state": "open"})
        rows.append({"k": "tok", "n": n, "w": t, "vis": 2, "text": text, "a": a})
        state = "cut" if cut and n == 1 else "final"
        rows.append({"k": "answer", "a": a, "q": "q1", "w": t, "state": state, "text": text})
    return log_of(*rows, end_s=15.0, fps=2, cost={"token": 0.1})
