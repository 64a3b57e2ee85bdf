"""Scenes: keyed by split and seed, and never two things at once."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from vigil.errors import ConfigError, DataError
from vigil.world.camera import BEGINNINGS
from vigil.world.scene import Scene, Split, WorldConfig, sample_scene, scene_from_id
from vigil.world.stage import Stage
from vigil.world.words import HELD_OUT_LAYOUT, HELD_OUT_PAIRS, NOUNS

OBJECTS = WorldConfig(family="objects", num_nouns=9)  # few nouns, so that shapes are frequent
CAMERA = WorldConfig(family="camera")


def scenes(config: WorldConfig, count: int, split: Split = "train") -> list[Scene]:
    return [sample_scene(split, seed, config=config) for seed in range(count)]


def stage_of(scene: Scene) -> Stage:
    assert scene.stage is not None
    return scene.stage


def pairs_shown(scene: Scene) -> set[tuple[str, str]]:
    return {(spot.colour, thing.noun) for thing in stage_of(scene).things for spot in thing.spots}


def test_the_same_split_seed_and_config_give_the_same_scene() -> None:
    assert sample_scene("val", 3) == sample_scene("val", 3)
    assert sample_scene("val", 3) != sample_scene("val", 4)
    assert sample_scene("val", 3, config=OBJECTS) != sample_scene("val", 3, config=CAMERA)


@pytest.mark.parametrize("config", [OBJECTS, CAMERA], ids=["objects", "camera"])
def test_no_scene_is_in_two_splits(config: WorldConfig) -> None:
    contents = [
        (scene.num_frames, scene.changes, scene.stage, scene.footage)
        for split in ("train", "val", "test")
        for scene in scenes(config, 150, split)
        if len(scene.changes) > 4  # a short film with little in it may come twice
    ]
    assert len(contents) > 100
    assert len(set(contents)) == len(contents)


def test_mixed_worlds_hold_both_families() -> None:
    families = [scene.family for scene in scenes(WorldConfig(), 200)]
    assert 70 < families.count("camera") < 130


@pytest.mark.parametrize("config", [OBJECTS, CAMERA], ids=["objects", "camera"])
def test_no_frame_holds_two_changes_and_the_first_holds_none(config: WorldConfig) -> None:
    for scene in scenes(config, 300):
        frames = [change.frame for change in scene.changes]
        assert frames == sorted(set(frames))
        assert all(0 < frame < scene.num_frames for frame in frames)


@pytest.mark.parametrize("config", [OBJECTS, CAMERA], ids=["objects", "camera"])
def test_events_keep_their_distance(config: WorldConfig) -> None:
    for scene in scenes(replace(config, event_gap=(4, 6), duration_s=(40.0, 40.0)), 60):
        told = [change for change in scene.changes if change.kind != "stop"]
        for before, after in itertools.pairwise(told):
            is_same_run = before.kind == after.kind == "move" and before.subject == after.subject
            assert after.frame - before.frame >= 4 or is_same_run


def test_a_scene_lasts_as_long_as_asked() -> None:
    config = WorldConfig(fps=2.0, duration_s=(5.0, 7.0))
    drawn = scenes(config, 100)
    assert {scene.num_frames for scene in drawn} == {10, 11, 12, 13, 14}
    assert drawn[0].duration_s == drawn[0].num_frames / 2
    assert drawn[0].time_s(3) == 1.5


def test_no_two_things_share_a_cell_and_only_the_hidden_one_is_at_the_box() -> None:
    for scene in scenes(replace(OBJECTS, max_objects=6), 200):
        stage = stage_of(scene)
        for frame in range(scene.num_frames):
            spots = [(thing.lane, spot) for thing in stage.things if (spot := thing.spot(frame)) is not None]
            cells = [(lane, spot.column) for lane, spot in spots]
            assert len(set(cells)) == len(cells) <= 6
            assert [cell == stage.box for cell in cells] == [not spot.is_seen for _, spot in spots]


def test_hiding_and_vanishing_never_look_alike() -> None:
    """A thing that leaves from beside the box shows by a lean to the edge that it does not go behind the box."""
    seen = 0
    for scene in scenes(OBJECTS, 600):
        stage = stage_of(scene)
        for thing in stage.things:
            end = thing.start + len(thing.spots)
            is_cut = any(backdrop.start == end for backdrop in stage.backdrops)
            if end == scene.num_frames or is_cut or stage.box is None or not thing.spots[-1].is_seen:
                continue
            if stage.box[0] == thing.lane and abs(stage.box[1] - thing.spots[-1].column) == 1:
                assert thing.spots[-1].lean == thing.spots[-1].column - 1 != 0
                seen += 1
    assert seen > 10


def test_distractors_never_appear_but_could() -> None:
    for scene in scenes(OBJECTS, 200):
        shown = {thing.name(spot) for thing in stage_of(scene).things for spot in thing.spots}
        assert scene.distractors
        assert len(set(scene.distractors)) == len(scene.distractors)
        assert not shown & set(scene.distractors)
        assert {name.split()[-1] for name in scene.distractors} <= set(OBJECTS.nouns)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("held_out", [False, True])
def test_held_out_pairs_and_layouts_are_seen_in_held_out_tests_alone(split: Split, held_out: bool) -> None:
    drawn = scenes(replace(OBJECTS, held_out=held_out), 400, split)
    pairs = [bool(pairs_shown(scene) & HELD_OUT_PAIRS) for scene in drawn]
    layouts = [stage_of(scene).layout == HELD_OUT_LAYOUT for scene in drawn]
    assert any(thing.noun == "square" for scene in drawn for thing in stage_of(scene).things)
    if held_out and split == "test":
        assert all(pair or layout for pair, layout in zip(pairs, layouts, strict=True))
        assert any(pairs)
        assert all(stage_of(scene).instruments for scene, layout in zip(drawn, layouts, strict=True) if layout)
    else:
        assert not any(pairs)
        assert not any(layouts)


def test_distractors_of_training_are_no_held_out_pairs() -> None:
    names = {name for scene in scenes(OBJECTS, 300) for name in scene.distractors}
    assert not names & {f"{colour} {noun}" for colour, noun in HELD_OUT_PAIRS}


def test_only_nouns_in_use_appear() -> None:
    nouns = {
        thing.noun
        for scene in scenes(WorldConfig(family="objects", num_nouns=6), 200)
        for thing in stage_of(scene).things
    }
    assert nouns == set(NOUNS[:6])


def test_a_single_step_is_not_a_stop() -> None:
    for scene in scenes(OBJECTS, 300):
        kinds = {change.frame: change for change in scene.changes}
        for frame, change in kinds.items():
            if change.kind == "stop":
                assert kinds[frame - 1].kind == kinds[frame - 2].kind == "move"
                assert kinds[frame - 1].subject == kinds[frame - 2].subject == change.subject


def test_nothing_but_the_light_changes_in_the_dark() -> None:
    for scene in scenes(CAMERA, 300):
        is_dark = is_frozen = False
        for change in scene.changes:
            assert not is_dark or change.kind == "bright"
            assert not is_frozen or change.kind == "unfreeze"
            is_dark = change.kind == "dark"
            is_frozen = change.kind == "freeze"


def test_nothing_moves_while_the_picture_is_frozen() -> None:
    frozen = [
        moment
        for scene in scenes(CAMERA, 300)
        if scene.footage is not None
        for moment in scene.footage.moments
        if moment.is_frozen
    ]
    assert len(frozen) > 50
    assert {moment.side for moment in frozen} == {"none"}


def test_a_scene_is_found_again_by_its_id() -> None:
    scene = sample_scene("val", 42, config=OBJECTS)
    assert scene.id == "world:val:42"
    assert scene_from_id(scene.id, config=OBJECTS) == scene


@pytest.mark.parametrize("text", ["world:val", "world:dev:3", "world:val:-1", "film:val:3", "world:val:x"])
def test_an_id_that_names_no_scene_is_refused(text: str) -> None:
    with pytest.raises(DataError, match='Write "world:SPLIT:SEED"'):
        scene_from_id(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("family", "cartoon"),
        ("fps", 0.0),
        ("duration_s", (9.0, 4.0)),
        ("duration_s", (0.4, 4.0)),
        ("size_px", 50),
        ("size_px", 40),
        ("num_nouns", 1000),
        ("max_objects", 0),
        ("event_gap", (0, 3)),
    ],
)
def test_an_impossible_world_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(WorldConfig(), **{field: value})  # type: ignore[arg-type]


def test_a_camera_holds_nothing_out() -> None:
    with pytest.raises(ConfigError, match="held_out=False"):
        WorldConfig(family="camera", held_out=True)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed of 0 or more"):
        sample_scene("train", -1)


def test_lopsided_footage_has_a_favourite_change_and_even_footage_has_none() -> None:
    def most_of_one(lopsided: bool) -> float:
        config = WorldConfig(family="camera", duration_s=(60, 60), lopsided=lopsided)
        shares = []
        for seed in range(20):
            kinds = Counter(c.kind for c in sample_scene("train", seed, config=config).changes if c.kind in BEGINNINGS)
            shares.append(kinds.most_common(1)[0][1] / kinds.total())
        return sum(shares) / len(shares)

    assert most_of_one(True) > 0.7
    assert most_of_one(False) < 0.6
