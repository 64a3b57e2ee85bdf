"""The recipe of the model inside the package: tokenizer, network, stages, processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from vigil.config import nano
from vigil.data.wording import all_texts, words_of
from vigil.model.model import VideoModel
from vigil.model.tokens import IMAGE, SILENCE, Tokenizer
from vigil.train.loop import Trainer
from vigil.train.stages import NANO, StageConfig
from vigil.train.tokenizer import train_tokenizer
from vigil.world.captions import describe
from vigil.world.scene import sample_scene

VOCAB_SIZE = 1024


def new_nano(*, seed: int = 0) -> VideoModel:
    """A nano with random weights and its tokenizer."""
    texts = all_texts(words_of(describe(sample_scene("train", number)) for number in range(2000)))
    tokenizer = train_tokenizer(texts, vocab_size=VOCAB_SIZE)
    return from_tokenizer(tokenizer, seed=seed)


def from_tokenizer(tokenizer: Tokenizer, *, seed: int = 0) -> VideoModel:
    """A nano with random weights for a tokenizer."""
    torch.manual_seed(seed)
    config = nano(
        vocab_size=tokenizer.vocab_size,
        image_token_id=tokenizer.special(IMAGE),
        silence_token_id=tokenizer.special(SILENCE),
    )
    model = VideoModel(config)
    initialise(model)
    model.tokenizer = tokenizer
    return model


@torch.no_grad()
def initialise(model: VideoModel) -> None:
    """Starting weights: small embeddings, and residual branches that begin at zero."""
    torch.nn.init.normal_(model.decoder.embed_tokens.weight, std=0.02)
    for name, param in model.decoder.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            param.zero_()
        elif param.ndim == 2 and ".layers." in f".{name}":
            torch.nn.init.normal_(param, std=param.shape[1] ** -0.5)


def train_nano(out: Path, *, processes: int = 1, stages: Sequence[StageConfig] | None = None) -> None:
    """Train a nano from scratch, or go on where `out` stands.

    With several processes each has one thread and its own share of every step; gradients are averaged over gloo.
    """
    chosen = tuple(stages) if stages is not None else tuple(make() for make in NANO)
    if processes == 1:
        _train(out, chosen)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(_worker, args=(processes, port, out, chosen), nprocs=processes)  # type: ignore[attr-defined, no-untyped-call]


def _worker(rank: int, processes: int, port: int, out: Path, stages: tuple[StageConfig, ...]) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    try:
        _train(out, stages)
    finally:
        dist.destroy_process_group()


def _train(out: Path, stages: tuple[StageConfig, ...]) -> None:
    torch.set_num_threads(1)
    Trainer(new_nano(), out, stages).run()
