"""Typed questions: characters become lines, and the terminal is given back as it was."""

from __future__ import annotations

import os
import threading

import pytest

from vigil.cli.keyboard import Keyboard, Line

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


@pytest.mark.parametrize(
    ("typed", "lines", "left"),
    [
        (["Who?\n"], ["Who?"], ""),
        (["W", "h", "o", "\r"], ["Who"], ""),
        (["Whp\x7fo", "\n", "next"], ["Who"], "next"),
        (["nonsense\x15Who\n"], ["Who"], ""),
        (["  \n\n"], [], ""),
        (["Wh", "\x1b[A", "o\x01\n"], ["Who"], ""),
        (["one\ntwo\n"], ["one", "two"], ""),
    ],
    ids=["line", "keys", "backspace", "clear", "blank", "arrow", "two"],
)
def test_characters_become_lines(typed: list[str], lines: list[str], left: str) -> None:
    got: list[str] = []
    line = Line(got.append)
    for chars in typed:
        line.type(chars)
    assert (got, line.text) == (lines, left)


def test_a_question_typed_in_a_terminal_arrives_unechoed_and_the_terminal_is_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    master, slave = pty.openpty()
    saved = os.dup(0)
    os.dup2(slave, 0)
    monkeypatch.setattr("vigil.cli.keyboard.is_ours", lambda: True)
    before = termios.tcgetattr(0)
    asked: list[str] = []
    shown: list[str] = []
    got_line = threading.Event()

    def on_line(text: str) -> None:
        asked.append(text)
        got_line.set()

    try:
        with Keyboard(on_line, on_change=shown.append, echo=False):
            assert not termios.tcgetattr(0)[3] & termios.ECHO
            os.write(master, "Wér ist da?\n".encode())
            assert got_line.wait(20)
        assert termios.tcgetattr(0) == before
    finally:
        os.dup2(saved, 0)
        for descriptor in (saved, master, slave):
            os.close(descriptor)
    assert asked == ["Wér ist da?"]


def test_nothing_is_read_where_stdin_is_no_terminal_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigil.cli.keyboard.is_ours", lambda: False)
    before = threading.active_count()
    with Keyboard(lambda text: None, on_change=lambda text: None, echo=True):
        assert threading.active_count() == before
