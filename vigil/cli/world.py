"""`vigil world`: write scenes of the procedural world to disk, videos beside their exact captions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count, positive
from vigil.errors import ConfigError

HELP = f"""\
usage: vigil world render --out DIR [--split NAME] [--seed N] [--scenes N] [OPTIONS]

Draw scenes with exact truth: one MP4 each, and captions.jsonl with dense
captions and states for all. The same split and seed give the same scene.

  --out DIR      folder to write
  --split NAME   train, val or test (default: val)
  --seed N       number of the first scene (default: 0)
  --scenes N     how many (default: 8)
  --family NAME  objects, camera or mixed (default: mixed)
  --seconds S    length of each (default: 16)
  --scale N      picture of N times 64 px (default: 4)

examples:
  vigil world render --out scenes
  vigil synth scenes/captions.jsonl --out questions.jsonl

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil world`."""
    flags = Parser("world", HELP)
    flags.add_argument("what", choices=["render"])
    flags.add_argument("--out", type=Path, required=True, metavar="DIR")
    flags.add_argument("--split", choices=["train", "val", "test"], default="val")
    flags.add_argument("--seed", type=int, default=0, metavar="N")
    flags.add_argument("--scenes", type=count, default=8, metavar="N")
    flags.add_argument("--family", choices=["objects", "camera", "mixed"], default="mixed")
    flags.add_argument("--seconds", type=positive, default=16.0, metavar="S")
    flags.add_argument("--scale", type=count, default=4, metavar="N")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        ConfigError: an impossible setting. OutputError: the folder cannot be written.
    """
    from rich.console import Console
    from rich.progress import Progress

    from vigil.world.render import render_folder
    from vigil.world.scene import WorldConfig, sample_scene

    if args.seed < 0:
        raise ConfigError(f"--seed must be 0 or more, got {args.seed}.")
    config = WorldConfig(family=args.family, duration_s=(args.seconds, args.seconds))
    scenes = (sample_scene(args.split, seed, config=config) for seed in range(args.seed, args.seed + args.scenes))
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("scenes", total=args.scenes)
        captions = render_folder(scenes, args.out, scale=args.scale, on_video=lambda _: bar.advance(task))
    print(f"{args.scenes} videos and {captions.name} lie in {args.out}", file=sys.stderr)
