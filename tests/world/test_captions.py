"""Dense captions: exact, complete, in order, and the same after a trip through JSON."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from vigil.errors import DataError, OutputError
from vigil.types import DenseCaptions, State
from vigil.world.camera import Footage, Moment
from vigil.world.captions import (
    captions_from_json,
    captions_to_json,
    describe,
    read_captions,
    sentence,
    write_captions,
)
from vigil.world.scene import Change, Scene, WorldConfig, sample_scene
from vigil.world.stage import Backdrop, Spot, Stage, Thing
from vigil.world.words import plural

OBJECTS = WorldConfig(family="objects")
CAMERA = WorldConfig(family="camera")
BOTH = pytest.mark.parametrize("config", [OBJECTS, CAMERA], ids=["objects", "camera"])


def scenes(config: WorldConfig, count: int) -> list[Scene]:
    return [sample_scene("train", seed, config=config) for seed in range(count)]


def dog_and_square() -> Scene:
    """4 frames at 2 fps: a red square turns blue at 0.5 s; a dog hides at 1 s; the light turns green at 1.5 s."""
    dog = Thing("dog", 0, 0, (Spot(0, 0, True, ""), Spot(0, 1, True, ""), *[Spot(1, 0, False, "")] * 2), 1.0, False)
    square = Thing("square", 2, 0, (Spot(2, 0, True, "red"), *[Spot(2, 0, True, "blue")] * 3), 1.0, False)
    stage = Stage(
        things=(dog, square),
        backdrops=(Backdrop(0, "beach", 0),),
        box=(0, 1),
        layout=("top", "left"),
        instruments=("light",),
        light_F=("red", "red", "red", "green"),
        counter_F=(),
        clock_F=(),
    )
    changes = (
        Change(frame=1, kind="recolour", subject="red square", value="blue"),
        Change(frame=2, kind="hide", subject="dog", value="hidden"),
        Change(frame=3, kind="light", subject="light", value="green"),
    )
    config = WorldConfig(family="objects", fps=2.0)
    return Scene(
        split="val", seed=5, config=config, num_frames=4, changes=changes, distractors=("red circle",), stage=stage
    )


def facts(dense: DenseCaptions) -> list[tuple[str, str, str, float, float]]:
    return [(s.subject, s.attribute, s.value, s.start_s, s.end_s) for s in dense.states]


def test_a_small_scene_by_hand() -> None:
    dense = describe(dog_and_square())
    assert [(c.start_s, c.end_s, c.level, c.text) for c in dense.captions] == [
        (0.0, 2.0, "video", "A video of the beach."),
        (0.0, 2.0, "event", "The beach with a dog, a red square and a blue square."),
        (0.5, 0.5, "action", "The red square turns blue."),
        (1.0, 1.0, "action", "The dog goes behind the box."),
        (1.5, 1.5, "action", "The light turns green."),
    ]
    assert facts(dense) == [
        ("scene", "place", "beach", 0.0, 2.0),
        ("light", "colour", "red", 0.0, 1.5),
        ("light", "colour", "green", 1.5, 2.0),
        ("dog", "presence", "visible", 0.0, 1.0),
        ("dog", "presence", "hidden", 1.0, 2.0),
        ("dog", "place", "on the left", 0.0, 1.0),
        ("dog", "place", "behind the box", 1.0, 2.0),
        ("dogs", "count", "1", 0.0, 1.0),
        ("dogs", "count", "0", 1.0, 2.0),
        ("red square", "presence", "visible", 0.0, 0.5),
        ("red square", "presence", "gone", 0.5, 2.0),
        ("red square", "place", "on the right", 0.0, 0.5),
        ("red square", "place", "gone", 0.5, 2.0),
        ("red squares", "count", "1", 0.0, 0.5),
        ("red squares", "count", "0", 0.5, 2.0),
        ("blue square", "presence", "visible", 0.5, 2.0),
        ("blue square", "place", "on the right", 0.5, 2.0),
        ("blue squares", "count", "0", 0.0, 0.5),
        ("blue squares", "count", "1", 0.5, 2.0),
        ("red circles", "count", "0", 0.0, 2.0),
        ("objects", "count", "2", 0.0, 1.0),
        ("objects", "count", "1", 1.0, 2.0),
        ("square", "colour", "red", 0.0, 0.5),
        ("square", "colour", "blue", 0.5, 2.0),
    ]
    assert dense.meta == (("split", "val"), ("seed", "5"), ("family", "objects"))


def test_small_footage_by_hand() -> None:
    moments = (
        Moment(0, False, False, "none", 7),
        Moment(0, False, False, "left", 7),
        Moment(0, False, True, "none", 7),
        Moment(0, False, False, "left", 7),
    )
    changes = (
        Change(frame=1, kind="motion_start", subject="motion", value="left"),
        Change(frame=2, kind="freeze", subject="picture", value="yes"),
        Change(frame=3, kind="unfreeze", subject="picture", value="no"),
    )
    scene = Scene(
        split="train",
        seed=0,
        config=CAMERA,
        num_frames=4,
        changes=changes,
        distractors=(),
        footage=Footage(moments, has_display=True),
    )
    dense = describe(scene)
    assert dense.captions[1].text == "A shot in which something moves and the picture freezes."
    assert facts(dense) == [
        ("picture", "brightness", "normal", 0.0, 4.0),
        ("picture", "frozen", "no", 1.0, 2.0),
        ("picture", "frozen", "yes", 2.0, 3.0),
        ("picture", "frozen", "no", 3.0, 4.0),
        ("picture", "motion", "moving", 1.0, 2.0),
        ("picture", "motion", "still", 2.0, 3.0),
        ("picture", "motion", "moving", 3.0, 4.0),
        ("motion", "side", "left", 1.0, 2.0),
        ("motion", "side", "none", 2.0, 3.0),
        ("motion", "side", "left", 3.0, 4.0),
        ("display", "number", "7", 0.0, 4.0),
    ]


@BOTH
def test_states_tile_the_time_from_where_they_are_defined(config: WorldConfig) -> None:
    for scene in scenes(config, 200):
        spans: dict[tuple[str, str], list[State]] = {}
        for state in describe(scene).states:
            spans.setdefault((state.subject, state.attribute), []).append(state)
        for tiles in spans.values():
            assert tiles[-1].end_s == scene.duration_s
            for before, after in itertools.pairwise(tiles):
                assert before.end_s == after.start_s
                assert before.value != after.value
            assert all(tile.start_s < tile.end_s for tile in tiles)


@BOTH
def test_captions_are_in_order_and_hold_each_change_once(config: WorldConfig) -> None:
    rank = {"video": 0, "event": 1, "action": 2}
    for scene in scenes(config, 200):
        captions = describe(scene).captions
        keys = [(caption.start_s, rank[caption.level]) for caption in captions]
        assert keys == sorted(keys)
        assert [c.level for c in captions].count("video") == 1
        actions = [(c.start_s * scene.fps, c.kind, c.subject, c.value) for c in captions if c.level == "action"]
        assert actions == [(change.frame, change.kind, change.subject, change.value) for change in scene.changes]
        segments = [caption for caption in captions if caption.level == "event"]
        assert segments[0].start_s == 0
        assert segments[-1].end_s == scene.duration_s
        assert all(before.end_s == after.start_s for before, after in itertools.pairwise(segments))


STATE_OF_KIND = {
    "leave": "presence",
    "hide": "presence",
    "light": "colour",
    "counter": "number",
    "clock": "time",
    "dark": "brightness",
    "bright": "brightness",
    "motion_start": "side",
    "motion_stop": "side",
    "freeze": "frozen",
    "unfreeze": "frozen",
    "display": "number",
    "enter": "place",
    "move": "place",
    "stop": "place",
    "reappear": "place",
}


@BOTH
def test_the_value_of_an_action_is_the_state_from_then_on(config: WorldConfig) -> None:
    kinds = set()
    for scene in scenes(config, 400):
        dense = describe(scene)
        value_at = {
            (state.subject, state.attribute, frame): state.value
            for state in dense.states
            for frame in range(round(state.start_s * scene.fps), round(state.end_s * scene.fps))
        }
        for change in scene.changes:
            attribute = "place" if change.subject == "scene" else STATE_OF_KIND.get(change.kind, "")
            now = value_at.get((change.subject, attribute, change.frame))
            if now is None or change.is_one_of_many:
                continue
            kinds.add(change.kind)
            assert now == change.value
            if change.kind not in ("enter", "stop"):
                assert value_at.get((change.subject, attribute, change.frame - 1), "nothing yet") != now
    expected = {"dark", "bright", "motion_start", "motion_stop", "freeze", "unfreeze", "display"}
    assert kinds == (expected if config is CAMERA else set(STATE_OF_KIND) - expected | {"cut"})


def test_counts_agree_with_counting_things_frame_by_frame() -> None:
    for scene in scenes(OBJECTS, 150):
        assert scene.stage is not None
        for state in describe(scene).states:
            if state.attribute == "count":
                for frame in range(round(state.start_s), round(state.end_s)):
                    spots = [(thing, thing.spot(frame)) for thing in scene.stage.things]
                    names = [plural(thing.name(spot)) for thing, spot in spots if spot is not None and spot.is_seen]
                    count = len(names) if state.subject == "objects" else names.count(state.subject)
                    assert state.value == str(count)


def test_every_distractor_is_counted_as_none() -> None:
    for scene in scenes(OBJECTS, 50):
        told = {(s.subject, s.value, s.start_s, s.end_s) for s in describe(scene).states if s.attribute == "count"}
        for name in scene.distractors:
            assert (plural(name), "0", 0.0, scene.duration_s) in told


def test_twins_have_no_place_of_their_own() -> None:
    scene = dog_and_square()
    assert scene.stage is not None
    twin = Thing("dog", 1, 2, (Spot(2, 0, True, ""),) * 2, 1.0, False)
    dense = describe(replace(scene, stage=replace(scene.stage, things=(*scene.stage.things, twin))))
    dogs = [fact for fact in facts(dense) if fact[0] in ("dog", "dogs")]
    assert dogs == [("dog", "presence", "visible", 0.0, 2.0), ("dogs", "count", "1", 0.0, 2.0)]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change(frame=1, kind="enter", subject="apple", value="in the middle"), "An apple appears in the middle."),
        (
            Change(frame=1, kind="enter", subject="dog", value="on the left", manner="slide"),
            "A dog comes in from the left.",
        ),
        (
            Change(frame=1, kind="enter", subject="dog", value="on the left", is_one_of_many=True),
            "Another dog appears on the left.",
        ),
        (Change(frame=1, kind="leave", subject="dog", value="gone"), "The dog disappears."),
        (Change(frame=1, kind="leave", subject="dog", value="gone", manner="slide"), "The dog leaves."),
        (Change(frame=1, kind="leave", subject="dog", value="gone", is_one_of_many=True), "One dog disappears."),
        (Change(frame=1, kind="move", subject="dog", value="in the middle"), "The dog moves to the middle."),
        (Change(frame=1, kind="stop", subject="dog", value="on the right"), "The dog stops on the right."),
        (Change(frame=1, kind="reappear", subject="dog", value=""), "The dog comes out from behind the box."),
        (Change(frame=1, kind="counter", subject="counter", value="7"), "The counter shows 7."),
        (Change(frame=1, kind="clock", subject="clock", value="3:00"), "The clock shows 3:00."),
        (Change(frame=1, kind="cut", subject="scene", value="sea"), "The scene changes to the sea."),
        (Change(frame=1, kind="cut", subject="picture"), "The scene changes."),
        (Change(frame=1, kind="dark", subject="picture", value="dark"), "It gets dark."),
        (Change(frame=1, kind="bright", subject="picture", value="normal"), "It gets bright again."),
        (Change(frame=1, kind="motion_start", subject="motion", value="left"), "Something moves on the left."),
        (Change(frame=1, kind="motion_stop", subject="motion", value="none"), "The movement stops."),
        (Change(frame=1, kind="freeze", subject="picture", value="yes"), "The picture freezes."),
        (Change(frame=1, kind="unfreeze", subject="picture", value="no"), "The picture runs again."),
        (Change(frame=1, kind="display", subject="display", value="42"), "The display shows 42."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_is_told_in_this_sentence(change: Change, text: str) -> None:
    assert sentence(change) == text


@pytest.mark.parametrize(
    ("name", "many"), [("dog", "dogs"), ("bus", "buses"), ("fish", "fish"), ("red square", "red squares")]
)
def test_plural(name: str, many: str) -> None:
    assert plural(name) == many


@BOTH
def test_captions_survive_a_file(config: WorldConfig, tmp_path: Path) -> None:
    described = [describe(scene) for scene in scenes(config, 5)]
    file = tmp_path / "captions.jsonl"
    assert write_captions(file, described) == 5
    assert list(read_captions(file)) == described


def test_empty_fields_are_left_out_of_the_file() -> None:
    row = captions_to_json(describe(dog_and_square()))
    assert row["captions"][0] == {
        "start_s": 0.0,
        "end_s": 2.0,
        "text": "A video of the beach.",
        "level": "video",
        "kind": "video",
    }
    assert row["meta"] == {"split": "val", "seed": "5", "family": "objects"}
    assert captions_from_json(json.loads(json.dumps(row))) == describe(dog_and_square())


@pytest.mark.parametrize(
    ("line", "problem"), [('{"id": "a"}', "line 2 holds no captions"), ("{", "line 2 is not JSON"), ("[]", "line 2")]
)
def test_a_broken_line_is_named(line: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "captions.jsonl"
    file.write_text(json.dumps(captions_to_json(describe(dog_and_square()))) + "\n" + line + "\n")
    with pytest.raises(DataError, match=f"captions.jsonl {problem}"):
        list(read_captions(file))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Choose a folder that exists"):
        write_captions(tmp_path / "no" / "captions.jsonl", [])
