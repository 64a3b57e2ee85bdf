"""The live view shows the clock, the state and the story, fits any terminal, and passes no control character on."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from scripted import Script, traffic_light

from vigil.cli.story import Story, clock
from vigil.cli.view import LiveView
from vigil.types import Event


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def __call__(self) -> float:
        return self.time_s


def view(events: list[Event], *, width: int = 80, height: int = 24, **settings: object) -> tuple[LiveView, Clock]:
    now = Clock()
    console = Console(record=True, file=io.StringIO(), width=width, height=height, force_terminal=True)
    made = LiveView("kitchen.mp4", console=console, now=now, **settings)  # type: ignore[arg-type]
    for event in events:
        made.show(event)
    return made, now


def drawn(live: LiveView, *, styles: bool = False) -> str:
    live.console.export_text()  # forget what was drawn before
    live.console.print(live.render())
    return live.console.export_text(styles=styles)


def test_a_revised_answer_is_struck_through_and_followed_by_its_replacement() -> None:
    live, _ = view(traffic_light())
    text = drawn(live)
    lines = [line.strip() for line in text.splitlines()]
    red = lines.index("0:03.0 ~ The light is red.")
    assert lines[red - 1] == "0:00.0 ? What colour is the light?"
    assert lines[red + 1] == "0:07.0 → The light is green."
    styled = drawn(live, styles=True)
    assert re.search(r"\x1b\[[0-9;]*\b9m[^\x1b]*The light is red\.", styled)  # 9: strike-through
    assert not re.search(r"\x1b\[[0-9;]*\b9m[^\x1b]*The light is green\.", styled)


def test_the_state_is_speaking_only_while_an_answer_is_open() -> None:
    script = Script().ask(0.0, "Who?")
    assert "watching" in drawn(view(script.events)[0])
    text = drawn(view(script.say(1.0, "A wom").events)[0])
    assert "speaking" in text
    assert "A wom▌" in text
    assert "watching" in drawn(view(script.done(2.0, "A woman.").events)[0])


def test_the_clock_goes_on_between_events_at_the_speed_of_the_video_and_stops_at_its_end() -> None:
    live, now = view(Script().ask(2.0, "Who?").events, pace=2.0, duration_s=9.0)
    now.time_s += 3.0
    assert "0:08.0 / 0:09.0" in drawn(live)
    now.time_s += 3.0
    assert "0:09.0 / 0:09.0" in drawn(live)


def test_without_a_pace_the_clock_is_that_of_the_newest_frame() -> None:
    live, now = view([], pace="max")
    live.trace("frame", i=0, t=5.0, w=0.1)
    now.time_s += 60.0
    text = drawn(live)
    assert "0:05.0" in text
    assert "lag" not in text


@pytest.mark.parametrize(
    ("pace", "expected"), [("live", "lag 0.25 s"), (1.0, "lag 0.75 s"), (2.0, "lag 3.25 s")], ids=str
)
def test_frame_lag_counts_from_arrival_or_from_the_due_time(pace: object, expected: str) -> None:
    live, _ = view([], pace=pace)
    live.trace("decide", w=1.0, p=0.5)  # not about frames
    live.trace("frame", i=4, t=5.0, w=5.5)
    live.trace("ready", i=4, w=5.75)
    assert expected in drawn(live)


def test_silence_is_a_calm_line_and_goes_when_somebody_speaks() -> None:
    live, now = view(Script().spoken(1.0, "A cat.").events)
    assert "silent" not in drawn(live)
    now.time_s += 4.0
    assert "· silent for 4 s" in drawn(live)
    live.show(Script().say(6.5, "Two", answer=2).events[0])
    assert "silent" not in drawn(live)


def test_dropped_frames_are_counted() -> None:
    live, _ = view(Script().dropped(3.0, 2).dropped(4.0, 5).events)
    assert "7 dropped" in drawn(live)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (20, 8), (10, 5), (200, 60)])
def test_it_fits_any_terminal_and_keeps_the_newest(width: int, height: int) -> None:
    script = Script()
    for number in range(1, 30):
        script.spoken(float(number), f"Number {number} is a rather long sentence.", answer=number)
    live, _ = view(script.events, width=width, height=height, typed=True)
    live.typing("a question that goes on and on and on and on")
    lines = drawn(live).rstrip("\n").split("\n")
    assert all(len(line) <= width for line in lines)
    assert "29" in "".join(line.strip() for line in lines)
    if height >= 10:
        assert len(lines) <= height


def test_what_is_being_typed_is_shown_and_a_hint_before_that() -> None:
    live, _ = view([], typed=True)
    assert "> type a question, then Enter" in drawn(live)
    live.typing("How man")
    assert "> How man▏" in drawn(live)
    assert ">" not in drawn(view([])[0])


def test_no_control_character_of_a_name_a_question_or_the_model_reaches_the_terminal() -> None:
    hostile = "a\x1b[31m\x1b]0;t\x07\x9bJ\u202e\r\nb"
    console = Console(record=True, file=io.StringIO(), width=80, force_terminal=True)
    live = LiveView(hostile, console=console, typed=True)
    for event in Script().ask(0.0, hostile).spoken(1.0, hostile).events:
        live.show(event)
    live.typing(hostile)
    for text in (drawn(live), drawn_summary(live)):
        assert set(re.findall(r"[\x00-\x1f\x7f-\x9f\u202e]", text)) <= {"\n"}


def drawn_summary(live: LiveView) -> str:
    live.console.print(live.summary())
    return live.console.export_text()


def test_at_the_end_the_whole_story_stays_on_the_terminal() -> None:
    out = io.StringIO()
    live = LiveView("kitchen.mp4", console=Console(file=out, width=80, height=6, force_terminal=True))
    with live:
        for event in traffic_light():
            live.show(event)
    last_screen = out.getvalue().rpartition("\x1b[2K")[2]
    for text in ("What colour", "The light is red.", "The light is green.", "10 of 10 frames seen", "0 dropped"):
        assert text in last_screen
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h")  # the cursor is given back


def test_a_story_of_any_length_keeps_only_its_newest_entries() -> None:
    story = Story(keep=3)
    for number in range(1, 10):
        for event in Script().spoken(float(number), "x", answer=number).events:
            story.add(event)
    assert [entry.answer for entry in story.entries if not hasattr(entry, "turn")] == [7, 8, 9]


@pytest.mark.parametrize(
    ("time_s", "text"), [(0, "0:00.0"), (7.26, "0:07.3"), (59.97, "1:00.0"), (723.4, "12:03.4"), (3723.4, "1:02:03.4")]
)
def test_times_are_spelled_as_a_clock(time_s: float, text: str) -> None:
    assert clock(time_s) == text
