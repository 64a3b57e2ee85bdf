"""Small pictures with transparency from which frames are put together; each is drawn once per size and kept.

All measures are in units of 1/64 of the picture's edge, so that one world is drawn at any resolution.

Letters: H height, W width, C = 3 colour channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vigil.world.words import COLOURS, EMOJI, LIGHTS

SPRITE_PX = 32
"""Edge of one sprite in the sheet."""
SHEET_COLUMNS = 9
UNITS = 64
"""The edge of a picture, in units."""
_RIM = 1  # px of the sheet
_SUPER = 4  # patches are drawn this many times too large, then averaged down

# drawn so that any two differ in three dots or more
_DIGITS = {
    "0": ("010", "101", "101", "101", "010"),
    "1": ("010", "110", "010", "010", "111"),
    "2": ("110", "001", "010", "100", "111"),
    "3": ("111", "001", "011", "001", "111"),
    "4": ("101", "101", "111", "001", "001"),
    "5": ("111", "100", "110", "001", "110"),
    "6": ("011", "100", "110", "101", "010"),
    "7": ("111", "001", "010", "010", "010"),
    "8": ("111", "101", "010", "101", "111"),
    "9": ("010", "101", "011", "001", "110"),
    ":": ("0", "1", "0", "1", "0"),
    " ": ("000", "000", "000", "000", "000"),
}
_LAMP_RGB = {"red": (255, 36, 30), "yellow": (255, 214, 20), "green": (30, 235, 60)}


@dataclass(frozen=True, slots=True)
class Patch:
    """A picture with transparency, ready to be blended: out = ink + under * (1 - alpha)."""

    ink_HWC: NDArray[np.float32]
    """Colour times alpha, 0 to 255."""
    clear_HW1: NDArray[np.float32]
    """1 - alpha, 0 to 1."""


def pixels(units: float, size_px: int) -> int:
    """Length in pixels of a picture whose edge is `size_px`."""
    return max(1, round(units * size_px / UNITS))


def patch_from_image(image: Image.Image) -> Patch:
    """Premultiply an RGBA image."""
    x_HWK = np.asarray(image, dtype=np.float32)
    alpha_HW1 = x_HWK[..., 3:] / 255.0
    return Patch(np.ascontiguousarray(x_HWK[..., :3] * alpha_HW1), np.ascontiguousarray(1.0 - alpha_HW1))


def blend(frame_HWC: NDArray[np.uint8], patch: Patch, x: int, y: int) -> None:
    """Lay a patch over a frame with its upper left corner at (x, y); what falls outside is cut off."""
    height, width = patch.clear_HW1.shape[:2]
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(height, frame_HWC.shape[0] - y), min(width, frame_HWC.shape[1] - x)
    if top >= bottom or left >= right:
        return
    under = frame_HWC[y + top : y + bottom, x + left : x + right]
    mixed = under * patch.clear_HW1[top:bottom, left:right]
    mixed += patch.ink_HWC[top:bottom, left:right]
    under[:] = mixed


@lru_cache(maxsize=1)
def _sheet() -> Image.Image:
    with files("vigil.assets").joinpath("sprites.png").open("rb") as file:
        return Image.open(file).convert("RGBA")


@lru_cache(maxsize=512)
def _master(noun: str) -> Image.Image:
    """A sprite with a dark rim, so that a pale one shows on snow."""
    row, column = divmod(list(EMOJI).index(noun), SHEET_COLUMNS)
    left, top = column * SPRITE_PX, row * SPRITE_PX
    ink = Image.new("RGBA", (SPRITE_PX + 2 * _RIM, SPRITE_PX + 2 * _RIM))
    ink.paste(_sheet().crop((left, top, left + SPRITE_PX, top + SPRITE_PX)), (_RIM, _RIM))
    rim = Image.new("RGBA", ink.size, (20, 20, 24))
    rim.putalpha(ink.getchannel("A").filter(ImageFilter.MaxFilter(2 * _RIM + 1)).point(lambda alpha: alpha * 0.7))
    return Image.alpha_composite(rim, ink)


@lru_cache(maxsize=4096)
def sprite(noun: str, edge_px: int, flip: bool) -> Patch:
    """A named thing, as it is or mirrored."""
    image = _scaled(_master(noun), edge_px, edge_px)
    return patch_from_image(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image)


def sprite_image(noun: str, edge_px: int, angle: int) -> Image.Image:
    """A thing turned by some degrees counter-clockwise, as an RGBA image; its corners may be cut."""
    return _scaled(_master(noun).rotate(angle, Image.Resampling.BILINEAR), edge_px, edge_px)


@lru_cache(maxsize=1024)
def shape(name: str, colour: str, edge_px: int) -> Patch:
    """A square, circle or triangle with a dark outline."""
    edge = edge_px * _SUPER
    image = Image.new("RGBA", (edge, edge))
    pen = ImageDraw.Draw(image)
    fill, outline, line = COLOURS[colour], (24, 24, 24), max(_SUPER, edge // 14)
    inset = edge // 16
    low, high = inset, edge - 1 - inset
    if name == "square":
        pen.rectangle((low, low, high, high), fill=fill, outline=outline, width=line)
    elif name == "circle":
        pen.ellipse((low, low, high, high), fill=fill, outline=outline, width=line)
    else:
        corners = [(edge // 2, low), (high, high), (low, high)]
        pen.polygon(corners, fill=fill, outline=outline, width=line)
    return patch_from_image(_scaled(image, edge_px, edge_px))


@lru_cache(maxsize=64)
def box(size_px: int, look: int) -> Patch:
    """What things hide behind: a wooden crate, a grey screen, or a cardboard box."""
    fill = ((150, 98, 48), (120, 124, 132), (196, 160, 108))[look]
    line = ((84, 50, 20), (52, 54, 60), (120, 92, 56))[look]
    edge = 19 * _SUPER
    image = Image.new("RGBA", (edge, edge), (*fill, 255))
    pen = ImageDraw.Draw(image)
    if look == 0:
        pen.line((0, 0, edge, edge), fill=line, width=2 * _SUPER)
        pen.line((0, edge, edge, 0), fill=line, width=2 * _SUPER)
    elif look == 1:
        for x in range(0, edge, 4 * _SUPER):
            pen.line((x, 0, x, edge), fill=line, width=_SUPER)
    else:
        pen.rectangle((edge * 2 // 5, 0, edge * 3 // 5, edge), fill=(222, 196, 150))
    pen.rectangle((0, 0, edge - 1, edge - 1), outline=line, width=2 * _SUPER)
    return patch_from_image(_scaled(image, pixels(19, size_px), pixels(19, size_px)))


@lru_cache(maxsize=64)
def traffic_light(lit: str, size_px: int) -> Patch:
    """Three lamps in a row, red first; one is lit."""
    width, height, lamp = 27, 11, 7
    image = Image.new("RGBA", (width * _SUPER, height * _SUPER), (28, 28, 32, 255))
    pen = ImageDraw.Draw(image)
    for index, colour in enumerate(LIGHTS):
        rgb = _LAMP_RGB[colour]
        fill = rgb if colour == lit else tuple(part // 6 + 14 for part in rgb)
        left = 2 + index * (lamp + 1)
        corners = (left * _SUPER, 2 * _SUPER, (left + lamp) * _SUPER - 1, (2 + lamp) * _SUPER - 1)
        pen.ellipse(corners, fill=fill)
    return patch_from_image(_scaled(image, pixels(width, size_px), pixels(height, size_px)))


@lru_cache(maxsize=4096)
def panel(text: str, size_px: int, ink: tuple[int, int, int], ground: tuple[int, int, int], scale: int = 2) -> Patch:
    """A plate with digits (and a colon); each dot of the 3x5 digits is `scale` units wide."""
    dots_HW = np.array(_text_rows(text), dtype=np.uint8)
    dots_HW = np.pad(np.kron(dots_HW, np.ones((scale, scale), dtype=np.uint8)), scale // 2 + (scale > 2))
    colours_KC = np.array([ground, ink], dtype=np.uint8)
    image = Image.fromarray(colours_KC[dots_HW]).convert("RGBA")
    height, width = dots_HW.shape
    image = image.resize((width * _SUPER, height * _SUPER), Image.Resampling.NEAREST)
    return patch_from_image(_scaled(image, pixels(width, size_px), pixels(height, size_px)))


def _text_rows(text: str) -> list[list[int]]:
    """Dots of a line of text, one empty column between two characters."""
    return [[int(dot) for dot in "0".join(_DIGITS[char][row] for char in text)] for row in range(5)]


def _scaled(image: Image.Image, width_px: int, height_px: int) -> Image.Image:
    if image.size == (width_px, height_px):
        return image
    return image.convert("RGBa").resize((width_px, height_px), Image.Resampling.LANCZOS).convert("RGBA")
