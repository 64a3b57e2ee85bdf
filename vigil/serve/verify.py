"""Reading every byte of a kept session, to name each place that does not hold what was written there."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vigil.serve.lines import Line, decode, seq_of
from vigil.serve.recovery import Damage, FileScan, scan_file
from vigil.serve.segments import segment_numbers, segment_path


@dataclass(slots=True)
class Report:
    """What `verify` found in a session."""

    events: int = 0
    segments: int = 0
    tail_bytes: int = 0
    """Bytes of a group that was never shown; the next life cuts them off."""
    damage: list[Damage] = field(default_factory=list)


def verify(folder: Path) -> Report:
    """Check the sum of each line, the seal of each file, and that no event is missing between them."""
    report, numbers, order = Report(), segment_numbers(folder), _Order()
    for number in numbers:
        order.enter(segment_path(folder, number))
        with suppress(FileNotFoundError):  # it expired meanwhile
            scan = scan_file(order.path, order.take, is_newest=number == numbers[-1])
            _check_end(scan, is_newest=number == numbers[-1], is_closed=order.is_closed)
            explained = {damage.end for damage in scan.damage}
            report.damage += scan.damage + [gap for gap in order.missing if gap.offset not in explained]
            report.events += scan.events
            report.segments += 1
            report.tail_bytes += len(scan.tail_bytes)
    return report


class _Order:
    """Follows the numbers of events from file to file."""

    path: Path
    missing: list[Damage]

    def __init__(self) -> None:
        self.is_closed = False
        """The newest event says that nothing follows."""
        self._expected: int | None = None

    def enter(self, path: Path) -> None:
        """The next file begins."""
        self.path, self.missing = path, []

    def take(self, line: Line) -> None:
        """The next good line."""
        assert line.body is not None
        seq = seq_of(line.body)
        first = json.loads(line.body)["next"] if seq is None else seq
        self.is_closed = line.body.split(b",", 2)[1] == b'"type":"session.closed"'
        if self._expected is not None and first != self._expected:
            what = f"events {self._expected} to {first - 1} are missing before it"
            self.missing.append(Damage(self.path, line.offset, line.offset, what))
        self._expected = first if seq is None else seq + 1


def _check_end(scan: FileScan, *, is_newest: bool, is_closed: bool) -> None:
    """A file that nobody writes to any more ends with its seal."""
    if not is_newest and not scan.is_sealed and not scan.damage:
        scan.damage.append(Damage(scan.path, scan.size, scan.size, "the seal is missing"))
    if is_closed and scan.tail is not None and not _is_cut_short(scan.tail_bytes):
        scan.damage.append(Damage(scan.path, scan.tail, scan.tail + len(scan.tail_bytes), "a damaged seal"))
        scan.tail_bytes = b""


def _is_cut_short(tail: bytes) -> bool:
    """The end of a file is one line that was not written to its end."""
    return b"\n" not in tail and decode(tail[:-1] + b"\n") is None
