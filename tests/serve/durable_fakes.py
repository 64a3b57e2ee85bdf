"""A disk that fails on demand and forgets what was not synced, clocks that stand still, a checker of promises."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vigil.serve.disk import Clock, Files
from vigil.serve.durable import Entry, Gap, SessionLog, Store, StoreConfig

CREATED = {"type": "session.created", "model": "nano", "system": "Be brief."}


class Disk(Files):
    """The real file system with a page cache that can be lost, a limited size, and errors by order."""

    def __init__(self) -> None:
        self._room: int | None = None
        self._lock = threading.Lock()
        self.piece: int | None = None
        """Bytes that one `write` takes at most."""
        self.fails: dict[str, int] = {}
        """Error number by the name of a call."""
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda call: None
        self._paths: dict[int, Path] = {}
        self._safe: dict[Path, int] = {}
        self._unsafe_names: set[Path] = set()

    @property
    def room(self) -> int | None:
        """Bytes that can still be written; None: any number."""
        return self._room

    @room.setter
    def room(self, room: int | None) -> None:
        with self._lock:
            self._room = room

    def _use(self, num_bytes: int) -> None:
        if self._room is not None:
            self._room -= num_bytes

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)
        if name in self.fails:
            raise OSError(self.fails[name], os.strerror(self.fails[name]))

    def create(self, path: Path) -> int:
        self._call("create")
        fd = super().create(path)
        self._paths[fd], self._safe[path] = path, 0
        return fd

    def open(self, path: Path) -> int:
        self._call("open")
        fd = super().open(path)
        self._paths[fd] = path
        self._safe.setdefault(path, path.stat().st_size)
        return fd

    def write(self, fd: int, data: bytes) -> int:
        self._call("write")
        with self._lock:
            if self._room == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = super().write(fd, data[: self._room][: self.piece])
            self._use(written)
        return written

    def datasync(self, fd: int) -> None:
        self._call("datasync")
        self._safe[self._paths[fd]] = os.fstat(fd).st_size

    def truncate(self, fd: int, size: int) -> None:
        self._call("truncate")
        with self._lock:
            self._use(size - os.fstat(fd).st_size)
        super().truncate(fd, size)
        path = self._paths[fd]
        self._safe[path] = min(self._safe[path], size)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        super().rename(old, new)
        if old in self._safe:
            self._safe[new] = self._safe.pop(old)
            self._paths = {fd: new if path == old else path for fd, path in self._paths.items()}
            self._unsafe_names.add(new)

    def unlink(self, path: Path) -> None:
        size = path.stat().st_size
        super().unlink(path)
        self._safe.pop(path, None)
        with self._lock:
            self._use(-size)

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder")
        self._unsafe_names = {name for name in self._unsafe_names if name.parent != path}

    def free_bytes(self, path: Path) -> int:
        return super().free_bytes(path) if self.room is None else self.room

    def lose_power(self, chance: random.Random | None = None) -> None:
        """Forget what was not synced; with `chance`, keep a random part of it, with a random hole in it."""
        for path, safe in self._safe.items():
            if path in self._unsafe_names or not path.exists():
                path.unlink(missing_ok=True)
                continue
            data = path.read_bytes()
            rest = bytearray(data[safe:])
            if chance is not None and rest:
                del rest[chance.randrange(len(rest) + 1) :]
                if rest and chance.random() < 0.5:
                    start = chance.randrange(len(rest))
                    rest[start : start + 512] = bytes(len(rest[start : start + 512]))
                path.write_bytes(data[:safe] + rest)
            else:
                path.write_bytes(data[:safe])


class Time:
    """Two clocks that only move when they are told to."""

    def __init__(self) -> None:
        self.mono_s = 1000.0
        self.wall_s = 1_800_000_000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.mono_s, lambda: self.wall_s)

    def pass_s(self, seconds: float) -> None:
        """Time goes on."""
        self.mono_s += seconds
        self.wall_s += seconds


def open_store(folder: Path | None, *, files: Files | None = None, time: Time | None = None, **config: Any) -> Store:
    """A store on a disk whose syncs cost nothing, without waiting, and without a ballast unless it is asked for."""
    defaults = {"group_s": 0.0, "ballast_bytes": 0, "low_bytes": 0, "critical_bytes": 0}
    return Store(folder, StoreConfig(**{**defaults, **config}), files=files or Disk(), clock=time and time.clock())


def note(i: int) -> dict[str, Any]:
    """An event that says its number."""
    return {"type": "note", "i": i, "text": "x" * (i % 40)}


def fill(log: SessionLog, count: int, *, start: int = 0) -> dict[int, str]:
    """Append events one group at a time; what was acknowledged, as seq to JSON."""
    acknowledged = {}
    for i in range(start, start + count):
        appended = log.append(note(i))
        acknowledged[appended.durable.result(20)] = appended.entry.json
    return acknowledged


def problems(acknowledged: dict[int, str], log: SessionLog) -> list[str]:
    """What breaks the promises E1 to E3: acknowledged events that are lost or differ, gaps, doubles."""
    items = list(log.replay(after=0))
    found = [f"gap {item.first} to {item.last}: {item.reason}" for item in items if isinstance(item, Gap)]
    entries = [item for item in items if isinstance(item, Entry)]
    seqs = [entry.seq for entry in entries]
    if seqs != list(range(1, len(seqs) + 1)):
        found.append(f"numbers are not 1 to {len(seqs)}")
    found += [f"{entry.seq} is numbered {entry.event['seq']}" for entry in entries if entry.event["seq"] != entry.seq]
    there = {entry.seq: entry.json for entry in entries}
    found += [f"event {seq} is lost" for seq in acknowledged if seq not in there]
    found += [f"event {seq} differs" for seq, json in acknowledged.items() if there.get(seq, json) != json]
    return found


def after_crash(folder: Path, acknowledged: dict[int, str], *, files: Files | None = None) -> list[str]:
    """Take the only session of a folder up, as the next process would, and check it."""
    with open_store(folder, files=files) as store:
        recovered = store.recover()
        if len(recovered) != 1:
            return [f"{len(recovered)} sessions came back"]
        return problems(acknowledged, recovered[0].log)
