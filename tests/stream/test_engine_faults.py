"""Many sessions on one model: what fails, lags or asks too much harms no other; nothing vanishes, nothing spins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from crowd import ASKED, MODEL, alone, check_same, clip, manner, run, talker
from fakes import Image, picture, pictures, spell

from vigil.config import StreamConfig
from vigil.errors import CapacityError, ConfigError, ShapeError, SourceLost
from vigil.stream import handle as handles
from vigil.stream.capacity import lane_bytes
from vigil.stream.engine import Engine, EngineConfig
from vigil.stream.handle import Handle
from vigil.stream.journal import Question
from vigil.stream.policy import SlotChoice, Threshold
from vigil.stream.source import open_source
from vigil.types import Done, Ended, Event, Frame, FramesDropped, Say

# ---- one failing or slow session harms no other ---------------------------------------------------------------------


class Faulty:
    """A policy that fails at its third slot."""

    slots = 0

    def speaks(self, slot: SlotChoice) -> bool:
        self.slots += 1
        if self.slots == 3:
            raise ZeroDivisionError("the policy is wrong")
        return False


def broken_source() -> Iterator[tuple[Image, float]]:
    yield from pictures(2)
    raise SourceLost("the camera went away")


def spoil_picture(engine: Engine) -> Handle:
    handle = engine.open(speed="max", **manner(0))
    handle.push(Frame(picture(0), 0.0))
    handle.push(Frame(np.zeros((4, 4), np.uint8), 1.0))
    return handle


def spoil_policy(engine: Engine) -> Handle:
    handle = engine.open(speed="max", policy=Faulty())
    for image, time_s in clip(0):
        handle.push(Frame(image, time_s))
    return handle


def spoil_text(engine: Engine) -> Handle:
    settings = {**manner(0), "config": StreamConfig(text_tokens=64)}
    handle = engine.open(speed="max", questions=[Question("long " * 40, at_s=0.0)], **settings)
    handle.finish()
    return handle


def spoil_source(engine: Engine) -> Handle:
    return engine.watch(open_source(broken_source(), fps=1.0), speed="max", **manner(0))


@pytest.mark.parametrize("spoil", [spoil_picture, spoil_policy, spoil_text, spoil_source])
def test_a_session_that_fails_says_so_and_the_others_go_on(spoil: Callable[[Engine], Handle]) -> None:
    engine = Engine(MODEL)
    bad = spoil(engine)
    good = engine.open(speed="max", questions=ASKED, **manner(1))
    for image, time_s in clip(1):
        good.push(Frame(image, time_s))
    good.finish()
    while not (bad.is_over and good.is_over):
        engine.step()
    check_same(good.take_events(), alone(1))
    events = bad.take_events()
    assert isinstance(events[-1], Ended)
    assert events[-1].reason == "error"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    with pytest.raises((ShapeError, ZeroDivisionError, SourceLost, Exception)) as caught:
        list(bad.events())
    assert caught.value is bad.error


def test_a_reader_that_does_not_keep_up_stops_its_own_session_and_loses_nothing() -> None:
    engine = Engine(MODEL, EngineConfig(waiting_events=4))
    slow, quick = (engine.open(speed="max", questions=ASKED, **manner(1)) for _ in range(2))
    for handle in (slow, quick):
        for image, time_s in clip(1):
            handle.push(Frame(image, time_s))
        handle.finish()
    read: list[Event] = []
    while not quick.is_over:
        engine.step()
        read += quick.take_events()
    run(engine)
    assert not slow.is_over
    waiting = len(slow.session.mailbox.letters), len(slow._events)
    assert waiting[1] < 4 + 4, "it stands still, but for what one step brings"
    check_same(read, alone(1))
    late: list[Event] = []
    while not slow.is_over:
        late += slow.take_events()
        engine.step()
    check_same(late + slow.take_events(), alone(1))


def test_closing_an_engine_ends_sessions_whose_events_nobody_reads() -> None:
    engine = Engine(MODEL, EngineConfig(waiting_events=1))
    handle = talker(engine, speed="max")
    handle.push(Frame(picture(0), 0.0))
    for _ in range(20):
        engine.step()
    engine.close()
    assert handle.is_over
    assert spell(handle.take_events())[-1] == "ended closed"


# ---- law 6: nothing vanishes ----------------------------------------------------------------------------------------


def test_every_frame_of_every_session_is_perceived_dropped_or_pending() -> None:
    engine = Engine(MODEL)
    config = StreamConfig(tokens_per_s=1e4, max_answer_tokens=3)
    opened = [engine.open(config=replace(config, queue_frames=2 + i)) for i in range(3)]
    for i, handle in enumerate(opened):
        for n in range(9 + i):
            assert handle.push(Frame(picture(n), n * 0.001)) == n
        handle.finish() if i else handle.close()
    while engine.handles:
        engine.step()
    totals = []
    for handle in opened:
        events = handle.take_events()
        ended = events[-1]
        assert isinstance(ended, Ended)
        assert ended.received == ended.perceived + ended.dropped + ended.pending
        assert ended.dropped == sum(event.count for event in events if isinstance(event, FramesDropped))
        assert {event.reason for event in events if isinstance(event, FramesDropped)} == {"queue"}
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        totals.append((ended.received, ended.perceived, ended.dropped, ended.pending))
    assert totals[1:] == [(10, 3, 7, 0), (11, 4, 7, 0)]
    assert totals[0][0] == 9
    assert totals[0][2] == 7, "closed at once: what waited is pending, or seen"
    assert opened[1].push(Frame(picture(0), 9.0)) is None, "nothing is taken in after the end"


# ---- admission ------------------------------------------------------------------------------------------------------


def test_a_session_that_might_not_fit_is_refused_with_the_numbers() -> None:
    stream = StreamConfig()
    each = lane_bytes(MODEL, stream)
    engine = Engine(MODEL, EngineConfig(memory_bytes=2 * each))
    first, _ = engine.open(), engine.open()
    with pytest.raises(CapacityError) as caught:
        engine.open()
    assert str(caught.value) == (
        f"one more session wants {each:,} bytes, and {2 * each:,} of {2 * each:,} are reserved by 2 sessions. "
        "Close one, lower StreamConfig.memory_frames or text_tokens, or raise EngineConfig.memory_bytes."
    )
    first.close()
    run(engine)
    assert engine.reserved_bytes == each
    engine.open()


def test_more_sessions_than_allowed_are_refused() -> None:
    engine = Engine(MODEL, EngineConfig(max_sessions=1))
    engine.open()
    with pytest.raises(CapacityError, match=r"1 of 1 sessions\. Close one, or raise EngineConfig\.max_sessions\."):
        engine.open()


def test_what_is_reserved_is_what_full_lanes_take() -> None:
    stream = StreamConfig(memory_frames=8, text_tokens=64)
    engine = Engine(MODEL)
    handle = engine.open(speed="max", config=stream)
    for n in range(20):
        handle.push(Frame(picture(n), float(n)))
    run(engine)
    session = handle.session
    assert session._frames.num_bytes + session._text.num_bytes == handle.reserved_bytes == lane_bytes(MODEL, stream)


@pytest.mark.parametrize("name", ["max_sessions", "pass_tokens", "encode_frames", "waiting_events"])
def test_impossible_settings_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, got 0"):
        EngineConfig(**{name: 0})


# ---- from outside, on the wall clock --------------------------------------------------------------------------------


def vigil_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("vigil-")}


def test_a_session_can_be_asked_cut_changed_and_closed_from_another_thread() -> None:
    before = vigil_threads()
    with Engine(MODEL) as engine, talker(engine) as handle:
        done: list[Done] = []
        for event in handle.events():
            if event.seq == 1:
                handle.push(Frame(picture(0), 0.0))
            if isinstance(event, Say) and event.answer == 1 and event.rev == 1 and not done:
                handle.cancel()
            if isinstance(event, Done):
                done.append(event)
                if len(done) == 1:
                    handle.change(lambda session: setattr(session, "config", replace(session.config, max_answer_s=0.1)))
                    handle.ask("Again?")
                else:
                    handle.close()
    assert done[0].status == "interrupted"
    assert handle.session.config.max_answer_s == 0.1
    assert handle.is_over
    assert vigil_threads() <= before


class Restless(handles.Idle):
    """Broken on purpose: asks to be called again at once."""

    def __init__(self, delay_s: float | None) -> None:
        super().__init__(0.0)


def rounds_while_idle(window_s: float = 0.3) -> int:
    """How often an engine looks after four sessions that wait for frames; counted, since CPU time depends on others."""
    with Engine(MODEL) as engine:
        opened = [engine.open(policy=Threshold(0.0)) for _ in range(4)]
        for handle in opened:
            handle.push(Frame(picture(0), 0.0))
        while any(handle.session._journal.newest_frame < 0 for handle in opened):
            time.sleep(0.01)
        time.sleep(window_s)
        before = sum(engine._turn.values())
        time.sleep(window_s)
        return sum(engine._turn.values()) - before


def test_sessions_that_wait_cost_nothing() -> None:
    assert rounds_while_idle() == 0


def test_the_idle_check_catches_an_engine_that_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "Idle", Restless)
    assert rounds_while_idle() > 0


def test_an_engine_uses_what_is_free_unless_told_otherwise() -> None:
    assert Engine(MODEL).memory_bytes > 0
    assert Engine(MODEL, EngineConfig(memory_bytes=7)).memory_bytes == 7
    with pytest.raises(ConfigError, match="memory_bytes must be at least 0, got -1"):
        EngineConfig(memory_bytes=-1)
    assert torch.get_num_threads() >= 1
