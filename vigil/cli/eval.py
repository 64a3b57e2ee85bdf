"""`vigil eval`: measure a model's behaviour, or anybody's event log."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from vigil.eval.behaviour import Pair
    from vigil.eval.run import BehaviourConfig
    from vigil.model.model import VideoModel

HELP = f"""\
usage: vigil eval behaviour [--model NAME] [--split NAME] [--scenes N] [--seed N] [--json]
       vigil eval causality [--model NAME] [--scenes N] [--json]
       vigil eval log FILE --truth FILE [--json]

Measure perception, revision and silence, with 95 % intervals and the controls
beside every number. "behaviour" runs a model over world scenes of 60 s at 1 fps,
4 tokens per second. "causality" changes the end of scenes and looks for changes
before it. "log" scores any event log, whoever wrote it.

  --model NAME   nano, a folder, or a hub name (default: nano)
  --before NAME  the same model before real-time training, to compare offline
                 accuracy (default: nano-offline for nano, else none)
  --split NAME   train, val or test (default: test)
  --scenes N     how many scenes (default: 200)
  --seed N       number of the first scene (default: 0; test scenes from
                 1000000 on were never run while developing)
  --logs DIR     keep each scene's event log and truth there
  --truth FILE   what should have been said
  --json         one JSON object, for other programs

examples:
  vigil eval behaviour --split val --scenes 20
  vigil eval log run.jsonl --truth truth.jsonl --json

{EXIT_CODES}
"""

BEFORE = {"nano": "nano-offline"}
"""The bundled checkpoints before real-time training."""
SHOWN = (
    "speak_f1_2s",
    "false_speech_per_min",
    "alert_hit",
    "alert_early",
    "alert_false_alarm",
    "rev_f1_2s",
    "rev_latency_median_s",
    "wrongful_rev_per_min",
    "twa_now",
    "content_exact",
    "content_exact_named",
    "pl_slope",
    "el_mean_s",
)
"""Rows of the table for people; --json has all."""


def parser() -> Parser:
    """The flags of `vigil eval`."""
    flags = Parser("eval", HELP)
    flags.add_argument("what", choices=["behaviour", "causality", "log"])
    flags.add_argument("file", nargs="?", type=Path, metavar="FILE")
    flags.add_argument("--truth", type=Path, metavar="FILE")
    flags.add_argument("--model", default="nano", metavar="NAME")
    flags.add_argument("--before", metavar="NAME")
    flags.add_argument("--split", choices=["train", "val", "test"], default="test")
    flags.add_argument("--scenes", type=count, default=200, metavar="N")
    flags.add_argument("--seed", type=int, default=0, metavar="N")
    flags.add_argument("--logs", type=Path, metavar="DIR")
    flags.add_argument("--json", action="store_true")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        ConfigError: flags that do not go together. DataError: a log or truth file breaks its format.
    """
    if args.what == "log":
        if args.file is None or args.truth is None:
            raise ConfigError("vigil eval log wants FILE and --truth FILE. Run vigil eval --help.")
        from vigil.eval.behaviour import score_log_file

        result = score_log_file(args.file, args.truth)
    else:
        if args.file is not None:
            raise ConfigError(f"vigil eval {args.what} takes no file, got {args.file}. Run vigil eval --help.")
        result = _behaviour(args) if args.what == "behaviour" else _causality(args)
    if args.json:
        print(json.dumps(result))
    else:
        print("\n".join(map(_line, result.items())) if args.what == "causality" else _table(result))


def _causality(args: argparse.Namespace) -> dict[str, Any]:
    import vigil
    from vigil.cli.lines import loading
    from vigil.eval.causality import check_causality
    from vigil.eval.prove import forward_causality, streaming_trials
    from vigil.eval.run import BehaviourConfig

    with loading(args.model):
        model = vigil.load(args.model)
    config = BehaviourConfig(split=args.split, num_scenes=args.scenes + 1, seed=args.seed, duration_s=10.0)
    found = {
        "streaming": check_causality(streaming_trials(model, config)),
        "forward": forward_causality(model, config),
        "forward with leak": forward_causality(model, config, leak=True),
    }
    return {
        name: {"violations": c.violations, "trials": c.trials, "upper_bound": c.upper_bound}
        for name, c in found.items()
    }


def _line(result: tuple[str, dict[str, Any]]) -> str:
    name, row = result
    bound = "" if row["upper_bound"] is None else f", rate below {row['upper_bound']:.4f} (95 %)"
    return f"{name}: {row['violations']} violations in {row['trials']} trials{bound}"


def _behaviour(args: argparse.Namespace) -> dict[str, Any]:
    import vigil
    from vigil.cli.lines import loading
    from vigil.eval.behaviour import report
    from vigil.eval.run import BehaviourConfig

    with loading(args.model):
        model = vigil.load(args.model)
    config = BehaviourConfig(split=args.split, num_scenes=args.scenes, seed=args.seed)
    pairs, videos = _run_scenes(model, config, args)
    result = report(pairs, videos=videos, tokens_per_s=config.tokens_per_s, seed=args.seed)
    before = args.before or BEFORE.get(args.model)
    if before:
        from vigil.eval.run import offline_accuracy

        with loading(before):
            earlier = vigil.load(before)
        found = offline_accuracy(earlier, model, config=config)
        fixed = {"oracle": 1.0, "always_silent": 0.0, "always_talk": 0.0}  # a question repeated answers nothing
        for key in ("offline_accuracy_before", "offline_accuracy_after"):
            result[key] = found[key]
            for name, numbers in result["controls"].items():
                share = fixed.get(name)
                numbers[key] = found["offline_accuracy_blind"] if share is None else {**found[key], **_all(share)}
    for numbers in result["controls"].values():
        numbers["twa_now_oracle"] = result["twa_now_oracle"]
    return result


def _all(share: float) -> dict[str, float]:
    """An estimate without spread."""
    return {"value": share, "lo": share, "hi": share}


def _run_scenes(model: VideoModel, config: BehaviourConfig, args: argparse.Namespace) -> tuple[list[Pair], list[str]]:
    from rich.console import Console
    from rich.progress import track

    from vigil.eval.run import keep, run_scene, scenes

    pairs: list[Pair] = []
    videos: list[str] = []
    console = Console(stderr=True)
    work = scenes(config)
    for scene, record in track(
        work, "scenes", total=config.num_scenes, console=console, disable=not console.is_terminal
    ):
        pair = run_scene(model, scene, record, config=config, name=str(args.model))
        if args.logs is not None:
            keep(args.logs, scene, record, pair[0])
        pairs.append(pair)
        videos.append(scene.id)
    return pairs, videos


def _table(result: dict[str, Any]) -> str:
    """The rows people look at first, with the controls beside them."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table

    controls = list(result.get("controls", {}))
    table = Table("", "value", "95 %", "n", *controls, title=None)
    for name in SHOWN:
        if name in result:
            own = result[name]
            others = [_number(result["controls"][control][name]["value"]) for control in controls]
            table.add_row(name, _number(own["value"]), _interval(own), str(own["n"]), *others)
    for name in ("twa_now_oracle", "offline_accuracy_before", "offline_accuracy_after"):
        if name in result:
            own = result[name]
            others = [_number(result["controls"][control].get(name, {}).get("value")) for control in controls]
            table.add_row(name, _number(own["value"]), _interval(own), str(own["n"]), *others)
    text = StringIO()
    Console(file=text, width=max(100, Console(file=sys.stdout).width)).print(table)
    return text.getvalue().rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(estimate: dict[str, Any]) -> str:
    return "no CI" if estimate["lo"] is None else f"{_number(estimate['lo'])} to {_number(estimate['hi'])}"
