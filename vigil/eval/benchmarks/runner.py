"""Runs a system and its controls through a benchmark, keeps every event log, and goes on where it was cut short.

    cases = limited(benchmark.read(folder), 5)
    arms = arms_of(benchmark, cases, model, "nano", config)
    played = play_all(cases, arms, videos, config, keeper=Keeper(out, setting))

Cases are played video by video, so that each video is decoded once. In a folder: `setting.json`, one event log per
stream in `logs/<system>/<scorer>/<case>/<stream>.jsonl`, `items.jsonl` (what each case came to) and `result.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from vigil.errors import MediaError, OutputError, SourceError
from vigil.eval.asking import Asker
from vigil.eval.baselines import AlwaysSilent, AlwaysTalk, ParseAttack
from vigil.eval.benchmarks.base import ANSWER_S, Case, Mark, Stream
from vigil.eval.benchmarks.watching import Video, blank_frames, unwatched, watch_stream
from vigil.eval.door import System, VirtualClock
from vigil.eval.folder import open_folder
from vigil.eval.l5.controls import no_pixels
from vigil.eval.log import Log, keep_log, read_log
from vigil.eval.recent import Answerer, recent_n
from vigil.eval.watcher import WatcherSystem
from vigil.model.model import VideoModel
from vigil.types import Frame

MAIN, ORACLE = "system", "oracle"
SEEING = ("text_only", "recent_4", "recent_16")
GENERIC = {"always_silent": AlwaysSilent, "always_talk": AlwaysTalk, "parse_attack": ParseAttack}
MANDATORY = (MAIN, *SEEING, *GENERIC)
"""No table is written without these rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """How streams are played."""

    fps: float = 1.0
    """Frames per second of video (Hz)."""
    token_s: float = 0.25
    """Seconds from one token to the next."""
    clock: Literal["free", "cost"] = "free"
    poll_hz: float = 0.5
    """How often recent-N is polled while a question is open (Hz)."""

    @property
    def virtual(self) -> VirtualClock:
        """The clock of every stream."""
        return VirtualClock(mode=self.clock, fps=self.fps, token_s=self.token_s)


@dataclass(frozen=True, slots=True)
class Arm:
    """One row of the table: what watches a stream of a case."""

    name: str
    system: Callable[[Case, Stream], System]
    sees: bool
    """False: frames need not be decoded."""


@dataclass(frozen=True, slots=True)
class Polled:
    """The model as recent-N polls it: offline, with answers as short as a strict answer may be."""

    model: VideoModel
    config: BenchConfig

    def answer(self, frames: Sequence[Frame], question: str) -> str:
        """Read the frames afresh, then answer."""
        asker = Asker(model=self.model, fps=self.config.fps)
        most = int(ANSWER_S / self.config.token_s)
        return asker.ask([frame.image for frame in frames], question, max_tokens=most)


def limited(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """The first so many of each task under each scorer; None: all."""
    seen: dict[tuple[str, str], int] = {}
    kept: list[Case] = []
    for case in cases:
        key = (case.scorer, case.task)
        seen[key] = seen.get(key, 0) + 1
        if limit is None or seen[key] <= limit:
            kept.append(case)
    return kept


def arms_of(cases: Sequence[Case], system: System, offline: Answerer, config: BenchConfig) -> list[Arm]:
    """The system, the controls that run its model, and those that see nothing: generic ones, rules, and the oracle."""
    recent = [recent_n(offline, n, poll_hz=config.poll_hz) for n in (4, 16)]
    seeing = [system, no_pixels(system), *recent]
    arms = [
        Arm(name, lambda case, stream, one=one: one, sees=name != "text_only")  # type: ignore[misc]
        for name, one in zip((MAIN, *SEEING), seeing, strict=True)
    ]
    return [*arms, *blind_arms(cases)]


def blind_arms(cases: Sequence[Case]) -> list[Arm]:
    """The controls that need neither a model nor a picture."""
    arms = [Arm(name, _generic(name), sees=False) for name in GENERIC]
    rules = dict.fromkeys(name for case in cases for name in case.blind)
    return [*arms, *(Arm(name, _rule(name), sees=False) for name in rules), Arm(ORACLE, _oracle, sees=False)]


def _generic(name: str) -> Callable[[Case, Stream], System]:
    return lambda case, stream: WatcherSystem(name, GENERIC[name])


def _rule(name: str) -> Callable[[Case, Stream], System]:
    def system(case: Case, stream: Stream) -> System:
        make = case.blind.get(name)
        return WatcherSystem(name, AlwaysSilent if make is None else lambda: make(stream))

    return system


def _oracle(case: Case, stream: Stream) -> System:
    return WatcherSystem(ORACLE, lambda: case.oracle(stream))


class Keeper:
    """The folder of a run; without one nothing is kept."""

    def __init__(self, folder: Path | None, setting: Mapping[str, Any]) -> None:
        """Open the folder.

        Raises:
            ConfigError: it holds a run with another setting. OutputError: it cannot be written.
        """
        self.folder = folder
        if folder is not None:
            open_folder(folder, setting)

    def recall(self, arm: str, case: Case, stream: Stream) -> Log | None:
        """The log of a stream that was played before."""
        path = self._path(arm, case, stream)
        return read_log(path) if path is not None and path.exists() else None

    def keep(self, arm: str, case: Case, stream: Stream, log: Log) -> None:
        """Store a log; it is there whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        path = self._path(arm, case, stream)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            keep_log(path, log)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}. Choose another folder.") from error

    def write(self, name: str, text: str) -> None:
        """Store a file of results."""
        if self.folder is not None:
            try:
                (self.folder / name).write_text(text, encoding="utf-8")
            except OSError as error:
                raise OutputError(f"{self.folder / name} cannot be written: {error.strerror}.") from error

    def _path(self, arm: str, case: Case, stream: Stream) -> Path | None:
        if self.folder is None:
            return None
        return self.folder / "logs" / arm / case.scorer / case.id / f"{stream.id}.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """What one arm made of one case."""

    arm: str
    case: Case
    mark: Mark
    hashes: tuple[str, ...] = ()
    """Of the event logs of the main system."""
    unseen: int = 0
    """Streams of which no frame could be decoded."""
    dropped: int = 0
    """Frames that were dropped."""

    def line(self) -> str:
        """One line of `items.jsonl`."""
        row = {
            "system": self.arm,
            "scorer": self.case.scorer,
            "item": self.case.id,
            "task": self.case.task,
            "video": self.case.video,
            "replies": list(self.mark.replies),
            "states": list(self.mark.states),
            "sums": dict(self.mark.sums),
            "unseen": self.unseen,
            "logs": list(self.hashes),
        }
        return json.dumps(row, ensure_ascii=False, sort_keys=True)


def play_all(
    cases: Sequence[Case],
    arms: Sequence[Arm],
    videos: Mapping[str, Path],
    config: BenchConfig,
    *,
    keeper: Keeper,
) -> Iterator[Played]:
    """Every case by every arm, video by video; cases that were played before are only scored again."""
    for name in dict.fromkeys(case.video for case in cases):
        video = Video(videos[name], config.fps) if name in videos else None
        for case in cases:
            if case.video == name:
                for arm in arms:
                    yield play_case(case, arm, video, config, keeper=keeper)


def play_case(case: Case, arm: Arm, video: Video | None, config: BenchConfig, *, keeper: Keeper) -> Played:
    """One case by one arm."""
    logs: list[Log] = []
    plan = case.play()
    stream = next(plan)
    while True:
        log = keeper.recall(arm.name, case, stream)
        if log is None:
            log = _play(arm.system(case, stream), stream, video if arm.sees else None, config)
            keeper.keep(arm.name, case, stream, log)
        logs.append(log)
        try:
            stream = plan.send(log)
        except StopIteration as done:
            return Played(
                arm=arm.name,
                case=case,
                mark=done.value,
                hashes=tuple(log.hash for log in logs) if arm.name == MAIN else (),
                unseen=sum(arm.sees and not log.frames for log in logs),
                dropped=sum(len(log.drops) for log in logs),
            )


def _play(system: System, stream: Stream, video: Video | None, config: BenchConfig) -> Log:
    frames = blank_frames(stream, config.fps) if video is None else video.frames(stream)
    try:
        return watch_stream(system, stream, frames, clock=config.virtual)
    except (MediaError, SourceError):
        return unwatched(system, stream, clock=config.virtual)


def setting_of(name: str, model: str, config: BenchConfig, annotations: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for a run to go on in a folder."""
    hashes = {path: found["sha256"] for path, found in annotations.items()}
    return {"benchmark": name, "model": model, "config": asdict(config), "annotations": hashes}


def items_text(played: Iterable[Played]) -> str:
    """The lines of `items.jsonl`."""
    return "".join(one.line() + "\n" for one in played)
