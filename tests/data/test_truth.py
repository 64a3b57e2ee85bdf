"""Ground-truth rows of a record."""

from __future__ import annotations

import json
import random
from dataclasses import replace

from tests.data.scenes import camera_film, object_film
from tests.data.test_check import ALERT, GOOD, NEVER, lamp, record
from vigil.data.synthesize import synthesize
from vigil.data.truth import truth_of
from vigil.eval.truth import parse_truth


def test_values_hold_to_the_next_one_and_to_the_end_of_the_turn() -> None:
    rows = [row for row in truth_of(record(GOOD), lamp()) if row["k"] == "val"]
    spans = [(row["q"], row["from"], row["to"], row["v"]) for row in rows]
    assert spans == [("q1", 2.5, 4.0, "red"), ("q1", 4.0, 8.0, "green"), ("q1", 8.0, 12.0, "yellow")]
    assert rows[0]["alias"] == ["The light is red."]


def test_events_last_as_long_as_their_caption_and_silence_is_due_where_nothing_comes() -> None:
    rows = truth_of(record(ALERT, replace(NEVER, ask_s=8.5)), lamp())
    assert [(row["q"], row["role"], row["kind"]) for row in rows if row["k"] == "q"] == [
        ("q1", "alert", "event"),
        ("q2", "alert_absent", "event"),
    ]
    events = [row for row in rows if row["k"] == "ev"]
    assert events == [{"k": "ev", "q": "q1", "s": 6.0, "e": 7.0, "v": "cat", "accept": ["A cat appears."]}]
    assert [(row["from"], row["to"]) for row in rows if row["k"] == "null"] == [(0.0, 2.5), (8.5, 12.0)]


def test_the_rows_of_any_record_are_a_valid_truth_file() -> None:
    for seed in range(60):
        film = (object_film if seed % 2 else camera_film)(seed)
        for written in synthesize(film, rng=random.Random(seed)):
            truth = parse_truth(json.dumps(row) for row in truth_of(written, film))
            assert len(truth.questions) == len(written.turns) - 1
