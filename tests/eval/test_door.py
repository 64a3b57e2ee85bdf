from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from fakes import Image, ScriptedModel, picture, pictures, tiny_model

from vigil.config import StreamConfig
from vigil.errors import ConfigError
from vigil.eval.door import Ask, Outbox, VirtualClock, play
from vigil.eval.log import Log
from vigil.eval.perception import perceive
from vigil.eval.rows import AnswerRow, DecideRow, FrameRow, HeadRow, PromptRow, ReadyRow, Timed, TokRow
from vigil.eval.session_door import ModelSystem, SessionDoor
from vigil.eval.watcher import Reply, WatcherDoor, WatcherSystem
from vigil.eval.writer import LogWriter
from vigil.model.tokens import SILENCE
from vigil.stream.session import Session

FREE = VirtualClock(mode="free", fps=1.0, token_s=0.25)
COST = VirtualClock(mode="cost", fps=2.0, token_s=0.1)
BLANK: Image = np.zeros((4, 4, 3), dtype=np.uint8)


class Talker:
    """Replies by a function of what it has seen and heard; notes both."""

    def __init__(self, say: Callable[[Talker], Reply], *, interrupts_itself: bool = False) -> None:
        self.say = say
        self.interrupts_itself = interrupts_itself
        self.seen: list[tuple[int, float]] = []
        self.heard: list[tuple[str, float, bool]] = []
        self.slots: list[float] = []

    def see(self, image: Image, t: float) -> None:
        self.seen.append((int(image.flat[0]), t))

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        self.heard.append((text, t, standing))

    def reply(self, t: float) -> Reply:
        self.slots.append(t)
        return self.say(self)


def system(say: Callable[[Talker], Reply], **options: bool) -> WatcherSystem:
    return WatcherSystem("talker", lambda: Talker(say, **options))


def numbered(num: int) -> list[Image]:
    return [np.full((2, 2, 3), i, dtype=np.uint8) for i in range(num)]


def once(text: Reply) -> Callable[[Talker], Reply]:
    """Says a thing once, as soon as something was asked."""
    said: list[Talker] = []

    def say(talker: Talker) -> Reply:
        if not talker.heard or talker in said:
            return None
        said.append(talker)
        return text

    return say


def words(log: Log) -> list[tuple[float, int, str]]:
    return [(row.w, row.vis, row.text) for row in log.rows if isinstance(row, TokRow)]


def test_a_frame_comes_before_the_question_of_its_moment_and_both_before_the_next_word() -> None:
    log = play(
        system(lambda talker: "one two three" if not talker.heard else None),
        numbered(3),
        [Ask(t=1.0, text="Why?")],
        clock=replace(FREE, token_s=0.5),
        end_s=3.0,
    )
    at_1 = [type(row) for row in log.rows if not isinstance(row, HeadRow) and row.w == 1.0]
    assert at_1 == [FrameRow, PromptRow, AnswerRow, ReadyRow, DecideRow]
    assert [text for _, _, text in words(log)] == ["one", " two"]  # the third was due at 1 s, and is cut


def test_a_question_at_the_start_comes_before_the_first_frame() -> None:
    log = play(system(lambda talker: None), numbered(2), [Ask(t=0.0, text="Why?")], clock=FREE, end_s=2.0)
    assert [row.vis for row in log.decisions] == [-1, 0, 1]


def test_the_cost_clock_shows_a_word_one_token_after_its_pass_began() -> None:
    ask = [Ask(t=0.5, text="Why?")]
    said = {
        clock.mode: words(play(system(once(["a", "b"])), numbered(3), ask, clock=clock, end_s=1.4))
        for clock in (COST, replace(COST, mode="free"))
    }
    assert said == {"cost": [(0.6, 1, "a"), (0.7, 1, "b")], "free": [(0.5, 1, "a"), (0.6, 1, "b")]}


def test_a_generator_sees_frames_while_it_speaks_and_a_whole_text_does_not() -> None:
    def look(talker: Talker) -> Iterator[str] | None:
        return (str(talker.seen[-1][0]) for _ in range(4)) if len(talker.slots) == 3 else None

    ask = [Ask(t=0.5, text="Why?")]
    clock = replace(COST, token_s=0.25)
    awake = play(system(look), numbered(6), ask, clock=clock, end_s=2.9)
    assert words(awake) == [(0.75, 1, "1"), (1.0, 1, "1"), (1.25, 2, "2"), (1.5, 2, "2")]
    asleep = play(system(once("1 1 1 1")), numbered(6), ask, clock=clock, end_s=2.9)
    assert [vis for _, vis, _ in words(asleep)] == [1, 1, 1, 1]
    ready = {row.i: row.w for row in asleep.rows if isinstance(row, ReadyRow)}
    assert ready == {0: 0.0, 1: 0.5, 2: 1.5, 3: 1.5, 4: 2.0, 5: 2.5}  # the frame of 1.0 waits for the last word
    long = play(system(once("1 2 3 4 5 6")), numbered(6), ask, clock=clock, end_s=2.9)
    assert perceive(long).lag_slope == pytest.approx(1.0)


def test_a_frame_that_takes_time_is_seen_later_and_never_delays_a_word() -> None:
    slow = replace(COST, frame_s=0.3)
    log = play(system(once(["a", "b", "c", "d"])), numbered(3), [Ask(t=0.5, text="Why?")], clock=slow, end_s=1.4)
    assert {row.i: row.w for row in log.rows if isinstance(row, ReadyRow)} == {0: 0.3, 1: 0.8, 2: 1.3}
    assert [w for w, _, _ in words(log)] == [0.6, 0.7, 0.8, 0.9]


def test_a_whole_reply_waits_for_its_input_to_be_read() -> None:
    log = play(
        system(once("a b")), numbered(3), [Ask(t=0.5, text="Why?")], clock=replace(COST, prefill_s=0.4), end_s=1.4
    )
    assert [w for w, _, _ in words(log)] == [1.0, 1.1]


def test_a_later_answer_replaces_the_one_before_unless_the_question_is_standing() -> None:
    def news(talker: Talker) -> Reply:
        return "x" if talker.heard else None

    for standing, replaces in ((False, [None, "1", "2"]), (True, [None, None, None])):
        ask = [Ask(t=0.0, text="Why?", standing=standing)]
        log = play(system(news), numbered(3), ask, clock=FREE, end_s=1.5)
        assert [speech.supersedes for speech in log.speech] == replaces
        assert [prompt.direct for prompt in log.prompts] == [not standing]


def test_a_watcher_may_cut_itself_short() -> None:
    log = play(system(lambda t: "a b c d e f", interrupts_itself=True), numbered(2), [], clock=FREE, end_s=1.9)
    assert [(speech.text, speech.state) for speech in log.speech] == [("a b c d", "cut"), ("a b c d", "open")]


@pytest.mark.parametrize("step_s", [0.01, 0.07, 10.0], ids=["tiny", "odd", "at-once"])
def test_how_often_a_door_is_advanced_does_not_matter(step_s: float) -> None:
    def run(door: WatcherDoor | SessionDoor, step_s: float) -> list[Timed]:
        rows: list[Timed] = []
        now_s = 0.0
        for i in range(4):
            while now_s < i * 0.5:
                now_s = min(now_s + step_s, i * 0.5)
                rows += door.advance(now_s)
            door.push_frame(picture(i), i * 0.5)
            if i == 1:
                door.push_prompt("Why?", 0.5)
        return rows + door.advance(3.0)

    def script() -> ScriptedModel:
        return ScriptedModel(SILENCE, SILENCE, SILENCE, "It is red.")

    assert run(SessionDoor(script(), COST), step_s) == run(SessionDoor(script(), COST), 10.0)
    chatty = [WatcherDoor(Talker(once("a b c d e f g")), COST) for _ in range(2)]
    assert run(chatty[0], step_s) == run(chatty[1], 10.0)


def watched(model: ScriptedModel, clock: VirtualClock) -> Log:
    """The log of the same model under the driver of `Session.watch`."""
    writer = LogWriter(clock.head("nano"))
    config = StreamConfig(fps=clock.fps, tokens_per_s=1 / clock.token_s)
    with Session(model, config=config, trace=writer.trace) as session:
        session.ask("Why?", at_s=1.0)
        for event in session.watch(pictures(6), speed="max"):
            writer.event(event)
    return writer.log()


def test_a_model_behind_the_door_does_what_it_does_in_a_session() -> None:
    def script() -> ScriptedModel:
        return ScriptedModel(*[SILENCE] * 3, "It is red.", SILENCE, "Blue")

    by_hand = watched(script(), FREE)
    asks = [Ask(t=1.0, text="Why?")]
    frames = [image for image, _ in pictures(6)]
    through = play(ModelSystem(script()), frames, asks, clock=FREE, end_s=by_hand.end.w)
    assert through.rows == by_hand.rows
    assert [speech.supersedes for speech in through.speech] == [None, "1.1"]


def test_a_model_on_the_cost_clock_is_the_same_one_token_later() -> None:
    def rows(mode: str) -> list[Timed]:
        clock = replace(FREE, mode=mode)  # type: ignore[arg-type]
        model = ScriptedModel(*[SILENCE] * 3, "It is red.")
        frames = [image for image, _ in pictures(4)]
        log = play(ModelSystem(model), frames, [Ask(t=1.0, text="Why?")], clock=clock, end_s=9.0)
        return [row for row in log.rows if isinstance(row, TokRow | AnswerRow | DecideRow)]

    assert rows("cost") == [replace(row, w=row.w + 0.25) for row in rows("free")]


def test_a_streaming_model_keeps_up_while_it_speaks() -> None:
    model = ScriptedModel(*[SILENCE] * 3, "It is red and blue and green and white.")
    frames = [image for image, _ in pictures(12)]
    seen = perceive(play(ModelSystem(model), frames, [Ask(t=1.0, text="Why?")], clock=FREE, end_s=12.0))
    assert seen.excess_slope == 0.0
    assert seen.on_time_ingest == 1.0


def test_nothing_is_left_of_an_earlier_stream() -> None:
    door = ModelSystem(tiny_model())
    logs = [play(door, [picture(1)] * 3, [Ask(t=0.5, text="Why?")], clock=COST, end_s=2.0) for _ in range(2)]
    assert logs[0].hash == logs[1].hash


def test_rows_wait_until_their_time_has_come_and_delayed_ones_come_last() -> None:
    box = Outbox()
    box.put(DecideRow(w=0.0, vis=-1, p=None, act="silent"))
    box.put(DecideRow(w=1.0, vis=-1, p=None, act="silent"))
    box.put(FrameRow(i=0, t=0.0, w=0.0))
    box.put(FrameRow(i=1, t=1.0, w=1.0))
    box.put(PromptRow(q="q1", t=1.0, w=1.0, text="Why?"))
    assert [type(row) for row in box.take(1.0)] == [DecideRow, FrameRow]
    assert [type(row) for row in box.take(1.1)] == [FrameRow, PromptRow, DecideRow]


@pytest.mark.parametrize("field", ["fps", "token_s"])
def test_a_clock_refuses_a_rate_of_nothing(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} = 0"):
        VirtualClock(**{field: 0})
