"""The panel family: six labelled tiles that change colour in front of a background that may change too.

It is the world of the test of contradiction in the middle of a reply: what each item shows is all there is to say, and
a new background is a change that nothing follows from. Tiles stand in the order of their letters, row by row.

Letters: H height, W width, C = 3 colour channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vigil.errors import ConfigError
from vigil.world.backgrounds import NUM_VARIANTS, background
from vigil.world.chance import Change, Draw
from vigil.world.sprites import UNITS, Patch, blend, patch_from_image, pixels
from vigil.world.words import ITEMS, PANEL_COLOURS, PLACES

_CALM = 0.3
"""Share of the scenes in which at most one thing changes."""
_DISTRACTION = 0.3
"""Share of the changes that only change the background."""
_GAP = 3.0
"""Background between two tiles (units)."""
_SUPER = 4  # tiles are drawn this many times too large, then averaged down
_RIM, _PLATE, _INK = (128, 128, 132), (40, 40, 46), (250, 250, 250)
_LETTERS = {
    "A": ("01110", "10001", "10001", "11111", "10001", "10001", "10001"),
    "B": ("11110", "10001", "10001", "11110", "10001", "10001", "11110"),
    "C": ("01111", "10000", "10000", "10000", "10000", "10000", "01111"),
    "D": ("11110", "10001", "10001", "10001", "10001", "10001", "11110"),
    "E": ("11111", "10000", "10000", "11110", "10000", "10000", "11111"),
    "F": ("11111", "10000", "10000", "11110", "10000", "10000", "10000"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What one frame shows."""

    colours: tuple[str, ...]
    """The colour of each item of `words.ITEMS`, in order."""
    place: str = PLACES[0]
    """The background, one of `words.PLACES`."""
    variant: int = 0
    """Look of the background, below `backgrounds.NUM_VARIANTS`."""
    columns: int = 3
    """Tiles side by side: 3 (in two rows) or 2 (in three)."""

    def __post_init__(self) -> None:
        if len(self.colours) != len(ITEMS) or not set(self.colours) <= PANEL_COLOURS.keys():
            raise ConfigError(f"a panel has {len(ITEMS)} colours of {tuple(PANEL_COLOURS)}, got {self.colours}.")
        if self.place not in PLACES or not 0 <= self.variant < NUM_VARIANTS or self.columns not in (2, 3):
            raise ConfigError(
                f"a panel has a place of {PLACES}, a variant below {NUM_VARIANTS} and 2 or 3 columns, "
                f"got {self.place!r}, {self.variant}, {self.columns}."
            )

    def after(self, change: Change) -> Panel:
        """The panel once an item has taken another colour (kind "item"), or the background has changed ("cut").

        Raises:
            ConfigError: it is no such change, or it changes nothing.
        """
        after = self
        if change.kind == "cut":
            after = replace(self, place=change.value)
        elif change.kind == "item" and change.subject in ITEMS:
            item = ITEMS.index(change.subject)
            after = replace(self, colours=(*self.colours[:item], change.value, *self.colours[item + 1 :]))
        if after == self:
            raise ConfigError(
                f"{change} changes nothing on {self}. "
                'Name an item and another colour (kind "item"), or another place (kind "cut").'
            )
        return after


def unfold(first: Panel, changes: Sequence[Change], num_frames: int) -> tuple[Panel, ...]:
    """The panel in each frame.

    Raises:
        ConfigError: the changes are not in order, one per frame from frame 1 on, or one changes nothing.
    """
    frames = [change.frame for change in changes]
    if frames != sorted(set(frames)) or any(not 0 < frame < num_frames for frame in frames):
        raise ConfigError(f"changes come one per frame, in order, from frame 1 to {num_frames - 1}, got {frames}.")
    shown = [first]
    due = {change.frame: change for change in changes}
    for frame in range(1, num_frames):
        shown.append(shown[-1].after(due[frame]) if frame in due else shown[-1])
    return tuple(shown)


def hang(draw: Draw, num_frames: int, event_gap: tuple[int, int]) -> tuple[tuple[Panel, ...], tuple[Change, ...]]:
    """Make up a panel and what changes on it: usually in every few frames, in some scenes once or never."""
    names = tuple(PANEL_COLOURS)
    panel = first = Panel(
        colours=tuple(draw.pick(names) for _ in ITEMS),
        place=draw.pick(PLACES),
        variant=draw.below(NUM_VARIANTS),
        columns=draw.pick((2, 3)),
    )
    is_calm = draw.chance(_CALM)
    frame = draw.between(1, num_frames) if is_calm else draw.between(*event_gap)
    changes: list[Change] = []
    while frame < num_frames:
        changes.append(_change(draw, panel, frame))
        panel = panel.after(changes[-1])
        frame = num_frames if is_calm else frame + draw.between(*event_gap)
    return unfold(first, changes, num_frames), tuple(changes)


def _change(draw: Draw, panel: Panel, frame: int) -> Change:
    if draw.chance(_DISTRACTION):
        place = draw.pick([place for place in PLACES if place != panel.place])
        return Change(frame=frame, kind="cut", subject="scene", value=place)
    item = draw.below(len(ITEMS))
    colour = draw.pick([name for name in PANEL_COLOURS if name != panel.colours[item]])
    return Change(frame=frame, kind="item", subject=ITEMS[item], value=colour)


# Pictures


def tile_centre(item: int, columns: int) -> tuple[float, float]:
    """Centre (x, y) of an item's tile, in units."""
    row, column = divmod(item, columns)
    return (column + 0.5) * UNITS / columns, (row + 0.5) * UNITS * columns / len(ITEMS)


@lru_cache(maxsize=1024)
def draw_panel(panel: Panel, size_px: int) -> NDArray[np.uint8]:
    """The picture of a panel, [H, W, C], before noise and compression. Not to be written to."""
    image_HWC = background(panel.place, panel.variant, size_px).copy()
    for item, (letter, colour) in enumerate(zip(ITEMS, panel.colours, strict=True)):
        patch = _tile(letter, colour, panel.columns, size_px)
        height, width = patch.clear_HW1.shape[:2]
        x, y = (pixels(part, size_px) for part in tile_centre(item, panel.columns))
        blend(image_HWC, patch, x - width // 2, y - height // 2)
    image_HWC.flags.writeable = False
    return image_HWC


@lru_cache(maxsize=1024)
def _tile(letter: str, colour: str, columns: int, size_px: int) -> Patch:
    """A tile of one colour with a grey rim; its letter stands on a dark plate in the upper left corner."""
    width, height = UNITS / columns - _GAP, UNITS * columns / len(ITEMS) - _GAP
    image = Image.new("RGBA", (round(width * _SUPER), round(height * _SUPER)), PANEL_COLOURS[colour])
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, image.width - 1, image.height - 1), outline=_RIM, width=_SUPER)
    dots_HW = np.pad(np.array([[int(dot) for dot in row] for row in _LETTERS[letter]], dtype=np.uint8), 1)
    plate = Image.fromarray(np.array([_PLATE, _INK], dtype=np.uint8)[dots_HW])
    image.paste(plate.resize((plate.width * _SUPER, plate.height * _SUPER), Image.Resampling.NEAREST))
    return patch_from_image(image.resize((pixels(width, size_px), pixels(height, size_px)), Image.Resampling.BOX))
