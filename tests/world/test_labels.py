"""Labels for the vision encoder: what is in each cell, in words that the model has."""

from __future__ import annotations

import numpy as np

from vigil.world.captions import describe
from vigil.world.labels import IGNORE, LABEL_WORDS, labels
from vigil.world.scene import WorldConfig, sample_scene

HEADS = [head for head in LABEL_WORDS if head not in ("things", "colours")]


def test_cells_hold_what_the_scene_holds() -> None:
    for seed in range(100):
        scene = sample_scene("train", seed, config=WorldConfig(family="objects"))
        found = labels(scene)
        assert scene.stage is not None
        for frame in range(scene.num_frames):
            expected = {}
            if scene.stage.box is not None:
                expected[scene.stage.box] = ("box", "none")
            for thing in scene.stage.things:
                spot = thing.spot(frame)
                if spot is not None and spot.is_seen:
                    expected[thing.lane, spot.column] = (thing.noun, spot.colour or "none")
            for cell in range(9):
                words = (
                    LABEL_WORDS["things"][found.things_FC[frame, cell]],
                    LABEL_WORDS["colours"][found.colours_FC[frame, cell]],
                )
                assert words == expected.get(divmod(cell, 3), ("nothing", "none"))


def test_labels_of_frames_agree_with_the_states() -> None:
    """Told twice by different code: the states of the captions, and the classes."""
    heads = {
        ("light", "colour"): "light",
        ("scene", "place"): "background",
        ("counter", "number"): "counter",
        ("clock", "time"): "clock",
        ("display", "number"): "display",
        ("picture", "brightness"): "brightness",
        ("picture", "frozen"): "frozen",
    }
    seen = set()
    for seed in range(200):
        scene = sample_scene("train", seed)
        found = labels(scene)
        for state in describe(scene).states:
            head = heads.get((state.subject, state.attribute))
            if head is not None:
                seen.add(head)
                classes = getattr(found, f"{head}_F")[round(state.start_s) : round(state.end_s)]
                assert {LABEL_WORDS[head][index] for index in classes} == {state.value}
    assert seen == set(heads.values())


def test_each_family_leaves_the_labels_of_the_other_out() -> None:
    stage = labels(sample_scene("train", 0, config=WorldConfig(family="objects")))
    footage = labels(sample_scene("train", 0, config=WorldConfig(family="camera")))
    for head in ("display", "motion", "brightness", "frozen"):
        assert (getattr(stage, f"{head}_F") == IGNORE).all()
    for head in ("light", "background", "counter", "clock"):
        assert (getattr(footage, f"{head}_F") == IGNORE).all()
    assert (footage.things_FC == IGNORE).all()


def test_movement_is_not_defined_in_the_first_frame_and_on_a_cut() -> None:
    cuts = 0
    for seed in range(60):
        found = labels(sample_scene("train", seed, config=WorldConfig(family="camera")))
        assert found.motion_F[0] == found.frozen_F[0] == found.cut_F[0] == IGNORE
        assert np.array_equal(found.motion_F[1:] == IGNORE, found.cut_F[1:] == 1)
        cuts += int((found.cut_F == 1).sum())
    assert cuts > 10


def test_every_label_has_a_word_and_no_head_has_a_word_twice() -> None:
    for words in LABEL_WORDS.values():
        assert len(set(words)) == len(words)
    for seed in range(100):
        found = labels(sample_scene("train", seed, config=WorldConfig(num_nouns=48)))
        for head in HEADS:
            classes = getattr(found, f"{head}_F")
            assert set(classes.tolist()) <= {IGNORE, *range(len(LABEL_WORDS[head]))}


def test_centres_follow_the_layout() -> None:
    for seed in range(20):
        scene = sample_scene("train", seed, config=WorldConfig(family="objects"))
        assert scene.stage is not None
        centres_C2 = labels(scene).centres_C2
        np.testing.assert_allclose(centres_C2[:3, 0], [1 / 6, 1 / 2, 5 / 6], atol=1e-6)
        assert (centres_C2[0, 1] > 0.3) == (scene.stage.layout[0] == "top")
