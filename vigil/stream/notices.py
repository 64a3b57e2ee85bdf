"""What a live source says besides its frames. Sessions turn most of it into events."""

from __future__ import annotations

from dataclasses import dataclass

from vigil.types import BackCause, DropReason, LostCause


@dataclass(frozen=True, slots=True)
class Found:
    """The source is open for the first time."""

    width: int
    height: int
    codec: str


@dataclass(frozen=True, slots=True)
class Outage:
    """The source has gone, or could not be opened again; the next attempt follows."""

    cause: LostCause
    attempt: int
    """1, 2, 3, ...; counts from 1 again when the source has been healthy for a while."""
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Return:
    """Pictures come again, or come differently than before."""

    epoch: int
    """1 from the first picture on, and one more with each `Return`."""
    cause: BackCause
    gap_s: float
    """For how long there was no picture (s)."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Frames that came, but had become old before anybody could look at them."""

    first_s: float
    last_s: float
    count: int
    reason: DropReason


Notice = Found | Outage | Return | Skipped
