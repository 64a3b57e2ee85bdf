"""Who runs: the model with two channels and its decoder-only twin. Qwen2.5-VL is in `vigil.eval.speed.qwen`.

Axes: F frames, H height, W width, C image channels, P vision tokens of a frame, T of all frames, D channels,
V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vigil.config import ModelConfig, StreamConfig
from vigil.eval.speed import bounds
from vigil.eval.speed.scales import SpeedScale, with_ids
from vigil.model import VideoModel, load
from vigil.model.interleave import twin_of
from vigil.model.tokens import ControlIds, Transcript
from vigil.model.vision import normalise, paint
from vigil.stream.feed import feed
from vigil.stream.lanes import lanes_for
from vigil.stream.memory import FrameMemory, TextMemory
from vigil.stream.static import StaticStep

QUESTION = "What is happening?"


class Contestant(Protocol):
    """A model in the offline protocols. `encode`, `prefill` and `say` are what is timed."""

    name: str
    frame_px: tuple[int, int]
    """Height and width of its resized frames."""

    @property
    def tokens_per_frame(self) -> float:
        """Vision tokens."""
        ...

    def resize(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring one decoded image to `frame_px`."""
        ...

    def encode(self, frames_FHWC: Tensor) -> Tensor:
        """Resized frames in host memory to vision tokens in the width of the decoder.

        Shapes: [F, H, W, 3] uint8 -> [F, P, D], or [T, D] where a token spans frames.
        """
        ...

    def prefill(self, features: Tensor, reply_tokens: int) -> int:
        """Read all frames and the question in fresh caches with room for a reply; the first token.

        Shapes: [F, P, D], or [T, D] where a token spans frames -> a token.
        """
        ...

    def say(self, token: int) -> int:
        """Feed one token; the next one."""
        ...

    def encode_flops(self, num_frames: int) -> float:
        """Arithmetic of `encode`."""
        ...

    def prefill_flops(self, num_frames: int) -> float:
        """Arithmetic of `prefill`."""
        ...

    def step_bytes(self) -> float:
        """What one `say` has to read."""
        ...


def build(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> VideoModel:
    """A model with random weights, made where it will run, with nano's tokenizer."""
    nano = load("nano", device="cpu")
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = VideoModel(with_ids(config, nano.config.image_token_id, nano.config.silence_token_id))
    finally:
        torch.set_default_dtype(before)
    model.tokenizer = nano.tokenizer
    return model.eval().requires_grad_(False)


class Ours:
    """The model with two channels, or its twin: which, the config says."""

    def __init__(self, model: VideoModel, encode_batch: int) -> None:
        self.model = model
        self.name = "twin" if model.config.fusion == "decoder-only" else "vigil"
        side = model.config.vision.image_px
        self.frame_px = (side, side)
        self._encode_batch = encode_batch
        self._step: StaticStep | None = None
        assert model.tokenizer is not None
        self._control = ControlIds(model.tokenizer, image_token_id=model.config.image_token_id)

    @property
    def tokens_per_frame(self) -> float:
        """Vision tokens."""
        return float(self.model.config.vision.tokens_per_frame)

    def ids(self, num_frames: int) -> list[int]:
        """The prompt: all frames, then the question."""
        assert self.model.tokenizer is not None
        return Transcript(self.model.tokenizer, self._control).offline(num_frames, QUESTION)

    def resize(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As every session does: aspect kept, padded."""
        return paint(image_HWC, self.model.config.vision)

    @torch.inference_mode()
    def encode(self, frames_FHWC: Tensor) -> Tensor:
        """Shapes: [F, H, W, 3] uint8 -> [F, P, D]."""
        parts = [
            self.model.encode_frames(normalise(part.to(self.model.device)))[0]
            for part in frames_FHWC.split(self._encode_batch)
        ]
        return torch.cat(parts)

    @torch.inference_mode()
    def prefill(self, features: Tensor, reply_tokens: int) -> int:
        """Write the frames, then read the prompt. Shapes: [F, P, D] -> a token."""
        ids = self.ids(len(features))
        config = StreamConfig(memory_frames=len(features))
        room = self.model.num_entries(ids) + reply_tokens + 1
        self.frames, self.text = lanes_for(self.model, config, text_tokens=room)
        places = [i for i, token in enumerate(ids) if token == self._control.image]
        at_F = torch.tensor(places, device=self.model.device)
        self.frames.take(self.model.write_frames(features, at_F), places)
        self._position, self._step = len(ids), None
        return int(feed(self.model, ids, start=0, text=self.text, frames=self.frames).argmax())

    def say(self, token: int) -> int:
        """One step; on a GPU a graph that was captured at the first."""
        if self.model.device.type == "cuda":
            if self._step is None:
                self._step = StaticStep(self.model, self.text, _memory(self.frames))
            logits_V = self._step(token, self._position)
        else:
            logits_V = feed(self.model, [token], start=self._position, text=self.text, frames=self.frames)
        self._position += 1
        return int(logits_V.argmax())

    def encode_flops(self, num_frames: int) -> float:
        """Arithmetic of `encode`."""
        return bounds.encoder_flops(self.model.config.vision, num_frames)

    def prefill_flops(self, num_frames: int) -> float:
        """Arithmetic of `prefill`."""
        return bounds.prefill_flops(self.model.config, len(self.ids(num_frames)), num_frames)

    def step_bytes(self) -> float:
        """What one `say` has to read, with what is in memory now."""
        return step_bytes(self.model, self.text, num_frames=len(self.frames))


def step_bytes(model: VideoModel, text: TextMemory, *, num_frames: int) -> float:
    """Weights, text and the vision tokens of so many frames, which one step reads."""
    config = model.config
    vision = num_frames * config.vision.tokens_per_frame
    words = len(text) - (vision if config.fusion == "decoder-only" else 0)
    kept = bounds.kv_bytes(config.text, num_text=words, num_vision=vision, itemsize=model.dtype.itemsize)
    table = None if model.decoder.lm_head is None else model.decoder.embed_tokens
    return bounds.step_bytes(model.decoder, kept, table=table)


def _memory(frames: object) -> FrameMemory | None:
    return frames if isinstance(frames, FrameMemory) else None


def ours(scale: SpeedScale, device: torch.device) -> Ours:
    """The model with two channels."""
    return Ours(build(scale.make_config(), device, getattr(torch, scale.dtype)), scale.encode_batch)


def twin(scale: SpeedScale, device: torch.device) -> Ours:
    """Its decoder-only twin: the same size, the same vision tokens."""
    return Ours(build(twin_of(scale.make_config()), device, getattr(torch, scale.dtype)), scale.encode_batch)
