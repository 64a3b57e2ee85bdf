"""Lines on stdout, notes on stderr, and what is said while a model is loaded."""

from __future__ import annotations

import errno
import io
import json
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from scripted import Script, traffic_light

from vigil.cli import lines
from vigil.cli.lines import BACK, LOST, JsonLines, PlainLines, loading, note, write_line
from vigil.errors import OutputError
from vigil.types import Back, Event, Interrupted, Lost, event_to_json

AT = {"seq": 1, "wall_s": 0.0, "frame": 0}


def plain(events: list[Event], capsys: pytest.CaptureFixture[str], *, label: str = "") -> list[str]:
    with PlainLines(label) as printer:
        for event in events:
            printer.show(event)
    return capsys.readouterr().out.splitlines()


# ---- plain lines ----------------------------------------------------------------------------------------------------


def test_a_label_opens_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = plain(traffic_light(), capsys, label="door  ")
    assert len(shown) == 6
    assert all(line.startswith("door     0:0") for line in shown)


@pytest.mark.parametrize(
    ("status", "ending"),
    [("final", ""), ("interrupted", " [cut]"), ("superseded", " [withdrawn]"), ("error", " [failed]")],
)
def test_how_an_answer_ended_stands_behind_it(status: str, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plain(Script().spoken(1.0, "A cat", status=status).events, capsys) == [
        f"   0:01.0  say        A cat{ending}"
    ]


def test_a_revision_tells_what_it_replaced_and_a_third_one_the_second(capsys: pytest.CaptureFixture[str]) -> None:
    script = Script().spoken(1.0, "Red.").spoken(3.0, "Green.", rev=2).spoken(5.0, "Blue.", rev=3)
    assert [line.split(maxsplit=1)[1] for line in plain(script.events, capsys)] == [
        "say        Red.",
        "revise     Green. [was: Red.]",
        "revise     Blue. [was: Green.]",
    ]


@pytest.mark.parametrize(
    ("spans", "told"),
    [
        ([(0.0, 0.9)], []),
        ([(0.0, 1.0)], ["silence    until 0:01.0"]),
        ([(0.0, 0.5), (0.6, 1.2)], ["silence    until 0:01.2"]),
        ([(2.0, 9.0), (9.5, 70.0)], ["silence    until 1:10.0"]),
    ],
)
def test_silences_are_joined_and_short_ones_get_no_line(
    spans: list[tuple[float, float]], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script()
    for span in spans:
        script.silence(*span)
    shown = plain(script.ask(80.0, "Who?").events, capsys)
    assert [line.split(maxsplit=1)[1] for line in shown] == [*told, "ask        Who?"]


def test_silence_at_the_end_is_told_before_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    shown = plain(Script().silence(0.0, 5.0).ended(6.0, dropped=2).events, capsys)
    assert shown == [
        "   0:00.0  silence    until 0:05.0",
        "   0:06.0  end        7 of 9 frames seen, 2 dropped",
    ]


@pytest.mark.parametrize("cause", LOST)
def test_each_loss_has_words_of_its_own(cause: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = plain([Lost(**AT, time_s=3.0, cause=cause, attempt=4, retry_in_s=1.0)], capsys)  # type: ignore[arg-type]
    assert line == f"   0:03.0  lost       {LOST[cause]}; trying again (attempt 4)"


@pytest.mark.parametrize("cause", BACK)
def test_each_return_has_words_of_its_own(cause: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = plain([Back(**AT, time_s=3.0, epoch=2, cause=cause, gap_s=1.25)], capsys)  # type: ignore[arg-type]
    assert line == f"   0:03.0  back       {BACK[cause].format(1.25)}"
    assert "{" not in line


def test_an_event_without_a_line_leaves_none(capsys: pytest.CaptureFixture[str]) -> None:
    interrupted = Interrupted(**AT, time_s=1.0, turn=1, next_turn=2)  # type: ignore[arg-type]
    assert plain([interrupted, *Script().say(1.0, "A").events], capsys) == [], "a word alone is no line"


def test_nothing_of_a_text_can_break_a_line_or_command_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\nb\x1b[2J\u202ec"
    shown = plain(Script().ask(0.0, hostile).spoken(1.0, hostile).spoken(3.0, hostile, rev=2).events, capsys)
    assert len(shown) == 3
    assert all(line.isprintable() for line in shown)


# ---- JSON lines -----------------------------------------------------------------------------------------------------


def test_json_lines_have_the_name_of_their_source(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines('a "b"\n') as printer:
        printer.trace("frame", i=0)
        printer.typing("nothing")
        for event in traffic_light():
            printer.show(event)
    shown = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in shown] == [
        {**event_to_json(event), "source": 'a "b"\n'} for event in traffic_light()
    ]


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_full_disk_behind_stdout_is_an_error_and_a_reader_that_left_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned: list[int] = []
    monkeypatch.setattr(lines, "abandon_stdout", lambda: abandoned.append(1))

    def broken(error: OSError) -> Callable[..., None]:
        def write(*words: object, **how: object) -> None:
            raise error

        return write

    monkeypatch.setattr("builtins.print", broken(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OutputError, match=r"stdout cannot be written: No space left on device\. Choose another place"):
        write_line("x")
    assert abandoned == [1]
    monkeypatch.setattr("builtins.print", broken(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        write_line("x")
    assert abandoned == [1], "that is for the command as a whole"


def test_a_note_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    note("warning: a\x1b[2J\nb")
    assert capsys.readouterr() == ("", "vigil: warning: a[2J b\n")


# ---- loading --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Stderr as a terminal, or as none."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def test_a_terminal_is_told_that_a_model_is_loaded_and_cleared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal(True)
    monkeypatch.setattr("sys.stderr", screen)
    with loading("moss\x1b[2J"):
        assert screen.getvalue() == "vigil: loading moss[2J ..."
    assert screen.getvalue().endswith("\r\x1b[2K")
    log = Terminal(False)
    monkeypatch.setattr("sys.stderr", log)
    with loading("moss"):
        pass
    assert log.getvalue() == "", "elsewhere nothing is written"


def test_ctrl_c_while_a_model_is_loaded_ends_at_once_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    before = signal.getsignal(signal.SIGINT)
    with suppress(RuntimeError), loading("moss"):
        signal.raise_signal(signal.SIGINT)
        assert ended == [130]
        raise RuntimeError("no weights")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_model_may_be_loaded_in_a_thread_that_owns_no_signals() -> None:
    done: list[str] = []

    def load() -> None:
        with loading("nano"):
            done.append("loaded")

    thread = threading.Thread(target=load)
    thread.start()
    thread.join(20)
    assert done == ["loaded"]
