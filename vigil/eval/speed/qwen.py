"""Qwen2.5-VL as `transformers` has it, with random weights: the decoder-only model that the paper compares with.

Axes: F frames, H height, W width, C image channels, T tokens, D channels, X patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vigil.eval.speed import bounds
from vigil.eval.speed.scales import QwenSize
from vigil.model.vision import normalise

if TYPE_CHECKING:
    from transformers import DynamicCache

PATCH_PX, MERGE, PAIR = 14, 2, 2
"""Side of a patch (px), patches that one token merges along each side, and frames that one patch spans."""


def why_not() -> str:
    """Why Qwen2.5-VL cannot be run here; empty where it can."""
    try:
        from transformers import Qwen2_5_VLForConditionalGeneration  # noqa: F401
    except ImportError:
        return "transformers with Qwen2.5-VL is not installed: pip install 'vigil-video[hf]'"
    return ""


def model_of(size: QwenSize, device: torch.device, dtype: torch.dtype) -> Any:
    """A model of this size with random weights, made where it will run."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "hidden_size": size.width,
        "num_hidden_layers": size.num_layers,
        "num_attention_heads": size.num_heads,
        "num_key_value_heads": size.num_kv_heads,
        "intermediate_size": size.mlp_width,
        "vocab_size": size.vocab_size,
        "max_position_embeddings": 128_000,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "rope_parameters": {
            "rope_type": "default", "mrope_section": list(size.rope_sections), "rope_theta": 1_000_000.0
        },
    }  # fmt: skip
    vision = {
        "hidden_size": size.vision_width,
        "depth": size.vision_layers,
        "num_heads": size.vision_heads,
        "intermediate_size": size.vision_mlp_width,
        "fullatt_block_indexes": list(size.full_layers),
        "out_hidden_size": size.width,
    }
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, image_token_id=2, video_token_id=3, vision_start_token_id=4,
        vision_end_token_id=5,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            model: Any = Qwen2_5_VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)


class Qwen:
    """Qwen2.5-VL at one size of frames, run as its own `generate` runs it: eager, with a growing cache."""

    def __init__(self, model: Any, size: QwenSize, frame_px: tuple[int, int], *, name: str, num_text: int) -> None:
        """`num_text`: tokens of the prompt besides those of the frames, as many as the others have."""
        self.name = name
        self.frame_px = frame_px
        self._model, self._size, self._num_text = model, size, num_text
        self._cache: DynamicCache | None = None
        self._position = 0

    @property
    def tokens_per_frame(self) -> float:
        """Vision tokens: one for two frames of 28 x 28 px."""
        return self._grid[0] * self._grid[1] / PAIR

    @property
    def _grid(self) -> tuple[int, int]:
        """Tokens of a pair of frames, down and across."""
        return self.frame_px[0] // (PATCH_PX * MERGE), self.frame_px[1] // (PATCH_PX * MERGE)

    def resize(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """To the size that its processor would choose."""
        height, width = self.frame_px
        return np.asarray(Image.fromarray(image_HWC).resize((width, height), Image.Resampling.BILINEAR))

    @torch.inference_mode()
    def encode(self, frames_FHWC: Tensor) -> Tensor:
        """Shapes: [F, H, W, 3] uint8 -> [T, D]. F is even."""
        parts = []
        for part in frames_FHWC.split(32):
            pixels_FCHW = normalise(part.to(self._model.device)).to(self._model.dtype)
            rows, columns = self._grid
            grid = torch.tensor([[len(part) // PAIR, rows * MERGE, columns * MERGE]], device=self._model.device)
            found = self._model.model.visual(patches_of(pixels_FCHW), grid_thw=grid)
            parts.append(getattr(found, "pooler_output", found))
        return torch.cat(parts)

    @torch.inference_mode()
    def prefill(self, features: Tensor, reply_tokens: int) -> int:
        """Read the vision tokens and a question behind them. Shapes: [T, D] -> a token."""
        from transformers import DynamicCache

        device = self._model.device
        embed = self._model.get_input_embeddings()
        words_TD = embed(torch.arange(self._num_text, device=device) % self._size.vocab_size)
        inputs = torch.cat((features.to(words_TD.dtype), words_TD))[None]
        positions = self._positions(len(features)).to(device)
        self._position, self._cache = int(positions.max()) + 1, DynamicCache()
        return self._first(inputs_embeds=inputs, position_ids=positions[:, None])

    @torch.inference_mode()
    def say(self, token: int) -> int:
        """One step."""
        device = self._model.device
        at = torch.full((3, 1, 1), self._position, device=device)
        self._position += 1
        return self._first(input_ids=torch.tensor([[token]], device=device), position_ids=at)

    def _first(self, **inputs: Tensor) -> int:
        found = self._model(**inputs, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        return int(found.logits[0, -1].argmax())

    def _positions(self, num_vision: int) -> Tensor:
        """Rotary positions in time, height and width; text goes on behind the largest. Shapes: -> [3, T]."""
        rows, columns = self._grid
        times = torch.arange(num_vision // (rows * columns)) * 4  # 2 s between pairs, 2 positions a second
        t, h, w = torch.meshgrid(times, torch.arange(rows), torch.arange(columns), indexing="ij")
        vision_3T = torch.stack((t, h, w)).flatten(1)
        return torch.cat((vision_3T, int(vision_3T.max()) + 1 + torch.arange(self._num_text).expand(3, -1)), dim=1)

    def encode_flops(self, num_frames: int) -> float:
        """Arithmetic of `encode`."""
        return bounds.qwen_encoder_flops(self._size, self.frame_px, num_frames)

    def prefill_flops(self, num_frames: int) -> float:
        """Arithmetic of `prefill`."""
        return bounds.qwen_prefill_flops(self._size, int(num_frames * self.tokens_per_frame) + self._num_text)

    def step_bytes(self) -> float:
        """What one `say` has to read, with what is in memory now."""
        assert self._cache is not None
        dim = self._size.width // self._size.num_heads
        entries = self._size.num_layers * int(self._cache.get_seq_length())
        kept = 2.0 * entries * self._size.num_kv_heads * dim * self._model.dtype.itemsize
        head = self._model.lm_head.weight.nbytes
        language = self._model.model.language_model
        return bounds.step_bytes(language, kept + head, table=language.embed_tokens)


def patches_of(pixels_FCHW: Tensor) -> Tensor:
    """Cut frames into the patches that the vision tower takes, in its order: pairs of frames, then squares of
    `MERGE` x `MERGE` patches. Shapes: [F, C, H, W] -> [X, C * PAIR * 14 * 14].
    """
    F, C, H, W = pixels_FCHW.shape
    block = PATCH_PX * MERGE
    x = pixels_FCHW.view(F // PAIR, PAIR, C, H // block, MERGE, PATCH_PX, W // block, MERGE, PATCH_PX)
    x = x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return x.reshape(-1, C * PAIR * PATCH_PX**2)
