"""`vigil log export`: any kept session as subtitles or as lines, the same subtitles that the run itself wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vigil.cli import main
from vigil.client.events import Translator
from vigil.serve.disk import Clock
from vigil.serve.durable import Store, StoreConfig
from vigil.types import Ended

CONFIG = StoreConfig(group_s=0.0, ballast_bytes=0, low_bytes=0, critical_bytes=0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled clip, watched as fast as it goes with a log and with subtitles."""
    folder = tmp_path_factory.mktemp("demo")
    words = ["--log", str(folder / "logs"), "--srt", str(folder / "said.srt"), "--vtt", str(folder / "said.vtt")]
    assert main(["watch", "--speed", "max", *words]) == 0
    return folder


def export(folder: Path, *words: str) -> int:
    """Export the only session of a folder."""
    (path,) = (folder / "logs" / "sessions").iterdir()
    return main(["log", "export", str(folder / "logs"), path.name[:6], *words])


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_a_log_gives_the_subtitles_that_the_run_wrote(
    demo: Path, form: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    written = (demo / f"said.{form}").read_text()
    assert written.count("-->") >= 4
    assert export(demo, "--format", form) == 0
    assert capsys.readouterr().out == written
    assert export(demo, "--format", form, "--out", str(tmp_path / "out")) == 0
    assert (tmp_path / "out").read_text() == written
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_srt_is_the_default_and_jsonl_is_every_event_as_it_was_sent(
    demo: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert export(demo) == 0
    assert capsys.readouterr().out == (demo / "said.srt").read_text()
    (path,) = (demo / "logs" / "sessions").iterdir()
    assert main(["log", "show", str(demo / "logs"), path.name, "--json"]) == 0
    shown = capsys.readouterr().out
    assert export(demo, "--format", "jsonl", "--out", str(tmp_path / "events.jsonl")) == 0
    assert (tmp_path / "events.jsonl").read_text() == shown
    rows = [json.loads(line) for line in shown.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    translator = Translator()  # a client reads the log of the command as it reads that of a server
    ended = [translator.event(row) for row in rows][-1]
    assert isinstance(ended, Ended)
    assert (ended.received, ended.perceived, ended.dropped, ended.pending) == (20, 20, 0, 0)


def answer(answer_id: int, text: str, seen: dict[str, Any], done: dict[str, Any]) -> list[dict[str, Any]]:
    """What a server logs of an answer in one piece."""
    one = {"answer_id": answer_id, "rev": 1}
    more = {"finish": "silence", "status": "final", "text": text, "ttft_ms": None, "tokens": 3}
    return [
        {"type": "answer.started", "turn": 1, "evidence": seen, **one},
        {"type": "answer.delta", "i": 0, "text": text, "evidence": seen, **one},
        {"type": "answer.done", "evidence": done, **one, **more},
    ]


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A session of a server: its clip began 60 s before it was watched, and seven seconds pass between two events."""
    mono = [0.0]
    clock = Clock(lambda: mono[0], lambda: 1_800_000_000.0 + mono[0])
    seen = {"source": 0, "frame_no": 3, "ts": 60.0, "lag_ms": 250.0}
    later = {"source": 0, "frame_no": 9, "ts": 90.0, "lag_ms": None}  # as older logs of vigil watch have it
    with Store(tmp_path / "logs", CONFIG, clock=clock) as store:
        log = store.create({"type": "session.created", "model": "nano"}, session_id="abcdef")
        for event in [*answer(1, "A cat <&>.", seen, seen), *answer(2, "A dog.", later, later)]:
            mono[0] += 7.0
            log.append(event).durable.result(20)
    return tmp_path


def test_subtitles_of_a_server_are_by_the_clock_of_its_video(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(served, "--format", "vtt") == 0
    assert capsys.readouterr().out == (
        "WEBVTT\n\n00:01:00.250 --> 00:01:02.250\nA cat &lt;&amp;&gt;.\n\n00:01:30.000 --> 00:01:32.000\nA dog.\n"
    )


def test_what_is_damaged_is_left_out_and_said(served: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (log,) = (served / "logs" / "sessions" / "abcdef").glob("*.log")
    data = bytearray(log.read_bytes())
    data[data.index(b"A cat <&>.")] ^= 1
    log.write_bytes(data)
    assert export(served, "--out", str(tmp_path / "out.srt")) == 7
    assert capsys.readouterr().err == "vigil: 1 events of session abcdef are damaged. Run vigil log verify.\n"
    assert "A dog." in (tmp_path / "out.srt").read_text()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["export", "{}"], 2, "vigil log export needs the id of a session"),
        (["show", "{}", "abc", "--format", "srt"], 2, "--format and --out belong to vigil log export."),
        (["list", "{}", "--out", "x"], 2, "--format and --out belong to vigil log export."),
        (["export", "{}", "abc", "--format", "ass"], 2, "argument --format: invalid choice: 'ass'"),
        (["export", "{}", "abc", "--json"], 2, "--json and --after belong to vigil log show."),
        (["export", "{}", "nobody"], 3, "0 sessions in {} begin with 'nobody'"),
        (["export", "{}", "abc", "--out", "/no/folder/x"], 5, "/no/folder/x cannot be written: No such file"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    served: Path, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(served / "logs")
    assert main(["log", *(word.format(folder) for word in words)]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message.format(folder) in err
