"""lmms-eval and VLMEvalKit: what needs no kit, and the real interfaces where they are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vigil
from vigil.eval import lmms_plugin
from vigil.eval.asking import Asker, cut
from vigil.eval.lmms_plugin import flat
from vigil.world.render import write_video

LMMS_PYTHON = os.environ.get("VIGIL_LMMS_PYTHON", "")
QUESTION = "Is it day?"
COLOURS = ("red", "green", "blue")


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (64, 64), colour)


def asker() -> Asker:
    return Asker(model=vigil.load("nano"))


def test_an_answer_ends_before_the_first_stop_text() -> None:
    assert cut("red. blue", [".", "e"]) == "r"
    assert cut("red", ["x", ""]) == "red"


def test_pictures_come_as_one_list() -> None:
    assert flat(None) == []
    assert flat("a") == ["a"]
    assert flat([["a"], None, ["b", ["c"]]]) == ["a", "b", "c"]


def test_a_video_is_answered_as_vigil_ask_does_and_tokens_are_bounded(tmp_path: Path) -> None:
    from vigil.stream.watch import answer

    path = tmp_path / "v.mp4"
    write_video(np.full((4, 32, 32, 3), 90, np.uint8), 1.0, path, scale=1)
    model = vigil.load("nano")
    assert Asker(model=model).ask([str(path)], QUESTION) == answer(model, path, QUESTION)
    assert len(Asker(model=model).ask([str(path)], QUESTION, max_tokens=1)) < len(answer(model, path, QUESTION))


def test_images_are_frames_of_one_stream_and_too_many_are_thinned_evenly() -> None:
    one = asker()
    kept = list(one._frames([np.full((2, 2, 3), n, np.uint8) for n in range(10)], 5))
    assert [int(np.asarray(image)[0, 0, 0]) for image, _ in kept] == [0, 2, 4, 6, 8]
    assert [t for _, t in kept] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_classes_that_do_not_exist_are_not_made() -> None:
    with pytest.raises(AttributeError, match="no attribute 'VigilOther'"):
        _ = lmms_plugin.VigilOther  # type: ignore[attr-defined]


@pytest.mark.skipif(importlib.util.find_spec("lmms_eval") is not None, reason="lmms-eval is installed here")
def test_the_plugin_can_be_imported_without_lmms_eval() -> None:
    with pytest.raises(ModuleNotFoundError, match="lmms_eval"):
        lmms_plugin.manifest()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not LMMS_PYTHON, reason="VIGIL_LMMS_PYTHON does not name a Python with lmms-eval 0.7.2")
@pytest.mark.parametrize("kind", ["chat", "simple"])
def test_lmms_eval_finds_vigil_by_its_entry_point_and_scores_three_items(kind: str, tmp_path: Path) -> None:
    info = tmp_path / "site" / "entry-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: entry\nVersion: 0\n", encoding="utf-8")
    line = "[lmms_eval.models]\nvigil = vigil.eval.lmms_plugin:manifest\n"
    (info / "entry_points.txt").write_text(line, encoding="utf-8")
    root = Path(vigil.__file__).parents[1]
    env = {
        **os.environ,
        "PYTHONPATH": f"{info.parent}{os.pathsep}{root}",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "cache"),
    }
    script = Path(__file__).with_name("lmms_local.py")
    done = subprocess.run(
        [LMMS_PYTHON, str(script), str(tmp_path / "task"), kind],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["said"] == [asker().ask([picture(colour)], QUESTION, max_tokens=16) for colour in COLOURS]
    right = [said == colour for said, colour in zip(found["said"], COLOURS, strict=True)]
    assert found["results"]["exact_match,none"] == sum(right) / 3


@pytest.mark.skipif(importlib.util.find_spec("vlmeval") is None, reason="VLMEvalKit (vlmeval) is not installed")
def test_vlmevalkit_gets_the_answer_that_the_model_gives(tmp_path: Path) -> None:
    from vlmeval.vlm.base import BaseModel

    from vigil.eval.vlmevalkit import VigilVLM

    path = tmp_path / "red.png"
    picture("red").save(path)
    made = VigilVLM(model_path="nano")
    assert isinstance(made, BaseModel)
    message = [{"type": "image", "value": str(path)}, {"type": "text", "value": QUESTION}]
    assert made.generate(message) == asker().ask([str(path)], QUESTION)
