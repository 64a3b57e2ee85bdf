"""The released sample format."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.scenes import object_film
from vigil.data.moss import moss_sample, write_moss
from vigil.data.records import Record, Reply, Turn
from vigil.data.synthesize import synthesize
from vigil.errors import DataError

OPENING = Turn(ask_s=0.0, question="", kind="opening")


def clip(*turns: Turn, duration_s: float = 4.0) -> Record:
    return Record(id="r", video="clips/1.mp4", duration_s=duration_s, turns=(OPENING, *turns), system="Watch.")


def content(record: Record, words_per_s: float = 30.0) -> list[str]:
    sample = moss_sample(record, words_per_s=words_per_s)
    return [message["content"] for message in sample["messages"] if message["role"] == "assistant"]


def test_a_sample_by_hand() -> None:
    turn = Turn(ask_s=1.5, question="Who?", kind="x", replies=(Reply(time_s=3.0, text="A man waves."),))
    assert moss_sample(clip(turn)) == {
        "messages": [
            {"role": "system", "content": "Watch."},
            {"role": "user", "content": ""},
            {"role": "assistant", "content": "<|silence|><|video|><|silence|><|video|><|silence|>"},
            {"role": "user", "content": "Who?"},
            {"role": "assistant", "content": "<|silence|><|video|><|silence|><|video|>A man waves.<|silence|>"},
        ],
        "images": [],
        "videos": [
            '[RealTime QA][INFO]{"video_path": "clips/1.mp4", "time_info": ["00:00", "00:01", "00:02", "00:03"]}',
            *["[RealTime QA][PLACEHOLDER]"] * 3,
        ],
    }


def test_a_frame_falls_into_the_middle_of_a_long_reply() -> None:
    turn = Turn(ask_s=0.5, question="Q", kind="x", replies=(Reply(time_s=1.0, text="one two three four five."),))
    spoken = "<|silence|><|video|>one two<|video|> three four<|video|> five.<|silence|>"
    assert content(clip(turn), words_per_s=2.0)[1] == spoken


def test_what_is_no_longer_true_is_abandoned() -> None:
    replies = (Reply(time_s=1.0, text="a b c d e f"), Reply(time_s=2.0, text="g h", overtakes=True))
    turn = Turn(ask_s=0.5, question="Q", kind="x", replies=replies)
    spoken = "<|silence|><|video|>a b<|video|><|...|>g h<|silence|><|video|><|silence|>"
    assert content(clip(turn), words_per_s=2.0)[1] == spoken


def test_an_update_waits_for_the_one_before_and_a_cut_turn_ends_without_silence() -> None:
    replies = (Reply(time_s=0.0, text="a b c"), Reply(time_s=1.0, text="d e f"))
    first = Turn(ask_s=0.0, question="Q", kind="x", standing=True, replies=replies)
    second = Turn(ask_s=2.5, question="R", kind="x")
    spoken = content(clip(first, second), words_per_s=2.0)
    assert spoken[1] == "<|silence|><|video|>a b<|video|> c<|silence|><|video|>d"
    assert spoken[2] == "<|silence|><|video|><|silence|>"


def test_nothing_is_said_before_the_first_frame() -> None:
    turn = Turn(ask_s=0.0, question="Q", kind="x", replies=(Reply(time_s=0.0, text="Red."),))
    assert content(clip(turn))[1].startswith("<|silence|><|video|>Red.<|silence|>")


def test_marks_entries_and_times_are_as_many_as_frames(tmp_path: Path) -> None:
    for seed in range(20):
        film = object_film(seed)
        live = [r for r in synthesize(film, rng=random.Random(seed)) if not r.offline]
        assert write_moss(tmp_path / "m.jsonl", live) == len(live)
        for line in (tmp_path / "m.jsonl").read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            text = "".join(m["content"] for m in sample["messages"] if m["role"] == "assistant")
            times = json.loads(sample["videos"][0].removeprefix("[RealTime QA][INFO]"))["time_info"]
            assert text.count("<|video|>") == len(sample["videos"]) == len(times) == 20
            assert [m["role"] for m in sample["messages"]][:2] == ["user", "assistant"]


def test_what_the_form_lacks_is_refused() -> None:
    with pytest.raises(DataError, match="r is an offline record"):
        moss_sample(replace(clip(), offline=True))
    with pytest.raises(DataError, match=r"r has 2.0 frames per second; the released format has 1. Set fps=1.0."):
        moss_sample(replace(clip(), fps=2.0))
