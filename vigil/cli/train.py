"""`vigil train`: the small model from scratch, or one stage on data of any size; both go on where they were stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count, positive
from vigil.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from vigil.train.mixture import MixFeed
    from vigil.train.run import RunConfig
    from vigil.train.stages import StageConfig
    from vigil.train.start import Begun
    from vigil.types import Frame

HELP = f"""\
usage: vigil train nano [--out DIR] [--processes N] [--dry-run]
       vigil train STAGE [--data DATA]... [--init NAME] [--out DIR] [OPTIONS]

Train nano from scratch, or one STAGE: alignment, temporal, offline_sft,
realtime_sft. Stopped at any moment, the same command goes on where it was.

  --out DIR            what the run writes (default: runs/STAGE)
  --processes N        nano: processes with one thread each (default: 2)
  --dry-run            print parameters, memory and samples; train nothing
  --data DATA          world, FILE.jsonl, FILE.tar or a folder of them, and
                       =WEIGHT for a share (default: world)
  --init NAME          scratch, a folder, or a hub name (default: scratch)
  --pooling NAME       average, max, bilinear, channelFusion (default: found)
  --stride N           side of the squares it merges (default: as found)
  --steps N            (default: the data once; 1000 for the world)
  --per-step N         examples of a step, all processes (default: 32)
  --accumulate N       forward passes of a step (default: 1)
  --max-tokens N       text tokens of a row (default: 8192)
  --lr RATE            top learning rate (default: the stage's)
  --loss NAME          uniform, silence or focal (default: uniform)
  --normalise BY       divide it by weights or tokens (default: tokens)
  --mask-turn-end      the end of a turn is not learnt
  --lora RANK          train adapters of this rank (extra lora)
  --bf16               compute in bfloat16
  --recompute          keep less for the backward pass
  --tensorboard        write TensorBoard logs too (extra train)

examples:
  vigil train nano
  vigil train realtime_sft --data talks.jsonl --init my-model --dry-run

{EXIT_CODES}
"""
STAGES = ("alignment", "temporal", "offline_sft", "realtime_sft")
PEEK = 64
"""Examples whose silences and replies are counted for the focal loss."""


def parser() -> Parser:
    """The flags of `vigil train`."""
    flags = Parser("train", HELP)
    flags.add_argument("recipe", choices=["nano", *STAGES], metavar="STAGE")
    flags.add_argument("--out", type=Path, metavar="DIR")
    flags.add_argument("--processes", type=count, metavar="N")
    flags.add_argument("--dry-run", action="store_true")
    flags.add_argument("--data", action="append", metavar="DATA")
    flags.add_argument("--init", metavar="NAME")
    flags.add_argument("--pooling", choices=["average", "max", "bilinear", "channelFusion"])
    for name in ("--stride", "--steps", "--per-step", "--accumulate", "--max-tokens"):
        flags.add_argument(name, type=count, metavar="N")
    flags.add_argument("--lr", type=positive, metavar="RATE")
    flags.add_argument("--loss", choices=["uniform", "silence", "focal"])
    flags.add_argument("--normalise", choices=["weights", "tokens"], metavar="BY")
    flags.add_argument("--lora", type=count, metavar="RANK")
    for name in ("--mask-turn-end", "--bf16", "--recompute", "--tensorboard"):
        flags.add_argument(name, action="store_true", default=None)
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        VigilError: see the exit codes.
    """
    out = args.out or Path("runs") / args.recipe
    if args.recipe == "nano":
        _nano(args, out)
    else:
        _stage(args, out)


def _make_folder(out: Path) -> None:
    """Raises OutputError: it cannot be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made: {error.strerror}. Choose another --out.") from error


def _nano(args: argparse.Namespace, out: Path) -> None:
    own = {"recipe", "out", "processes", "dry_run"}
    foreign = sorted("--" + name.replace("_", "-") for name, value in vars(args).items() if value and name not in own)
    if foreign:
        raise ConfigError(f"vigil train nano has a recipe of its own; leave out {' '.join(foreign)}.")
    from vigil.train.nano import new_nano, train_nano
    from vigil.train.stages import NANO

    if args.dry_run:
        model = new_nano()
        print(f"nano: {sum(p.numel() for p in model.parameters()):,} parameters")
        for stage in (make() for make in NANO):
            videos = stage.steps * stage.videos_per_step
            few, many = stage.frames
            print(f"{stage.name}: {stage.steps:,} steps, {videos:,} videos of {few} to {many} frames")
        return
    _make_folder(out)
    train_nano(out, processes=args.processes or 2)
    print(f"the model lies in {out / NANO[-1]().name}; its curves in {out / 'train.jsonl'}", file=sys.stderr)


def _stage(args: argparse.Namespace, out: Path) -> None:
    if args.processes:
        raise ConfigError("--processes is for nano. Start a stage with torchrun --nproc-per-node N -m vigil.train.")
    if not args.dry_run:
        _make_folder(out)
    from vigil.train import sharding
    from vigil.train.estimate import report
    from vigil.train.run import Run, process_group
    from vigil.train.start import SCRATCH, Start, begin

    with process_group() as device:
        start = Start(name=args.init or SCRATCH, pooling=args.pooling, stride=args.stride)
        begun = begin(start, weights=not args.dry_run and sharding.rank() == 0)
        stage, feed, config = _plan(args, begun)
        if args.dry_run:
            for line in report(begun.config, stage, config, feed) if sharding.rank() == 0 else ():
                print(line)
            return
        finished = Run(stage, begun, feed, out, config, device).run()
        if sharding.rank() == 0:
            print(f"the model lies in {finished}; its curve in {out / 'train.jsonl'}", file=sys.stderr)


def _plan(args: argparse.Namespace, begun: Begun) -> tuple[StageConfig, MixFeed, RunConfig]:
    """The stage as the flags change it, its data, and how it is run."""
    from vigil.train import stages
    from vigil.train.loss import LossConfig, StateIds, inverse_frequency
    from vigil.train.run import RunConfig, make_feed

    make = {make.__name__: make for make in stages.PAPER}[args.recipe]
    given = {"accumulate": args.accumulate, "max_tokens": args.max_tokens, "lora_rank": args.lora}
    given |= {"bf16": args.bf16, "recompute": args.recompute, "tensorboard": args.tensorboard}
    config = RunConfig(**{name: value for name, value in given.items() if value is not None})
    changes = {"videos_per_step": args.per_step, "lr": args.lr}
    changes = {name: value for name, value in changes.items() if value is not None}
    stage = replace(make(args.steps or 1), **changes)
    feed = make_feed(stage, begun, args.data or ["world"], config, _frames)
    if args.steps is None:
        counts = [len(pool.items) for pool in feed.order.pools if not pool.source.name.startswith("world:")]
        steps = max(1, -(-sum(counts) // stage.videos_per_step)) if counts else 1000
        stage = replace(make(steps), **changes)
    loss = LossConfig(
        kind=args.loss or "uniform", normalise=args.normalise or "tokens", learn_turn_end=not args.mask_turn_end
    )
    if loss.kind == "focal":
        assert begun.tokenizer is not None
        ids = StateIds.of(begun.tokenizer, image_token_id=begun.config.image_token_id)
        silence, response = inverse_frequency(feed.peek(PEEK), ids)
        loss = replace(loss, alpha_silence=silence, alpha_response=response)
    return replace(stage, loss=loss), feed, config


def _frames(path: Path, fps: float) -> Iterator[Frame]:
    """Frames of a video file, exactly as a session sees them."""
    from vigil.stream.source import open_source

    with open_source(path, fps=fps) as source:
        yield from source
