"""Runs a system and its controls through the trials of L5, keeps what happened, and reports.

The trials of one number share their panel, and each arm is run only as often as its definition asks: a control that
sees nothing of the flip says the same in every kind of trial, so that one run stands for four; `never_revise` and
`random_revise` take the logs of the system; `restart` differs from the system only where something flips.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from vigil.errors import ConfigError, DataError
from vigil.eval.baselines import AlwaysSilent, AlwaysTalk, ParseAttack
from vigil.eval.behaviour import Estimate, estimate
from vigil.eval.door import System
from vigil.eval.folder import open_folder
from vigil.eval.l5.controls import REWRITES, WRAPPERS
from vigil.eval.l5.score import BLIND, METRICS, Scores, faults, judge, statistics
from vigil.eval.l5.trials import (
    KINDS,
    PROMPT,
    Draws,
    Flip,
    L5Config,
    Reel,
    Trial,
    draw_trial,
    place_flip,
    run_kind,
    run_trial,
)
from vigil.eval.log import Log, read_log, write_log
from vigil.eval.recent import Answerer, recent_n
from vigil.eval.stats import REPLICATES, difference
from vigil.eval.watcher import WatcherSystem

Played = list[tuple[Trial, Log]]
"""One trial of each of `KINDS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One row of the table."""

    name: str
    system: System | None = None
    """None: the logs of the main system are rewritten."""
    sees_flip: bool = True
    has_own_calm: bool = True
    """False: when nothing flips it does exactly what the main system does."""
    rewrite: Callable[..., Log] | None = None


MAIN = "system"
SECTION_3 = ("blind", "no_pixels", "never_revise", "blocking", "restart", "repeat_all", "random_revise")
SECTION_4 = ("always_silent", "always_talk", "parse_attack")
CONTROLS = (*SECTION_3, *SECTION_4)
"""Every control that is run unless others are asked for. `no_pixels` is the text-only row."""
RECENT = {"recent_4": 4, "recent_16": 16}
"""Controls that cost as much as all the others, and are run on demand; the number of frames that each is shown."""
POLL_HZ = 0.5
"""How often those are polled."""


def arms(system: System, names: Sequence[str], *, offline: Answerer | None = None) -> list[Arm]:
    """The main system and its controls by name; those of `RECENT` poll the model that is given as `offline`.

    Raises:
        ConfigError: there is no control of this name.
    """
    unseeing: dict[str, System] = {
        "always_silent": WatcherSystem("always_silent", AlwaysSilent),
        "always_talk": WatcherSystem("always_talk", AlwaysTalk),
        "parse_attack": WatcherSystem("parse_attack", ParseAttack),
    }
    found = [Arm(name=MAIN, system=system)]
    for name in names:
        if name in REWRITES:
            found.append(Arm(name=name, rewrite=REWRITES[name]))
        elif name in unseeing:
            found.append(Arm(name=name, system=unseeing[name], sees_flip=False))
        elif name in RECENT and offline is not None:
            found.append(Arm(name=name, system=recent_n(offline, RECENT[name], poll_hz=POLL_HZ)))
        elif name in WRAPPERS:
            wrapped = WRAPPERS[name](system)
            found.append(Arm(name=name, system=wrapped, sees_flip=name not in BLIND, has_own_calm=name != "restart"))
        else:
            raise ConfigError(f"there is no L5 control {name!r}. The controls are: {', '.join((*CONTROLS, *RECENT))}.")
    return found


def play_number(arm: Arm, number: int, reel: Reel, main: Played, config: L5Config) -> Played:
    """All kinds of one trial by one arm; `main` is what the main system did (empty for itself)."""
    draws = draw_trial(number)
    if arm.system is None:
        assert arm.rewrite is not None
        return [(trial, arm.rewrite(log, seed=number)) for trial, log in main]
    calm = run_trial(arm.system, reel, None, config)[0] if arm.has_own_calm else main[0][1]
    if arm.sees_flip:
        return [run_kind(kind, arm.system, reel, draws, calm, config) for kind in KINDS]
    trials = [place_flip(kind, draws, calm, config) for kind in KINDS]
    return [(replace(t, flip_s=None if t.flip is None else t.flip.at_s), calm) for t in trials]


class Keeper:
    """What has been run, in memory and, if a folder is given, on disk, so that a run that was cut short goes on.

    A number counts as finished when its line is in `<arm>.jsonl`; its logs were written before.
    """

    def __init__(self, folder: Path | None, setting: dict[str, Any]) -> None:
        """Open the folder.

        Raises:
            ConfigError: it holds a run with another setting. OutputError: it cannot be written.
        """
        self._folder = folder
        self._known: dict[tuple[str, int], list[Trial]] = {}
        if folder is None:
            return
        open_folder(folder, setting)
        for lines in folder.glob("*.jsonl"):
            for line in lines.read_text(encoding="utf-8").splitlines():
                trials = _trials_from(line)
                if trials:
                    self._known[lines.stem, trials[0].number] = trials

    def recall(self, arm: str, number: int) -> Played | None:
        """A finished number, or None."""
        trials = self._known.get((arm, number))
        if trials is None or self._folder is None:
            return None
        return [(trial, read_log(self._log(arm, trial))) for trial in trials]

    def keep(self, arm: str, played: Played) -> None:
        """Write a finished number down."""
        if self._folder is None:
            return
        (self._folder / arm).mkdir(exist_ok=True)
        for trial, log in played:
            write_log(self._log(arm, trial), log)
        with (self._folder / f"{arm}.jsonl").open("a+b") as out:
            out.write(_line_end(out) + json.dumps([asdict(trial) for trial, _ in played]).encode() + b"\n")

    def _log(self, arm: str, trial: Trial) -> Path:
        assert self._folder is not None
        return self._folder / arm / f"{trial.number:05d}-{trial.kind}.log.jsonl"


def _line_end(file: BinaryIO) -> bytes:
    """What ends the last line of a file, if the run that wrote it was cut short."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _trials_from(line: str) -> list[Trial]:
    """The trials of one line; none if the line was cut short."""
    try:
        rows = json.loads(line)
    except json.JSONDecodeError:
        return []
    return [Trial(**{**row, "flip": None if row["flip"] is None else Flip(**row["flip"])}) for row in rows]


def play(
    todo: Sequence[Arm],
    config: L5Config,
    *,
    model: str,
    out: Path | None = None,
    reel: Callable[[Draws, L5Config], Reel] = Reel,
) -> Iterator[tuple[int, dict[str, Played]]]:
    """Play trial after trial by all arms; yields what each did. Numbers kept in `out` are read back, not run again;
    `reel` makes the frames of a trial.

    Raises:
        ConfigError: `out` holds a run with another setting. OutputError: it cannot be written.
    """
    setting = {**asdict(config), "model": model, "prompt": PROMPT}
    del setting["num_trials"]
    keeper = Keeper(out, setting)
    for number in range(config.seed, config.seed + config.num_trials):
        frames = reel(draw_trial(number), config)
        done: dict[str, Played] = {}
        for arm in todo:
            played = keeper.recall(arm.name, number)
            if played is None:
                played = play_number(arm, number, frames, done.get(MAIN, []), config)
                keeper.keep(arm.name, played)
            done[arm.name] = played
        yield number, done


def report(
    runs: Sequence[dict[str, Played]], config: L5Config, *, model: str, replicates: int = REPLICATES
) -> dict[str, Any]:
    """The table: every score of the system and of each control with its interval, and the paired differences.

    Raises:
        DataError: a control of section 3 or 4 is missing.
    """
    if missing := [name for name in CONTROLS if name not in runs[0]]:
        raise DataError(f"the table lacks the controls {', '.join(missing)}. Run them too; they are part of it.")
    return summary(runs, config, model=model, replicates=replicates)


def summary(
    runs: Sequence[dict[str, Played]], config: L5Config, *, model: str, replicates: int = REPLICATES
) -> dict[str, Any]:
    """The same of any set of arms, the main system first."""
    scores = {
        name: Scores([[judge(*one, grace_s=config.grace_s) for one in done[name]] for done in runs]) for name in runs[0]
    }
    floor = [scores[name] for name in BLIND if name in scores]
    known = {name: statistics(one, floor) for name, one in scores.items()}

    def estimates(of: Callable[[str], Any]) -> dict[str, Estimate]:
        return {m: estimate(of(m), len(runs), len(runs), seed=config.seed, replicates=replicates) for m in METRICS}

    hashes = "\n".join(log.hash for done in runs for _, log in done[MAIN])
    return {
        "run": {
            "model": model,
            "trials": len(runs),
            "seed": config.seed,
            "clock": config.clock.mode,
            "fps": config.clock.fps,
            "token_s": config.clock.token_s,
            "loop": config.loop,
            "grace_s": config.grace_s,
            "log_sha256": sha256(hashes.encode()).hexdigest(),
        },
        "systems": {name: estimates(lambda m, name=name: known[name][m]) for name in known},  # type: ignore[misc]
        "differences": {
            name: estimates(lambda m, name=name: difference(known[MAIN][m], known[name][m]))  # type: ignore[misc]
            for name in known
            if name != MAIN
        },
        "controls_not_run": [name for name in (*CONTROLS, *RECENT) if name not in known],
        "faults": {name: faults([trial for done in runs for trial, _ in done[name]]) for name in known},
        "defined": {name: _defined(scores[name]) for name in known},
    }


def _defined(scores: Scores) -> dict[str, int]:
    """In how many trials of each kind there was something to judge."""
    return {kind: sum(trial[n].hit is not None for trial in scores.outcomes) for n, kind in enumerate(KINDS)}
