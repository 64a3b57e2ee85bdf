"""The doors through which other systems are scored: what a watcher is shown when, and what becomes of its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from fakes import Image
from hypothesis import given
from hypothesis import strategies as st

from vigil.errors import ConfigError, DataError
from vigil.eval.baselines import Constant, EchoAfter, Unseeing, named, watch_blind
from vigil.eval.door import Ask, Door, Outbox, VirtualClock, finish, play
from vigil.eval.log import Log
from vigil.eval.rows import AnswerRow, DecideRow, DropRow, EndRow, FrameRow, PromptRow, ReadyRow, Timed, TokRow
from vigil.eval.truth import Question, Truth
from vigil.eval.watcher import Reply, Watcher, WatcherSystem

FREE = VirtualClock(mode="free", fps=1.0, token_s=0.25)
BLANK: Image = np.zeros((1, 1, 3), dtype=np.uint8)


class Scripted(Unseeing):
    """Says each text of a script in the first slot at or after its time; notes what it is shown."""

    def __init__(self, *script: tuple[float, str], interrupts: bool = False) -> None:
        super().__init__()
        self.script = list(script)
        self.interrupts_itself = interrupts
        self.noted: list[tuple[str, float]] = []

    def see(self, image: Image, t: float) -> None:
        self.noted.append(("see", t))

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        super().hear(text, t, standing=standing)
        self.noted.append(("hear", t))

    def reply(self, t: float) -> Reply:
        self.noted.append(("slot", t))
        return self.script.pop(0)[1] if self.script and t >= self.script[0][0] else None


def watch(
    watcher: Watcher, *asks: Ask, clock: VirtualClock = FREE, num: int = 5, end_s: float = 5.0, seed: int = 0
) -> Log:
    return play(WatcherSystem("w", lambda: watcher), [BLANK] * num, asks, clock=clock, end_s=end_s, seed=seed)


def told(log: Log) -> list[tuple[str, str | None, str, tuple[float, ...]]]:
    return [(speech.text, speech.q, speech.state, speech.tau) for speech in log.speech]


def test_a_slot_opens_after_each_frame_and_each_question() -> None:
    watcher = Scripted()
    watch(watcher, Ask(t=1.5, text="?"), num=3, end_s=3.0)
    assert watcher.noted == [
        *(("see", 0.0), ("slot", 0.0), ("see", 1.0), ("slot", 1.0)),
        *(("hear", 1.5), ("slot", 1.5), ("see", 2.0), ("slot", 2.0)),
    ]


def test_while_it_speaks_a_watcher_sees_and_decides_nothing_and_then_everything_at_once() -> None:
    watcher = Scripted((0.0, "a b c d e f g h i"))
    log = watch(watcher)
    assert told(log) == [("a b c d e f g h i", None, "final", tuple(n / 4 for n in range(9)))]
    assert watcher.noted == [
        *(("see", 0.0), ("slot", 0.0)),
        *(("see", 1.0), ("see", 2.0), ("slot", 2.25)),  # each with its own time
        *(("see", 3.0), ("slot", 3.0), ("see", 4.0), ("slot", 4.0)),
    ]
    assert {row.i: row.w for row in log.rows if isinstance(row, ReadyRow)} == {0: 0, 1: 2.25, 2: 2.25, 3: 3, 4: 4}


def test_a_question_cuts_what_is_being_said_and_is_answered_at_once() -> None:
    log = watch(Scripted((0.0, "a b c d e f g h i"), (1.0, "yes")), Ask(t=1.1, text="?"))
    assert told(log) == [
        ("a b c d e", None, "cut", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("yes", "q1", "final", (1.1,)),
    ]


def test_a_reply_that_is_cut_before_its_first_word_was_never_given() -> None:
    slow = replace(FREE, prefill_s=2.0)
    log = watch(Scripted((0.0, "a"), (1.0, "b")), Ask(t=1.0, text="?"), clock=slow)
    assert told(log) == [("b", "q1", "final", (3.0,))]
    assert {row.a for row in log.rows if isinstance(row, AnswerRow)} == {"2"}


@pytest.mark.parametrize(
    ("words", "said"), [("  two  words ", "two  words"), ("", ""), ("one", "one"), ("a\nb", "a\nb")]
)
def test_a_whole_text_is_said_word_by_word_and_nothing_of_it_is_lost(words: str, said: str) -> None:
    log = watch(Scripted((0.0, words)), num=2, end_s=2.0)
    assert "".join(speech.text for speech in log.speech).strip() == said
    finals = [row.text for row in log.rows if isinstance(row, AnswerRow) and row.state == "final"]
    assert finals == ([said] if said else [])


def test_tokens_of_a_generator_are_said_as_they_are_each_when_it_is_due() -> None:
    asked: list[str] = []

    def made() -> Iterator[str]:
        for word in ("Re", "d", " cat"):
            asked.append(word)
            yield word

    class Maker(Scripted):
        def reply(self, t: float) -> Reply:
            return made() if t == 0.0 else None

    log = watch(Maker(), num=1, end_s=0.3)
    assert told(log) == [("Red", None, "open", (0.0, 0.25))]
    assert asked == ["Re", "d"]  # the third was never asked for


@pytest.mark.parametrize("mode", ["free", "cost"])
def test_every_token_was_made_by_a_pass_that_had_seen_what_it_names(mode: Any) -> None:
    class Looker(Scripted):
        def reply(self, t: float) -> Reply:
            return (f"{self.noted[-1][1]:g} " for _ in range(6)) if t == 1.0 else None

        def see(self, image: Image, t: float) -> None:
            self.noted.append(("see", t))

    clock = VirtualClock(mode=mode, fps=1.0, token_s=0.4, frame_s=0.0)
    log = watch(Looker(), clock=clock, num=6, end_s=6.0)
    delay_s = 0.4 if mode == "cost" else 0.0
    words = [row for row in log.rows if isinstance(row, TokRow)]
    assert [word.w for word in words] == pytest.approx([1 + 0.4 * n + delay_s for n in range(6)])
    assert [(word.vis, float(word.text)) for word in words] == [(int(1 + 0.4 * n),) * 2 for n in range(6)]


def test_a_standing_question_takes_updates_and_a_direct_one_revisions_of_its_own_turn_only() -> None:
    script = [(float(t), f"x{t}") for t in range(1, 7)]
    asks = [Ask(t=0.5, text="a"), Ask(t=2.5, text="b", standing=True), Ask(t=4.5, text="c")]
    log = watch(Scripted(*script), *asks, num=8, end_s=8.0)
    assert [(speech.q, speech.supersedes) for speech in log.speech] == [
        *(("q1", None), ("q1", "1"), ("q2", None), ("q2", None), ("q3", None), ("q3", "5")),
    ]


def test_what_is_said_before_any_question_belongs_to_none_and_replaces_nothing() -> None:
    log = watch(Scripted((0.0, "a"), (1.0, "b")))
    assert [(speech.q, speech.supersedes) for speech in log.speech] == [(None, None), (None, None)]


def test_the_stream_ends_where_it_is_told_to() -> None:
    log = watch(Scripted((2.0, "a b c d")), Ask(t=9.0, text="late"), num=9, end_s=2.5)
    assert log.prompts == ()
    assert [frame.t for frame in log.frames] == [0.0, 1.0, 2.0]
    assert told(log) == [("a b c", None, "open", (2.0, 2.25, 2.5))]  # what is due at the end is still said
    assert (log.end.t, log.end.why) == (2.5, "eof")


def test_a_frame_and_a_question_of_the_last_moment_still_come() -> None:
    log = watch(Scripted((1.5, "a")), Ask(t=2.0, text="?"), num=3, end_s=2.0)
    assert [frame.t for frame in log.frames] == [0.0, 1.0, 2.0]
    assert log.prompts[0].t == 2.0


def test_the_head_names_the_system_the_clock_and_the_seed() -> None:
    head = watch(Scripted(), clock=replace(FREE, mode="cost", frame_s=0.5), seed=7).head
    assert (head.model, head.clock, head.seed, head.fps) == ("w", "cost", 7, 1.0)
    assert head.cost == {"token": 0.25, "frame": 0.5, "prefill": 0.0}
    assert watch(Scripted()).head.cost is None


def test_each_stream_has_a_watcher_of_its_own() -> None:
    made: list[Scripted] = []

    def make() -> Scripted:
        made.append(Scripted((0.0, "a")))
        return made[-1]

    system = WatcherSystem("w", make)
    first, second = (play(system, [BLANK], [], clock=FREE, end_s=1.0) for _ in range(2))
    assert len(made) == 2
    assert first.hash == second.hash


@pytest.mark.parametrize(
    "field",
    [{"fps": -1.0}, {"token_s": 0.0}, {"frame_s": -0.1}, {"prefill_s": -1.0}],
    ids=lambda field: next(iter(field)),
)
def test_an_impossible_clock_is_refused_with_its_values(field: dict[str, Any]) -> None:
    ((name, number),) = field.items()
    with pytest.raises(ConfigError, match=rf"{name} = {number}"):
        VirtualClock(**field)


@given(
    script=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["a", "a b", "a b c d e f"])), max_size=5),
    asks=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=3).map(sorted),
    interrupts=st.booleans(),
    mode=st.sampled_from(["free", "cost"]),
    frame_s=st.sampled_from([0.0, 0.3]),
)
def test_whatever_is_said_and_asked_when_the_log_is_valid_and_nothing_vanishes(
    script: list[tuple[int, str]], asks: list[tuple[int, bool]], interrupts: bool, mode: Any, frame_s: float
) -> None:
    watcher = Scripted(*sorted((t / 10, text) for t, text in script), interrupts=interrupts)
    questions = [Ask(t=t / 10, text=f"{n}?", standing=standing) for n, (t, standing) in enumerate(asks)]
    clock = VirtualClock(mode=mode, fps=2.0, token_s=0.1, frame_s=frame_s)
    log = watch(watcher, *questions, clock=clock, num=12, end_s=8.0)  # 8 s: all has been said
    assert [frame.i for frame in log.frames] == list(range(12))
    assert set(log.ready_w) == set(range(12))
    assert [(prompt.text, prompt.direct) for prompt in log.prompts] == [(q.text, not q.standing) for q in questions]
    assert all(log.ready_w[i] >= frame.w + frame_s - 1e-6 for i, frame in enumerate(log.frames))
    begun = {row.a for row in log.rows if isinstance(row, AnswerRow)}
    closed = {row.a for row in log.rows if isinstance(row, AnswerRow) and row.state in ("final", "cut")}
    assert begun == closed == {speech.a for speech in log.speech}


# Rows on their way


def row(kind: type[Timed], w: float, **more: Any) -> Timed:
    fields: dict[Any, dict[str, Any]] = {
        FrameRow: {"i": 0, "t": w},
        DropRow: {"i": 0, "why": "policy"},
        PromptRow: {"q": "q1", "t": w, "text": "?"},
        DecideRow: {"vis": -1, "p": None, "act": "silent"},
    }
    return kind(w=w, **(fields[kind] | more))


def test_an_outbox_gives_rows_in_order_of_time_and_each_once() -> None:
    box = Outbox()
    for w in (2.0, 0.5, 1.0):
        box.put(row(DecideRow, w))
    assert [one.w for one in box.take(1.0)] == [0.5]
    assert [one.w for one in box.take(1.5)] == [1.0]
    assert [one.w for one in box.take(1.5)] == []
    assert [one.w for one in box.take(9.0)] == [2.0]


def test_an_outbox_rounds_to_microseconds_and_takes_close_times_for_one() -> None:
    box = Outbox()
    box.put(row(DecideRow, 0.1 + 0.2))
    assert box.take(0.3) == []  # "before" 0.3
    assert [one.w for one in box.take(0.3000006)] == [0.3]


def test_what_a_pass_brings_on_show_later_comes_after_the_frames_of_that_moment_but_not_what_is_now() -> None:
    ahead, now = Outbox(), Outbox()
    ahead.put(row(DecideRow, 1.0))  # made before the frame of 1 s came
    ahead.put(row(FrameRow, 1.0))
    assert [type(one) for one in ahead.take(2.0)] == [FrameRow, DecideRow]
    now.put(row(FrameRow, 1.0))
    now.put(row(DecideRow, 1.0))
    now.put(row(PromptRow, 1.0))
    assert [type(one) for one in now.take(2.0)] == [FrameRow, DecideRow, PromptRow]


def test_finishing_leaves_out_what_comes_later_and_refuses_what_is_no_log() -> None:
    head = FREE.head("x")
    log = finish(head, [row(FrameRow, 0.0), row(DecideRow, 1.0), row(DecideRow, 1.5)], 1.0)
    assert [type(one).__name__ for one in log.rows] == ["HeadRow", "FrameRow", "DecideRow", "EndRow"]
    assert log.rows[-1] == EndRow(w=1.0, t=1.0, why="eof")
    with pytest.raises(DataError, match=r"rule \(c\)"):
        finish(head, [row(DropRow, 0.0)], 1.0)


class Late:
    """A door of somebody else's, which says one thing too late."""

    def push_frame(self, image: Image, t: float) -> None:
        self.last_s = t

    def push_prompt(self, text: str, t: float, *, standing: bool = False) -> None:
        self.last_s = t

    def advance(self, t: float) -> list[Timed]:
        return [row(DecideRow, 0.5)] if t > 2 else [row(DecideRow, t)]


def test_a_door_that_goes_back_in_time_is_refused() -> None:
    class System:
        name = "late"

        def open(self, clock: VirtualClock) -> Door:
            return Late()

    with pytest.raises(DataError, match=r"rule \(a\): w goes back"):
        play(System(), [BLANK] * 4, [], clock=FREE, end_s=4.0)


# Questions of a truth


def test_questions_are_put_in_order_of_time_and_those_after_the_end_are_not() -> None:
    questions = [Question(q="b", t_ask=2.0, kind="state"), Question(q="a", t_ask=1.0, kind="event", text="Tell me.")]
    questions += [Question(q="c", t_ask=5.0, kind="mcq"), Question(q="d", t_ask=5.5, kind="mcq")]
    truth = Truth(questions=tuple(questions))
    log = watch_blind(partial(Constant, "x"), "k", truth, 5.0, FREE)
    assert [(prompt.q, prompt.t, prompt.text, prompt.direct) for prompt in log.prompts] == [
        ("a", 1.0, "Tell me.", False),
        ("b", 2.0, "b", True),  # without a text, by its name
        ("c", 5.0, "c", True),  # at the very end
    ]
    assert [speech.q for speech in log.speech] == ["a", "b", "c"]
    assert len(log.frames) == 6  # a frame at the end too


@pytest.mark.parametrize("names", [["q1"], ["q1", "q2"]])
def test_a_log_whose_questions_are_called_right_is_left_as_it_is(names: list[str]) -> None:
    log = watch(Scripted((1.0, "x")), Ask(t=0.5, text="?"))
    assert named(log, names) is log
    assert [speech.q for speech in named(log, ["colour"]).speech] == ["colour"]
    assert [prompt.q for prompt in named(log, ["colour"]).prompts] == ["colour"]


@pytest.mark.parametrize(
    ("make", "times"),
    [
        (partial(EchoAfter, 0.0), [1.5, 4.2]),
        (partial(EchoAfter, 2.0), [4.0]),  # at or after 3.5 s; the second question comes at 4.2 and its time is 6.2
        (partial(EchoAfter, 1.2), [3.0]),
        (partial(EchoAfter, 9.0), []),
    ],
)
def test_an_echo_waits_for_the_first_slot_after_its_time(make: Callable[[], Watcher], times: list[float]) -> None:
    log = watch(make(), Ask(t=1.5, text="a?"), Ask(t=4.2, text="b?"), num=6, end_s=5.0)
    assert [speech.tau_first for speech in log.speech] == times
