"""`vigil ask`: one answer on stdout, everything else on stderr."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vigil.cli import ask, main
from vigil.config import StreamConfig
from vigil.stream.perceiver import Perceived, Perceiver
from vigil.stream.source import Source
from vigil.stream.watch import fitting_fps
from vigil.types import Frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(4):
        Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    return tmp_path


def test_the_answer_alone_is_on_stdout(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(model: str, source: Source, question: str, fps: float) -> str:
        return f"{model} saw {len(list(source))} frames at {fps}\x1b[2J: {question}"

    monkeypatch.setattr(ask, "answer", answer)
    (folder / "2.png").write_bytes(b"no picture")
    assert main(["ask", str(folder), "Who?", "--fps", "2", "--model", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert out == "tiny saw 3 frames at 2.0[2J: Who?\n"
    assert err.startswith(f"vigil: warning: {folder.name}: 1 of 4 images")


def test_a_long_video_is_read_more_slowly_so_that_all_of_it_is_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates: list[float] = []

    def answer(model: object, source: Source, question: str, *, config: StreamConfig) -> str:
        rates.append(fitting_fps(source.duration_s, config))
        return ""

    monkeypatch.setattr("vigil.stream.watch.answer", answer)
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(folder / "clip.png")
    monkeypatch.setattr("vigil.stream._images.open_image", long_reel)
    assert main(["ask", str(folder / "clip.png"), "Who?"]) == 0
    assert rates == [60 / 1024]  # nano was trained on 60 frames
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[-1]) == ("\n", "vigil: the model had nothing to say.")
    assert "vigil: a long video: read at 0.059 frames per second" in err


def test_a_source_is_opened_once_and_a_long_folder_is_thinned_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times_s: list[float] = []
    opened: list[object] = []
    perceive = Perceiver.perceive

    def spy(self: Perceiver, index: int, frame: Frame) -> Perceived:
        times_s.append(frame.time_s)
        return perceive(self, index, frame)

    monkeypatch.setattr(Perceiver, "perceive", spy)
    monkeypatch.setattr("vigil.stream.watch.fitting_fps", lambda duration_s, config: 0.5)
    from vigil.stream import _images

    open_folder = _images.open_folder
    monkeypatch.setattr(_images, "open_folder", lambda *given: opened.append("opened") or open_folder(*given))
    assert main(["ask", str(folder), "Who?"]) == 0
    assert opened == ["opened"]
    assert times_s == [0.0, 2.0]


def test_a_live_source_has_no_end_to_answer_after(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "rtsp://user:canary@camera/", "Who?"]) == 2
    err = capsys.readouterr().err
    assert "Use vigil watch SOURCE --ask TEXT" in err
    assert "canary" not in err


def long_reel(path: Path, name: str) -> object:
    from vigil.stream._reel import Reel

    return Reel(pictures=iter(()), duration_s=1024.0)


def test_a_wrong_source_is_found_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(ask, "answer", lambda *args: pytest.fail("the model was loaded"))
    assert main(["ask", str(tmp_path), "Who?"]) == 3
    assert capsys.readouterr().err.startswith(f"vigil: folder {tmp_path.name} holds no images.")
