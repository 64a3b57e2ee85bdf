"""Every command in README, CONTRIBUTING and docs is run, page by page and in order, in a folder of its own.

What plays in real time plays as fast as it can, what runs for minutes runs small, and what needs a camera, a network,
a GPU or weights that are not here is run with `--dry-run`. A command that no rule knows fails the test of its page.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from desk import furnish

from vigil.cli import main
from vigil.stream.address import address_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """Each command of a page as words: continued lines joined, `&&` split, pipes cut off."""
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "&&" in words:
                yield words[: words.index("&&")]
                words = words[words.index("&&") + 1 :]
            if words:
                yield words[: words.index("|")] if "|" in words else words


WITH_COMMANDS = [page for page in PAGES if any(commands(page))]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: two clips, captions, a log with its truth, and model folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    furnish(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_every_command_of_a_page_runs(page: Path, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands(page):
        out = None
        if ">" in words:
            out, words = Path(words[words.index(">") + 1]), words[: words.index(">")]
        capsys.readouterr()
        run(words)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(capsys.readouterr().out)


def test_the_rules_refuse_what_they_do_not_know(desk: Path) -> None:
    unknown = ("vigil wach clip.mp4", "vigil watch --no-such-flag", "pip install vigil-video[no]", "brew install x")
    for line in unknown:
        with pytest.raises((AssertionError, KeyError)):
            run(line.split())


# ---- rules -----------------------------------------------------------------------------------------------------


def run(words: list[str]) -> None:
    """Run one command by the rule of its first word."""
    RULES[words[0]](words[1:])


def vigil(argv: list[str]) -> None:
    """The command itself, made small or dry where it has to be."""
    argv = VIGIL.get(argv[0], lambda argv: argv)(argv) if argv else argv
    code = main(argv)
    assert code == (3 if "~/OVO-Bench" in argv else 0), f"vigil {shlex.join(argv)} ended with {code}"


def watch(argv: list[str]) -> list[str]:
    argv = [log_id() if word == "3f9a" else word for word in argv]
    is_live = any(address_of(word) is not None for word in argv[1:2])
    if is_live or named_model(argv).count("/") == 1 or "--resume" in argv:  # the session that was kept has ended
        return dry(argv)
    return argv if {"--speed", "--live", "--dry-run"} & {*argv} else [*argv, "--speed", "max"]


def ask(argv: list[str]) -> list[str]:
    return dry(argv) if named_model(argv).count("/") == 1 else argv


def log(argv: list[str]) -> list[str]:
    if "/backup/vigil" in argv:  # a copy of a server's folder
        return [argv[0], argv[1], str(Path("logs"))]
    return [log_id() if word == "3f9a" else word for word in argv]


def small(argv: list[str]) -> list[str]:
    for flag in ("--scenes", "--trials"):
        if flag in argv:
            argv = [*argv]
            argv[argv.index(flag) + 1] = "1"
    return [*argv, "--seconds", "10"] if argv[1] == "behaviour" else argv


def dry(argv: list[str]) -> list[str]:
    return argv if "--dry-run" in argv or "--list" in argv else [*argv, "--dry-run"]


def named_model(argv: list[str]) -> str:
    name = argv[argv.index("--model") + 1] if "--model" in argv else "nano"
    return "" if Path(name).is_dir() else name


def log_id() -> str:
    """The newest session that was kept in `logs`."""
    return max(Path("logs").glob("sessions/*"), key=lambda path: path.stat().st_mtime).name.split(".")[0]


VIGIL: dict[str, Callable[[list[str]], list[str]]] = {
    "watch": watch, "ask": ask, "log": log, "serve": dry, "bench": dry, "train": dry, "eval": small,
}  # fmt: skip


def pip(argv: list[str]) -> None:
    """What is installed exists: extras of this project, and names that pins agree with."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert argv[0] == "install"
    for wanted in re.findall(r"\[([\w,-]+)\]", " ".join(argv)):
        assert set(wanted.split(",")) <= set(extras), wanted


def python(argv: list[str]) -> None:
    """Programs of this repository are there and know their flags; the examples are run by tests/examples."""
    if argv[0] == "-m":
        assert argv[1] in ("venv", "vigil.serve.scale"), argv
    elif argv[0].startswith("examples/"):
        assert (ROOT / "tests" / "examples").is_dir()
        assert (ROOT / argv[0]).is_file()
    else:
        text = (ROOT / argv[0]).read_text(encoding="utf-8")
        assert [flag for flag in argv if flag.startswith("--") and f'"{flag}"' not in text] == []


def torchrun(argv: list[str]) -> None:
    """The same stage in one process, dry, from the model that stands for the hub's."""
    argv = ["my-model" if word == "org/model" else word for word in argv[argv.index("-m") + 2 :]]
    vigil(["train", *argv])


def in_ci(argv: list[str]) -> None:
    """`.ci/run` runs it on every change, as it takes the README's test command."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(word in text for word in ("README.md", "ruff check .", "ruff format --check .", "mypy", "vulture"))


def of_the_system(argv: list[str]) -> None:
    """Other people's programs: only the files of ours that are named must be there."""
    for word in argv:
        assert not word.startswith("deploy/") or (ROOT / word).exists(), word


RULES: dict[str, Callable[[list[str]], None]] = {
    "vigil": vigil, "pip": pip, "/opt/vigil/bin/pip": pip, "python": python, "python3": python, "torchrun": torchrun,
    "pytest": in_ci, "ruff": in_ci, "mypy": in_ci, "vulture": in_ci,
    **dict.fromkeys((".", "cp", "cat", "curl", "docker", "rsync", "systemctl"), of_the_system),
}  # fmt: skip
