"""Model folders in every layout that `vigil.hf` reads, and a folder of frames that nano knows something about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.fakes import TILE_VIT, picture, tiny_config, tiny_model
from vigil.assets import demo_clip
from vigil.model.weights import find_folder
from vigil.stream.source import open_source
from vigil.train.export import export

pytest.importorskip("transformers", reason="vigil.hf needs transformers: pip install 'vigil-video[hf]'")

LAYOUTS = ("vigil", "nano", "training", "release")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder in each layout: our own (tiny and nano), and a released model's in training and in release names."""
    root = tmp_path_factory.mktemp("layouts")
    export(tiny_model(), root / "vigil", "vigil")
    config = tiny_config(TILE_VIT, before_first_frame="skip")
    text = replace(config.text, qk_norm=False, tie_embeddings=False, num_extra_embeddings=8)
    export(tiny_model(replace(config, text=text)), root / "training", "mllama")
    export(tiny_model(replace(config, text=text)), root / "release", "mllama")
    raw = json.loads((root / "release" / "config.json").read_text())
    raw["model_type"] = "video_mllama"
    raw["vision_config"] |= {"merge_mode": raw.pop("pool_mode"), "merge_size": raw.pop("stride")}
    raw["auto_map"] = {"AutoConfig": "evil.EvilConfig", "AutoModelForImageTextToText": "evil.EvilModel"}
    (root / "release" / "config.json").write_text(json.dumps(raw))
    (root / "release" / "evil.py").write_text("raise SystemExit('code from a model folder was run')\n")
    return {name: find_folder("nano") if name == "nano" else root / name for name in LAYOUTS}


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled clip as a folder of 20 pictures; its light is red for the first ten, and green at the end."""
    folder = tmp_path_factory.mktemp("clip")
    with open_source(demo_clip(), fps=1.0) as source:
        for index, frame in enumerate(source):
            Image.fromarray(frame.image).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of noise."""
    folder = tmp_path_factory.mktemp("noise")
    for index in range(4):
        Image.fromarray(picture(index)).save(folder / f"{index}.png")
    return folder
