"""The two channels in one module: perceive frames, write them, and decode text that reads them.

Axes: B rows, T text tokens, F frames, V videos, P vision tokens of a frame, D channels, S = F * P, L cross layers,
K key/value heads, H head channels, I image side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from vigil.config import ModelConfig
from vigil.errors import ShapeError
from vigil.model.decoder import Decoder
from vigil.model.interleave import interleave
from vigil.model.loss import released_loss
from vigil.model.rows import check_inputs, default_positions, look_back
from vigil.model.views import Readable, TextCache
from vigil.model.vision import ConvEncoder, TileViT, pool_patches
from vigil.model.whole import fused, interleaved

if TYPE_CHECKING:
    from vigil.model.tokens import Tokenizer


@dataclass(frozen=True, slots=True)
class Output:
    """What `VideoModel.forward` returns."""

    logits: Tensor
    """[B, T, V]."""
    loss: Tensor | None


class Written(NamedTuple):
    """Keys and values of frames, one entry per cross layer, each [F, K, P, H]; keys are projected or placed.

    The decoder-only twin has no cross layer: its one entry of `keys` is the vision tokens themselves, [F, P, D].
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


class VideoModel(nn.Module):
    """Vision encoder, projector and decoder.

    Offline, `forward` takes whole sequences. Streaming goes in four steps that never wait for each other:
    `encode_frames` and `project_frames` (perception), `place_frames` (once the frame's position is known), `decode`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        vision = config.vision
        self.config = config
        self.vision: nn.Module = TileViT(vision) if vision.kind == "tile_vit" else ConvEncoder(vision)
        self.merger: nn.Conv2d | None = None
        if vision.pooling == "channelFusion":
            dim = vision.feature_dim
            self.merger = nn.Conv2d(dim, dim, vision.stride, vision.stride, bias=False)
        self.projector = nn.Linear(vision.feature_dim, config.text.width)
        self.decoder = Decoder(config)
        self.tokenizer: Tokenizer | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.projector.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.projector.weight.dtype

    # ---- perception ------------------------------------------------------------------------------------------

    def encode_frames(self, frames: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Turn frames into projected vision tokens.

        `state` is what the encoder keeps of earlier frames of one stream (None at its start, and always for the
        released encoder). Any cut of a stream gives the same features if the state is handed on.

        Shapes: [F, 3, I, I] normalised floats -> features [F, P, D], state. A leading axis of B streams is allowed.

        Raises:
            ShapeError: the frames are not [F, 3, I, I] with the side of the model's canvas.
        """
        side = self.config.vision.image_px
        if frames.ndim not in (4, 5) or frames.shape[-3:] != (3, side, side):
            raise ShapeError(f"frames must be [F, 3, {side}, {side}], got {list(frames.shape)}.")
        if frames.ndim == 4:
            features, state = self.encode_frames(frames[None], state)
            return features[0], state
        patches, state = self.vision(frames.to(self.dtype), state)
        pooled = self.pool(patches.flatten(0, 1))
        return self.projector(pooled).unflatten(0, frames.shape[:2]), state

    def pool(self, patches_FXD: Tensor) -> Tensor:
        """Merge patches into vision tokens by the configured pooling. Shapes: [F, X, D] -> [F, P, D]."""
        if self.config.vision.kind == "conv":
            return patches_FXD
        vision = self.config.vision
        return pool_patches(patches_FXD, pooling=vision.pooling, stride=vision.stride, merger=self.merger)

    def project_frames(self, features: Tensor) -> Written:
        """Keys and values of frames in every cross layer, before their position is known.

        Shapes: [..., P, D] -> per layer [..., K, P, H].
        """
        if self.config.fusion == "decoder-only":
            return Written((features,), ())
        pairs = [layer.cross_attn.project(features) for layer in self.decoder.cross_layers]
        return Written(tuple(k for k, _ in pairs), tuple(v for _, v in pairs))

    def place_frames(self, projected: Written, positions: Tensor) -> Written:
        """Give projected frames their rotary position.

        Shapes: per layer [..., K, P, H], positions [...] -> per layer [..., K, P, H].
        """
        if self.config.fusion == "decoder-only":
            return projected
        cos, sin = self.decoder.rotation(positions, self.dtype)
        by = (cos[..., None, None, :], sin[..., None, None, :])
        layers = zip(self.decoder.cross_layers, projected.keys, strict=True)
        return Written(tuple(layer.cross_attn.place(keys, by) for layer, keys in layers), projected.values)

    def write_frames(self, features_FPD: Tensor, positions_F: Tensor) -> Written:
        """Turn frames into what the frame memory stores: `project_frames`, then `place_frames`.

        Shapes: [F, P, D], [F] -> per layer [F, K, P, H].
        """
        return self.place_frames(self.project_frames(features_FPD), positions_F)

    # ---- text ------------------------------------------------------------------------------------------------

    def decode(
        self,
        input_ids_T: Tensor,
        positions_T: Tensor,
        *,
        cache: TextCache,
        cached_tokens: int,
        views: Iterable[Readable | None],
    ) -> Tensor:
        """One step of streaming: feed tokens, read the frame memory, return the last token's logits.

        Shapes: [T], [T] -> [V]. `cache` holds `cached_tokens` earlier tokens; `views` one entry per cross layer.
        """
        mask = look_back(len(input_ids_T), cached_tokens, input_ids_T.device)
        h_BTD = self.decoder(input_ids_T[None], positions_T[None], views, cache=cache, mask=mask)
        return self.decoder.head(h_BTD[0, -1])

    def decode_interleaved(
        self,
        input_ids_T: Tensor,
        positions_T: Tensor,
        features_FPD: Tensor | None,
        *,
        cache: TextCache,
        cached_tokens: int,
    ) -> Tensor:
        """`decode` of the decoder-only twin: `features_FPD` holds one frame per placeholder among the tokens.

        The cache takes `num_entries` of the tokens. Shapes: [T], [T], [F, P, D] -> [V].
        """
        is_frame_BT = (input_ids_T == self.config.image_token_id)[None]
        h_BSD, positions_BS = self.decoder.embed_tokens(input_ids_T)[None], positions_T[None]
        if features_FPD is not None:
            order = interleave(is_frame_BT, is_frame_BT.new_ones(1, len(features_FPD)), features_FPD.shape[1])
            at_BF = positions_BS[is_frame_BT][None]
            h_BSD, positions_BS = order.weave(h_BSD, positions_BS, features_FPD[None], at_BF)
        mask = look_back(h_BSD.shape[1], cached_tokens, input_ids_T.device)
        h_BSD = self.decoder.run(h_BSD, positions_BS, [], cache=cache, mask=mask)
        return self.decoder.head(h_BSD[0, -1])

    def num_entries(self, ids: Sequence[int]) -> int:
        """Entries of the text lane that tokens take: one each, and in the twin the vision tokens of each frame too."""
        if self.config.fusion != "decoder-only":
            return len(ids)
        return len(ids) + self.config.vision.tokens_per_frame * ids.count(self.config.image_token_id)

    def forward(
        self,
        input_ids: Tensor,
        frames: Tensor | None = None,
        frame_positions: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        features: Tensor | None = None,
        video_index: Tensor | None = None,
        segment_ids: Tensor | None = None,
        labels: Tensor | None = None,
        silence_weight: float | None = None,
    ) -> Output:
        """Run whole sequences, as in training and offline use. Pad on the right; causality keeps padding harmless.

        Args:
            input_ids: [B, T]; the placeholder id stands at each frame.
            frames: [B, F, 3, I, I] normalised floats, or None. With `features`, leave it out.
            frame_positions: [B, F] rotary position of each frame (that of its placeholder); -1 marks an absent frame.
            position_ids: [B, T]; default 0, 1, 2, ... in each row, or in each segment.
            features: [V, F, P, D] from `encode_frames`, so that rows share a video; row b reads video
                `video_index[b]` (default: row b reads video b).
            segment_ids: [B, T]; keeps packed samples apart. The i-th frame of a row belongs to the segment of the
                row's i-th placeholder.
            labels: [B, T], -100 where a token does not count.
            silence_weight: weight of silence targets in the loss; default `ModelConfig.silence_weight`.

        Returns:
            `Output` with logits [B, T, V] and the released loss, or None without labels.

        Raises:
            ShapeError: shapes disagree, or frames come without positions.
        """
        check_inputs(input_ids, frames, frame_positions, features, video_index)
        if position_ids is None:
            position_ids = default_positions(input_ids, segment_ids)
        if frames is not None:
            features = self.encode_frames(frames)[0]
        hidden = interleaved if self.config.fusion == "decoder-only" else fused
        logits = self.decoder.head(
            hidden(self, input_ids, position_ids, features, frame_positions, video_index, segment_ids)
        )
        loss = None
        if labels is not None:
            weight = self.config.silence_weight if silence_weight is None else silence_weight
            loss = released_loss(logits, labels, silence_id=self.config.silence_token_id, silence_weight=weight)
        return Output(logits, loss)
