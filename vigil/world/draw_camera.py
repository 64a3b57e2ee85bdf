"""Draws scenes of the camera family, before noise and compression.

Each shot is a made-up photograph, larger than the picture, over which a hand-held camera drifts, shakes and zooms. None
of that counts as movement: what moves is one of two lumps, one in each half, which jumps much further than the camera.

Letters: F frames, H height, W width, C = 3 colour channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vigil.world.chance import Draw
from vigil.world.imagery import lump, photograph
from vigil.world.sprites import UNITS, blend, panel, patch_from_image, pixels
from vigil.world.words import SIDES

if TYPE_CHECKING:
    from vigil.world.scene import Scene

CANVAS = 112
"""Edge of a photograph; the picture is 64 (units)."""
FINENESS = 1.25
"""Pixels of a photograph per pixel of the picture."""
MIN_STEP, MAX_STEP = 7.0, 14.0
"""How far a lump moves from frame to frame while it moves (units)."""
LARGE = 0.3
"""Share of lumps that are as large as somebody close by."""
MAX_PAN, MAX_SWAY, MAX_SHAKE = 1.3, 5.0, 1.0
"""Pan per frame, farthest pan, and shake of the camera (units)."""
FAST_PAN, FAST_SWAY = 5.0, 16.0
"""The same of a camera that is turned on purpose; only in shots in which nothing moves."""
DARK_GAIN = (0.06, 0.22)
FLICKER = 0.08
"""Largest gradual change of brightness, as a part of it, that does not count."""

_INKS = (((255, 255, 255), (20, 20, 20)), ((20, 20, 20), (240, 240, 240)), ((255, 230, 60), (24, 24, 60)))


def draw_camera(scene: Scene, draw: Draw, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """All frames of a scene in full light, [F, H, W, C], and the light in each, [F].

    Frozen frames are left as if the camera ran on.
    """
    footage, size_px = scene.footage, scene.config.size_px
    assert footage is not None
    plate = _Plate(draw, size_px) if footage.has_display else None
    rows = (12.0, 52.0) if plate is None else plate.free_rows
    frames_FHWC = np.empty((scene.num_frames, size_px, size_px, 3), dtype=np.uint8)
    canvas_px = round(pixels(CANVAS, size_px) * FINENESS)
    palette_KC = None
    shot = -1
    for frame_HWC, moment in zip(frames_FHWC, footage.moments, strict=True):
        if moment.shot != shot:
            shot = moment.shot
            keeps_colours = draw.chance(0.3)
            photo_HWC, palette_KC = photograph(rng, draw, canvas_px, palette_KC if keeps_colours else None)
            lumps = {side: _Lump(draw, side, rows, size_px, palette_KC) for side in SIDES}
            moves = any(other.side != "none" for other in footage.moments if other.shot == shot)
            camera = _Drift(draw, canvas_px, size_px, is_turned=not moves and draw.chance(0.4))
        if moment.side != "none":
            lumps[moment.side].move()
        x, y = camera.view(photo_HWC, frame_HWC)
        for one in lumps.values():
            one.draw_on(frame_HWC, x, y)
    if plate is not None:
        for frame_HWC, moment in zip(frames_FHWC, footage.moments, strict=True):
            plate.draw_on(frame_HWC, moment.number)
    return frames_FHWC, _light([moment.is_dark for moment in footage.moments], draw)


class _Drift:
    """Where a hand-held camera looks: a slow pan and zoom, and a shake; or a fast pan, where it is turned."""

    def __init__(self, draw: Draw, canvas_px: int, size_px: int, *, is_turned: bool) -> None:
        self.draw = draw
        self.unit = size_px / UNITS
        self.canvas_px = canvas_px
        self.at = [0.0, 0.0]
        held = 0.0 if draw.chance(0.35) else 0.7  # a third of the shots are from a tripod
        pan = draw.real(0, MAX_PAN) if draw.chance(held) else 0.0
        if is_turned:
            pan = draw.real(MAX_PAN, FAST_PAN)
        self.sway = FAST_SWAY if is_turned else MAX_SWAY
        self.pan = [pan * draw.real(-1, 1) * self.unit for _ in range(2)]
        self.zoom, self.zoom_step = draw.real(0.85, 1.1), draw.real(-0.012, 0.012) if draw.chance(held) else 0.0
        self.shake = draw.real(0, MAX_SHAKE) * self.unit if draw.chance(held) else 0.0

    def view(self, photo_HWC: NDArray[np.uint8], out_HWC: NDArray[np.uint8]) -> tuple[int, int]:
        """Take the next frame; return by how much things appear shifted, (x, y) in pixels."""
        looks = []
        for axis in (0, 1):
            if abs(self.at[axis] + self.pan[axis]) > self.sway * self.unit:
                self.pan[axis] *= -1
            self.at[axis] += self.pan[axis]
            looks.append(self.at[axis] + self.draw.real(-1, 1) * self.shake)
        self.zoom = max(0.8, min(1.15, self.zoom + self.zoom_step))
        ray = (np.arange(len(out_HWC)) + 0.5 - len(out_HWC) / 2) * self.zoom
        columns, rows = (((ray + look) * FINENESS + self.canvas_px / 2).astype(np.int64) for look in looks)
        np.take(photo_HWC[rows], columns, axis=1, out=out_HWC)
        return round(-looks[0]), round(-looks[1])


class _Lump:
    """Something that can move within one half of the picture."""

    def __init__(
        self, draw: Draw, side: str, rows: tuple[float, float], size_px: int, palette_KC: NDArray[np.float32]
    ) -> None:
        self.draw, self.side, self.rows, self.size_px = draw, side, rows, size_px
        self.is_large = draw.chance(LARGE)
        images = lump(draw, pixels(draw.real(*((26, 44) if self.is_large else (14, 24))), size_px), palette_KC)
        self.patches = [patch_from_image(image) for image in images]
        self.look = 0
        self.x, self.y = self._somewhere()

    def _somewhere(self) -> tuple[float, float]:
        x = self.draw.real(3, 17) if self.is_large else self.draw.real(8, 21)
        return (x if self.side == "left" else UNITS - x), self.draw.real(*self.rows)

    def move(self) -> None:
        """Jump to another place nearby, and turn."""
        for _ in range(32):
            x, y = self._somewhere()
            if MIN_STEP <= math.hypot(x - self.x, y - self.y) <= MAX_STEP:
                break
        else:
            y += MIN_STEP if y < sum(self.rows) / 2 else -MIN_STEP
        self.x, self.y = x, y
        self.look = self.draw.below(len(self.patches))

    def draw_on(self, frame_HWC: NDArray[np.uint8], x: int, y: int) -> None:
        """Draw it, shifted by what the camera does."""
        patch = self.patches[self.look]
        height, width = patch.clear_HW1.shape[:2]
        left, top = pixels(self.x, self.size_px) - width // 2, pixels(self.y, self.size_px) - height // 2
        blend(frame_HWC, patch, left + x, top + y)


class _Plate:
    """A plate with a number near one corner, as a score or a clock laid over the picture."""

    def __init__(self, draw: Draw, size_px: int) -> None:
        self.size_px = size_px
        self.colours = draw.pick(_INKS)
        self.scale = draw.pick((2, 3))
        self.is_low, self.is_right = draw.chance(0.5), draw.chance(0.5)
        self.inset = pixels(draw.real(1, 4), size_px)
        self.free_rows = (10.0, 36.0) if self.is_low else (28.0, 54.0)
        """Heights (units) at which a lump is not hidden by the plate."""

    def draw_on(self, frame_HWC: NDArray[np.uint8], number: int) -> None:
        """Hang the plate with this number into a frame, [H, W, C]."""
        ink, ground = self.colours
        patch = panel(str(number).rjust(2), self.size_px, ink, ground, self.scale)
        height, width = patch.clear_HW1.shape[:2]
        x = self.size_px - self.inset - width if self.is_right else self.inset
        y = self.size_px - self.inset - height if self.is_low else self.inset
        blend(frame_HWC, patch, x, y)


def _light(is_dark_F: list[bool], draw: Draw) -> NDArray[np.float32]:
    """Gain of each frame: it drifts a little from frame to frame, and is low where it is dark."""
    gain, target = 1.0, 1.0
    dark = draw.real(*DARK_GAIN)
    gain_F = np.empty(len(is_dark_F), dtype=np.float32)
    for frame, is_dark in enumerate(is_dark_F):
        if draw.chance(0.3):
            target = draw.real(1 - FLICKER, 1 + FLICKER)
        gain += 0.5 * (target - gain)
        gain_F[frame] = gain * (dark if is_dark else 1.0)
    return gain_F
