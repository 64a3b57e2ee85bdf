"""What a run will take, without running it: parameters, memory of one process, and examples.

Axes: none; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from vigil.config import ModelConfig
from vigil.model.model import VideoModel
from vigil.train.lora import add_lora
from vigil.train.mixture import MixFeed
from vigil.train.run import RunConfig
from vigil.train.stages import StageConfig

KEPT_PER_LAYER = 16
"""Numbers that a layer keeps per token and channel for the backward pass; 1 if layers are computed again."""
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in one process. Weights and optimiser are exact; the pass is a rough estimate of its largest moment."""

    weights: int
    gradients: int
    optimiser: int
    largest_pass: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimiser + self.largest_pass


def count_parameters(config: ModelConfig, stage: StageConfig, *, lora_rank: int = 0) -> tuple[int, int]:
    """Trained and frozen parameters. No weight is made."""
    with torch.device("meta"):
        model = VideoModel(config)
    for name, param in model.named_parameters():
        param.requires_grad_(not stage.freezes(name, config))
    if lora_rank:
        add_lora(model, lora_rank)
    trained = sum(param.numel() for param in model.parameters() if param.requires_grad)
    return trained, sum(param.numel() for param in model.parameters()) - trained


def memory(
    config: ModelConfig, stage: StageConfig, run: RunConfig, *, trained: int, frozen: int, num_ranks: int = 1
) -> Memory:
    """What one of `num_ranks` processes needs for one row of `max_tokens` and one video of the most frames."""
    number = 2 if run.bf16 else 4
    kept = 1 if run.recompute else KEPT_PER_LAYER
    text, vision = config.text, config.vision
    decoder = text.num_layers * text.width * run.max_tokens * kept
    patches = 1 + vision.grid**2
    encoder = (vision.num_local_layers + vision.num_global_layers) * vision.width * patches * stage.frames[1] * kept
    if vision.kind == "conv":
        encoder = stage.frames[1] * vision.image_px**2 * sum(vision.channels) // 16
    logits = 3 * run.max_tokens * text.vocab_size * 4 // number  # logits, their float32 form, and its gradient
    return Memory(
        weights=4 * (trained + frozen) // num_ranks,
        gradients=4 * trained // num_ranks,
        optimiser=8 * trained // num_ranks,
        largest_pass=number * (decoder + encoder + logits),
    )


def report(config: ModelConfig, stage: StageConfig, run: RunConfig, feed: MixFeed) -> Iterator[str]:
    """Lines for people."""
    trained, frozen = count_parameters(config, stage, lora_rank=run.lora_rank)
    yield f"{stage.name}: {trained:,} parameters trained, {frozen:,} frozen"
    need = memory(config, stage, run, trained=trained, frozen=frozen, num_ranks=feed.num_ranks)
    yield (
        f"memory of each of {feed.num_ranks} processes, about: weights {need.weights / GIB:.2f} GiB, "
        f"gradients {need.gradients / GIB:.2f}, optimiser {need.optimiser / GIB:.2f}, "
        f"largest pass {need.largest_pass / GIB:.2f}; together {need.total / GIB:.2f} GiB"
    )
    draws = stage.steps * stage.videos_per_step
    yield f"{stage.steps:,} steps of {stage.videos_per_step} examples, lr {stage.lr:g}, loss {stage.loss.kind}"
    for pool in feed.order.pools:
        drawn, items = round(draws * pool.share), len(pool.items)
        yield f"  {pool.source.name}: {items:,} {pool.kind} examples, {drawn:,} drawn ({drawn / items:.2g} passes)"
