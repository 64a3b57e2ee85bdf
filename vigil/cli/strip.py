"""The strip under a picture of an annotated video: the question, what is said, what was taken back, or a quiet mark.

Drawing is a pure function of a picture and of what is to be shown. Axes: H height, W width, C colour channel (RGB).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vigil.cli.story import LATE_S, clock
from vigil.types import LostCause

Rgb: TypeAlias = "NDArray[np.uint8]"
Colour = tuple[int, int, int]

SHORTEST_PX, LONGEST_PX = 640, 1280
"""The longer side of a picture: smaller ones are enlarged by a whole factor, so that text is legible beside them."""
NARROWEST_PX = 480
"""A narrower picture stands in the middle, so that there is room for words."""
NUM_LINES = 2
"""Lines of what is said; of a longer text the newest stay, as in live captions."""
SPACE = 0.29
"""Width of a space, in heights of the text; the font's own is narrow for a small text on a dark ground."""
DOTS = "..."
MOST_CHARS = 1000
"""So much of a text is looked at, more than ever fits."""

GROUND: Colour = (17, 19, 24)
TEXT: Colour = (240, 242, 246)
DIM: Colour = (150, 157, 170)
QUESTION: Colour = (171, 184, 250)
SPEAKING: Colour = (84, 205, 146)
WARNING: Colour = (242, 196, 92)

FONTS = (
    *("NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "PingFang.ttc", "msyh.ttc"),
)
"""Fonts of the system for texts that the one inside Pillow (ASCII) cannot spell; the first that has all of a text."""
_WIDE = "\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_WORDS = re.compile(rf"[{_WIDE}]\s*|[^\s{_WIDE}]+\s*")
"""Where a line may end: after spaces, and beside characters of scripts that have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """All that is written under a picture."""

    question: str = ""
    was: str = ""
    """The answer before, which no longer holds."""
    text: str = ""
    """The answer, as far as it has been said."""
    holds: bool = True
    """False: `text` was withdrawn, and nothing has taken its place yet."""
    said_s: float = 0.0
    """When `text` began to be said (s)."""
    is_speaking: bool = False
    now_s: float = 0.0
    lag_s: float | None = None
    """How late the newest frame became readable (s); None where nothing is due."""
    num_dropped: int = 0
    lost: LostCause | None = None
    """Why a live source gives no pictures."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in pixels; all of a video follows from its first picture."""

    picture_px: tuple[int, int]
    """Width and height that every picture is fitted into."""
    width_px: int
    text_px: int

    @classmethod
    def of(cls, image_HWC: Rgb) -> Layout:
        """The layout for a video that begins with this picture."""
        height_px, width_px = image_HWC.shape[:2]
        longest_px = max(height_px, width_px)
        scale = math.ceil(SHORTEST_PX / longest_px) if longest_px < SHORTEST_PX else min(1.0, LONGEST_PX / longest_px)
        picture_px = max(1, round(width_px * scale)), max(1, round(height_px * scale))
        whole_px = max(NARROWEST_PX, picture_px[0] + picture_px[0] % 2)
        return cls(picture_px, whole_px, min(36, max(18, round(whole_px / 30))))

    @property
    def small_px(self) -> int:
        """Size of the question and of what stands in the corner."""
        return round(0.72 * self.text_px)

    @property
    def line_px(self) -> int:
        """From one line of what is said to the next."""
        return round(1.36 * self.text_px)

    @property
    def margin_px(self) -> int:
        """Room left and right, above and below."""
        return round(0.75 * self.text_px)

    @property
    def captions_px(self) -> int:
        """Where what is said begins, from the top of the strip."""
        return self.margin_px + round(1.7 * self.small_px)

    @property
    def height_px(self) -> int:
        """Picture and strip; even, as encoders want it."""
        height_px = self.picture_px[1] + self.captions_px + NUM_LINES * self.line_px + self.margin_px
        return height_px + height_px % 2


def fitted(image_HWC: Rgb, layout: Layout) -> Rgb:
    """A picture at the size of the video; one of another shape is centred on the ground.

    Shapes: [H, W, 3] -> [h, w, 3], with w and h as in `Layout.picture_px`.
    """
    width_px, height_px = layout.picture_px
    if image_HWC.shape[:2] == (height_px, width_px):
        return image_HWC
    scale = min(width_px / image_HWC.shape[1], height_px / image_HWC.shape[0])
    size = (max(1, round(image_HWC.shape[1] * scale)), max(1, round(image_HWC.shape[0] * scale)))
    resized = Image.fromarray(image_HWC).resize(size, Image.Resampling.BICUBIC)
    if size == layout.picture_px:
        return np.asarray(resized)
    whole = Image.new("RGB", layout.picture_px, GROUND)
    whole.paste(resized, ((width_px - size[0]) // 2, (height_px - size[1]) // 2))
    return np.asarray(whole)


def annotate(picture_HWC: Rgb, shown: Shown, layout: Layout) -> Rgb:
    """The picture with its strip below.

    Shapes: [h, w, 3] as `fitted` gives it -> [`Layout.height_px`, `Layout.width_px`, 3].
    """
    width_px, height_px = layout.picture_px
    whole_HWC = np.empty((layout.height_px, layout.width_px, 3), dtype=np.uint8)
    whole_HWC[:] = GROUND
    left_px = (layout.width_px - width_px) // 2
    whole_HWC[:height_px, left_px : left_px + width_px] = picture_HWC
    strip = Image.fromarray(whole_HWC[height_px:])
    draw = ImageDraw.Draw(strip)
    room_px = _draw_corner(draw, shown, layout)
    _draw_question(draw, shown.question, layout, room_px)
    _draw_captions(draw, shown, layout)
    whole_HWC[height_px:] = np.asarray(strip)
    return whole_HWC


def _draw_corner(draw: ImageDraw.ImageDraw, shown: Shown, layout: Layout) -> int:
    """Time, lag and losses on the right; returns the column where they begin."""
    parts = [(clock(shown.now_s), DIM)]
    if shown.lag_s is not None:
        parts.append((f"lag {shown.lag_s:.2f} s", WARNING if shown.lag_s > LATE_S else DIM))
    if shown.num_dropped:
        parts.append((f"{shown.num_dropped} dropped", WARNING))
    if shown.lost is not None:
        parts.append((f"lost: {shown.lost}", WARNING))
    font = _default(layout.small_px)
    left_px = layout.width_px - layout.margin_px + layout.small_px
    for text, colour in parts:
        line = words(text, colour)
        left_px -= round(sum(_width_px(word, font) for word in line)) + layout.small_px
        _draw_line(draw, line, font, (left_px, layout.margin_px + layout.small_px))
    return left_px - layout.small_px


def _draw_question(draw: ImageDraw.ImageDraw, question: str, layout: Layout, right_px: int) -> None:
    """The open question, as far as it fits on one line."""
    font = font_for(question, layout.small_px)
    lines = wrapped(words(question[:MOST_CHARS], QUESTION), font, right_px - layout.margin_px - font.getlength(DOTS))
    line = [*lines[0], Word(DOTS, QUESTION)] if len(lines) > 1 else lines[0]
    _draw_line(draw, line, font, (layout.margin_px, layout.margin_px + layout.small_px))


def _draw_captions(draw: ImageDraw.ImageDraw, shown: Shown, layout: Layout) -> None:
    """A mark (full while something is said), when that began, and the newest lines of it."""
    text_px, margin_px = layout.text_px, layout.margin_px
    baseline_px = layout.captions_px + text_px
    centre, radius = (margin_px + 0.3 * text_px, baseline_px - 0.35 * text_px), 0.24 * text_px
    box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    if shown.is_speaking:
        draw.ellipse(box, fill=SPEAKING)
    else:
        draw.ellipse(box, outline=DIM, width=max(1, round(text_px / 14)))
    if not (shown.text or shown.was):
        return
    small = _default(layout.small_px)
    since, since_px = clock(shown.said_s), margin_px + text_px
    draw.text((since_px, baseline_px), since, DIM, small, anchor="ls")
    left_px = since_px + small.getlength(since) + 0.6 * text_px
    font = font_for(shown.was + shown.text, text_px)
    text = shown.text[-MOST_CHARS:]
    said = words(shown.was[-MOST_CHARS:], DIM, is_struck=True)
    said += words(text, TEXT) if shown.holds else words(text, DIM, is_struck=True)
    for line in newest(wrapped(said, font, layout.width_px - margin_px - left_px), font):
        _draw_line(draw, line, font, (left_px, baseline_px))
        baseline_px += layout.line_px


def _draw_line(
    draw: ImageDraw.ImageDraw, line: Sequence[Word], font: ImageFont.FreeTypeFont, at: tuple[float, float]
) -> None:
    x_px, baseline_px = at
    for index, word in enumerate(line):
        draw.text((x_px, baseline_px), word.text, word.colour, font, anchor="ls")
        end_px = x_px + _width_px(word, font)
        if word.is_struck:
            goes_on = index + 1 < len(line) and line[index + 1].is_struck
            y_px, to_px = round(baseline_px - 0.3 * font.size), end_px if goes_on else x_px + font.getlength(word.text)
            draw.line((x_px, y_px, to_px, y_px), word.colour, max(1, round(font.size / 12)))
        x_px = end_px


@dataclass(frozen=True, slots=True)
class Word:
    """What stands together on a line."""

    text: str
    colour: Colour = TEXT
    is_struck: bool = False
    has_space: bool = False
    """A space follows, if another word does."""


def words(text: str, colour: Colour, *, is_struck: bool = False) -> list[Word]:
    """The parts of a text between which a line may end; a space follows the last one too."""
    found = _WORDS.findall(f"{text} ")
    return [Word(word.rstrip(), colour, is_struck, has_space=word != word.rstrip()) for word in found]


def _width_px(word: Word, font: ImageFont.FreeTypeFont) -> float:
    """From the beginning of a word to that of the next."""
    return font.getlength(word.text) + (SPACE * font.size if word.has_space else 0.0)


def wrapped(words: Iterable[Word], font: ImageFont.FreeTypeFont, width_px: float) -> list[list[Word]]:
    """Words in lines that are at most so wide; a word that is wider than a line is cut."""
    lines: list[list[Word]] = [[]]
    used_px = 0.0
    for word in words:
        if lines[-1] and used_px + font.getlength(word.text) > width_px:
            lines.append([])
            used_px = 0.0
        rest = word
        while len(rest.text) > 1 and font.getlength(rest.text) > width_px:
            ends = range(2, len(rest.text))
            fits = 1 + bisect_right(ends, width_px, key=lambda end: font.getlength(rest.text[:end]))
            lines[-1].append(replace(rest, text=rest.text[:fits], has_space=False))
            lines.append([])
            rest = replace(rest, text=rest.text[fits:])
        lines[-1].append(rest)
        used_px += _width_px(rest, font)
    return lines


def newest(lines: Sequence[list[Word]], font: ImageFont.FreeTypeFont) -> list[list[Word]]:
    """The lines that there is room for; dots in place of their first words say that there were more."""
    kept = list(lines[-NUM_LINES:])
    if len(kept) < len(lines):
        first, given_px = list(kept[0]), 0.0
        dots = Word(DOTS, first[0].colour, has_space=True)
        while first and given_px < _width_px(dots, font):
            given_px += _width_px(first.pop(0), font)
        kept[0] = [dots, *first]
    return kept


def missing(text: str) -> set[str]:
    """The characters of a text that will be drawn as boxes, because no font has them."""
    font = font_for(text, 16)
    return {char for char in text if not _has(font, char)}


def font_for(text: str, size_px: int) -> ImageFont.FreeTypeFont:
    """The first font that has all characters of a text; where none has, the one that lacks fewest."""
    lacking = frozenset(text) - _ASCII
    return _best(lacking, size_px) if lacking else _default(size_px)


_ASCII = frozenset(map(chr, range(32, 127)))


@lru_cache(maxsize=256)
def _best(chars: frozenset[str], size_px: int) -> ImageFont.FreeTypeFont:
    fonts = [_default(size_px), *(font for name in FONTS if (font := _named(name, size_px)) is not None)]
    return min(fonts, key=lambda font: sum(not _has(font, char) for char in chars))


@lru_cache
def _default(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


@lru_cache
def _named(name: str, size_px: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size_px)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _has(font: ImageFont.FreeTypeFont, char: str) -> bool:
    """Whether a font can spell a character: what it cannot looks as a character that none has."""
    return char.isspace() or _look(font, char) != _look(font, "\U0010ffff")


def _look(font: ImageFont.FreeTypeFont, char: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(char)
    return mask.size, bytes(mask)
