"""A process that writes events until it is killed, and says on stdout what was acknowledged.

    python durable_writer.py FOLDER SEED [lying]

Each line of `FOLDER/synced.txt` is the name and size of a file after a sync: what a power cut would have left. `lying`:
events are acknowledged before their own sync has happened.
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


def main(folder: Path, seed: int, *, lies: bool) -> None:
    """Write for ever."""
    chance = random.Random(seed)
    config = StoreConfig(group_s=0.0005, segment_bytes=20_000, ballast_bytes=0, low_bytes=0, critical_bytes=0)
    store = Store(folder, config, files=Noted(folder, lies=lies))
    recovered = store.recover()
    log = recovered[0].log if recovered else store.create({"type": "session.created", "model": "nano"})
    while True:
        appended = log.append({"type": "note", "i": chance.randrange(10**9), "text": "é" * chance.randrange(60)})
        line = f"{appended.seq} {appended.entry.json}\n".encode()
        appended.durable.add_done_callback(lambda done, line=line: os.write(1, line))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), lies=sys.argv[3:] == ["lying"])
