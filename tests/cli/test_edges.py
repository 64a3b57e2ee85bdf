"""The edges of the command: closed streams, full disks, terminals and signals."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

import vigil
from vigil import cli
from vigil.cli import BROKEN_PIPE, INTERRUPTED, interrupt, main, watch
from vigil.cli.keyboard import Keyboard, Line, is_ours

# ---- stdout and stderr ----------------------------------------------------------------------------------------------


def fail_with(error: BaseException) -> Any:
    def run(args: object) -> None:
        raise error

    return run


def test_the_version_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"vigil {vigil.__version__}\n", "")


def test_without_a_stdout_it_says_so_and_without_a_stderr_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["--version"]) == BROKEN_PIPE
    assert "stdout is closed, so nothing can be said" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["nonsense"]) == 2
    assert isinstance(sys.stderr, io.StringIO)
    assert "there is no command 'nonsense'" in sys.stderr.getvalue()


def test_a_terminal_that_lacks_a_character_shows_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    monkeypatch.setattr(cli, "help_text", lambda: "Türe ✓\n")
    assert main(["--help"]) == 0
    assert raw.getvalue() == b"T?re ?\n"


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), INTERRUPTED), (BrokenPipeError(), BROKEN_PIPE)], ids=["ctrl-C", "pipe"]
)
def test_an_end_from_outside_has_a_code_and_no_words(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    abandoned: list[int] = []
    monkeypatch.setattr(cli, "abandon_stdout", lambda: abandoned.append(1))
    monkeypatch.setattr(watch, "run", fail_with(error))
    assert main(["watch"]) == code
    assert capsys.readouterr() == ("", "")
    assert len(abandoned) == (code == BROKEN_PIPE)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_disk_that_takes_no_more_is_code_5(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "abandon_stdout", lambda: None)
    monkeypatch.setattr(watch, "run", fail_with(OSError(number, os.strerror(number))))
    assert main(["watch"]) == 5
    assert capsys.readouterr().err == (
        f"vigil: the output cannot be written: {os.strerror(number)}. Choose another place.\n"
    )


def test_another_error_of_the_system_is_our_own_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "run", fail_with(OSError(errno.EBADF, "Bad file descriptor")))
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(["watch"])


# ---- the keyboard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_terminal", "system", "group", "ours"),
    [(False, "posix", 7, False), (True, "nt", 7, False), (True, "posix", 8, False), (True, "posix", 7, True)],
    ids=["pipe", "windows", "background", "ours"],
)
def test_stdin_is_read_only_in_the_foreground_of_a_terminal(
    is_terminal: bool, system: str, group: int, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: is_terminal))
    fake = SimpleNamespace(name=system, getpgrp=lambda: 7, tcgetpgrp=lambda descriptor: group)
    monkeypatch.setattr("vigil.cli.keyboard.os", fake)
    assert is_ours() is ours


def test_characters_that_arrive_in_pieces_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigil.cli.keyboard.is_ours", lambda: True)
    pieces = iter([*("Wé?\n".encode()[i : i + 1] for i in range(5)), b""])
    monkeypatch.setattr(
        "vigil.cli.keyboard.os", SimpleNamespace(read=lambda descriptor, most: next(pieces), name="posix")
    )
    asked: list[str] = []
    shown: list[str] = []
    over = threading.Event()

    def change(text: str) -> None:
        shown.append(text)
        if len(shown) == 5:
            over.set()

    with Keyboard(asked.append, on_change=change, echo=True):
        assert over.wait(20)
    assert asked == ["Wé?"]
    assert shown == ["W", "W", "Wé", "Wé?", ""]


def test_a_terminal_that_is_closed_ends_the_reading_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def gone(descriptor: int, most: int) -> bytes:
        ended.set()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("vigil.cli.keyboard.is_ours", lambda: True)
    monkeypatch.setattr("vigil.cli.keyboard.os", SimpleNamespace(read=gone, name="posix"))
    with Keyboard(lambda text: None, on_change=lambda text: None, echo=True):
        assert ended.wait(20)


@pytest.mark.parametrize(
    ("typed", "left"), [("abc\x08\x08", "a"), ("\x08", ""), ("ab\x15c", "c"), ("\x1b[31m", ""), ("a\tb\x00", "ab")]
)
def test_keys_edit_the_line_and_others_are_left_out(typed: str, left: str) -> None:
    line = Line(lambda text: pytest.fail(f"asked {text!r}"))
    line.type(typed)
    assert line.text == left


# ---- ctrl-C ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_closes_the_session_in_a_thread_of_its_own(number: signal.Signals) -> None:
    closed = threading.Event()
    who: list[str] = []

    def close() -> None:
        who.append(threading.current_thread().name)
        closed.set()

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        with interrupt.ctrl_c(close, lambda: None) as was_pressed:
            assert not was_pressed.is_set()
            signal.raise_signal(number)
            assert closed.wait(20)
            assert was_pressed.is_set()
        assert who == ["vigil-close"]
        assert signal.getsignal(number) == signal.SIG_IGN, "a late one changes nothing any more"
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_without_a_signal_the_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupt.ctrl_c(lambda: None, lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_signal_gives_the_terminal_back_and_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(os, "_exit", lambda code: done.append(code))
    monkeypatch.setattr(os, "write", lambda descriptor, data: done.append(data) or len(data))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        with interrupt.ctrl_c(lambda: None, lambda: done.append("restored")):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert done == ["restored", interrupt.SHOW_CURSOR, INTERRUPTED]
