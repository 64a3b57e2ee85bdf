"""Backgrounds of the stage: eight places that can be told apart, each in many variants, drawn once and kept.

Letters: H height, W width, C = 3 colour channels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vigil.world.words import PLACES

NUM_VARIANTS = 16
"""Variants of each place that are drawn; a scene's variant number is taken modulo this."""

Floats = NDArray[np.float32]
RGB = tuple[float, float, float]


def smooth_noise(rng: np.random.Generator, size_px: int, cells: int) -> Floats:
    """Noise in [0, 1] whose features are about size_px / cells wide; [H, W]."""
    grid = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
    image = Image.fromarray(grid).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32) / 255.0


class _Canvas:
    """A picture in the making, with its own random numbers."""

    def __init__(self, rng: np.random.Generator, size_px: int) -> None:
        self.rng = rng
        self.size = size_px
        self.image_HWC: Floats = np.zeros((size_px, size_px, 3), dtype=np.float32)
        edge = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
        self.y_H1, self.x_1W = edge[:, None], edge[None, :]

    def real(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def tint(self, colour: RGB, spread: float = 14.0) -> Floats:
        """The colour, a little different in every variant."""
        tinted: Floats = (np.array(colour) + self.rng.uniform(-spread, spread, 3)).astype(np.float32)
        return tinted

    def fade(self, top: RGB, bottom: RGB) -> None:
        """Fill with a vertical gradient."""
        self.image_HWC += self.tint(top) * (1 - self.y_H1[..., None]) + self.tint(bottom) * self.y_H1[..., None]

    def paint(self, mask_HW: NDArray[np.bool_], colour: Floats) -> None:
        """One colour wherever the mask is set."""
        self.image_HWC[np.broadcast_to(mask_HW, (self.size, self.size))] = colour

    def grain(self, amount: float, cells: int) -> None:
        """Make it lighter and darker in patches."""
        self.image_HWC += amount * (smooth_noise(self.rng, self.size, cells) - 0.5)[..., None]

    def hills(self, level: float, height: float) -> NDArray[np.bool_]:
        """Mask of everything below a wavy line."""
        phase, waves = self.real(0, 6.28), self.real(0.7, 2.2)
        line_1W = level + height * np.sin(phase + waves * 6.28 * self.x_1W)
        line_1W = line_1W + height / 3 * np.sin(3.1 * phase + 2.3 * waves * 6.28 * self.x_1W)
        below: NDArray[np.bool_] = self.y_H1 > line_1W
        return below

    def dots(self, count: int, radius: float, colour: Floats, rows: tuple[float, float] = (0.0, 1.0)) -> None:
        """Round dots at random places between two heights."""
        for _ in range(count):
            x, y = self.real(0, 1), self.real(*rows)
            self.paint((self.x_1W - x) ** 2 + (self.y_H1 - y) ** 2 < (radius * self.real(0.6, 1.3)) ** 2, colour)


def _beach(canvas: _Canvas) -> None:
    canvas.fade((120, 195, 245), (190, 228, 250))
    water = canvas.real(0.26, 0.36)
    canvas.paint(canvas.y_H1 > water, canvas.tint((36, 148, 190)))
    canvas.paint(canvas.hills(water + canvas.real(0.12, 0.2), 0.03), canvas.tint((236, 208, 150)))
    canvas.grain(26, 32)


def _forest(canvas: _Canvas) -> None:
    canvas.fade((24, 62, 30), (46, 84, 34))
    canvas.grain(60, 14)
    for x in np.linspace(0.06, 0.94, int(canvas.rng.integers(4, 7))):
        left = float(x) + canvas.real(-0.05, 0.05)
        canvas.paint(np.abs(canvas.x_1W - left) < canvas.real(0.014, 0.035), canvas.tint((58, 38, 22), 8))
    canvas.paint(canvas.hills(canvas.real(0.86, 0.93), 0.02), canvas.tint((38, 52, 20), 8))


def _snow(canvas: _Canvas) -> None:
    canvas.fade((176, 196, 220), (214, 226, 238))
    canvas.paint(canvas.hills(canvas.real(0.25, 0.35), 0.1), canvas.tint((150, 166, 192)))
    canvas.paint(canvas.hills(canvas.real(0.45, 0.55), 0.05), canvas.tint((232, 238, 246), 6))
    canvas.grain(14, 10)
    canvas.dots(26, 0.012, canvas.tint((255, 255, 255), 2))


def _city(canvas: _Canvas) -> None:
    canvas.fade((150, 150, 160), (190, 180, 176))
    left = -0.05
    while left < 1.0:
        width, top = canvas.real(0.14, 0.26), canvas.real(0.08, 0.4)
        wall = canvas.tint((96, 92, 98), 22)
        inside = (canvas.x_1W > left) & (canvas.x_1W < left + width) & (canvas.y_H1 > top)
        canvas.paint(inside, wall)
        windows = ((canvas.x_1W - left) % 0.075 > 0.045) & ((canvas.y_H1 - top) % 0.1 > 0.055)
        canvas.paint(inside & windows, wall * 0.6 + canvas.tint((70, 66, 40)) * canvas.real(0.2, 1.0))
        left += width + 0.015
    canvas.paint(canvas.y_H1 > canvas.real(0.86, 0.92), canvas.tint((60, 60, 64), 8))


def _sea(canvas: _Canvas) -> None:
    canvas.fade((30, 104, 170), (10, 42, 110))
    phase, waves = canvas.real(0, 6.28), canvas.real(2.0, 3.5)
    swell = np.sin(6.28 * (waves * 3 * canvas.y_H1 + 0.25 * np.sin(phase + waves * 6.28 * canvas.x_1W)))
    canvas.image_HWC += (18 * swell).astype(np.float32)[..., None]
    canvas.grain(20, 16)


def _desert(canvas: _Canvas) -> None:
    canvas.fade((250, 206, 130), (244, 176, 96))
    canvas.dots(1, 0.1, canvas.tint((255, 244, 200), 4), rows=(0.1, 0.25))
    for level, colour in ((0.4, (222, 142, 66)), (0.6, (204, 122, 50)), (0.8, (178, 98, 38))):
        canvas.paint(canvas.hills(level + canvas.real(-0.05, 0.05), 0.06), canvas.tint(colour))
    canvas.grain(16, 40)


def _field(canvas: _Canvas) -> None:
    canvas.fade((140, 200, 250), (200, 230, 250))
    canvas.paint(canvas.hills(canvas.real(0.2, 0.32), 0.04), canvas.tint((112, 184, 66)))
    canvas.grain(34, 24)
    canvas.dots(14, 0.014, canvas.tint((250, 240, 130), 20), rows=(0.45, 1.0))


def _moon(canvas: _Canvas) -> None:
    canvas.fade((8, 8, 18), (14, 14, 26))
    canvas.dots(28, 0.01, canvas.tint((230, 230, 240)), rows=(0.0, 0.5))
    canvas.paint(canvas.hills(canvas.real(0.42, 0.55), 0.04), canvas.tint((126, 126, 132), 12))
    for _ in range(7):
        canvas.dots(1, 0.06, canvas.tint((92, 92, 98), 12), rows=(0.62, 1.0))
    canvas.grain(24, 28)


_PAINTERS: dict[str, Callable[[_Canvas], None]] = dict(
    zip(PLACES, (_beach, _forest, _snow, _city, _sea, _desert, _field, _moon), strict=True)
)


@lru_cache(maxsize=1024)
def background(place: str, variant: int, size_px: int) -> NDArray[np.uint8]:
    """The picture of a place, [H, W, C]; `variant` is below `NUM_VARIANTS`. Not to be written to."""
    canvas = _Canvas(np.random.default_rng((PLACES.index(place), variant)), size_px)
    _PAINTERS[place](canvas)
    image_HWC = canvas.image_HWC.clip(0, 255).astype(np.uint8)
    image_HWC.flags.writeable = False
    return image_HWC
