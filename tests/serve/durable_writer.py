"""A process that writes events until it is killed, and says on stdout what was acknowledged.

    python durable_writer.py FOLDER SEED [lying] [real]

Each line of `FOLDER/synced.txt` is the name and size of a file after a sync: what a power cut would have left. `lying`:
events are acknowledged before their own sync has happened. `real`: syncs are those of the system, and nothing is noted.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from vigil.serve.disk import Files
from vigil.serve.durable import Store, StoreConfig


class Noted(Files):
    """Notes the size of each file when it is synced; a liar syncs what the call before should have."""

    def __init__(self, folder: Path, *, lies: bool) -> None:
        folder.mkdir(exist_ok=True)
        self._notes = os.open(folder / "synced.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._lies = lies
        self._sizes: dict[int, int] = {}

    def write(self, fd: int, data: bytes) -> int:
        return super().write(fd, data[:64])  # in pieces, so that a kill finds lines half written

    def datasync(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        safe = self._sizes.get(fd, size) if self._lies else size
        self._sizes[fd] = size
        os.write(self._notes, f"{Path(f'/proc/self/fd/{fd}').readlink()} {safe}\n".encode())

    def sync_folder(self, path: Path) -> None:
        """Nothing: most kills would find the writer waiting here, where nothing is at risk."""

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        os.write(self._notes, f"{new} {new.stat().st_size}\n".encode())


class Forgetful(Files):
    """Takes what the page cache holds for safe."""

    def datasync(self, fd: int) -> None:
        """Nothing."""


def main(folder: Path, seed: int, files: Files) -> None:
    """Write until the disk takes no more."""
    chance = random.Random(seed)
    config = StoreConfig(group_s=0.0005, segment_bytes=20_000, ballast_bytes=0, low_bytes=0, critical_bytes=0)
    store = Store(folder, config, files=files)
    recovered = store.recover()
    log = recovered[0].log if recovered else store.create({"type": "session.created", "model": "nano"})
    while True:
        appended = log.append({"type": "note", "i": chance.randrange(10**9), "text": "é" * chance.randrange(60)})
        line = f"{appended.seq} {appended.entry.json}\n".encode()
        appended.durable.add_done_callback(lambda done, line=line: done.exception() or os.write(1, line))


if __name__ == "__main__":
    place, lies = Path(sys.argv[1]), "lying" in sys.argv[3:]
    real = Forgetful() if lies else Files()
    main(place, int(sys.argv[2]), real if "real" in sys.argv[3:] else Noted(place, lies=lies))
