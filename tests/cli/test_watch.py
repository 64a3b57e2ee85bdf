"""`vigil watch`: flags become calls, events become lines, and what can fail early fails before the model is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scripted import FakeSession, Script, fakes, traffic_light

import vigil
from vigil import assets
from vigil.cli import main
from vigil.cli.options import Options, shows_live
from vigil.config import StreamConfig
from vigil.errors import SourceLost
from vigil.types import Event, event_to_json


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "clip.png"
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(path)
    return str(path)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(events: list[Event] | None = None, **behaviour: Any) -> list[FakeSession]:
        names, made = fakes(traffic_light() if events is None else events, **behaviour)
        for name, value in names.items():
            monkeypatch.setitem(vars(vigil), name, value)
        return made

    return put


def test_flags_become_calls(play: Any, picture: str) -> None:
    made = play()
    questions = ["--watch-for", "a cat", "--ask-at", "2.5", "Now?", "--ask", "Who?"]
    numbers = ["--fps", "2", "--memory", "9", "--pace", "8", "--speed", "max", "--model", "tiny"]
    assert main(["watch", picture, *questions, *numbers]) == 0
    (session,) = made
    assert session.asked == [("a cat", True, 0.0), ("Now?", False, 2.5), ("Who?", False, 0.0)]
    assert session.model == "model tiny"
    assert session.settings["config"] == StreamConfig(fps=2.0, memory_frames=9, tokens_per_s=8.0)
    assert session.settings["policy"] is None
    assert session.watched is not None
    assert (session.watched.speed, session.watched.live) == ("max", False)
    assert (session.watched.source.name, session.watched.source.fps) == ("clip.png", 2.0)
    assert session.closed.is_set()


def test_the_defaults_are_those_of_the_library(play: Any, picture: str) -> None:
    made = play()
    assert main(["watch", picture, "--live"]) == 0
    assert made[0].settings["config"] == StreamConfig()
    assert (made[0].watched.speed, made[0].watched.live, made[0].model) == (1.0, True, "model nano")


def test_a_threshold_becomes_the_policy(play: Any, picture: str) -> None:
    from vigil.stream.policy import Threshold

    made = play()
    assert main(["watch", picture, "--threshold", "0.7"]) == 0
    assert made[0].settings["policy"] == Threshold(0.7)


def test_json_lines_are_the_events_and_nothing_else(
    play: Any, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    play()
    assert main(["watch", picture, "--json"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows == [{**event_to_json(event), "source": "clip.png"} for event in traffic_light()]
    assert err == ""


def test_plain_lines_tell_the_story_in_order(play: Any, picture: str, capsys: pytest.CaptureFixture[str]) -> None:
    play()
    assert main(["watch", picture]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "   0:00.0  ask        What colour is the light?",
        "   0:00.0  silence    until 0:02.0",
        "   0:03.0  say        The light is red.",
        "   0:04.0  silence    until 0:06.0",
        "   0:07.0  revise     The light is green. [was: The light is red.]",
        "   0:09.0  end        10 of 10 frames seen, 0 dropped",
    ]


def test_plain_lines_join_silences_and_mark_what_was_cut_lost_or_withdrawn(
    play: Any, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script().silence(0, 9).silence(10, 19).ask(20, "a cat\x1b[2J", standing=True)
    script.spoken(21, "A ca", status="interrupted").spoken(30, "Two", answer=2, status="superseded").dropped(40, 3)
    play(script.ended(40, dropped=3).events)
    assert main(["watch", picture]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "   0:00.0  silence    until 0:19.0",
        "   0:20.0  watch for  a cat[2J",
        "   0:21.0  say        A ca [cut]",
        "   0:30.0  say        Two [withdrawn]",
        "   0:39.0  dropped    3 frames (queue)",
        "   0:40.0  end        41 of 44 frames seen, 3 dropped",
    ]


def test_without_a_source_the_demo_plays_with_its_own_questions(
    play: Any, picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [
        {"at_s": 4.0, "text": "And now?", "standing": False},
        {"at_s": 0.0, "text": "Who comes?", "standing": True},
    ]
    (tmp_path / "demo.json").write_text(json.dumps({"questions": questions}))
    Path(picture).rename(tmp_path / "clip.png")
    monkeypatch.setattr(assets, "_asset", lambda name: tmp_path / {"demo.mp4": "clip.png"}.get(name, name))
    made = play()
    assert main(["watch"]) == 0
    assert made[0].asked == [("Who comes?", True, 0.0), ("And now?", False, 4.0)]
    assert main(["watch", "--ask", "Mine?"]) == 0
    assert made[1].asked == [("Mine?", False, 0.0)]


def test_a_missing_demo_says_what_to_do(
    play: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assets, "files", lambda package: tmp_path)
    assert main(["watch"]) == 3
    assert "the demo is not installed: demo.json is missing." in capsys.readouterr().err


def test_subtitles_are_written_whole_at_the_end(play: Any, picture: str, tmp_path: Path) -> None:
    play()
    srt, vtt = tmp_path / "said.srt", tmp_path / "said.vtt"
    assert main(["watch", picture, "--srt", str(srt), "--vtt", str(vtt)]) == 0
    assert srt.read_text().splitlines()[:3] == ["1", "00:00:03,000 --> 00:00:06,000", "The light is red."]
    assert vtt.read_text().startswith("WEBVTT\n\n00:00:03.000 --> ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.png", "said.srt", "said.vtt"]


def test_what_was_said_before_a_source_was_lost_is_written(play: Any, picture: str, tmp_path: Path) -> None:
    play(fails_with=SourceLost("the file went away. Bring it back."))
    assert main(["watch", picture, "--srt", str(tmp_path / "said.srt")]) == 4
    assert "The light is green." in (tmp_path / "said.srt").read_text()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{picture}", "--srt", "/no/folder/x.srt"], 5, "/no/folder/x.srt cannot be written: No such file"),
        (["{picture}", "--vtt", "."], 5, ". is a folder. Give the name of a file."),
        (["/no/clip.mp4"], 3, "/no/clip.mp4 does not exist"),
        (["ftp://a/b"], 3, "ftp: addresses are not opened"),
    ],
)
def test_what_can_fail_early_fails_before_the_model_is_loaded(
    play: Any, picture: str, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = play()
    assert main(["watch", *(word.format(picture=picture) for word in words)]) == code
    assert made == []
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"vigil: {message}")


def test_a_damaged_source_ends_well_with_a_warning_on_stderr(
    play: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("1.png", "2.png"):
        Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "2.png").write_bytes(b"no picture")
    play()
    assert main(["watch", str(tmp_path), "--json"]) == 0
    assert capsys.readouterr().err.startswith(f"vigil: warning: {tmp_path.name}: 1 of 2 images could not be decoded")


@pytest.mark.parametrize(
    ("is_terminal", "term", "as_json", "expected"),
    [
        (True, "xterm", False, True),
        (True, "dumb", False, False),
        (False, "xterm", False, False),
        (True, "xterm", True, False),
    ],
)
def test_the_live_view_is_only_for_a_terminal_that_can_show_it(
    is_terminal: bool, term: str, as_json: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    monkeypatch.setenv("TERM", term)
    assert shows_live(Options(json=as_json)) is expected


def test_questions_at_one_moment_are_warned_about(play: Any, picture: str, capsys: pytest.CaptureFixture[str]) -> None:
    play()
    assert main(["watch", picture, "--watch-for", "it gets dark", "--watch-for", "it gets bright"]) == 0
    assert "2 questions at 0 s: each ends the one before" in capsys.readouterr().err
    play()
    assert main(["watch", picture, "--ask", "What?", "--ask-at", "3", "Why?"]) == 0
    assert capsys.readouterr().err == ""
