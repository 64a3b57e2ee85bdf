"""Pictures of what a stream had seen: all on one contact sheet, embedded once, of which the page shows cells.

A frame of a world scene is drawn again from the scene's id, and shown only if the scene's frames have the hash that was
kept with the log; a frame of a video file is decoded again.
Letters: H height, W width, C = 3 colour channels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vigil.eval.report.markup import Markup, tag
from vigil.eval.report.streams import Stream, fingerprint
from vigil.stream.source import open_source
from vigil.world.config import WorldConfig
from vigil.world.render import render
from vigil.world.scene import Scene, scene_from_id

Picture = NDArray[np.uint8]
MAX_FRAMES = 120
"""Most frames embedded per stream; a longer stream keeps evenly spaced ones and those that its first words saw."""
CELL_PX = 64
"""Height of a cell (px)."""
COLUMNS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A contact sheet. Frame i of the log is cell `cells[i]`, counted by rows."""

    id: str
    url: str = field(repr=False)
    """JPEG as a data URL."""
    cells: dict[int, int]
    width_px: int
    """Width of a cell."""
    height_px: int = CELL_PX

    def definition(self) -> Markup:
        """The embedded image, to be put into the page once."""
        columns, rows = _grid(len(self.cells))
        size = {"width": columns * self.width_px, "height": rows * self.height_px}
        return tag("symbol", tag("image", href=self.url, **size), id=self.id, overflow="visible")

    def view_box(self, i: int) -> str:
        """Where frame i lies on the sheet."""
        row, column = divmod(self.cells[i], COLUMNS)
        return f"{column * self.width_px} {row * self.height_px} {self.width_px} {self.height_px}"

    def cell(self, i: int, *, title: str, **attributes: str | float) -> Markup:
        """Frame i as an image of its own, in HTML or nested in an SVG."""
        use = tag("use", href=f"#{self.id}")
        return tag("svg", tag("title", title), use, viewBox=self.view_box(i), role="img", **attributes)

    def by_then(self, i: int) -> int:
        """The newest embedded frame that is not after frame i; the first one where there is none."""
        return max((kept for kept in self.cells if kept <= i), default=min(self.cells))


def make_sheet(stream: Stream, *, anchor: str) -> tuple[Sheet | None, str]:
    """The contact sheet of a stream, or None; and a sentence that says where the pictures come from, or why none.

    Raises:
        SourceError, MediaError: the video file cannot be read.
    """
    wanted = _wanted(stream)
    if stream.video is not None:
        pictures, origin = _decoded(stream, wanted), f"Frames decoded again from {stream.video.name}."
    elif stream.scene_id is not None:
        frames_FHWC = render(_scene(stream))
        if fingerprint(frames_FHWC) != stream.frames_sha256:
            lack = "is not kept" if stream.frames_sha256 is None else "differs"
            return None, f"No pictures: {stream.scene_id} was drawn again, but the hash of what was watched {lack}."
        pictures = {i: frames_FHWC[i] for i in wanted if i < len(frames_FHWC)}
        origin = f"Frames drawn again from {stream.scene_id}, equal to those watched by their hash."
    else:
        return None, "No pictures: the log names no world scene, and no --video was given."
    if not pictures:
        return None, "No pictures: none of the frames in the log was found."
    return _sheet(pictures, anchor), origin


def _wanted(stream: Stream) -> list[int]:
    """Frames to embed, in order: evenly spaced ones, and the one that each first token had seen."""
    num_frames = len(stream.log.frames)
    even = {int(i) for i in np.linspace(0, num_frames - 1, min(num_frames, MAX_FRAMES // 2)).round()}
    if num_frames <= MAX_FRAMES:
        return list(range(num_frames))
    seen = [speech.tokens[0].vis for speech in stream.log.speech if speech.tokens[0].vis >= 0]
    return sorted({*even, *seen[: MAX_FRAMES - len(even)]})


def _scene(stream: Stream) -> Scene:
    assert stream.scene_id is not None
    ends = [q.until for q in stream.truth.questions if q.until is not None] + [n.end_s for n in stream.truth.nulls]
    fps = stream.log.head.fps
    duration_s = max(ends, default=len(stream.log.frames) / fps)
    return scene_from_id(stream.scene_id, config=replace(WorldConfig(), fps=fps, duration_s=(duration_s, duration_s)))


def _decoded(stream: Stream, wanted: list[int]) -> dict[int, Picture]:
    """Frame index -> picture of the video at the time of that frame, within half a frame period."""
    assert stream.video is not None
    found: dict[int, Picture] = {}
    fps = stream.log.head.fps
    left: Iterator[int] = iter(wanted)
    i = next(left, None)
    with open_source(stream.video, fps=fps) as source:
        for frame in source:
            while i is not None and stream.log.frames[i].t < frame.time_s - 0.5 / fps:
                i = next(left, None)
            if i is None:
                break
            if abs(stream.log.frames[i].t - frame.time_s) <= 0.5 / fps:
                found[i] = frame.image
                i = next(left, None)
    return found


def _sheet(pictures: dict[int, Picture], anchor: str) -> Sheet:
    height, width, _ = next(iter(pictures.values())).shape
    cell_px = 8 * max(1, round(CELL_PX * width / height / 8))  # whole JPEG blocks, so that cells stay apart
    columns, rows = _grid(len(pictures))
    paper = Image.new("RGB", (columns * cell_px, rows * CELL_PX))
    for cell, picture_HWC in enumerate(pictures.values()):
        row, column = divmod(cell, COLUMNS)
        small = Image.fromarray(picture_HWC).resize((cell_px, CELL_PX), Image.Resampling.LANCZOS)
        paper.paste(small, (column * cell_px, row * CELL_PX))
    file = io.BytesIO()
    paper.save(file, "JPEG", quality=78, subsampling=0, optimize=True)
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return Sheet(id=anchor, url=url, cells={i: cell for cell, i in enumerate(pictures)}, width_px=cell_px)


def _grid(count: int) -> tuple[int, int]:
    """(columns, rows) of a sheet with so many cells."""
    return min(count, COLUMNS), -(-count // COLUMNS)
