"""Trains one stage on data of any size: one process or many under torchrun, with exact resume.

What a run writes lies in its folder: the newest state (to resume), the logs, and the finished model under the stage's
name. Nothing in it is random but the data, whose order is a pure function of the step, so a run that was killed goes on
as if it had not been.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from vigil.data.layout import Layout
from vigil.errors import ConfigError, DataError
from vigil.model.model import VideoModel
from vigil.model.weights import save
from vigil.train import sharding
from vigil.train.examples import Maker, VideoReader
from vigil.train.journal import Journal
from vigil.train.lora import add_lora, merge_lora
from vigil.train.loss import LossConfig, LossParts, StateIds, loss_parts, loss_weight
from vigil.train.mixture import MixFeed, Order, Skip, StepInput, make_pools
from vigil.train.optim import cosine_share, share_of_top
from vigil.train.packing import Packed, Packer, logits
from vigil.train.progress import Progress
from vigil.train.sources import open_sources
from vigil.train.stages import StageConfig
from vigil.train.start import Begun


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """How a stage is run, which changes its speed and its memory but, up to rounding, not what is learnt."""

    bf16: bool = False
    """Compute in bfloat16; weights and optimiser stay in float32."""
    recompute: bool = False
    """Keep only each layer's input for the backward pass (gradient checkpointing)."""
    accumulate: int = 1
    """Forward passes of one process in one step."""
    lora_rank: int = 0
    """Train low-rank adapters instead of the weights; 0: the weights."""
    pack: bool = True
    """Put several conversations into one row."""
    max_tokens: int = 8192
    """Text tokens of a row; a longer conversation is skipped."""
    save_every: int = 200
    """Steps between two states on disk."""
    log_every: int = 10
    """Steps between two reports."""
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("accumulate", "max_tokens", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if self.lora_rank < 0:
            raise ConfigError(f"lora_rank must not be negative, got {self.lora_rank}.")


class LossModel(nn.Module):
    """A model and its loss in one call, so that a sharded model is gathered once for all of a pass."""

    def __init__(self, model: VideoModel, loss: LossConfig) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self, batch: Packed) -> LossParts:
        """Sum and divisor of the loss of one pass."""
        return loss_parts(logits(self.model, batch), batch.labels, batch.kinds, self._loss)


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Join the other processes where torchrun started this one; yields the device to train on."""
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else None
    if device is not None:
        torch.cuda.set_device(device)
    started = "RANK" in os.environ and not dist.is_initialized()
    if started:
        dist.init_process_group("gloo" if device is None else "nccl")
    try:
        yield device or torch.device("cpu")
    finally:
        if started:
            dist.destroy_process_group()


def make_feed(
    stage: StageConfig,
    begun: Begun,
    data: Sequence[str],
    config: RunConfig,
    read_video: VideoReader | None = None,
) -> MixFeed:
    """Everything between the names of the data and the tensors of a step."""
    if begun.tokenizer is None:
        raise ConfigError("training wants a model with a tokenizer.json beside its weights.")
    image_id = begun.config.image_token_id
    layout = Layout(begun.tokenizer, image_token_id=image_id)
    ids = StateIds.of(begun.tokenizer, image_token_id=image_id)
    return MixFeed(
        order=Order(make_pools(open_sources(data, stage), stage.mixture), seed=stage.seed),
        maker=Maker(stage, layout, begun.config.vision, image_token_id=image_id, read_video=read_video),
        packer=Packer(begun.config, ids, max_tokens=config.max_tokens, pack=config.pack),
        rank=sharding.rank(),
        num_ranks=sharding.num_ranks(),
        accumulate=config.accumulate,
    )


class Run:
    """One stage, from a starting point or from the state in its folder, to its finished model."""

    def __init__(
        self, stage: StageConfig, begun: Begun, feed: MixFeed, out: Path, config: RunConfig, device: torch.device
    ) -> None:
        self.stage, self.config, self.out = stage, config, out
        self._begun = begun
        self._feed = feed
        self._device = device
        self.root = self._build()
        trained = [param for param in self.root.parameters() if param.requires_grad]
        self._trained = trained
        self._optimiser = torch.optim.AdamW(trained, lr=stage.lr, betas=(0.9, 0.95), weight_decay=0.0)

    def run(self) -> Path:
        """Train to the end; return the folder of the finished model.

        Raises:
            DataError: no example of the first step can be used. ConfigError: the folder holds another run.
            CheckpointError: its state is damaged.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        finished = self.out / self.stage.name
        first = self._resume()
        chief = sharding.rank() == 0
        journal = (
            Journal(self.out, self.stage.name, first_step=first, tensorboard=self.config.tensorboard) if chief else None
        )
        with (
            Progress(self.stage.name, self.stage.steps, first, quiet=not chief) as progress,
            ThreadPoolExecutor(1) as ahead,
        ):
            coming = ahead.submit(self._feed.step, first)
            skipped: list[Skip] = []
            for step in range(first, self.stage.steps):
                given = coming.result()
                if step + 1 < self.stage.steps:
                    coming = ahead.submit(self._feed.step, step + 1)
                numbers = self._step(step, given)
                if step == first and not numbers["samples"]:
                    raise DataError(
                        f"not one of the {self.stage.videos_per_step} examples of the first step can be used. "
                        f"The first: {given.skipped[0].reason}"
                    )
                skipped += given.skipped
                is_last = step + 1 == self.stage.steps
                if is_last or (step + 1) % self.config.log_every == 0 or (step + 1) % self.config.save_every == 0:
                    everywhere, skipped = _gather(skipped), []
                    if journal is not None:
                        journal.skip(step + 1, everywhere)
                        journal.report(step + 1, {**numbers, "skipped": journal.num_skipped})
                progress.step(step, f"loss {numbers['loss']:.4f}  lr {numbers['lr']:.1e}")
                if is_last or (step + 1) % self.config.save_every == 0:
                    sharding.save_state(self.out, self.root, self._optimiser, self._meta(step + 1))
        if journal is not None:
            journal.close()
        self._finish(finished)
        return finished

    def _build(self) -> nn.Module:
        """The model on its device, frozen as the stage says; sharded where there are several processes."""
        model = self._begun.model
        if model is not None:
            self._prepare(model)
        if sharding.num_ranks() == 1:
            assert model is not None
            return LossModel(model.to(self._device).train(), self.stage.loss)
        full = {f"model.{name}": value for name, value in model.state_dict().items()} if model is not None else {}
        shell = self._shell()
        root = LossModel(shell.train(), self.stage.loss)
        sharding.shard(root, device=self._device, bf16=self.config.bf16)
        sharding.fill(root, full if sharding.rank() == 0 else {}, self._device)
        return root

    def _shell(self) -> VideoModel:
        """The model without its weights."""
        with torch.device("meta"):
            shell = VideoModel(self._begun.config)
        self._prepare(shell)
        return shell

    def _prepare(self, model: VideoModel) -> None:
        for name, param in model.named_parameters():
            param.requires_grad_(not self.stage.freezes(name, model.config))
        if self.config.lora_rank:
            add_lora(model, self.config.lora_rank, seed=self.stage.seed)
        if self.config.recompute:
            sharding.recompute(model)

    def _step(self, step: int, given: StepInput) -> dict[str, float]:
        """One step of the optimiser; what it reports is summed over all processes."""
        stage, ranks = self.stage, sharding.num_ranks()
        weight = sum((loss_weight(p.labels, p.kinds, stage.loss) for p in given.parts), torch.zeros(()))
        counts = [float(weight), float(given.num_tokens), float(given.num_samples)]
        totals = _sum(torch.tensor(counts, device=self._device))
        loss = torch.zeros((), device=self._device)
        self._optimiser.zero_grad(set_to_none=True)
        for number, part in enumerate(given.parts):
            if isinstance(self.root, FSDPModule):
                self.root.set_requires_gradient_sync(number + 1 == len(given.parts))
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self.config.bf16):
                parts: LossParts = self.root(part.to(self._device))
            share = parts.total / totals[0].clamp(min=1e-6)
            (share * ranks).backward()  # FSDP takes the mean over processes
            loss += share.detach()
        norm = nn.utils.clip_grad_norm_(self._trained, 1.0)
        lr = stage.lr * self._share_of_top(step)
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        self._optimiser.step()
        return {
            "loss": float(_sum(loss)),
            "lr": lr,
            "grad_norm": float(norm.full_tensor() if isinstance(norm, DTensor) else norm),
            "tokens": float(totals[1]),
            "samples": float(totals[2]),
        }

    def _share_of_top(self, step: int) -> float:
        stage = self.stage
        if stage.decay == "cosine":
            return cosine_share(step, num_steps=stage.steps, warmup=stage.warmup)
        return share_of_top(step, num_steps=stage.steps, warmup=stage.warmup, decay_from=stage.decay_from)

    def _meta(self, step: int) -> dict[str, Any]:
        stage = self.stage
        run: dict[str, Any] = {name: getattr(stage, name) for name in ("steps", "seed", "videos_per_step", "lr")}
        run |= {"lora_rank": self.config.lora_rank, "loss": asdict(stage.loss)}
        run["data"] = [f"{p.source.name} {p.kind} {len(p.items)} {p.share:.6f}" for p in self._feed.order.pools]
        return {"stage": stage.name, "step": step, "run": run}

    def _resume(self) -> int:
        """Read the folder's state if it belongs to this stage; returns the step to go on with."""
        meta = sharding.read_meta(self.out)
        if meta is None or meta["stage"] != self.stage.name:
            return 0
        now, then = self._meta(0)["run"], meta["run"]
        changed = [f"{name} {then.get(name)} -> {value}" for name, value in now.items() if then.get(name) != value]
        if changed:
            raise ConfigError(
                f"{self.out} holds a run of {self.stage.name} with other settings: {'; '.join(changed)}. "
                "Give the same settings to go on, or another --out."
            )
        sharding.load_state(self.out, self.root, self._optimiser, meta)
        return int(meta["step"])

    def _finish(self, folder: Path) -> None:
        """Write the finished model from process 0: whole, adapters merged, in bfloat16 if it was computed so."""
        full = sharding.whole_weights(self.root)
        if sharding.rank() == 0:
            model = self._shell()
            model.load_state_dict({name.removeprefix("model."): value for name, value in full.items()}, assign=True)
            if self.config.lora_rank:
                merge_lora(model)
            model.tokenizer = self._begun.tokenizer
            save(model.to(torch.bfloat16) if self.config.bf16 else model, folder)
        sharding.barrier()


def _sum(value: Tensor) -> Tensor:
    """Sum over all processes."""
    if sharding.num_ranks() > 1:
        dist.all_reduce(value)
    return value


def _gather(skipped: list[Skip]) -> list[Skip]:
    """What all processes skipped."""
    if sharding.num_ranks() == 1:
        return skipped
    found: list[list[Skip]] = [[] for _ in range(sharding.num_ranks())]
    dist.all_gather_object(found, skipped)
    return [skip for part in found for skip in part]
