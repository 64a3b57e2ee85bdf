"""Everything that is measured of one trained run, kept beside it, so that nothing is measured twice.

free-<policy>    event logs on held-out scenes, computing free of cost
cost-<design>    the same on the clock on which every token costs time
l5-<design>      trials of contradiction in the middle of a reply, on that clock
offline          questions after the whole video, by kind
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from vigil.data.chunks import write_atomically
from vigil.data.records import Record
from vigil.data.truth import truth_of
from vigil.eval.behaviour import Pair
from vigil.eval.door import VirtualClock
from vigil.eval.l5.run import MAIN, arms, play
from vigil.eval.l5.score import BLIND, Outcome, Scores, judge
from vigil.eval.l5.trials import L5Config
from vigil.eval.log import Log, keep_log, read_log
from vigil.eval.offline import FOLDS, OfflineConfig, answers, is_right, questions
from vigil.eval.run import BehaviourConfig, scenes
from vigil.eval.study.arms import STUDIES, Design, Letter
from vigil.eval.study.designs import FREE, Costs, Driven, watch
from vigil.eval.study.measures import is_constant, of_streams
from vigil.eval.study.scale import StudyScale
from vigil.eval.study.training import Run
from vigil.eval.summary import score
from vigil.eval.truth import Truth, parse_truth
from vigil.model.model import VideoModel
from vigil.stream.policy import Greedy, Policy, Threshold
from vigil.world.captions import describe
from vigil.world.chance import Split
from vigil.world.render import render
from vigil.world.scene import Scene

ASKED = ("where", "present", "count", "colour", "alert", "watch")
"""Kinds of question on the held-out scenes; on panels it is the colour of one item."""
TOKENS_PER_S = 4.0
THRESHOLDS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
"""Of P(silence), below which a tuned policy speaks."""
SILENT = Threshold(0.0)
"""Never speaks."""
COST_WEIGHT = "cost_0.3"
GUARANTEE = "answer_guarantee_1s"
LEAST_GUARANTEE = 0.95


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """Where the measurements of one run are kept."""

    run: Run

    @property
    def folder(self) -> Path:
        """Named by what is measured, so that other settings do not mix."""
        scale = self.run.scale
        names = ("scenes", "scene_s", "offline_videos", "l5_trials", "memory_frames", "text_tokens")
        text = json.dumps([{name: getattr(scale, name) for name in names}, asdict(Costs()), ASKED, TOKENS_PER_S])
        return self.run.folder / f"scores-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def json(self, name: str, make: Callable[[], Any]) -> Any:
        """A measurement, made where it is not there yet."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(make()))
        return json.loads(path.read_text(encoding="utf-8"))

    def logs(self, name: str, make: Callable[[int], Log], count: int) -> list[Log]:
        """Logs by number; those that are there are read back."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for number in range(count):
            path = folder / f"{number:04d}.log.jsonl"
            if not path.is_file():
                keep_log(path, make(number))
            found.append(read_log(path))
        return found


Held = tuple[Scene, Record, Truth]
"""A scene, the record of one conversation about it, and what should be said."""


@lru_cache(maxsize=4)
def held_out(scale: StudyScale, split: Split = "test") -> tuple[Held, ...]:
    """The scenes on which behaviour is measured, the same for every run.

    Half of them are panels; in half of those the item that is asked about changes, in the other half it never does.
    """
    count = scale.scenes if split == "test" else max(2, scale.scenes // 2)
    num_panels = count // 2 if scale.panel_share else 0
    config = BehaviourConfig(
        split=split,
        num_scenes=count - num_panels,
        duration_s=scale.scene_s,
        world=replace(scale.world, held_out=False),
        roles=ASKED,
    )
    found = [(scene, record, due(scene, record)) for scene, record in scenes(config)]
    panels = replace(config, num_scenes=10**9, world=replace(config.world, family="panel"), roles=("item",))
    wanted = {True: num_panels // 2, False: num_panels - num_panels // 2}
    for scene, record in scenes(panels) if num_panels else ():
        truth = due(scene, record)
        if wanted[is_constant(truth)] > 0:
            wanted[is_constant(truth)] -= 1
            found.append((scene, record, truth))
        if not any(wanted.values()):
            break
    return tuple(found)


def due(scene: Scene, record: Record) -> Truth:
    """What should be said about a scene in a conversation."""
    return parse_truth(json.dumps(row) for row in truth_of(record, describe(scene)))


def driven(run: Run, model: VideoModel, design: Design, *, costs: Costs = FREE, policy: Policy | None = None) -> Driven:
    """A trained model under a design, with the memory of its scale."""
    stream = {"memory_frames": run.scale.memory_frames, "text_tokens": run.scale.text_tokens}
    return Driven(model=model, design=design, costs=costs, policy=policy, name=run.folder.name, **stream)


def watched(shelf: Shelf, name: str, system: Callable[[], Driven], *, split: Split = "test") -> list[Pair]:
    """What a system says about the held-out scenes, and what it should have said."""
    held = held_out(shelf.run.scale, split)

    def make(number: int) -> Log:
        scene, record, _ = held[number]
        return watch(system(), record, render(scene), tokens_per_s=TOKENS_PER_S, end_s=scene.duration_s)

    logs = shelf.logs(name, make, len(held))
    return [(log, truth) for log, (_, _, truth) in zip(logs, held, strict=True)]


class Measured:
    """The measurements of one run; the model is loaded when the first one is missing."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.shelf = Shelf(run=run)
        self._model: VideoModel | None = None

    @property
    def model(self) -> VideoModel:
        """The trained model."""
        if self._model is None:
            torch.set_num_threads(1)
            self._model = self.run.load()
        return self._model

    def _system(self, design: Design, costs: Costs = FREE, policy: Policy | None = None) -> Callable[[], Driven]:
        return lambda: driven(self.run, self.model, design, costs=costs, policy=policy)

    def free(self, policy: Policy | None = None, name: str = "greedy") -> list[Pair]:
        """Held-out scenes, computing free of cost."""
        design: Design = "beside" if self.run.arm.fusion == "cross-attention" else "inserted"
        return watched(self.shelf, f"free-{name}", self._system(design, policy=policy or Greedy()))

    def costed(self, design: Design) -> list[Pair]:
        """The same scenes on the clock on which every token costs time."""
        return watched(self.shelf, f"cost-{design}", self._system(design, Costs(), Greedy()))

    def silent(self) -> list[Pair]:
        """The same scenes, forced to stay silent: what it would have liked to say."""
        return self.free(SILENT, "silent")

    def tuned(self) -> tuple[float, list[Pair]]:
        """The threshold with the least cost at the wanted guarantee on validation scenes, and its test scenes."""
        best = float(self.shelf.json("threshold", self._tune))
        return best, self.free(Threshold(best), f"threshold-{best}")

    def _tune(self) -> float:
        tried = []
        for threshold in THRESHOLDS:
            system = self._system("beside", policy=Threshold(threshold))
            pairs = watched(self.shelf, f"val-{threshold}", system, split="val")
            streams = [score(*pair) for pair in pairs]
            kept, cost = of_streams(GUARANTEE, streams).value, of_streams(COST_WEIGHT, streams).value
            tried.append(((kept or 0.0) < LEAST_GUARANTEE, math.inf if cost is None else cost, threshold))
        return min(tried)[2]

    def l5(self, design: Design) -> tuple[Scores, list[Scores]]:
        """Trial by trial, and those of the controls that see nothing."""
        rows = self.shelf.json(f"l5-{design}", lambda: self._play(design))
        scores = {
            name: Scores([[Outcome(**one) for one in trial] for trial in trials]) for name, trials in rows.items()
        }
        return scores[MAIN], [scores[name] for name in BLIND]

    def _play(self, design: Design) -> dict[str, list[list[dict[str, Any]]]]:
        config = L5Config(num_trials=self.run.scale.l5_trials, clock=VirtualClock(mode="cost"))
        todo = arms(self._system(design, Costs())(), BLIND)
        found: dict[str, list[list[dict[str, Any]]]] = {arm.name: [] for arm in todo}
        for _, done in play(todo, config, model=self.run.folder.name):
            for name, played in done.items():
                found[name].append([asdict(judge(*one, grace_s=config.grace_s)) for one in played])
        return found

    def offline(self) -> list[list[tuple[str, bool]]]:
        """Per video, (kind of question, whether the answer was right)."""
        found = self.shelf.json("offline", self._ask)
        return [[(kind, bool(right)) for kind, right in video] for video in found]

    def _ask(self) -> list[list[tuple[str, bool]]]:
        found = []
        for scene, records in asked_offline(self.run.scale):
            said = answers(self.model, render(scene), records)
            turns = [record.turns[0] for record in records]
            found.append([(turn.kind, is_right(text, turn)) for turn, text in zip(turns, said, strict=True)])
        return found


@lru_cache(maxsize=2)
def asked_offline(scale: StudyScale) -> tuple[tuple[Scene, list[Record]], ...]:
    """Held-out videos, each with all questions after it; as long as those of offline training."""
    config = OfflineConfig(
        num_questions=10**9, duration_s=float(sum(scale.frames) // 4), world=replace(scale.world, held_out=False)
    )
    return tuple(islice(questions(config), scale.offline_videos))


def guessed_offline(scale: StudyScale) -> list[list[tuple[str, bool]]]:
    """The same for a control that sees nothing: each kind's most common answer in the other folds of the videos."""
    asked = asked_offline(scale)
    common: dict[tuple[int, str], Counter[str]] = {}
    for number, (_, records) in enumerate(asked):
        for fold in set(range(FOLDS)) - {number % FOLDS}:
            for turn in (record.turns[0] for record in records):
                common.setdefault((fold, turn.kind), Counter())[turn.replies[-1].text] += 1
    guesses = {key: counter.most_common(1)[0][0] for key, counter in common.items()}
    return [
        [(turn.kind, is_right(guesses.get((number % FOLDS, turn.kind), ""), turn)) for turn in turns]
        for number, turns in enumerate([record.turns[0] for record in records] for _, records in asked)
    ]


def measure(run: Run, letters: Sequence[Letter]) -> None:
    """Make every measurement of a run that some studies ask for."""
    found = Measured(run)
    found.offline()
    asked = [(letter, arm) for letter in letters for arm in STUDIES[letter].arms if arm.key == run.arm.key]
    for letter, arm in asked:
        if letter == "A":
            found.costed(arm.design)
        if letter in "AB":
            found.l5(arm.design)
        if letter in "BC" or arm.key == STUDIES[letter].arms[0].key:
            found.free()
        if letter == "C":
            found.silent()
            found.tuned()
