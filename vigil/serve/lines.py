"""Lines of the event log: one record per line as `crc32 SP JSON LF`.

JSON is ASCII, so no text can break a line. A record has `seq` (an event) or `rec` (a note of the log to itself).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal
from zlib import crc32

Level = Literal["strict", "process", "off"]
"""What is true before anyone sees an event: `fdatasync` returned, `write` returned, or nothing (memory only)."""
GROUP_EVENTS = 32
"""A group holds at most this many events, so a bad line further from the end was acknowledged once: it is damage."""
GapReason = Literal["retention", "corrupt", "memory"]

_SEQ = b'{"seq":'
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A durable event: its number, and the JSON that every socket gets, byte for byte."""

    seq: int
    json: str

    @property
    def event(self) -> dict[str, Any]:
        """The same, parsed."""
        event: dict[str, Any] = json.loads(self.json)
        return event


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that are gone: `first` to `last`."""

    first: int
    last: int
    reason: GapReason


def dump(record: Mapping[str, Any]) -> str:
    """Spell a record as JSON: ASCII, on one line."""
    return _ENCODER.encode(record)


def encode(text: str) -> bytes:
    """Make a line of the JSON of a record."""
    body = text.encode("ascii")
    return b"%08x %s\n" % (crc32(body), body)


def decode(line: bytes) -> bytes | None:
    """The JSON of a line; None where it is damaged or cut."""
    body = line[9:-1]
    return body if line == b"%08x %s\n" % (crc32(body), body) else None


def seq_of(body: bytes) -> int | None:
    """The number of an event; None for other records."""
    return int(body[len(_SEQ) : body.index(b",")]) if body.startswith(_SEQ) else None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file as it is found."""

    offset: int
    raw: bytes
    body: bytes | None
    """The JSON; None where the line is damaged."""


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """All lines from where the file stands, good and bad."""
    offset = file.tell()
    for raw in file:
        yield Line(offset, raw, decode(raw))
        offset += len(raw)
