"""What `vigil watch` was told to do, as all its parts read it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vigil.cli.parser import Question
from vigil.config import StreamConfig

if TYPE_CHECKING:
    from vigil.stream.live import LiveConfig
    from vigil.stream.policy import Policy

PATIENCE_S = 300.0
"""As in `LiveConfig`, which is not imported for a help text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a run needs to know; the fields follow the flags."""

    source: str | None = None
    """None: the bundled clip, with its own questions where none are given."""
    others: tuple[str, ...] = ()
    """Further sources, watched at the same time."""
    questions: tuple[Question, ...] = ()
    stream: StreamConfig = field(default_factory=StreamConfig)
    model: str = "nano"
    speed: float | Literal["max"] = 1.0
    live: bool = False
    patience_s: float = PATIENCE_S
    """How long a live source may be away (s)."""
    still_ok: bool = False
    """A picture that does not change is no fault."""
    threshold: float | None = None
    json: bool = False
    srt: Path | None = None
    vtt: Path | None = None
    video: Path | None = None
    out: Path | None = None
    log: Path | None = None
    resume: str | None = None
    """Id of a session in `log`."""


def patience_of(options: Options) -> LiveConfig:
    """How patient a live source is."""
    from vigil.stream.live import LiveConfig

    config = LiveConfig(patience_s=options.patience_s)
    return replace(config, still_s=None) if options.still_ok else config


def policy_of(options: Options) -> Policy | None:
    """When to speak; None: whenever that is likelier than silence."""
    if options.threshold is None:
        return None
    from vigil.stream.policy import Threshold

    return Threshold(options.threshold)


def shows_live(options: Options) -> bool:
    """The live view is for a terminal that can move its cursor, and for people."""
    return not options.json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
