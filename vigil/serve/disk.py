"""System calls of the event log in one place, so that tests can make them fail, and the guard of the free space."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from vigil.errors import StorageError
from vigil.serve.store_config import StoreConfig

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW
_CHUNK = b"\0" * (1 << 20)


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks of a log. Waiting and ageing use `mono`; `wall` is only written down."""

    mono: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Files:
    """What the log asks of the operating system. Every method raises `OSError` as the system gave it."""

    def create(self, path: Path) -> int:
        """Make a new file that only its owner can read (0600), and open it for appending."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)

    def open(self, path: Path) -> int:
        """Open a file for appending and cutting; never through a symbolic link."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | _OPEN)

    def write(self, fd: int, data: bytes) -> int:
        """Write some of `data`; return how much."""
        return os.write(fd, data)

    def datasync(self, fd: int) -> None:
        """Return when the data is on the medium."""
        if sys.platform == "darwin":
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(fd, size)

    def close(self, fd: int) -> None:
        """Close a file."""
        os.close(fd)

    def make_folder(self, path: Path) -> None:
        """Make a folder that only its owner can enter (0700)."""
        path.mkdir(mode=0o700)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or a folder another name."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def sync_folder(self, path: Path) -> None:
        """Return when the names in a folder are on the medium."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_bytes(self, path: Path) -> int:
        """Space that is left for us."""
        usage = os.statvfs(path)
        return usage.f_bavail * usage.f_frsize


def open_to_read(path: Path) -> BinaryIO:
    """Open a regular file for reading, never through a symbolic link."""
    fd = os.open(path, os.O_RDONLY | _OPEN)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(fd, "rb")


def write_all(files: Files, fd: int, data: bytes) -> None:
    """Write all of `data`, also where the system takes it in pieces."""
    rest = memoryview(data)
    while rest:
        written = files.write(fd, bytes(rest))
        if written <= 0:
            raise OSError(errno.EIO, "nothing was written")
        rest = rest[written:]


def sync_folder(files: Files, folder: Path) -> None:
    """Sync a folder; a failure gets the number EIO, since what the medium holds is then not known."""
    try:
        files.sync_folder(folder)
    except OSError as error:
        raise OSError(errno.EIO, f"fsync of a folder failed: {error.strerror}") from error


Condition = Literal["ok", "low", "critical", "full", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the storage is. Anything but "ok" and "low" means: not ready for new sessions."""

    state: Condition
    """low: recordings stop and the oldest sessions expire. critical: no new sessions. full: the log waits for space.
    failed: a session has become read-only."""
    free_bytes: int
    cause: str = ""

    @property
    def takes_sessions(self) -> bool:
        """Whether a new session may begin."""
        return self.state in ("ok", "low")


class Guard:
    """Keeps a ballast file that is given up when the disk is full, and says how much space is left."""

    def __init__(self, files: Files, folder: Path | None, config: StoreConfig) -> None:
        self._files = files
        self._folder = folder
        self._config = config
        self._ballast = None if folder is None else folder / "ballast"
        self._lock = threading.Lock()
        self.is_full = False
        """The log is waiting for space."""

    def health(self, bytes_per_s: float = 0.0) -> Health:
        """How much is left, against what an hour at this rate needs. Refills the ballast once there is room for it.

        Raises:
            StorageError: the folder is gone.
        """
        if self._folder is None:
            return Health(state="ok", free_bytes=sys.maxsize)
        try:
            free = self._files.free_bytes(self._folder)
        except OSError as error:
            raise StorageError(f"the log folder {self._folder} cannot be reached: {error.strerror}.") from error
        if self.is_full:
            return Health(state="full", free_bytes=free, cause="no space left")
        if free >= self._config.critical_bytes + self._config.ballast_bytes:
            self.hold()
        if free < self._config.critical_bytes:
            return Health(state="critical", free_bytes=free, cause="almost no space left")
        if free < max(self._config.low_bytes, 3600 * bytes_per_s):
            return Health(state="low", free_bytes=free, cause="little space left")
        return Health(state="ok", free_bytes=free)

    def hold(self) -> bool:
        """Make the ballast file if it is not there; False where it does not fit."""
        with self._lock:
            if self._ballast is None or self._config.ballast_bytes == 0 or self._ballast.exists():
                return True
            try:
                fd = self._files.create(self._ballast)
                try:
                    for start in range(0, self._config.ballast_bytes, len(_CHUNK)):
                        write_all(self._files, fd, _CHUNK[: self._config.ballast_bytes - start])
                finally:
                    self._files.close(fd)
            except OSError:
                self._remove()
                return False
            return True

    def release(self) -> bool:
        """Give the ballast up; True if there was one."""
        with self._lock:
            return self._remove()

    def _remove(self) -> bool:
        if self._ballast is None:
            return False
        with suppress(FileNotFoundError):
            self._files.unlink(self._ballast)
            return True
        return False
