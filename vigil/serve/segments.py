"""Files of the event log: `sessions/<id>/<n>.log`, each some events of one session.

The first record of a file is an "epoch": all that is needed to go on from there without the files before. The last
one is a "seal", with the number of events and the sha256 of all bytes before it, once nothing more will be written.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from vigil.errors import DataError
from vigil.serve.disk import NO_SPACE, Files, open_to_read, sync_folder, write_all
from vigil.serve.lines import Entry, Gap, GapReason, Level, decode, dump, encode, read_lines, seq_of
from vigil.serve.state import State

_JUMP_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """First record of a file: enough to go on from it without the files before."""

    session: str
    segment: int
    epoch: int
    """Which life of the process writes this file: 1, 2, 3, ..."""
    next: int
    """Number of the first event in this file."""
    t_mono: float
    """Of the last event before this file."""
    t_wall: float
    level: Level
    keep_s: float | None
    """How long events are kept (s); None: until somebody deletes them."""
    private: dict[str, Any] = field(default_factory=dict)
    """What the owner of the log keeps with the session and no client sees."""
    state: dict[str, Any] = field(default_factory=dict)
    """`State.to_json()` of all events before this file."""

    def to_record(self) -> dict[str, Any]:
        """Spell it as a record."""
        return {"rec": "epoch", **asdict(self)}

    def following(self, state: State, *, segment: int | None = None, epoch: int | None = None) -> Head:
        """The head of a file that begins after the events in `state`; by default the next file of the same epoch."""
        return replace(
            self,
            segment=segment or self.segment + 1,
            epoch=epoch or self.epoch,
            next=state.head + 1,
            t_mono=state.t_mono,
            t_wall=state.t_wall,
            state=state.to_json(),
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Head:
        """Read what `to_record` wrote.

        Raises:
            DataError: it is no head of this version.
        """
        try:
            return cls(**{name: value for name, value in record.items() if name != "rec"})
        except TypeError as error:
            raise DataError(f"a log file begins with a record of another version: {error}.") from error


def segment_path(folder: Path, number: int) -> Path:
    """Where file `number` of a session lies."""
    return folder / f"{number:08d}.log"


def segment_numbers(folder: Path) -> list[int]:
    """Which files a session has, in order."""
    return sorted(int(path.stem) for path in folder.glob("*.log") if path.stem.isdigit())


def read_head(path: Path) -> Head | None:
    """The first record of a file; None where it is damaged."""
    with open_to_read(path) as file:
        body = decode(file.readline())
    record = {} if body is None else json.loads(body)
    return Head.from_record(record) if record.get("rec") == "epoch" else None


def first_seq(path: Path) -> int | None:
    """Number of the first event that a file holds or will hold; None where nothing in it can be read."""
    head = read_head(path)
    if head is not None:
        return head.next
    with open_to_read(path) as file:
        return next((seq for line in read_lines(file) if line.body and (seq := seq_of(line.body))), None)


def read_events(folder: Path, *, after: int, upto: int) -> Iterator[Entry | Gap]:
    """Events `after` + 1 to `upto` of a session, and one `Gap` for each run of them that is gone."""
    expected, reason, found = after + 1, _reason_of_missing(folder), False
    for number in _from_segment(folder, expected):
        try:
            file = open_to_read(segment_path(folder, number))
        except FileNotFoundError:  # it expired while we were reading
            reason = "retention"
            continue
        with file:
            _jump(file, expected)
            for line in read_lines(file):
                seq = None if line.body is None else seq_of(line.body)
                if seq is None or seq < expected or expected > upto:
                    continue
                assert line.body is not None
                if seq > expected:
                    yield Gap(expected, min(seq - 1, upto), reason if not found else "corrupt")
                if seq <= upto:
                    yield Entry(seq, line.body.decode("ascii"))
                expected, found = seq + 1, True
                if expected > upto:
                    return
    if expected <= upto:
        yield Gap(expected, upto, "corrupt" if found else reason)


def _reason_of_missing(folder: Path) -> GapReason:
    numbers = segment_numbers(folder)
    return "corrupt" if numbers and numbers[0] == 1 else "retention"


def _from_segment(folder: Path, seq: int) -> list[int]:
    """The file that holds event `seq`, and all after it."""
    numbers = segment_numbers(folder)
    for place in range(len(numbers) - 1, 0, -1):
        try:
            first = first_seq(segment_path(folder, numbers[place]))
        except FileNotFoundError:
            continue
        if first is not None and first <= seq:
            return numbers[place:]
    return numbers


def _jump(file: BinaryIO, seq: int) -> None:
    """Move a large file near to event `seq`, and never behind it."""
    low, high = 0, file.seek(0, 2)
    while high - low > _JUMP_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        start = file.tell()
        body = decode(file.readline())
        found = None if body is None else seq_of(body)
        if found is None:
            break
        low, high = (start, high) if found <= seq else (low, middle)
    file.seek(low)


class Segment:
    """The file that a session is being written to.

    Every method raises `OSError`. Where a write finds no space (`NO_SPACE`), the file is as it was before, and the call
    may be made again. A failed sync has the number EIO: what the medium then holds is not known.
    """

    def __init__(self, files: Files, folder: Path, head: Head) -> None:
        """Begin a file: written under another name, synced, renamed, and its folder synced."""
        self.head = head
        self.path = segment_path(folder, head.segment)
        self.last = head.next - 1
        """Number of the newest event in the file, or of the one before it."""
        self.first_t: float | None = None
        """`t_mono` of the first event in the file."""
        self.size = 0
        """Bytes that are safe at the level of the session."""
        self.is_sealed = False
        self._files = files
        self._is_strict = head.level == "strict"
        self._sha = hashlib.sha256()
        new = self.path.with_suffix(".new")
        with suppress(FileNotFoundError):
            files.unlink(new)
        self._fd = files.create(new)
        try:
            line = encode(dump(head.to_record()))
            self.write(line)
            self._make_safe(line)
            files.rename(new, self.path)
            if self._is_strict:
                sync_folder(files, folder)
        except BaseException:
            files.close(self._fd)
            raise

    def write(self, data: bytes) -> None:
        """Write whole lines; nothing is safe yet."""
        try:
            write_all(self._files, self._fd, data)
        except OSError as error:
            if error.errno in NO_SPACE:
                self._files.truncate(self._fd, self.size)
            raise

    def sync(self, data: bytes, *, last: int, t_mono: float) -> None:
        """Make what `write` wrote safe at the level of the session: events up to `last`, the first one of `t_mono`."""
        self._make_safe(data)
        self.last = last
        self.first_t = t_mono if self.first_t is None else self.first_t

    def _make_safe(self, data: bytes) -> None:
        if self._is_strict:
            try:
                self._files.datasync(self._fd)
            except OSError as error:
                raise OSError(errno.EIO, f"fdatasync failed: {error.strerror}") from error
        self._sha.update(data)
        self.size += len(data)

    def seal(self) -> None:
        """Close the file for good."""
        line = encode(dump(seal_record(self.last - self.head.next + 1, self._sha.hexdigest())))
        self.write(line)
        self._make_safe(line)
        self.is_sealed = True
        self.close()

    def close(self) -> None:
        """Close the file as it is."""
        self._files.close(self._fd)


def seal_record(count: int, sha256: str) -> dict[str, Any]:
    """The record that closes a file with so many events."""
    return {"rec": "seal", "count": count, "sha256": sha256}
