"""A session on a live source: it keeps real time, tells of losses as events, and accounts for every frame (law 6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from fakes import ScriptedModel, picture, tiny_model

from vigil.config import StreamConfig
from vigil.errors import SourceError, SourceLost
from vigil.eval.rows import HeadRow, SourceRow
from vigil.eval.writer import LogWriter
from vigil.stream._reel import Reel
from vigil.stream.engine import Engine
from vigil.stream.notices import Found, Notice, Outage, Return, Skipped
from vigil.stream.session import Session
from vigil.stream.source import Source
from vigil.stream.watch import answer
from vigil.types import Back, Ended, Event, Frame, FramesDropped, Lost

STORY: list[Notice | None] = [
    Found(4, 4, "mjpeg"),
    None,
    Skipped(0.001, 0.002, 3, "stale"),
    Outage("frozen", 1, 0.25),
    Outage("refused", 2, 0.5),
    Return(2, "reconnect", 1.5),
    None,
    None,
]
"""What the source says in turn; None: a frame."""
CONFIG = StreamConfig(fps=100.0)


class Told(Source):
    """A live source that gives what it is told to give."""

    is_live = True

    def __init__(self, story: list[Notice | None], error: Exception | None = None) -> None:
        super().__init__("told", Reel(pictures=iter(())), fps=1.0)
        self._story, self._error = story, error

    def __iter__(self) -> Iterator[Frame]:
        zero_s = time.monotonic()
        for index, item in enumerate(self._story):
            if item is None:
                yield Frame(picture(index), time.monotonic() - zero_s)
            else:
                self.on_notice(item)
        if self._error is not None:
            raise self._error


def alone(source: Source) -> Iterator[Event]:
    return Session(ScriptedModel(""), config=CONFIG).watch(source)


def together(source: Source) -> Iterator[Event]:
    with Engine(ScriptedModel("")) as engine:
        yield from engine.watch(source, config=CONFIG).events()


@pytest.mark.parametrize("watch", [alone, together])
def test_losses_and_returns_are_events_and_every_frame_is_accounted_for(
    watch: Callable[[Source], Iterator[Event]],
) -> None:
    events = list(watch(Told(STORY)))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    told = [event for event in events if isinstance(event, Lost | Back | FramesDropped)]
    assert [type(event) for event in told] == [FramesDropped, Lost, Lost, Back]
    dropped, first, second, back = told
    assert isinstance(dropped, FramesDropped)
    assert (dropped.count, dropped.reason) == (3, "stale")
    assert isinstance(first, Lost)
    assert (first.cause, first.attempt, first.retry_in_s) == ("frozen", 1, 0.25)
    assert isinstance(second, Lost)
    assert second.cause == "refused"
    assert isinstance(back, Back)
    assert (back.epoch, back.cause, back.gap_s) == (2, "reconnect", 1.5)
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert (ended.received, ended.dropped) == (6, 3)
    assert ended.received == ended.perceived + ended.dropped + ended.pending
    assert ended.lag_p95_s is not None  # the wall clock, although nobody asked for it


@pytest.mark.parametrize("watch", [alone, together])
def test_a_source_lost_for_good_is_an_error_after_the_totals(watch: Callable[[Source], Iterator[Event]]) -> None:
    events: list[Event] = []
    story = Told(STORY, SourceLost("it has been away for 300 s."))
    with pytest.raises(SourceLost, match="away"):
        events.extend(watch(story))
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.reason == "error"
    assert ended.received == ended.perceived + ended.dropped + ended.pending == 6


def test_the_evaluation_log_has_a_row_for_each() -> None:
    head = HeadRow(v=1, clock="wall", w0=0.0, speed=1.0, fps=1.0, model="m", seed=0, policy="greedy", cost=None)
    writer = LogWriter(head)
    story = [item for item in STORY if not isinstance(item, Skipped)]
    for event in Session(ScriptedModel(""), config=CONFIG, trace=writer.trace).watch(Told(story)):
        writer.event(event)
    rows = [(row.state, row.why) for row in writer.log().rows if isinstance(row, SourceRow)]
    assert rows == [("lost", "frozen"), ("lost", "refused"), ("back", "reconnect")]


def test_what_has_no_end_has_no_answer_after_it() -> None:
    with pytest.raises(SourceError, match="told has no end"):
        answer(tiny_model(), Told(STORY), "What?")
