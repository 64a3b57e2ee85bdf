"""What is on the disk after a crash: find it, cut off what was never shown, keep and report what is damaged."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from vigil.errors import StorageError
from vigil.serve.disk import Files, open_to_read, sync_folder, write_all
from vigil.serve.lines import GROUP_EVENTS, Line, decode, dump, encode, read_lines, seq_of
from vigil.serve.segments import Head, read_head, seal_record, segment_numbers, segment_path
from vigil.serve.state import State


@dataclass(frozen=True, slots=True)
class Damage:
    """A place in a file that does not hold what was written there."""

    path: Path
    offset: int
    end: int
    what: str

    def __str__(self) -> str:
        return f"{self.path.parent.name}/{self.path.name} bytes {self.offset} to {self.end}: {self.what}"


@dataclass(slots=True)
class FileScan:
    """One file, read to its end."""

    path: Path
    size: int = 0
    """Bytes up to the torn tail, or all."""
    events: int = 0
    is_sealed: bool = False
    tail: int | None = None
    """Offset from which the file is torn: a group that was being written, and that nobody has seen."""
    tail_bytes: bytes = b""
    damage: list[Damage] = field(default_factory=list)
    sha: Any = field(default_factory=hashlib.sha256)

    def _settle(self, line: Line, take: Callable[[Line], None]) -> None:
        """A line that stays in the file."""
        end = line.offset + len(line.raw)
        self.size = end
        if line.body is None:
            self.damage.append(Damage(self.path, line.offset, end, "a damaged line"))
        elif self.is_sealed:
            self.damage.append(Damage(self.path, line.offset, end, "a line behind the seal"))
        elif line.body.startswith(b'{"rec":"seal"'):
            self.is_sealed = True
            expected = seal_record(self.events, self.sha.hexdigest())
            if json.loads(line.body) != expected and not self.damage:
                self.damage.append(Damage(self.path, 0, end, "the seal does not fit the file"))
        else:
            self.events += seq_of(line.body) is not None
            take(line)
        self.sha.update(line.raw)


def scan_file(path: Path, take: Callable[[Line], None], *, is_newest: bool) -> FileScan:
    """Read a file; `take` gets each good line. Only the newest file of a session may have a torn tail.

    The head is never torn: it was safe before the file got its name.
    """
    scan = FileScan(path)
    waiting: deque[Line] = deque()
    with open_to_read(path) as file:
        for line in read_lines(file):
            if line.offset == 0:
                scan._settle(line, take)
                continue
            waiting.append(line)
            if len(waiting) > GROUP_EVENTS:
                scan._settle(waiting.popleft(), take)
    ends_sealed = bool(waiting) and (waiting[-1].body or b"").startswith(b'{"rec":"seal"')
    while waiting and (waiting[0].body is not None or ends_sealed or not is_newest):
        scan._settle(waiting.popleft(), take)
    if waiting:
        scan.tail = waiting[0].offset
        scan.tail_bytes = b"".join(line.raw for line in waiting)
    return scan


@dataclass(slots=True)
class Scan:
    """A session as it lies on the disk."""

    head: Head
    """The newest head that can be read."""
    state: State
    newest: FileScan
    number: int
    """Of the newest file."""
    damage: list[Damage]

    def next_head(self) -> Head:
        """The head of the file with which the next epoch begins."""
        epoch = max(self.head.epoch, self.state.epoch) + 1
        return self.head.following(self.state, segment=self.number + 1, epoch=epoch)


def scan_session(folder: Path) -> Scan | None:
    """Fold a session from the newest file whose head can be read; None where no event was ever safe.

    Raises:
        StorageError: a file cannot be read. DataError: it was written by another version.
    """
    try:
        return _scan_session(folder)
    except OSError as error:
        raise StorageError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _scan_session(folder: Path) -> Scan | None:
    numbers = segment_numbers(folder)
    heads = ((place, read_head(segment_path(folder, numbers[place]))) for place in reversed(range(len(numbers))))
    found = next(((place, head) for place, head in heads if head is not None), None)
    if found is None:
        return None
    place, head = found
    state = State.from_json(head.state) if head.state else State()

    def take(line: Line) -> None:
        assert line.body is not None
        seq = seq_of(line.body)
        if seq is not None and seq > state.head:
            state.apply(json.loads(line.body))

    scans = [scan_file(segment_path(folder, n), take, is_newest=n == numbers[-1]) for n in numbers[place:]]
    damage = [found for scan in scans for found in scan.damage]
    return Scan(head, state, scans[-1], numbers[-1], damage) if state.head else None


def is_unborn(folder: Path) -> bool:
    """A session of which a crash left nothing but an empty folder, or a head without a byte behind it."""
    numbers = segment_numbers(folder)
    if numbers != [1]:
        return not numbers
    with open_to_read(segment_path(folder, 1)) as file:
        return decode(file.readline()) is not None and not file.read(1)


def repair(files: Files, folder: Path, scan: Scan) -> None:
    """Make a session ready for its next file: save the torn tail aside and cut it off; seal what is whole.

    Raises:
        OSError: the disk did not do it; then nothing that was shown is lost, and it can be tried again.
    """
    newest = scan.newest
    for left in folder.glob("*.new"):
        files.unlink(left)
    if newest.is_sealed:
        return
    if newest.tail is not None:
        _save_aside(files, newest)
    fd = files.open(newest.path)
    try:
        if newest.tail is not None:
            files.truncate(fd, newest.tail)
        if not newest.damage:
            write_all(files, fd, encode(dump(seal_record(newest.events, newest.sha.hexdigest()))))
        files.datasync(fd)
    finally:
        files.close(fd)
    sync_folder(files, folder)


def _save_aside(files: Files, newest: FileScan) -> None:
    names = (newest.path.with_suffix(f".torn-{number}") for number in count(1))
    fd = files.create(next(name for name in names if not name.exists()))
    try:
        write_all(files, fd, newest.tail_bytes)
        files.datasync(fd)
    finally:
        files.close(fd)
