"""Both clocks by hand: no thread runs, frames are handed in and out as an engine does it, and time stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from fakes import picture
from hypothesis import given
from hypothesis import strategies as st

from vigil.config import StreamConfig
from vigil.model.model import Written
from vigil.stream import inbox as inbox_module
from vigil.stream.clock import LAGS_KEPT, READ_AHEAD_FRAMES, VirtualInbox, WallInbox
from vigil.stream.inbox import BaseInbox, Item, Letter, Mailbox, Speed
from vigil.stream.journal import Dropped, Moment, Question
from vigil.stream.notices import Outage, Return, Skipped
from vigil.stream.perceiver import Perceived
from vigil.types import Frame


class Hand:
    """The wall clock of these tests: it moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(inbox_module.time, "monotonic", lambda: self.now_s)


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    return Hand(monkeypatch)


class ByHand(BaseInbox):
    """Holds the lock where a driver would."""

    def poll(self, due_s: float | None = None) -> tuple[Item, Moment] | float | None:
        """What has come."""
        with self._changed:
            return super().poll(due_s)

    def take(self, due_s: float | None = None) -> tuple[str, Moment]:
        """What has come, in a word; something must have."""
        coming = self.poll(due_s)
        assert isinstance(coming, tuple)
        return say(coming[0]), coming[1]

    def put(self, *letters: Letter) -> None:
        """Leave letters."""
        self._letters.extend(letters)


class Virtual(ByHand, VirtualInbox):
    """The virtual clock, by hand."""


class Wall(ByHand, WallInbox):
    """The wall clock, by hand."""


def virtual(*, fps: float = 1.0, speed: Speed = "max") -> Virtual:
    return Virtual(Mailbox(), None, None, config=StreamConfig(fps=fps), speed=speed)


def wall(**changes: Any) -> Wall:
    return Wall(Mailbox(), None, None, config=StreamConfig(**changes))


def frame(time_s: float) -> Frame:
    return Frame(picture(0), time_s)


def perceive(inbox: BaseInbox) -> None:
    """Encode every frame that may be encoded now."""
    while (arrived := inbox.to_encode()) is not None:
        projected = Written((torch.zeros(0),), (torch.zeros(0),))
        inbox.encoded(Perceived(arrived.index, arrived.frame.time_s, arrived.at_s, projected))


def give(inbox: BaseInbox, *times_s: float) -> None:
    for time_s in times_s:
        inbox.arrive(frame(time_s))
        perceive(inbox)


def say(item: Item) -> str:
    if isinstance(item, Perceived):
        return f"frame {item.index}"
    if isinstance(item, Question):
        return f"ask {item.text}"
    return item if isinstance(item, str) else type(item).__name__


def everything(inbox: Virtual, words_s: Iterable[float] = ()) -> list[tuple[str, float]]:
    """All that comes, to the end; `words_s` are the times of the words that are due."""
    found: list[tuple[str, float]] = []
    left, due_s = list(words_s), None
    while not found or found[-1][0] != "end":
        perceive(inbox)
        due_s = left.pop(0) if due_s is None and left else due_s
        item, now = inbox.take(due_s)
        found.append((item, now.time_s))
        due_s = None if item == "due" else due_s
    return found


# ---- the virtual clock ----------------------------------------------------------------------------------------------


def test_frames_questions_and_words_come_in_order_of_video_time() -> None:
    inbox = virtual()
    inbox.put(Question("b", at_s=1.5), Question("a", at_s=0.0))
    give(inbox, 0.0, 1.0, 2.0)
    inbox.no_more()
    assert everything(inbox, [0.25, 1.0, 2.5]) == [
        ("ask a", 0.0),
        ("frame 0", 0.0),
        ("due", 0.25),
        ("frame 1", 1.0),
        ("due", 1.0),
        ("ask b", 1.5),
        ("frame 2", 2.0),
        ("due", 2.5),
        ("end", 2.5),
    ]
    assert inbox.totals.received == 3


def test_nothing_is_known_of_what_comes_first_while_a_frame_is_still_on_its_way() -> None:
    inbox = virtual()
    inbox.put(Question("a", at_s=5.0))
    assert inbox.poll(0.0) is None, "a frame might come before that word"
    inbox.arrive(frame(0.0))
    assert inbox.poll(0.0) is None
    perceive(inbox)
    assert inbox.take(0.0)[0] == "frame 0"


def test_a_frame_counts_as_received_when_its_time_has_come_and_not_before() -> None:
    inbox = virtual()
    give(inbox, 0.0, 1.0, 2.0)
    inbox.poll()
    assert inbox.totals.received == 1
    assert inbox.settle() == []


def test_no_more_frames_are_read_ahead_than_a_few() -> None:
    inbox = virtual()
    give(inbox, *range(READ_AHEAD_FRAMES + 3))
    assert inbox.to_encode() is None
    assert inbox.take()[0] == "frame 0"
    arrived = inbox.to_encode()
    assert arrived is not None
    assert arrived.index == READ_AHEAD_FRAMES


@pytest.mark.parametrize(("fps", "asked_s"), [(1.0, 3.0), (2.0, 2.5)])
def test_a_question_after_the_video_comes_one_period_after_its_last_frame(fps: float, asked_s: float) -> None:
    inbox = virtual(fps=fps)
    inbox.put(Question("late", at_s=100.0))
    give(inbox, 0.0, 2.0)
    inbox.no_more()
    assert everything(inbox)[-2:] == [("ask late", asked_s), ("end", asked_s)]


def test_signals_come_at_once_and_questions_without_a_time_now() -> None:
    inbox = virtual()
    give(inbox, 0.0, 1.0)
    inbox.poll()
    inbox.put("interrupt", Question("now"), Outage("closed", 1, 0.5), Return(2, "gap", 1.0), "close")
    assert [inbox.take()[0] for _ in range(5)] == ["interrupt", "ask now", "Outage", "Return", "close"]
    assert inbox.take()[0] == "frame 1"


@pytest.mark.parametrize(("speed", "delay_s"), [(1.0, 2.0), (4.0, 0.5), (0.5, 4.0)])
def test_speed_is_seconds_of_video_in_a_second(hand: Hand, speed: float, delay_s: float) -> None:
    inbox = virtual(speed=speed)
    give(inbox, 2.0)
    assert inbox.poll() == pytest.approx(delay_s)
    hand.now_s += delay_s
    item, now = inbox.take()
    assert (item, now.time_s, now.wall_s) == ("frame 0", 2.0, pytest.approx(delay_s))


def test_a_machine_that_is_slow_runs_late_and_does_not_hurry_afterwards(hand: Hand) -> None:
    inbox = virtual(speed=1.0)
    give(inbox, 0.0, 1.0, 2.0)
    inbox.poll()
    hand.now_s += 4.0  # 3 s too late for frame 1
    assert inbox.take()[0] == "frame 1"
    assert inbox.totals.late_s == pytest.approx(3.0)
    assert inbox.poll() == pytest.approx(1.0), "frame 2 still comes a second after frame 1"


def test_the_end_is_not_waited_for(hand: Hand) -> None:
    inbox = virtual(speed=0.001)
    give(inbox, 0.0)
    inbox.poll()
    inbox.no_more()
    assert inbox.take()[0] == "end"


def test_a_question_typed_while_it_plays_gets_the_video_time_of_now(hand: Hand) -> None:
    inbox = virtual(speed=2.0)
    give(inbox, 0.0, 10.0)
    inbox.poll()
    hand.now_s += 1.5
    inbox.put(Question("now"))
    _, now = inbox.take()
    assert now.time_s == pytest.approx(3.0)
    hand.now_s += 60.0
    inbox.put(Question("later"))
    _, now = inbox.take()
    assert now.time_s == pytest.approx(10.0), "never beyond the next frame"


@given(
    frames_s=st.lists(st.floats(0, 20), max_size=8, unique=True).map(sorted),
    asked_s=st.lists(st.floats(0, 25), max_size=5),
    words_s=st.lists(st.floats(0, 25), max_size=5).map(sorted),
)
def test_video_time_never_goes_back_and_nothing_is_lost(
    frames_s: list[float], asked_s: list[float], words_s: list[float]
) -> None:
    inbox = virtual()
    inbox.put(*(Question(str(number), at_s=at_s) for number, at_s in enumerate(asked_s)))
    for time_s in frames_s:
        inbox.arrive(frame(time_s))
    inbox.no_more()
    found = everything(inbox, words_s)
    times_s = [time_s for _, time_s in found]
    assert times_s == sorted(times_s)
    names = [name for name, _ in found]
    assert sorted(names) == sorted(
        [*(f"frame {i}" for i in range(len(frames_s))), *(f"ask {i}" for i in range(len(asked_s)))]
        + ["due"] * len(words_s)
        + ["end"]
    )
    assert all(dict(found)[f"frame {i}"] >= time_s for i, time_s in enumerate(frames_s))


# ---- the wall clock -------------------------------------------------------------------------------------------------


def test_live_frames_come_when_they_are_ready_and_their_lag_is_noted(hand: Hand) -> None:
    inbox = wall()
    inbox.arrive(frame(0.0))
    hand.now_s += 0.25
    perceive(inbox)
    hand.now_s += 0.5
    item, now = inbox.take()
    assert (item, now.time_s) == ("frame 0", pytest.approx(0.75))
    assert inbox.totals.lags_s == [pytest.approx(0.75)]
    assert (inbox.totals.received, inbox.totals.dropped) == (1, 0)


def test_when_too_many_wait_the_oldest_is_lost_and_told(hand: Hand) -> None:
    inbox = wall(queue_frames=2)
    for time_s in (0.0, 0.1, 0.2, 0.3):
        inbox.arrive(frame(time_s))
    dropped, _ = inbox.poll()
    assert dropped == Dropped((0, 1), 0.0, 0.1, "queue")
    assert (inbox.totals.received, inbox.totals.dropped) == (4, 2)
    perceive(inbox)
    assert [inbox.take()[0] for _ in range(2)] == ["frame 2", "frame 3"]


def test_a_frame_that_has_waited_too_long_is_stale(hand: Hand) -> None:
    inbox = wall(stale_s=1.0)
    inbox.arrive(frame(0.0))
    hand.now_s += 0.6
    inbox.arrive(frame(0.6))
    hand.now_s += 0.5
    arrived = inbox.to_encode()
    assert arrived is not None
    assert arrived.index == 1
    dropped, _ = inbox.poll()
    assert dropped == Dropped((0,), 0.0, 0.0, "stale")


def test_runs_of_lost_frames_are_told_apart_by_their_reason(hand: Hand) -> None:
    inbox = wall(queue_frames=2, stale_s=1.0)
    for time_s in (0.0, 0.1, 0.2):
        inbox.arrive(frame(time_s))
    hand.now_s += 5.0
    assert inbox.to_encode() is None
    told = inbox.settle()
    assert [(run.indices, run.reason) for run in told] == [((0,), "queue"), ((1, 2), "stale")]
    assert inbox.totals.dropped == 3


def test_what_still_waits_at_the_end_is_counted(hand: Hand) -> None:
    inbox = wall(queue_frames=4)
    give(inbox, 0.0)
    inbox.arrive(frame(0.1))
    assert inbox.to_encode() is not None  # under way
    inbox.arrive(frame(0.2))
    assert inbox.settle() == []
    assert inbox.totals.pending == 3
    assert inbox.arrive(frame(0.3)) is None, "no more frames are taken in"
    assert inbox.totals.received == 3


def test_a_question_with_a_time_waits_for_it_and_a_word_for_its_own(hand: Hand) -> None:
    inbox = wall()
    inbox.put(Question("later", at_s=3.0))
    assert inbox.poll() == pytest.approx(3.0)
    assert inbox.poll(2.0) == pytest.approx(2.0)
    hand.now_s += 2.0
    assert inbox.take(2.0)[0] == "due"
    hand.now_s += 1.0
    assert inbox.take(9.0)[0] == "ask later"
    assert inbox.poll() is None, "for ever"


def test_an_open_answer_is_finished_before_the_end_and_a_late_question_asked(hand: Hand) -> None:
    inbox = wall()
    inbox.put(Question("late", at_s=100.0))
    give(inbox, 0.0)
    inbox.poll()
    inbox.no_more()
    assert inbox.take(5.0)[0] == "ask late"
    assert inbox.poll(5.0) == pytest.approx(5.0)
    assert inbox.take()[0] == "end"


def test_frames_that_a_live_source_skipped_count_as_received_and_dropped(hand: Hand) -> None:
    inbox = wall()
    give(inbox, 0.0)
    inbox.note(Skipped(1.0, 2.0, 3, "queue"))
    give(inbox, 3.0)
    dropped, _ = inbox.poll()
    assert dropped == Dropped((1, 2, 3), 1.0, 2.0, "queue")
    assert [inbox.take()[0] for _ in range(2)] == ["frame 0", "frame 4"]
    assert (inbox.totals.received, inbox.totals.dropped) == (5, 3)


def test_only_the_newest_lags_are_kept(hand: Hand) -> None:
    inbox = wall()
    inbox.totals.lags_s = [float(number) for number in range(LAGS_KEPT)]
    give(inbox, 0.0)
    inbox.poll()
    assert len(inbox.totals.lags_s) == LAGS_KEPT
    assert (inbox.totals.lags_s[0], inbox.totals.lags_s[-1]) == (1.0, 0.0)


@pytest.mark.parametrize("kind", [virtual, wall])
def test_an_error_comes_after_the_frames_before_it_and_after_the_words_that_are_due(
    kind: Callable[[], Virtual | Wall],
) -> None:
    inbox = kind()
    give(inbox, 0.0)
    inbox.no_more(RuntimeError("the camera fell"))
    inbox.no_more(ValueError("a later error does not matter"))
    assert inbox.take()[0] == "frame 0"
    with pytest.raises(RuntimeError, match="the camera fell"):
        inbox.poll()


@pytest.mark.parametrize("kind", [virtual, wall])
def test_an_encoder_that_fails_ends_the_stream_although_frames_still_wait(kind: Callable[[], Virtual | Wall]) -> None:
    inbox = kind()
    give(inbox, 0.0)
    inbox.arrive(frame(1.0))
    inbox.fail(RuntimeError("out of memory"))
    assert inbox.take()[0] == "frame 0"
    with pytest.raises(RuntimeError, match="out of memory"):
        inbox.poll()
    inbox.fail(None)


def test_frames_are_numbered_as_they_come() -> None:
    inbox = virtual()
    assert [inbox.arrive(frame(float(i))) for i in range(3)] == [0, 1, 2]
    inbox.stop()
    assert inbox.arrive(frame(9.0)) is None
    assert inbox.to_encode() is None


def test_a_question_whose_time_has_come_goes_before_frames_that_wait(hand: Hand) -> None:
    inbox = wall()
    inbox.put(Question("now", at_s=0.0), Question("later", at_s=5.0))
    give(inbox, 0.0, 0.1)
    assert [inbox.take()[0] for _ in range(3)] == ["ask now", "frame 0", "frame 1"]
    hand.now_s += 6.0
    give(inbox, 6.0)
    assert [inbox.take()[0] for _ in range(2)] == ["ask later", "frame 2"]
