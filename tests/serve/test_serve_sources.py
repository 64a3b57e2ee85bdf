"""Frames are accounted for to the last one (E5), whatever order things happen in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.serve.frames import ClientFrame
from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal
from vigil.serve.sources import Source

LIMITS = Limits()


def frame(number: int, ts: float = 0.0, size: int = 3) -> ClientFrame:
    return ClientFrame(0, number, int(ts * 1e6), b"x" * size)


def source() -> Source:
    return Source(0, "push", LIMITS)


def test_credit_starts_at_four_and_grows_as_frames_leave() -> None:
    s = source()
    assert s.up_to == 4
    for number in range(1, 5):
        s.take(frame(number), 0.0, in_rate=True)
    assert s.up_to == 4
    assert s.leave(0.0) is not None
    assert s.up_to == 5


def test_a_frame_within_the_credit_is_never_over_it() -> None:  # W11
    s = source()
    for number in range(1, 200):
        assert number <= s.up_to
        assert s.take(frame(number), 0.0, in_rate=True)
        s.leave(0.0)
    assert not s.dropped


def test_a_frame_above_the_credit_is_dropped_and_the_next_number_is_free() -> None:
    s = source()
    for number in range(1, 5):
        s.take(frame(number), 0.0, in_rate=True)
    with pytest.raises(Refusal, match="over_credit"):
        s.take(frame(5), 0.0, in_rate=True)
    s.leave(0.0)
    assert s.up_to == 6
    assert s.take(frame(6), 0.0, in_rate=True)


@pytest.mark.parametrize(
    ("given", "code", "counted"),
    [
        (frame(3, 1.0), "bad_sequence", False),
        (frame(2, 0.5), "bad_timestamp", True),
        (frame(2, 1.0, LIMITS.frame_bytes + 1), "too_large", True),
    ],
    ids=["gap", "back in time", "too large"],
)
def test_a_refused_frame_is_counted_only_where_it_has_a_number(given: ClientFrame, code: str, counted: bool) -> None:
    s = source()
    s.take(frame(1, 1.0), 0.0, in_rate=True)
    with pytest.raises(Refusal, match=code):
        s.take(given, 0.0, in_rate=True)
    assert s.received == 1 + counted
    assert sum(s.dropped.values()) == counted
    assert s.take(frame(1, 1.0), 0.0, in_rate=True) is False


def test_old_frames_go_but_not_the_one_a_question_is_about() -> None:
    s = source()
    for number in (1, 2, 3):
        s.take(frame(number), 0.0, in_rate=True)
    s.pinned.add(2)
    left = s.leave(LIMITS.stale_s + 1)
    assert left is not None
    assert left.frame_no == 2
    assert s.leave(LIMITS.stale_s + 1) is None
    assert s.dropped == {"stale": 2}


def test_a_full_queue_of_a_camera_gives_up_its_oldest_unpinned_frame() -> None:
    s = source()
    for number in range(6):
        s.pinned = {1}
        s.feed(float(number), b"", 0.0)
    assert [queued.frame_no for queued in s.queue] == [1, 4, 5, 6]
    assert s.dropped == {"queue": 2}


def test_a_run_of_drops_is_one_event() -> None:
    s = source()
    for number in (1, 2, 3):
        s.drop("stale", float(number), 0.0)
    s.drop("rate", 9.0, 0.0)
    s.end_run()
    told = [(row["reason"], row["count"], row["first_ts"], row["last_ts"]) for row in s.losses]
    assert told == [("stale", 3, 1.0, 3.0), ("rate", 1, 9.0, 9.0)]


STEPS = st.lists(
    st.sampled_from(["next", "again", "gap", "back", "large", "fast", "leave", "late", "see", "empty", "feed"]),
    max_size=60,
)


@given(STEPS)
def test_received_is_perceived_and_dropped_and_pending(steps: list[str]) -> None:  # E5
    s, now_s, out = source(), 0.0, []
    for step in steps:
        number, ts = s.received + 1, s.newest_ts
        now_s += 10.0 if step == "late" else 0.01
        try:
            match step:
                case "next" | "fast":
                    s.take(frame(number, ts), now_s, in_rate=step == "next")
                case "again":
                    s.take(frame(max(1, number - 1), ts), now_s, in_rate=True)
                case "gap":
                    s.take(frame(number + 1, ts), now_s, in_rate=True)
                case "back":
                    s.newest_ts = 5.0
                    s.take(frame(number, 1.0), now_s, in_rate=True)
                case "large":
                    s.take(frame(number, ts, LIMITS.frame_bytes + 1), now_s, in_rate=True)
                case "leave" | "late":
                    out += [s.leave(now_s)]
                case "see":
                    if out and (queued := out.pop()) is not None:
                        s.saw(queued.frame_no)
                case "empty":
                    s.empty("shutdown", now_s)
                case "feed":
                    s.feed(ts, b"", now_s)
        except Refusal:
            pass
        in_flight = sum(queued is not None for queued in out)
        assert s.pending == len(s.queue) + in_flight
        assert s.received == s.perceived + sum(s.dropped.values()) + s.pending
        assert len(s.queue) <= LIMITS.queue_frames
    s.end_run()
    assert sum(row["count"] for row in s.losses) == sum(s.dropped.values())
