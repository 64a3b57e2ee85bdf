"""The streams of one run: each log with its truth, its name, and where its pictures come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vigil.errors import ConfigError, SourceError
from vigil.eval.jsonl import read_lines
from vigil.eval.log import Log, read_log
from vigil.eval.truth import Truth, read_truth

LOG_ENDING, TRUTH_ENDING, FRAMES_ENDING = ".log.jsonl", ".truth.jsonl", ".frames.sha256"
_SCENE = re.compile(r"world-(train|val|test)-(\d+)-\d+")
_SAME = ("clock", "model", "seed", "policy", "fps", "speed")
"""Fields of the head in which the logs of one run agree."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One log with what should have been said."""

    name: str
    """File name of the log without its ending."""
    log: Log
    truth: Truth
    video: Path | None = None
    """What was watched, if it was a file."""
    frames_sha256: str | None = None
    """`fingerprint` of the frames that were watched, if it was kept."""

    @property
    def scene_id(self) -> str | None:
        """The world scene that the name of a kept log tells, such as "world:test:17"; None for other names."""
        found = _SCENE.fullmatch(self.name)
        return f"world:{found[1]}:{found[2]}" if found else None

    @property
    def end_s(self) -> float:
        """Media time at which both the log and the truth are over."""
        ends = [self.log.tau(self.log.end.w), *(speech.tau_last for speech in self.log.speech)]
        ends += [value.end_s for value in self.truth.values] + [null.end_s for null in self.truth.nulls]
        ends += [event.e for event in self.truth.events]
        ends += [question.until for question in self.truth.questions if question.until is not None]
        return max(ends)


def fingerprint(frames_FHWC: NDArray[np.uint8]) -> str:
    """SHA-256 of the size and the pixels of frames, in hex: it tells whether frames drawn again are the same."""
    return sha256(repr(frames_FHWC.shape).encode() + frames_FHWC.tobytes()).hexdigest()


def find_streams(logs: Sequence[Path], *, truths: Sequence[Path] = (), videos: Sequence[Path] = ()) -> list[Stream]:
    """Read the logs of one run, each a file or a folder of `*.log.jsonl` files, in the order of their numbers.

    The truth of `x.log.jsonl` is `x.truth.jsonl` beside it, unless `truths` gives one for each log. `videos` gives one
    for each log too.

    Raises:
        ConfigError: as many truths or videos as logs are needed, or the logs are of different runs.
        SourceError: a file is missing. DataError: a file breaks its format.
    """
    files = [file for path in logs for file in _files(path)]
    for given, flag in ((truths, "--truth"), (videos, "--video")):
        if given and len(given) != len(files):
            raise ConfigError(f"{len(files)} logs and {len(given)} files with {flag}. Give one for each log, in order.")
    streams = [
        Stream(
            name=_name(file),
            log=read_log(file),
            truth=read_truth(truths[n] if truths else _truth_beside(file)),
            video=videos[n] if videos else None,
            frames_sha256=_kept_fingerprint(file),
        )
        for n, file in enumerate(files)
    ]
    for field in _SAME:
        values = sorted({str(getattr(stream.log.head, field)) for stream in streams})
        if len(values) > 1:
            told = " and ".join(values)
            raise ConfigError(f"the logs have {field} {told}. A page shows one run: give the logs of one run.")
    return streams


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob(f"*{LOG_ENDING}"), key=lambda file: _by_number(file.name))
    if not found:
        raise SourceError(f"{path} holds no *{LOG_ENDING} file. Give a folder that vigil eval behaviour --logs wrote.")
    return found


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sort "x-2" before "x-10"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _name(file: Path) -> str:
    for ending in (LOG_ENDING, ".jsonl"):
        if file.name.endswith(ending):
            return file.name.removesuffix(ending)
    return file.name


def _kept_fingerprint(file: Path) -> str | None:
    kept = file.with_name(_name(file) + FRAMES_ENDING)
    return "".join(read_lines(kept)).strip() if kept.is_file() else None


def _truth_beside(file: Path) -> Path:
    beside = file.with_name(_name(file) + TRUTH_ENDING)
    if not beside.is_file():
        raise SourceError(f"{file.name} has no {beside.name} beside it. Name its truth with --truth FILE.")
    return beside
