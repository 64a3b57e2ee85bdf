"""Captions in, checked records out: over worker processes, over Ray, or through a language model; resumable.

Every path does the same with the same function, `run_chunk`: write the records of some videos, check each against its
captions, keep those without fault and count the others by the rule they break. The random numbers of a video depend on
the seed and the video alone, so the output does not depend on the number of workers or on where a run was stopped.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import Any, Literal

from vigil.data.check import CheckConfig, check
from vigil.data.chunks import Parts, in_chunks
from vigil.data.moss import moss_sample
from vigil.data.records import Record
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.errors import ConfigError
from vigil.types import DenseCaptions
from vigil.world.captions import captions_from_json, captions_to_json

Chunk = tuple[int, list[DenseCaptions]]
_OTHER_EVENTS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineConfig:
    """How a file of records is made."""

    synth: SynthConfig = field(default_factory=SynthConfig)
    check: CheckConfig = field(default_factory=CheckConfig)
    seed: int = 0
    chunk_videos: int = 64
    """Videos per chunk: what is lost at most, per worker, when a run is stopped."""
    workers: int = 1
    """Processes; 1 works in this one."""
    form: Literal["records", "moss"] = "records"
    """Our records, or the released sample format."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.chunk_videos < 1:
            raise ConfigError(f"workers and chunk_videos must be 1 or more, got {self.workers}, {self.chunk_videos}.")
        if self.form not in ("records", "moss"):
            raise ConfigError(f'form must be "records" or "moss", got {self.form!r}.')
        if self.form == "moss" and self.synth.fps != 1.0:
            raise ConfigError(f"the moss form has 1 frame per second, got fps {self.synth.fps}.")


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What came out of one chunk."""

    number: int
    lines: list[str]
    """One JSON object each."""
    counts: Counter[str]
    """Of videos, "empty" ones that give nothing to ask, records kept, "rejected RULE" and "left out offline"."""


Writer = Callable[[DenseCaptions, random.Random], list[Record]]


def run_chunk(chunk: Chunk, config: PipelineConfig, write: Writer | None = None) -> ChunkResult:
    """Write and check the records of one chunk; `write` defaults to the rules."""
    number, videos = chunk
    counts: Counter[str] = Counter(videos=len(videos))
    lines: list[str] = []
    for captions in videos:
        rng = random.Random(f"{config.seed}:{captions.id}")
        records = write(captions, rng) if write else synthesize(captions, rng=rng, config=config.synth)
        counts["empty"] += not records
        for record in records:
            rules = {problem.rule for problem in check(record, captions, config.check)}
            for rule in sorted(rules):
                counts[f"rejected {rule}"] += 1
            if not rules and config.form == "moss" and record.offline:
                counts["left out offline"] += 1
            elif not rules:
                row = asdict(record) if config.form == "records" else moss_sample(record)
                lines.append(json.dumps(row, ensure_ascii=False))
                counts["records"] += 1
    return ChunkResult(number, lines, +counts)


def make_records(
    videos: Iterable[DenseCaptions],
    out: Path,
    config: PipelineConfig,
    *,
    source: str,
    run: Callable[[Iterator[Chunk], PipelineConfig], Iterator[ChunkResult]] | None = None,
    on_chunk: Callable[[ChunkResult], None] = lambda result: None,
) -> Counter[str]:
    """Make `out` from `videos`; take up where an earlier run of the same settings was stopped.

    Args:
        source: what identifies the input, such as its name and hash; a stopped run is only taken up with the same.
        run: how chunks become results; defaults to `config.workers` processes.
        on_chunk: told of each finished chunk, for progress.

    Returns:
        Counts over the whole file, chunks of earlier runs included.

    Raises:
        DataError: `out` has the parts of another run.
        OutputError: `out` cannot be written.
    """
    settings = asdict(replace(config, workers=1))
    parts = Parts(out, {"source": source, "settings": settings})
    run = run or run_workers
    todo = (chunk for chunk in in_chunks(videos, config.chunk_videos) if chunk[0] not in parts.done)
    for result in run(todo, config):
        parts.commit(result.number, result.lines, result.counts)
        on_chunk(result)
    return parts.finish()


def run_workers(chunks: Iterator[Chunk], config: PipelineConfig) -> Iterator[ChunkResult]:
    """Run chunks on processes, a few ahead of what is taken, in order; one process works in this one."""
    if config.workers == 1:
        for chunk in chunks:
            yield run_chunk(chunk, config)
        return
    with multiprocessing.get_context("spawn").Pool(config.workers, initializer=_ignore_interrupt) as pool:
        ahead: deque[AsyncResult[ChunkResult]] = deque()
        for chunk in chunks:
            ahead.append(pool.apply_async(run_chunk, (chunk, config)))
            if len(ahead) > 2 * config.workers:
                yield ahead.popleft().get()
        while ahead:
            yield ahead.popleft().get()


def run_ray(chunks: Iterator[Chunk], config: PipelineConfig) -> Iterator[ChunkResult]:
    """Run chunks as a Ray Data map over the machines of a cluster (extra `scale`).

    Raises:
        ConfigError: Ray is not installed.
    """
    try:
        import ray.data
    except ImportError as error:
        raise ConfigError("Ray is not installed. Install the extra: pip install 'vigil-video[scale]'.") from error
    rows = ray.data.from_items(
        [{"number": number, "videos": json.dumps([captions_to_json(v) for v in videos])} for number, videos in chunks]
    )
    for row in rows.map(partial(_run_row, config=config)).iter_rows():
        yield ChunkResult(row["number"], json.loads(row["lines"]), Counter(json.loads(row["counts"])))


def _run_row(row: dict[str, Any], *, config: PipelineConfig) -> dict[str, Any]:
    """`run_chunk` as Ray calls it; both ways as JSON, which its tables carry unchanged."""
    videos = [captions_from_json(video) for video in json.loads(row["videos"])]
    result = run_chunk((row["number"], videos), config)
    return {"number": result.number, "lines": json.dumps(result.lines), "counts": json.dumps(result.counts)}


def with_other_events(config: SynthConfig, videos: Iterable[DenseCaptions], seed: int) -> SynthConfig:
    """Take sentences of captions without facts, so that other videos can be asked for what never happens in them."""
    texts = sorted({c.text for video in videos if not video.states for c in video.captions if c.level != "video"})
    chosen = random.Random(f"{seed}:events").sample(texts, min(len(texts), _OTHER_EVENTS))
    return replace(config, other_events=tuple(sorted(chosen)))


def hash_of(path: Path) -> str:
    """SHA-256 of a file, to tell a changed input from the same one."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _ignore_interrupt() -> None:
    """Ctrl-C is for the parent: it stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
