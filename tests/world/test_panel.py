"""The panel family: six labelled tiles, each of one of eight colours, in front of a place."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from vigil.errors import ConfigError
from vigil.world.captions import describe
from vigil.world.labels import IGNORE, LABEL_WORDS, labels
from vigil.world.panel import _LETTERS, Panel, draw_panel, tile_centre
from vigil.world.render import render
from vigil.world.scene import Change, Scene, WorldConfig, panel_scene, sample_scene
from vigil.world.sprites import UNITS
from vigil.world.words import ITEMS, PANEL_COLOURS

PANEL = WorldConfig(family="panel")
FIRST = Panel(colours=("red", "green", "blue", "yellow", "purple", "white"), place="sea", variant=3)
TURNS = Change(frame=3, kind="item", subject="B", value="black")


def scenes(count: int, config: WorldConfig = PANEL) -> list[Scene]:
    return [sample_scene("train", seed, config=config) for seed in range(count)]


def shown(scene: Scene) -> tuple[Panel, ...]:
    assert scene.panels is not None
    return scene.panels


def test_the_same_split_seed_and_config_give_the_same_panel_and_no_other_split_does() -> None:
    one = sample_scene("val", 3, config=PANEL)
    assert one == sample_scene("val", 3, config=PANEL)
    assert np.array_equal(render(one), render(sample_scene("val", 3, config=PANEL)))
    assert shown(one) != shown(sample_scene("test", 3, config=PANEL))


def test_a_mixed_world_never_holds_a_panel() -> None:
    assert {sample_scene("train", seed).family for seed in range(100)} == {"objects", "camera"}
    assert {scene.family for scene in scenes(20)} == {"panel"}


def test_a_change_shows_another_colour_of_one_item_or_another_place() -> None:
    for scene in scenes(200):
        panels, changed = shown(scene), {change.frame: change for change in scene.changes}
        for frame in range(1, scene.num_frames):
            before, now = panels[frame - 1], panels[frame]
            differs = [item for item, a, b in zip(ITEMS, before.colours, now.colours, strict=True) if a != b]
            change = changed.get(frame)
            if change is None:
                assert now == before
            elif change.kind == "item":
                assert (differs, now.place) == ([change.subject], before.place)
                assert now.colours[ITEMS.index(change.subject)] == change.value
            else:
                assert differs == []
                assert now.place == change.value != before.place


def test_a_new_colour_is_any_of_the_other_seven_alike() -> None:
    steps: Counter[int] = Counter()
    names = list(PANEL_COLOURS)
    for scene in scenes(600, replace(PANEL, event_gap=(1, 1))):
        panels = shown(scene)
        for change in scene.changes:
            if change.kind == "item":
                old = panels[change.frame - 1].colours[ITEMS.index(change.subject)]
                steps[(names.index(change.value) - names.index(old)) % len(names)] += 1
    assert set(steps) == set(range(1, 8))
    assert max(steps.values()) < 1.2 * min(steps.values())


def test_some_panels_are_calm_and_some_changes_distract() -> None:
    drawn = scenes(400)
    calm = sum(len(scene.changes) <= 1 for scene in drawn)
    kinds = Counter(change.kind for scene in drawn for change in scene.changes)
    assert 0.25 < calm / len(drawn) < 0.45
    assert 0.2 < kinds["cut"] / kinds.total() < 0.4


def test_pictures_before_a_change_are_the_same_with_and_without_it_bit_for_bit() -> None:
    for seed in range(12):
        calm = render(panel_scene(FIRST, num_frames=6, seed=seed))
        for change in (TURNS, Change(frame=3, kind="cut", subject="scene", value="moon")):
            moved = render(panel_scene(FIRST, [change], num_frames=6, seed=seed))
            assert np.array_equal(calm[:3], moved[:3])
            assert (calm[3:] != moved[3:]).any(axis=(1, 2, 3)).all()


def test_a_changed_item_changes_its_own_tile_only() -> None:
    for columns in (2, 3):
        before = replace(FIRST, columns=columns)
        differs_HW = (draw_panel(before, 64) != draw_panel(before.after(TURNS), 64)).any(axis=2)
        x, y = tile_centre(1, columns)
        assert differs_HW[round(y), round(x)]
        rows, cols = np.nonzero(differs_HW)
        assert abs(rows - y).max() <= UNITS * columns / 12
        assert abs(cols - x).max() <= UNITS / columns / 2


def seen_colours(frame_HWC: NDArray[np.uint8], panel: Panel, names: list[str]) -> list[str]:
    """The colour nearest to what the lower half of each tile shows."""
    scale = len(frame_HWC) / UNITS
    found = []
    for item in range(len(ITEMS)):
        x, y = (round(part * scale) for part in tile_centre(item, panel.columns))
        mean_C = frame_HWC[y + 2 : y + 7, x - 4 : x + 5].reshape(-1, 3).mean(0)
        distances = [float(np.linalg.norm(mean_C - np.array(PANEL_COLOURS[name]))) for name in names]
        found.append(names[int(np.argmin(distances))])
    return found


def test_colours_can_be_told_apart_through_noise() -> None:
    right = total = 0
    for scene in scenes(150):
        panel = shown(scene)[0]
        found = seen_colours(render(scene)[0], panel, list(PANEL_COLOURS))
        right += sum(a == b for a, b in zip(found, panel.colours, strict=True))
        total += len(ITEMS)
    assert right / total > 0.97


def test_any_two_letters_differ_in_three_dots_or_more() -> None:
    assert set(_LETTERS) == set(ITEMS)
    for one, two in combinations(_LETTERS.values(), 2):
        assert sum(a != b for a, b in zip("".join(one), "".join(two), strict=True)) >= 3


@pytest.mark.parametrize("size_px", [48, 64, 96, 256])
def test_a_panel_is_drawn_at_any_size(size_px: int) -> None:
    scene = panel_scene(FIRST, num_frames=2, config=replace(PANEL, size_px=size_px))
    frames_FHWC = render(scene)
    assert frames_FHWC.shape == (2, size_px, size_px, 3)
    colours = seen_colours(draw_panel(FIRST, size_px), FIRST, list(PANEL_COLOURS))
    assert tuple(colours) == FIRST.colours


def test_captions_tell_each_change_and_states_hold_each_colour() -> None:
    cut = Change(frame=5, kind="cut", subject="scene", value="moon")
    film = describe(panel_scene(FIRST, [TURNS, cut], num_frames=8))
    assert [(c.start_s, c.text) for c in film.captions if c.level == "action"] == [
        (3.0, "B turns black."),
        (5.0, "The scene changes to the moon."),
    ]
    held = [(s.subject, s.value, s.start_s, s.end_s) for s in film.states if s.subject in ("A", "B", "scene")]
    assert held == [
        ("scene", "sea", 0.0, 5.0),
        ("scene", "moon", 5.0, 8.0),
        ("A", "red", 0.0, 8.0),
        ("B", "green", 0.0, 3.0),
        ("B", "black", 3.0, 8.0),
    ]


def test_labels_name_the_tiles_colours_and_the_place() -> None:
    found = labels(panel_scene(FIRST, [TURNS], num_frames=5))
    words = LABEL_WORDS["colours"]
    assert [words[index] for index in found.colours_FC[0, :6]] == list(FIRST.colours)
    assert found.colours_FC[3, 1] == IGNORE  # black is no colour of shapes
    assert (found.colours_FC[:, 6:] == IGNORE).all()
    assert (found.things_FC == IGNORE).all()
    assert [LABEL_WORDS["background"][index] for index in found.background_F] == ["sea"] * 5
    np.testing.assert_allclose(found.centres_C2[1], [0.5, 0.25], atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Panel(colours=("red",)), "a panel has 6 colours"),
        (lambda: replace(FIRST, colours=(*FIRST.colours[:5], "pink")), "a panel has 6 colours"),
        (lambda: replace(FIRST, place="kitchen"), "a panel has a place of"),
        (lambda: replace(FIRST, columns=4), "2 or 3 columns"),
        (lambda: FIRST.after(replace(TURNS, value="green")), "changes nothing"),
        (lambda: FIRST.after(replace(TURNS, subject="G")), "changes nothing"),
        (lambda: FIRST.after(replace(TURNS, kind="light")), "changes nothing"),
        (lambda: panel_scene(FIRST, [replace(TURNS, frame=0)], num_frames=5), "from frame 1 to 4, got"),
        (lambda: panel_scene(FIRST, [TURNS], num_frames=3), "from frame 1 to 2, got"),
        (lambda: panel_scene(FIRST, [TURNS, TURNS], num_frames=5), "one per frame"),
        (lambda: replace(PANEL, held_out=True), "panel scenes hold nothing out"),
    ],
)
def test_an_impossible_panel_is_refused(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(ConfigError, match=message):
        build()
