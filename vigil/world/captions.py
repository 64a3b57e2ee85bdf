"""Exact words and facts about a scene: dense captions at three levels, states that tile time, and their JSON lines.

Levels: one "video" caption; one "event" caption per segment between cuts (kind "segment"); one "action" caption per
change. An action is an instant: it starts and ends with the first frame that shows it. Captions stand in order of
`start_s`, then video before event before action; two actions never share an instant.

| action kind | subject | value | state that takes this value |
|---|---|---|---|
| enter | "dog", "red square" | "on the left", "in the middle", "on the right" | (subject, "place") |
| leave | the same | "gone" | (subject, "presence") |
| move | the same | a place as above | (subject, "place") |
| stop (after two or more steps) | the same | the place where it stands | (subject, "place") |
| hide | the same | "hidden" | (subject, "presence") |
| reappear | the same | a place | (subject, "place") |
| recolour | its old name, "red square" | the new colour, "blue" | ("square", "colour"), if there is only one |
| light | "light" | "red", "yellow", "green" | ("light", "colour") |
| counter | "counter" | "0" to "20" | ("counter", "number") |
| clock | "clock" | "1:00", "1:30", ... "12:30" | ("clock", "time") |
| item | "A" to "F" | the new colour | (subject, "colour") |
| cut (objects, panel) | "scene" | a place of `words.PLACES` | ("scene", "place") |
| cut (camera) | "picture" | "" | none |
| dark, bright | "picture" | "dark", "normal" | ("picture", "brightness") |
| motion_start | "motion" | "left", "right" | ("motion", "side"); ("picture", "motion") is "moving" |
| motion_stop | "motion" | "none" | ("motion", "side"); ("picture", "motion") is "still" |
| freeze, unfreeze | "picture" | "yes", "no" | ("picture", "frozen"); while frozen nothing moves |
| display | "display" | "0" to "99" | ("display", "number") |

More states, objects family. Names are as seen: a red square that turns blue leaves no red square behind.
| subject | attribute | values | defined |
|---|---|---|---|
| name, "dog" | "presence" | "visible", "hidden", "gone" | from when it is first seen |
| name | "place" | the three places, "behind the box", "gone" | so too, if there are never two of them at once |
| shape, "square" | "colour" | a colour, "gone" | so too, if there are never two such shapes at once |
| plural name, "dogs" | "count" | how many can be seen | always, for all that appear and all distractors ("0") |
| "objects" | "count" | how many can be seen, without the box | always |
A panel has the states ("A", "colour") to ("F", "colour") and ("scene", "place").
What depends on movement ("motion", "frozen") is defined from the second frame on, because one frame cannot show it. The
states of one (subject, attribute) tile the time from where it is defined to the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vigil.errors import DataError, OutputError
from vigil.types import Caption, DenseCaptions, State, from_json
from vigil.world.scene import Change, Scene
from vigil.world.stage import Stage
from vigil.world.states import states_of
from vigil.world.words import COLUMN_NAMES, COLUMN_PLACES, ITEMS, with_article

_LEVELS = {"video": 0, "event": 1, "action": 2}


def describe(scene: Scene) -> DenseCaptions:
    """Say everything that is true of a scene, and from when to when."""
    actions = [
        Caption(
            start_s=scene.time_s(change.frame),
            end_s=scene.time_s(change.frame),
            text=sentence(change),
            level="action",
            kind=change.kind,
            subject=change.subject,
            value=change.value,
        )
        for change in scene.changes
    ]
    captions = [_video_caption(scene), *_segments(scene), *actions]
    captions.sort(key=lambda caption: (caption.start_s, _LEVELS[caption.level]))
    return DenseCaptions(
        id=scene.id,
        duration_s=scene.duration_s,
        captions=tuple(captions),
        states=tuple(states_of(scene)),
        meta=(("split", scene.split), ("seed", str(scene.seed)), ("family", scene.family)),
    )


# Sentences


def sentence(change: Change) -> str:
    """What a change looks like, in one sentence that needs no later frame."""
    if change.kind in _STAGE_SENTENCES:
        where = COLUMN_NAMES[COLUMN_PLACES.index(change.value)] if change.value in COLUMN_PLACES else ""
        thing = ("one " if change.is_one_of_many else "the ") + change.subject
        if change.kind == "enter":
            thing = f"another {change.subject}" if change.is_one_of_many else with_article(change.subject)
        text = _STAGE_SENTENCES[change.kind].format(thing=thing, where=where, value=change.value)
        if change.manner == "slide" and change.kind == "enter":
            text = f"{thing} comes in from the {where}."
        elif change.manner == "slide":
            text = f"{thing} leaves."
    else:
        text = _OTHER_SENTENCES[change.kind].format(subject=change.subject, value=change.value)
        if change.kind == "cut":
            text = f"the scene changes to the {change.value}." if change.value else "the scene changes."
    return text[0].upper() + text[1:]


_STAGE_SENTENCES = {
    "enter": "{thing} appears {value}.",
    "leave": "{thing} disappears.",
    "move": "{thing} moves to the {where}.",
    "stop": "{thing} stops {value}.",
    "hide": "{thing} goes behind the box.",
    "reappear": "{thing} comes out from behind the box.",
    "recolour": "{thing} turns {value}.",
}
_OTHER_SENTENCES = {
    "light": "the light turns {value}.",
    "counter": "the counter shows {value}.",
    "clock": "the clock shows {value}.",
    "item": "{subject} turns {value}.",
    "cut": "",
    "dark": "it gets dark.",
    "bright": "it gets bright again.",
    "motion_start": "something moves on the {value}.",
    "motion_stop": "the movement stops.",
    "freeze": "the picture freezes.",
    "unfreeze": "the picture runs again.",
    "display": "the display shows {value}.",
}


def _listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _video_caption(scene: Scene) -> Caption:
    if scene.stage is not None:
        places = [f"the {backdrop.place}" for backdrop in scene.stage.backdrops]
        text = f"A video of {', then '.join(places)}."
    elif scene.panels is not None:
        text = f"A panel with the items {_listed(ITEMS)}."
    else:
        shots = 1 + sum(change.kind == "cut" for change in scene.changes)
        text = "Footage in one shot." if shots == 1 else f"Footage in {shots} shots."
    return Caption(start_s=0.0, end_s=scene.duration_s, text=text, level="video", kind="video")


def _segments(scene: Scene) -> Iterator[Caption]:
    """One caption per segment; it tells of the whole segment, so it is known only at its end."""
    starts = [0] + [change.frame for change in scene.changes if change.kind == "cut"]
    for start, end in zip(starts, [*starts[1:], scene.num_frames], strict=True):
        if scene.stage is not None:
            place = next(backdrop.place for backdrop in scene.stage.backdrops if backdrop.start == start)
            names = _names_between(scene.stage, start, end)
            text = f"The {place}" + (f" with {_listed([with_article(name) for name in names])}." if names else ".")
        elif scene.panels is not None:
            place = scene.panels[start].place
            text = f"A panel in front of the {place}."
        else:
            place = ""
            kinds = {change.kind for change in scene.changes if start < change.frame < end}
            told = [words for kind, words in _SHOT_WORDS.items() if kind in kinds]
            text = f"A shot in which {_listed(told) if told else 'nothing happens'}."
        yield Caption(
            start_s=scene.time_s(start),
            end_s=scene.time_s(end),
            text=text,
            level="event",
            kind="segment",
            subject="picture" if scene.footage is not None else "scene",
            value=place,
        )


_SHOT_WORDS = {
    "motion_start": "something moves",
    "dark": "it gets dark",
    "freeze": "the picture freezes",
    "display": "the display changes",
}


def _names_between(stage: Stage, start: int, end: int) -> list[str]:
    """Names of what is seen in some frame from `start` to before `end`, in order of appearance."""
    names: dict[str, None] = {}
    for frame in range(start, end):
        for thing in stage.things:
            spot = thing.spot(frame)
            if spot is not None and spot.is_seen:
                names[thing.name(spot)] = None
    return list(names)


# JSON lines


def captions_to_json(dense: DenseCaptions) -> dict[str, Any]:
    """One JSON object; empty fields are left out."""
    row: dict[str, Any] = {
        "id": dense.id,
        "duration_s": dense.duration_s,
        "video": dense.video,
        "meta": dict(dense.meta),
    }
    row["captions"] = [
        {name: value for name in caption.__dataclass_fields__ if (value := getattr(caption, name)) != ""}
        for caption in dense.captions
    ]
    row["states"] = [{name: getattr(state, name) for name in state.__dataclass_fields__} for state in dense.states]
    return row


def captions_from_json(row: dict[str, Any], *, where: str = "captions") -> DenseCaptions:
    """Build dense captions from one parsed JSON object.

    Raises:
        DataError: a field is missing, unknown, or of the wrong type; `where` names the line.
    """
    try:
        nested = {
            "captions": tuple(from_json(Caption, caption) for caption in row["captions"]),
            "states": tuple(from_json(State, state) for state in row.get("states", ())),
            "meta": tuple((str(key), str(value)) for key, value in row.get("meta", {}).items()),
        }
        return from_json(DenseCaptions, {**row, **nested})
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where} holds no captions: {error}. The fields are listed in vigil/types.py.") from error


def write_captions(path: Path, many: Iterable[DenseCaptions]) -> int:
    """Write captions as JSON lines, each as soon as it comes; return how many.

    Raises:
        OutputError: the file could not be opened.
    """
    try:
        out = path.open("w", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}. Choose a folder that exists.") from error
    count = 0
    with out:
        for dense in many:
            out.write(json.dumps(captions_to_json(dense), ensure_ascii=False) + "\n")
            out.flush()
            count += 1
    return count


def read_captions(path: Path) -> Iterator[DenseCaptions]:
    """Read captions line by line, in the order of the file.

    Raises:
        DataError: a line is not JSON, or holds no captions.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path.name} line {number}"
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise DataError(f"{where} is not JSON: {error}.") from error
                yield captions_from_json(row, where=where)
