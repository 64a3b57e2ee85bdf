"""`vigil eval`: measure a model's behaviour, or anybody's event log."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count, positive
from vigil.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from rich.progress import Progress

    from vigil.eval.behaviour import Pair
    from vigil.eval.log import Log
    from vigil.eval.run import BehaviourConfig
    from vigil.model.model import VideoModel

HELP = f"""\
usage: vigil eval behaviour [--model NAME] [--split NAME] [--scenes N] [--seed N] [--json]
       vigil eval causality [--model NAME] [--scenes N] [--json]
       vigil eval log FILE --truth FILE [--json]
       vigil eval l5 [--trials N] [--out DIR] (more: vigil eval l5 --help)
       vigil eval report LOGS... --html FILE (more: vigil eval report --help)
       vigil eval study A|B|C|D|all (more: vigil eval study --help)
       vigil eval bench NAME --data DIR (more: vigil eval bench --help)

Measure perception, revision and silence, with 95 % intervals and the controls
beside every number. "behaviour" runs a model over world scenes at 1 fps.
"causality" changes the end of scenes and looks for changes
before it. "l5" lets something change in the middle of a reply. "log" scores any
event log, whoever wrote it; "report" shows a run as a page.

  --model NAME   nano, a folder, or a hub name (default: nano)
  --before NAME  the same model before real-time training, to compare offline
                 accuracy (default: nano-offline for nano, else none)
  --split NAME   train, val or test (default: test)
  --scenes N     how many scenes (default: 200)
  --seed N       number of the first scene (default: 0; test scenes from
                 1000000 on were never run while developing)
  --seconds S    length of each scene of "behaviour" (default: 60)
  --pace HZ      tokens spoken per second (default: 8)
  --roles A,B    ask only these kinds of question, such as alert
  --held-out     only things and layouts that training never shows
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
WIDTH = 130
"""Characters that the table takes at least."""
QUESTIONS_PER_SCENE = 25
"""Offline questions for each scene that is watched: 5,000 at the default of 200."""
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
    flags.add_argument("--seconds", type=positive, default=60.0, metavar="S")
    flags.add_argument("--pace", type=positive, default=8.0, metavar="HZ")
    flags.add_argument("--roles", default="", metavar="A,B")
    flags.add_argument("--held-out", action="store_true")
    flags.add_argument("--logs", type=Path, metavar="DIR")
    flags.add_argument("--json", action="store_true")
    return flags


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        ConfigError: flags that do not go together. DataError: a log or truth file breaks its format.
        OutputError: the folder of the logs cannot be made.
    """
    if args.what == "log":
        if args.file is None or args.truth is None:
            raise ConfigError("vigil eval log wants FILE and --truth FILE. Run vigil eval --help.")
        from vigil.eval.behaviour import score_log_file

        result = score_log_file(args.file, args.truth)
    else:
        if args.file is not None:
            raise ConfigError(f"vigil eval {args.what} takes no file, got {args.file}. Run vigil eval --help.")
        if args.seed < 0:
            raise ConfigError(f"--seed must be 0 or more, got {args.seed}.")
        _make_folder(args.logs)
        result = _behaviour(args) if args.what == "behaviour" else _causality(args)
    if args.json:
        print(json.dumps(result))
    else:
        print("\n".join(map(_line, result.items())) if args.what == "causality" else _table(result))


def _make_folder(folder: Path | None) -> None:
    """Find out before a run whether its logs have a place."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}. Choose another --logs.") from error


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
    from vigil.world.scene import WorldConfig

    with loading(args.model):
        model = vigil.load(args.model)
    config = BehaviourConfig(
        split=args.split,
        num_scenes=args.scenes,
        seed=args.seed,
        duration_s=args.seconds,
        tokens_per_s=args.pace,
        world=WorldConfig(family="objects", held_out=True) if args.held_out else WorldConfig(),
        roles=tuple(filter(None, args.roles.split(","))),
    )
    pairs, videos, controls = _run_scenes(model, config, args)
    pace = config.tokens_per_s
    result = report(pairs, videos=videos, model_controls=controls, tokens_per_s=pace, seed=args.seed)
    before = args.before or BEFORE.get(args.model)
    if before and not config.roles:
        from vigil.eval.model_controls import offline_controls
        from vigil.eval.offline import OfflineConfig, offline_accuracy

        with loading(before):
            earlier = vigil.load(before)
        asked = OfflineConfig(
            split=args.split,
            num_questions=QUESTIONS_PER_SCENE * args.scenes,
            seed=args.seed,
            duration_s=args.seconds,
            world=config.world,
        )
        with _bar() as bar:
            task = bar.add_task("questions", total=asked.num_questions)
            found = offline_accuracy(earlier, model, config=asked, on_scene=lambda done: bar.advance(task, done))
        result["offline_loss"] = found["offline_loss"]
        fixed = {"oracle": 1.0, **dict.fromkeys(("always_silent", "always_talk", "echo_after_k", "parse_attack"), 0.0)}
        newest = offline_controls(model, config=asked)
        for key in ("offline_accuracy_before", "offline_accuracy_after"):
            result[key] = found[key]
            for name, numbers in result["controls"].items():
                blind = newest.get(name, found["offline_accuracy_blind"])
                numbers[key] = {**found[key], **_all(fixed[name])} if name in fixed else blind
    for numbers in result["controls"].values():
        numbers["twa_now_oracle"] = result["twa_now_oracle"]
    return result


def _bar() -> Progress:
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, disable=not console.is_terminal)


def _all(share: float) -> dict[str, float]:
    """An estimate without spread."""
    return {"value": share, "lo": share, "hi": share}


def _run_scenes(
    model: VideoModel, config: BehaviourConfig, args: argparse.Namespace
) -> tuple[list[Pair], list[str], dict[str, list[Log]]]:
    from vigil.eval.model_controls import model_systems, watch_controls
    from vigil.eval.run import keep, run_scene, scenes
    from vigil.world.render import render

    systems = model_systems(model, fps=config.fps)
    controls: dict[str, list[Log]] = {name: [] for name in systems}
    pairs: list[Pair] = []
    videos: list[str] = []
    with _bar() as bar:
        for scene, record in bar.track(scenes(config), config.num_scenes, description="scenes"):
            pair = run_scene(model, scene, record, config=config, name=str(args.model))
            if args.logs is not None:
                keep(args.logs, scene, record, pair[0])
            end_s = pair[0].tau(pair[0].end.w)
            for name, log in watch_controls(systems, record, render(scene), end_s=end_s, config=config).items():
                controls[name].append(log)
            pairs.append(pair)
            videos.append(scene.id)
    return pairs, videos, controls


def _table(result: dict[str, Any]) -> str:
    """The rows people look at first, with the controls beside them."""
    from io import StringIO

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    controls = list(result.get("controls", {}))
    table = Table(Column("", no_wrap=True), "value", "95 %", "n", box=SIMPLE)
    for control in controls:
        table.add_column(control.replace("_", " "))
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
    Console(file=text, width=max(WIDTH, Console(file=sys.stdout).width)).print(table)
    missing = result.get("controls_not_run", [])
    lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines() if line.strip()]
    if missing:
        lines.append(f"controls that need the model itself, and were not run on a log: {', '.join(missing)}")
    lines.append(f"echo after k, fitted on other videos: {', '.join(result['fitted']['echo_after_k'])}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(estimate: dict[str, Any]) -> str:
    return "no CI" if estimate["lo"] is None else f"{_number(estimate['lo'])} to {_number(estimate['hi'])}"
