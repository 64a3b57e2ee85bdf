"""Draws scenes of the objects family, before noise and compression.

Letters: F frames, H height, W width, C = 3 colour channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vigil.world.backgrounds import NUM_VARIANTS, background
from vigil.world.chance import Draw
from vigil.world.sprites import UNITS, Patch, blend, box, panel, pixels, shape, sprite, traffic_light
from vigil.world.stage import NUM_COLUMNS, NUM_LANES, Stage, Thing

if TYPE_CHECKING:
    from vigil.world.scene import Scene

BAR = 13.0
"""Height of the strip that the instruments hang in (units of 1/64 of the edge)."""
LANE = (UNITS - BAR) / NUM_LANES
COLUMN = UNITS / NUM_COLUMNS
THING = 17.0
"""Usual edge of a sprite (units)."""
EDGE_LEAN, BOX_LEAN = 6.0, 8.0
"""How far a thing is shifted that is about to leave, or to go behind the box (units)."""
_MARGIN = 2  # units by which backgrounds are larger than the picture, so that it can shake

_INKS = ((255, 240, 200), (120, 255, 140), (255, 110, 90), (120, 210, 255))
_PAPERS = ((232, 232, 220), (250, 226, 120), (200, 226, 250))


def cell_centre(stage: Stage, lane: int, column: int) -> tuple[float, float]:
    """Centre (x, y) of a cell, in units."""
    top = BAR if stage.layout[0] == "top" else 0.0
    return (column + 0.5) * COLUMN, top + (lane + 0.5) * LANE


def draw_objects(scene: Scene, draw: Draw) -> NDArray[np.uint8]:
    """All frames of a scene, [F, H, W, C]."""
    stage, size_px = scene.stage, scene.config.size_px
    assert stage is not None
    shake = _shake(draw, scene.num_frames, size_px)
    frames_FHWC = _backgrounds(stage, draw, shake, size_px)
    for thing in stage.things:
        _draw_thing(frames_FHWC, thing, stage, shake)
    if stage.box is not None:
        crate = box(size_px, draw.below(3))
        x, y = (pixels(part, size_px) for part in cell_centre(stage, *stage.box))
        for frame_HWC, (dx, dy) in zip(frames_FHWC, shake, strict=True):
            _centred(frame_HWC, crate, x + dx, y + dy)
    _draw_instruments(frames_FHWC, stage, draw)
    return frames_FHWC


def _shake(draw: Draw, num_frames: int, size_px: int) -> list[tuple[int, int]]:
    """Shift of the whole picture in each frame (px): at most one unit, and none at all in half of the scenes."""
    if draw.chance(0.5):
        return [(0, 0)] * num_frames
    most = pixels(1, size_px)
    return [(draw.between(-most, most), draw.between(-most, most)) for _ in range(num_frames)]


def _backgrounds(stage: Stage, draw: Draw, shake: list[tuple[int, int]], size_px: int) -> NDArray[np.uint8]:
    frames_FHWC = np.empty((len(shake), size_px, size_px, 3), dtype=np.uint8)
    margin = pixels(_MARGIN, size_px)
    ends = [backdrop.start for backdrop in stage.backdrops[1:]] + [len(shake)]
    for backdrop, end in zip(stage.backdrops, ends, strict=True):
        whole_HWC = background(backdrop.place, backdrop.variant % NUM_VARIANTS, size_px + 2 * margin)
        if draw.chance(0.5):
            whole_HWC = whole_HWC[:, ::-1]
        for frame in range(backdrop.start, end):
            left, top = margin - shake[frame][0], margin - shake[frame][1]
            frames_FHWC[frame] = whole_HWC[top : top + size_px, left : left + size_px]
    return frames_FHWC


def _draw_thing(frames_FHWC: NDArray[np.uint8], thing: Thing, stage: Stage, shake: list[tuple[int, int]]) -> None:
    size_px = frames_FHWC.shape[1]
    edge_px = pixels(THING * thing.scale, size_px)
    for frame, spot in enumerate(thing.spots, start=thing.start):
        if not spot.is_seen:
            continue
        x, y = cell_centre(stage, thing.lane, spot.column)
        towards_box = stage.box is not None and stage.box == (thing.lane, spot.column + spot.lean)
        x += spot.lean * (BOX_LEAN if towards_box else EDGE_LEAN)
        if spot.colour:
            patch = shape(thing.noun, spot.colour, edge_px)
        else:
            patch = sprite(thing.noun, edge_px, thing.is_flipped)
        dx, dy = shake[frame]
        _centred(frames_FHWC[frame], patch, pixels(x, size_px) + dx, pixels(y, size_px) + dy)


def _centred(frame_HWC: NDArray[np.uint8], patch: Patch, x: int, y: int) -> None:
    height, width = patch.clear_HW1.shape[:2]
    blend(frame_HWC, patch, x - width // 2, y - height // 2)


def _draw_instruments(frames_FHWC: NDArray[np.uint8], stage: Stage, draw: Draw) -> None:
    """Hang the instruments side by side along the bar: the light, glowing counter digits, a clock on paper."""
    size_px = frames_FHWC.shape[1]
    ink, paper = draw.pick(_INKS), draw.pick(_PAPERS)
    inset = draw.between(0, 1)
    at = pixels(1 + inset, size_px)
    for name in stage.instruments:
        if name == "light":
            patches = [traffic_light(lit, size_px) for lit in stage.light_F]
        elif name == "counter":
            patches = [panel(number.rjust(2), size_px, ink, (16, 16, 24)) for number in stage.counter_F]
        else:
            patches = [panel(time, size_px, (20, 20, 26), paper) for time in stage.clock_F]
        widest = max(patch.clear_HW1.shape[1] for patch in patches)
        for frame_HWC, patch in zip(frames_FHWC, patches, strict=True):
            height, width = patch.clear_HW1.shape[:2]
            y = pixels(0.5, size_px) if stage.layout[0] == "top" else size_px - height - pixels(0.5, size_px)
            x = at if stage.layout[1] == "left" else size_px - at - width
            blend(frame_HWC, patch, x, y)
        at += widest + pixels(2, size_px)
