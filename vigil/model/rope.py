"""Rotary positions, shared by text and frames.

Axes: T tokens, H head channels, any leading axes as `...`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vigil.config import TextConfig

Rotation = tuple[Tensor, Tensor]
"""Cosine and sine, each [..., H]."""


def frequencies(config: TextConfig) -> Tensor:
    """Angle per position of each pair of channels, stretched for long contexts where the config says so.

    Shapes: -> [H / 2], float64, radians per position.

    Source: RoFormer (arXiv 2104.09864); stretching as in Llama 3.1.
    """
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    freq = config.rope_theta**-half
    scaling = config.rope_scaling
    if scaling is None:
        return freq
    wavelength = 2 * math.pi / freq
    turns = scaling.original_length / wavelength
    smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    smooth = smooth.clamp(0, 1)
    return freq * (smooth + (1 - smooth) / scaling.factor)


def rotation(freq: Tensor, positions: Tensor, dtype: torch.dtype) -> Rotation:
    """Cosine and sine for each position.

    Angles are made in float64, so that positions beyond a million stay exact, then cast to `dtype`.

    Shapes: [H / 2], [..., T] -> two of [..., T, H].
    """
    angle = positions.to(torch.float64)[..., None] * freq
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Rotate channel i with channel i + H / 2 by the given angles.

    Shapes: [..., H] and a rotation that broadcasts against it -> [..., H].
    """
    cos, sin = by
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin
