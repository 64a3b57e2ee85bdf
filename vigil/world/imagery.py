"""Made-up photographs and lumps: nameless imagery with edges, texture, shading and clutter.

Letters: H height, W width, C = 3 colour channels, K palette entries.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vigil.world.backgrounds import NUM_VARIANTS, background, smooth_noise
from vigil.world.chance import Draw
from vigil.world.sprites import sprite_image
from vigil.world.words import EMOJI, PLACES

NUM_TEXTURES = 48
MIN_CONTRAST = 70.0
"""How much lighter or darker than the photograph a lump is (grey levels)."""
_TEXTURE_PX = 160
_RAMP_K1 = np.linspace(0, 1, 256, dtype=np.float32)[:, None]

Palette = NDArray[np.float32]


@lru_cache(maxsize=NUM_TEXTURES)
def _texture(index: int) -> Image.Image:
    """A grey texture, `_TEXTURE_PX` square: clouds, stripes, checks, speckle or cracks."""
    rng = np.random.default_rng((97, index))
    clouds_HW = sum(
        smooth_noise(rng, _TEXTURE_PX, cells) * weight for cells, weight in ((6, 1.0), (13, 0.6), (29, 0.4), (80, 0.3))
    )
    y_H1, x_1W = np.mgrid[0:_TEXTURE_PX, 0:_TEXTURE_PX].astype(np.float32)
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(6, 24)
    along = (x_1W * np.cos(angle) + y_H1 * np.sin(angle)) / pitch
    across = (y_H1 * np.cos(angle) - x_1W * np.sin(angle)) / pitch
    kind = index % 6
    if kind == 0:
        x_HW = clouds_HW / 2.3
    elif kind == 1:
        x_HW = 0.5 + 0.4 * np.sin(6.28 * (along + 0.5 * clouds_HW))
    elif kind == 2:
        x_HW = ((np.floor(along) + np.floor(across)) % 2) * 0.7 + 0.2 * clouds_HW
    elif kind == 3:
        x_HW = (smooth_noise(rng, _TEXTURE_PX, 90) > 0.55) * 0.7 + 0.15 * clouds_HW
    elif kind == 4:
        x_HW = 1.0 - np.abs(clouds_HW - 1.15) * 2.2
    else:
        x_HW = (clouds_HW > 1.15) * 0.6 + 0.2 * clouds_HW
    return Image.fromarray((np.asarray(x_HW) * 255).clip(0, 255).astype(np.uint8))


def _new_palette(draw: Draw) -> Palette:
    """Five colours, more grey than bright, neighbours of one another as in a real place; [K, C]."""
    base_C = draw.real(60, 215) + np.array([draw.real(-40, 40) for _ in range(3)])
    spread = draw.real(10, 55)
    offsets_KC = np.array([[draw.real(-1, 1) * spread for _ in range(3)] for _ in range(5)])
    shade_K1 = np.array([[draw.real(-70, 70)] for _ in range(5)])
    palette_KC: Palette = (base_C + offsets_KC + shade_K1).clip(12, 250).astype(np.float32)
    return palette_KC


def _contrasting(draw: Draw, palette_KC: Palette) -> Palette:
    """Five colours that stand out against these."""
    other_KC = _new_palette(draw)
    gap = other_KC.mean() - palette_KC.mean()
    shift = (1.0 if palette_KC.mean() < 128 else -1.0) * MIN_CONTRAST - gap if abs(gap) < MIN_CONTRAST else 0.0
    return (other_KC + shift).clip(0, 255).astype(np.float32)


def _crop(draw: Draw, edge_px: int) -> Image.Image:
    """A random piece of a random texture, grey."""
    texture = _texture(draw.below(NUM_TEXTURES))
    piece = min(_TEXTURE_PX, draw.between(edge_px // 2, 3 * edge_px // 2))
    left, top = draw.below(_TEXTURE_PX - piece + 1), draw.below(_TEXTURE_PX - piece + 1)
    return texture.resize((edge_px, edge_px), Image.Resampling.BILINEAR, box=(left, top, left + piece, top + piece))


def _textured(draw: Draw, edge_px: int, palette_KC: Palette) -> Image.Image:
    """A texture between two colours of the palette."""
    low_C, high_C = (palette_KC[draw.below(len(palette_KC))] for _ in range(2))
    if abs(float(high_C.sum() - low_C.sum())) < 75:
        high_C = high_C + (60 if high_C.sum() < 384 else -60)
    table_KC = low_C + (high_C - low_C) * _RAMP_K1
    image = _crop(draw, edge_px)
    image.putpalette(table_KC.clip(0, 255).astype(np.uint8).tobytes())
    return image.convert("RGB")


def _blob_mask(draw: Draw, edge_px: int) -> Image.Image:
    """A rounded or cornered outline that fills most of the square."""
    mask = Image.new("L", (edge_px, edge_px))
    count = draw.between(3, 9)
    turn = draw.real(0, 6.28)
    radii = [edge_px / 2 * draw.real(0.7, 1.0) for _ in range(count)]
    angles = [turn + 6.28 * (index + draw.real(-0.2, 0.2)) / count for index in range(count)]
    middle = edge_px / 2
    corners = [
        (middle + radius * float(np.cos(angle)), middle + radius * float(np.sin(angle)))
        for radius, angle in zip(radii, angles, strict=True)
    ]
    pen = ImageDraw.Draw(mask)
    if count > 6:
        inset = edge_px * draw.real(0, 0.2)
        pen.ellipse((0, inset, edge_px - 1, edge_px - 1 - inset), fill=255)
    else:
        pen.polygon(corners, fill=255)
    return mask


def photograph(
    rng: np.random.Generator, draw: Draw, edge_px: int, palette: Palette | None
) -> tuple[NDArray[np.uint8], Palette]:
    """A picture of nothing in particular, [H, W, C], and the colours that it was made from."""
    palette_KC = _new_palette(draw) if palette is None else palette
    if palette is None and draw.chance(0.25):
        place_HWC = background(draw.pick(PLACES), draw.below(NUM_VARIANTS), edge_px)
        image = Image.fromarray(place_HWC[:, :, :: draw.pick((1, -1))])
    else:
        cells = draw.between(2, 6)
        picked_HWC = palette_KC[rng.integers(0, len(palette_KC), (cells, cells))]
        ground = Image.fromarray(picked_HWC.astype(np.uint8)).resize((edge_px, edge_px), Image.Resampling.BICUBIC)
        image = Image.blend(ground, _textured(draw, edge_px, palette_KC), draw.real(0.15, 0.6))
    for _ in range(draw.between(2, 6)):
        piece_px = round(edge_px * draw.real(0.15, 0.5))
        piece = _textured(draw, piece_px, palette_KC)
        corner = (draw.below(edge_px) - piece_px // 2, draw.below(edge_px) - piece_px // 2)
        image.paste(piece, corner, _blob_mask(draw, piece_px))
    for _ in range(draw.between(0, 2)):
        thing = sprite_image(draw.pick(list(EMOJI)), round(edge_px * draw.real(0.12, 0.3)), draw.between(-40, 40))
        image.paste(thing, (draw.below(edge_px) - thing.width // 2, draw.below(edge_px) - thing.height // 2), thing)
    if draw.chance(0.5):
        image = image.filter(ImageFilter.BoxBlur(draw.real(0.4, 1.4)))
    return np.asarray(image), palette_KC


def lump(draw: Draw, edge_px: int, palette_KC: Palette) -> list[Image.Image]:
    """A thing without a name, in three postures, as RGBA images."""
    if draw.chance(0.35):
        noun = draw.pick(list(EMOJI))
        return [sprite_image(noun, edge_px, angle) for angle in (0, draw.between(-25, -8), draw.between(8, 25))]
    colours_KC, mask = _contrasting(draw, palette_KC), _blob_mask(draw, edge_px)
    skins = [_textured(draw, edge_px, colours_KC)] * 3
    if draw.chance(0.4):  # its surface churns, as of something that is stirred
        skins = [skins[0], *(_textured(draw, edge_px, colours_KC) for _ in range(2))]
    for skin in skins:
        skin.putalpha(mask)
    angles = (0, draw.between(-40, -10), draw.between(10, 40))
    return [skin.rotate(angle) if angle else skin for skin, angle in zip(skins, angles, strict=True)]
