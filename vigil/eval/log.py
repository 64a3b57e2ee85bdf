"""The event log: one JSON object per line with all that a run saw and said, and when.

Every metric is a pure function of a `Log` and a `Truth`. Two times: `t` is media time (s since the first frame of the
stream), `w` is the run clock (s since the run started). Text stands at `tau = (w - w0) * speed`, never at the time of
the last frame it saw, so that a slow system pays for its latency. Clocks: "free" (virtual, computing costs nothing),
"cost" (virtual, every operation costs a declared time), "wall" (real hardware).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vigil.errors import DataError
from vigil.eval.jsonl import json_lines, read_lines, row_from_json
from vigil.eval.rows import (
    KINDS,
    AnswerRow,
    AnswerState,
    DecideRow,
    DropRow,
    EndRow,
    FrameRow,
    HeadRow,
    PromptRow,
    ReadyRow,
    Row,
    SampleRow,
    TokRow,
    canonical_line,
    object_of,
    rounded,
)
from vigil.eval.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One answer with at least one token, in media time."""

    a: str
    q: str | None
    tokens: tuple[TokRow, ...]
    tau: tuple[float, ...]
    """Media time of each token (s)."""
    state: AnswerState
    """"open", "final" or "cut": how it ended."""
    supersedes: str | None
    retracted_s: float | None
    """Media time at which it was taken back, or None."""

    @property
    def tau_first(self) -> float:
        return self.tau[0]

    @property
    def tau_last(self) -> float:
        return self.tau[-1]

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)


def microseconds(seconds: float) -> int:
    """Round a time to whole microseconds, so that times can be compared and added exactly."""
    return round(seconds * 1e6)


@dataclass(frozen=True)
class Log:
    """A valid log, parsed once. Build it with `parse_log` or `read_log`."""

    rows: tuple[Row, ...]
    objects: tuple[dict[str, Any], ...]
    """The JSON object of each row, as it was written."""

    @property
    def head(self) -> HeadRow:
        head = self.rows[0]
        assert isinstance(head, HeadRow)
        return head

    @property
    def end(self) -> EndRow:
        end = self.rows[-1]
        assert isinstance(end, EndRow)
        return end

    @property
    def frame_period_w(self) -> float:
        """Seconds of run clock between two frames."""
        return 1.0 / (self.head.fps * self.head.speed)

    def tau(self, w: float) -> float:
        """Media time of a moment on the run clock, in whole microseconds (s)."""
        return round((w - self.head.w0) * self.head.speed, 6)

    @cached_property
    def frames(self) -> tuple[FrameRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, FrameRow))

    @cached_property
    def ready_w(self) -> dict[int, float]:
        """Frame index -> run clock at which it became visible."""
        return {row.i: row.w for row in self.rows if isinstance(row, ReadyRow)}

    @cached_property
    def drops(self) -> tuple[DropRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, DropRow))

    @cached_property
    def prompts(self) -> tuple[PromptRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, PromptRow))

    @cached_property
    def decisions(self) -> tuple[DecideRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, DecideRow))

    @cached_property
    def samples(self) -> tuple[SampleRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, SampleRow))

    @cached_property
    def speech(self) -> tuple[Speech, ...]:
        """Speech events in the order of their first tokens. An answer without tokens is not speech."""
        tokens: dict[str, list[TokRow]] = {}
        lines: dict[str, list[AnswerRow]] = {}
        for row in self.rows:
            if isinstance(row, TokRow):
                tokens.setdefault(row.a, []).append(row)
            elif isinstance(row, AnswerRow):
                lines.setdefault(row.a, []).append(row)
        return tuple(self._speech(tokens[a], lines[a]) for a in tokens)

    def _speech(self, tokens: list[TokRow], lines: list[AnswerRow]) -> Speech:
        retracted = next((line.w for line in lines if line.state == "retracted"), None)
        return Speech(
            a=lines[0].a,
            q=lines[0].q,
            tokens=tuple(tokens),
            tau=tuple(self.tau(token.w) for token in tokens),
            state=[line.state for line in lines if line.state != "retracted"][-1],
            supersedes=next((line.supersedes for line in lines if line.supersedes is not None), None),
            retracted_s=None if retracted is None else self.tau(retracted),
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical lines, each ended by a line feed, in hex; on the "wall" clock without `w`."""
        digest = hashlib.sha256()
        for values in self.objects:
            digest.update(_bytes(canonical_line(values, with_w=self.head.clock != "wall")))
        return digest.hexdigest()


def _bytes(line: str) -> bytes:
    return line.encode("utf-8", errors="surrogatepass") + b"\n"


def log_hash(log: Log) -> str:
    """SHA-256 of the canonical form of a log, in hex."""
    return log.hash


def parse_log(lines: Iterable[str], *, where: str = "log") -> Log:
    """Parse and validate the lines of a log.

    Raises:
        DataError: a line breaks the format or a validity rule; the text names the line and the rule.
    """
    return _checked(json_lines(lines, where=where), where=where)


def validate(rows: Sequence[Row]) -> Log:
    """Check rows that were built in memory, and wrap them as a log, the same as if it were written and read back.

    Raises:
        DataError: a row breaks a validity rule; its line is its position in `rows`.
    """
    objects = ((f"log line {number}", rounded(object_of(row))) for number, row in enumerate(rows, start=1))
    return _checked(objects, where="log")


def _checked(lines: Iterable[tuple[str, dict[str, Any]]], *, where: str) -> Log:
    rules = Rules()
    rows: list[Row] = []
    objects: list[dict[str, Any]] = []
    for here, values in lines:
        kind = values["k"]
        if kind not in KINDS:
            raise DataError(f"{here} has the unknown kind {kind!r}. The kinds are: {', '.join(KINDS)}.")
        fields = {name: value for name, value in values.items() if name != "k"}
        row = row_from_json(KINDS[kind], fields, where=f"{here} ({kind})")
        rules.check(row, where=here)
        rows.append(row)
        objects.append(values)
        where = here
    rules.finish(where=where)
    return Log(tuple(rows), tuple(objects))


def read_log(path: Path) -> Log:
    """Read and validate a log file (JSONL, UTF-8)."""
    return parse_log(read_lines(path), where=path.name)


def write_log(path: Path, log: Log) -> None:
    """Write a log as canonical lines; the run clock is kept whatever the clock."""
    path.write_bytes(b"".join(_bytes(canonical_line(values)) for values in log.objects))


def keep_log(path: Path, log: Log) -> None:
    """The same, so that the file is there whole or not at all: a run that is cut short is not misled by a part."""
    part = path.with_suffix(".part")
    write_log(part, log)
    part.replace(path)
