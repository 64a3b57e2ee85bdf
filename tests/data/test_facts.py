"""Facts on the grid of frames: each look-up by hand, and against a slow look at every frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.dog_film import FILM, LINE
from tests.data.scenes import object_film
from vigil.data.timeline import AWAY, Happening, Timeline
from vigil.types import Caption, DenseCaptions, State


def captions(*made: Caption, duration_s: float = 10.0, states: tuple[State, ...] = ()) -> DenseCaptions:
    return DenseCaptions(id="v", duration_s=duration_s, captions=made, states=states)


def event(start_s: float, kind: str = "light", subject: str = "light", value: str = "red") -> Caption:
    return Caption(start_s=start_s, end_s=start_s, text="x", kind=kind, subject=subject, value=value)


@pytest.mark.parametrize(
    ("duration_s", "fps", "num_frames"),
    [(10.0, 1.0, 10), (10.5, 1.0, 11), (0.1, 1.0, 1), (2.0, 2.5, 5), (0.3, 10.0, 3)],
)
def test_a_video_has_a_frame_at_each_instant_before_its_end(duration_s: float, fps: float, num_frames: int) -> None:
    assert Timeline(captions(duration_s=duration_s), fps).num_frames == num_frames


@given(frame=st.integers(0, 500), fps=st.sampled_from((0.5, 1.0, 2.0, 3.0, 24.0, 29.97)))
def test_the_time_of_a_frame_leads_back_to_it(frame: int, fps: float) -> None:
    line = Timeline(captions(duration_s=2000.0), fps)
    back = line.frame_of(line.time_of(frame))
    assert back - frame in (0, 1)  # times are rounded to a tenth of a millisecond
    assert back == frame or line.time_of(frame) > frame / fps


def test_before_the_beginning_is_the_first_frame() -> None:
    assert LINE.frame_of(-5.0) == 0


# ---- events ---------------------------------------------------------------------------------------------------------


def test_events_are_those_that_a_frame_after_the_first_shows_in_order() -> None:
    made = [event(3.2), event(0.0), event(9.4), event(1.0, "enter", "dog", "on the left"), event(2.0, "segment")]
    line = Timeline(captions(*made), 1.0)
    assert line.happenings == (Happening(1, "enter", "dog", "on the left"), Happening(4, "light", "light", "red"))
    assert [frame for frame, _ in line.moments] == [1, 4]


def test_events_of_one_frame_belong_together() -> None:
    line = Timeline(captions(event(1.2), event(1.8, "cut", "scene", "moon"), event(2.5)), 1.0)
    assert [(frame, len(events)) for frame, events in line.moments] == [(2, 2), (3, 1)]


def test_a_new_colour_is_kept_of_what_captions_call_a_new_thing() -> None:
    line = Timeline(
        captions(event(2.0, "recolour", "red square", "blue square"), event(3.0, "enter", "dog", "on it")), 1.0
    )
    assert [happening.value for happening in line.happenings] == ["blue", "on it"]


# ---- states ---------------------------------------------------------------------------------------------------------


def test_a_span_is_cut_at_the_end_of_the_video_and_unknown_behind_it() -> None:
    spans = (State(subject="a", attribute="b", value="v", start_s=2.0, end_s=99.0),)
    assert Timeline(captions(states=spans, duration_s=4.0), 1.0).changes("a", "b") == ((2, "v"),)
    assert Timeline(captions(states=spans, duration_s=200.0), 1.0).changes("a", "b") == ((2, "v"), (99, ""))


def test_equal_values_side_by_side_are_one() -> None:
    spans = tuple(State(subject="a", attribute="b", value="v", start_s=s, end_s=s + 1) for s in (1.0, 2.0, 3.0))
    assert Timeline(captions(states=spans), 1.0).changes("a", "b") == ((1, "v"), (4, ""))


def test_what_is_not_known_is_empty() -> None:
    assert LINE.changes("dog", "weight") == ()
    assert LINE.values("dog", "weight") == ()
    assert LINE.value_at("dog", "weight", 3) == ""
    assert LINE.value_at("dog", "place", 1) == "", "it has not come yet"


def test_different_values_are_named_once_in_their_order() -> None:
    spans = [(0.0, "red"), (2.0, "green"), (4.0, "red")]
    states = tuple(State(subject="l", attribute="c", value=v, start_s=s, end_s=s + 2) for s, v in spans)
    assert Timeline(captions(states=states), 1.0).values("l", "c") == ("red", "green")


def test_frames_of_change_are_those_of_any_state() -> None:
    assert LINE.frames_of_change == (0, 2, 4, 5, 6, 8, 9, 10)
    assert LINE.states_known
    assert not Timeline(captions(event(1.0)), 1.0).states_known


# ---- things ---------------------------------------------------------------------------------------------------------


def test_nouns_are_what_is_present_at_some_time_and_absent_is_what_is_only_counted() -> None:
    assert (LINE.nouns, LINE.absent, LINE.coloured) == (("cat", "dog"), ("house",), ("square",))


def test_numbers_are_found_by_the_noun_whatever_its_plural() -> None:
    states = (
        State(subject="buses", attribute="count", value="2", start_s=0.0, end_s=10.0),
        State(subject="bus", attribute="presence", value="visible", start_s=0.0, end_s=10.0),
        State(subject="mice", attribute="count", value="0", start_s=0.0, end_s=10.0),
    )
    line = Timeline(captions(states=states), 1.0)
    assert line.count_at("bus", 3) == 2
    assert line.absent == ("mouse",)
    assert line.count_of("mouse") == ((0, "0"),)
    assert line.count_at("cow", 3) == 0


def test_objects_are_counted_under_their_own_name() -> None:
    assert [LINE.count_at("objects", frame) for frame in (0, 2, 4, 8, 10)] == [1, 2, 1, 0, 1]


def test_a_thing_is_single_if_there_is_never_another_and_its_place_is_known() -> None:
    assert LINE.is_single("dog")
    assert not LINE.is_single("house"), "it has no place"
    twice = replace(
        FILM, states=(*FILM.states, State(subject="dogs", attribute="count", value="2", start_s=11, end_s=12))
    )
    assert not Timeline(twice, 1.0).is_single("dog")


@pytest.mark.parametrize(
    ("noun", "after", "shown"),
    [("dog", -1, 2), ("dog", 2, 5), ("dog", 5, 10), ("dog", 10, None), ("cat", -1, 0), ("cat", 0, None)],
)
def test_when_a_thing_is_next_to_be_seen_anew(noun: str, after: int, shown: int | None) -> None:
    assert LINE.next_shown(noun, after) == shown


@pytest.mark.parametrize("seed", range(12))
def test_whereabouts_are_those_of_each_frame(seed: int) -> None:
    film = object_film(seed)
    line = Timeline(film, 1.0)
    for noun in line.nouns:
        seen = False
        slow = []
        for frame in range(line.num_frames):
            presence = line.value_at(noun, "presence", frame)
            seen = seen or presence == "visible"
            place = line.value_at(noun, "place", frame) or "somewhere"
            slow.append(place if presence == "visible" else (presence or "gone") if seen else "never")
        found = [next(v for f, v in reversed(line.whereabouts(noun)) if f <= frame) for frame in range(line.num_frames)]
        assert found == slow
        assert {value for value in found if value in AWAY} <= {"never", "gone", "hidden"}


# ---- captions of people ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("known_after", "first"), [(0.0, 2), (0.25, 3), (0.5, 4), (1.0, 6)])
def test_a_sentence_may_be_said_when_enough_of_it_was_seen(known_after: float, first: int) -> None:
    line = Timeline(captions(Caption(start_s=2.0, end_s=6.0, text="a man runs")), 1.0, known_after=known_after)
    ((frame, past, text),) = line.told
    assert (frame, text) == (first, "A man runs.")
    assert past == max(first + 1, 6)


def test_what_begins_behind_the_end_or_tells_of_the_whole_is_not_told_in_time() -> None:
    whole = Caption(start_s=0.0, end_s=10.0, text="a day", level="video")
    line = Timeline(captions(whole, Caption(start_s=9.0, end_s=12.0, text="late"), duration_s=10.0), 1.0)
    assert line.told == ()
    assert line.summary == "A day."


def test_a_video_with_facts_tells_no_sentences() -> None:
    plain = Caption(start_s=2.0, end_s=6.0, text="a man runs")
    light = (State(subject="light", attribute="colour", value="red", start_s=0.0, end_s=9.0),)
    assert Timeline(captions(plain), 1.0).told
    assert not Timeline(captions(plain, event(3.0)), 1.0).told
    assert not Timeline(captions(plain, states=light), 1.0).told
