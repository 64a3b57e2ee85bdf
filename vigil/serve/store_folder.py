"""The folder of a store: `lock`, `ballast`, and `sessions/<id>/`. A name can never lead out of it."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

from vigil.errors import ConfigError, StorageError
from vigil.serve.disk import Files, sync_folder
from vigil.serve.retention import GONE, drop_folder

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def take(folder: Path, files: Files) -> int:
    """Make the folder, keep other processes from writing to it, and finish what one before us was removing.

    Returns:
        the lock: a file descriptor that is closed when the folder may be taken by others.

    Raises:
        StorageError: the folder cannot be written, or another process writes to it.
    """
    sessions = folder / "sessions"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sessions.mkdir(mode=0o700, exist_ok=True)
        files.sync_folder(folder)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for gone in sessions.glob(GONE + "*"):
                drop_folder(files, gone)
        except OSError:
            os.close(fd)
            raise
    except BlockingIOError as error:
        raise StorageError(f"{folder} is being written by another vigil. Stop it, or give another folder.") from error
    except OSError as error:
        raise StorageError(f"{folder} cannot be used for the log: {error.strerror}. Give another folder.") from error
    return fd


def session_ids(folder: Path) -> list[str]:
    """All sessions that lie in a folder."""
    sessions = folder / "sessions"
    return sorted(path.name for path in sessions.iterdir() if _ID.fullmatch(path.name)) if sessions.is_dir() else []


def num_bytes(folder: Path | None) -> int:
    """What the events of all sessions take on disk."""
    total = 0
    for path in () if folder is None else (folder / "sessions").rglob("*.log"):
        with suppress(FileNotFoundError):  # it has expired meanwhile
            total += path.stat().st_size
    return total


def session_folder(folder: Path | None, name: str) -> Path | None:
    """Where a session lies; None where it is not on disk."""
    if folder is None or not _ID.fullmatch(name):
        return None
    path = folder / "sessions" / name
    return path if path.is_dir() and not path.is_symlink() else None


def make_session_folder(folder: Path, name: str, files: Files) -> Path:
    """Make the folder of a new session. Raises `OSError`."""
    path = folder / "sessions" / checked(name)
    files.make_folder(path)
    sync_folder(files, path.parent)
    return path


def checked(name: str) -> str:
    """The same name, if it can be an id.

    Raises:
        ConfigError: it cannot.
    """
    if not _ID.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be the id of a session: 1 to 64 of a-z, 0-9 and -.")
    return name
