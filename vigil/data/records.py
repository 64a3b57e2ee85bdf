"""Our training and evaluation record: one video, and what is asked and answered while it plays.

On disk a record is one JSON object per line (JSONL). Times are seconds since the first frame of the video. Nothing here
knows tokens; `vigil.data.layout` turns a record into token ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vigil.errors import DataError
from vigil.types import from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One utterance of the model, due at the frame on which its fact becomes visible."""

    time_s: float
    """When it is due; never before the evidence for it."""
    text: str
    accept: tuple[str, ...] = ()
    """Other texts that would be just as right."""
    overtakes: bool = False
    """If the reply before is still being spoken: cut it with `<|...|>` (True), or let it finish first (False)."""
    value: str = ""
    """The bare value that the reply states, such as "red" or "3"; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """From one question to the next. Before the first question there is a turn with an empty question."""

    ask_s: float
    question: str
    kind: str
    """Role of the question, such as "alert", "count", "state", "narrate"."""
    standing: bool = False
    """True: each later reply is an update. False: each later reply revises the one before."""
    replies: tuple[Reply, ...] = ()
    """Of a "recital" or "item": sentences and since when they are true, from which `data.recital` makes replies."""
    subject: str = ""
    """The thing that the question names; empty if it names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One video and one conversation about it."""

    id: str
    video: str
    """Path of the video, or a world key such as "world:train:17"."""
    duration_s: float
    turns: tuple[Turn, ...]
    """In order of `ask_s`. A turn ends where the next begins, also if an answer is still being spoken."""
    fps: float = 1.0
    offline: bool = False
    """True: all frames come before the first question, as in ordinary video question answering."""
    system: str = ""


def record_from_json(row: dict[str, Any], *, where: str = "record") -> Record:
    """Build a record from one parsed JSON object.

    Raises:
        DataError: a field is missing, unknown, or of the wrong type; `where` names the line.
    """
    try:
        turns = [from_json(Turn, {**turn, "replies": tuple(map(_reply, turn["replies"]))}) for turn in row["turns"]]
        return from_json(Record, {**row, "turns": tuple(turns)})
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where} is not a record: {error}. The fields are listed in docs/data-formats.md.") from error


def _reply(row: dict[str, Any]) -> Reply:
    accept = row.get("accept", [])
    return from_json(Reply, {**row, "accept": tuple(accept) if isinstance(accept, list) else accept})


def read_records(path: Path, *, broken: list[str] | None = None) -> Iterator[Record]:
    """Read records line by line, in the order of the file.

    Args:
        broken: takes a message for each line that is no record; without it such a line is an error.

    Raises:
        DataError: a line is no record.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _parse(line, where=f"{path.name} line {number}")
            except DataError as error:
                if broken is None:
                    raise
                broken.append(str(error))


def _parse(line: bytes, *, where: str) -> Record:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}.") from error
    return record_from_json(row, where=where)


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records as JSON lines; return how many."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
            count += 1
    return count
