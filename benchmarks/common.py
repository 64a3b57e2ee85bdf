"""What the speed benchmarks share: models, a talker that does not stop, and results as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vigil.config import ModelConfig, TextConfig, VisionConfig
from vigil.model import VideoModel, load
from vigil.stream.policy import Sampler

RESULTS = Path(__file__).parent / "results"


def wide_config() -> ModelConfig:
    """The released models' form at a size that a CPU core reads in about 20 ms: grouped heads, every fourth layer a
    cross layer, 17 vision tokens a frame, and a vision encoder that costs a few steps of speech per frame.
    """
    nano = load("nano", device="cpu").config
    vision = VisionConfig(
        image_px=224, width=256, num_heads=4, mlp_width=1024, num_local_layers=6, num_global_layers=2, stride=4,
        feature_layers=(1, 3, 5),
    )  # fmt: skip
    text = TextConfig(
        vocab_size=nano.text.vocab_size, num_extra_embeddings=nano.text.num_extra_embeddings, width=512, num_layers=16,
        cross_layers=(3, 7, 11, 15), num_heads=8, num_kv_heads=2, mlp_width=1792, rope_theta=10_000.0, gate_start=0.5,
    )  # fmt: skip
    return ModelConfig(
        vision=vision, text=text, image_token_id=nano.image_token_id, silence_token_id=nano.silence_token_id
    )


def model_named(name: str) -> VideoModel:
    """`nano`, or `wide` with random weights and nano's tokenizer."""
    if name == "nano":
        return load("nano", device="cpu")
    torch.manual_seed(0)
    model = VideoModel(wide_config())
    model.tokenizer = load("nano", device="cpu").tokenizer
    return model.eval().requires_grad_(False)


class Chatter(Sampler):
    """Never ends its answer by itself: of the text tokens, the most likely."""

    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        assert model.tokenizer is not None
        self._control = sorted(token for token in model.tokenizer.control_ids if token < model.config.text.vocab_size)

    def pick(self, logits_V: Tensor, said: list[int]) -> int:
        """As the name says."""
        logits_V = logits_V.clone()
        logits_V[self._control] = -torch.inf
        return int(logits_V.argmax())


def camera(fps: float, seconds: float, *, seed: int = 0) -> Iterator[tuple[np.ndarray, float]]:
    """Noise of 640 x 360 px, as a camera with a clock would give it."""
    random = np.random.default_rng(seed)
    pictures = [random.integers(0, 256, (360, 640, 3), dtype=np.uint8) for _ in range(4)]
    return ((pictures[n % 4], n / fps) for n in range(int(fps * seconds)))


def quantile(values: list[float], q: float) -> float:
    """Empirical quantile."""
    return float(np.quantile(values, q)) if values else float("nan")


def machine() -> dict[str, Any]:
    """What a result was measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_1min": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def report(name: str, rows: list[dict[str, Any]], *, save: bool, **figures: Any) -> None:
    """Print rows as a table, then everything as one JSON line; `save` also keeps it under results/."""
    columns = list(rows[0])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    for line in (columns, *cells):
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    result = {"benchmark": name, **machine(), **figures, "rows": rows}
    print(json.dumps(result))
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{result['date']}-{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
