"""Events and records: frozen, and spelt one way."""

from __future__ import annotations

import dataclasses
import json

import pytest

from vigil import types
from vigil.types import (
    Asked,
    Back,
    Done,
    Ended,
    Event,
    FramesDropped,
    Interrupted,
    Lost,
    Revise,
    Say,
    Silence,
    event_to_json,
)

AT = {"seq": 3, "time_s": 1.23456, "wall_s": 2.0, "frame": 1}
EVENTS: list[Event] = [
    Asked(**AT, turn=1, text="What?", standing=False),  # type: ignore[arg-type]
    Say(**AT, answer=1, rev=2, text="é"),  # type: ignore[arg-type]
    Revise(**AT, answer=1, rev=2, supersedes=1),  # type: ignore[arg-type]
    Done(**AT, answer=1, rev=2, text="é", status="final", finish="silence"),  # type: ignore[arg-type]
    Silence(**AT, first_s=0.0, last_s=1.0, frames=2, p_silence_mean=0.5, p_silence_min=0.25),  # type: ignore[arg-type]
    Interrupted(**AT, turn=1, next_turn=None),  # type: ignore[arg-type]
    FramesDropped(**AT, first_s=0.0, last_s=1.0, count=2, reason="queue"),  # type: ignore[arg-type]
    Lost(**AT, cause="frozen", attempt=1, retry_in_s=0.25),  # type: ignore[arg-type]
    Back(**AT, epoch=2, cause="reconnect", gap_s=3.5),  # type: ignore[arg-type]
    Ended(**AT, reason="eof", received=4, perceived=2, dropped=1, pending=1),  # type: ignore[arg-type]
]


def test_every_kind_of_event_has_a_name_of_its_own() -> None:
    kinds = {kind for kind in vars(types).values() if isinstance(kind, type) and issubclass(kind, Event)} - {Event}
    assert {type(event) for event in EVENTS} == kinds
    names = [event_to_json(event)["event"] for event in EVENTS]
    assert names == ["ask", "say", "revise", "done", "silence", "interrupted", "dropped", "lost", "back", "ended"]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_one_flat_line_that_holds_all_its_fields(event: Event) -> None:
    row = json.loads(json.dumps(event_to_json(event)))
    assert list(row)[:2] == ["seq", "event"]
    assert (row["seq"], row["t"], row["wall"], row["frame"]) == (3, 1.2346, 2.0, 1)
    fields = {field.name for field in dataclasses.fields(event)} - {"seq", "time_s", "wall_s"}
    assert set(row) == fields | {"seq", "event", "t", "wall"}
    assert not any(isinstance(value, (dict, list)) for value in row.values())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_cannot_be_changed(event: Event) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.seq = 9  # type: ignore[misc]
