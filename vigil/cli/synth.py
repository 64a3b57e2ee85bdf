"""`vigil synth`: make records of real-time question answering from captions, and check them."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from vigil.cli import EXIT_CODES
from vigil.cli.parser import Parser, count, positive
from vigil.errors import ConfigError, DataError, OutputError, SourceError

if TYPE_CHECKING:
    from vigil.data.pipeline import Chunk, ChunkResult, PipelineConfig
    from vigil.data.records import Record
    from vigil.types import DenseCaptions

    Runner = Callable[[Iterator[Chunk], PipelineConfig], Iterator[ChunkResult]]

HELP = f"""\
usage: vigil synth CAPTIONS --out FILE [--format records|moss] [--seed N]
                   [--per-video N] [--fps HZ] [--workers N] [--ray]
                   [--llm URL --model NAME [--cache FOLDER]]
       vigil synth check FILE [--captions FILE] [--report FOLDER]

Write questions and timed answers about captioned videos, each proven against
the captions; or check a file of them and report what it holds.

  CAPTIONS         .jsonl .json .vtt .srt, or world:SPLIT:FIRST-LAST
  --out FILE       JSONL to write; a stopped run goes on where it was
  --format NAME    records (ours) or moss (released form) (default: records)
  --seed N         same seed, same file (default: 0)
  --per-video N    conversations per video (default: 4)
  --fps HZ         frames per second of video (default: 1.0)
  --workers N      processes (default: 1)
  --ray            work on a Ray cluster (extra scale)
  --llm URL        let a model behind an OpenAI-compatible URL write
  --model NAME     its name there
  --cache FOLDER   keep its answers here (default: FILE.cache)
  --captions FILE  captions that the records in FILE were made from
  --report FOLDER  write report.json and report.png

examples:
  vigil synth world:train:0-999 --out train.jsonl
  vigil synth check train.jsonl --captions world:train:0-999 --report report

{EXIT_CODES}
"""
_SHOWN = 20
_LOOKED_AT = 500
"""Videos whose sentences are used to ask other videos for what never happens there."""


def parser() -> Parser:
    """The flags of `vigil synth`."""
    flags = Parser("synth", HELP)
    flags.add_argument("what", metavar="CAPTIONS", nargs="+")
    flags.add_argument("--out", type=Path, metavar="FILE")
    flags.add_argument("--format", choices=("records", "moss"), default="records", dest="form")
    flags.add_argument("--seed", type=int, default=0, metavar="N")
    flags.add_argument("--per-video", type=count, default=4, metavar="N")
    flags.add_argument("--fps", type=positive, default=1.0, metavar="HZ")
    flags.add_argument("--workers", type=count, default=1, metavar="N")
    flags.add_argument("--ray", action="store_true")
    flags.add_argument("--llm", metavar="URL")
    flags.add_argument("--model", metavar="NAME")
    flags.add_argument("--cache", type=Path, metavar="FOLDER")
    flags.add_argument("--captions", metavar="FILE")
    flags.add_argument("--report", type=Path, metavar="FOLDER")
    return flags


def run(args: argparse.Namespace) -> None:
    """Make records, or check them.

    Raises:
        VigilError: see the exit codes; a file with faults is a `DataError`.
    """
    if args.what[0] == "check" and len(args.what) == 2:
        _check(Path(args.what[1]), args)
    elif len(args.what) == 1 and args.what[0] != "check":
        _write(args.what[0], args)
    else:
        raise ConfigError(f"one CAPTIONS or check FILE is wanted, got {' '.join(args.what)}. Run vigil synth --help.")


def _write(source: str, args: argparse.Namespace) -> None:
    from vigil.data.pipeline import PipelineConfig, make_records, run_ray, run_workers, with_other_events
    from vigil.data.synthesize import SynthConfig

    if args.out is None:
        raise ConfigError("--out is missing. Name the JSONL file to write.")
    if args.out.is_symlink() or (args.out.exists() and not args.out.is_file()):
        raise OutputError(f"{args.out} is no regular file, and --out replaces what it names. Choose another --out.")
    if bool(args.llm) != bool(args.model):
        raise ConfigError("--llm and --model go together. Give both, or neither for the rules.")
    synth = SynthConfig(fps=args.fps, records_per_video=args.per_video)
    skipped: Counter[str] = Counter()
    if not source.startswith("world:"):
        synth = with_other_events(synth, islice(_videos(source, Counter()), _LOOKED_AT), args.seed)
    config = PipelineConfig(synth=synth, seed=args.seed, workers=args.workers, form=args.form)
    chunks: Runner = run_ray if args.ray else run_workers
    identity = _identity(source)
    if args.llm:
        chunks, identity = _model_writer(args, config), f"{identity} {args.llm} {args.model}"
    started_s = time.perf_counter()
    with _Progress(sys.stderr) as progress:
        try:
            videos = _videos(source, skipped)
            counts = make_records(videos, args.out, config, source=identity, run=chunks, on_chunk=progress.add)
        except KeyboardInterrupt:
            progress.close()
            print("vigil: stopped; run the same command again to go on.", file=sys.stderr)
            raise
    wall_s = time.perf_counter() - started_s
    print(f"{args.out}: {counts['records']} records of {counts['videos']} videos in {wall_s:.1f} s", file=sys.stderr)
    for reason in sorted(counts.keys() - {"records", "videos"}):
        print(f"  {reason}: {counts[reason]}", file=sys.stderr)
    for reason, number in sorted(skipped.items()):
        print(f"  skipped: {number} {reason}", file=sys.stderr)
    if args.report:
        from vigil.data.records import read_records

        _report(read_records(args.out), args.report)


def _model_writer(args: argparse.Namespace, config: PipelineConfig) -> Runner:
    from vigil.data.llm import LlmConfig, LlmWriter

    cache = args.cache or args.out.with_name(args.out.name + ".cache")
    return LlmWriter(LlmConfig(url=args.llm, model=args.model, cache=cache), config).run


def _check(path: Path, args: argparse.Namespace) -> None:
    from vigil.data.check import Problem, check_all
    from vigil.data.records import read_records

    if not path.is_file():
        raise SourceError(f"there is no file {path}. Name a JSONL file of records.")
    started_s = time.perf_counter()
    broken: list[str] = []
    records = list(read_records(path, broken=broken))
    captions = {video.id: video for video in _videos(args.captions, Counter())} if args.captions else _own(records)
    if not records and not broken:
        raise DataError(f"{path.name} holds no record. Name a JSONL file that vigil synth wrote.")
    problems = [Problem("file", -1, "shape", message) for message in broken] + check_all(records, captions)
    wall_s = time.perf_counter() - started_s
    for problem in problems[:_SHOWN]:
        print(problem)
    if len(problems) > _SHOWN:
        print(f"... and {len(problems) - _SHOWN} more")
    if args.report:
        _report(records, args.report)
    rules = Counter(problem.rule for problem in problems)
    told = ", ".join(f"{rule} {n}" for rule, n in rules.most_common()) or "no fault"
    against = "against their captions" if captions else "in shape and rate only (no --captions)"
    print(f"{len(records)} records checked {against} in {wall_s:.1f} s: {told}", file=sys.stderr)
    if problems:
        raise DataError(f"{path.name} has {len(problems)} faults. They are listed above.")


def _own(records: Iterable[Record]) -> dict[str, DenseCaptions]:
    """Captions of the scenes that records were drawn from, as far as the scene's own length is the record's."""
    from vigil.world.captions import describe
    from vigil.world.scene import scene_from_id

    captions: dict[str, DenseCaptions] = {}
    for record in records:
        if record.video.startswith("world:") and record.video not in captions:
            scene = scene_from_id(record.video)
            if scene.duration_s == record.duration_s:
                captions[record.video] = describe(scene)
    return captions


def _report(records: Iterable[Record], folder: Path) -> None:
    from vigil.data.report import measure, write_report

    print(f"report: {write_report(measure(records), folder)}", file=sys.stderr)


def _videos(source: str, skipped: Counter[str]) -> Iterable[DenseCaptions]:
    """Captions of a file, or of a range of world scenes such as "world:train:0-999"."""
    if source.startswith("world:"):
        return _scenes(source)
    path = Path(source)
    if not path.is_file():
        raise SourceError(f"there is no caption file {source}. Name a file, or world:SPLIT:FIRST-LAST.")
    from vigil.data.formats import read_captions

    return read_captions(path, skipped=skipped)


def _scenes(source: str) -> Iterator[DenseCaptions]:
    from vigil.world.captions import describe
    from vigil.world.scene import scene_from_id

    prefix, _, span = source.rpartition(":")
    first, _, last = span.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) < int(first):
        raise DataError(f"{source!r} is no range of scenes. Write world:SPLIT:FIRST-LAST, such as world:train:0-999.")
    scene_from_id(f"{prefix}:{first}")  # a wrong name is found before anything is written
    return (describe(scene_from_id(f"{prefix}:{seed}")) for seed in range(int(first), int(last or first) + 1))


def _identity(source: str) -> str:
    """What makes a stopped run the same as this one."""
    if source.startswith("world:"):
        return source
    from vigil.data.pipeline import hash_of

    path = Path(source)
    return f"{path.name} {hash_of(path)}"


class _Progress:
    """A line of progress on a terminal; nothing where there is none."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(file=stream), disable=not stream.isatty())
        self._task = self._bar.add_task("starting", total=None)
        self._videos = self._records = self._rejected = 0
        self._started_s = time.perf_counter()

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, result: ChunkResult) -> None:
        """Count a finished chunk."""
        self._videos += result.counts["videos"]
        self._records += result.counts["records"]
        self._rejected += sum(n for reason, n in result.counts.items() if reason.startswith("rejected"))
        rate = self._records / max(time.perf_counter() - self._started_s, 1e-9)
        text = f"{self._videos:,} videos, {self._records:,} records ({rate:,.0f}/s), {self._rejected:,} rejected"
        self._bar.update(self._task, description=text)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bar.stop()
