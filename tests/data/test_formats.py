"""Readers of caption files, on files written by hand in the public formats."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.data.scenes import object_film
from vigil.data.check import check
from vigil.data.formats import read_captions
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.errors import DataError
from vigil.types import DenseCaptions
from vigil.world.captions import write_captions

EXAMPLES = Path(__file__).parent / "examples"


def told(captions: DenseCaptions) -> list[tuple[float, float, str, str]]:
    return [(c.start_s, c.end_s, c.level, c.text) for c in captions.captions]


def read(name: str) -> list[DenseCaptions]:
    return list(read_captions(EXAMPLES / name, skipped=Counter()))


def test_activitynet() -> None:
    kitchen, garden = read("activitynet.json")
    assert (kitchen.id, kitchen.duration_s) == ("v_kitchen01", 30.5)
    assert told(kitchen)[1] == (6.0, 14.5, "event", "She cuts an onion with a knife.")
    assert len(garden.captions) == 3


def test_sharegpt4video_captions_tell_the_span_up_to_their_keyframe() -> None:
    (harbour,) = read("sharegpt4video.jsonl")
    assert (harbour.id, harbour.duration_s, harbour.video) == ("harbour-7", 12.0, "harbour/harbour-7.mp4")
    assert told(harbour)[0] == (0.0, 12.0, "video", "A calm harbour from which a small boat sails away.")
    spans = [(start_s, end_s) for start_s, end_s, level, _ in told(harbour) if level == "event"]
    assert spans == [(0.0, 0.0), (0.0, 4.0), (4.0, 8.0), (8.0, 12.0)]


def test_llava_conversations_with_times() -> None:
    (street,) = read("llava.json")
    assert (street.id, street.duration_s, street.video) == ("street-3", 15.0, "street/3.mp4")
    assert told(street) == [
        (0.0, 15.0, "video", "A bus lets two people off at a street corner."),
        (0.0, 4.0, "event", "A red bus stops at the corner."),
        (4.0, 9.5, "event", "Two people get off the bus."),
        (10.0, 15.0, "event", "The bus drives away."),
    ]


def test_webvtt_without_its_notes_marks_and_settings() -> None:
    (talk,) = read("talk.vtt")
    assert told(talk) == [
        (1.0, 4.5, "event", "A man opens a wooden box."),
        (6.0, 9.0, "event", "He takes out a kite & a string."),
        (11.0, 16.25, "event", "The kite rises above the hill."),
    ]


def test_srt() -> None:
    (station,) = read("station.srt")
    assert told(station)[1:] == [
        (4.0, 7.25, "event", "The doors open."),
        (9.0, 12.0, "event", "Passengers walk along the platform."),
    ]


def test_our_own_lines_come_back_as_they_were(tmp_path: Path) -> None:
    films = [object_film(seed) for seed in range(3)]
    write_captions(tmp_path / "films.jsonl", films)
    assert list(read_captions(tmp_path / "films.jsonl")) == films


def test_what_cannot_be_read_is_counted_with_its_reason_or_raised() -> None:
    skipped: Counter[str] = Counter()
    for name in ("llava.json", "sharegpt4video.jsonl"):
        list(read_captions(EXAMPLES / name, skipped=skipped))
    assert skipped == {
        'has neither times in its replies nor a "duration". Add "duration" in seconds.': 1,
        "breaks its format: ValueError: not enough values to unpack (expected 2, got 1).": 1,
    }
    with pytest.raises(DataError, match=r"llava.json item 1 has neither times"):
        list(read_captions(EXAMPLES / "llava.json"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x", "a.txt is no caption file. Known endings are .json, .jsonl, .srt, .vtt."),
        ("a.json", "3", "a.json holds a int, not an object or a list."),
        ("a.json", "{", "a.json is not JSON"),
        ("a.jsonl", "nonsense\n", "a.jsonl line 1 is not JSON"),
        ("a.vtt", "WEBVTT\n\nhello", "a.vtt holds no cue with times"),
        ("a.json", '{"v": {"duration": 5, "timestamps": [[3, 1]], "sentences": ["x"]}}', "from 3.0 to 1.0 s"),
        ("a.json", '{"v": {"duration": 5, "timestamps": [[1, 3]], "sentences": []}}', "breaks its format: ValueError"),
        ("a.json", '{"v": {"duration": 0, "timestamps": [], "sentences": []}}', "lasts 0.0 s"),
        ("a.jsonl", '{"id": "x"}\n', "a.jsonl line 1 holds no captions"),
        ("a.jsonl", "[1]\n", "a.jsonl line 1"),
    ],
)
def test_a_broken_file_says_where_and_what(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(read_captions(tmp_path / name))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_format_gives_records_without_fault(name: str) -> None:
    config = SynthConfig(records_per_video=20, other_events=("A plane lands on the runway.",))
    for captions in read(name):
        records = synthesize(captions, rng=random.Random(0), config=config)
        assert len(records) >= 15
        assert [problem for record in records for problem in check(record, captions)] == []
        assert json.dumps(records[0].id)
