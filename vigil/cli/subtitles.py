"""Subtitles of a session: what was said, when it was said, as SRT or WebVTT."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from vigil.cli.story import Spoken, Story
from vigil.errors import OutputError
from vigil.stream.source import printable
from vigil.types import Asked

READ_S = 2.0
"""A text stays at least this long after it has been said, unless the next one comes."""
READ_CHARS_PER_S = 15.0
"""Reading speed; a long text stays longer."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A text and when it is shown."""

    start_s: float
    end_s: float
    text: str


def cues(story: Story) -> list[Cue]:
    """One cue for each text, from when it begins to be said until the next begins or it has been read."""
    track = Track()
    return [*(cue for entry in story.entries for cue in track.reach(entry)), *track.end()]


class Track:
    """Gives each cue as soon as its end is known: when the next text begins. It remembers one text only."""

    def __init__(self) -> None:
        self._open: Spoken | None = None

    def reach(self, entry: Asked | Spoken) -> list[Cue]:
        """The cue that the newest entry of a story ends, if it ends one. A text that grows may come many times: a cue
        that ends where it begins is none."""
        if not isinstance(entry, Spoken) or not entry.text.strip():
            return []
        ended, self._open = self._open, entry
        return _cue(ended, entry.start_s)

    def end(self, at_s: float = inf) -> list[Cue]:
        """The cue that is still open, if there is one; no cue lasts longer than until `at_s`."""
        ended, self._open = self._open, None
        return _cue(ended, at_s)


def _cue(entry: Spoken | None, next_s: float) -> list[Cue]:
    if entry is None:
        return []
    text = printable(entry.text).strip() + ("" if entry.status == "final" else " ...")
    said_s = entry.start_s if entry.end_s is None else entry.end_s
    end_s = min(next_s, max(said_s + READ_S, entry.start_s + len(text) / READ_CHARS_PER_S))
    return [Cue(entry.start_s, end_s, text)] if end_s > entry.start_s else []


def to_srt(cues: Sequence[Cue]) -> str:
    """Spell cues as SubRip. The arrow is its only reserved word."""
    blocks = [
        f"{number}\n{_time(cue.start_s, ',')} --> {_time(cue.end_s, ',')}\n{cue.text.replace('-->', '->')}\n"
        for number, cue in enumerate(cues, start=1)
    ]
    return "\n".join(blocks)


def to_vtt(cues: Sequence[Cue]) -> str:
    """Spell cues as WebVTT, with its three reserved characters escaped."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        text = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_time(cue.start_s, '.')} --> {_time(cue.end_s, '.')}\n{text}\n")
    return "\n".join(blocks)


def write_subtitles(story: Story, *, srt: Path | None, vtt: Path | None) -> None:
    """Write the subtitle files that were asked for.

    Raises:
        OutputError: one could not be written.
    """
    if srt is not None:
        write_whole(srt, to_srt(cues(story)))
    if vtt is not None:
        write_whole(vtt, to_vtt(cues(story)))


def check_writable(path: Path) -> None:
    """Find out before a run whether its result can be written afterwards; leaves nothing behind.

    Raises:
        OutputError: it cannot.
    """
    if path.is_dir():
        raise OutputError(f"{printable(str(path))} is a folder. Give the name of a file.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise not_writable(path, error) from error


def write_whole(path: Path, text: str | Iterable[str]) -> None:
    """Write a file so that it is there completely or not at all: temporary file, fsync, rename, fsync of the folder.

    What is no regular file (a pipe, a device, a link) is written straight through, and stays what it is.

    Raises:
        OutputError: it could not be written.
    """
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(text)
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(text)
                file.flush()
                os.fsync(file.fileno())
            move_into_place(Path(name), path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise not_writable(path, error) from error


def move_into_place(part: Path, path: Path) -> None:
    """Give a file that is whole and synced its name, so that it lasts. Raises OSError."""
    part.chmod(0o666 & ~_umask())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def not_writable(path: Path, error: OSError) -> OutputError:
    """What to say when a file cannot be written."""
    return OutputError(f"{printable(str(path))} cannot be written: {error.strerror}. Choose another place.")


def _time(time_s: float, point: str) -> str:
    ms = round(time_s * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"
