"""Draw the sprite sheet of the world once, from an emoji font: `python tools/make_sprites.py FONT`.

FONT is NotoColorEmoji.ttf (Debian: apt-get install fonts-noto-color-emoji), whose bitmaps exist at size 109 only. The
sheet goes to vigil/assets/sprites.png, one square of `SPRITE_PX` per noun in the order of `vigil.world.words.EMOJI`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vigil.world.sprites import SHEET_COLUMNS, SPRITE_PX
from vigil.world.words import EMOJI

FONT_PX = 109
SHEET = Path(__file__).parents[1] / "vigil" / "assets" / "sprites.png"


def draw_emoji(font: ImageFont.FreeTypeFont, emoji: str) -> Image.Image:
    """One emoji, cropped to its ink, centred in a square and scaled to `SPRITE_PX`."""
    canvas = Image.new("RGBA", (2 * FONT_PX, 2 * FONT_PX))
    ImageDraw.Draw(canvas).text((FONT_PX // 4, FONT_PX // 4), emoji, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        raise SystemExit(f"the font has no picture for {emoji!r}; choose another emoji in vigil/world/words.py.")
    ink = canvas.crop(box)
    square = Image.new("RGBA", (max(ink.size), max(ink.size)))
    square.paste(ink, ((square.width - ink.width) // 2, (square.height - ink.height) // 2))
    return square.convert("RGBa").resize((SPRITE_PX, SPRITE_PX), Image.Resampling.LANCZOS).convert("RGBA")


def main(font_file: str) -> None:
    """Write the sheet."""
    font = ImageFont.truetype(font_file, FONT_PX)
    rows = -(-len(EMOJI) // SHEET_COLUMNS)
    sheet = Image.new("RGBA", (SHEET_COLUMNS * SPRITE_PX, rows * SPRITE_PX))
    for index, emoji in enumerate(EMOJI.values()):
        row, column = divmod(index, SHEET_COLUMNS)
        sheet.paste(draw_emoji(font, emoji), (column * SPRITE_PX, row * SPRITE_PX))
    sheet.save(SHEET, optimize=True)
    print(f"{SHEET.name}: {len(EMOJI)} sprites, {SHEET.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
