"""`vigil watch A B C`: every source is watched to its end, and every line says of which source it speaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import picture, tiny_model
from PIL import Image
from rich.console import Console
from scripted import traffic_light

import vigil
from vigil.cli import main, together
from vigil.cli.lanes import Lanes
from vigil.types import Ended


def folder(path: Path, num: int, seed: int) -> str:
    """A folder of pictures, one a second."""
    path.mkdir(parents=True)
    for i in range(num):
        Image.fromarray(picture(seed + i)).save(path / f"{i}.png")
    return str(path)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A tiny model stands where nano does; names of what was loaded."""
    names: list[str] = []
    monkeypatch.setitem(vars(vigil), "load", lambda name: names.append(name) or tiny_model())
    return names


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def alone(source: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(["watch", source, "--ask", "What?", "--speed", "max", "--json"]) == 0
    return rows_of(capsys)


def same(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what two runs never share."""
    return {name: value for name, value in row.items() if name != "wall" and not name.startswith("p_silence")}


def test_each_source_gives_the_events_that_it_gives_alone_under_its_name(
    loaded: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [folder(tmp_path / name, 2 + i, 50 * i) for i, name in enumerate(("door", "yard", "hall"))]
    assert main(["watch", *sources, "--ask", "What?", "--speed", "max", "--json"]) == 0
    rows = rows_of(capsys)
    assert loaded == ["nano"], "one model for all"
    for name, source in zip(("door", "yard", "hall"), sources, strict=True):
        assert [same(row) for row in rows if row["source"] == name] == [same(row) for row in alone(source, capsys)]


def test_sources_of_one_name_are_told_apart(
    loaded: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [folder(tmp_path / str(i) / "cam", 1, i) for i in range(2)]
    assert main(["watch", *sources, "--speed", "max", "--json"]) == 0
    assert {row["source"] for row in rows_of(capsys)} == {"cam", "cam (2)"}
    assert together.unlike(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


def test_plain_lines_begin_with_their_source(
    loaded: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [folder(tmp_path / name, 1, 0) for name in ("door", "backyard")]
    assert main(["watch", *sources, "--ask", "What?", "--speed", "max"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line[:9] for line in lines} == {"door     ", "backyard "}
    assert sum("What?" in line for line in lines) == 2
    assert sum("1 of 1 frames seen, 0 dropped" in line for line in lines) == 2


@pytest.mark.parametrize("flag", ["--srt", "--vtt", "--out", "--log", "--resume"])
def test_what_is_for_one_source_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "a.mp4", "b.mp4", flag, "x"]) == 2
    assert f"{flag} is for one source, and 2 are given. Leave it out." in capsys.readouterr().err


def test_a_source_that_is_missing_is_told_before_the_model_is_loaded(
    loaded: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", folder(tmp_path / "door", 1, 0), str(tmp_path / "none.mp4")]) == 3
    assert "none.mp4 does not exist" in capsys.readouterr().err
    assert loaded == []


def test_a_source_that_fails_ends_alone_and_its_error_is_told_at_the_end(
    loaded: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = folder(tmp_path / "door", 3, 0)
    bad = tmp_path / "yard"
    bad.mkdir()
    (bad / "1.png").write_bytes(b"no picture")
    assert main(["watch", str(bad), good, "--speed", "max", "--json"]) == 7
    out, err = capsys.readouterr()
    ends = {row["source"]: row for row in map(json.loads, out.splitlines()) if row["event"] == "ended"}
    assert (ends["yard"]["reason"], ends["door"]["reason"], ends["door"]["perceived"]) == ("error", "eof", 3)
    assert "folder yard: none of its 1 images can be decoded" in err


def test_the_live_view_has_a_lane_for_each_source() -> None:
    console = Console(width=70, height=20, force_terminal=True, record=True)
    lanes = Lanes(["door", "yard\x1b[2J"], [None, 10.0], pace="max", typed=True, console=console)
    for event in traffic_light():
        if not isinstance(event, Ended):
            lanes.lanes[1].take(event)
    lanes.trace(0, "frame", t=4.0, w=4.0)
    console.print(lanes.render())
    shown = console.export_text()
    door, yard = shown.index("door"), shown.index("yard")
    assert shown.index("The light is red.") > yard > door, "only the second lane speaks"
    assert "\x1b[2J" not in shown
    assert "type a question to all" in shown
    assert len(shown.splitlines()) <= console.height
