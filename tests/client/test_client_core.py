"""The client's commands and frames without a socket: every message is written down here, and time is set by hand."""

from __future__ import annotations

import pytest

from tests.client.hand import Hand
from vigil.client.core import Opening, Saved
from vigil.errors import ConfigError, SourceLost, StorageError

# ---- commands ------------------------------------------------------------------------------------------------------


def test_a_command_goes_out_again_under_its_number_until_it_is_done(hand: Hand) -> None:
    ask = hand.core.command("input.text", text="Hi?")
    (first,) = hand.out()
    assert (first["type"], first["cmd"], hand.out()) == ("input.text", 1, [])
    hand.lose()
    hand.ready(applied=1)
    assert hand.out() == [first]
    hand.hear("command.done", cmd=1, seq=9, result={"turn": 3})
    assert (ask.is_done, ask.result, ask.error) == (True, {"turn": 3}, None)
    hand.core.command("input.text", text="Next?")
    assert hand.out()[0]["cmd"] == 2


def test_the_event_that_is_the_effect_is_enough(hand: Hand) -> None:
    ask = hand.core.command("input.text", text="Hi?")
    hand.out()
    hand.event(1, "input.text.accepted", turn=1, text="Hi?", by={"client_id": "somebody", "cmd": 1})
    assert not ask.is_done
    hand.event(2, "input.text.accepted", turn=2, text="Hi?", by={"client_id": hand.core.opening.client_id, "cmd": 1})
    assert (ask.is_done, ask.seq, ask.result) == (True, 2, {"turn": 2})
    other = hand.core.command("input.text", text="Next?")
    hand.out()
    hand.hear("command.done", cmd=1, seq=2, result={})  # late, and of no use any more
    assert not other.is_done


def test_commands_go_one_by_one_and_a_refused_one_leaves_its_number_to_the_next(hand: Hand) -> None:
    wrong, right = hand.core.command("source.remove", source=9), hand.core.command("source.remove", source=0)
    assert [row["source"] for row in hand.out()] == [9]
    hand.hear("error", code="not_found", ref="x", cmd=1)
    assert isinstance(wrong.error, ConfigError)
    assert [(row["source"], row["cmd"]) for row in hand.out()] == [(0, 1)]
    hand.hear("command.done", cmd=1, seq=4, result={})
    assert right.is_done
    assert right.error is None


def test_an_error_without_a_number_is_the_commands_where_only_a_command_can_cause_it(hand: Hand) -> None:
    ask = hand.core.command("input.text", text="Hi?")
    hand.out()
    hand.hear("error", code="bad_image", ref="x")
    assert not ask.is_done
    hand.hear("error", code="storage", ref="x")
    assert isinstance(ask.error, StorageError)


def test_a_server_that_has_lost_commands_is_followed(hand: Hand) -> None:
    for number in (1, 2):
        hand.core.command("input.text", text="Hi?")
        hand.out()
        hand.hear("command.done", cmd=number, seq=number, result={})
    hand.core.command("input.text", text="Hi?")
    assert hand.out()[0]["cmd"] == 3
    hand.hear("error", code="bad_sequence", ref="x", cmd=3, expected=2)
    assert hand.out()[0]["cmd"] == 2


def test_a_command_whose_effect_has_expired_was_done_all_the_same(hand: Hand) -> None:
    ask = hand.core.command("input.text", text="Hi?")
    hand.out()
    hand.lose()
    hand.ready(applied=1)
    hand.out()
    hand.hear("error", code="gone", ref="x", cmd=1)
    assert ask.is_done
    assert ask.error is None


def test_a_process_that_takes_a_session_over_goes_on_with_its_numbers() -> None:
    hand = Hand(Opening.resume(Saved(url="http://h", session_id="s", resume_token="r", client_id="me", after=40)))
    hand.core.command("input.text", text="Hi?")
    hand.ready(applied=7)
    assert hand.greeting["after"] == 40
    assert hand.out()[0]["cmd"] == 8


def test_too_many_messages_make_it_wait(hand: Hand) -> None:
    hand.core.command("input.text", text="Hi?")
    (first,) = hand.out()
    hand.hear("error", code="rate_limited", ref="x", retry_after_s=0.5)
    assert hand.out() == []
    assert hand.core.wait_s == pytest.approx(0.5)
    hand.now_s = 0.5
    assert hand.out() == [first]


def test_commands_keep_below_the_rate_of_the_server(hand: Hand) -> None:
    for number in range(1, 30):
        hand.core.command("input.text", text="Hi?")
        if not hand.out():
            break
        hand.hear("command.done", cmd=number, seq=number, result={})
    assert number == 21
    assert hand.core.wait_s == pytest.approx(1 / 16)


def test_what_cannot_be_sent_is_told_at_once(hand: Hand) -> None:
    with pytest.raises(ConfigError, match="finite numbers"):
        hand.core.command("session.update", policy={"min_gap_s": float("nan")})
    ask = hand.core.command("input.text", text="ä" * 11)
    assert hand.out() == []
    with pytest.raises(ConfigError, match="text is longer than 20 bytes"):
        raise ask.error or AssertionError


# ---- frames --------------------------------------------------------------------------------------------------------


def show(hand: Hand, *times: float) -> None:
    for ts in times:
        hand.core.frame(0, b"%d" % ts, ts)


def test_frames_go_as_far_as_the_credit_and_then_the_newest_waits(hand: Hand) -> None:
    hand.now_s = 100.0
    for ts in range(1, 5):
        show(hand, ts)
        assert hand.out() == [{"source": 0, "frame_no": ts, "ts_us": ts * 1_000_000, "image": b"%d" % ts}]
    show(hand, 5, 6, 7)
    hand.now_s += 10
    assert hand.out() == []
    assert hand.core.wait_s is None
    hand.hear("input.credit", source=0, up_to=5)
    frame, skipped = hand.out()
    assert (frame["frame_no"], frame["image"]) == (5, b"7")
    assert skipped == {"type": "input.skipped", "cmd": 1, "source": 0, "first_ts": 5, "last_ts": 6, "count": 2}
    assert hand.core.lanes[0].skipped == 2


def test_frames_that_did_not_arrive_go_out_again_under_their_numbers(hand: Hand) -> None:
    for ts in (1, 2, 3):
        show(hand, ts)
        hand.out()
    hand.lose()
    show(hand, 4)
    hand.ready(received=1, credit=5)
    assert [(row["frame_no"], row["image"]) for row in hand.out()] == [(2, b"2"), (3, b"3"), (4, b"4")]


def test_frames_are_numbered_anew_where_the_server_knows_fewer(hand: Hand) -> None:
    hand.hear("input.credit", source=0, up_to=9)
    for ts in range(1, 7):
        hand.now_s += 1
        show(hand, ts)
        hand.out()
    hand.lose()
    hand.ready(received=0, credit=4)  # it was restarted, and of 6 frames the newest 4 are still here
    assert [(row["frame_no"], row["image"]) for row in hand.out()] == [(1, b"3"), (2, b"4"), (3, b"5"), (4, b"6")]


def test_frames_keep_to_the_rate_of_the_server(hand: Hand) -> None:
    hand.hear("input.credit", source=0, up_to=99)
    for ts in range(1, 5):
        show(hand, ts)
        assert len(hand.out()) == 1
    show(hand, 5)
    assert hand.out() == []
    assert hand.core.wait_s == pytest.approx(0.1)
    hand.now_s = 0.11
    assert len(hand.out()) == 1


def test_the_last_frame_goes_before_the_end_of_its_source(hand: Hand) -> None:
    for ts in (1, 2, 3, 4, 5, 6):
        show(hand, ts)
        hand.out()
    hand.core.command("input.end", source=0)
    assert hand.out() == [{"type": "input.skipped", "cmd": 1, "source": 0, "first_ts": 5, "last_ts": 5, "count": 1}]
    hand.hear("command.done", cmd=1, seq=1, result={})
    assert hand.out() == []
    assert hand.core.wait_s is None
    hand.hear("input.credit", source=0, up_to=5)
    hand.now_s = 9.0
    assert [row.get("type", row["source"]) for row in hand.out()] == [0, "input.end"]


def test_a_source_that_has_ended_takes_no_frames_and_leaves_nobody_waiting(hand: Hand) -> None:
    for ts in (1, 2, 3, 4):
        show(hand, ts)
        hand.out()
    waiting = hand.core.frame(0, b"x", 5.0)
    hand.event(1, "source.ended", source=0, cause="decoder", last_ts=0.0)
    assert waiting.is_settled
    with pytest.raises(SourceLost, match="source 0 has ended"):
        hand.core.frame(0, b"x", 6.0)
    hand.event(2, "source.opened", source=0, kind="push")
    hand.now_s = 9.0
    show(hand, 7)
    assert hand.out()[0]["frame_no"] == 5


def test_a_frame_that_cannot_be_taken_is_told(hand: Hand) -> None:
    show(hand, 2)
    with pytest.raises(ConfigError, match=r"time_s is 1.0, and the frame before was at 2"):
        hand.core.frame(0, b"x", 1.0)
    with pytest.raises(ConfigError, match="101 bytes, more than 100"):
        hand.core.frame(0, b"x" * 101)
    with pytest.raises(ConfigError, match="source 3 is not open"):
        hand.core.frame(3, b"x")
    with pytest.raises(ConfigError, match="from 0 to 15"):
        hand.core.frame(16, b"x")


def test_without_a_time_a_frame_has_the_sessions_and_never_goes_back(hand: Hand) -> None:
    hand.now_s = 2.0
    hand.core.frame(0, b"a")
    hand.lose()
    hand.ready()  # the clock of the session reads 5.0 again
    hand.core.frame(0, b"b")
    assert hand.out()[0]["ts_us"] == 7_000_000
