"""What the vision encoder is taught beside language: name what is in each cell, with the decoder's own words.

The heads compare projected vision tokens with word embeddings, so that a word means what it looks like before the
decoder ever reads a question. They are thrown away after training.

Axes: V videos, F frames, P vision tokens on a G x G grid, C cells, D channels, W words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigil.model.model import VideoModel
from vigil.model.tokens import Tokenizer
from vigil.world.labels import LABEL_WORDS, CellLabels

CELL_HEADS = ("things", "colours")
WEIGHTS = {"things": 6.0, "colours": 2.0}
"""How much a label counts against the others (1 where not listed): the nouns are what limits the small model."""
FRAME_HEADS = tuple(head for head in LABEL_WORDS if head not in CELL_HEADS)


class WordHeads(nn.Module):
    """Logits over the words of each label, from vision tokens and word embeddings."""

    def __init__(self, model: VideoModel, tokenizer: Tokenizer) -> None:
        super().__init__()
        width = model.config.text.width
        grid = model.config.vision.grid
        self.grid = grid
        self.looks = nn.ModuleDict({head: nn.Linear(width, width) for head in LABEL_WORDS})
        self.attend = nn.ModuleDict({head: nn.Linear(width, 1) for head in FRAME_HEADS})
        self.scale = nn.Parameter(torch.full((len(LABEL_WORDS),), 3.0))
        self.words: dict[str, list[list[int]]] = {
            head: [tokenizer.encode(" " + word) for word in words] for head, words in LABEL_WORDS.items()
        }

    def forward(self, features_VFPD: Tensor, labels: Sequence[CellLabels], embedding: Tensor) -> tuple[Tensor, float]:
        """Weighted mean of the defined labels' cross entropies, and the share of things that are named right (NaN where
        there is none to name, as in panels).

        Shapes: features [V, F, P, D], one `CellLabels` per video, embedding table [rows, D].
        """
        losses: list[Tensor] = []
        weight, right, count = 0.0, 0, 0
        for index, head in enumerate(LABEL_WORDS):
            stacked = np.stack([getattr(item, f"{head}_FC" if head in CELL_HEADS else f"{head}_F") for item in labels])
            target = torch.from_numpy(stacked).flatten()
            if not bool((target >= 0).any()):
                continue
            seen = self._cells(features_VFPD, labels) if head in CELL_HEADS else self._frame(features_VFPD, head)
            words_WD = torch.stack([embedding[ids].mean(0) for ids in self.words[head]])
            words_WD = F.normalize(words_WD, dim=-1)
            look = F.normalize(self.looks[head](seen), dim=-1).flatten(0, -2)
            logits = self.scale[index].exp() * look @ words_WD.T
            losses.append(WEIGHTS.get(head, 1.0) * F.cross_entropy(logits, target))
            weight += WEIGHTS.get(head, 1.0)
            if head == "things":
                things = target > 0
                right += int((logits.argmax(-1) == target)[things].sum())
                count += int(things.sum())
        return torch.stack(losses).sum() / weight, right / count if count else math.nan

    def _cells(self, features_VFPD: Tensor, labels: Sequence[CellLabels]) -> Tensor:
        """Features at the centre of each cell. Shapes: -> [V, F, C, D]."""
        V, num, _, D = features_VFPD.shape
        maps = features_VFPD.reshape(V * num, self.grid, self.grid, D).permute(0, 3, 1, 2)
        centres_V = torch.from_numpy(np.stack([item.centres_C2 for item in labels])) * 2 - 1
        at = centres_V[:, None, None].expand(V, num, 1, *centres_V.shape[1:]).reshape(V * num, 1, -1, 2)
        sampled = F.grid_sample(maps, at, mode="bilinear", padding_mode="border", align_corners=False)
        return sampled[:, :, 0].transpose(1, 2).reshape(V, num, -1, D)

    def _frame(self, features_VFPD: Tensor, head: str) -> Tensor:
        """One summary of a frame, attended by this label. Shapes: -> [V, F, D]."""
        weight: Tensor = self.attend[head](features_VFPD).softmax(dim=2)
        return (weight * features_VFPD).sum(2)
