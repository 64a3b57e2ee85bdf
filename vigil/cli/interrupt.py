"""Ctrl-C: once to end cleanly, twice to end at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vigil.cli import INTERRUPTED

SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def ctrl_c(close: Callable[[], None], restore: Callable[[], None]) -> Iterator[threading.Event]:
    """The first ctrl-C or SIGTERM calls `close`, so that the session ends cleanly; the second ends the program.

    `close` runs in a thread of its own, since the main thread may hold the session's lock when the signal comes.
    """
    was_pressed = threading.Event()

    def handle(number: int, frame: object) -> None:
        """What a signal does."""
        if was_pressed.is_set():
            restore()
            if sys.stdout.isatty():
                os.write(1, SHOW_CURSOR)
            os._exit(INTERRUPTED)
        was_pressed.set()
        threading.Thread(target=close, name="vigil-close", daemon=True).start()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield was_pressed
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if was_pressed.is_set() else handler)
