"""`vigil eval study`: controlled comparisons of small models, from training to the page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count
from vigil.errors import OutputError

if TYPE_CHECKING:
    from vigil.eval.study.arms import Letter

HELP = f"""\
usage: vigil eval study A|B|C|D|all [--scale NAME] [--processes N] [--out DIR]
       vigil eval study all --dry-run [--scale NAME]

Train small models that differ in one thing, measure them on held-out scenes, and
write tables, pictures and a page about what they show. A: frames beside the text
or in it. B: data with revisions or without. C: the loss on silence. D: offline
ability before and after real-time training. Stopped at any moment, the same
command goes on where it was; arms that studies share are trained once.

  --scale NAME   nano (about 45 minutes for all, on two cores), gpu (larger, for
                 one accelerator), tiny (a few steps: to see that it works)
                 (default: nano)
  --processes N  runs that train at one time, each with one thread (default: 2)
  --seeds N      (default: the scale's; nano 3)
  --out DIR      folder of the runs (default: runs/study)
  --docs DIR     folder of study.md and its pictures (default: docs)
  --dry-run      print parameters, steps and runs; train nothing

examples:
  vigil eval study all
  vigil eval study C --scale tiny --out study --docs study

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil eval study`."""
    flags = Parser("eval study", HELP)
    flags.add_argument("letter", choices=["A", "B", "C", "D", "all"])
    flags.add_argument("--scale", choices=["nano", "gpu", "tiny"], default="nano")
    flags.add_argument("--processes", type=count, default=2, metavar="N")
    flags.add_argument("--seeds", type=count, metavar="N")
    flags.add_argument("--out", type=Path, default=Path("runs") / "study", metavar="DIR")
    flags.add_argument("--docs", type=Path, default=Path("docs"), metavar="DIR")
    flags.add_argument("--dry-run", action="store_true")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        OutputError: a folder cannot be made.
    """
    from dataclasses import replace

    from vigil.eval.study.runner import StudyJob, plan, run_studies
    from vigil.eval.study.scale import SCALES

    scale = SCALES[args.scale]()
    if args.seeds is not None:
        scale = replace(scale, seeds=args.seeds)
    letters: tuple[Letter, ...] = ("A", "B", "C", "D") if args.letter == "all" else (args.letter,)
    try:
        for folder in (args.out, args.docs):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}. Choose another --out or --docs.") from error
    job = StudyJob(letters=letters, scale=scale, out=args.out, docs=args.docs, processes=args.processes)
    if args.dry_run:
        print("\n".join(plan(job)))
        return
    print(f"the page is {run_studies(job)}", file=sys.stderr)
