"""The perception channel: frames to vision tokens. Two encoders, the poolings, and the picture pre-processing.

Axes: B streams, F frames, N = B * F, C image channels, X patches of a frame, P vision tokens of a frame, D channels,
I image side, G patches per side.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vigil.config import Pooling, VisionConfig
from vigil.errors import ShapeError

MEAN_RGB = (0.48145466, 0.4578275, 0.40821073)
STD_RGB = (0.26862954, 0.26130258, 0.27577711)


def fit_size(height_px: int, width_px: int, canvas_px: int) -> tuple[int, int]:
    """Size (height, width) of an image scaled, aspect kept, to fit a square canvas; floored, at least 1 px."""
    scale_h, scale_w = canvas_px / height_px, canvas_px / width_px
    if scale_w < scale_h:
        return min(math.floor(height_px * scale_w) or 1, canvas_px), canvas_px
    return canvas_px, min(math.floor(width_px * scale_h) or 1, canvas_px)


def preprocess(image_HWC: NDArray[np.uint8], config: VisionConfig) -> Tensor:
    """Bring one RGB image onto the canvas and normalise it.

    Shapes: [H, W, 3] uint8 -> [3, I, I] float32.

    Raises:
        ShapeError: the image is not [H, W, 3] uint8.
    """
    return normalise(torch.from_numpy(paint(image_HWC, config)))


def paint(image_HWC: NDArray[np.uint8], config: VisionConfig) -> NDArray[np.uint8]:
    """Bring one RGB image onto the canvas.

    Padding is black, right and below, and laid before normalisation, as the released models were trained.

    Shapes: [H, W, 3] uint8 -> [I, I, 3] uint8.

    Raises:
        ShapeError: the image is not [H, W, 3] uint8.
    """
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.dtype != np.uint8 or 0 in image_HWC.shape:
        raise ShapeError(f"a frame must be uint8 [H, W, 3], got {image_HWC.dtype} {list(image_HWC.shape)}.")
    side = config.image_px
    height, width = (side, side) if config.fit == "stretch" else fit_size(image_HWC.shape[0], image_HWC.shape[1], side)
    canvas = np.zeros((side, side, 3), np.uint8)
    small = Image.fromarray(image_HWC).resize((width, height), Image.Resampling.BILINEAR)
    canvas[:height, :width] = np.asarray(small)
    return canvas


def normalise(images_HWC: Tensor) -> Tensor:
    """Scale to [0, 1], subtract the mean, divide by the deviation, and put channels first.

    Shapes: [..., I, I, 3] uint8 -> [..., 3, I, I] float32.
    """
    mean = torch.tensor(MEAN_RGB, device=images_HWC.device)
    std = torch.tensor(STD_RGB, device=images_HWC.device)
    return ((images_HWC.float() / 255 - mean) / std).movedim(-1, -3)


def pool_patches(x_FPD: Tensor, *, pooling: Pooling, stride: int, merger: nn.Conv2d | None = None) -> Tensor:
    """Merge squares of patches into one vision token each; keep the class token, first, as it is.

    average, max and channelFusion drop a remainder that the stride does not divide; bilinear rounds the side up.

    Shapes: [F, 1 + grid**2, D] -> [F, 1 + side**2, D]. At 560 px, patch 14, stride 4 a frame goes from 1601 to 101.

    Raises:
        ShapeError: the tokens are not a class token and a square grid.

    Source: arXiv 2606.07639, four of its poolings.
    """
    if pooling == "none":
        return x_FPD
    num, patches, dim = x_FPD.shape
    grid = math.isqrt(patches - 1)
    if grid * grid != patches - 1:
        raise ShapeError(f"pooling wants 1 + grid**2 tokens a frame, got {patches}.")
    x_FDGG = x_FPD[:, 1:].reshape(num, grid, grid, dim).permute(0, 3, 1, 2)
    if pooling == "average":
        x_FDGG = F.avg_pool2d(x_FDGG, stride)
    elif pooling == "max":
        x_FDGG = F.max_pool2d(x_FDGG, stride)
    elif pooling == "bilinear":
        side = -(-grid // stride)
        x_FDGG = F.interpolate(x_FDGG, size=(side, side), mode="bilinear", align_corners=False)
    else:
        assert merger is not None
        x_FDGG = merger(x_FDGG)
    return torch.cat((x_FPD[:, :1], x_FDGG.flatten(2).transpose(1, 2)), dim=1)


def shown_extents(frames_NCII: Tensor, patch_px: int) -> list[tuple[int, int]]:
    """Rows and columns of patches, from the top left, beyond which a normalised frame is black; at least one of each.

    One look at the device tells those of all frames. Shapes: [N, 3, I, I] -> N pairs.
    """
    black_C11 = normalise(torch.zeros(1, 1, 3, dtype=torch.uint8)).to(frames_NCII)
    half_step = 0.5 / 255 / max(STD_RGB)  # between black and the darkest grey
    lit_NII = (frames_NCII - black_C11 > half_step).any(1)
    num, side = lit_NII.shape[0], lit_NII.shape[1] // patch_px
    lit_NGG = lit_NII.view(num, side, patch_px, side, patch_px).any(4).any(2)
    count_G = torch.arange(1, side + 1, device=lit_NGG.device)
    extents_2N = torch.stack([(lit_NGG.any(axis) * count_G).amax(1).clamp(min=1) for axis in (2, 1)])
    return [(rows, columns) for rows, columns in extents_2N.T.tolist()]


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer; a gated one scales both branches by tanh of a gate."""

    def __init__(self, config: VisionConfig, *, gated: bool) -> None:
        super().__init__()
        D = config.width
        self.num_heads = config.num_heads
        self.self_attn = nn.ModuleDict(
            {n: nn.Linear(D, D, bias=False) for n in ("q_proj", "k_proj", "v_proj", "o_proj")}
        )
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(D, config.mlp_width), "fc2": nn.Linear(config.mlp_width, D)})
        self.input_layernorm = nn.LayerNorm(D, eps=config.norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(D, eps=config.norm_eps)
        self.gate_attn = nn.Parameter(torch.zeros(1)) if gated else None
        self.gate_ffn = nn.Parameter(torch.zeros(1)) if gated else None

    def forward(self, x_FXD: Tensor, mask: Tensor | None) -> Tensor:
        """Shapes: [F, X, D] -> [F, X, D]; mask boolean [X, X] or None."""
        num, X, D = x_FXD.shape
        y = self.input_layernorm(x_FXD)
        q, k, v = (
            self.self_attn[name](y).view(num, X, self.num_heads, -1).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(num, X, D)
        y = self.self_attn["o_proj"](y)
        x_FXD = x_FXD + (y if self.gate_attn is None else self.gate_attn.tanh() * y)
        y = self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.post_attention_layernorm(x_FXD))))
        added: Tensor = y if self.gate_ffn is None else self.gate_ffn.tanh() * y
        return x_FXD + added


class TileViT(nn.Module):
    """The released models' encoder: each frame is one tile of mllama's vision transformer.

    Source: Llama 3.2 Vision; arXiv 2606.07639 for its use on video frames.
    """

    ONE_TILE = 1
    """Row of the aspect-ratio tables that stands for a single tile."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        D, X = config.width, 1 + config.grid**2
        tiles, rows = config.max_num_tiles, 1 + config.num_aspect_ratios
        self.patch_embedding = nn.Conv2d(3, D, config.patch_px, config.patch_px, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(D))
        self.position_gate = nn.Parameter(torch.zeros(1))
        self.position_embedding = nn.Parameter(torch.zeros(X, D))
        self.tile_position_embedding = nn.Embedding(rows, tiles * X * D)
        self.pre_tile_embedding = nn.Embedding(rows, tiles * D)
        self.pre_tile_gate = nn.Parameter(torch.zeros(1))
        self.post_tile_embedding = nn.Embedding(rows, tiles * D)
        self.post_tile_gate = nn.Parameter(torch.zeros(1))
        self.layernorm_pre = nn.LayerNorm(D)
        self.layernorm_post = nn.LayerNorm(D)
        self.local_layers = nn.ModuleList(EncoderLayer(config, gated=False) for _ in range(config.num_local_layers))
        self.global_layers = nn.ModuleList(EncoderLayer(config, gated=True) for _ in range(config.num_global_layers))

    def forward(self, frames_BFCII: Tensor, state: Tensor | None = None) -> tuple[Tensor, None]:
        """Encode frames, each alone; this encoder keeps nothing of earlier frames.

        Shapes: [B, F, 3, I, I] -> [B, F, X, D * (1 + K)] with K = len(feature_layers), channel c of intermediate j at
        D + c * K + j. X = 1 + grid**2.
        """
        frames_NCII = frames_BFCII.flatten(0, 1)
        x_NXD = self._embed(frames_NCII)
        out = self._without_padding(frames_NCII, x_NXD) if self.config.skip_padding else self._encode(x_NXD)
        return out.unflatten(0, frames_BFCII.shape[:2]), None

    def _embed(self, frames_NCII: Tensor) -> Tensor:
        """The class token and the patches, each with its place. Shapes: -> [N, X, D]."""
        D, X = self.config.width, 1 + self.config.grid**2
        x = self.patch_embedding(frames_NCII).flatten(2).transpose(1, 2)
        x = x + self.pre_tile_gate.tanh() * self._one_tile(self.pre_tile_embedding, (D,))
        x = torch.cat((self.class_embedding.expand(x.shape[0], 1, D), x), dim=1)
        gate = self.position_gate.tanh()
        return x + (1 - gate) * self.position_embedding + gate * self._one_tile(self.tile_position_embedding, (X, D))

    def _encode(self, x_NXD: Tensor) -> Tensor:
        """The layers, for any number of tokens. Shapes: [N, X, D] -> [N, X, D * (1 + K)]."""
        config, X = self.config, x_NXD.shape[1]
        x = F.pad(self.layernorm_pre(x_NXD), (0, 0, 0, -X % config.pad_multiple))
        mask = None if config.padding_sees_padding else self._padding_mask(x.shape[1], X, x.device)
        kept = []
        for i, layer in enumerate(self.local_layers):
            if i in config.feature_layers:
                kept.append(x[:, :X])
            x = layer(x, mask)
        D = config.width
        x = self.layernorm_post(x) + self.post_tile_gate.tanh() * self._one_tile(self.post_tile_embedding, (D,))
        for layer in self.global_layers:
            x = layer(x, mask)
        between = torch.stack(kept, dim=-1).flatten(2) if kept else x[:, :X, :0]
        return torch.cat((x[:, :X], between), dim=-1)

    def _without_padding(self, frames_NCII: Tensor, x_NXD: Tensor) -> Tensor:
        """Encode only the patches that show something; the others' features are zero. Shapes: -> [N, X, D * (1 + K)].

        Frames of one extent go together, so that a frame's features do not depend on its company.
        """
        num, X, _ = x_NXD.shape
        out = x_NXD.new_zeros(num, X, self.config.feature_dim)
        cells_GG = 1 + torch.arange(self.config.grid**2, device=x_NXD.device).view(self.config.grid, -1)
        extents = shown_extents(frames_NCII, self.config.patch_px)
        for rows, columns in dict.fromkeys(extents):
            cells = cells_GG[:rows, :columns].flatten()
            shown = torch.cat((cells.new_zeros(1), cells))
            same = [n for n, extent in enumerate(extents) if extent == (rows, columns)]
            own = torch.tensor(same, device=shown.device)
            out[own[:, None], shown] = self._encode(x_NXD[own[:, None], shown])
        return out

    def _one_tile(self, table: nn.Embedding, shape: tuple[int, ...]) -> Tensor:
        return table.weight[self.ONE_TILE].view(self.config.max_num_tiles, *shape)[0]

    @staticmethod
    def _padding_mask(length: int, X: int, device: torch.device) -> Tensor:
        real = torch.arange(length, device=device) < X
        return real[:, None] | real[None, :]


class ConvEncoder(nn.Module):
    """nano's encoder: a convolution stem, and what changed since the frame before.

    The second half of the stem sees its map of this frame beside the difference from the map of the last one, so that
    motion and cuts are visible within one frame's tokens. The map of the last frame is the state of a stream.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        first, second = config.channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 4, 4),
            nn.GELU(),
            nn.Conv2d(first, second, 3, 2, padding=1),
            nn.GELU(),
        )
        self.residual = nn.Sequential(nn.Conv2d(second, second, 3, padding=1), nn.GELU())
        self.merge = nn.Conv2d(2 * second, config.width, 3, 2, padding=1)
        self.linear = nn.Linear(config.width, config.width)
        self.position_embedding = nn.Parameter(torch.zeros(config.grid**2, config.width))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, frames_BFCII: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode frames in order. Any cut of a stream gives the same features if the state is handed on.

        Shapes: [B, F, 3, I, I], state [B, C, I / 8, I / 8] or None -> features [B, F, grid**2, D], state.
        """
        B, num = frames_BFCII.shape[:2]
        maps = self.stem(frames_BFCII.flatten(0, 1))
        maps = maps + self.residual(maps)
        maps_BFC = maps.unflatten(0, (B, num))
        before = maps_BFC[:, :1] if state is None else state[:, None]
        change = maps_BFC - torch.cat((before, maps_BFC[:, :-1]), dim=1)
        x = self.merge(torch.cat((maps_BFC, change), dim=2).flatten(0, 1))
        x = F.gelu(x).flatten(2).transpose(1, 2)
        x = self.norm(x + self.linear(x)) + self.position_embedding
        return x.unflatten(0, (B, num)), maps_BFC[:, -1]
