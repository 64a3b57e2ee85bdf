"""A stage set by hand: where things are, what they are called, and which states follow from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vigil.world.cast import CELLS, Actor, Cast
from vigil.world.chance import Draw
from vigil.world.config import WorldConfig
from vigil.world.scene import Scene
from vigil.world.stage import Backdrop, Spot, Stage, Thing
from vigil.world.states import states_of
from vigil.world.words import COLOURS, HELD_OUT_PAIRS, NOUNS, phrase, plural, with_article

CONFIG = WorldConfig(family="objects", fps=2.0, max_objects=4)


def thing(noun: str, start: int, *spots: tuple[int, bool] | tuple[int, bool, str], lane: int = 0) -> Thing:
    """A thing by its column, whether it is seen, and its colour, frame by frame."""
    made = tuple(Spot(spot[0], 0, spot[1], spot[2] if len(spot) == 3 else "") for spot in spots)
    return Thing(noun, lane, start, made, 1.0, False)


def scene(*things: Thing, num_frames: int = 6, distractors: tuple[str, ...] = (), **stage: object) -> Scene:
    set_up = {
        "backdrops": (Backdrop(0, "beach", 0),),
        "box": None,
        "layout": ("top", "left"),
        "instruments": (),
        "light_F": (),
        "counter_F": (),
        "clock_F": (),
        **stage,
    }
    return Scene(
        split="test",
        seed=0,
        config=CONFIG,
        num_frames=num_frames,
        changes=(),
        distractors=distractors,
        stage=Stage(things=things, **set_up),  # type: ignore[arg-type]
    )


def states(scene: Scene, subject: str, attribute: str) -> list[tuple[str, float, float]]:
    """Value, start and end of each state of one subject."""
    found = [s for s in states_of(scene) if (s.subject, s.attribute) == (subject, attribute)]
    return [(s.value, s.start_s, s.end_s) for s in found]


SEEN, HIDDEN = True, False
DOG = thing("dog", 1, (0, SEEN), (0, SEEN), (1, HIDDEN), (2, SEEN))
"""Frames 1 to 4: on the left, on the left, behind the box, on the right. A frame is half a second."""


def test_a_thing_is_nowhere_before_it_enters_and_after_it_has_left() -> None:
    assert [None if (spot := DOG.spot(frame)) is None else spot.column for frame in range(6)] == [
        *(None, 0, 0, 1, 2),
        None,
    ]


def test_states_of_a_thing_that_hides_and_leaves() -> None:
    film = scene(DOG)
    assert states(film, "dog", "presence") == [
        ("visible", 0.5, 1.5),
        ("hidden", 1.5, 2.0),
        ("visible", 2.0, 2.5),
        ("gone", 2.5, 3.0),
    ]
    assert states(film, "dog", "place") == [
        ("on the left", 0.5, 1.5),
        ("behind the box", 1.5, 2.0),
        ("on the right", 2.0, 2.5),
        ("gone", 2.5, 3.0),
    ]
    assert states(film, "dogs", "count") == [
        *(("0", 0.0, 0.5), ("1", 0.5, 1.5), ("0", 1.5, 2.0), ("1", 2.0, 2.5), ("0", 2.5, 3.0))
    ]
    assert states(film, "objects", "count") == states(film, "dogs", "count")


def test_a_thing_that_comes_back_is_the_same_thing() -> None:
    film = scene(thing("dog", 0, (0, SEEN)), thing("dog", 3, (1, SEEN)))
    assert [value for value, _, _ in states(film, "dog", "presence")] == ["visible", "gone", "visible", "gone"]
    assert [value for value, _, _ in states(film, "dog", "place")] == ["on the left", "gone", "in the middle", "gone"]


def test_two_of_a_name_at_once_have_no_place_and_are_counted() -> None:
    film = scene(thing("dog", 0, *[(0, SEEN)] * 6), thing("dog", 2, (2, SEEN), lane=1))
    assert states(film, "dog", "place") == []
    assert states(film, "dog", "presence") == [("visible", 0.0, 3.0)]
    assert states(film, "dogs", "count") == [("1", 0.0, 1.0), ("2", 1.0, 1.5), ("1", 1.5, 3.0)]


def test_one_hidden_behind_the_box_does_not_hide_its_twin() -> None:
    film = scene(thing("dog", 0, *[(1, HIDDEN)] * 6), thing("dog", 0, *[(2, SEEN)] * 6, lane=1))
    assert states(film, "dog", "presence") == [("visible", 0.0, 3.0)]
    assert states(film, "dogs", "count") == [("1", 0.0, 3.0)]


def test_a_shape_that_turns_another_colour_gets_another_name() -> None:
    film = scene(thing("square", 0, (0, SEEN, "red"), (0, SEEN, "red"), (0, SEEN, "blue")), num_frames=4)
    assert states(film, "red square", "presence") == [("visible", 0.0, 1.0), ("gone", 1.0, 2.0)]
    assert states(film, "blue square", "presence") == [("visible", 1.0, 1.5), ("gone", 1.5, 2.0)]
    assert states(film, "square", "colour") == [("red", 0.0, 1.0), ("blue", 1.0, 1.5), ("gone", 1.5, 2.0)]


def test_two_squares_at_once_have_no_colour() -> None:
    film = scene(thing("square", 0, (0, SEEN, "red")), thing("square", 0, (1, SEEN, "blue")))
    assert states(film, "square", "colour") == []


def test_objects_of_all_names_are_counted_together() -> None:
    film = scene(thing("dog", 0, *[(0, SEEN)] * 6), thing("cat", 2, (1, SEEN), (1, HIDDEN), (1, SEEN)))
    assert [value for value, _, _ in states(film, "objects", "count")] == ["1", "2", "1", "2", "1"]


def test_distractors_are_counted_as_none_all_the_time() -> None:
    assert states(scene(distractors=("bus", "blue square")), "buses", "count") == [("0", 0.0, 3.0)]
    assert states(scene(distractors=("bus", "blue square")), "blue squares", "count") == [("0", 0.0, 3.0)]


def test_places_and_instruments_hold_until_they_change() -> None:
    film = scene(
        backdrops=(Backdrop(0, "beach", 0), Backdrop(4, "moon", 1)),
        light_F=("red", "red", "green", "green", "green", "red"),
        counter_F=tuple("334444"),
        clock_F=("1:00",) * 6,
    )
    assert states(film, "scene", "place") == [("beach", 0.0, 2.0), ("moon", 2.0, 3.0)]
    assert states(film, "light", "colour") == [("red", 0.0, 1.0), ("green", 1.0, 2.5), ("red", 2.5, 3.0)]
    assert states(film, "counter", "number") == [("3", 0.0, 1.0), ("4", 1.0, 3.0)]
    assert states(film, "clock", "time") == [("1:00", 0.0, 3.0)]


# ---- who is on the stage --------------------------------------------------------------------------------------------


def cast(box: tuple[int, int] | None = None, *, held_out: str = "", seed: int = 0) -> Cast:
    return Cast(Draw(np.random.default_rng(seed)), CONFIG, held_out, box)


def actor(noun: str, lane: int, column: int, *, colour: str = "", seen: bool = True, changed: int = 0) -> Actor:
    return Actor(noun, lane, 0, 1.0, False, [Spot(column, 0, seen, colour)], changed)


def test_a_cell_is_free_where_nothing_stands_and_no_box() -> None:
    play = cast(box=(1, 1))
    play.live += [actor("dog", 0, 2), actor("cat", 1, 1, seen=False)]
    assert set(CELLS) - set(play.free_cells()) == {(0, 2), (1, 1)}
    assert len(CELLS) == 9


@pytest.mark.parametrize(
    ("cell", "is_beside"),
    [((1, 0), True), ((1, 2), True), ((1, 1), False), ((0, 1), False), ((0, 0), False), ((2, 2), False)],
)
def test_beside_the_box_is_left_and_right_of_it(cell: tuple[int, int], is_beside: bool) -> None:
    assert cast(box=(1, 1)).is_beside_box(*cell) is is_beside
    assert not cast().is_beside_box(*cell)


def test_a_box_at_the_edge_has_one_side() -> None:
    assert [cast(box=(0, 0)).is_beside_box(0, column) for column in range(3)] == [False, True, False]


def test_a_twin_has_the_same_name_in_sight_or_hidden() -> None:
    play = cast()
    one, other, third = (
        actor("square", 0, 0, colour="red"),
        actor("square", 1, 0, colour="red", seen=False),
        actor("dog", 2, 0),
    )
    play.live += [one, other, third]
    assert [play.has_twin(who) for who in play.live] == [True, True, False]
    other.become(3, other.now._replace(colour="blue"))
    assert not play.has_twin(one)


@pytest.mark.parametrize(("changed", "seen", "is_settled"), [(2, True, True), (3, True, False), (2, False, False)])
def test_what_has_just_done_something_or_is_hidden_is_not_settled(changed: int, seen: bool, is_settled: bool) -> None:
    play = cast()
    play.live.append(actor("dog", 0, 0, seen=seen, changed=changed))
    assert bool(play.settled(5, 3)) is is_settled


def test_only_shapes_have_colours_and_held_out_pairs_are_barred_from_training() -> None:
    assert cast().colours("dog") == [""]
    for shape in ("square", "circle", "triangle"):
        barred = {colour for colour, noun in HELD_OUT_PAIRS if noun == shape}
        assert set(cast().colours(shape)) == set(COLOURS) - barred
        assert set(cast(held_out="pair").colours(shape)) == set(COLOURS)
        assert "green" not in cast().colours(shape, but="green")


def test_who_leaves_takes_the_spot_of_this_frame_along() -> None:
    play = cast()
    gone = actor("dog", 0, 0)
    gone.spots.append(Spot(1, 0, True, ""))
    play.live.append(gone)
    play.dismiss(gone)
    assert (play.live, play.past) == ([], [gone])
    assert gone.thing().spots == (Spot(0, 0, True, ""),)


@pytest.mark.parametrize("seed", range(20))
def test_a_stage_is_set_with_no_more_things_than_allowed_each_in_its_cell(seed: int) -> None:
    play = replace(cast(box=(2, 1), seed=seed), config=replace(CONFIG, max_objects=2))
    play.populate(0)
    cells = [(who.lane, who.now.column) for who in play.live]
    assert len(cells) == len(set(cells)) <= 2
    assert (2, 1) not in cells
    assert play.settled(0, 9) == play.live, "they have stood there for long"


def test_distractors_have_never_been_on_the_stage_and_are_few() -> None:
    for seed in range(30):
        play = cast(seed=seed)
        play.populate(0)
        shown = {who.name for who in play.live}
        names = play.distractors()
        assert not shown & set(names)
        assert len(names) == len(set(names)) <= 4


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noun", "colour", "name", "many", "one"),
    [
        ("dog", "", "dog", "dogs", "a dog"),
        ("square", "red", "red square", "red squares", "a red square"),
        ("apple", "", "apple", "apples", "an apple"),
        ("triangle", "orange", "orange triangle", "orange triangles", "an orange triangle"),
        ("fish", "", "fish", "fish", "a fish"),
        ("bus", "", "bus", "buses", "a bus"),
    ],
)
def test_names(noun: str, colour: str, name: str, many: str, one: str) -> None:
    assert phrase(noun, colour) == name
    assert plural(name) == many
    assert with_article(name) == one


def test_no_two_nouns_share_a_plural() -> None:
    assert len({plural(noun) for noun in NOUNS}) == len(NOUNS)
