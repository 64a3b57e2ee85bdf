"""Runs studies: trains what is missing, measures what is missing, then writes tables, pictures and docs/study.md.

Stopped at any moment, the same call goes on where it was: inside a training run, between runs and measurements.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from vigil.eval.study.arms import STUDIES, Arm, Letter, arms_of
from vigil.eval.study.designs import frame_multiplications
from vigil.eval.study.page import Times, keep, section, write_page
from vigil.eval.study.results import Results
from vigil.eval.study.scale import StudyScale
from vigil.eval.study.scoring import Measured, measure
from vigil.eval.study.tables import FrameCost
from vigil.eval.study.timing import timed
from vigil.eval.study.training import Run, make_tokenizer, train
from vigil.model.model import VideoModel


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyJob:
    """What to run, and where."""

    letters: tuple[Letter, ...]
    scale: StudyScale
    out: Path
    """Folder of all runs."""
    docs: Path
    """Folder of the page."""
    processes: int = 1
    """Runs that train at one time, each with one thread."""


def runs_of(job: StudyJob) -> tuple[list[Run], list[Run]]:
    """(bases, arms): the runs that a job needs, each once."""
    arms = arms_of(job.letters)
    runs = [Run(scale=job.scale, arm=arm, seed=seed, out=job.out) for seed in range(job.scale.seeds) for arm in arms]
    bases = {run.base.folder: run.base for run in runs}
    return list(bases.values()), [run for run in runs if not run.arm.is_base]


def run_studies(job: StudyJob) -> Path:
    """Do all of it; returns the page."""
    make_tokenizer(job.scale, job.out)
    bases, runs = runs_of(job)
    _each(job, "train", [run for run in bases if not run.is_trained], train)
    _each(job, "train", [run for run in runs if not run.is_trained], train)
    _each(job, "measure", [*bases, *runs], _Measure(job.letters))
    for letter in job.letters:
        results = Results(letter, job.scale, job.out)
        times = _times(results) if letter == "A" else {}
        sizes = {arm.label: parameters(job, arm) for arm in results.study.arms}
        text = section(results, times, job.docs, parameters=sizes, costs_of=_frame_costs(job, results))
        keep(results, times, job.out, text)
    return write_page(job.scale, job.out, job.docs)


@dataclass(frozen=True)
class _Measure:
    letters: tuple[Letter, ...]

    def __call__(self, run: Run) -> None:
        measure(run, self.letters)


def _each(job: StudyJob, verb: str, runs: Sequence[Run], work: Callable[[Run], None]) -> None:
    """Do something to every run, several at a time, and say what is done."""
    with _one_thread():
        if job.processes == 1:
            for number, run in enumerate(runs, start=1):
                start = time.monotonic()
                work(run)
                _say(verb, number, len(runs), run, time.monotonic() - start)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(job.processes, mp_context=context) as pool:
            coming = {pool.submit(_timed, work, run): run for run in runs}
            for number, done in enumerate(as_completed(coming), start=1):
                _say(verb, number, len(runs), coming[done], done.result())


def _timed(work: Callable[[Run], None], run: Run) -> float:
    start = time.monotonic()
    work(run)
    return time.monotonic() - start


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for this process and for those that it starts."""
    before, threads = os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _say(verb: str, number: int, whole: int, run: Run, seconds: float) -> None:
    print(f"{verb} {number}/{whole}  {run.folder.name}  {seconds:.0f} s", file=sys.stderr, flush=True)


def _times(results: Results) -> Times:
    """Speed of every arm and seed; long streams of the first seed. In this process alone, one after the other."""
    with _one_thread():
        return {
            arm.label: [
                timed(Measured(results.run(arm, seed)), arm.design, with_lengths=seed == 0)
                for seed in range(results.scale.seeds)
            ]
            for arm in results.study.arms
        }


def parameters(job: StudyJob, arm: Arm) -> int:
    """How many parameters an arm's network has."""
    model = VideoModel(job.scale.model(make_tokenizer(job.scale, job.out), arm.fusion))
    return sum(param.numel() for param in model.parameters())


def _frame_costs(job: StudyJob, results: Results) -> dict[str, FrameCost]:
    tokenizer = make_tokenizer(job.scale, job.out)
    configs = {arm.label: job.scale.model(tokenizer, arm.fusion) for arm in results.study.arms}
    return {label: FrameCost(frame_multiplications(c), c.kv_bytes_per_frame) for label, c in configs.items()}


def plan(job: StudyJob) -> list[str]:
    """What would be trained: parameters, steps and samples of every arm; nothing is trained."""
    lines = []
    bases, runs = runs_of(job)
    scale = job.scale
    for fusion, arm in {arm.fusion: arm for arm in arms_of(job.letters)}.items():
        config = scale.model(make_tokenizer(scale, job.out), fusion)
        lines.append(f"{fusion}: {parameters(job, arm):,} parameters, {config.kv_bytes_per_frame:,} KV bytes per frame")
    lines += [f"{letter}: {'; '.join(arm.label for arm in STUDIES[letter].arms)}" for letter in job.letters]
    for stage in (*scale.base(0), scale.realtime(0)):
        videos, (few, many) = stage.steps * stage.videos_per_step, stage.frames
        lines.append(f"{stage.name}: {stage.steps:,} steps, {videos:,} videos of {few} to {many} frames")
    left = sum(not run.is_trained for run in (*bases, *runs))
    counts = f"{len(bases)} bases and {len(runs)} real-time runs"
    return [*lines, f"{scale.seeds} seeds: {counts}, {left} of them not trained yet"]
