"""The files that a person has downloaded: annotations are read and checked, videos are found. Nothing is fetched."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vigil.errors import DataError, SourceError
from vigil.eval.benchmarks.base import AnnotationFile, Benchmark, Case

VIDEO_FOLDERS = ("", "videos", "data", "chunked_videos", "src_videos")
"""Where below the data folder a video may lie."""


def find_annotations(folder: Path, file: AnnotationFile) -> list[Path]:
    """The files of one entry, below the folder under their full path or by their bare name."""
    for pattern in (file.path, Path(file.path).name, f"annotations/{Path(file.path).name}"):
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if found:
            return found
    return []


def require(benchmark: Benchmark, folder: Path) -> None:
    """Refuse to go on without the annotations.

    Raises:
        SourceError: a file is missing; the text says first which, then all that is known about getting it.
    """
    missing = [file.path for file in benchmark.download.files if not find_annotations(folder, file)]
    if missing:
        raise SourceError(
            f"{benchmark.title} is not in {folder}: {', '.join(missing)} not found. Download it yourself:\n"
            + what_to_download(benchmark)
        )


def what_to_download(benchmark: Benchmark) -> str:
    """All that a person has to know before downloading, line by line."""
    need = benchmark.download
    names = [f"  {file.path}" + (f"  SHA-256 {file.sha256}..." if file.sha256 else "") for file in need.files]
    return "\n".join(
        [
            f"from: {need.source}",
            f"pinned revision: {need.revision}",
            "annotations:",
            *names,
            f"videos: {need.videos}",
            f"size: {need.size}",
            f"licence: {need.licence}",
            f"then: vigil eval bench {benchmark.name} --data DIR",
        ]
    )


def fingerprints(benchmark: Benchmark, folder: Path) -> dict[str, dict[str, Any]]:
    """File -> its SHA-256, and whether that is the pinned one (None where none is pinned)."""
    found: dict[str, dict[str, Any]] = {}
    for file in benchmark.download.files:
        for path in find_annotations(folder, file):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            is_pinned = digest.startswith(file.sha256) if file.sha256 else None
            found[path.relative_to(folder).as_posix()] = {"sha256": digest, "is_pinned": is_pinned}
    return found


def load_json(folder: Path, name: str) -> list[tuple[str, Any]]:
    """(place, parsed object) of every element of the JSON lists in the files of one entry; JSONL is read too.

    Raises:
        SourceError: there is no such file. DataError: it is not JSON, or no list.
    """
    paths = find_annotations(folder, AnnotationFile(path=name))
    if not paths:
        raise SourceError(f"{name} is not in {folder}. Run vigil eval bench NAME --data {folder} to see what to get.")
    rows: list[tuple[str, Any]] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
            lines = path.suffix == ".jsonl"
            parsed = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
        except (ValueError, RecursionError) as error:  # not UTF-8, or not JSON in some way
            raise DataError(f"{path.name} is not JSON: {error}. Download it again.") from error
        if not isinstance(parsed, list):
            raise DataError(f"{path.name} holds a {type(parsed).__name__} where a list of records must be.")
        rows += [(f"{path.name} record {n}", row) for n, row in enumerate(parsed, start=1)]
    return rows


def field(row: Any, name: str, kind: type | tuple[type, ...], *, where: str) -> Any:
    """One field of a record, of one of some types.

    Raises:
        DataError: it is missing, or of another type.
    """
    if not isinstance(row, Mapping) or name not in row:
        raise DataError(f"{where} lacks the field {name!r}. It is not in the format of the pinned revision.")
    if not isinstance(row[name], kind):
        raise DataError(f"{where} has {name!r} = {json.dumps(row[name])[:60]}, which is of the wrong type.")
    return row[name]


def number(row: Any, name: str, *, where: str) -> float:
    """A field that is a number of seconds."""
    return _finite(field(row, name, (int, float), where=where), name, where)


def numbers(row: Any, name: str, *, where: str, exactly: int | None = None) -> list[float]:
    """A field that is a list of numbers of seconds, of any length or of one; a text that spells a number is one."""
    found = [_finite(value, name, where) for value in field(row, name, list, where=where)]
    if exactly is not None and len(found) != exactly:
        raise DataError(f"{where} has {len(found)} numbers in {name!r}, where {exactly} must be.")
    return found


def _finite(value: Any, name: str, where: str) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f"{where} has {json.dumps(value)[:60]} in {name!r}, where a number must be.")
    return found


def records(row: Any, name: str, *, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    """(place, record) of each element of a field that is a list of at least one record."""
    found = field(row, name, list, where=where)
    if not found or not all(isinstance(part, Mapping) for part in found):
        raise DataError(f"{where} has {name!r} = {json.dumps(found)[:60]}, where a list of records must be.")
    return [(f"{where} {name} {n}", part) for n, part in enumerate(found, start=1)]


def offered(answer: str, options: Sequence[str], *, where: str) -> str:
    """The option that a letter names. Raises: DataError."""
    place = ord(answer) - ord("A") if len(answer) == 1 else -1
    if not 0 <= place < len(options):
        raise DataError(f"{where} has the answer {answer!r}, which is none of its {len(options)} options.")
    return options[place]


def texts(row: Any, name: str, *, where: str) -> list[str]:
    """A field that is a list of texts."""
    return [str(text) for text in field(row, name, list, where=where)]


def seconds(stamp: str, *, where: str) -> float:
    """ "HH:MM:SS", "MM:SS" or "SS" as seconds.

    Raises:
        DataError: it is no time.
    """
    parts = stamp.strip().split(":")
    if not all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts):
        raise DataError(f"{where} has the time {stamp!r}, which must be HH:MM:SS.")
    total = 0.0
    for part in parts:
        total = 60 * total + float(part)
    return total


def slug(text: str) -> str:
    """A text as part of a file name, still one to one: what had to be replaced is told apart by a hash."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:60]
    return plain if plain == text != "" else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def find_video(folder: Path, video: str) -> Path | None:
    """Where a video lies below the data folder: under its path, or under its bare name in a usual folder."""
    relative = video.removeprefix("./")
    for place in VIDEO_FOLDERS:
        for name in dict.fromkeys((relative, Path(relative).name)):
            path = folder / place / name
            if path.is_file():
                return path
    return None


def require_videos(benchmark: Benchmark, folder: Path, cases: Iterable[Case]) -> dict[str, Path]:
    """Video -> its file.

    Raises:
        SourceError: some are missing; the text says how many, and the first.
    """
    found = {video: find_video(folder, video) for video in dict.fromkeys(case.video for case in cases)}
    missing = [video for video, path in found.items() if path is None]
    if missing:
        raise SourceError(
            f"{len(missing)} of {len(found)} videos of {benchmark.title} are not in {folder}, first {missing[0]}. "
            f"Download them yourself, or take fewer items with --limit:\n{what_to_download(benchmark)}"
        )
    return {video: path for video, path in found.items() if path is not None}
