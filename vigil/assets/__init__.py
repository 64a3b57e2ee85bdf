"""What ships inside the package: the demo clip and its questions, the small model, the sprites."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from vigil.errors import SourceError


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question that is shipped with the demo clip."""

    at_s: float
    """Video time at which it is asked (s)."""
    text: str
    standing: bool
    """True: each later reply is an update. False: each later reply revises the one before."""


def demo_clip() -> Path:
    """Where the demo clip lies.

    Raises:
        SourceError: it is not installed.
    """
    return _asset("demo.mp4")


def demo_questions() -> tuple[DemoQuestion, ...]:
    """The questions of the demo clip, in order of time.

    Raises:
        SourceError: they are not installed.
    """
    truth = json.loads(_asset("demo.json").read_text(encoding="utf-8"))
    questions = (DemoQuestion(float(q["at_s"]), q["text"], q["standing"]) for q in truth["questions"])
    return tuple(sorted(questions, key=lambda question: question.at_s))


def _asset(name: str) -> Path:
    path = Path(str(files(__name__).joinpath(name)))
    if not path.is_file():
        raise SourceError(f"the demo is not installed: {name} is missing. Give a SOURCE, or install vigil again.")
    return path
