"""`vigil eval bench`: the public benchmarks, from annotations and videos that a person has downloaded."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from vigil.eval.benchmarks.base import Benchmark
    from vigil.eval.benchmarks.runner import Played

HELP = f"""\
usage: vigil eval bench NAME --data DIR [--model NAME] [--limit N] [--out DIR]
                             [--judge URL MODEL] [--json]
       vigil eval bench --list [--json]

Run a public streaming benchmark: streamingbench, ovo, rtv, river, omnimmi,
proactive. Nothing is downloaded: what to get, under which licence, is printed
where it is missing. Every stream goes through a session at 1 fps, 4 tokens per
second, and is scored twice: "official" as the publishers do, faults included,
and "strict". Beside the model stand the same model without pictures and polled
with its newest 4 and 16 frames, policies, blind rules, and published scores.

  --data DIR         folder with the annotations and videos
  --model NAME       nano, a folder, or a hub name (default: nano)
  --limit N          items of each task (default: all)
  --out DIR          keep event logs and results there; a run that was cut
                     short goes on
  --judge URL MODEL  a chat endpoint that rates replies (proactive only;
                     default: the F1 of words, not comparable)
  --list             the benchmarks, and the offline ones of the paper with
                     their tasks in lmms-eval
  --json             one JSON object, for other programs

examples:
  vigil eval bench ovo --data ~/ovo --limit 5
  vigil eval bench --list

{EXIT_CODES}
"""


def parser() -> Parser:
    """The flags of `vigil eval bench`."""
    flags = Parser("eval bench", HELP)
    flags.add_argument("name", nargs="?", metavar="NAME")
    flags.add_argument("--data", type=Path, metavar="DIR")
    flags.add_argument("--model", default="nano", metavar="NAME")
    flags.add_argument("--limit", type=count, metavar="N")
    flags.add_argument("--out", type=Path, metavar="DIR")
    flags.add_argument("--judge", nargs=2, metavar=("URL", "MODEL"))
    flags.add_argument("--list", action="store_true")
    flags.add_argument("--json", action="store_true")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the verb.

    Raises:
        ConfigError: no such benchmark, or a folder that holds another run. SourceError: files are missing.
    """
    if args.list:
        print(json.dumps(_listed()) if args.json else _list_text())
        return
    if args.name is None or args.data is None:
        raise ConfigError("vigil eval bench wants NAME and --data DIR, or --list. Run vigil eval bench --help.")
    result = _bench(_chosen(args), args)
    print(json.dumps(result) if args.json else _text(result))


def _chosen(args: argparse.Namespace) -> Benchmark:
    from vigil.eval.benchmarks import benchmark

    if args.judge is None:
        return benchmark(args.name)
    if args.name != "proactive":
        raise ConfigError(f"--judge rates replies of proactive, and {args.name} needs no judge. Leave it out.")
    from vigil.eval.benchmarks.proactive import chat_judge, with_judge
    from vigil.eval.recent import ChatModel

    url, model = args.judge
    chat = ChatModel(base_url=url, model=model, max_tokens=8, instruction="You are a strict examiner.")
    return with_judge(chat_judge(chat), model)


def _bench(chosen: Benchmark, args: argparse.Namespace) -> dict[str, Any]:
    import vigil
    from vigil.cli.lines import loading
    from vigil.eval.benchmarks.data import fingerprints, require, require_videos
    from vigil.eval.benchmarks.runner import (
        BenchConfig,
        Keeper,
        Polled,
        arms_of,
        items_text,
        limited,
        play_all,
        setting_of,
    )
    from vigil.eval.benchmarks.table import tabulate
    from vigil.eval.session_door import ModelSystem

    require(chosen, args.data)
    annotations = fingerprints(chosen, args.data)
    for path, found in annotations.items():
        if found["is_pinned"] is False:
            print(f"vigil: {path} is not the pinned revision; published scores may not compare.", file=sys.stderr)
    cases = limited(chosen.read(args.data), args.limit)
    videos = require_videos(chosen, args.data, cases)
    with loading(args.model):
        model = vigil.load(args.model)
    config = BenchConfig()
    keeper = Keeper(args.out, setting_of(chosen.name, args.model, config, annotations))
    arms = arms_of(cases, ModelSystem(model, args.model), Polled(model, config), config)
    todo = play_all(cases, arms, videos, config, keeper=keeper)
    played = _watched(todo, len(cases) * len(arms))
    facts = {"model": args.model, "limit": args.limit, "annotations": annotations}
    result = tabulate(chosen, cases, played, run=facts, config=config)
    keeper.write("items.jsonl", items_text(played))
    keeper.write("result.json", json.dumps(result, indent=1) + "\n")
    return result


def _watched(todo: Iterable[Played], total: int) -> list[Played]:
    """All cases by all systems, with a bar on stderr if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return list(track(todo, "cases", total=total, console=console, disable=not console.is_terminal))


def _listed() -> dict[str, Any]:
    from vigil.eval.benchmarks import BENCHMARKS, benchmark
    from vigil.eval.benchmarks.offline import HEADER, offline_cells

    found = [benchmark(name) for name in BENCHMARKS]
    return {
        "streaming": [
            {
                "name": one.name,
                "title": one.title,
                "source": one.download.source,
                "revision": one.download.revision,
                "size": one.download.size,
                "licence": one.download.licence,
            }
            for one in found
        ],
        "offline": [dict(zip(HEADER, cells, strict=True)) for cells in offline_cells()],
    }


def _list_text() -> str:
    from rich.table import Table

    from vigil.eval.benchmarks.offline import HEADER, PAPER, offline_cells

    listed = _listed()
    streaming = Table("name", "benchmark", "size", "licence", title="streaming: vigil eval bench NAME --data DIR")
    for row in listed["streaming"]:
        streaming.add_row(row["name"], row["title"], row["size"].split(";")[0], row["licence"])
    offline = Table(*HEADER, title=f"offline: docs/benchmarks.md; figures of {PAPER}, percent")
    for cells in offline_cells():
        offline.add_row(*cells)
    return _printed(streaming, offline)


def _text(result: dict[str, Any]) -> str:
    """Both scorers side by side, then all systems, published scores, and what must be known."""
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for row in result["scores"]:
        if row["is_shown"]:
            by_name.setdefault(row["name"], {})[row["scorer"]] = row
    from rich.table import Table

    columns = ("official", "95 %", "blind", "strict", "95 %", "blind", "above blind", "by")
    own = Table("", *columns, title=f"{result['title']}: {result['run']['model']}")
    for name, pair in by_name.items():
        official, strict = pair.get("official"), pair.get("strict")
        cells = [*_three(official), *_three(strict)]
        best = strict or official or {}
        own.add_row(name, *cells, _number(best.get("corrected")), best.get("blind_rule") or "-")
    shown = [row for row in result["scores"] if row["is_shown"]]
    others = Table("", *(f"{row['name']} ({row['scorer'][0]})" for row in shown), title="all systems")
    for system in result["systems"]:
        others.add_row(system, *(_number(row["systems"][system]) for row in shown))
    return _printed(own, others) + "\n" + "\n".join(_lines(result))


def _lines(result: dict[str, Any]) -> list[str]:
    ran, states = result["run"], result["states"]["system"]
    lines = [
        f"{ran['cases']} cases of {ran['videos']} videos, clock {ran['clock']}, {ran['fps']:g} fps, "
        f"{1 / ran['token_s']:g} tokens/s, {ran['policy']}, seed {ran['seed']}, logs {ran['log_sha256'][:16]}",
        "answers: " + ", ".join(f"{number} {name}" for name, number in states.items()),
        f"undefined scores: {result['undefined']}; dropped frames: {ran['dropped_frames']}",
        "above blind = (score - blind) / (100 - blind); (o) official, (s) strict",
    ]
    for row in result["published"]:
        values = ", ".join(f"{name} {value:g}" for name, value in row["values"].items())
        lines.append(f"published: {row['system']}: {values} ({row['source']})")
    return [*lines, *result["notes"]]


def _three(row: dict[str, Any] | None) -> list[str]:
    if row is None:
        return ["", "", ""]
    interval = "no CI" if row["lo"] is None else f"{row['lo']:.1f} to {row['hi']:.1f}"
    return [_number(row["value"]), interval, _number(row["blind"])]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _printed(*tables: Table) -> str:
    from io import StringIO

    from rich.console import Console

    text = StringIO()
    console = Console(file=text, width=max(150, Console(file=sys.stdout).width))
    for table in tables:
        console.print(table)
    return text.getvalue().rstrip()
