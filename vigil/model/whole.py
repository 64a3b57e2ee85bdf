"""Whole sequences through the decoder, as in training and offline use: every row at once, each seeing its own frames.

Axes: B rows, T text tokens, F frames, V videos, P vision tokens of a frame, D channels, S entries of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vigil.model.interleave import interleave
from vigil.model.rows import frame_segments, within_segments
from vigil.model.views import FrameView, Visible, masked, visible_frames

if TYPE_CHECKING:
    from vigil.model.model import VideoModel


def fused(
    model: VideoModel,
    input_ids: Tensor,
    position_ids: Tensor,
    features: Tensor | None,
    frame_positions: Tensor | None,
    video_index: Tensor | None,
    segment_ids: Tensor | None,
) -> Tensor:
    """Last hidden states of the text, which reads the frames from the side. Shapes: -> [B, T, D]."""
    views: list[FrameView | None] = [None] * len(model.decoder.cross_layers)
    if features is not None and frame_positions is not None and frame_positions.shape[1]:
        visible = visible_frames(position_ids, frame_positions)
        if segment_ids is not None:
            owner_BF = frame_segments(input_ids, segment_ids, frame_positions, model.config.image_token_id)
            visible = masked(visible.mask_BTF & visible.any_BT1 & (owner_BF[:, None] == segment_ids[..., None]))
        views = frame_views(model, features, frame_positions, video_index, visible)
    return model.decoder(input_ids, position_ids, views, mask=within_segments(segment_ids))  # type: ignore[no-any-return]


def interleaved(
    model: VideoModel,
    input_ids: Tensor,
    position_ids: Tensor,
    features: Tensor | None,
    frame_positions: Tensor | None,
    video_index: Tensor | None,
    segment_ids: Tensor | None,
) -> Tensor:
    """Last hidden states of the text, with the vision tokens standing in it. Shapes: -> [B, T, D]."""
    h_BTD, mask = model.decoder.embed_tokens(input_ids), within_segments(segment_ids)
    if features is None or frame_positions is None:
        return model.decoder.run(h_BTD, position_ids, [], mask=mask)
    features_BFPD = features if video_index is None else features[video_index]
    order = interleave(input_ids == model.config.image_token_id, frame_positions >= 0, features_BFPD.shape[2])
    h_BSD, positions_BS = order.weave(h_BTD, position_ids, features_BFPD, frame_positions)
    if segment_ids is not None:
        owner_BF = frame_segments(input_ids, segment_ids, frame_positions, model.config.image_token_id)
        mask = within_segments(order.mix(segment_ids, owner_BF))
    return order.text_of(model.decoder.run(h_BSD, positions_BS, [], mask=mask))


def frame_views(
    model: VideoModel, features_VFPD: Tensor, positions_BF: Tensor, video_index: Tensor | None, visible: Visible
) -> list[FrameView | None]:
    """Project each video once, place it for each row, and lay frames and vision tokens along one axis.

    Shapes: [V, F, P, D], [B, F] -> one view per cross layer, its keys and values [B, K, F * P, H].
    """
    projected = model.project_frames(features_VFPD)
    if video_index is not None:
        projected = projected._replace(
            keys=tuple(k[video_index] for k in projected.keys), values=tuple(v[video_index] for v in projected.values)
        )
    written = model.place_frames(projected, positions_BF.clamp(min=0))
    return [
        FrameView(k.transpose(1, 2).flatten(2, 3), v.transpose(1, 2).flatten(2, 3), visible)
        for k, v in zip(written.keys, written.values, strict=True)
    ]
