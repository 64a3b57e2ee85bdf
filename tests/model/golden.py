"""The golden numbers: what the reference implementation computed once, and how our model is run on its inputs."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from vigil.config import StreamConfig
from vigil.model import VideoModel
from vigil.stream.memory import FrameMemory, TextMemory

FOLDER = Path(__file__).parent.parent / "golden"
TOLERANCE = 1e-4
"""Absolute, in float32."""
CASES = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*.safetensors") if not path.name.startswith("model.")
)
LEAK = "tiny/average_text_prefix.safetensors"
"""The one case whose `logits` look into the future."""


def read(case: str) -> dict[str, Tensor]:
    """Tensors of a case; `frames` [B, F, 3, I, I] stands for its pixel values."""
    tensors = load_file(FOLDER / case)
    tensors["frames"] = tensors.pop("pixel_values").squeeze(2)
    return tensors


def pooling_of(case: str) -> str:
    """The pooling mode that a case's name starts with."""
    return Path(case).stem.split("_")[0]


def assert_close(got: Tensor, want: Tensor) -> None:
    """Equal within the tolerance, shape included."""
    torch.testing.assert_close(got, want, rtol=0.0, atol=TOLERANCE)


@torch.inference_mode()
def stream(model: VideoModel, case: dict[str, Tensor]) -> Tensor:
    """Feed a case token by token, each frame at its placeholder, through both lanes. Shapes: -> logits [1, T, V]."""
    ids_T, positions_T = case["input_ids"][0], case["position_ids"][0]
    waiting = list(zip(case["vision_position_ids"][0].tolist(), case["frames"][0], strict=True))
    layers, cross = model.config.text.num_layers, len(model.config.text.cross_layers)
    frames = FrameMemory(StreamConfig(memory_frames=8), num_layers=cross)
    text = TextMemory(len(ids_T), num_layers=layers - cross)
    rows = []
    for t in range(len(ids_T)):
        while waiting and waiting[0][0] <= int(positions_T[t]):
            at, pixels = waiting.pop(0)
            features, _ = model.encode_frames(pixels[None])
            written = model.write_frames(features, torch.tensor([at]))
            for layer, (keys, values) in enumerate(zip(written.keys, written.values, strict=True)):
                frames.append(layer, keys, values)
            frames.publish([at])
        views = frames.snapshot().views(positions_T[t : t + 1])
        rows.append(model.decode(ids_T[t : t + 1], positions_T[t : t + 1], cache=text, cached_tokens=t, views=views))
        text.advance(1)
    return torch.stack(rows)[None]
