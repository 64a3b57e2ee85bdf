"""The story that lines, views and subtitles are folded from, and the lanes of several sources."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from scripted import Script, traffic_light

from vigil.cli.lanes import LEAST_HEIGHT, Lanes
from vigil.cli.lines import JsonLines, PlainLines
from vigil.cli.story import Lag, Spoken, Story
from vigil.cli.together import Lines, ask_all, close_all, until_all_ended
from vigil.types import Asked, Back, Ended, Event, Lost

AT = {"seq": 1, "wall_s": 0.0, "frame": 0}


# ---- the story ------------------------------------------------------------------------------------------------------


def told(script: Script) -> Story:
    story = Story()
    for event in script.events:
        story.add(event)
    return story


def test_pieces_become_a_text_and_its_end_is_what_counts() -> None:
    story = told(Script().say(1.0, "A ").say(1.5, "ca"))
    assert story.speaking is not None
    assert (story.speaking.text, story.speaking.start_s, story.speaking.end_s) == ("A ca", 1.0, None)
    closed = story.add(Script().done(2.0, "A cat.").events[0])
    assert closed is not None
    assert (closed.text, closed.status, closed.end_s) == ("A cat.", "final", 2.0)
    assert story.speaking is None
    assert story.quiet_since_s == 2.0


def test_a_story_begins_with_nothing() -> None:
    story = Story()
    assert (story.newest_s, story.quiet_since_s, story.num_dropped) == (0.0, 0.0, 0)
    assert (story.asked, story.lost, story.ended, story.speaking, list(story.entries)) == (None, None, None, None, [])


def test_an_answer_that_never_said_a_word_is_still_an_entry() -> None:
    closed = Story().add(Script().done(2.0, "", status="interrupted").events[0])
    assert closed == Spoken(1, 1, 2.0, text="", end_s=2.0, status="interrupted")


@pytest.mark.parametrize(
    ("script", "withdrawn"),
    [
        (Script().spoken(1.0, "Red."), [False]),
        (Script().spoken(1.0, "Red.").spoken(3.0, "Green.", rev=2), [True, False]),
        (Script().spoken(1.0, "Red.", status="superseded"), [True]),
        (Script().spoken(1.0, "Red.", status="interrupted"), [False]),
        (Script().spoken(1.0, "Red.").spoken(3.0, "A cat.", answer=2), [False, False]),
    ],
)
def test_what_was_replaced_or_taken_back_no_longer_holds(script: Script, withdrawn: list[bool]) -> None:
    entries = [entry for entry in told(script).entries if isinstance(entry, Spoken)]
    assert [entry.is_withdrawn for entry in entries] == withdrawn


def test_the_open_question_is_the_newest_one() -> None:
    story = told(Script().ask(0.0, "Who?").ask(2.0, "Where?", turn=2, standing=True))
    assert story.asked is not None
    assert (story.asked.text, story.asked.standing) == ("Where?", True)
    assert len([entry for entry in story.entries if isinstance(entry, Asked)]) == 2


def test_dropped_frames_are_added_and_the_total_of_the_end_counts() -> None:
    story = told(Script().dropped(3.0, 2).dropped(4.0, 5))
    assert story.num_dropped == 7
    story.add(Script().ended(9.0, dropped=11).events[0])
    assert story.num_dropped == 11
    assert story.ended is not None
    assert story.newest_s == 9.0


def test_a_loss_lasts_until_the_source_is_back() -> None:
    story = Story()
    story.add(Lost(**AT, time_s=3.0, cause="frozen", attempt=1, retry_in_s=1.0))  # type: ignore[arg-type]
    assert story.lost is not None
    story.add(Back(**AT, time_s=5.0, epoch=2, cause="reconnect", gap_s=2.0))  # type: ignore[arg-type]
    assert story.lost is None


def test_a_revision_of_what_has_been_forgotten_is_a_text_of_its_own() -> None:
    story = Story(keep=1)
    for event in Script().spoken(1.0, "Red.").ask(2.0, "Who?").spoken(3.0, "Green.", rev=2).events:
        story.add(event)
    (entry,) = story.entries
    assert isinstance(entry, Spoken)
    assert (entry.text, entry.replaces) == ("Green.", "")


@pytest.mark.parametrize(
    ("pace", "frame", "ready", "lag_s"),
    [
        ("live", {"t": 5.0, "w": 7.0}, {"w": 7.5}, 0.5),
        (1.0, {"t": 5.0, "w": 4.9}, {"w": 5.25}, 0.25),
        (4.0, {"t": 8.0, "w": 1.0}, {"w": 2.5}, 0.5),
        (1.0, {"t": 5.0, "w": 4.0}, {"w": 4.5}, 0.0),
        ("max", {"t": 5.0, "w": 1.0}, {"w": 9.0}, None),
    ],
)
def test_lag_counts_from_arrival_or_from_the_due_time_and_is_never_early(
    pace: Any, frame: dict[str, float], ready: dict[str, float], lag_s: float | None
) -> None:
    lag = Lag(pace)
    assert lag.lag_s is None
    lag.trace("decide", w=99.0, p=0.5)
    lag.trace("frame", i=0, **frame)
    assert lag.lag_s is None
    lag.trace("ready", i=0, **ready)
    assert lag.lag_s == lag_s


# ---- several sources ------------------------------------------------------------------------------------------------


class Noted:
    """A session that notes what it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_closed = False

    def ask(self, text: str) -> None:
        self.asked.append(text)

    def close(self) -> None:
        self.is_closed = True


def test_a_typed_question_goes_to_all_and_all_are_closed() -> None:
    handles: Any = [Noted(), Noted()]
    ask_all(handles)("Who?")
    close_all(handles)()
    assert [one.asked for one in handles] == [["Who?"], ["Who?"]]
    assert all(one.is_closed for one in handles)


def test_events_are_shown_until_every_source_has_ended() -> None:
    from queue import SimpleQueue

    arrived: SimpleQueue[tuple[int, Event]] = SimpleQueue()
    sequence = [(0, "ask"), (1, "end"), (0, "ask"), (0, "end"), (1, "late")]
    for index, what in sequence:
        event = Script().ended(1.0).events[0] if what == "end" else Script().ask(1.0, what).events[0]
        arrived.put((index, event))
    shown = [(index, isinstance(event, Ended)) for index, event in until_all_ended(arrived, 2)]
    assert shown == [(0, False), (1, True), (0, False), (0, True)]
    assert not arrived.empty(), "nothing is read beyond the last end"


def test_lines_of_several_sources_keep_their_printers_apart(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines([PlainLines("a "), JsonLines("b")]) as screen:
        screen.trace(0, "frame", i=0)
        screen.typing("x")
        screen.show(1, traffic_light()[0])
        screen.show(0, traffic_light()[0])
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first)["source"] == "b"
    assert second == "a    0:00.0  ask        What colour is the light?"


def lanes_of(num: int, *, height: int = 24, **settings: Any) -> tuple[Lanes, io.StringIO]:
    paper = io.StringIO()
    console = Console(file=paper, width=60, height=height, force_terminal=True, record=True)
    return Lanes([f"cam {n}" for n in range(num)], [None] * num, console=console, pace="max", **settings), paper


@pytest.mark.parametrize(
    ("num", "height", "each"), [(2, 24, 11), (3, 24, 7), (4, 20, LEAST_HEIGHT), (9, 10, LEAST_HEIGHT)]
)
def test_lanes_share_the_screen_and_none_is_lower_than_it_needs(num: int, height: int, each: int) -> None:
    lanes, _ = lanes_of(num, height=height)
    assert [lane._height for lane in lanes.lanes] == [each] * num


def test_at_the_end_the_story_of_each_lane_is_printed_one_after_another() -> None:
    lanes, paper = lanes_of(2)
    with lanes:
        for event in traffic_light():
            lanes.show(1, event)
        lanes.show(0, Script().ask(0.0, "Who?").events[0])
    last = paper.getvalue().rpartition("\x1b[?25h")[2]
    assert last.index("Who?") < last.index("cam 0") < last.index("What colour") < last.index("cam 1")
    assert "10 of 10 frames seen" in last


def test_what_is_typed_to_all_is_shown_without_control_characters() -> None:
    lanes, _ = lanes_of(1, typed=True)
    lanes.console.print(lanes.render())
    assert "> type a question to all, then Enter" in lanes.console.export_text()
    lanes.typing("Who\x1b[2J?")
    lanes.console.print(lanes.render())
    assert "> Who[2J?" in lanes.console.export_text()
    quiet, _ = lanes_of(1)
    quiet.console.print(quiet.render())
    assert ">" not in quiet.console.export_text()
