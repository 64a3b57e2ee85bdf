"""What the README promises of `vigil watch` without arguments: the shipped model, clip and questions, and the truth."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

import vigil
from vigil.assets import demo_clip, demo_questions
from vigil.types import Done, Event, Revise, Silence


@pytest.fixture(scope="module")
def events() -> list[Event]:
    with vigil.Session(vigil.load("nano", device="cpu"), fps=1.0) as live:
        for question in demo_questions():
            live.ask(question.text, standing=question.standing, at_s=question.at_s)
        return list(live.watch(demo_clip(), speed="max"))


def test_it_waits_in_silence_before_it_speaks(events: list[Event]) -> None:
    before = events[: events.index(next(event for event in events if isinstance(event, Done)))]
    assert max(event.last_s - event.first_s for event in before if isinstance(event, Silence)) >= 3


def test_the_last_answer_is_a_revision_that_the_truth_file_confirms(events: list[Event]) -> None:
    truth = json.loads((files("vigil.assets") / "demo.json").read_text(encoding="utf-8"))
    colours = [state for state in truth["states"] if state["subject"] == "light"]
    assert [event for event in events if isinstance(event, Revise)]
    final = [event for event in events if isinstance(event, Done) and event.rev > 1 and event.status == "final"]
    assert final
    for done in final:
        holding = next(s["value"] for s in colours if s["start_s"] <= done.time_s < s["end_s"])
        assert done.text == f"The light is {holding}."


def test_the_alert_comes_with_the_frame_that_shows_it(events: list[Event]) -> None:
    truth = json.loads((files("vigil.assets") / "demo.json").read_text(encoding="utf-8"))
    appears = next(c for c in truth["captions"] if c["kind"] == "enter" and c["subject"] in demo_questions()[0].text)
    said = next(event for event in events if isinstance(event, Done))
    assert appears["subject"] in said.text
    assert 0 <= said.time_s - appears["start_s"] <= 2
