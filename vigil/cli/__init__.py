"""The command `vigil`. A command is a file in this folder, imported only when it is run.

To add one: write `vigil/cli/<name>.py` with `parser() -> Parser` and `run(args) -> None`, and name it in `COMMANDS`.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from vigil import __version__
from vigil.errors import ConfigError, OutputError, VigilError

COMMANDS = {
    "watch": "watch a video and print what the model says, as it says it",
    "ask": "answer one question after the whole video",
    "serve": "watch in the browser and over the wire, many at a time",
    "synth": "turn captions into real-time questions and answers",
    "world": "write scenes of the procedural world, with exact captions",
    "train": "train the small model, or one stage on data of any size",
    "export": "write a model folder in our layout or the released one",
    "log": "list, show and check the sessions that were kept",
    "eval": "measure perception, revision and silence",
    "bench": "measure speed and memory against two other designs",
}

VERBS: dict[tuple[str, ...], str] = {
    ("eval", "bench"): "eval_bench",
    ("eval", "l5"): "eval_l5",
    ("eval", "report"): "eval_report",
    ("eval", "study"): "eval_study",
}
"""Verbs with flags of their own: each is a file as a command is."""

EXIT_CODES = """\
exit codes: 0 done, 1 internal error, 2 usage, 3 source not opened,
            4 source lost, 5 output not writable, 6 model not loadable,
            7 not decodable, 130 ctrl-C, 141 reader of stdout gone"""
INTERRUPTED = 130
BROKEN_PIPE = 141


def help_text() -> str:
    """The screen that `vigil --help` shows."""
    width = max(len(name) for name in (*COMMANDS, "--version"))
    commands = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return f"""\
usage: vigil COMMAND [OPTIONS]

Watches a video while it plays, and speaks only when there is something to say.

{commands}

  {"--help":<{width}}  this text; vigil COMMAND --help tells about one command
  {"--version":<{width}}  the version ({__version__})

examples:
  vigil watch
  vigil ask kitchen.mp4 "How many people came in?"

{EXIT_CODES}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. What the user can cause is one line on stderr."""
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        print("vigil: stdout is closed, so nothing can be said. Open it, or send it to a file.", file=sys.stderr)
        return BROKEN_PIPE
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows "?"
    try:
        _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        abandon_stdout()
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise
        abandon_stdout()
        print(f"vigil: the output cannot be written: {error.strerror}. Choose another place.", file=sys.stderr)
        return OutputError.exit_code
    return 0


def program() -> NoReturn:
    """The command as a process: after it has ended, a late ctrl-C changes neither its output nor its exit code."""
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def abandon_stdout() -> None:
    """Send what stdout still holds nowhere, so that the interpreter's last flush does not fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _dispatch(argv: list[str]) -> None:
    if not argv:
        raise ConfigError("no command given. Try vigil watch, or vigil --help.")
    name = argv[0]
    if name in ("-h", "--help"):
        print(help_text(), end="")
    elif name == "--version":
        print(f"vigil {__version__}")
    elif name in COMMANDS:
        verb = VERBS.get((name, *argv[1:2]))
        module = import_module(f"vigil.cli.{verb or name}")
        module.run(module.parser().parse_args(argv[2:] if verb else argv[1:]))
    else:
        near = get_close_matches(name, COMMANDS, n=1) or [" or ".join(COMMANDS)]
        raise ConfigError(f"there is no command {name!r}. Try vigil {near[0]}, or vigil --help.")
