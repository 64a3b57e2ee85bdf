"""Questions typed while a session runs, read in a thread of their own."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Self

BACKSPACE = "\x08\x7f"
CLEAR_LINE = "\x15"
ESCAPE = "\x1b"


class Line:
    """Turns typed characters into lines; knows backspace and ctrl-U, and leaves arrow keys out."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.text = ""
        self._on_line = on_line

    def type(self, chars: str) -> None:
        """Take what arrived at once; `on_line` gets each complete line that is not blank."""
        if chars.startswith(ESCAPE):
            return
        for char in chars:
            if char in "\r\n":
                line, self.text = self.text.strip(), ""
                if line:
                    self._on_line(line)
            elif char in BACKSPACE:
                self.text = self.text[:-1]
            elif char == CLEAR_LINE:
                self.text = ""
            elif char.isprintable():
                self.text += char


class Keyboard:
    """Reads stdin while it is a terminal of ours. With `echo=False` the view shows the line itself (`on_change`).

    The thread reads the bare file descriptor: it may still be blocked there when the program ends, and so must not
    hold a lock that the interpreter wants for its last flush.
    """

    def __init__(self, on_line: Callable[[str], None], *, on_change: Callable[[str], None], echo: bool) -> None:
        self._line = Line(on_line)
        self._on_change = on_change
        self._echo = echo
        self._saved: list[object] | None = None

    def __enter__(self) -> Self:
        if is_ours():
            if not self._echo:
                self._quiet_terminal()
            threading.Thread(target=self._read, name="vigil-keyboard", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
            self._saved = None

    def _quiet_terminal(self) -> None:
        import termios
        import tty

        self._saved = list(termios.tcgetattr(0))
        tty.setcbreak(0)  # keys arrive one by one and unechoed; ctrl-C still interrupts

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        with contextlib.suppress(OSError):  # the terminal was closed
            while data := os.read(0, 4096):
                self._line.type(decoder.decode(data))
                self._on_change(self._line.text)


def is_ours() -> bool:
    """Stdin is a terminal, and this program is in its foreground (reading it from the background would stop us)."""
    if not sys.stdin.isatty() or os.name != "posix":
        return False
    return os.getpgrp() == os.tcgetpgrp(0)
