"""Readers of caption files. Every reader gives `DenseCaptions`; a video that cannot be read is counted with its reason.

| file | form |
|---|---|
| .jsonl | ours (`vigil.world.captions`), or ShareGPT4Video rows with `captions`, `keyframe` and `timestamp` |
| .json | ActivityNet Captions: `{"v_ID": {"duration", "timestamps": [[s, e], ...], "sentences"}}` |
| .json | a list of ShareGPT4Video rows, or of LLaVA conversations with times in the replies |
| .vtt, .srt | subtitles: one video per file, named after the file |

Captions written by people carry no facts, so only their words and times are known.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from vigil.errors import DataError
from vigil.types import Caption, DenseCaptions
from vigil.world.captions import captions_from_json

_TIME = r"(?:\d+:)?(?:\d+:)?\d+(?:[.,]\d+)?"
_SPAN = re.compile(
    rf"\W*(?:from\s+)?({_TIME})\s*s?(?:ec(?:onds)?)?\s*(?:-->|-|–|to)\s*({_TIME})\s*s?(?:ec(?:onds)?)?\W+", re.I
)
_CUE = re.compile(rf"\s*({_TIME})\s*-->\s*({_TIME})")


def read_captions(path: Path, *, skipped: Counter[str] | None = None) -> Iterator[DenseCaptions]:
    """Read a caption file of any known form, video by video, in the order of the file.

    Args:
        skipped: counts each video that cannot be read under its reason; without it such a video is an error.

    Raises:
        DataError: the file is of no known form, or (without `skipped`) a video in it cannot be read.
    """
    readers: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
        ".jsonl": _json_lines,
        ".json": _json_items,
        ".vtt": _whole_file,
        ".srt": _whole_file,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name} is no caption file. Known endings are {', '.join(sorted(readers))}.")
    for where, item in reader(path):
        try:
            yield _captions_of(item, where, path)
        except DataError as error:
            if skipped is None:
                raise
            skipped[str(error).removeprefix(f"{where} ")] += 1


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path.name} line {number}"
                yield where, _parsed(line, where)


def _json_items(path: Path) -> Iterator[tuple[str, Any]]:
    content = _parsed(path.read_bytes(), path.name)
    if isinstance(content, DataError):
        raise content
    if isinstance(content, dict):
        for name, row in content.items():
            yield f"{path.name} {name!r}", {"activitynet": name, "row": row}
    elif isinstance(content, list):
        for number, row in enumerate(content):
            yield f"{path.name} item {number}", row
    else:
        raise DataError(
            f"{path.name} holds a {type(content).__name__}, not an object or a list. See docs/data-formats.md."
        )


def _whole_file(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        text: str | DataError = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        text = DataError(f"{path.name} is not UTF-8 text: {error.reason} at byte {error.start}. Save it as UTF-8.")
    yield path.name, text


def _parsed(text: bytes, where: str) -> Any:
    """The parsed JSON, or the error as a value, so that one bad line does not end the file."""
    try:
        return json.loads(text)
    except ValueError as error:
        return DataError(f"{where} is not JSON: {error}.")


def _captions_of(item: Any, where: str, path: Path) -> DenseCaptions:
    """Find the form of one item and read it."""
    if isinstance(item, DataError):
        raise item
    try:
        if isinstance(item, str):
            return _subtitles(item, where, path)
        if "activitynet" in item:
            return _activitynet(item["activitynet"], item["row"], where)
        if "conversations" in item:
            return _conversation(item, where)
        if "keyframe" in item:
            return _sharegpt4video(item, where)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} breaks its format: {type(error).__name__}: {error}.") from error
    return captions_from_json(item, where=where)


def _activitynet(name: str, row: dict[str, Any], where: str) -> DenseCaptions:
    spans = [(float(start_s), float(end_s)) for start_s, end_s in row["timestamps"]]
    parts = [(*span, text) for span, text in zip(spans, row["sentences"], strict=True)]
    return _dense(name, float(row["duration"]), parts, where)


def _sharegpt4video(row: dict[str, Any], where: str) -> DenseCaptions:
    """Captions of keyframes: number k tells what changed up to keyframe k; number -1 tells the whole video.

    `keyframe` counts frames at a known rate or, as published, is spread evenly over `timestamp` (start, end).
    """
    start_s, end_s = (_seconds(str(time)) for time in row["timestamp"])
    frames = [float(frame) for frame in row["keyframe"]]
    scale = (end_s - start_s) / max(frames[-1], 1.0)
    marks_s = [frame * scale for frame in frames]
    spans = [(0.0, marks_s[0]), *pairwise(marks_s)]
    texts = {str(caption["idx"]): caption["content"] for caption in row["captions"]}
    parts = [(*span, texts[str(k)]) for k, span in enumerate(spans) if str(k) in texts]
    name = str(row["video_id"])
    return _dense(name, end_s - start_s, parts, where, summary=texts.get("-1", ""), video=row.get("video_path"))


def _conversation(row: dict[str, Any], where: str) -> DenseCaptions:
    """LLaVA form. Lines that begin with a span of time are events; a reply without any tells of the whole video."""
    replies = [turn["value"] for turn in row["conversations"] if turn["from"] in ("gpt", "assistant")]
    parts: list[tuple[float, float, str]] = []
    whole: list[str] = []
    for reply in replies:
        timed = [(line, _SPAN.match(line)) for line in reply.splitlines() if line.strip()]
        if not any(span for _, span in timed):
            whole.append(" ".join(reply.split()))
        parts += [(_seconds(m[1]), _seconds(m[2]), line[m.end() :]) for line, m in timed if m]
    length = row.get("duration", max((end_s for _, end_s, _ in parts), default=None))
    if length is None:
        raise DataError(f'{where} has neither times in its replies nor a "duration". Add "duration" in seconds.')
    video = str(row.get("video", row.get("id", "")))
    return _dense(str(row.get("id", video)), float(length), parts, where, summary=" ".join(whole), video=video)


def _subtitles(text: str, where: str, path: Path) -> DenseCaptions:
    """WebVTT and SRT: blocks with a line of times; notes, styles, regions and cue numbers are passed over."""
    parts: list[tuple[float, float, str]] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = block.strip().split("\n")
        at = next((i for i, line in enumerate(lines) if _CUE.match(line)), None)
        if at is None or lines[0].startswith(("NOTE", "STYLE", "REGION")):
            continue
        cue = _CUE.match(lines[at])
        assert cue is not None
        said = html.unescape(re.sub(r"<[^>]*>|\{\\[^}]*\}", "", " ".join(lines[at + 1 :])))
        parts.append((_seconds(cue[1]), _seconds(cue[2]), said))
    if not parts:
        raise DataError(f"{where} holds no cue with times (00:00:01.000 --> 00:00:02.000).")
    return _dense(path.stem, max(end_s for _, end_s, _ in parts), parts, where)


def _dense(
    name: str,
    duration_s: float,
    parts: list[tuple[float, float, str]],
    where: str,
    *,
    summary: str = "",
    video: str | None = None,
) -> DenseCaptions:
    """Put captions in order, cut them at the end of the video, and refuse what cannot be placed in time."""
    if not 0 < duration_s < math.inf:
        raise DataError(f"{where} lasts {duration_s} s. Give a duration above 0.")
    captions = []
    for start_s, end_s, text in sorted(parts):
        if not 0 <= start_s <= end_s:
            raise DataError(f"{where} has a caption from {start_s} to {end_s} s. Starts must be at or before ends.")
        if start_s < duration_s and text.strip():
            end_s = min(end_s, duration_s)
            captions.append(Caption(start_s=start_s, end_s=end_s, text=" ".join(text.split()), level="event"))
    if summary:
        captions.insert(0, Caption(start_s=0.0, end_s=duration_s, text=" ".join(summary.split()), level="video"))
    if not captions:
        raise DataError(f"{where} has no caption with words.")
    return DenseCaptions(id=name, duration_s=duration_s, captions=tuple(captions), video=video)


def _seconds(text: str) -> float:
    """ "1:02:03.5", "02:03,5" or "3.5" -> seconds."""
    total = 0.0
    for part in text.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return total
