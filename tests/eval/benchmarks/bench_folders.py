"""Data folders of the size of a test: our own annotations in each benchmark's record format, and seconds of video."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vigil.eval.baselines import AlwaysSilent
from vigil.eval.benchmarks import benchmark
from vigil.eval.benchmarks.base import Case, Mark, Stream
from vigil.eval.benchmarks.rules import Replies, Timetable
from vigil.eval.benchmarks.runner import Arm, BenchConfig, Keeper, Played, blind_arms, play_all, play_case
from vigil.eval.benchmarks.table import Tallies
from vigil.eval.watcher import Watcher, WatcherSystem
from vigil.world.render import write_video

FIXTURES = Path(__file__).parents[2] / "fixtures" / "benchmarks"
VIDEO_S = 20
NOTHING = Keeper(None, {})


def folder_of(name: str, tmp_path: Path, *, with_videos: bool = False) -> Path:
    """A copy of the annotations of one benchmark; with a video of 20 grey frames for each that they name."""
    folder = tmp_path / name
    shutil.copytree(FIXTURES / name, folder)
    if with_videos:
        frames_FHWC = np.zeros((VIDEO_S, 32, 32, 3), dtype=np.uint8)
        frames_FHWC += np.arange(VIDEO_S, dtype=np.uint8)[:, None, None, None] * 10
        for video in {case.video.removeprefix("./") for case in benchmark(name).read(folder)}:
            path = folder / video
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(frames_FHWC, 1.0, path, scale=1)
    return folder


def blind_scores(name: str, folder: Path) -> dict[tuple[str, str, str], float | None]:
    """(system, scorer, score) -> value, of everything that needs no picture."""
    cases = benchmark(name).read(folder)
    return scores_of(name, cases, play_all(cases, blind_arms(cases), {}, BenchConfig(), keeper=NOTHING))


def scores_of(name: str, cases: Sequence[Case], played: Iterable[Played]) -> dict[tuple[str, str, str], float | None]:
    """(system, scorer, score) -> value."""
    found: dict[tuple[str, str, str], Any] = {}
    done = list(played)
    for score in benchmark(name).scores(cases):
        for arm in dict.fromkeys(one.arm for one in done):
            own = [one for one in done if one.arm == arm and score.scorer in one.case.served]
            found[arm, score.scorer, score.name] = Tallies(own).value(score)
    return found


@cache
def cases_of(name: str) -> dict[tuple[str, str], Case]:
    """(id, scorer) -> case, of our annotations."""
    return {(case.id, case.scorer): case for case in benchmark(name).read(FIXTURES / name)}


Make = Callable[[Stream], Watcher]
"""The watcher of each stream of a case."""


def mark_of(case: Case, make: Make) -> Mark:
    """Play one case without a picture."""
    arm = Arm("x", lambda case, stream: WatcherSystem("x", lambda: make(stream)), sees=False)
    return play_case(case, arm, None, BenchConfig(), keeper=NOTHING).mark


def sums_of(name: str, item: str, scorer: str, make: Make, *keys: str) -> list[float]:
    """Some tallies of one case."""
    sums = mark_of(cases_of(name)[item, scorer], make).sums
    return [sums[key] for key in keys]


def replying(*texts: str) -> Make:
    """The k-th stream of a case is answered with the k-th text; after the last, nothing."""
    left = list(texts)

    def make(stream: Stream) -> Watcher:
        text = left.pop(0) if left else ""
        return Replies([text]) if text else AlwaysSilent()

    return make


def saying(*entries: tuple[float, str]) -> Make:
    """Says each text at its time of the stream."""
    return lambda stream: Timetable(list(entries))
