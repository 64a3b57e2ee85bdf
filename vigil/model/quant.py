"""Weight-only quantisation: linear layers hold 8-bit codes and one scale per output channel.

It halves the bytes that each decoded token has to read, which bound decoding speed, and the memory of the weights.
Activations keep their type. Nothing is calibrated: the rounding error of a weight is that of its channel's largest.

    quantise(model, "int8")

Axes: O output channels, D input channels.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Codes = Literal["int8", "fp8"]
_TYPES: dict[Codes, tuple[torch.dtype, float]] = {"int8": (torch.int8, 127.0), "fp8": (torch.float8_e4m3fn, 448.0)}


class CodedLinear(nn.Module):
    """`nn.Linear` with 8-bit weights. Not for training."""

    codes_OD: Tensor
    scale_O: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, codes: Codes) -> None:
        super().__init__()
        weight_OD = linear.weight.detach().float()
        dtype, largest = _TYPES[codes]
        scale_O = (weight_OD.abs().amax(1) / largest).clamp(min=1e-30)
        codes_OD = weight_OD / scale_O[:, None]
        codes_OD = codes_OD.round() if codes == "int8" else codes_OD.clamp(-largest, largest)
        self.register_buffer("codes_OD", codes_OD.to(dtype))
        self.register_buffer("scale_O", scale_O.to(linear.weight.dtype))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [..., D] -> [..., O]. The scale is applied to the result; a compiler fuses the unpacking."""
        out = F.linear(x, self.codes_OD.to(x.dtype)) * self.scale_O
        return out if self.bias is None else out + self.bias

    @property
    def weight(self) -> Tensor:
        """The weight that the codes stand for. Shapes: -> [O, D]."""
        return self.codes_OD.to(self.scale_O.dtype) * self.scale_O[:, None]


def quantise(model: nn.Module, codes: Codes, *, skip: tuple[str, ...] = ("vision", "projector")) -> int:
    """Replace every linear layer of a model in place, but for those whose name begins with one of `skip`.

    The vision encoder is bound by arithmetic, not by reading weights, and is left alone by default. An input table that
    is also the output head is no linear layer and stays as it is.

    Returns:
        The bytes that were saved.
    """
    saved = 0
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear) or name.startswith(skip):
            continue
        coded = CodedLinear(module, codes)
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, coded)
        saved += module.weight.nbytes - coded.codes_OD.nbytes - coded.scale_O.nbytes
    return saved
