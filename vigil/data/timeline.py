"""Dense captions on the grid of frames: what changed, and what holds, as far as each frame shows it.

Frame k is taken at k / fps seconds. A fact that begins at `start_s` is first shown by the first frame at or after it.
Everything the rules writer says is read from here by frame number, so that nothing is said before a frame shows it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from vigil.data.phrases import HAPPENS
from vigil.data.wording import as_sentence, plural_of, singular_of
from vigil.types import Caption, DenseCaptions

_EPS = 1e-6
AWAY = ("never", "gone", "hidden")
"""Whereabouts of a thing that is not to be seen."""
Change = tuple[int, str]
"""(first frame that shows it, value); the value "" means that nothing is known."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A caption with a fact, on the grid of frames."""

    frame: int
    kind: str
    subject: str
    value: str


class Timeline:
    """One video's facts by frame number."""

    def __init__(
        self, captions: DenseCaptions, fps: float, *, known_after: float = 0.5, other_events: tuple[str, ...] = ()
    ) -> None:
        self.captions = captions
        self.fps = fps
        self.num_frames = max(1, math.ceil(captions.duration_s * fps - _EPS))
        self.happenings = tuple(self._read_happenings())
        """Events after the first frame, in order; what stands there at the start has not happened."""
        self.moments = tuple((f, tuple(group)) for f, group in groupby(self.happenings, key=lambda h: h.frame))
        """The same, grouped by frame."""
        self.told = () if captions.states or self.happenings else tuple(sorted(self._read_told(known_after)))
        """Captions without facts: (first frame on which it may be said, first frame after it, sentence)."""
        self.summary = " ".join(as_sentence(c.text) for c in captions.captions if c.level == "video")
        """What is said of the whole video; known at its end only."""
        self.other_events = other_events
        """Sentences from other videos."""
        self._states = self._read_states()
        self._whereabouts: dict[str, tuple[Change, ...]] = {}
        self.nouns = tuple(sorted({s for s, a in self._states if a == "presence"}))
        """Named things that are in the video at some time."""
        self.coloured = tuple(sorted({s for s, a in self._states if a == "colour"} - {"light"}))
        """Things whose colour is known, such as "square"."""
        plurals = {plural_of(noun): noun for noun in self.nouns}
        counted = [s for s, a in self._states if a == "count" and s != "objects"]
        self._plurals = {plurals.get(s) or singular_of(s): s for s in counted}
        self.absent = tuple(
            sorted(n for n, s in self._plurals.items() if n not in self.nouns and self.values(s, "count") == ("0",))
        )
        """Named things that never appear, although they might."""

    def frame_of(self, time_s: float) -> int:
        """Number of the first frame at or after a time."""
        return max(0, math.ceil(time_s * self.fps - _EPS))

    def time_of(self, frame: int) -> float:
        """Time of a frame (s)."""
        return round(frame / self.fps, 4)

    def changes(self, subject: str, attribute: str) -> tuple[Change, ...]:
        """Every value of a state with the frame that first shows it; neighbours differ. Empty: never known."""
        return self._states.get((subject, attribute), ())

    def values(self, subject: str, attribute: str) -> tuple[str, ...]:
        """The different values that a state takes."""
        return tuple(dict.fromkeys(v for _, v in self.changes(subject, attribute) if v))

    @cached_property
    def frames_of_change(self) -> tuple[int, ...]:
        """Frames on which any state takes another value."""
        return tuple(sorted({frame for changes in self._states.values() for frame, _ in changes}))

    def value_at(self, subject: str, attribute: str, frame: int) -> str:
        """The value that a frame shows; "" where none is known."""
        return value_at(self.changes(subject, attribute), frame)

    def whereabouts(self, noun: str) -> tuple[Change, ...]:
        """Where a named thing is: its place, "somewhere", "hidden", "gone", or "never" until it is first seen."""
        if noun not in self._whereabouts:
            self._whereabouts[noun] = self._find(noun)
        return self._whereabouts[noun]

    def _find(self, noun: str) -> tuple[Change, ...]:
        merged: list[Change] = []
        presence, place = self.changes(noun, "presence"), self.changes(noun, "place")
        seen = False
        for frame in sorted({0} | {f for f, _ in presence} | {f for f, _ in place}):
            value = value_at(presence, frame)
            if value == "visible":
                value = value_at(place, frame) or "somewhere"
                seen = True
            elif not seen:
                value = "never"
            else:
                value = value or "gone"
            if not merged or merged[-1][1] != value:
                merged.append((frame, value))
        return tuple(merged)

    def count_of(self, noun: str) -> tuple[Change, ...]:
        """How many of a named thing there are."""
        return self.changes(self._plurals.get(noun, noun), "count")

    def count_at(self, noun: str, frame: int) -> int:
        """How many of a thing ("objects": of all) a frame shows; 0 if that is unknown."""
        changes = self.changes(noun, "count") if noun == "objects" else self.count_of(noun)
        return int(value_at(changes, frame) or 0)

    def is_single(self, noun: str) -> bool:
        """Whether there is never more than one of a thing, and its place is known, so that "the dog" names it."""
        return bool(self.changes(noun, "place")) and all(n in ("", "0", "1") for _, n in self.count_of(noun))

    def next_shown(self, noun: str, after: int) -> int | None:
        """First frame later than `after` in which a thing is to be seen, or None."""
        return next((f for f, v in self.whereabouts(noun) if f > after and v not in AWAY), None)

    @property
    def states_known(self) -> bool:
        """Whether there are facts, so that what is not told has not happened."""
        return bool(self._states)

    def _read_happenings(self) -> Iterator[Happening]:
        for caption in sorted(self.captions.captions, key=lambda c: c.start_s):
            frame = self.frame_of(caption.start_s)
            if caption.kind in HAPPENS and 0 < frame < self.num_frames:
                yield Happening(frame, caption.kind, caption.subject, _value(caption))

    def _read_told(self, known_after: float) -> Iterator[tuple[int, int, str]]:
        for caption in self.captions.captions:
            known_s = caption.start_s + known_after * (caption.end_s - caption.start_s)
            frame = self.frame_of(known_s)
            if caption.level != "video" and frame < self.num_frames:
                yield frame, max(frame + 1, self.frame_of(caption.end_s)), as_sentence(caption.text)

    def _read_states(self) -> dict[tuple[str, str], tuple[Change, ...]]:
        spans: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
        for state in self.captions.states:
            first, past = self.frame_of(state.start_s), min(self.frame_of(state.end_s), self.num_frames)
            if first < past:
                spans.setdefault((state.subject, state.attribute), []).append((first, past, state.value))
        return {key: _changes(sorted(parts), self.num_frames) for key, parts in spans.items()}


def value_at(changes: tuple[Change, ...], frame: int) -> str:
    """The newest value at a frame; "" before the first."""
    index = bisect_right(changes, frame, key=lambda change: change[0])
    return changes[index - 1][1] if index else ""


def _changes(spans: list[tuple[int, int, str]], num_frames: int) -> tuple[Change, ...]:
    """Spans in order of time -> changes, with "" where there is a gap."""
    changes: list[Change] = []
    until = 0
    for first, past, value in spans:
        if changes and first > until:
            changes.append((until, ""))
        if not changes or changes[-1][1] != value:
            changes.append((first, value))
        until = past
    if until < num_frames:
        changes.append((until, ""))
    return tuple(changes)


def _value(caption: Caption) -> str:
    """A recolouring names the new thing ("blue square") or the colour alone; keep the colour."""
    return caption.value.split(" ")[0] if caption.kind == "recolour" else caption.value
