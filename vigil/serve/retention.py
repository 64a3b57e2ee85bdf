"""What is removed from the disk: files whose events are older than they are kept, and whole sessions."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from vigil.errors import StorageError
from vigil.serve.disk import Files, open_to_read, sync_folder
from vigil.serve.lines import read_lines, seq_of
from vigil.serve.recovery import is_unborn
from vigil.serve.segments import read_head, segment_numbers, segment_path

GONE = ".gone-"
"""Begin of the name of a folder that is being removed."""
_TAIL_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """The newest event of a session, without reading all of it."""

    seq: int
    t_mono: float
    t_wall: float
    keep_s: float | None
    is_closed: bool


def peek(folder: Path) -> Peek | None:
    """Read the end of the newest file of a session; None where there is nothing of ours.

    Raises:
        DataError: it was written by another version. StorageError: a file cannot be read.
    """
    try:
        return _peek(folder)
    except OSError as error:
        raise StorageError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _peek(folder: Path) -> Peek | None:
    for number in reversed(segment_numbers(folder)):
        path = segment_path(folder, number)
        head = read_head(path)
        if head is None:
            continue
        with open_to_read(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            bodies = [line.body for line in read_lines(file) if line.body is not None]
        event = next((json.loads(body) for body in reversed(bodies) if seq_of(body) is not None), None)
        if event is None:
            return Peek(seq=head.next - 1, t_mono=head.t_mono, t_wall=head.t_wall, keep_s=head.keep_s, is_closed=False)
        is_closed = event["type"] == "session.closed"
        return Peek(
            seq=event["seq"],
            t_mono=event["t_mono"],
            t_wall=event["t_wall"],
            keep_s=head.keep_s,
            is_closed=is_closed,
        )
    return None


def is_open(files: Files, folder: Path) -> bool:
    """Whether a session was open when its process ended; what a crash left of one that had not begun is dropped."""
    if is_unborn(folder):
        drop_folder(files, folder)
        return False
    seen = peek(folder)
    return seen is None or not seen.is_closed


def expire_files(files: Files, folder: Path, *, now_t: float, keep_s: float | None) -> float | None:
    """Remove the closed files of a session in which every event is older than `keep_s`.

    Returns:
        when the next file expires (`t_mono` of the session); None where none ever does. The newest file stays.
    """
    if keep_s is None:
        return None
    numbers = segment_numbers(folder)
    for number, following in pairwise(numbers):
        heads = (read_head(segment_path(folder, later)) for later in numbers if later >= following)
        newest_t = next((head.t_mono for head in heads if head is not None), now_t)
        if now_t - newest_t <= keep_s:
            return newest_t + keep_s
        for path in [segment_path(folder, number), *folder.glob(f"{number:08d}.torn-*")]:
            files.unlink(path)
        sync_folder(files, folder)
    return None


def drop_folder(files: Files, folder: Path) -> None:
    """Remove a session at once and for good: it gets another name, then its files go. Raises `OSError`."""
    gone = folder if folder.name.startswith(GONE) else folder.with_name(GONE + folder.name)
    if gone != folder:
        files.rename(folder, gone)
        sync_folder(files, folder.parent)
    for path in gone.iterdir():
        files.unlink(path)
    gone.rmdir()
    sync_folder(files, folder.parent)
