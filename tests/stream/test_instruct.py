"""Another system text in the middle of a session: it goes on as one that had it from the start."""

from __future__ import annotations

import math

import pytest
from fakes import ScriptedModel, StepClock, spell, tiny_config, tiny_model

from vigil.config import StreamConfig
from vigil.errors import ModelError
from vigil.model import VideoModel
from vigil.model.interleave import twin_of
from vigil.model.tokens import SILENCE
from vigil.stream.engine import Engine
from vigil.stream.feed import alone
from vigil.stream.journal import Instruction
from vigil.stream.policy import SlotChoice
from vigil.stream.session import Session
from vigil.types import Done

OLD, NEW = "Be brief.", "Answer as a sailor would, at length and in French."


class Listening:
    """A policy that never speaks, and keeps how likely silence was."""

    def __init__(self) -> None:
        self.log_p: list[float] = []

    def speaks(self, slot: SlotChoice) -> bool:
        self.log_p.append(math.log(slot.p_silence))
        return False


def instruct(clock: StepClock, system: str) -> None:
    """Change the system text between two of its steps."""
    session = clock.session
    assert alone(session.model, session.take(Instruction(system), clock._now())) == []


def decisions(model: VideoModel, system: str, *, then: str | None = None, **config: int) -> list[float]:
    """How likely silence was in each slot after the one in which the system text may have changed."""
    policy = Listening()
    clock = StepClock(Session(model, config=StreamConfig(**config), policy=policy, system=system))
    clock.open()
    for second in range(4):
        clock.frame(float(second))
    clock.ask("What is there?", 4.5)
    if then is not None:
        instruct(clock, then)
    before = len(policy.log_p)
    for second in range(5, 9):
        clock.frame(float(second))
    clock.ask("And now?", 9.5)
    return policy.log_p[before:]


@pytest.mark.parametrize(("old", "new"), [(OLD, NEW), (NEW, OLD), ("", NEW), (OLD, "")])
def test_a_session_goes_on_as_one_that_had_the_new_system_text_from_the_start(old: str, new: str) -> None:
    model = tiny_model()
    changed, fresh, unchanged = decisions(model, old, then=new), decisions(model, new), decisions(model, old)
    assert changed == pytest.approx(fresh, abs=1e-3)
    assert unchanged != pytest.approx(fresh, abs=1e-2)  # the control: it does matter


def test_what_is_being_said_goes_on() -> None:
    model = ScriptedModel(SILENCE, SILENCE, "Red# and blue.")  # what follows "#" is not asked for: it is read anew
    clock = StepClock(Session(model, system=OLD))
    clock.open()
    clock.frame(0.0)
    clock.ask("What colour?", 0.5)
    clock.until(0.8)
    instruct(clock, NEW)
    clock.frame(1.0)
    clock.until(5.0)
    assert [event.text for event in clock.events if isinstance(event, Done)] == ["Red and blue."]


def test_where_the_text_lane_is_too_small_for_both_the_oldest_goes() -> None:
    clock = StepClock(Session(tiny_model(), config=StreamConfig(text_tokens=160, memory_frames=4), policy=Listening()))
    clock.open()
    for second in range(20):
        clock.ask(f"Question {second}?", second + 0.1)
        clock.frame(second + 0.5)
    instruct(clock, "x" * 40)
    clock.frame(21.0)
    assert len(clock.session._text) <= 160
    text = clock.session._tokenizer.decode(clock.session._ledger.ids)
    assert "x" * 40 in text
    assert "Question 19?" in text
    assert "Question 1?" not in text


def test_an_engine_takes_it_between_two_steps() -> None:
    engine = Engine(ScriptedModel(SILENCE, "Yes."))
    handle = engine.open(system=OLD)
    handle.instruct(NEW)
    handle.ask("Well?")
    handle.finish()
    while engine.handles:
        engine.step()
    assert "done 1.1 final" in spell(handle.take_events())


def test_a_model_that_keeps_its_frames_in_its_text_refuses_it() -> None:
    session = Session(tiny_model(twin_of(tiny_config())))
    with pytest.raises(ModelError, match="Open a new Session"):
        session.instruct(NEW)
