"""`vigil eval l5`: does a system notice what changes in the middle of its own reply?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count

if TYPE_CHECKING:
    from vigil.eval.l5.run import Played

HELP = f"""\
usage: vigil eval l5 [--model NAME] [--trials N] [--seed N] [--controls NAMES]
                     [--loop HOW] [--out DIR] [--json]

Let something change in the middle of a reply, and see whether the reply takes it
in. The model states the colours of six items; meanwhile an item not yet mentioned
flips (F), or one already mentioned (B), or only the background (D), or nothing (N).
Frames come at 2 fps and go on coming while it speaks, at 10 tokens per second.

  --model NAME      nano, a folder, or a hub name (default: nano)
  --trials N        trials of each kind (default: 200)
  --seed N          number of the first trial (default: 0)
  --controls NAMES  with commas between them, or none (default: all; two slow ones
                    come on demand: all,recent_4,recent_16)
  --loop HOW        closed: the change follows a word of the reply; open: its time
                    is fixed before the run (default: closed)
  --out DIR         keep every log there; a run that was cut short goes on
  --json            one JSON object, for other programs

pfc: new value in the rest of the reply (F). bcr: corrected within 10 s (B). frr:
something taken back without reason (N, D). l5 = (pfc + bcr + 1 - frr) / 3; nl5
counts from the best blind score. delay_s: median seconds from the change to the
new value. The others are counts per trial.

examples:
  vigil eval l5 --trials 20 --out l5-nano
  vigil eval l5 --controls none --json

{EXIT_CODES}
"""

TABLE = ("l5", "nl5", "pfc", "bcr", "frr", "delay_s", "stale", "collateral", "redundant", "tokens", "discarded")
"""Columns of the table for people; --json has all."""


def parser() -> Parser:
    """The flags of `vigil eval l5`."""
    flags = Parser("eval l5", HELP)
    flags.add_argument("--model", default="nano", metavar="NAME")
    flags.add_argument("--trials", type=count, default=200, metavar="N")
    flags.add_argument("--seed", type=int, default=0, metavar="N")
    flags.add_argument("--controls", default="all", metavar="NAMES")
    flags.add_argument("--loop", choices=["closed", "open"], default="closed")
    flags.add_argument("--out", type=Path, metavar="DIR")
    flags.add_argument("--json", action="store_true")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the verb.

    Raises:
        ConfigError: an unknown control, or a folder that holds another run.
    """
    import vigil
    from vigil.cli.lines import loading
    from vigil.eval.l5.run import CONTROLS, arms, play, report, summary
    from vigil.eval.l5.trials import L5Config
    from vigil.eval.recent import Offline
    from vigil.eval.session_door import ModelSystem

    some = [] if args.controls == "none" else args.controls.split(",")
    wanted = [name for given in some for name in (CONTROLS if given == "all" else [given])]
    config = L5Config(num_trials=args.trials, seed=args.seed, loop=args.loop)
    with loading(args.model):
        model = vigil.load(args.model)
    todo = arms(ModelSystem(model, args.model), wanted, offline=Offline(model, fps=config.clock.fps))
    runs = _watched(play(todo, config, model=args.model, out=args.out), config.num_trials)
    tabulate = report if set(CONTROLS) <= set(wanted) else summary
    table = tabulate(runs, config, model=args.model)
    print(json.dumps(table) if args.json else _table(table))


def _watched(runs: Iterable[tuple[int, dict[str, Played]]], total: int) -> list[dict[str, Played]]:
    """All trials, with a bar on stderr if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    bar = track(runs, "trials", total=total, console=console, disable=not console.is_terminal)
    return [done for _, done in bar]


def _table(result: dict[str, Any]) -> str:
    """One row per system; what the main one scored comes first, with its interval."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table

    table = Table("", *TABLE)
    for name, row in result["systems"].items():
        table.add_row(name, *(_cell(row[column]) for column in TABLE))
    ran = result["run"]
    main = next(iter(result["systems"].values()))
    said = [f"{name} {_cell(main[name])} (95 % {_interval(main[name])})" for name in ("l5", "nl5", "pfc", "bcr", "frr")]
    missed = {name: count for name, count in result["faults"]["system"].items() if count}
    lines = [
        f"{ran['model']}: {ran['trials']} trials of each kind from {ran['seed']}, {ran['loop']} loop, "
        f"clock {ran['clock']}, {ran['fps']:g} fps, {1 / ran['token_s']:g} tokens/s, logs {ran['log_sha256'][:16]}",
        *said,
        *([f"nothing to test: {', '.join(f'{name} {count}' for name, count in missed.items())}"] if missed else []),
    ]
    if result["controls_not_run"]:
        lines.append(f"controls not run: {', '.join(result['controls_not_run'])}")
    text = StringIO()
    console = Console(file=text, width=max(120, Console(file=sys.stdout).width))
    console.print(table)
    return text.getvalue().rstrip() + "\n" + "\n".join(lines)


def _cell(estimate: dict[str, Any]) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.2f}"


def _interval(estimate: dict[str, Any]) -> str:
    return "no CI" if estimate["lo"] is None else f"{estimate['lo']:.2f} to {estimate['hi']:.2f}"
