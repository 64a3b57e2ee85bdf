"""The training loop: stages in order, one or more processes, exact resume, progress on the terminal.

Everything a run writes lies in its folder: `state.safetensors` (to resume), `train.jsonl` (one line per report), and
one model folder per finished stage.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vigil.data.layout import Layout
from vigil.errors import ConfigError
from vigil.model.loss import IGNORE
from vigil.model.model import VideoModel
from vigil.model.vision import normalise
from vigil.model.weights import save
from vigil.train.checkpoint import load_state, save_state
from vigil.train.feed import Step, WorldFeed
from vigil.train.heads import WordHeads
from vigil.train.loss import StateIds, stage_loss
from vigil.train.optim import optimisers, share_of_top
from vigil.train.progress import Progress
from vigil.train.stages import StageConfig

VAL_STEPS = 4
"""Validation batches per report, always the same ones."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What one forward pass gives."""

    total: Tensor
    language: float
    labels: float
    things_right: float
    """Share of cells with a thing in them whose thing is named right; NaN if none has one."""
    word_right: float
    """Share of word targets that are the most likely token, given the true text before them."""
    silence_right: float

    def note(self) -> str:
        """A few words for people."""
        loss = float(self.total.detach())
        things = "" if math.isnan(self.things_right) else f"  things {self.things_right:.2f}"
        return f"loss {loss:.3f}  words {self.word_right:.2f}{things}"


class Trainer:
    """Trains one model through stages."""

    def __init__(
        self, model: VideoModel, out: Path, stages: Sequence[StageConfig], *, save_every_s: float = 120.0
    ) -> None:
        if model.tokenizer is None:
            raise ConfigError("training wants a model with a tokenizer; see vigil.train.tokenizer.")
        self.model = model
        self.out = out
        self.stages = stages
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.num_ranks = dist.get_world_size() if dist.is_initialized() else 1
        self.heads = WordHeads(model, model.tokenizer)
        self.layout = Layout(model.tokenizer, image_token_id=model.config.image_token_id)
        self.ids = StateIds.of(model.tokenizer, image_token_id=model.config.image_token_id)
        self._save_every_s = save_every_s
        self._state = out / "state.safetensors"
        self._modules: dict[str, nn.Module] = {"model": model, "heads": self.heads}

    def run(self) -> None:
        """Train to the end of the last stage, from wherever the folder's state stands."""
        self.out.mkdir(parents=True, exist_ok=True)
        done_stage, done_step = self._where()
        for number, stage in enumerate(self.stages):
            if number < done_stage:
                continue
            for name, param in self.model.named_parameters():
                param.requires_grad_(not stage.freezes(name, self.model.config))
            chosen = optimisers(nn.ModuleList([self.model, self.heads]), lr=stage.lr, muon_lr=stage.muon_lr)
            first = 0
            if number == done_stage and done_step > 0:
                load_state(self._state, self._modules, chosen)
                first = done_step
            self._stage(number, stage, chosen, first)
            if self.rank == 0:
                save(self.model, self.out / stage.name)
                save_state(self._state, self._modules, [], {"stage": number + 1, "step": 0})
            if self.num_ranks > 1:
                dist.barrier()

    def _where(self) -> tuple[int, int]:
        """Stage and step at which the folder's state stands; its weights are loaded."""
        if not self._state.is_file():
            return 0, 0
        meta = load_state(self._state, self._modules, [])
        return int(meta["stage"]), int(meta["step"])

    def _stage(self, number: int, stage: StageConfig, chosen: list[torch.optim.Optimizer], first: int) -> None:
        feed = WorldFeed(stage, self.layout, self.ids, rank=self.rank, num_ranks=self.num_ranks)
        val = WorldFeed(stage, self.layout, self.ids, split="val")
        saved = time.monotonic()
        params = [p for group in (g for o in chosen for g in o.param_groups) for p in group["params"]]
        with Progress(stage.name, stage.steps, first, quiet=self.rank > 0) as progress:
            for step in range(first, stage.steps):
                share = share_of_top(step, num_steps=stage.steps, warmup=stage.warmup, decay_from=stage.decay_from)
                losses = self.forward(stage, feed.step(step))
                for optimiser in chosen:
                    optimiser.zero_grad(set_to_none=True)
                losses.total.backward()
                self._average(params)
                nn.utils.clip_grad_norm_(params, 1.0)
                for optimiser in chosen:
                    for group in optimiser.param_groups:
                        group["lr"] = group["top_lr"] * share
                    optimiser.step()
                progress.step(step, losses.note())
                if self.rank == 0 and (step % 100 == 99 or step + 1 == stage.steps):
                    self._report(stage, step, losses, val, progress.rate)
                if self.rank == 0 and time.monotonic() - saved > self._save_every_s:
                    save_state(self._state, self._modules, chosen, {"stage": number, "step": step + 1})
                    saved = time.monotonic()

    def forward(self, stage: StageConfig, step: Step) -> Losses:
        """Losses of one batch under a stage's weights."""
        model, batch = self.model, step.batch
        features, _ = model.encode_frames(normalise(batch.frames))
        total, language, labels, right = features.new_zeros(()), 0.0, 0.0, 0.0
        if stage.labels_weight:
            loss, right = self.heads(features, step.cells, model.decoder.embed_tokens.weight)
            total = total + stage.labels_weight * loss
            labels = float(loss.detach())
        word, silence = 0.0, 0.0
        if stage.language_weight:
            logits = model(
                batch.input_ids, None, batch.frame_positions, features=features, video_index=batch.video_index
            ).logits
            silence_id = model.config.silence_token_id
            assert silence_id is not None
            loss = stage_loss(logits, batch.labels, step.kinds, stage.loss)
            total = total + stage.language_weight * loss
            language = float(loss.detach())
            word, silence = _right(logits.detach(), batch.labels, silence_id)
        return Losses(total, language, labels, right, word, silence)

    @torch.no_grad()
    def _report(self, stage: StageConfig, step: int, losses: Losses, val: WorldFeed, rate: float) -> None:
        self.model.eval()
        held = [self.forward(stage, val.step(index)) for index in range(VAL_STEPS)]
        self.model.train()
        row = {"stage": stage.name, "step": step + 1, "loss": float(losses.total.detach()), "steps_per_s": rate}
        for name in ("language", "labels", "things_right", "word_right", "silence_right"):
            values = [value for item in held if not math.isnan(value := getattr(item, name))]
            row[f"val_{name}"] = sum(values) / max(1, len(values))
        with (self.out / "train.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}) + "\n")

    def _average(self, params: list[nn.Parameter]) -> None:
        """Mean gradient over the processes, in one message."""
        if self.num_ranks == 1:
            return
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= self.num_ranks
        for param, grad in zip(params, flat.split([p.numel() for p in params]), strict=True):
            param.grad = grad.view_as(param)


def _right(logits_BTV: Tensor, labels_BT: Tensor, silence_id: int) -> tuple[float, float]:
    """Shares of word and of silence targets that are the most likely token."""
    targets = labels_BT[:, 1:]
    hit = logits_BTV[:, :-1].argmax(-1) == targets
    silence = targets == silence_id
    words = (targets != IGNORE) & ~silence
    return (
        float(hit[words].float().mean()) if bool(words.any()) else 0.0,
        float(hit[silence].float().mean()) if bool(silence.any()) else 0.0,
    )
