"""How the model is doing: an engine that notices a step that does not end, and a door for work beside live sessions."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vigil.model.model import VideoModel
from vigil.stream.engine import Engine, EngineConfig

STEPS_KEPT = 1000
PATIENCE = 20
"""A step may take so many times the 99th percentile of those before it."""


class WatchedEngine(Engine):
    """An engine that knows since when the step of each of its two channels has been going on."""

    def __init__(self, model: VideoModel, config: EngineConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(model, config)
        self._clock = clock
        self._since: dict[str, float] = {}
        self._took: deque[float] = deque(maxlen=STEPS_KEPT)

    def look(self) -> bool:
        """See `Engine.look`."""
        with self._watched("sight") as note:
            looked = super().look()
            note(looked)
        return looked

    def speak(self) -> tuple[bool, float | None]:
        """See `Engine.speak`."""
        with self._watched("speech") as note:
            spoke, delay_s = super().speak()
            note(spoke)
        return spoke, delay_s

    @contextmanager
    def _watched(self, channel: str) -> Iterator[Callable[[bool], None]]:
        began_s = self._since[channel] = self._clock()

        def note(has_worked: bool) -> None:
            if has_worked:
                self._took.append(self._clock() - began_s)

        try:
            yield note
        finally:
            self._since.pop(channel, None)

    @property
    def going_on_s(self) -> float:
        """How long the step that has not ended has taken so far; 0 while there is none."""
        now_s = self._clock()
        return max((now_s - began_s for began_s in list(self._since.values())), default=0.0)

    def patience_s(self, least_s: float) -> float:
        """How long a step may take: `least_s`, or 20 times the 99th percentile of the newest steps."""
        took = sorted(self._took)
        return max(least_s, PATIENCE * took[int(0.99 * (len(took) - 1))]) if took else least_s


class SideDoor:
    """Lets work that belongs to no live session use the model for a bounded share of the time, one step at a time."""

    def __init__(
        self,
        is_live: Callable[[], bool],
        *,
        share: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`is_live` tells whether there are live sessions now; without them nothing is held back."""
        self._is_live = is_live
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do one step; where there are live sessions, the model then rests from such work in proportion."""
        with self._lock:
            began_s = self._clock()
            yield
            took_s = self._clock() - began_s
            if self._is_live():
                self._sleep(took_s * (1 - self._share) / self._share)
