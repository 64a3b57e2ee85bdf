"""Where a page gets its logs, truths and pictures from."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_logs import ask, frame, log_of, null, question, say, text_of, tokens, truth_of
from fakes import ScriptedModel
from PIL import Image

from vigil.errors import ConfigError, SourceError
from vigil.eval.log import write_log
from vigil.eval.report.pictures import MAX_FRAMES, make_sheet
from vigil.eval.report.streams import Stream, find_streams, fingerprint
from vigil.eval.run import BehaviourConfig, keep, run_scene, scenes
from vigil.model.tokens import SILENCE
from vigil.world.render import render, write_video

SHORT = BehaviourConfig(split="val", num_scenes=1, duration_s=5.0)


def put(folder: Path, name: str, **head: Any) -> Path:
    """A small log with its truth beside it."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.log.jsonl"
    write_log(file, log_of(*frame(0, 0.0), ask("q1", 1.0), *say("1", 2.0, "Yes."), end_s=3.0, **head))
    (folder / f"{name}.truth.jsonl").write_text("\n".join(text_of([question()])), encoding="utf-8")
    return file


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        put(tmp_path, f"world-test-{number}-0")
    found = find_streams([tmp_path])
    assert [stream.name for stream in found] == ["world-test-1-0", "world-test-2-0", "world-test-10-0"]
    assert found[2].scene_id == "world:test:10"


def test_only_the_names_of_kept_logs_tell_a_scene(tmp_path: Path) -> None:
    (stream,) = find_streams([put(tmp_path, "kitchen")])
    assert stream.name == "kitchen"
    assert stream.scene_id is None


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    first, second = put(tmp_path / "a", "x"), put(tmp_path / "b", "x", model="other")
    with pytest.raises(ConfigError, match=r"the logs have model other and tiny\. A page shows one run"):
        find_streams([first, second])
    with pytest.raises(ConfigError, match=r"1 logs and 2 files with --truth\. Give one for each log"):
        find_streams([first], truths=[first, first])
    with pytest.raises(ConfigError, match="with --video"):
        find_streams([first], videos=[first, first])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"empty holds no \*\.log\.jsonl file"):
        find_streams([tmp_path / "empty"])
    (tmp_path / "a" / "x.truth.jsonl").unlink()
    with pytest.raises(SourceError, match=r"x\.log\.jsonl has no x\.truth\.jsonl beside it"):
        find_streams([first])


def pixels(url: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))), dtype=np.int16)


def test_a_scene_is_drawn_again_and_shown_only_if_its_frames_are_those_that_were_watched(tmp_path: Path) -> None:
    scene, record = next(scenes(SHORT))
    log, _ = run_scene(ScriptedModel(SILENCE), scene, record, config=SHORT, name="x")
    keep(tmp_path, scene, record, log)
    (stream,) = find_streams([tmp_path])
    sheet, origin = make_sheet(stream, anchor="s")
    assert sheet is not None
    assert "drawn again from world:val:0" in origin
    assert list(sheet.cells) == list(range(5))
    assert sheet.view_box(3) == "192 0 64 64"
    drawn = render(scene)[3].astype(np.int16)
    assert np.abs(pixels(sheet.url)[:64, 192:256] - drawn).mean() < 8
    assert np.abs(pixels(sheet.url)[:64, 0:64] - drawn).mean() > np.abs(pixels(sheet.url)[:64, 192:256] - drawn).mean()
    other = fingerprint(render(replace(scene, seed=scene.seed + 1)))
    for kept, reason in ((other, "differs"), (None, "is not kept")):
        sheet, origin = make_sheet(replace(stream, frames_sha256=kept), anchor="s")
        assert sheet is None
        assert origin == f"No pictures: world:val:0 was drawn again, but the hash of what was watched {reason}."


def test_a_video_file_gives_the_frames_of_its_times(tmp_path: Path) -> None:
    frames_FHWC = np.stack([np.full((48, 64, 3), shade, dtype=np.uint8) for shade in (20, 120, 220)])
    write_video(frames_FHWC, 1.0, tmp_path / "v.mp4", scale=2)
    log = log_of(*(row for i in range(3) for row in frame(i, float(i))), end_s=3.0)
    sheet, origin = make_sheet(Stream(name="v", log=log, truth=truth_of(), video=tmp_path / "v.mp4"), anchor="s")
    assert sheet is not None
    assert "decoded again from v.mp4" in origin
    assert (sheet.width_px, sheet.height_px) == (88, 64)
    shades = [int(pixels(sheet.url)[32, 88 * cell + 44].mean()) for cell in range(3)]
    assert np.abs(np.array(shades) - [20, 120, 220]).max() < 12


def test_a_long_stream_embeds_a_limited_number_of_frames_and_never_a_later_one(tmp_path: Path) -> None:
    frames_FHWC = np.zeros((300, 16, 16, 3), dtype=np.uint8)
    write_video(frames_FHWC, 10.0, tmp_path / "v.mp4", scale=1)
    rows = [row for i in range(300) for row in frame(i, i / 10)]
    spoken = tokens("1", [20.01], [200], q=None)
    log = log_of(*rows, *spoken, end_s=30.0, fps=10.0)
    sheet, _ = make_sheet(Stream(name="v", log=log, truth=truth_of(), video=tmp_path / "v.mp4"), anchor="s")
    assert sheet is not None
    assert len(sheet.cells) <= MAX_FRAMES
    assert sheet.by_then(200) == 200
    assert all(sheet.by_then(i) <= i for i in range(300))


def test_a_log_of_something_unknown_has_no_pictures() -> None:
    stream = Stream(name="x", log=log_of(end_s=4.0), truth=truth_of(null(0, 9)))
    assert make_sheet(stream, anchor="s")[0] is None
    assert stream.end_s == 9.0
