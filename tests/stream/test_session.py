"""The state machine: what is said, when, and as what, driven by hand with a script in the model's mouth."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fakes import Odds, ScriptedModel, StepClock, picture, spell, tiny_model
from torch import Tensor

from vigil.config import SamplingConfig, StreamConfig
from vigil.errors import MemoryFull
from vigil.model import VideoModel
from vigil.model.tokens import ELLIPSIS, END_OF_TURN, SILENCE
from vigil.stream.journal import Moment
from vigil.stream.policy import AnswerBy, Greedy, Policy, Sampler, Threshold
from vigil.stream.session import Session
from vigil.stream.text_lane import Kind
from vigil.types import Done, Event, Say, Silence


def scripted(*script: str | Odds, policy: Policy | None = None, **config: Any) -> StepClock:
    """A session with a script, opened at 0 s with the first slot."""
    clock = StepClock(
        Session(ScriptedModel(*script), config=StreamConfig(**{"tokens_per_s": 4.0, **config}), policy=policy)
    )
    clock.open()
    return clock


def done(events: list[Event]) -> list[Done]:
    return [event for event in events if isinstance(event, Done)]


# ---- slots and silence ----------------------------------------------------------------------------------------------


def test_every_frame_opens_a_slot_and_so_do_the_beginning_and_a_question() -> None:
    clock = scripted()
    model = clock.session.model
    assert isinstance(model, ScriptedModel)
    for time_s in range(5):
        clock.frame(float(time_s))
    clock.ask("What?", 4.5)
    assert model.used == 1 + 5 + 1


def test_silence_is_reported_in_runs_of_ten_seconds_at_most() -> None:
    clock = scripted()
    for time_s in range(25):
        clock.frame(float(time_s))
    clock.end(25.0)
    runs = [event for event in clock.events if isinstance(event, Silence)]
    assert [(run.first_s, run.last_s, run.frames) for run in runs] == [(0, 9, 11), (10, 19, 10), (20, 24, 5)]
    assert [run.time_s for run in runs] == [10, 20, 25], "a run is reported when it is over"
    assert spell(clock.events)[-1] == "ended eof"


def test_a_run_of_silence_knows_how_sure_it_was() -> None:
    clock = scripted(Odds("x", 0.6), Odds("x", 0.9), "a")
    clock.frame(0.0)
    clock.frame(1.0)
    (run,) = [event for event in clock.events if isinstance(event, Silence)]
    assert [run.p_silence_mean, run.p_silence_min] == pytest.approx([0.75, 0.6])


# ---- pace and the end of an answer ----------------------------------------------------------------------------------


def test_words_come_at_the_pace_and_name_the_newest_frame() -> None:
    clock = scripted(SILENCE, "abcdef", tokens_per_s=4.0)
    for time_s in (0.0, 1.0, 2.0):
        clock.frame(time_s)
    said = [(event.text, event.time_s, event.frame) for event in clock.events if isinstance(event, Say)]
    assert said == [("a", 0, 0), ("b", 0.25, 0), ("c", 0.5, 0), ("d", 0.75, 0), ("e", 1.0, 1), ("f", 1.25, 1)]
    (end,) = done(clock.events)
    assert (end.time_s, end.text, end.status, end.finish) == (1.5, "abcdef", "final", "silence")


def test_only_whole_characters_are_said() -> None:
    clock = scripted("aé🙂", SILENCE)
    clock.until(9.0)
    assert spell(clock.events) == ["say 1.1 a", "say 1.1 é", "say 1.1 🙂", "done 1.1 final"]
    assert [event.time_s for event in clock.events] == [0.0, 0.5, 1.5, 1.75]


@pytest.mark.parametrize(
    ("script", "config", "text", "finish", "time_s"),
    [
        (("ab", SILENCE), {}, "ab", "silence", 0.5),
        (("ab", END_OF_TURN), {}, "ab", "end", 0.5),
        (("a" * 99,), {"max_answer_tokens": 3}, "aaa", "length", 0.75),
        (("a" * 99,), {"max_answer_s": 1.0}, "aaaa", "length", 1.0),
        ((" ab ", SILENCE), {}, "ab", "silence", 1.0),
    ],
    ids=["silence", "end-of-turn", "tokens", "seconds", "stripped"],
)
def test_an_answer_ends(script: tuple[str, ...], config: dict[str, Any], text: str, finish: str, time_s: float) -> None:
    clock = scripted(*script, **config)
    clock.until(30.0)
    (end,) = done(clock.events)
    assert (end.text, end.finish) == (text, finish)
    assert end.time_s == pytest.approx(time_s)


def test_an_answer_is_open_over_as_many_frames_as_it_takes() -> None:
    clock = scripted(SILENCE, "abcdefgh", SILENCE, "i", SILENCE, tokens_per_s=4.0)
    for time_s in (0.0, 1.0, 2.0, 3.0):
        clock.frame(time_s)
    assert [end.text for end in done(clock.events)] == ["abcdefgh"]
    assert spell(clock.until(9.0)) == ["done 2.1 final"]


# ---- revisions and updates ------------------------------------------------------------------------------------------


def two_replies(*, standing: bool) -> list[str]:
    clock = scripted(SILENCE, "red", SILENCE, "blue", SILENCE, tokens_per_s=20.0)
    clock.ask("Colour?", 0.5, standing=standing)
    clock.frame(1.0)
    clock.until(2.0)
    return [words for words in spell(clock.events) if not words.startswith("say")]


def test_a_second_reply_to_a_state_question_revises_the_first() -> None:
    assert two_replies(standing=False) == [
        "silence 0-0",
        "ask 1 Colour?",
        "done 1.1 final",
        "revise 1.2 supersedes 1",
        "done 1.2 final",
    ]


def test_a_second_reply_to_a_standing_question_is_an_update() -> None:
    assert two_replies(standing=True) == ["silence 0-0", "ask 1 Colour?", "done 1.1 final", "done 2.1 final"]


def test_before_any_question_each_reply_stands_for_itself() -> None:
    clock = scripted("a", SILENCE, "b", SILENCE)
    clock.frame(1.0)
    clock.until(2.0)
    assert [(end.answer, end.rev) for end in done(clock.events)] == [(1, 1), (2, 1)]


@pytest.mark.parametrize("standing", [False, True])
def test_what_follows_a_self_interruption_supersedes_it_at_once(standing: bool) -> None:
    clock = scripted(SILENCE, "re", ELLIPSIS, "blue", SILENCE)
    clock.ask("Colour?", 0.0, standing=standing)
    clock.until(9.0)
    assert spell(clock.events) == [
        "silence 0-0",
        "ask 1 Colour?",
        "say 1.1 r",
        "say 1.1 e",
        "done 1.1 superseded",
        "revise 1.2 supersedes 1",
        "say 1.2 b",
        "say 1.2 l",
        "say 1.2 u",
        "say 1.2 e",
        "done 1.2 final",
    ]
    assert clock.events[4].time_s == clock.events[6].time_s == 0.5, "the new answer is decided at once"


def test_a_self_interruption_may_be_followed_by_silence() -> None:
    clock = scripted(SILENCE, "re", ELLIPSIS, SILENCE, "blue", SILENCE)
    clock.ask("Colour?", 0.0)
    clock.frame(1.0)
    clock.until(9.0)
    assert [(end.rev, end.status) for end in done(clock.events)] == [(1, "superseded"), (2, "final")]


# ---- interruptions --------------------------------------------------------------------------------------------------


def test_a_question_cuts_the_answer_and_is_answered_at_once_on_the_newest_frame() -> None:
    clock = scripted(SILENCE, "abcdef", "no", SILENCE, tokens_per_s=4.0)
    clock.frame(0.0)
    clock.frame(1.0)
    events = clock.ask("Why?", 1.1)
    assert spell(events) == ["say 1.1 e", "ask 1 Why?", "done 1.1 interrupted", "interrupted 0 by 1", "say 2.1 f"]
    assert {event.time_s for event in events[1:]} == {1.1}
    assert events[-1].frame == 1
    (cut,) = done(events)
    assert (cut.text, cut.finish) == ("abcde", "cancel")


def test_a_question_that_cuts_an_answer_may_be_met_with_silence() -> None:
    clock = scripted("ab", SILENCE, "c")
    assert spell(clock.ask("Why?", 0.3)) == ["say 1.1 b", "ask 1 Why?", "done 1.1 interrupted", "interrupted 0 by 1"]
    assert clock.until(9.0) == [], "nothing of the old answer is still due"


def test_an_interruption_without_a_question_stops_the_answer_and_nothing_else() -> None:
    clock = scripted("abcdef", "gh", SILENCE)
    events = clock.interrupt(0.6)
    assert spell(events) == ["say 1.1 b", "say 1.1 c", "done 1.1 interrupted", "interrupted 0 by None"]
    assert clock.until(5.0) == []
    assert clock.interrupt(5.0) == [], "there is nothing left to stop"
    assert spell(clock.frame(6.0)) == ["say 2.1 d"]


def test_closing_in_the_middle_of_an_answer_says_how_it_ended() -> None:
    clock = scripted("abcdef")
    events = clock.end(0.3, "closed")
    assert spell(events) == ["say 1.1 b", "done 1.1 interrupted", "ended closed"]
    assert clock.session.due_s is None


# ---- policies -------------------------------------------------------------------------------------------------------


def test_a_threshold_speaks_where_greed_is_silent() -> None:
    assert spell(scripted(Odds("a", 0.6)).until(1.0)) == []
    clock = scripted(Odds("a", 0.6), policy=Threshold(0.7))
    assert spell(clock.events) == ["say 1.1 a"]


def test_a_direct_question_is_answered_by_its_deadline_and_a_standing_one_is_not_pressed() -> None:
    for standing, expected in ((False, [2.0]), (True, [])):
        clock = scripted(*[Odds("x", 0.9)] * 9, policy=AnswerBy(1.5, Greedy()))
        clock.frame(0.0)
        clock.ask("What?", 0.2, standing=standing)
        for time_s in (1.0, 2.0, 3.0):
            clock.frame(time_s)
        assert [event.time_s for event in clock.events if isinstance(event, Say)] == expected


def test_an_answered_question_has_no_deadline_any_more() -> None:
    script: list[str | Odds] = [SILENCE, "a", SILENCE, *[Odds("x", 0.9)] * 9]
    clock = scripted(*script, policy=AnswerBy(1.5, Greedy()), tokens_per_s=10.0)
    clock.ask("What?", 0.1)
    for time_s in (1.0, 2.0, 3.0):
        clock.frame(time_s)
    assert [end.text for end in done(clock.events)] == ["a"]


def test_nothing_is_pressed_before_the_first_frame() -> None:
    clock = scripted(*[Odds("x", 0.9)] * 3, policy=AnswerBy(0.0, Greedy()))
    clock.ask("What?", 5.0)
    assert done(clock.events) == []


def test_control_tokens_are_never_drawn_as_words() -> None:
    model = tiny_model()
    sampler = Sampler(SamplingConfig(temperature=50.0))  # nearly uniform over the vocabulary
    fed: list[int] = []
    session = Session(
        model, policy=Threshold(1.0), sampler=sampler, trace=lambda kind, **of: fed.extend(of.get("ids", ()))
    )
    clock = StepClock(session)
    clock.open()
    opening = len(fed)
    for second in range(20):
        clock.frame(second * 10.0)
    assert model.tokenizer is not None
    control = {model.tokenizer.special(name) for name in (SILENCE, ELLIPSIS)} | {model.config.image_token_id}
    assert set(fed[opening:]) & model.tokenizer.control_ids <= control
    assert len(fed) > 500


# ---- bounded text ---------------------------------------------------------------------------------------------------


def pinned(session: Session) -> tuple[Tensor, Tensor]:
    """Values, in the first layer, of the opening messages and of the open question: they tell the tokens."""
    kinds, values_KTH = session._ledger.kinds[: len(session._text)], session._text._values[0]
    fixed, asked = (
        torch.tensor([i for i, kind in enumerate(kinds) if kind is which]) for which in (Kind.FIXED, Kind.ASKED)
    )
    return values_KTH[:, fixed], values_KTH[:, asked]


def test_a_session_of_thousands_of_tokens_keeps_its_memory_its_positions_and_its_question() -> None:
    clock = scripted(*["abcdefgh", SILENCE] * 220, text_tokens=128, tokens_per_s=100.0, memory_frames=8)
    clock.frame(1.0)
    clock.ask("Where is the red ball?", 1.5)
    session, first, sizes = clock.session, pinned(clock.session), set()
    for second in range(2, 220):
        clock.frame(float(second))
        assert len(session._ledger) <= 128
        assert max(session._frames.positions) < 128, "the largest rotary position of any frame"
        sizes.add((session._frames.num_bytes, session._text.num_bytes))
    assert len(sizes) == 1
    assert all(torch.equal(now, then) for now, then in zip(pinned(session), first, strict=True))
    assert len(done(clock.events)) > 200, "it still speaks"


def test_a_question_longer_than_the_lane_says_what_to_change() -> None:
    clock = scripted(text_tokens=64)
    with pytest.raises(MemoryFull, match=r"text memory is full: .* Raise StreamConfig\.text_tokens\."):
        clock.ask("long " * 40, 0.0)


# ---- many sessions --------------------------------------------------------------------------------------------------


def play(clock: StepClock, seed: int, second: int) -> None:
    clock.frame(float(second), picture(100 * seed + second))
    if second == 2:
        clock.ask(f"What is {seed}?", 2.0)


def talker(model: VideoModel, seed: int) -> StepClock:
    sampler = Sampler(SamplingConfig(temperature=1.0, seed=seed))
    session = Session(
        model, config=StreamConfig(max_answer_tokens=5, tokens_per_s=4.0), policy=Threshold(0.5), sampler=sampler
    )
    clock = StepClock(session)
    clock.open()
    return clock


def test_two_sessions_on_one_model_do_not_mix() -> None:
    model = tiny_model()
    alone = [talker(model, seed) for seed in (1, 2)]
    for seed, clock in enumerate(alone, start=1):
        for second in range(8):
            play(clock, seed, second)
    together = [talker(model, seed) for seed in (1, 2)]
    for second in range(8):
        for seed, clock in enumerate(together, start=1):
            play(clock, seed, second)
    assert [clock.events for clock in together] == [clock.events for clock in alone]
    assert alone[0].events != alone[1].events


def test_a_session_does_not_know_what_time_it_is() -> None:
    clock = StepClock(Session(ScriptedModel("a", SILENCE), config=StreamConfig(tokens_per_s=4.0)))
    events = clock.session.open(Moment(7.0, 99.0))
    assert [(event.time_s, event.wall_s) for event in events] == [(7.0, 99.0)]
