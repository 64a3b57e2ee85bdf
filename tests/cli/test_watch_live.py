"""`vigil watch` on a camera: it goes on over losses, tells of them, gives up in the end, and shows no password."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scripted import Script, fakes

import vigil
from tests.fakes import ScriptedModel
from tests.stream.cameras import Camera, until
from vigil.cli import main
from vigil.types import Back, Lost


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    monkeypatch.setitem(vars(vigil), "load", lambda name: ScriptedModel(""))
    with Camera() as camera:
        yield camera


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do something in a thread while the command runs; what it raises is raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert errors == []


def test_a_camera_that_stays_away_ends_the_command_with_code_4(
    camera: Camera, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def unplug() -> None:
        until(lambda: camera.num_sent > 5)
        camera.off()

    out = tmp_path / "out.jsonl"
    with beside(unplug):
        assert main(["watch", camera.url, "--json", "--fps", "10", "--patience", "0.001", "--out", str(out)]) == 4
    told, err = capsys.readouterr()
    rows = [json.loads(line) for line in told.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    (lost,) = [row for row in rows if row["event"] == "lost"]
    assert (lost["cause"], lost["attempt"]) == ("closed", 1)
    ended = rows[-1]
    assert (ended["event"], ended["reason"]) == ("ended", "error")
    assert ended["received"] == ended["perceived"] + ended["dropped"] + ended["pending"] > 0
    assert "has been away for" in err
    assert out.read_text() == told
    assert "canary" not in told + err


def test_ctrl_c_ends_a_run_that_waits_for_its_camera_and_the_log_tells_what_happened(
    camera: Camera, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"

    def told() -> str:
        return "".join(path.read_text() for path in logs.rglob("*.log"))

    def unplug() -> None:
        until(lambda: camera.num_sent > 5)
        camera.off()
        until(lambda: '"source.lost"' in told())
        camera.on()
        until(lambda: '"source.discontinuity"' in told())
        camera.off()
        until(lambda: told().count('"source.lost"') > 1)
        os.kill(os.getpid(), signal.SIGINT)

    with beside(unplug):
        assert main(["watch", camera.url, "--fps", "10", "--log", str(logs)]) == 130
    out, err = capsys.readouterr()
    lines = [line.split(maxsplit=2)[1:] for line in out.splitlines()]
    assert ["lost", "the source has closed the connection; trying again (attempt 1)"] in lines
    assert any(line[0] == "back" and line[1].startswith("after") for line in lines)
    assert lines[-1][0] == "end"
    back = next(row for row in map(json.loads, rows(told())) if row["type"] == "source.discontinuity")
    assert (back["stream_epoch"], back["cause"]) == (2, "reconnect")
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"canary" not in everything + (out + err).encode()
    (session,) = [path.name for path in (logs / "sessions").iterdir()]
    assert main(["watch", "--log", str(logs), "--resume", session]) == 2
    assert "its address held a password. Give SOURCE" in capsys.readouterr().err


def rows(log: str) -> list[str]:
    """The JSON of each line of a log, without its check sum."""
    return [line.split(" ", 1)[1] for line in log.splitlines() if '"seq"' in line]


def test_a_live_source_has_no_speed_and_needs_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "rtsp://user:canary@camera/", "--speed", "max"]) == 2
    err = capsys.readouterr().err
    assert "a live source has a time of its own" in err
    assert "canary" not in err


def test_plain_lines_tell_of_losses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    at = {"seq": 1, "wall_s": 0.0, "frame": 0}
    events = [
        Lost(**at, time_s=3.0, cause="frozen", attempt=2, retry_in_s=0.5),  # type: ignore[arg-type]
        Back(**at, time_s=5.0, epoch=2, cause="reconnect", gap_s=4.04),  # type: ignore[arg-type]
        Back(**at, time_s=6.0, epoch=3, cause="resolution", gap_s=0.0),  # type: ignore[arg-type]
        *Script().ended(7.0).events,
    ]
    names, _ = fakes(events)
    for name, value in names.items():
        monkeypatch.setitem(vars(vigil), name, value)
    assert main(["watch", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "   0:03.0  lost       the source is frozen; trying again (attempt 2)",
        "   0:05.0  back       after 4.0 s",
        "   0:06.0  back       with pictures of another size",
    ]


@pytest.mark.parametrize(("address", "code"), [("kitchen.mp4", 2), ("file:/etc/passwd", 3), ("http://h/a.m3u8", 3)])
def test_a_server_does_not_start_with_a_camera_that_is_none(
    address: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--camera", f"door={address}"]) == code
    assert "passwd" not in capsys.readouterr().err
