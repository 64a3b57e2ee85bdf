"""How events are kept on disk."""

from __future__ import annotations

from dataclasses import dataclass

from vigil.errors import ConfigError
from vigil.serve.lines import GROUP_EVENTS, Level

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreConfig:
    """How events are kept. Change a copy with `dataclasses.replace`."""

    level: Level = "strict"
    """What is true before anybody sees an event: `fdatasync` returned, `write` returned, or nothing (memory only)."""
    keep_s: float | None = 86_400.0
    """How long events are kept (s); None: until somebody deletes them."""
    segment_bytes: int = 64 * MIB
    """A file of the log is closed at this size,"""
    segment_s: float = 3600.0
    """or when its first event is this old (s): a file goes as a whole, so events stay up to this much longer."""
    group_s: float = 0.010
    """Events wait this long for others to share one sync with (s)."""
    group_events: int = GROUP_EVENTS
    """At most so many do. Recovery takes a bad line further from the end than 32 for damage."""
    queue_events: int = 4096
    """Events on their way to the disk; beyond it `append` waits."""
    ring_events: int = 4096
    """Events kept in memory at level "off"."""
    recent_events: int = 256
    """Newest events kept in memory at the other levels, so that readers that keep up do not read the disk."""
    ballast_bytes: int = 64 * MIB
    """Size of a file that is given up when the disk is full, so that what is open can be closed."""
    low_bytes: int = 1024 * MIB
    """With less free space recordings stop and the oldest sessions expire."""
    critical_bytes: int = 256 * MIB
    """With less free space no new session begins."""
    waits_for_space: bool = True
    """On a full disk: wait until there is space again, or make the session read-only."""

    index: bool = False
    """Keep a table of contents in SQLite beside the log."""

    def __post_init__(self) -> None:
        if not 1 <= self.group_events <= GROUP_EVENTS:
            raise ConfigError(f"group_events must be 1 to {GROUP_EVENTS}, got {self.group_events}.")
        for name in ("segment_bytes", "segment_s", "queue_events", "ring_events", "recent_events"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}.")
        if self.keep_s is not None and self.keep_s <= 0:
            raise ConfigError(f"keep_s must be above 0, or None, got {self.keep_s}.")
