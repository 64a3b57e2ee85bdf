"""The command as a whole: help without heavy imports, one line for what went wrong, and its exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vigil import cli, errors
from vigil.cli import ask, main, watch
from vigil.config import StreamConfig

HERE = Path(__file__).parent
FRAMES = "import numpy as np; from PIL import Image; Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save('one.png')"
FAKE = "import sys, vigil; import scripted; vars(vigil).update(scripted.fakes(scripted.traffic_light(){more})[0])"
RUN = "from vigil.cli import main; sys.exit(main(sys.argv[1:]))"


def python(code: str, *args: str, folder: Path, **how: object) -> subprocess.Popen[str]:
    """Start Python with the scripted session in reach."""
    places = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": places, "PYTHONUNBUFFERED": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
    return subprocess.Popen([sys.executable, "-c", code, *args], cwd=folder, env=environment, **pipes)  # type: ignore


@pytest.fixture
def one(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-c", FRAMES], cwd=tmp_path, check=True)
    return tmp_path


def test_every_help_screen_imports_nothing_heavy() -> None:
    code = (
        "import sys; from vigil.cli import main\n"
        "for words in (['--help'], ['watch', '--help'], ['ask', '--help']):\n"
        "    try: main(words)\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'av', 'numpy', 'rich', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_help_names_every_command_and_every_command_has_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"\n  {name} " in text
        assert (Path(cli.__file__).parent / f"{name}.py").is_file()


WATCH_HELP = """\
usage: vigil watch [SOURCE]... [--ask TEXT]... [--watch-for TEXT]... [OPTIONS]

Watch a video while it plays, and print what the model says, as it says it.
Type a question and press Enter at any time. One question is open at a time:
the next one, typed or given, ends the one before.

  SOURCE               file, folder of images, camera:0, screen:, rtsp://..., or
                       http://... (default: the bundled clip); several are
                       watched at once, each asked the same
  --ask TEXT           question asked at 0 s (default: none)
  --ask-at S TEXT      question asked at a video time in seconds (default: none)
  --watch-for TEXT     what to report each time it happens (default: none)
  --fps HZ             frames read per second of video (default: 1.0)
  --model NAME         nano, a folder, or a hub name (default: nano)
  --speed FACTOR       seconds of video per second, or max (default: 1.0)
  --live               keep real time: frames that come too late are dropped
  --patience SECONDS   how long a live source may be away (default: 300.0)
  --still-ok           a camera whose picture never changes is not stuck
  --memory FRAMES      frames kept (default: as many as in the model's training)
  --text-tokens N      text tokens kept (default: the same)
  --retention WORD     window, keyframes, pool or merge (default: window)
  --frame-storage WORD model, int8 or fp8 (default: model)
  --pace TOKENS        tokens spoken per second of video (default: 8.0)
  --threshold P        speak where P(silence) < P, 0 to 1 (default: greedy)
  --json               one JSON event per line, for other programs
  --srt, --vtt FILE    write what was said as SRT or WebVTT subtitles
  --video FILE         write an MP4 of what was watched, with what was said
  --dry-run            say what would be used; open no camera, load no weights
  --out FILE           write the lines of --json to a file
  --log DIR            keep the session in a folder; see vigil log --help
  --resume ID          go on with a kept session after the last frame it saw

examples:
  vigil watch kitchen.mp4 --ask "Tell me when the water boils."
  vigil watch camera:0 --json | jq 'select(.event == "done")'

exit codes: 0 done, 1 internal error, 2 usage, 3 source not opened,
            4 source lost, 5 output not writable, 6 model not loadable,
            7 not decodable, 130 ctrl-C, 141 reader of stdout gone
"""


def test_the_help_of_watch_is_this_text_with_the_real_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["watch", "--help"])
    assert capsys.readouterr().out == WATCH_HELP
    default = StreamConfig()
    for flag, value in [("--fps", default.fps), ("--retention", default.retention), ("--pace", default.tokens_per_s)]:
        assert f"(default: {value})" in next(line for line in WATCH_HELP.splitlines() if line.strip().startswith(flag))


@pytest.mark.parametrize("text", [cli.help_text(), watch.HELP, ask.HELP], ids=["vigil", "watch", "ask"])
def test_a_help_screen_fits_a_terminal(text: str) -> None:
    lines = text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert text.count("\n  vigil ") == 2  # two examples


def test_every_flag_is_in_the_help() -> None:
    for module in (watch, ask):
        flags = [action for action in module.parser()._actions if action.dest != "help"]
        assert len(flags) >= 4
        for flag in flags:
            names = flag.option_strings or [flag.metavar]
            assert any(re.search(rf"\n  (--\w+, )*{name}[ ,]", module.HELP) for name in names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "vigil: no command given. Try vigil watch, or vigil --help."),
        (["wach"], "vigil: there is no command 'wach'. Try vigil watch, or vigil --help."),
        (["watch", "--loud"], "vigil: unrecognized arguments: --loud. Run vigil watch --help."),
        (["watch", "--fps", "0"], "vigil: argument --fps: '0' is not a number above 0. Run vigil watch --help."),
        (["watch", "--fps", "x"], "vigil: argument --fps: invalid positive value: 'x'. Run vigil watch --help."),
        (["watch", "--memory", "0"], "vigil: argument --memory: '0' is not a whole number of at least 1."),
        (["watch", "--threshold", "2"], "vigil: argument --threshold: '2' is not a number from 0 to 1."),
        (["watch", "--speed", "fast"], "vigil: argument --speed: invalid speed value: 'fast'."),
        (["watch", "--ask-at", "soon", "x"], "vigil: argument --ask-at: 'soon' is not a number of seconds."),
        (["watch", "--ask", " "], "vigil: argument --ask: the text is empty."),
        (["watch", "a.mp4", "--live", "--speed", "max"], "vigil: --live keeps real time, so --speed max cannot hold."),
        (["ask", "a.mp4"], "vigil: the following arguments are required: QUESTION."),
        (["ask", "a.mp4", ""], "vigil: the question is empty."),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1


def tree(root: type[errors.VigilError]) -> list[type[errors.VigilError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in tree(child))]


@pytest.mark.parametrize("kind", tree(errors.VigilError), ids=lambda kind: kind.__name__)
def test_each_error_becomes_one_line_and_its_exit_code(
    kind: type[errors.VigilError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: object) -> None:
        raise kind("3 of 4 happened. Do this.")

    monkeypatch.setattr(watch, "run", fail)
    assert main(["watch"]) == kind.exit_code
    assert capsys.readouterr() == ("", "vigil: 3 of 4 happened. Do this.\n")


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(watch, "run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["watch"])


def test_ctrl_c_ends_the_session_cleanly_with_130(one: Path) -> None:
    code = f"{FAKE.format(more=', stop_after=3')}; {RUN}"
    with python(code, "watch", "one.png", "--json", "--srt", "said.srt", folder=one) as run:
        assert run.stdout is not None
        lines = [run.stdout.readline() for _ in range(3)]
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=20)
    assert run.returncode == 130
    assert err == ""
    assert '"event": "say"' in lines[2]
    done, ended = map(json.loads, out.splitlines())
    assert (done["event"], done["status"], ended["event"]) == ("done", "interrupted", "ended")
    assert "The light" in (one / "said.srt").read_text()


def test_the_second_ctrl_c_ends_at_once(one: Path) -> None:
    stuck = "; scripted.FakeSession.close = lambda self: print('closing', file=sys.stderr, flush=True)"
    code = f"{FAKE.format(more=', stop_after=3')}{stuck}; {RUN}"
    with python(code, "watch", "one.png", "--json", "--srt", "said.srt", folder=one) as run:
        assert run.stdout is not None
        for _ in range(3):
            run.stdout.readline()
        run.send_signal(signal.SIGINT)
        assert run.stderr is not None
        assert run.stderr.readline() == "closing\n"  # and now it waits for the session, which never ends
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 130
    assert sorted(path.name for path in one.iterdir()) == ["one.png"]  # nothing half-written


def test_a_reader_that_goes_away_is_exit_code_141_without_a_word(one: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with python(f"{FAKE.format(more='')}; {RUN}", "watch", "one.png", folder=one, stdout=write_end) as run:
        os.close(write_end)
        _, err = run.communicate(timeout=20)
    assert (run.returncode, err) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_exit_code_5(one: Path) -> None:
    with (
        open("/dev/full", "w") as full,  # noqa: PTH123
        python(f"{FAKE.format(more='')}; {RUN}", "watch", "one.png", folder=one, stdout=full) as run,
    ):
        _, err = run.communicate(timeout=20)
    assert (run.returncode, err.count("\n")) == (5, 1)
    assert err.startswith("vigil: stdout cannot be written: No space left on device.")
