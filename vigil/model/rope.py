"""Rotary positions, shared by text and frames.

Axes: T tokens, H head channels, any leading axes as `...`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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


def average_keys(bare: Tensor, weights: Tensor) -> Tensor:
    """Averages of stripped keys that stand at one position, as long as those they are the average of.

    The norm gives all keys one length, which averages of unlike keys would lack, and with it their weight in attention.

    Shapes: [..., N, H] and weights [M, N] whose rows sum to 1 -> [..., M, H].
    """
    mean = weights @ bare
    length = weights @ bare.norm(dim=-1, keepdim=True)
    return mean * (length / mean.norm(dim=-1, keepdim=True).clamp(min=1e-12))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Turner:
    """Moves cached keys to other rotary positions without computing them anew.

    Keys of text are rotated last, so R(new - old) moves them. Keys of frames may be normed after the rotation; the root
    mean square does not change under rotation, so such a key moves as `w * R(new - old)(key / w)`, with `w` the weight
    of the norm. All is computed in float32 and rounded once per move: in bfloat16 that is 2**-9 a move, growing with
    the root of the number of moves. Where a weight is exactly 0, the channel is lost and stays 0.
    """

    freq: Tensor
    """[H / 2], radians per position."""
    weights: tuple[Tensor, ...] = ()
    """Per cross layer the weight [H] of its key norm."""
    norm_last: bool = True
    """The key norm of frames comes after the rotation."""
    rotates_frames: bool = True

    def text(self, keys: Tensor, delta: Tensor) -> Tensor:
        """Move self-attention keys by `delta` positions. Shapes: [..., S, H], [S] -> [..., S, H], dtype unchanged."""
        return rotate(keys.float(), rotation(self.freq, delta, torch.float32)).to(keys.dtype)

    def frames(self, layer: int, keys: Tensor, delta: Tensor) -> Tensor:
        """Move keys of one cross layer by `delta` positions. Shapes: [..., S, H], [S] -> [..., S, H]."""
        return self.dress(layer, self.turned(self.strip(layer, keys), delta)).to(keys.dtype)

    def strip(self, layer: int, keys: Tensor) -> Tensor:
        """Take the norm's weight off, where it hides the rotation. Shapes: [..., S, H] -> the same in float32."""
        weight = self.weights[layer].float()
        return keys.float() * torch.where(weight == 0, 0, 1 / weight) if self.norm_last else keys.float()

    def dress(self, layer: int, bare: Tensor) -> Tensor:
        """Put the norm's weight back on: the inverse of `strip`. Shapes: [..., S, H] -> [..., S, H]."""
        return bare * self.weights[layer].float() if self.norm_last else bare

    def turned(self, bare: Tensor, delta: Tensor) -> Tensor:
        """Rotate stripped keys of frames. Shapes: [..., S, H], [S] -> [..., S, H]."""
        return rotate(bare, rotation(self.freq, delta, torch.float32)) if self.rotates_frames else bare
