"""States of a scene: values and the spans over which they hold. The table is in `vigil.world.captions`.

Letters: F frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vigil.types import State
from vigil.world.panel import Panel
from vigil.world.scene import Scene
from vigil.world.stage import Stage
from vigil.world.words import COLUMN_PLACES, ITEMS, SHAPES, plural


def _tile(scene: Scene, subject: str, attribute: str, value_F: Sequence[str], start: int = 0) -> Iterator[State]:
    """Spans of equal values from frame `start` on; the last one ends with the video."""
    for frame in range(start + 1, len(value_F) + 1):
        if frame == len(value_F) or value_F[frame] != value_F[start]:
            yield State(
                subject=subject,
                attribute=attribute,
                value=value_F[start],
                start_s=scene.time_s(start),
                end_s=scene.time_s(frame),
            )
            start = frame


def states_of(scene: Scene) -> list[State]:
    """Every value that holds in a scene, and from when to when."""
    if scene.panels is not None:
        return panel_states(scene, scene.panels)
    return stage_states(scene, scene.stage) if scene.stage is not None else footage_states(scene)


def panel_states(scene: Scene, panels: Sequence[Panel]) -> list[State]:
    """The place, and the colour of each item."""
    states = list(_tile(scene, "scene", "place", [panel.place for panel in panels]))
    for index, item in enumerate(ITEMS):
        states += _tile(scene, item, "colour", [panel.colours[index] for panel in panels])
    return states


def stage_states(scene: Scene, stage: Stage) -> list[State]:
    """The place, the instruments, and of each name its presence, place and number; colours of shapes."""
    ends = [backdrop.start for backdrop in stage.backdrops[1:]] + [scene.num_frames]
    place_F: list[str] = []
    for backdrop, end in zip(stage.backdrops, ends, strict=True):
        place_F += [backdrop.place] * (end - backdrop.start)
    states = list(_tile(scene, "scene", "place", place_F))
    states += _tile(scene, "light", "colour", stage.light_F)
    states += _tile(scene, "counter", "number", stage.counter_F)
    states += _tile(scene, "clock", "time", stage.clock_F)
    views = _views(stage, scene.num_frames)
    total_F = [0] * scene.num_frames
    for name, view in views.items():
        states += _tile(scene, name, "presence", view.presence_F, view.start)
        if view.is_alone:
            states += _tile(scene, name, "place", view.place_F, view.start)
        states += _tile(scene, plural(name), "count", [str(count) for count in view.count_F])
        total_F = [total + count for total, count in zip(total_F, view.count_F, strict=True)]
    for name in scene.distractors:
        states += _tile(scene, plural(name), "count", ["0"] * scene.num_frames)
    states += _tile(scene, "objects", "count", [str(total) for total in total_F])
    for shape in SHAPES:
        states += _colour_states(scene, stage, shape)
    return states


class _View:
    """What is known about one name in each frame."""

    def __init__(self, start: int, num_frames: int) -> None:
        self.start = start
        self.is_alone = True
        self.count_F = [0] * num_frames
        self.presence_F = ["gone"] * num_frames
        self.place_F = ["gone"] * num_frames


def _views(stage: Stage, num_frames: int) -> dict[str, _View]:
    """Views by name, in order of the things."""
    views: dict[str, _View] = {}
    for thing in stage.things:
        for frame, spot in enumerate(thing.spots, start=thing.start):
            name = thing.name(spot)
            view = views.get(name)
            if view is None:
                view = views[name] = _View(frame, num_frames)
            view.start = min(view.start, frame)
            if view.presence_F[frame] != "gone":
                view.is_alone = False
            if spot.is_seen:
                view.count_F[frame] += 1
                view.presence_F[frame] = "visible"
                view.place_F[frame] = COLUMN_PLACES[spot.column]
            elif view.presence_F[frame] == "gone":
                view.presence_F[frame] = "hidden"
                view.place_F[frame] = "behind the box"
    return views


def _colour_states(scene: Scene, stage: Stage, shape: str) -> Iterator[State]:
    """The colour of "the square", unless there are two squares at any one time."""
    colour_F = ["gone"] * scene.num_frames
    start = scene.num_frames
    for thing in stage.things:
        if thing.noun == shape and thing.spots:
            start = min(start, thing.start)
            for frame, spot in enumerate(thing.spots, start=thing.start):
                if colour_F[frame] != "gone":
                    return
                colour_F[frame] = spot.colour
    if start < scene.num_frames:
        yield from _tile(scene, shape, "colour", colour_F, start)


def footage_states(scene: Scene) -> list[State]:
    """Light, freezing, movement and display of footage without names."""
    assert scene.footage is not None
    moments = scene.footage.moments
    states = [*_tile(scene, "picture", "brightness", ["dark" if now.is_dark else "normal" for now in moments])]
    states += _tile(scene, "picture", "frozen", ["yes" if now.is_frozen else "no" for now in moments], 1)
    states += _tile(scene, "picture", "motion", ["still" if now.side == "none" else "moving" for now in moments], 1)
    states += _tile(scene, "motion", "side", [now.side for now in moments], 1)
    if scene.footage.has_display:
        states += _tile(scene, "display", "number", [str(now.number) for now in moments])
    return states
