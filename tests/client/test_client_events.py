"""The client's events without a socket: each once, in order, none missing, as `vigil.types`; and how sessions end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.hand import PUSH, USAGE, Hand
from vigil.client.core import Broken, Opening
from vigil.client.events import Missing, Notice, Translator
from vigil.errors import CapacityError, ConfigError, SourceLost
from vigil.types import Asked, Back, Done, Ended, FramesDropped, Interrupted, Lost, Revise, Say, Silence


def test_a_session_is_opened_once_and_resumed_from_the_newest_event_afterwards() -> None:
    hand = Hand()
    hand.ready()
    assert (hand.greeting["type"], hand.greeting["sources"]) == ("session.open", [PUSH])
    hand.event(1)
    hand.event(2)
    hand.lose()
    client_id = hand.greeting["client_id"]
    hand.ready()
    assert hand.greeting == {
        "type": "session.resume", "session_id": "s", "resume_token": "r", "client_id": client_id, "after": 2
    }  # fmt: skip


def test_an_opening_that_was_cut_is_repeated_as_it_was() -> None:
    hand = Hand()
    hand.core.connected()
    first = hand.out()
    hand.lose()
    hand.core.connected()
    assert hand.out() == first


def test_an_event_that_comes_again_is_given_once(hand: Hand) -> None:
    for seq in (1, 2, 2, 1, 3):
        hand.event(seq)
    assert [row["seq"] for row in hand.core.rows] == [1, 2, 3]


def test_a_hole_ends_the_connection_and_nothing_behind_it_is_given(hand: Hand) -> None:
    hand.event(1)
    with pytest.raises(Broken):
        hand.event(3)
    assert (hand.core.seq, len(hand.core.rows)) == (1, 1)


def test_what_the_server_has_lost_is_told_in_its_place(hand: Hand) -> None:
    hand.event(1)
    hand.hear("resume.gap", **{"from": 2, "to": 7, "reason": "memory"})
    hand.event(8)
    translate = Translator()
    told = [translate.event(row) for row in hand.core.rows]
    assert [event.seq for event in told] == [1, 7, 8]
    assert told[1] == Missing(seq=7, time_s=1.0, wall_s=1.0, frame=-1, first=2, reason="memory")


def test_times_are_those_of_the_video_and_each_event_names_the_newest_frame_seen() -> None:
    translate = Translator()
    seen = {"source": 0, "frame_no": 3, "ts": 60.0, "lag_ms": 500.0}  # at 10 s of the session
    common = {"t_wall": 0.0, "epoch": 1, "answer_id": 1}
    say = {**common, "seq": 1, "t_mono": 10.0, "type": "answer.delta", "rev": 1, "i": 0, "text": "Hi", "evidence": seen}
    silence = {
        **common, "seq": 2, "t_mono": 12.0, "type": "silence", "first_ts": 11.0, "last_ts": 12.0, "frames": 2,
        "p_silence": {"mean": 0.9, "min": 0.8},
    }  # fmt: skip
    assert translate.event(say) == Say(seq=1, time_s=60.5, wall_s=10.0, frame=2, answer=1, rev=1, text="Hi")
    assert translate.event(silence) == Silence(
        seq=2, time_s=62.5, wall_s=12.0, frame=2, first_s=61.5, last_s=62.5, frames=2, p_silence_mean=0.9,
        p_silence_min=0.8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "kind", "fields"),
    [
        (
            {"type": "input.text.accepted", "turn": 2, "text": "?", "standing": True},
            Asked,
            {"turn": 2, "standing": True},
        ),
        ({"type": "answer.revised", "answer_id": 1, "rev": 2, "supersedes": 1}, Revise, {"rev": 2, "supersedes": 1}),
        (
            {"type": "answer.done", "answer_id": 1, "rev": 1, "text": "Hi", "status": "final", "finish": "end"},
            Done,
            {"text": "Hi", "status": "final", "finish": "end"},
        ),
        ({"type": "turn.interrupted", "turn": 1, "next_turn": None}, Interrupted, {"turn": 1, "next_turn": None}),
        (
            {"type": "input.frames.dropped", "first_ts": 1.0, "last_ts": 2.0, "count": 3, "reason": "stale"},
            FramesDropped,
            {"count": 3, "reason": "stale"},
        ),
        ({"type": "source.lost", "cause": "frozen", "attempt": 1, "retry_in_s": 0.5}, Lost, {"cause": "frozen"}),
        ({"type": "source.discontinuity", "stream_epoch": 2, "cause": "gap", "gap_s": 3.0}, Back, {"epoch": 2}),
        (
            {"type": "session.closed", "reason": "shutdown", "usage": USAGE},
            Ended,
            {"reason": "interrupted", "pending": 1},
        ),
        ({"type": "source.ended", "source": 0}, Notice, {"kind": "source.ended", "fields": {"source": 0}}),
    ],
)
def test_every_event_of_the_wire_becomes_one(row: dict[str, Any], kind: type, fields: dict[str, Any]) -> None:
    event = Translator().event({"seq": 4, "t_mono": 1.0, "t_wall": 0.0, "epoch": 1, **row})
    assert type(event) is kind
    assert {name: getattr(event, name) for name in fields} == fields
    assert event.seq == 4


# ---- the end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (4000, SourceLost, "taken this session over"),
        (4401, ConfigError, "token"),
        (4404, SourceLost, "no such session"),
        (4410, SourceLost, "not kept any more"),
    ],
)
def test_a_close_that_is_final_says_why_and_fails_what_waits(hand: Hand, code: int, kind: type, words: str) -> None:
    ask = hand.core.command("input.text", text="Hi?")
    hand.lose(code)
    assert hand.core.is_over
    assert type(ask.error) is kind
    with pytest.raises(kind, match=words):
        hand.core.command("input.text", text="Again?")


@pytest.mark.parametrize("code", [1001, 1006, 1008, 1011, 1012, 1013, 4008])
def test_any_other_close_is_a_reason_to_come_back(hand: Hand, code: int) -> None:
    hand.lose(code)
    assert not hand.core.is_over
    hand.ready()
    assert hand.core.is_open


def test_a_session_that_was_closed_is_over_however_the_connection_ends(hand: Hand) -> None:
    hand.event(1, "session.closed", reason="idle", usage=USAGE)
    hand.lose()
    assert hand.core.is_over
    assert hand.core.error is None


def test_an_opening_that_is_refused_says_why() -> None:
    hand = Hand()
    hand.core.connected()
    hand.out()
    hand.hear("error", code="capacity", ref="x", retry_after_s=5.0)
    assert isinstance(hand.core.error, CapacityError)
    assert "--max-sessions" in str(hand.core.error)


def test_a_full_server_is_tried_again_once_the_session_is_there(hand: Hand) -> None:
    hand.lose()
    hand.core.connected()
    hand.out()
    with pytest.raises(Broken):
        hand.hear("error", code="capacity", ref="x", retry_after_s=5.0)
    assert not hand.core.is_over


def test_whoever_only_looks_on_controls_nothing() -> None:
    hand = Hand(Opening.attach("s", "v", 3))
    hand.ready(roles=["view"])
    assert hand.greeting == {"type": "session.attach", "session_id": "s", "view_token": "v", "after": 3}
    with pytest.raises(ConfigError, match="only looked at"):
        hand.core.command("input.text", text="Hi?")
