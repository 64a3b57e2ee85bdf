"""`vigil watch --log --resume --out`: a run is on disk before it is shown, and goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scripted import FakeSession, Script, fakes, traffic_light

import vigil
from vigil.cli import main
from vigil.cli.logged import newer_questions
from vigil.cli.parser import Question
from vigil.cli.recorded import OutFile, Rest, Start
from vigil.serve.segments import read_events
from vigil.stream.source import open_source
from vigil.types import Event, event_to_json


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "clip.png"
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(path)
    return str(path)


class Traced(FakeSession):
    """A scripted session that also perceives a frame for each second of its script."""

    def watch(self, source: object, **how: Any) -> Iterator[Event]:
        """Yield the script."""
        seen = -1
        for event in super().watch(source, **how):
            while seen < event.frame:
                seen += 1
                self.settings["trace"]("frame", i=seen, t=float(seen), w=float(seen))
            yield event


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(events: list[Event], **behaviour: Any) -> list[FakeSession]:
        names, _ = fakes(events)
        made: list[FakeSession] = []
        session = type("Scripted", (Traced,), {"events": events, "made": made, **behaviour})
        for name, value in {**names, "Session": session}.items():
            monkeypatch.setitem(vars(vigil), name, value)
        return made

    return put


def kept(folder: Path) -> list[dict[str, Any]]:
    """Every event of the only session of a folder."""
    (path,) = (folder / "sessions").iterdir()
    return [item.event for item in read_events(path, after=0, upto=10**9) if hasattr(item, "event")]


def session_id(folder: Path) -> str:
    (path,) = (folder / "sessions").iterdir()
    return path.name


def test_a_run_is_kept_in_the_spelling_of_the_server(
    play: Any, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play(traffic_light())
    assert main(["watch", picture, "--json", "--log", str(tmp_path / "logs")]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {**event_to_json(event), "source": "clip.png"} for event in traffic_light()
    ]
    assert err == f"vigil: session {session_id(tmp_path / 'logs')} is kept in {tmp_path / 'logs'}\n"
    rows = kept(tmp_path / "logs")
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["type"] for row in rows] == [
        *("session.created", "source.opened", "turn.started"),
        *("input.text.accepted", "turn.ended", "turn.started"),
        *("silence", "answer.started", "answer.delta", "answer.done"),
        *("silence", "answer.revised", "answer.delta", "answer.done"),
        *("input.frames.total", "source.ended", "turn.ended", "session.closed"),
    ]
    done, total = rows[9], rows[14]
    assert (done["text"], done["status"]) == ("The light is red.", "final")
    assert (done["ttft_ms"], done["tokens"]) == (3000.0, None)
    assert done["evidence"] == {"source": 0, "frame_no": 4, "ts": 3.0, "lag_ms": 1000.0}  # said until 4.0
    assert (total["received"], total["perceived"], total["pending"], total["newest_ts"]) == (10, 10, 0, 9.0)
    assert picture not in json.dumps(rows)


def test_an_event_is_shown_only_once_it_is_safe(
    play: Any, picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(traffic_light())
    shown: list[tuple[str, str]] = []
    synced: list[str] = []
    real = os.fdatasync

    def sync(fd: int) -> None:
        real(fd)
        (path,) = (tmp_path / "logs" / "sessions").iterdir()
        synced[:] = [item.json for item in read_events(path, after=0, upto=10**9) if hasattr(item, "json")]

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr("vigil.cli.lines.write_line", lambda line: shown.append((line, "".join(synced))))
    assert main(["watch", picture, "--json", "--log", str(tmp_path / "logs")]) == 0
    for line, safe in shown:
        if '"event": "done"' in line:
            assert f'"text":"{json.loads(line)["text"]}","evidence"' in safe
    assert len(shown) == len(traffic_light())


def test_a_run_that_broke_off_goes_on_with_its_times_its_numbers_and_its_open_question(
    play: Any, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = str(tmp_path / "logs")
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(9):
        (frames / f"{number}.png").write_bytes(Path(picture).read_bytes())
    before = Script().ask(0.0, "Who?", standing=True).spoken(3.0, "A cat.").say(5.0, "A d", answer=2)
    play(before.events, fails_with=RuntimeError("the power went"))
    with pytest.raises(RuntimeError, match="the power went"):
        main(["watch", str(frames), "--log", logs, "--watch-for", "Who?"])
    capsys.readouterr()

    made = play(Script().ask(0.0, "Who?", standing=True).spoken(1.0, "A dog.").ended(2.0).events)
    assert main(["watch", "--json", "--log", logs, "--resume", session_id(tmp_path / "logs")[:6]]) == 0
    assert made[0].asked == [("Who?", True, 0.0)]
    rows = kept(tmp_path / "logs")
    types = [row["type"] for row in rows]
    again = types.index("session.recovered")
    assert types[again - 1 : again + 2] == ["answer.done", "session.recovered", "source.opened"]
    assert (rows[again - 1]["status"], rows[again - 1]["text"]) == ("interrupted", "A d")
    assert [row["epoch"] for row in rows] == [1] * (again - 1) + [2] * (len(rows) - again + 1)
    said = [(row["answer_id"], row["text"], row["evidence"]["ts"]) for row in rows if row["type"] == "answer.done"]
    assert said == [(1, "A cat.", 3.0), (2, "A d", 5.0), (3, "A dog.", 6.0)]
    assert [row["turn"] for row in rows if row["type"] == "input.text.accepted"] == [1, 2]
    total = next(row for row in rows if row["type"] == "input.frames.total")
    assert (total["received"], total["newest_ts"]) == (9, 7.0)  # 6 before the end, 3 after
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["event"], row["t"], row.get("answer")) for row in shown] == [
        ("ask", 5.0, None),
        ("say", 6.0, 3),
        ("done", 7.0, 3),
        ("ended", 7.0, None),
    ]
    assert main(["watch", "--log", logs, "--resume", session_id(tmp_path / "logs")]) == 5
    assert "is closed (client), and takes no more events" in capsys.readouterr().err


def test_a_session_of_a_server_goes_on_only_with_a_source(
    play: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vigil.serve.durable import Store, StoreConfig

    with Store(tmp_path / "logs", StoreConfig(ballast_bytes=0)) as store:
        store.create({"type": "session.created", "model": "nano"}, session_id="abc")
    play(traffic_light())
    assert main(["watch", "--log", str(tmp_path / "logs"), "--resume", "abc"]) == 2
    assert "session abc was not kept by vigil watch" in capsys.readouterr().err


def test_ctrl_c_leaves_a_session_that_can_go_on(play: Any, picture: str, tmp_path: Path) -> None:
    play(Script().say(1.0, "The light").done(1.0, "The light", status="interrupted").ended(1.0, reason="closed").events)
    assert main(["watch", picture, "--log", str(tmp_path / "logs")]) == 0
    assert [row["type"] for row in kept(tmp_path / "logs")][-2:] == ["answer.done", "input.frames.total"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--resume", "abc"], 2, "--resume needs --log DIR"),
        (["--log", "{}/logs", "--resume", "abc"], 3, "0 sessions in {}/logs begin with 'abc'"),
        (["--log", "{}/clip.png"], 5, "cannot be used for the log"),
        (["--out", "{}/nowhere/x"], 5, "cannot be written"),
    ],
)
def test_what_cannot_be_kept_is_said_before_the_model_is_loaded(
    play: Any, picture: str, tmp_path: Path, words: list[str], code: int, message: str, capsys: Any
) -> None:
    made = play(traffic_light())
    assert main(["watch", picture, *(word.format(tmp_path) for word in words)]) == code
    assert message.format(tmp_path) in capsys.readouterr().err
    assert made == []


def test_a_log_that_cannot_go_on_ends_the_run_with_code_5(
    play: Any, picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(traffic_light())
    real, calls = os.fdatasync, []

    def sync(fd: int) -> None:
        calls.append(fd)
        if len(calls) > 8:
            raise OSError(5, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", sync)
    assert main(["watch", picture, "--json", "--log", str(tmp_path / "logs")]) == 5
    out, err = capsys.readouterr()
    assert "is read-only: fdatasync failed: Input/output error" in err
    assert 0 < len(out.splitlines()) < len(traffic_light())


def test_out_of_a_file_is_there_completely_or_not_at_all(play: Any, picture: str, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "events.jsonl"
    play(traffic_light()[:-1], fails_with=RuntimeError("broken"))
    with pytest.raises(RuntimeError):
        main(["watch", picture, "--out", str(out)])
    assert not out.exists()
    play(traffic_light())
    assert main(["watch", picture, "--json", "--out", str(out)]) == 0
    capsys.readouterr()
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {**event_to_json(event), "source": "clip.png"} for event in traffic_light()
    ]


def test_out_of_a_live_source_is_appended_and_each_line_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before\n")
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(path.read_text()))
    out = OutFile(path, is_live=True)
    out.add("one")
    out.add("two")
    assert synced == ["before\none\n", "before\none\ntwo\n"]
    out.finish()
    out.close()


def test_the_rest_of_a_source_counts_from_the_last_frame_that_was_seen() -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    source = open_source([(image, at_s) for at_s in (0.0, 1.1, 2.0, 3.2, 4.0)], fps=1.0)
    with Rest(source, 2.0) as rest:
        assert [round(frame.time_s, 6) for frame in rest] == [1.2, 2.0]


def test_a_question_that_was_asked_is_not_asked_twice() -> None:
    asked = [{"text": "a", "standing": False}, {"text": "b", "standing": True}]
    given = (Question("a"), Question("b", standing=True), Question("c", at_s=30.0), Question("d", at_s=5.0))
    assert newer_questions(given, after_s=10.0, asked=asked) == [Question("c", at_s=20.0), Question("d")]
    assert newer_questions(given[:3], after_s=10.0, asked=asked) == [
        Question("b", standing=True),
        Question("c", at_s=20.0),
    ]
    assert newer_questions((), after_s=10.0, asked=[]) == []


def test_shifting_moves_times_and_numbers_and_leaves_what_is_not_there() -> None:
    start = Start(time_s=10.0, frames=5, answers=2, turns=1)
    asked, said, ended = (start.shift(e) for e in Script().ask(0.0, "Who?").say(1.0, "A cat").ended(2.0).events)
    assert (asked.time_s, asked.turn, asked.frame) == (10.0, 2, 5)  # type: ignore[attr-defined]
    assert (said.time_s, said.answer, said.rev) == (11.0, 3, 1)  # type: ignore[attr-defined]
    assert (ended.seq, ended.received) == (3, 3)  # type: ignore[attr-defined]
    assert Start().shift(asked) == asked


def test_the_demo_goes_on_after_its_reader_went_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs, told = tmp_path / "logs", []

    def gone(line: str) -> None:
        told.append(line)
        if len(told) == 9:
            raise BrokenPipeError

    monkeypatch.setattr("vigil.cli.lines.write_line", gone)
    monkeypatch.setattr("vigil.cli.abandon_stdout", lambda: None)
    assert main(["watch", "--speed", "max", "--json", "--log", str(logs)]) == 141
    first = kept(logs)
    monkeypatch.undo()
    assert main(["watch", "--speed", "max", "--json", "--log", str(logs), "--resume", session_id(logs)]) == 0
    rows = kept(logs)
    assert rows[: len(first)] == first
    total = [row for row in rows if row["type"] == "input.frames.total"][-1]
    assert (total["received"], total["perceived"], total["newest_ts"]) == (20, 20, 19.0)
    done = [row["text"] for row in rows if row["type"] == "answer.done"]
    assert "A house appears." in done
    assert done[-1] == "The light is green."
    assert main(["log", "verify", str(logs)]) == 0
