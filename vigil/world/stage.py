"""What a scene of the objects family holds: things on a stage of 3 lanes by 3 columns, backdrops, instruments.

Facts only, in whole cells. `vigil.world.objects` makes them up; `vigil.world.draw_objects` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from vigil.world.words import phrase

NUM_LANES = NUM_COLUMNS = 3


class Spot(NamedTuple):
    """Where one thing is in one frame."""

    column: int
    lean: int
    """-1 or 1: shifted to the left or right by part of a cell, on its way out, in, or behind the box."""
    is_seen: bool
    """False: it is behind the box."""
    colour: str
    """Empty for everything but shapes."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One appearance of one thing, from entering to leaving."""

    noun: str
    lane: int
    start: int
    """First frame in which it is on the stage."""
    spots: tuple[Spot, ...]
    """One per frame from `start` on."""
    scale: float
    """Size of its sprite against the usual one."""
    is_flipped: bool

    def spot(self, frame: int) -> Spot | None:
        """Where it is, or None before it enters and after it has left."""
        index = frame - self.start
        return self.spots[index] if 0 <= index < len(self.spots) else None

    def name(self, spot: Spot) -> str:
        """What it is called while it looks like this: "dog", "red square"."""
        return phrase(self.noun, spot.colour)


class Backdrop(NamedTuple):
    """The background from frame `start` on."""

    start: int
    place: str
    variant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that can be seen in a scene of the objects family."""

    things: tuple[Thing, ...]
    backdrops: tuple[Backdrop, ...]
    box: tuple[int, int] | None
    """Lane and column of what things hide behind."""
    layout: tuple[str, str]
    """One of `words.LAYOUTS`."""
    instruments: tuple[str, ...]
    """Up to two of "light", "counter" and "clock", in order from the side that the layout names."""
    light_F: tuple[str, ...]
    """Colour that is lit in each frame; empty without a light."""
    counter_F: tuple[str, ...]
    """Number shown in each frame; empty without a counter."""
    clock_F: tuple[str, ...]
    """Time shown in each frame; empty without a clock."""
