"""Rules for captions written by people, which carry no facts."""

from __future__ import annotations

import random

from vigil.data.check import check
from vigil.data.records import Record, Turn
from vigil.data.stories import STORY_OFFLINE, STORY_ONLINE
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.data.timeline import Timeline
from vigil.data.turns import Ask
from vigil.types import Caption, DenseCaptions

GARDEN = DenseCaptions(
    id="garden",
    duration_s=20.0,
    captions=(
        Caption(start_s=0.0, end_s=20.0, text="A boy plays with his dog.", level="video"),
        Caption(start_s=1.0, end_s=5.0, text="A boy throws a ball."),
        Caption(start_s=6.0, end_s=10.0, text="A dog runs after it"),
        Caption(start_s=12.0, end_s=16.0, text="A boy throws a ball."),
    ),
)
STRANGE = ("A plane lands on the runway.", "A boy eats soup.")


def ask(role: str, newest: int = -1, *, question: str = "", offline: bool = False) -> Turn:
    line = Timeline(GARDEN, 1.0, other_events=STRANGE)
    at = Ask(19, 20.0, offline=True) if offline else Ask(newest, 0.0 if newest < 0 else newest + 0.5)
    for seed in range(100):
        turn = (STORY_OFFLINE if offline else STORY_ONLINE)[role](line, at, random.Random(seed))
        if turn is not None and question in turn.question:
            return turn
    raise AssertionError(f"{role} never asks {question!r}")


def told(turn: Turn) -> list[tuple[float, str]]:
    return [(reply.time_s, reply.text) for reply in turn.replies]


def test_what_happens_is_told_once_half_of_it_was_seen() -> None:
    lines = ["A boy throws a ball.", "A dog runs after it.", "A boy throws a ball."]
    assert told(ask("narrate")) == list(zip((3.0, 8.0, 14.0), lines, strict=True))


def test_alert_names_an_event_of_this_video_or_one_that_shares_no_word_with_it() -> None:
    assert told(ask("alert", question="a dog runs after it")) == [(8.0, "A dog runs after it.")]
    assert told(ask("alert", question="plane")) == []
    line = Timeline(GARDEN, 1.0, other_events=STRANGE)
    turns = [STORY_ONLINE["alert"](line, Ask(-1, 0.0), random.Random(seed)) for seed in range(100)]
    asked = {turn.question for turn in turns if turn is not None}
    assert len(asked) > 5
    assert not any("soup" in question for question in asked)


def test_what_is_going_on_now_and_whether_something_has_happened_yet() -> None:
    assert told(ask("now", 8)) == [(8.5, "A dog runs after it."), (14.0, "A boy throws a ball.")]
    assert told(ask("happened", 2, question="a dog runs")) == [(2.5, "No, not yet."), (8.0, "Yes.")]
    assert told(ask("happened", offline=True, question="plane")) == [(20.0, "No.")]


def test_repeated_events_are_counted() -> None:
    assert told(ask("tally", question="a boy throws a ball")) == [(3.0, "One."), (14.0, "Two.")]


def test_the_summary_is_told_at_the_end_only() -> None:
    assert told(ask("about", offline=True)) == [(20.0, "A boy plays with his dog.")]
    live = synthesize(GARDEN, rng=random.Random(0), config=SynthConfig(offline_share=0.0, records_per_video=50))
    assert not any("plays" in text for record in live for turn in record.turns for _, text in told(turn))


def test_all_of_it_passes_the_check() -> None:
    config = SynthConfig(records_per_video=60, other_events=STRANGE)
    records: list[Record] = synthesize(GARDEN, rng=random.Random(1), config=config)
    assert len(records) > 50
    assert [problem for record in records for problem in check(record, GARDEN)] == []
