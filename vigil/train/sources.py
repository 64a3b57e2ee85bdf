"""Where examples come from: the world, JSON lines with files beside them, or WebDataset tars.

A source knows how many examples it holds and of which kind before it reads one. An example that cannot be read is an
error of its own; it is counted and named by the feed, never replaced.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from vigil.data.records import Record, record_from_json
from vigil.data.synthesize import synthesize
from vigil.errors import DataError
from vigil.train.examples import Example, Kind, Maker, rate
from vigil.train.stages import StageConfig
from vigil.train.tars import TarSource
from vigil.world.captions import describe
from vigil.world.chance import Split
from vigil.world.scene import sample_scene

NUM_SCENES = 1_000_000
"""Scenes that the world is drawn from in training."""


class Source(Protocol):
    """Examples by number."""

    name: str
    items: dict[Kind, Sequence[int]]
    """Numbers of the examples of each kind."""

    def read(self, number: int, maker: Maker, rng: random.Random) -> Example:
        """Read one example.

        Raises:
            VigilError, OSError: it is broken.
        """
        ...


class WorldSource:
    """Scenes drawn on the fly, with questions about them."""

    def __init__(self, stage: StageConfig, *, split: Split = "train") -> None:
        self.name = f"world:{split}"
        self.items: dict[Kind, Sequence[int]] = {"video": range(NUM_SCENES)}
        self._split: Split = split
        self._stage = stage

    def read(self, number: int, maker: Maker, rng: random.Random) -> Example:
        """A scene by its number; what is asked depends on `rng`. Asked after the video or during it, not both."""
        stage = self._stage
        scene = sample_scene(self._split, number, config=stage.world)
        name = f"{self.name}:{number}"
        config = replace(stage.synth, offline_share=float(rng.random() < stage.synth.offline_share))
        records = synthesize(describe(scene), rng=rng, config=config)
        if not records:
            raise DataError(f"{name} gives nothing to ask about.")
        return maker.from_records(name, records, None, rng, scene=scene)


class JsonLines:
    """A file of records or messages, one JSON object per line; videos and images lie beside it.

    Records about one video, read at the same rate and asked in the same mode, are one example.
    """

    def __init__(self, path: Path, stage: StageConfig) -> None:
        self.name = path.name
        self._path = path
        self._groups: list[list[tuple[int, int]]] = []
        """Per example, (line number, byte offset) of its lines."""
        self.items: dict[Kind, Sequence[int]] = {}
        try:
            self._index(stage)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error

    def _index(self, stage: StageConfig) -> None:
        """Find the examples. A line that cannot be parsed becomes one too, and fails when it is drawn."""
        by_video: dict[object, int] = {}
        items: dict[Kind, list[int]] = {}
        with self._path.open("rb") as file:
            offset = 0
            for number, line in enumerate(file, start=1):
                if line.strip():
                    kind, key = _kind(line, number, stage)
                    at = by_video.setdefault(key, len(self._groups))
                    if at == len(self._groups):
                        self._groups.append([])
                        items.setdefault(kind, []).append(at)
                    self._groups[at].append((number, offset))
                offset += len(line)
        self.items.update(items)

    def read(self, number: int, maker: Maker, rng: random.Random) -> Example:
        """Read the lines of one example, and its video or images."""
        lines = self._groups[number]
        rows = []
        with self._path.open("rb") as file:
            for line, offset in lines:
                file.seek(offset)
                rows.append(parse(file.readline(), f"{self.name} line {line}"))
        name = f"{self.name} line {lines[0][0]}"
        if "messages" in rows[0]:
            return maker.from_messages(name, rows[0]["messages"], lambda image: self._beside(image, name).read_bytes())
        records = [record_from_json(row, where=name) for row in rows]
        is_scene = records[0].video.startswith("world:")
        return maker.from_records(name, records, None if is_scene else self._beside(records[0].video, name), rng)

    def _beside(self, file: str, name: str) -> Path:
        path = self._path.parent / file
        if not path.is_file():
            raise DataError(f"{name} names the file {file!r}, which is not there.")
        return path


def parse(line: bytes, where: str) -> dict[str, Any]:
    """One JSON object.

    Raises:
        DataError: the text is something else.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where} is not a JSON object.")
    return row


def _kind(line: bytes, number: int, stage: StageConfig) -> tuple[Kind, object]:
    """Kind of a line, and what it shares with the other lines of its example."""
    try:
        row = parse(line, "")
        if "messages" in row:
            return ("image" if _has_image(row["messages"]) else "text"), number
        record: Record = record_from_json(row)
    except DataError:
        return "video", number
    return "video", (record.video, rate(record, stage), record.offline)


def _has_image(messages: Any) -> bool:
    parts = [m.get("content") for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    return any(isinstance(part, dict) and "image" in part for p in parts if isinstance(p, list) for part in p)


def open_sources(names: Sequence[str], stage: StageConfig) -> list[tuple[Source, float | None]]:
    """Open what `--data` names: world, FILE.jsonl, FILE.tar or a folder of these, each with an optional =WEIGHT.

    Returns pairs of source and weight; None where no weight was given.

    Raises:
        DataError: nothing of that name, or a file of an unknown form.
    """
    found: list[tuple[Source, float | None]] = []
    for text in names:
        name, weight = _weight(text)
        if name == "world":
            found.append((WorldSource(stage), weight))
            continue
        path = Path(name)
        files = sorted(f for f in path.iterdir() if f.suffix in (".jsonl", ".tar")) if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            raise DataError(f"{name} is no file, or a folder without .jsonl and .tar files. Check --data.")
        lines = [file for file in files if file.suffix == ".jsonl"]
        tars = [file for file in files if file.suffix == ".tar"]
        if len(lines) + len(tars) < len(files):
            raise DataError(f"{files[0].name} is neither .jsonl nor .tar. See docs/train.md.")
        opened: list[Source] = [JsonLines(file, stage) for file in lines]
        if tars:
            opened.append(TarSource(tars))
        found += [(source, None if weight is None else weight / len(opened)) for source in opened]
    return found


def _weight(text: str) -> tuple[str, float | None]:
    """Split "train.jsonl=0.3" into name and weight."""
    name, equals, number = text.rpartition("=")
    try:
        return (name, float(number)) if equals else (text, None)
    except ValueError:
        return text, None
