"""Which logs, truths and videos a page is made of, and what the command says where they do not fit."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_logs import frame, happening, log_of, null, question, say, text_of, tokens, truth_of, value
from page_tree import light, tree
from PIL import Image

from vigil.cli import main
from vigil.errors import DataError, SourceError
from vigil.eval.log import write_log
from vigil.eval.report.pictures import CELL_PX, COLUMNS, MAX_FRAMES, Sheet, make_sheet
from vigil.eval.report.streams import Stream, find_streams, fingerprint
from vigil.world.render import write_video


def filmed(tmp_path: Path, num: int = 3) -> Stream:
    """A stream that watched a video of so many seconds, each darker than the next."""
    shades = np.linspace(20, 220, num).round().astype(np.uint8)
    write_video(np.stack([np.full((48, 64, 3), s, dtype=np.uint8) for s in shades]), 1.0, tmp_path / "v.mp4", scale=2)
    log = log_of(*(row for i in range(num) for row in frame(i, float(i))), end_s=float(num))
    return Stream(name="v", log=log, truth=truth_of(), video=tmp_path / "v.mp4")


# ---- pictures -------------------------------------------------------------------------------------------------------


def picture_of(sheet: Sheet) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(sheet.url.split(",")[1])))


def test_cells_fill_rows_of_ten(tmp_path: Path) -> None:
    sheet, _ = make_sheet(filmed(tmp_path, 13), anchor="s")
    assert sheet is not None
    assert picture_of(sheet).size == (COLUMNS * sheet.width_px, 2 * CELL_PX)
    assert sheet.view_box(0) == f"0 0 {sheet.width_px} 64"
    assert sheet.view_box(12) == f"{2 * sheet.width_px} 64 {sheet.width_px} 64"
    image = tree(sheet.definition()).one("image")
    assert (image.number("width"), image.number("height")) == (COLUMNS * sheet.width_px, 2 * CELL_PX)


def test_a_frame_that_the_video_does_not_have_is_not_embedded(tmp_path: Path) -> None:
    stream = filmed(tmp_path)
    longer = log_of(*(row for i in range(6) for row in frame(i, float(i))), end_s=6.0)
    sheet, _ = make_sheet(replace(stream, log=longer), anchor="s")
    assert sheet is not None
    assert sorted(sheet.cells) == [0, 1, 2]
    far = log_of(*(row for i in range(2) for row in frame(i, 50.0 + i)), end_s=60.0)
    assert make_sheet(replace(stream, log=far), anchor="s") == (
        None,
        "No pictures: none of the frames in the log was found.",
    )


def test_a_video_that_is_missing_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        make_sheet(replace(light(), video=tmp_path / "none.mp4"), anchor="s")


def test_a_long_stream_keeps_even_frames_and_those_that_its_first_words_saw(tmp_path: Path) -> None:
    num = 3 * MAX_FRAMES
    write_video(np.zeros((num, 16, 16, 3), dtype=np.uint8), 10.0, tmp_path / "v.mp4", scale=1)
    rows = [row for i in range(num) for row in frame(i, i / 10)]
    said = [row for n in range(5) for row in tokens(str(n), [1.0 + 5 * n + 0.05], [10 + 50 * n], q=None)]
    log = log_of(*rows, *said, end_s=num / 10, fps=10.0)
    sheet, _ = make_sheet(Stream(name="v", log=log, truth=truth_of(), video=tmp_path / "v.mp4"), anchor="s")
    assert sheet is not None
    assert {10, 60, 110, 160, 210} <= set(sheet.cells)
    assert {0, num - 1} <= set(sheet.cells)
    assert len(sheet.cells) <= MAX_FRAMES


def test_a_fingerprint_tells_pixels_and_sizes_apart() -> None:
    frames_FHWC = np.zeros((2, 4, 6, 3), dtype=np.uint8)
    other = frames_FHWC.copy()
    other[1, 2, 3, 0] = 1
    found = {fingerprint(one) for one in (frames_FHWC, other, frames_FHWC.reshape(2, 6, 4, 3), frames_FHWC[:1])}
    assert len(found) == 4
    assert fingerprint(frames_FHWC.copy()) in found
    assert re.fullmatch("[0-9a-f]{64}", fingerprint(other))


# ---- which logs -----------------------------------------------------------------------------------------------------


def put(folder: Path, name: str, *, truth: bool = True, **head: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.jsonl"
    write_log(file, log_of(*frame(0, 0.0), *say("1", 2.0, "Yes."), end_s=3.0, **head))
    if truth:
        (folder / f"{name.removesuffix('.log')}.truth.jsonl").write_text("\n".join(text_of([question()])))
    return file


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ({"seed": 3}, "the logs have seed 0 and 3"),
        ({"policy": "never"}, "the logs have policy argmax and never"),
        ({"clock": "free", "cost": None}, "the logs have clock cost and free"),
        ({"fps": 2}, "the logs have fps"),
        ({"speed": 2}, "the logs have speed"),
    ],
)
def test_logs_of_two_runs_are_refused(
    head: dict[str, Any], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = put(tmp_path, "a.log"), put(tmp_path, "b.log", **head)
    assert main(["eval", "report", str(first), str(second), "--html", str(tmp_path / "x.html")]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "A page shows one run: give the logs of one run." in err
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("file", "name"), [("kitchen.log", "kitchen"), ("kitchen", "kitchen"), ("world-val-3-0.log", "world-val-3-0")]
)
def test_a_stream_is_named_after_its_log(file: str, name: str, tmp_path: Path) -> None:
    (stream,) = find_streams([put(tmp_path, file)])
    assert stream.name == name
    assert stream.scene_id == ("world:val:3" if name.startswith("world") else None)


def test_a_log_with_another_ending_keeps_its_name_and_names_its_truth(tmp_path: Path) -> None:
    path = put(tmp_path, "a.log").rename(tmp_path / "run.txt")
    (stream,) = find_streams([path], truths=[tmp_path / "a.truth.jsonl"])
    assert stream.name == "run.txt"
    with pytest.raises(SourceError, match=r"run\.txt has no run\.txt\.truth\.jsonl beside it"):
        find_streams([path])


def test_files_and_folders_may_be_mixed_and_truths_go_by_order(tmp_path: Path) -> None:
    put(tmp_path / "folder", "b.log")
    single = put(tmp_path, "a.log", truth=False)
    truths = [tmp_path / "t1.jsonl", tmp_path / "t2.jsonl"]
    for n, path in enumerate(truths):
        path.write_text("\n".join(text_of([question(f"q{n + 1}")])))
    found = find_streams([single, tmp_path / "folder"], truths=truths)
    assert [(one.name, [q.q for q in one.truth.questions]) for one in found] == [("a", ["q1"]), ("b", ["q2"])]


def test_a_broken_log_is_named_with_its_line(tmp_path: Path) -> None:
    path = put(tmp_path, "a.log")
    path.write_text(path.read_text() + "{\n")
    with pytest.raises(DataError, match=r"a\.log\.jsonl line \d+ is not JSON"):
        find_streams([path])


@pytest.mark.parametrize(
    ("truth", "end_s"),
    [
        ([], 3.0),
        ([null(0, 7)], 7.0),
        ([question(kind="state"), value(0, 8, "x")], 8.0),
        ([question(), happening(1, 9)], 9.0),
        ([question(until=11.0)], 11.0),
        ([null(0, 1)], 3.0),
    ],
)
def test_a_stream_ends_when_log_and_truth_are_over(truth: list[dict[str, Any]], end_s: float) -> None:
    log = log_of(*say("1", 2.0, "Yes."), end_s=3.0)
    assert Stream(name="x", log=log, truth=truth_of(*truth)).end_s == end_s


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote_and_how_much_of_it_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.log", "b.log", "c.log"):
        put(tmp_path / "runs", name)
    out = tmp_path / "x.html"
    assert main(["eval", "report", str(tmp_path / "runs"), "--html", str(out), "--streams", "2"]) == 0
    told, err = capsys.readouterr()
    assert told == ""
    assert err == f"{out}: 3 streams, 2 in full, {out.stat().st_size / 1e6:.1f} MB\n"
    assert len(tree(out.read_text(encoding="utf-8")).all("section", of="stream")) == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "the following arguments are required: LOGS, --html"),
        (["runs"], 2, "the following arguments are required: --html"),
        (["runs", "--html", "x.html", "--streams", "0"], 2, "'0' is not a whole number of at least 1"),
        (["runs", "--html", "x.html", "--truth", "t", "t"], 2, "1 logs and 2 files with --truth"),
        (["runs", "--html", "x.html", "--video", "v", "w"], 2, "1 logs and 2 files with --video"),
        (["none", "--html", "x.html"], 3, "none cannot be opened"),
        (["empty", "--html", "x.html"], 3, "empty holds no *.log.jsonl file"),
        (["runs", "--html", "no/where/x.html"], 5, "no/where/x.html cannot be written: No such file or directory."),
        (["runs", "--html", "x.html", "--summary", "none.json"], 3, "none.json cannot be opened"),
        (["runs", "--html", "x.html", "--video", "none.mp4"], 3, "none.mp4 does not exist"),
    ],
)
def test_wrong_use_of_the_command_is_one_line(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "runs", "a.log")
    (tmp_path / "empty").mkdir()
    assert main(["eval", "report", *words]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert not (tmp_path / "x.html").exists()
