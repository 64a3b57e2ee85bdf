"""What reaches a session, in which order, at what cost, on both clocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace

import pytest
from fakes import ScriptedModel, frames, picture

from vigil.config import StreamConfig
from vigil.errors import ConfigError, SourceLost
from vigil.stream import inbox as inboxes
from vigil.stream.clock import VirtualInbox, WallInbox
from vigil.stream.inbox import Item, Mailbox
from vigil.stream.journal import Dropped, Moment, Question
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.types import Frame

MODEL = ScriptedModel()


def virtual(source: Iterator[Frame], *letters: Question, speed: float | str = "max") -> VirtualInbox:
    mailbox = Mailbox()
    for letter in letters:
        mailbox.put(letter)
    return VirtualInbox(mailbox, source, Perceiver(MODEL), config=StreamConfig(), speed=speed)  # type: ignore[arg-type]


def wall(source: Iterator[Frame], *letters: Question, kind: type[WallInbox] = WallInbox) -> WallInbox:
    mailbox = Mailbox()
    for letter in letters:
        mailbox.put(letter)
    return kind(mailbox, source, Perceiver(MODEL), config=StreamConfig(fps=1000.0))


def name(item: Item) -> str:
    match item:
        case Perceived():
            return f"frame {item.index}"
        case Question():
            return item.text
        case Dropped():
            return f"dropped {len(item.indices)}"
        case _:
            return item


def drain(inbox: VirtualInbox | WallInbox, dues: Iterable[float] = ()) -> list[tuple[str, float]]:
    """Everything until the end, with its video time; a word is due at each of `dues`, one after another."""
    out: list[tuple[str, float]] = []
    dues = iter(dues)
    due_s = next(dues, None)
    with inbox:
        while not out or out[-1][0] != "end":
            item, now = inbox.next(due_s)
            out.append((name(item), now.time_s))
            if item == "due":
                due_s = next(dues, None)
    return out


# ---- the virtual clock ----------------------------------------------------------------------------------------------


def test_everything_comes_in_order_of_video_time() -> None:
    inbox = virtual(frames(3), Question("late", at_s=1.5), Question("early", at_s=0.5))
    assert drain(inbox, [0.25, 1.75]) == [
        ("frame 0", 0.0),
        ("due", 0.25),
        ("early", 0.5),
        ("frame 1", 1.0),
        ("late", 1.5),
        ("due", 1.75),
        ("frame 2", 2.0),
        ("end", 2.0),
    ]


def test_at_one_moment_a_frame_comes_before_a_question_and_a_question_before_a_word() -> None:
    inbox = virtual(frames(2), Question("now", at_s=1.0))
    assert drain(inbox, [1.0])[1:4] == [("frame 1", 1.0), ("now", 1.0), ("due", 1.0)]


def test_a_question_at_0_s_comes_before_the_first_frame() -> None:
    assert drain(virtual(frames(1), Question("first", at_s=0.0))) == [("first", 0.0), ("frame 0", 0.0), ("end", 0.0)]


def test_questions_for_one_moment_keep_their_order_even_if_asked_later() -> None:
    inbox = virtual(frames(4), Question("a", at_s=0.5), Question("b", at_s=2.5))
    seen: list[str] = []
    with inbox:
        while not seen or seen[-1] != "end":
            seen.append(name(inbox.next(None)[0]))
            if seen[-1] == "a":
                inbox._letters.append(Question("c", at_s=2.5))
    assert seen == ["frame 0", "a", "frame 1", "frame 2", "b", "c", "frame 3", "end"]


def test_a_question_after_the_last_frame_is_asked_when_the_video_is_over() -> None:
    inbox = virtual(frames(2), Question("what was it?", at_s=99.0))
    assert drain(inbox, [1.5, 2.5]) == [
        ("frame 0", 0.0),
        ("frame 1", 1.0),
        ("due", 1.5),
        ("what was it?", 2.0),
        ("due", 2.5),
        ("end", 2.5),
    ]


def test_signals_come_before_everything_else() -> None:
    inbox = virtual(frames(2))
    inbox._letters.extend(["interrupt", "close"])
    with inbox:
        assert [name(inbox.next(0.0)[0]) for _ in range(3)] == ["interrupt", "close", "frame 0"]


def broken_source(num: int) -> Iterator[Frame]:
    yield from frames(num, every_s=1e-3)
    raise SourceLost("the camera went away")


@pytest.mark.parametrize("make", [virtual, wall], ids=["virtual", "wall"])
def test_an_error_of_the_source_is_raised_after_the_frames_before_it(
    make: Callable[[Iterator[Frame]], VirtualInbox | WallInbox],
) -> None:
    inbox = make(broken_source(3))
    with inbox:
        assert [name(inbox.next(None)[0]) for _ in range(3)] == ["frame 0", "frame 1", "frame 2"]
        with pytest.raises(SourceLost, match="the camera went away"):
            inbox.next(None)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match='speed must be above 0 or "max"'):
        virtual(frames(1), speed=speed)


def test_speed_only_adds_waiting_and_a_slow_machine_runs_late(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = iter([0.0, *[10.0] * 99])
    monkeypatch.setattr(inboxes, "time", SimpleNamespace(monotonic=lambda: next(slow)))
    inbox = virtual(frames(2, every_s=0.001), speed=1.0)
    with inbox:
        assert [name(inbox.next(None)[0]), inbox.now().time_s] == ["frame 0", 0.0]
        assert inbox.totals.late_s == pytest.approx(10.0)
        inbox._stopping = True


def test_leaving_early_ends_the_threads() -> None:
    for inbox in (virtual(frames(99)), wall(frames(99))):
        with inbox:
            inbox.next(None)
        assert [thread for thread in inbox._threads if thread.is_alive()] == []


# ---- the wall clock -------------------------------------------------------------------------------------------------


def test_live_frames_all_come_and_a_question_comes_when_it_is_time() -> None:
    seen = [what for what, _ in drain(wall(frames(3, every_s=0.002), Question("now"), Question("later", at_s=0.001)))]
    assert seen[0] == "now"
    assert [what for what in seen if what.startswith("frame")] == ["frame 0", "frame 1", "frame 2"]
    assert sorted(seen) == ["end", "frame 0", "frame 1", "frame 2", "later", "now"]


def test_the_wall_clock_never_goes_back_when_the_first_frame_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now_s=10.0)
    monkeypatch.setattr(inboxes, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    inbox = wall(frames(1))
    clock.now_s = 15.0
    before = inbox.now()
    with inbox:
        item, now = inbox.next(None)
        assert (name(item), before) == ("frame 0", Moment(5.0, 5.0))
        assert now == Moment(5.0, 5.0), "it stands still"
        clock.now_s = 21.0
        assert inbox.now() == Moment(6.0, 6.0)


def test_the_lag_of_a_frame_runs_from_arrival_to_readable() -> None:
    inbox = wall(frames(3, every_s=0.001))
    drain(inbox)
    assert len(inbox.totals.lags_s) == 3
    assert all(0 < lag_s < 5 for lag_s in inbox.totals.lags_s)


IDLE_SHARE = 0.02
"""Most of a core that a waiting session may use."""


class Spinning(WallInbox):
    """Broken on purpose: asks again and again instead of sleeping until something comes."""

    def next(self, due_s: float | None) -> tuple[Item, Moment]:
        while True:
            with self._changed:
                item = self._ready_now(due_s)
            if item is not None:
                return item, self.now()


def cpu_share_while_waiting(kind: type[WallInbox], *, window_s: float = 0.5) -> float:
    """Part of a core used while a session waits for the next frame."""
    share: list[float] = []
    waiting = threading.Event()

    def source() -> Iterator[Frame]:
        yield Frame(picture(0), 0.0)
        waiting.wait(5.0)
        before_s = time.process_time()
        time.sleep(window_s)
        share.append((time.process_time() - before_s) / window_s)

    inbox = wall(source(), kind=kind)
    with inbox:
        inbox.next(None)
        waiting.set()
        assert inbox.next(None)[0] == "end"
    return share[0]


def test_waiting_for_a_frame_costs_nothing() -> None:
    """The best of three windows counts, so that a garbage collection or a busy machine is not taken for waiting."""
    assert min(cpu_share_while_waiting(WallInbox, window_s=s) for s in (0.5, 0.2, 0.2)) < IDLE_SHARE


def test_the_idle_check_catches_a_busy_loop() -> None:
    assert max(cpu_share_while_waiting(Spinning, window_s=s) for s in (0.1, 0.2)) > IDLE_SHARE
