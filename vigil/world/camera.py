"""The camera family: what happens in front of, and to, a camera that nobody names anything for.

Facts only. How the pictures look (imagery, hand-held shake, pans, flicker) is drawn in `vigil.world.draw_camera`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from vigil.world.chance import Change, Draw
from vigil.world.words import MAX_DISPLAY, SIDES

Side = Literal["left", "right", "none"]


class Moment(NamedTuple):
    """What holds in one frame."""

    shot: int
    """Number of cuts so far."""
    is_dark: bool
    is_frozen: bool
    """The picture is the one of the frame before, pixel for pixel."""
    side: Side
    """Where something has moved since the frame before."""
    number: int
    """What the display shows; -1 where there is none."""


@dataclass(frozen=True, slots=True)
class Footage:
    """A scene of the camera family."""

    moments: tuple[Moment, ...]
    """One per frame."""
    has_display: bool


BEGINNINGS = ("cut", "dark", "freeze", "motion_start", "display")
"""Kinds of change of which lopsided footage has a favourite; the others only end something."""
FAVOUR = 8.0


class _Camera:
    """State of the simulation; each method makes one change visible in frame `frame`."""

    def __init__(self, draw: Draw, *, is_lopsided: bool) -> None:
        self.draw = draw
        self.favour: dict[str, float] = {}
        """How much more often than usual a kind of change comes."""
        if is_lopsided:
            self.favour = {kind: draw.pick((0.1, 1.0)) for kind in BEGINNINGS}
            self.favour[draw.pick(BEGINNINGS)] = FAVOUR
        self.shot = 0
        self.is_dark = False
        self.is_frozen = False
        self.side: Side = "none"
        self.number = draw.between(0, MAX_DISPLAY) if draw.chance(0.55) else -1

    def moment(self) -> Moment:
        """What this frame shows."""
        side: Side = "none" if self.is_frozen else self.side
        return Moment(self.shot, self.is_dark, self.is_frozen, side, self.number)

    def options(self) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Kinds of change that can be seen now, with weights: nothing but light returns in the dark."""
        if self.is_dark:
            return ("bright",), (1.0,)
        if self.is_frozen:
            return ("unfreeze",), (1.0,)
        kinds = [("freeze", 1.0)]
        kinds += [("motion_stop", 3.0)] if self.side != "none" else [("motion_start", 3.0), ("cut", 2.0), ("dark", 1.3)]
        if self.number >= 0:
            kinds.append(("display", 1.7))
        return tuple(kind for kind, _ in kinds), tuple(weight * self.favour.get(kind, 1.0) for kind, weight in kinds)

    def change(self, frame: int) -> Change:
        """Make one of the changes that are possible now."""
        kind = self.draw.weighted(*self.options())
        subject, value = "picture", ""
        if kind == "cut":
            self.shot += 1
        elif kind in ("dark", "bright"):
            self.is_dark = kind == "dark"
            value = "dark" if self.is_dark else "normal"
        elif kind in ("freeze", "unfreeze"):
            self.is_frozen = kind == "freeze"
            value = "yes" if self.is_frozen else "no"
        elif kind == "display":
            self.number = _other_number(self.draw, self.number)
            subject, value = "display", str(self.number)
        else:
            self.side = self.draw.pick(SIDES) if kind == "motion_start" else "none"
            subject, value = "motion", self.side
        return Change(frame=frame, kind=kind, subject=subject, value=value)


def _other_number(draw: Draw, number: int) -> int:
    """Count on by one in half of the cases, else any other number."""
    if draw.chance(0.5):
        return (number + 1) % (MAX_DISPLAY + 1)
    return (number + draw.between(1, MAX_DISPLAY)) % (MAX_DISPLAY + 1)


def film(
    draw: Draw, num_frames: int, event_gap: tuple[int, int], *, is_lopsided: bool = False
) -> tuple[Footage, tuple[Change, ...]]:
    """Simulate footage of `num_frames` frames."""
    camera = _Camera(draw, is_lopsided=is_lopsided)
    if draw.chance(0.2):
        camera.side = draw.pick(SIDES)  # it moves from the start
    moments = [camera.moment()._replace(side="none")]  # one frame alone shows no movement
    changes: list[Change] = []
    due = draw.between(*event_gap) + (camera.side != "none")
    for frame in range(1, num_frames):
        if frame == due:
            changes.append(camera.change(frame))
            due = frame + draw.between(*event_gap)
        moments.append(camera.moment())
    return Footage(tuple(moments), camera.number >= 0), tuple(changes)
