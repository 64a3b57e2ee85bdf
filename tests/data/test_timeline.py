"""Facts on the grid of frames."""

from __future__ import annotations

import pytest

from vigil.data.timeline import Timeline
from vigil.types import Caption, DenseCaptions, State


def video(*states: State, captions: tuple[Caption, ...] = (), duration_s: float = 10.0) -> DenseCaptions:
    return DenseCaptions(id="v", duration_s=duration_s, captions=captions, states=states)


def state(subject: str, attribute: str, value: str, start_s: float, end_s: float) -> State:
    return State(subject=subject, attribute=attribute, value=value, start_s=start_s, end_s=end_s)


@pytest.mark.parametrize(("time_s", "fps", "frame"), [(0.0, 1, 0), (2.0, 1, 2), (2.1, 1, 3), (2.1, 2, 5), (0.3, 10, 3)])
def test_a_fact_is_first_shown_by_the_next_frame(time_s: float, fps: float, frame: int) -> None:
    assert Timeline(video(), fps).frame_of(time_s) == frame


def test_a_gap_is_unknown_and_a_span_between_two_frames_is_never_seen() -> None:
    light = [
        state("light", "colour", "red", 0.0, 2.0),
        state("light", "colour", "green", 3.2, 3.8),
        state("light", "colour", "red", 5.0, 7.0),
    ]
    line = Timeline(video(*light), 1.0)
    assert line.changes("light", "colour") == ((0, "red"), (2, ""), (5, "red"), (7, ""))


def test_whereabouts_by_hand() -> None:
    dog = [
        state("dog", "presence", "gone", 0.0, 2.0),
        state("dog", "presence", "visible", 2.0, 6.0),
        state("dog", "presence", "hidden", 6.0, 8.0),
        state("dog", "presence", "gone", 8.0, 10.0),
        state("dog", "place", "on the left", 2.0, 4.0),
        state("dog", "place", "on the right", 4.0, 6.0),
    ]
    places = ((0, "never"), (2, "on the left"), (4, "on the right"), (6, "hidden"), (8, "gone"))
    assert Timeline(video(*dog), 1.0).whereabouts("dog") == places


def test_a_thing_that_is_only_counted_and_always_zero_is_absent() -> None:
    counts = [state("houses", "count", "0", 0.0, 10.0), state("buses", "count", "1", 0.0, 10.0)]
    line = Timeline(video(*counts, state("bus", "presence", "visible", 0.0, 10.0)), 1.0)
    assert (line.nouns, line.absent) == (("bus",), ("house",))
    assert line.count_at("bus", 5) == 1


def test_what_stands_there_at_the_start_has_not_happened() -> None:
    events = tuple(
        Caption(start_s=t, end_s=t, text="x", kind="light", subject="light", value="red") for t in (0.0, 3.5)
    )
    assert [event.frame for event in Timeline(video(captions=events), 1.0).happenings] == [4]


def test_captions_of_people_may_be_said_after_their_share_of_the_span() -> None:
    told = (Caption(start_s=2.0, end_s=6.0, text="a man runs"),)
    assert Timeline(video(captions=told), 1.0, known_after=0.5).told == ((4, 6, "A man runs."),)
    assert Timeline(video(captions=told), 1.0, known_after=1.0).told == ((6, 7, "A man runs."),)
