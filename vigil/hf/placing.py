"""Where tokens and frames stand in padded rows, and who may look at whom.

Axes: B rows, T new text tokens, S all text tokens so far, F frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vigil.errors import ShapeError
from vigil.model.rows import look_back


def positions_of(attention_mask: Tensor | None, rows: int, total: int, device: torch.device) -> Tensor:
    """Rotary positions of all tokens: padding takes none. Shapes: -> [B, S].

    Raises:
        ShapeError: the mask is not [B, S].
    """
    if attention_mask is None:
        return torch.arange(total, device=device).expand(rows, total)
    if attention_mask.shape != (rows, total):
        raise ShapeError(f"attention_mask must be [{rows}, {total}], got {list(attention_mask.shape)}.")
    return (attention_mask.to(device).long().cumsum(1) - 1).clamp(min=0)


def mask_of(attention_mask: Tensor | None, num_cached: int, num_new: int, device: torch.device) -> Tensor | None:
    """Which tokens the new ones look at; None where attention needs no mask. Shapes: -> [1 or B, 1, T, S].

    Padding looks at itself, because attention over nothing is undefined; nobody else looks at it.
    """
    if attention_mask is None or bool(attention_mask.all()):
        return look_back(num_new, num_cached, device)
    at_S = torch.arange(num_cached + num_new, device=device)
    at_T = at_S[num_cached:, None]
    present_B11S = attention_mask.to(device).bool()[:, None, None]
    return (present_B11S & (at_S <= at_T)) | (at_S == at_T)


def frame_positions_of(input_ids: Tensor, positions_BS: Tensor, image_token_id: int) -> Tensor:
    """Rotary position of each row's frames: those of its placeholders, in order; -1 fills up. Shapes: -> [B, F]."""
    is_frame_BS = input_ids == image_token_id
    num_frames = int(is_frame_BS.sum(1).max())
    found_BF = positions_BS.new_full((len(input_ids), num_frames), -1)
    rows, columns = is_frame_BS.nonzero(as_tuple=True)
    found_BF[rows, is_frame_BS.cumsum(1)[rows, columns] - 1] = positions_BS[rows, columns]
    return found_BF
