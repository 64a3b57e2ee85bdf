"""`vigil log`: sessions are listed, shown, checked byte by byte, and indexed anew."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from vigil.cli import main
from vigil.serve.disk import Clock
from vigil.serve.durable import Store, StoreConfig

CONFIG = StoreConfig(group_s=0.0, ballast_bytes=0, low_bytes=0, critical_bytes=0, segment_bytes=900, index=True)
SEEN = {"source": 0, "frame_no": 5, "ts": 4.0, "lag_ms": None}
EVENTS: list[dict[str, Any]] = [
    {"type": "source.opened", "source": 0, "name": "door.mp4"},
    {"type": "input.text.accepted", "turn": 1, "text": "Who \x1b[2Jis it?"},
    {"type": "silence", "first_ts": 0.0, "last_ts": 3.0, "frames": 4},
    {"type": "answer.started", "answer_id": 1, "turn": 1, "rev": 1, "evidence": SEEN},
    {"type": "answer.delta", "answer_id": 1, "rev": 1, "i": 0, "text": "A cat", "evidence": SEEN},
    {"type": "answer.done", "answer_id": 1, "rev": 1, "status": "superseded", "text": "A cat", "evidence": SEEN},
    {"type": "answer.done", "answer_id": 1, "rev": 2, "status": "final", "text": "A dog.", "evidence": None},
    {"type": "input.frames.dropped", "source": 0, "count": 3, "reason": "queue"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sessions: a closed one in several files, and one whose process ended."""
    mono = [0.0]
    clock = Clock(lambda: mono[0], lambda: 1_800_000_000.0 + mono[0])
    with Store(tmp_path / "logs", CONFIG, clock=clock) as store:
        for name in ("abcd", "abce"):
            log = store.create({"type": "session.created", "model": "nano", "sources": ["door.mp4"]}, session_id=name)
            for event in EVENTS:
                mono[0] += 1.0
                log.append(event).durable.result(20)
            if name == "abcd":
                log.append({"type": "session.closed", "reason": "client"}).durable.result(20)
    return tmp_path / "logs"


def files_of(folder: Path, name: str) -> list[Path]:
    return sorted((folder / "sessions" / name).glob("*.log"))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_list_has_a_line_for_each_session(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "list", str(folder)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("abcd  2027-01-15 08:00:00Z     0:08.0       10 events")
    assert first.endswith("closed")
    assert second.startswith("abce  2027-01-15 08:00:08Z     0:08.0        9 events")
    assert second.endswith("open")


def test_a_session_is_told_to_people_without_what_a_terminal_would_obey(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["log", "show", str(folder), "abcd"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "   0:00.0  begin      nano: door.mp4",
        "   0:01.0  opened     source 0: door.mp4",
        "   0:02.0  ask        Who [2Jis it?",
        "   0:03.0  silence    4 frames, from 0 to 3 s",
        "   0:06.0  say        A cat [withdrawn]  [frame 5 at 0:04.0]",
        "   0:07.0  revise     A dog.",
        "   0:08.0  dropped    3 frames (queue)",
        "   0:08.0  end        client",
    ]


def test_json_lines_are_what_a_client_got_byte_for_byte(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "show", str(folder), "abce", "--json", "--after", "7"]) == 0
    bodies = [line[9:] for path in files_of(folder, "abce") for line in path.read_text().splitlines()]
    assert capsys.readouterr().out.splitlines() == [
        body for body in bodies if body.startswith(('{"seq":8', '{"seq":9'))
    ]


def test_a_whole_log_is_verified_file_by_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "verify", str(folder)]) == 0
    parts = [len(files_of(folder, name)) for name in ("abcd", "abce")]
    assert parts[0] > 1
    assert capsys.readouterr().out.splitlines() == [
        f"abcd: 10 events in {parts[0]} files, whole",
        f"abce: 9 events in {parts[1]} files, whole",
    ]


def test_damage_is_named_by_file_and_place_and_the_rest_is_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files_of(folder, "abcd")[0]
    lines = path.read_bytes().splitlines(keepends=True)
    start = len(lines[0]) + len(lines[1])
    flip(path, start + 20)
    assert main(["log", "verify", str(folder), "abcd"]) == 7
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"{path} bytes {start} to {start + len(lines[2])}: a damaged line"
    assert "1 damaged places" in out.splitlines()[1]
    assert err == ("vigil: 1 of 1 sessions are damaged. What is whole can still be shown and resumed.\n")
    assert main(["log", "show", str(folder), "abcd", "--json"]) == 7
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[1] == {"type": "resume.gap", "from": 2, "to": 2, "reason": "corrupt"}
    assert [row["seq"] for row in rows if "seq" in row] == [1, *range(3, 11)]
    assert "1 events of session abcd are damaged" in err


def test_a_torn_tail_is_no_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with files_of(folder, "abce")[-1].open("ab") as file:
        file.write(b'0123abcd {"seq":10,"ty')
    assert main(["log", "verify", str(folder), "abce"]) == 0
    assert capsys.readouterr().out.endswith("whole, 22 bytes at the end were never shown\n")


def test_the_index_is_made_anew_as_it_was(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> list[tuple[object, ...]]:
        with sqlite3.connect(folder / "index.sqlite") as db:
            found = db.execute("SELECT * FROM events ORDER BY session, seq").fetchall()
        db.close()
        return found

    before = rows()
    assert len(before) == 19
    (folder / "index.sqlite").write_bytes(b"not a database")
    assert main(["log", "rebuild", str(folder)]) == 0
    assert capsys.readouterr().err == f"vigil: 19 events are in {folder / 'index.sqlite'}\n"
    assert rows() == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["list", "{}", "abcd"], 2, "vigil log list takes no session"),
        (["show", "{}"], 2, "needs the id of a session"),
        (["verify", "{}", "--json"], 2, "--json and --after belong to vigil log show"),
        (["show", "{}", "abcd", "--after", "-1"], 2, "--after must be 0 or more, got -1"),
        (["show", "{}", "abc"], 3, "2 sessions in {} begin with 'abc'"),
        (["show", "{}", "../abcd"], 3, "0 sessions in {} begin with '../abcd'"),
        (["list", "{}/sessions"], 3, "holds no sessions"),
    ],
)
def test_what_cannot_be_done_is_said(
    folder: Path, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["log", *(word.format(folder) for word in words)]) == code
    assert message.format(folder) in capsys.readouterr().err


def test_an_index_is_not_made_while_another_process_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(folder, CONFIG):
        assert main(["log", "rebuild", str(folder)]) == 5
    assert "is being written by another vigil" in capsys.readouterr().err
