"""What makes a question that names a thing look for that thing: one change at a time, everything else held fixed.

    python benchmarks/grounding.py --out runs/grounding --json benchmarks/results/grounding.json

Each arm trains the same network from the same weights on the same data for the same number of steps (a short vision
stage where the arm has one, then a short grounding stage), one process, and is asked the same held-out questions about
clips of 4 s. A run that is cut goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from vigil.config import nano
from vigil.eval.offline import OfflineConfig, answers, is_right, questions
from vigil.model.model import VideoModel
from vigil.model.tokens import IMAGE, SILENCE, Tokenizer
from vigil.train.heads import WordHeads
from vigil.train.loop import Trainer
from vigil.train.nano import initialise, new_nano
from vigil.train.stages import grounding, vision
from vigil.world.labels import CellLabels
from vigil.world.render import render
from vigil.world.scene import WorldConfig

NAMED = ("count_named", "present", "where", "seen", "last_seen")
ARMS = {
    "tied": "vision stage compares tokens with the decoder's word embeddings (the recipe)",
    "untied": "the same vision stage with word vectors of its own",
    "no vision stage": "grounding from random weights",
    "cross layer second": "tied, layers self cross self self cross self: one self layer before the first cross layer",
}


class OwnWords(WordHeads):
    """Heads that compare with vectors which the decoder never sees."""

    def __init__(self, model: VideoModel, tokenizer: Tokenizer) -> None:
        super().__init__(model, tokenizer)
        self.own = nn.Parameter(model.decoder.embed_tokens.weight.detach().clone())

    def forward(self, features_VFPD: Tensor, labels: Sequence[CellLabels], embedding: Tensor) -> tuple[Tensor, float]:
        """As `WordHeads`, whatever embedding is given. Shapes: features [V, F, P, D], embedding [rows, D]."""
        return super().forward(features_VFPD, labels, self.own)


def build(arm: str) -> VideoModel:
    """The network of an arm with its starting weights."""
    model = new_nano()
    if arm != "cross layer second":
        return model
    tokenizer = model.tokenizer
    assert tokenizer is not None
    config = nano(
        vocab_size=tokenizer.vocab_size,
        image_token_id=tokenizer.special(IMAGE),
        silence_token_id=tokenizer.special(SILENCE),
    )
    config = replace(config, text=replace(config.text, cross_layers=(1, 4)))
    torch.manual_seed(0)
    model = VideoModel(config)
    initialise(model)
    model.tokenizer = tokenizer
    return model


def train(arm: str, out: Path, vision_steps: int, steps: int) -> VideoModel:
    """Train an arm to the end."""
    stages = [] if arm == "no vision stage" else [vision(vision_steps)]
    stages.append(replace(grounding(steps), labels_weight=0.0 if arm == "no vision stage" else 0.2))
    trainer = Trainer(build(arm), out, [replace(stage, videos_per_step=8) for stage in stages])
    if arm == "untied":
        trainer.heads = OwnWords(trainer.model, trainer.model.tokenizer)
        trainer._modules["heads"] = trainer.heads
    trainer.run()
    return trainer.model.eval()


def ask(model: VideoModel, num_questions: int) -> dict[str, tuple[int, int]]:
    """Right answers and questions, by kind."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    config = OfflineConfig(
        split="val", num_questions=num_questions, duration_s=4.0, world=WorldConfig(family="objects")
    )
    for scene, records in questions(config):
        for record, text in zip(records, answers(model, render(scene), records), strict=True):
            asked[record.turns[0].kind] += 1
            right[record.turns[0].kind] += is_right(text, record.turns[0])
    return {kind: (right[kind], num) for kind, num in sorted(asked.items())}


def main() -> None:
    """Train every arm, ask each the same questions, and print a line for each."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--out", type=Path, default=Path("runs/grounding"))
    flags.add_argument("--vision-steps", type=int, default=500)
    flags.add_argument("--steps", type=int, default=400)
    flags.add_argument("--questions", type=int, default=2000)
    flags.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    flags.add_argument("--json", type=Path)
    args = flags.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    found: dict[str, dict[str, tuple[int, int]]] = {}
    table = Table("arm", "questions that name a thing", *NAMED)
    for arm in args.arms:
        model = train(arm, args.out / arm.replace(" ", "-"), args.vision_steps, args.steps)
        found[arm] = ask(model, args.questions)
        shares = [found[arm].get(kind, (0, 0)) for kind in NAMED]
        named = sum(right for right, _ in shares) / max(1, sum(num for _, num in shares))
        table.add_row(arm, f"{named:.2f}", *(f"{right / max(1, num):.2f} ({num})" for right, num in shares))
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps({"steps": vars(args)["steps"], "arms": found}, indent=1) + "\n")
    Console().print(table)


if __name__ == "__main__":
    main()
