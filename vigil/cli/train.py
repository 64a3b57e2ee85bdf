"""`vigil train`: train the small model from scratch, or go on where its folder stands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count
from vigil.errors import OutputError

HELP = f"""\
usage: vigil train nano [--out DIR] [--processes N] [--dry-run]

Train nano from scratch: it learns to see, to look for what a question names,
and to speak in time. Its videos are drawn on the fly. Stopped at any moment,
the same command goes on where it was.

  --out DIR            what the run writes (default: runs/nano)
  --processes N        processes with one thread each (default: 2)
  --dry-run            print parameters, stages and steps, and train nothing

examples:
  vigil train nano
  vigil watch clip.mp4 --model runs/nano/realtime

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil train`."""
    flags = Parser("train", HELP)
    flags.add_argument("recipe", choices=["nano"], metavar="nano")
    flags.add_argument("--out", type=Path, default=Path("runs/nano"), metavar="DIR")
    flags.add_argument("--processes", type=count, default=2, metavar="N")
    flags.add_argument("--dry-run", action="store_true")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        OutputError: the folder cannot be written. CheckpointError: its state is damaged.
    """
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
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{args.out} cannot be made: {error.strerror}. Choose another --out.") from error
    train_nano(args.out, processes=args.processes)
    last = args.out / NANO[-1]().name
    print(f"the model lies in {last}; its curves in {args.out / 'train.jsonl'}", file=sys.stderr)
