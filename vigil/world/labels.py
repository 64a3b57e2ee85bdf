"""What is in each frame and each cell, as class numbers, for training the vision encoder before it learns to speak.

Every class has a word, so that a model can compare what it sees with its own word embeddings (`LABEL_WORDS`).

Letters: F frames, C = 9 cells, row by row from the upper left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vigil.world.draw_objects import cell_centre
from vigil.world.panel import tile_centre
from vigil.world.scene import Scene, Stage
from vigil.world.sprites import UNITS
from vigil.world.stage import NUM_COLUMNS, NUM_LANES
from vigil.world.words import CLOCK_TIMES, COLOURS, ITEMS, LIGHTS, MAX_COUNTER, MAX_DISPLAY, NOUNS, PLACES

IGNORE = -100
"""Label of what this scene does not define; torch's cross entropy leaves it out."""

LABEL_WORDS: dict[str, tuple[str, ...]] = {
    "things": ("nothing", "box", *NOUNS),
    "colours": ("none", *COLOURS),
    "light": ("none", *LIGHTS),
    "background": PLACES,
    "counter": ("none", *(str(number) for number in range(MAX_COUNTER + 1))),
    "clock": ("none", *CLOCK_TIMES),
    "display": ("none", *(str(number) for number in range(MAX_DISPLAY + 1))),
    "motion": ("still", "left", "right"),
    "brightness": ("normal", "dark"),
    "frozen": ("no", "yes"),
    "cut": ("no", "yes"),
}
"""The word of each class of each head. "none": there is no such instrument, or the thing has no colour."""

_INDEX = {head: {word: index for index, word in enumerate(words)} for head, words in LABEL_WORDS.items()}

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLabels:
    """Class numbers into `LABEL_WORDS`, or `IGNORE`. Camera scenes have no cells, stage scenes no camera labels.

    The first six cells of a panel are its tiles: they have a colour, and no thing is in them.
    """

    things_FC: Labels
    """What is in each cell, 0 for nothing; what is behind the box is not seen."""
    colours_FC: Labels
    """Colours of shapes, 0 for everything else."""
    centres_C2: NDArray[np.float32]
    """Centre (x, y) of each cell as a part of the picture's edge; it depends on the layout."""
    light_F: Labels
    background_F: Labels
    counter_F: Labels
    clock_F: Labels
    display_F: Labels
    motion_F: Labels
    """Where something has moved since the frame before; not defined in the first frame and on a cut."""
    brightness_F: Labels
    frozen_F: Labels
    """Not defined in the first frame."""
    cut_F: Labels
    """1 in the first frame after a cut; not defined in the first frame of all."""


def labels(scene: Scene) -> CellLabels:
    """The labels of all frames of a scene."""
    num_frames = scene.num_frames
    heads = {f"{head}_F": np.full(num_frames, IGNORE) for head in LABEL_WORDS if head not in ("things", "colours")}
    things_FC, colours_FC = (np.full((num_frames, NUM_LANES * NUM_COLUMNS), IGNORE) for _ in range(2))
    centres_C2 = np.zeros((NUM_LANES * NUM_COLUMNS, 2), dtype=np.float32)
    if scene.panels is not None:
        centres_C2[: len(ITEMS)] = [tile_centre(item, scene.panels[0].columns) for item in range(len(ITEMS))]
        centres_C2 /= UNITS
        for frame, panel in enumerate(scene.panels):
            heads["background_F"][frame] = _INDEX["background"][panel.place]
            colours_FC[frame, : len(ITEMS)] = [_INDEX["colours"].get(colour, IGNORE) for colour in panel.colours]
        return CellLabels(things_FC=things_FC, colours_FC=colours_FC, centres_C2=centres_C2, **heads)
    heads["cut_F"][1:] = 0
    heads["cut_F"][[change.frame for change in scene.changes if change.kind == "cut"]] = 1
    if scene.stage is not None:
        _label_stage(scene.stage, things_FC, colours_FC, heads)
        cells = [(lane, column) for lane in range(NUM_LANES) for column in range(NUM_COLUMNS)]
        centres_C2[:] = [cell_centre(scene.stage, *cell) for cell in cells]
        centres_C2 /= UNITS
    else:
        _label_footage(scene, heads)
    return CellLabels(things_FC=things_FC, colours_FC=colours_FC, centres_C2=centres_C2, **heads)


def _label_stage(stage: Stage, things_FC: Labels, colours_FC: Labels, heads: dict[str, Labels]) -> None:
    things_FC[:] = colours_FC[:] = 0
    if stage.box is not None:
        things_FC[:, stage.box[0] * NUM_COLUMNS + stage.box[1]] = 1
    for thing in stage.things:
        for frame, spot in enumerate(thing.spots, start=thing.start):
            if spot.is_seen:
                cell = thing.lane * NUM_COLUMNS + spot.column
                things_FC[frame, cell] = _INDEX["things"][thing.noun]
                colours_FC[frame, cell] = _INDEX["colours"][spot.colour or "none"]
    for backdrop in stage.backdrops:
        heads["background_F"][backdrop.start :] = _INDEX["background"][backdrop.place]
    for head, shown_F in (("light", stage.light_F), ("counter", stage.counter_F), ("clock", stage.clock_F)):
        heads[f"{head}_F"][:] = [_INDEX[head][value] for value in shown_F] if shown_F else 0


def _label_footage(scene: Scene, heads: dict[str, Labels]) -> None:
    assert scene.footage is not None
    for frame, moment in enumerate(scene.footage.moments):
        heads["display_F"][frame] = moment.number + 1
        heads["brightness_F"][frame] = moment.is_dark
        if frame:
            heads["frozen_F"][frame] = moment.is_frozen
            if not heads["cut_F"][frame]:
                heads["motion_F"][frame] = 0 if moment.side == "none" else _INDEX["motion"][moment.side]
