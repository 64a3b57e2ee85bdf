"""`vigil bench`: speed and memory against the decoder-only twin and Qwen2.5-VL, in one run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser
from vigil.errors import ConfigError, OutputError

if TYPE_CHECKING:
    import torch

    from vigil.eval.speed.figures import Results
    from vigil.eval.speed.scales import SpeedScale

NAMES = ("memory", "question", "decode", "matched", "gaps", "live", "paper", "video")
USUAL_DEVICE = {"tiny": "cpu", "11b": "cuda"}
HELP = f"""\
usage: vigil bench [--scale tiny|11b] [--device NAME] [--parts NAME,...] [--json]
                   [--plots DIR] [--save FILE]

Measure speed and memory: the model with two channels, its decoder-only twin of
the same size, and Qwen2.5-VL from transformers, all with random weights and
replies of one length. Prints a card with every figure, what it means, and its
fraction of what this machine's memory and arithmetic allow. Ctrl-C prints what
was measured so far.

  --scale NAME  tiny (scaled down: some minutes on two CPU cores), or 11b (the
                released sizes, for one large GPU) (default: tiny)
  --device NAME cpu, cuda, cuda:1, ... (default: cpu for tiny, cuda for 11b)
  --parts NAMES some of: memory, question, decode, matched, gaps, live, paper,
                video (default: all)
  --json        the card goes to stderr, and one JSON object is the last line
  --plots DIR   draw time against frames and against length of the stream
  --save FILE   write the JSON object to a file too
  --dry-run     say what would be measured, on which device; measure nothing

examples:
  vigil bench
  vigil bench --parts question,decode --json | jq .ttft_question_s

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil bench`."""
    flags = Parser("bench", HELP)
    flags.add_argument("--scale", choices=["tiny", "11b"], default="tiny")
    flags.add_argument("--device", metavar="NAME")
    flags.add_argument("--parts", type=_parts, default=NAMES, metavar="NAMES")
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--plots", type=Path, metavar="DIR")
    flags.add_argument("--save", type=Path, metavar="FILE")
    flags.add_argument("--dry-run", action="store_true")
    return flags


def _parts(text: str) -> tuple[str, ...]:
    wanted = text.split(",")
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no part; there are {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in wanted)


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        ConfigError: the device is not there.
        OutputError: a result cannot be written.
        KeyboardInterrupt: after what was measured has been printed.
    """
    from vigil.eval.speed.scales import SCALES

    if args.dry_run:
        from vigil.cli.plan import tell

        tell("bench", scale=args.scale, device=args.device or USUAL_DEVICE[args.scale], parts=", ".join(args.parts))
        return
    device = device_named(args.device or USUAL_DEVICE[args.scale])
    results = measured(SCALES[args.scale], device, args.parts)
    _tell(results, args)
    if results.interrupted:
        raise KeyboardInterrupt


def device_named(name: str) -> torch.device:
    """A device that is there.

    Raises:
        ConfigError: it is not.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name!r} is no device: {str(error).splitlines()[0]} Try cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device must be cpu or cuda, got {name!r}.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: torch sees no GPU here. Use --scale tiny --device cpu, or a machine with one."
        )
    return device


def measured(scale: SpeedScale, device: torch.device, parts: Sequence[str]) -> Results:
    """Run the parts and show how far they are; an interrupt leaves what was measured before it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from vigil.eval.speed.figures import Results
    from vigil.eval.speed.run import measure

    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console, results = Console(stderr=True), Results({})
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        task = bar.add_task("", total=len(parts))

        def note(text: str) -> None:
            bar.update(task, description=text)
            if not console.is_terminal:
                print(f"vigil bench: {text}", file=sys.stderr, flush=True)

        try:
            for results in measure(scale, device, parts, note):
                bar.update(task, completed=len(results.parts))
        except KeyboardInterrupt:
            results.interrupted = True
    return results


def _tell(results: Results, args: argparse.Namespace) -> None:
    from rich.console import Console

    from vigil.eval.speed.card import show
    from vigil.eval.speed.plots import draw

    if not results.about:
        return
    show(results, Console(stderr=args.json))
    line = json.dumps(results.to_json())
    if args.save is not None:
        try:
            args.save.write_text(line + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{args.save} cannot be written: {error.strerror}. Choose another --save.") from error
    if args.plots is not None:
        for path in draw(results, args.plots):
            print(f"drawn: {path}", file=sys.stderr)
    if args.json:
        print(line)
