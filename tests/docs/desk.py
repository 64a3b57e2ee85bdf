"""What the pages speak of, so that their commands can be run as they stand."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from vigil.cli import main
from vigil.eval.run import BehaviourConfig, keep, run_scene, scenes
from vigil.model import load
from vigil.model.weights import find_folder
from vigil.world.captions import captions_to_json, describe
from vigil.world.render import render, write_video
from vigil.world.scene import WorldConfig, sample_scene


def furnish(folder: Path) -> None:
    """Two short clips, captions of them, a session's log with its truth, a kept session and model folders."""
    shown = [sample_scene("train", number, config=WorldConfig(duration_s=(4.0, 4.0))) for number in range(2)]
    captions = []
    for name, scene in zip(("kitchen.mp4", "clip.mp4"), shown, strict=True):
        write_video(render(scene), scene.fps, folder / name)
        captions.append(captions_to_json(replace(describe(scene), video=name)))
    (folder / "captions.json").write_text(json.dumps(captions))
    for name in ("FOLDER", "my-model", "runs/rt/realtime_sft"):
        shutil.copytree(find_folder("nano"), folder / name)
    assert main(["synth", str(folder / "captions.json"), "--out", str(folder / "talks.jsonl")]) == 0
    assert main(["watch", str(folder / "clip.mp4"), "--speed", "max", "--log", str(folder / "logs")]) == 0
    judged(folder)


def judged(folder: Path) -> None:
    """A run of one scene: run.jsonl, truth.jsonl, and cat.mp4, which was watched."""
    model, config = load("nano"), BehaviourConfig(split="val", num_scenes=1, duration_s=10.0)
    scene, record = next(scenes(config))
    log, _ = run_scene(model, scene, record, config=config, name="nano")
    keep(folder / "kept", scene, record, log)
    for ending, name in ((".log.jsonl", "run.jsonl"), (".truth.jsonl", "truth.jsonl")):
        next((folder / "kept").glob(f"*{ending}")).rename(folder / name)
    write_video(render(scene), scene.fps, folder / "cat.mp4")
