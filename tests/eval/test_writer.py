from __future__ import annotations

from typing import Any

import pytest
from fakes import ScriptedModel, StepClock, picture

from vigil.config import StreamConfig
from vigil.errors import DataError
from vigil.eval.log import Log
from vigil.eval.rows import AnswerRow, Clock, DropRow, FrameRow, HeadRow, TokRow
from vigil.eval.writer import LogWriter
from vigil.model.tokens import ELLIPSIS, SILENCE
from vigil.stream.engine import Engine, EngineConfig
from vigil.stream.session import Session as RealSession
from vigil.types import Asked, Done, Ended, Frame, FramesDropped, Interrupted, Revise, Say, Silence


class Session:
    """Hands events and traces to a writer, numbered and timed as a session does."""

    def __init__(self, clock: Clock) -> None:
        head = HeadRow(v=1, clock=clock, w0=0.0, speed=1.0, fps=1.0, model="m", seed=0, policy="greedy", cost=None)
        self.writer = LogWriter(head)
        self.at: dict[str, Any] = {"seq": 0, "time_s": 0.0, "wall_s": 0.0, "frame": -1}

    def now(self, time_s: float, *, wall_s: float | None = None) -> None:
        self.at |= {"time_s": time_s, "wall_s": time_s if wall_s is None else wall_s}

    def see(self, i: int, t: float, w: float | None = None) -> None:
        self.now(t, wall_s=w)
        self.writer.trace("frame", i=i, t=t, w=self.at["wall_s"])
        self.writer.trace("ready", i=i, w=self.at["wall_s"])
        self.at["frame"] = i

    def event(self, kind: Any, **fields: Any) -> None:
        self.at["seq"] += 1
        self.writer.event(kind(**self.at, **fields))

    def log(self) -> Log:
        self.event(Ended, reason="eof", received=0, perceived=0, dropped=0, pending=0, **_extra())
        return self.writer.log()


def _extra() -> dict[str, Any]:
    """Fields of `Ended` that carry no meaning for the log."""
    known = {"seq", "time_s", "wall_s", "frame", "reason", "received", "perceived", "dropped", "pending"}
    return {name: None for name in Ended.__dataclass_fields__ if name not in known}


def a_revised_answer(clock: Clock) -> Log:
    live = Session(clock)
    live.see(0, 0.0)
    live.now(0.5)
    live.event(Asked, turn=1, text="What colour is it?", standing=False)
    live.writer.trace("decide", w=0.5, vis=0, p=0.1, act="speak")
    live.event(Say, answer=1, rev=1, text="It is")
    live.see(1, 1.0)
    live.event(Say, answer=1, rev=1, text=" red")
    live.event(Done, answer=1, rev=1, text="It is red", status="superseded", finish="silence")
    live.event(Revise, answer=1, rev=2, supersedes=1)
    live.event(Say, answer=1, rev=2, text="Blue.")
    live.now(1.5)
    live.event(Done, answer=1, rev=2, text="Blue.", status="final", finish="silence")
    live.event(Silence, first_s=1.0, last_s=1.0, frames=1, p_silence_mean=0.9, p_silence_min=0.9)
    return live.log()


def test_a_revised_answer_is_two_answers_of_the_log() -> None:
    log = a_revised_answer("free")
    first, second = log.speech
    assert (first.a, first.q, first.text, first.state) == ("1.1", "q1", "It is red", "cut")
    assert (second.a, second.q, second.text, second.state, second.supersedes) == ("1.2", "q1", "Blue.", "final", "1.1")
    assert [token.vis for token in first.tokens] == [0, 1]
    assert [token.n for row in log.rows if isinstance(token := row, TokRow)] == [0, 1, 2]
    assert (log.prompts[0].q, log.prompts[0].direct, log.prompts[0].t) == ("q1", True, 0.5)
    assert log.decisions[0].act == "speak"


def test_a_standing_question_is_not_direct() -> None:
    live = Session("free")
    live.event(Asked, turn=1, text="Tell me", standing=True)
    assert not live.log().prompts[0].direct


def test_an_answer_keeps_the_question_under_which_it_began() -> None:
    live = Session("free")
    live.event(Say, answer=1, rev=1, text="Hm")
    live.event(Asked, turn=1, text="What?", standing=True)
    live.event(Done, answer=1, rev=1, text="Hm", status="interrupted", finish="cancel")
    live.event(Interrupted, turn=0, next_turn=1)
    live.event(Say, answer=2, rev=1, text="That.")
    first, second = live.log().speech
    assert (first.q, first.state, second.q) == (None, "cut", "q1")


def test_an_answer_that_ends_before_its_first_token_is_opened_and_is_no_speech() -> None:
    live = Session("free")
    live.event(Done, answer=1, rev=1, text="", status="final", finish="end")
    log = live.log()
    assert [row.state for row in log.rows if isinstance(row, AnswerRow)] == ["open", "final"]
    assert log.speech == ()


def test_the_virtual_clock_runs_on_media_time_and_the_wall_clock_on_wall_time() -> None:
    def run(clock: Clock) -> Log:
        live = Session(clock)
        live.see(0, 5.0, 0.01)
        live.event(Say, answer=1, rev=1, text="x")
        return live.log()

    virtual, wall = run("free"), run("wall")
    assert (virtual.frames[0].w, virtual.ready_w[0], virtual.speech[0].tokens[0].w) == (5.0, 5.0, 5.0)
    assert (wall.frames[0].w, wall.ready_w[0], wall.speech[0].tokens[0].w) == (0.01, 0.01, 0.01)


def test_a_trace_may_give_its_own_media_time() -> None:
    live = Session("free")
    live.see(0, 1.0, 0.1)
    live.writer.trace("decide", t=1.25, w=0.2, vis=0, p=None, act="silent")
    live.writer.trace("decide", w=0.2, vis=0, p=None, act="silent")
    live.now(2.0)
    assert [slot.w for slot in live.log().decisions] == [1.25, 1.25]


def test_a_frame_traced_late_takes_its_place_on_the_run_clock() -> None:
    live = Session("wall")
    live.see(0, 0.0)
    live.now(1.2)
    live.event(Say, answer=1, rev=1, text="x")
    live.writer.trace("frame", i=1, t=1.0, w=1.0)
    live.writer.trace("ready", i=1, w=1.3)
    live.now(2.0)
    kinds = [type(row).__name__ for row in live.log().rows]
    assert kinds.index("TokRow") > [n for n, kind in enumerate(kinds) if kind == "FrameRow"][1]


def test_dropped_frames_are_entered_where_they_must_have_come() -> None:
    live = Session("wall")
    live.see(0, 0.0)
    live.see(4, 4.0)  # 1 to 3 were lost
    live.now(4.5)
    for i, reason in ((1, "queue"), (2, "stale"), (3, "undecodable")):
        live.writer.trace("drop", i=i, w=4.5, why=reason)
    live.event(FramesDropped, first_s=1.0, last_s=3.0, count=3, reason="queue")
    log = live.log()
    assert [(row.i, row.t, row.w) for row in log.frames] == [(0, 0, 0), (1, 1, 4), (2, 2, 4), (3, 3, 4), (4, 4, 4)]
    assert [row.why for row in log.rows if isinstance(row, DropRow)] == ["queue_full", "policy", "error"]


def test_a_frame_that_waits_while_one_before_it_is_dropped_comes_after_it_in_the_log() -> None:
    live = Session("wall")
    live.see(0, 0.0)
    live.now(2.0)
    live.writer.trace("drop", i=1, w=2.0, why="queue")  # 2 and 3 came before this, and wait for the encoder
    live.event(FramesDropped, first_s=1.0, last_s=1.0, count=1, reason="queue")
    for i, came_s in ((2, 1.1), (3, 1.1)):
        live.writer.trace("frame", i=i, t=came_s, w=came_s)
        live.writer.trace("ready", i=i, w=2.5)
    live.now(2.6)
    live.writer.trace("drop", i=4, w=2.6, why="queue")
    live.event(FramesDropped, first_s=2.0, last_s=2.0, count=1, reason="queue")
    log = live.log()
    assert [(row.i, row.t, row.w) for row in log.frames] == [
        (0, 0, 0),
        (1, 1, 1.1),
        (2, 1.1, 1.1),
        (3, 1.1, 1.1),
        (4, 2, 2.6),
    ]
    assert [(row.i, row.w) for row in log.drops] == [(1, 2.0), (4, 2.6)]


def test_a_dropped_frame_between_two_that_came_at_one_instant_stands_between_them() -> None:
    live = Session("wall")
    for i, came_s in ((0, 1.0), (2, 1.0)):
        live.writer.trace("frame", i=i, t=1.0, w=came_s)
        live.writer.trace("ready", i=i, w=3.0)
    live.now(3.0)
    live.writer.trace("drop", i=1, w=3.0, why="stale")
    live.event(FramesDropped, first_s=1.0, last_s=1.0, count=1, reason="stale")
    assert [(row.i, row.w) for row in live.log().frames] == [(0, 1.0), (1, 1.0), (2, 1.0)]


def test_a_drop_of_a_frame_that_was_traced_on_arrival_keeps_its_times() -> None:
    live = Session("wall")
    live.writer.trace("frame", i=0, t=0.5, w=0.6)
    live.now(0.9)
    live.writer.trace("drop", i=0, w=0.9, why="rate")
    live.event(FramesDropped, first_s=0.5, last_s=0.5, count=1, reason="rate")
    log = live.log()
    assert log.frames == (FrameRow(i=0, t=0.5, w=0.6),)
    assert log.drops == (DropRow(i=0, w=0.9, why="policy"),)


def test_other_traces_leave_no_row_and_a_wrong_field_is_an_error() -> None:
    live = Session("free")
    live.writer.trace("fed", ids=[1, 2])
    with pytest.raises(DataError, match="trace evict lacks the field 'i'"):
        live.writer.trace("evict", w=0.0)
    assert len(live.log().rows) == 2


def test_the_same_events_give_the_same_hash() -> None:
    assert a_revised_answer("free").hash == a_revised_answer("free").hash
    assert a_revised_answer("free").hash != a_revised_answer("wall").hash


def test_a_real_session_gives_a_valid_log_with_its_revision_and_its_times() -> None:
    head = HeadRow(v=1, clock="free", w0=0.0, speed=1.0, fps=1.0, model="scripted", seed=0, policy="greedy", cost=None)
    writer = LogWriter(head)
    model = ScriptedModel(SILENCE, SILENCE, "Red", SILENCE, "Bl", ELLIPSIS, "No", SILENCE)
    live = StepClock(RealSession(model, config=StreamConfig(tokens_per_s=4.0), trace=writer.trace))
    steps = [live.open(), live.frame(0.0), live.ask("What colour?", 0.5), live.frame(1.0), live.until(2.0)]
    for events in [*steps, live.frame(2.5), live.until(5.0), live.end(6.0)]:
        for event in events:
            writer.event(event)
    log = writer.log()
    assert [(said.a, said.text, said.state, said.supersedes) for said in log.speech] == [
        ("1.1", "Red", "final", None),
        ("1.2", "Bl", "cut", "1.1"),
        ("1.3", "No", "final", "1.2"),
    ]
    assert log.speech[0].tau == (0.5, 0.75, 1.0)
    assert [token.vis for token in log.speech[0].tokens] == [0, 0, 1]
    assert {said.q for said in log.speech} == {"q1"}
    assert [frame.w for frame in log.frames] == [0.0, 1.0, 2.5]
    assert log.decisions[0].vis == -1


def test_a_live_session_that_drops_frames_gives_a_valid_log() -> None:
    head = HeadRow(v=1, clock="wall", w0=0.0, speed=1.0, fps=1.0, model="scripted", seed=0, policy="greedy", cost=None)
    writer = LogWriter(head)
    engine = Engine(ScriptedModel(), EngineConfig(max_sessions=1))
    handle = engine.open(config=StreamConfig(queue_frames=2, stale_s=60.0), on_event=writer.event, trace=writer.trace)
    for i in range(6):
        handle.push(Frame(picture(i), float(i)))
    handle.finish()
    while engine.handles:
        engine.step()
    log = writer.log()
    assert [row.i for row in log.drops] == [0, 1, 2, 3]
    assert sorted(log.ready_w) == [4, 5]
    assert [row.t for row in log.frames] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert max(row.w for row in log.frames) < min(row.w for row in log.drops)
