"""The decoder-only twin: vision tokens stand in the text sequence, where the other model reads them from the side.

It exists to be compared with. Where a model with cross-attention has a cross-attention layer, its twin has one more
self-attention layer, of the same size but for a null entry and two gates. The P vision tokens of a frame stand right
before the frame's placeholder, which stays as the token on which the decision slot opens.

Positions: vision tokens share the rotary position of their placeholder. Text therefore has the same positions in both
models, whatever number of frames was seen; where in its frame a vision token belongs, the encoder has told it.

Axes: B rows, T text tokens (placeholders included), F frames, P vision tokens of a frame, S = T + F * P, D channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from vigil.config import ModelConfig
from vigil.errors import ConfigError, ShapeError


def twin_of(config: ModelConfig) -> ModelConfig:
    """The decoder-only twin of a model with cross-attention.

    Raises:
        ConfigError: the config is that of a twin already.
    """
    if config.fusion == "decoder-only":
        raise ConfigError("this config is decoder-only already. Give the one with cross-attention.")
    return replace(config, fusion="decoder-only", text=replace(config.text, cross_layers=()))


class Interleaving(NamedTuple):
    """Where everything stands once vision tokens have entered the text."""

    sources_BS: Tensor
    """What stands at each place: t for text token t, T + f * P + p for vision token p of frame f. Rows with fewer
    frames end in places that repeat token 0; nothing before them can look there."""
    places_BT: Tensor
    """Where each text token went."""
    per_frame: int
    """Vision tokens of a frame."""

    def weave(
        self, text_BTD: Tensor, positions_BT: Tensor, features_BFPD: Tensor, at_BF: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Embeddings [B, S, D] and rotary positions [B, S] of everything; a frame stands at position `at_BF`."""
        both_BXD = torch.cat((text_BTD, features_BFPD.flatten(1, 2).to(text_BTD.dtype)), dim=1)
        index = self.sources_BS[..., None].expand(-1, -1, both_BXD.shape[-1])
        return both_BXD.gather(1, index), self.mix(positions_BT, at_BF)

    def mix(self, of_text_BT: Tensor, of_frames_BF: Tensor) -> Tensor:
        """A number of each text token, and of the frame of each vision token. Shapes: -> [B, S]."""
        both_BX = torch.cat((of_text_BT, of_frames_BF.repeat_interleave(self.per_frame, 1)), dim=1)
        return both_BX.gather(1, self.sources_BS)

    def text_of(self, h_BSD: Tensor) -> Tensor:
        """The hidden states of the text tokens. Shapes: [B, S, D] -> [B, T, D]."""
        return h_BSD.gather(1, self.places_BT[..., None].expand(-1, -1, h_BSD.shape[-1]))


def interleave(is_frame_BT: Tensor, present_BF: Tensor, per_frame: int) -> Interleaving:
    """Make room for `per_frame` vision tokens before each placeholder. Shapes: boolean [B, T], [B, F].

    Args:
        is_frame_BT: where the placeholders stand.
        present_BF: which frames each row has; the i-th of them belongs to the row's i-th placeholder.

    Raises:
        ShapeError: a row has another number of placeholders than of frames.
    """
    B, T = is_frame_BT.shape
    wanted, given = is_frame_BT.sum(1), present_BF.sum(1)
    if not torch.equal(wanted, given):
        row = int((wanted != given).nonzero()[0])
        raise ShapeError(f"row {row} has {int(wanted[row])} placeholders for {int(given[row])} frames.")
    device = is_frame_BT.device
    text_T = torch.arange(T, device=device)
    places_BT = text_T + per_frame * is_frame_BT.long().cumsum(1)
    length = T + per_frame * int(wanted.max()) if B else T
    sources_BS = torch.zeros(B, length, dtype=torch.long, device=device)
    sources_BS.scatter_(1, places_BT, text_T.expand(B, T))
    rows_N, at_N = is_frame_BT.nonzero(as_tuple=True)
    frames_N = present_BF.nonzero(as_tuple=True)[1]
    inside_P = torch.arange(per_frame, device=device)
    to_NP = (places_BT[rows_N, at_N] - per_frame)[:, None] + inside_P
    sources_BS[rows_N[:, None], to_NP] = T + frames_N[:, None] * per_frame + inside_P
    return Interleaving(sources_BS, places_BT, per_frame)
