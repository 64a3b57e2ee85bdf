"""The laws that only show with threads, each beside a broken variant: 3 neither channel waits, 6 nothing vanishes.

No test sleeps: gates hold one thread exactly where the law must show in the other. Only the broken variants, which
never open their gate, run into its time limit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakes import Image, ScriptedModel, picture, pictures
from torch import Tensor

from vigil.config import StreamConfig
from vigil.stream import watch as drivers
from vigil.stream.clock import VirtualInbox, WallInbox
from vigil.stream.inbox import Inbox
from vigil.stream.journal import Dropped, Moment
from vigil.stream.perceiver import Perceiver
from vigil.stream.session import Session
from vigil.types import Ended, Event, Frame, FramesDropped, Say


class Gate:
    """Holds whoever calls `hold` until another thread opens it, and remembers whether that happened in time."""

    def __init__(self, limit_s: float = 30.0) -> None:
        self.limit_s = limit_s
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.held_for_ever = False

    def hold(self) -> None:
        self.reached.set()
        self.held_for_ever |= not self.opened.wait(self.limit_s)


FAST = StreamConfig(fps=100.0, tokens_per_s=200.0)

# ---- law 3: neither channel waits -----------------------------------------------------------------------------------


class SlowEyes(ScriptedModel):
    """The encoder is held at one frame."""

    def __init__(self, *script: str, gate: Gate, held_frame: int) -> None:
        super().__init__(*script)
        self.gate, self.held_frame, self.encoded = gate, held_frame, 0

    def encode_frames(self, frames: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if frames.ndim == 4:
            if self.encoded == self.held_frame:
                self.gate.hold()
            self.encoded += 1
        return super().encode_frames(frames, state)


class SlowMouth(ScriptedModel):
    """The decoder is held at its second token; only then are later frames encoded, and they open the gate."""

    def __init__(self, *script: str, gate: Gate) -> None:
        super().__init__(*script)
        self.gate, self.encoded = gate, 0

    def decode(self, input_ids_T: Tensor, positions_T: Tensor, **rest: object) -> Tensor:
        if self.used == 1:
            self.gate.hold()
        return super().decode(input_ids_T, positions_T, **rest)  # type: ignore[arg-type]

    def encode_frames(self, frames: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if frames.ndim == 4:
            if self.encoded == 2:
                self.gate.reached.wait(self.gate.limit_s)
            self.encoded += 1
            if self.encoded == 4:
                self.gate.opened.set()
        return super().encode_frames(frames, state)


class Blocking(WallInbox):
    """Broken on purpose: one thread for both channels, so that each waits for the other."""

    def __init__(self, mailbox: object, frames: Iterator[Frame], perceiver: Perceiver, **rest: object) -> None:
        super().__init__(mailbox, iter(()), perceiver, **rest)  # type: ignore[arg-type]
        self._threads = []
        self._source = enumerate(frames)

    def next(self, due_s: float | None) -> tuple[object, Moment]:  # type: ignore[override]
        if due_s is not None and due_s <= self._elapsed_s():
            return "due", self.now()
        for index, frame in self._source:
            return self._perceiver.perceive(index, frame), self.now()
        return "end" if due_s is None else "due", self.now()


def speak_while_encoding(limit_s: float = 30.0) -> tuple[Gate, list[Event]]:
    """A model that talks while its encoder is held at frame 1; twenty words open the gate."""
    gate = Gate(limit_s)
    model = SlowEyes("a" * 40, gate=gate, held_frame=1)
    events: list[Event] = []
    said = 0
    for event in Session(model, config=FAST).watch(pictures(3, every_s=0.01), live=True):
        events.append(event)
        said += isinstance(event, Say) and gate.reached.is_set() and not gate.held_for_ever
        if said == 20:
            gate.opened.set()
    return gate, events


def check_speech_goes_on(gate: Gate, events: list[Event]) -> None:
    assert not gate.held_for_ever, "speech waited for the encoder"
    assert events[-1].frame == 2


def test_speech_goes_on_while_a_frame_is_being_encoded() -> None:
    check_speech_goes_on(*speak_while_encoding())


def test_law_3_catches_a_driver_whose_speech_waits_for_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "WallInbox", Blocking)
    with pytest.raises(AssertionError, match="speech waited"):
        check_speech_goes_on(*speak_while_encoding(limit_s=0.05))


def perceive_while_speaking(*, live: bool, limit_s: float = 30.0) -> tuple[Gate, list[Event]]:
    """A model that is held in the middle of its first answer until two more frames have been encoded."""
    gate = Gate(limit_s)
    model = SlowMouth("abc", gate=gate)
    events = list(Session(model, config=FAST).watch(pictures(5, every_s=0.01), live=live, speed="max"))
    return gate, events


def check_perception_goes_on(gate: Gate, events: list[Event]) -> None:
    assert gate.reached.is_set()
    assert not gate.held_for_ever, "perception waited for speech"
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.perceived == 5


@pytest.mark.parametrize("live", [True, False], ids=["wall", "virtual"])
def test_frames_are_perceived_while_a_word_is_being_decoded(live: bool) -> None:
    check_perception_goes_on(*perceive_while_speaking(live=live))


def test_law_3_catches_a_driver_whose_perception_waits_for_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "WallInbox", Blocking)
    with pytest.raises(AssertionError, match="perception waited"):
        check_perception_goes_on(*perceive_while_speaking(live=True, limit_s=0.05))


# ---- law 6: nothing vanishes ----------------------------------------------------------------------------------------


def flood(gate: Gate, num: int) -> Iterator[tuple[Image, float]]:
    """Frames all at once, while the encoder is held at the first; then the gate opens."""
    yield picture(0), 0.0
    gate.reached.wait(gate.limit_s)
    for index in range(1, num):
        yield picture(index), index * 1e-3
    gate.opened.set()


def watch_flood(*, num: int = 20, close_early: bool = False) -> list[Event]:
    """Four places in the queue, one in the encoder, and the rest has to go. Closing early leaves the gate shut."""
    gate = Gate()
    config = StreamConfig(fps=1000.0, queue_frames=4)
    session = Session(SlowEyes(gate=gate, held_frame=0), config=config)
    events = []
    for event in session.watch(flood(gate, num), live=True):
        events.append(event)
        if close_early and isinstance(event, FramesDropped):
            session.close()
        if isinstance(event, Ended):
            gate.opened.set()
    return events


def check_nothing_vanishes(events: list[Event], *, received: int | None = None) -> Ended:
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.received == ended.perceived + ended.dropped + ended.pending, "frames are unaccounted for"
    assert ended.dropped == sum(event.count for event in events if isinstance(event, FramesDropped))
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), "the numbers have gaps"
    assert received in (None, ended.received)
    return ended


def test_every_frame_is_perceived_or_reported_as_dropped() -> None:
    events = watch_flood()
    ended = check_nothing_vanishes(events, received=20)
    assert (ended.perceived, ended.dropped, ended.pending) == (5, 15, 0)
    drops = [event for event in events if isinstance(event, FramesDropped)]
    assert {drop.reason for drop in drops} == {"queue"}
    assert (drops[0].first_s, drops[-1].last_s) == (0.001, 0.015), "the oldest waiting frames went"


def test_frames_that_still_wait_when_a_session_is_closed_are_counted() -> None:
    ended = check_nothing_vanishes(watch_flood(close_early=True))
    assert (ended.reason, ended.perceived) == ("closed", 0)
    assert ended.pending == 5, "four in the queue, one in the encoder"


def test_a_frame_that_waited_too_long_is_dropped_as_stale() -> None:
    config = StreamConfig(fps=1000.0, queue_frames=9, stale_s=1e-9)
    events = list(Session(ScriptedModel(), config=config).watch(pictures(9, every_s=1e-3), live=True))
    assert check_nothing_vanishes(events, received=9).dropped == 9
    assert {event.reason for event in events if isinstance(event, FramesDropped)} == {"stale"}


class Forgetful(WallInbox):
    """Broken on purpose: the last frame of a dropped run is not counted."""

    def _drop_run(self) -> Dropped:
        run = super()._drop_run()
        self.totals.dropped -= 1
        return replace(run, indices=run.indices[:-1])


class Gappy(VirtualInbox):
    """Broken on purpose: counts a frame that it never hands on."""

    def settle(self) -> list[Dropped]:
        self.totals.received += 1
        return []


def test_law_6_catches_an_inbox_that_forgets_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "WallInbox", Forgetful)
    with pytest.raises(AssertionError, match="unaccounted"):
        check_nothing_vanishes(watch_flood())


@pytest.mark.parametrize("inbox", [VirtualInbox, Gappy], ids=["whole", "broken"])
def test_the_virtual_clock_perceives_every_frame(inbox: type[Inbox], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "VirtualInbox", inbox)
    events = list(Session(ScriptedModel(), config=FAST).watch(pictures(12, every_s=0.01), speed="max"))
    if inbox is VirtualInbox:
        assert check_nothing_vanishes(events, received=12).perceived == 12
    else:
        with pytest.raises(AssertionError, match="unaccounted"):
            check_nothing_vanishes(events)
