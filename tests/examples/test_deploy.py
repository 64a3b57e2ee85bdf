"""What docs/deploy.md and deploy/ tell people to type exists: commands, flags, files, names."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from vigil.cli import COMMANDS
from vigil.serve.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "deploy.md", ROOT / "docs" / "client.md"]
UNIT = (ROOT / "deploy" / "vigil.service").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """Every vigil command in the shell blocks of a page."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [part.strip() for block in blocks for line in block.splitlines() for part in line.split("&&")]
    words = [shlex.split(line, comments=True) for line in lines]
    return [one for one in words if one and one[0] == "vigil"]


def parses(words: list[str]) -> None:
    """Raises what the command itself would."""
    assert words[1] in COMMANDS
    module = import_module(f"vigil.cli.{words[1]}")
    args = module.parser().parse_args(words[2:])
    if words[1] == "serve":
        module.options(args)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_can_be_typed(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        parses(words)


def test_the_page_shows_how_to_start_and_to_check() -> None:
    shown = {" ".join(words[:3]) for words in commands(PAGES[0].read_text(encoding="utf-8"))}
    assert {"vigil serve --data", "vigil serve --replicas", "vigil serve --drain", "vigil log verify"} <= shown


def test_a_command_that_does_not_exist_is_found_out() -> None:
    (words,) = commands("```sh\npip install x && vigil serve --no-such-flag\n```")
    with pytest.raises(Exception, match="no-such-flag"):
        parses(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / name).exists(), name


def test_every_metric_of_the_page_is_measured() -> None:
    named = set(re.findall(r"`(vigil_[a-z_]+)`", PAGES[0].read_text(encoding="utf-8")))
    measured = Metrics().text().decode()
    assert named
    assert {name for name in named if name not in measured} == set()


def test_the_unit_starts_a_server_that_a_proxy_can_name() -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT, flags=re.MULTILINE)
    program, *words = shlex.split(line)
    assert program == "/opt/vigil/bin/vigil"
    parses(["vigil", *words])
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, flags=re.MULTILINE)
    assert int(stop_s) > 32  # longer than a drain


def test_the_image_starts_a_server_and_looks_after_it() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)
    words = re.findall(r'"([^"]*)"', entry)
    parses(words)
    for flags in re.findall(r"^docker run .* vigil (--.*)$", PAGES[0].read_text(encoding="utf-8"), flags=re.MULTILINE):
        parses([*words, *shlex.split(flags)])
    assert "/livez" in DOCKERFILE
    for copied in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, flags=re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())
