"""Events as lines on stdout: JSON for programs, plain text for people and logs."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self

from vigil.cli import INTERRUPTED, abandon_stdout
from vigil.cli.story import Spoken, Story, clock
from vigil.errors import OutputError
from vigil.stream.source import printable
from vigil.types import Asked, Back, BackCause, Ended, Event, FramesDropped, Lost, LostCause, Silence, event_to_json

LOST: dict[LostCause, str] = {
    "frozen": "the source is frozen",
    "closed": "the source has closed the connection",
    "refused": "the source does not answer",
    "decoder": "the source cannot be decoded",
}
BACK: dict[BackCause, str] = {
    "reconnect": "after {:.1f} s",
    "gap": "after {:.1f} s",
    "resolution": "with pictures of another size",
    "codec": "with another codec",
    "clock": "with another clock",
}
SHORTEST_SILENCE_S = 1.0
"""Shorter silences get no line of their own."""


class Printer(Protocol):
    """Shows a session to somebody."""

    def show(self, event: Event) -> None:
        """Take one event."""

    def trace(self, kind: str, **fields: object) -> None:
        """Take one measurement of a session; see `vigil.stream.session.Trace`."""

    def typing(self, text: str) -> None:
        """The user has typed this much of a question."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def write_line(text: str) -> None:
    """Print one line and flush it, so that a reader has it at once.

    Raises:
        OutputError: stdout is full or broken. BrokenPipeError: its reader is gone.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon_stdout()
        raise OutputError(f"stdout cannot be written: {error.strerror}. Choose another place.") from error


class _Lines:
    """A printer that needs neither measurements nor cleaning up."""

    def trace(self, kind: str, **fields: object) -> None:
        """Nothing to do."""

    def typing(self, text: str) -> None:
        """Nothing to do: the terminal echoes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


class JsonLines(_Lines):
    """One event per line, in the spelling of `event_to_json`, with the name of its source."""

    def __init__(self, source: str) -> None:
        self.source = source

    def show(self, event: Event) -> None:
        """Print the event."""
        write_line(json.dumps({**event_to_json(event), "source": self.source}))


class PlainLines(_Lines):
    """One line for each question, answer and silence, with the video time at which it began.

    `label` opens every line; it tells several sources apart.
    """

    def __init__(self, label: str = "") -> None:
        self._label = label
        self._story = Story(keep=50)
        self._quiet: tuple[float, float] | None = None

    def show(self, event: Event) -> None:
        """Print a line when something is complete."""
        spoken = self._story.add(event)
        match event:
            case Silence():
                first_s = event.first_s if self._quiet is None else self._quiet[0]
                self._quiet = (first_s, event.last_s)
            case Asked():
                self._line(event.time_s, "watch for" if event.standing else "ask", event.text)
            case FramesDropped():
                self._line(event.first_s, "dropped", f"{event.count} frames ({event.reason})")
            case Lost():
                self._line(event.time_s, "lost", f"{LOST[event.cause]}; trying again (attempt {event.attempt})")
            case Back():
                self._line(event.time_s, "back", BACK[event.cause].format(event.gap_s))
            case Ended():
                seen = f"{event.perceived} of {event.received} frames seen, {event.dropped} dropped"
                self._line(event.time_s, "end", seen)
        if spoken is not None:
            self._line(spoken.start_s, "revise" if spoken.rev > 1 else "say", _with_note(spoken))

    def _line(self, time_s: float, what: str, text: str) -> None:
        quiet, self._quiet = self._quiet, None
        if quiet is not None and quiet[1] - quiet[0] >= SHORTEST_SILENCE_S:
            write_line(f"{self._label}{clock(quiet[0]):>9}  {'silence':<9}  until {clock(quiet[1])}")
        write_line(f"{self._label}{clock(time_s):>9}  {what:<9}  {printable(text)}".rstrip())


def _with_note(spoken: Spoken) -> str:
    ending = {"interrupted": " [cut]", "superseded": " [withdrawn]", "error": " [failed]"}.get(spoken.status or "", "")
    was = f" [was: {spoken.replaces}]" if spoken.replaces else ""
    return spoken.text + ending + was


def note(text: str) -> None:
    """Tell the user something that is not a result: one line on stderr."""
    print(f"vigil: {printable(text)}", file=sys.stderr)


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Say on a terminal that a model is being loaded, while it is.

    Nothing has been written by then, so a ctrl-C ends the program at once: the libraries do not survive one here.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    is_terminal = sys.stderr.isatty()
    if is_terminal:
        print(f"vigil: loading {printable(name)} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
        if is_terminal:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
