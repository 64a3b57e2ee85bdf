"""Caption files as people have them: times in many spellings, other encodings, and rows that break their form."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vigil.data.formats import read_captions
from vigil.errors import DataError
from vigil.types import DenseCaptions

Told = list[tuple[float, float, str]]


def told(captions: DenseCaptions) -> Told:
    return [(c.start_s, c.end_s, c.text) for c in captions.captions]


def read(path: Path, content: str | bytes | Any) -> list[DenseCaptions]:
    """Write a file, and read it; every fault is an error."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return list(read_captions(path))


# ---- subtitles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "span"),
    [
        ("00:00:01.000 --> 00:00:02.500", (1.0, 2.5)),
        ("01:02:03.250 --> 01:02:04.000", (3723.25, 3724.0)),
        ("00:01,500 --> 00:02,750", (1.5, 2.75)),
        ("  0:01.5-->0:02.75 align:start position:0%", (1.5, 2.75)),
        ("100:00:00.0 --> 100:00:01.0", (360000.0, 360001.0)),
    ],
)
def test_times_of_a_cue(times: str, span: tuple[float, float], tmp_path: Path) -> None:
    (captions,) = read(tmp_path / "a.vtt", f"WEBVTT\n\n{times}\nA dog runs.\n")
    assert told(captions) == [(*span, "A dog runs.")]
    assert (captions.id, captions.duration_s) == ("a", span[1])


def test_a_cue_may_have_a_number_several_lines_and_marks(tmp_path: Path) -> None:
    first = "1\n00:01,000 --> 00:02,000\n<i>A man</i> &amp; a\n{\\an8}dog run.\n"
    second = "2\n00:03,000 --> 00:04,000\nEnd\n"
    (captions,) = read(tmp_path / "a.srt", f"{first}\n\n{second}".replace("\n", "\r\n").encode())
    assert told(captions) == [(1.0, 2.0, "A man & a dog run."), (3.0, 4.0, "End")]


def test_cues_out_of_order_are_put_in_order_and_those_without_words_left_out(tmp_path: Path) -> None:
    text = (
        "WEBVTT\n\n00:05.000 --> 00:06.000\nlater\n\n00:01.000 --> 00:02.000\n \n\n00:03.000 --> 00:04.000\nearlier\n"
    )
    (captions,) = read(tmp_path / "a.vtt", text)
    assert told(captions) == [(3.0, 4.0, "earlier"), (5.0, 6.0, "later")]


def test_a_mark_of_byte_order_is_no_text_and_another_encoding_is_told(tmp_path: Path) -> None:
    cue = "00:01.000 --> 00:02.000\nUn café ouvre.\n"
    (captions,) = read(tmp_path / "a.vtt", b"\xef\xbb\xbf" + ("WEBVTT\n\n" + cue).encode())
    assert told(captions) == [(1.0, 2.0, "Un café ouvre.")]
    with pytest.raises(DataError, match=r"b\.srt is not UTF-8 text: invalid continuation byte at byte 30\. Save it as"):
        read(tmp_path / "b.srt", cue.encode("latin-1"))


# ---- conversations --------------------------------------------------------------------------------------------------


def conversation(*replies: str, **more: Any) -> list[dict[str, Any]]:
    turns = [{"from": "human", "value": "0-9s: not mine"}, *({"from": "gpt", "value": text} for text in replies)]
    return [{"id": "c", "video": "c.mp4", "conversations": turns, **more}]


@pytest.mark.parametrize(
    ("line", "span"),
    [
        ("From 1 to 3.5 seconds, a dog runs.", (1.0, 3.5)),
        ("[00:01 - 00:03] a dog runs.", (1.0, 3.0)),
        ("1s-3s: a dog runs.", (1.0, 3.0)),
        ("* 0:01 – 1:03, a dog runs.", (1.0, 63.0)),
        ("1.0 --> 3.0 - a dog runs.", (1.0, 3.0)),
        ("1 sec to 3 sec: a dog runs.", (1.0, 3.0)),
    ],
)
def test_spans_at_the_beginning_of_a_line(line: str, span: tuple[float, float], tmp_path: Path) -> None:
    (captions,) = read(tmp_path / "a.json", conversation(line))
    assert told(captions) == [(*span, "a dog runs.")]
    assert (captions.duration_s, captions.video) == (span[1], "c.mp4")


def test_a_reply_without_times_tells_of_the_whole_video(tmp_path: Path) -> None:
    (captions,) = read(tmp_path / "a.json", conversation("A walk\nin a park.", "1s-2s: a dog.", duration=9))
    assert told(captions) == [(0.0, 9.0, "A walk in a park."), (1.0, 2.0, "a dog.")]
    assert [caption.level for caption in captions.captions] == ["video", "event"]


# ---- lists of spans -------------------------------------------------------------------------------------------------


def activitynet(spans: list[Any], sentences: list[Any], duration: Any = 10.0) -> dict[str, Any]:
    return {"v": {"duration": duration, "timestamps": spans, "sentences": sentences}}


def test_a_span_is_cut_at_the_end_of_the_video_and_one_behind_it_left_out(tmp_path: Path) -> None:
    rows = activitynet([[8, 12], [10, 11], [0, 1]], ["late", "after", "early"])
    (captions,) = read(tmp_path / "a.json", rows)
    assert told(captions) == [(0.0, 1.0, "early"), (8.0, 10.0, "late")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (activitynet([[1, 2]], [5]), r"a\.json 'v' breaks its format: AttributeError"),
        (activitynet([[1]], ["x"]), r"a\.json 'v' breaks its format: ValueError"),
        (activitynet([["a", 2]], ["x"]), "breaks its format: ValueError: could not convert string to float"),
        (activitynet([[1, 2]], ["x"], None), "breaks its format: TypeError"),
        (activitynet([[1, 2]], ["x"], float("nan")), "lasts nan s. Give a duration above 0"),
        (activitynet([[1, 2]], ["x"], float("inf")), "lasts inf s. Give a duration above 0"),
        (activitynet([[float("nan"), 2]], ["x"]), "has a caption from nan to 2.0 s"),
        (activitynet([[-1, 2]], ["x"]), "has a caption from -1.0 to 2.0 s"),
        (activitynet([[1, 2]], ["  "]), "has no caption with words"),
        ({"v": 3}, "breaks its format: TypeError"),
        ([7], r"a\.json item 0 breaks its format: TypeError"),
        ([{"conversations": [{"from": "gpt", "value": 5}]}], "item 0 breaks its format: AttributeError"),
        ([{"conversations": [{"from": "gpt", "value": "a dog"}]}], "item 0 has neither times in its replies"),
        ([{"keyframe": [], "timestamp": [0, 1], "captions": []}], "breaks its format: IndexError"),
        ("7", "holds a int, not an object or a list"),
    ],
)
def test_a_row_that_breaks_its_form_is_one_clear_line(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "a.json", content)
    assert "\n" not in str(caught.value)


# ---- our own lines --------------------------------------------------------------------------------------------------

OWN = {
    "id": "x",
    "duration_s": 5.0,
    "captions": [{"start_s": 0, "end_s": 1, "text": "a"}],
    "states": [{"subject": "s", "attribute": "a", "value": "v", "start_s": 0, "end_s": 1}],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration_s": "5"}, "duration_s cannot be '5'"),
        ({"duration_s": float("nan")}, "duration_s cannot be nan"),
        ({"id": 5}, "id cannot be 5"),
        ({"video": 5}, "video cannot be 5"),
        ({"captions": [{"start_s": None, "end_s": 1, "text": "a"}]}, "start_s cannot be None"),
        ({"captions": [{"start_s": 0, "end_s": 1, "text": "a", "level": "scene"}]}, "level cannot be 'scene'"),
        ({"captions": [None]}, "'NoneType' object"),
        ({"states": [{**OWN["states"][0], "value": 3}]}, "value cannot be 3"),  # type: ignore[index]
        ({"meta": []}, "'list' object"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_name(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert len(read(tmp_path / "good.jsonl", json.dumps(OWN))) == 1
    with pytest.raises(DataError, match=f"bad.jsonl line 1 holds no captions: .*{message}"):
        read(tmp_path / "bad.jsonl", json.dumps({**OWN, **changes}))


def test_a_line_in_another_encoding_is_skipped_and_counted_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps(OWN).encode()
    path.write_bytes(good + b"\n" + '{"id": "é"}'.encode("latin-1") + b"\n\n" + good + b"\n")
    skipped: Counter[str] = Counter()
    assert [captions.id for captions in read_captions(path, skipped=skipped)] == ["x", "x"]
    (reason,) = skipped
    assert reason.startswith("is not JSON: 'utf-8' codec can't decode byte 0xe9")
