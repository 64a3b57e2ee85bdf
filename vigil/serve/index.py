"""A table of contents of the log in SQLite: which event lies in which file. It can be lost: the log is the truth.

One connection, rollback journal, no syncs. What it lacks when it is opened is read from the log again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vigil.errors import StorageError
from vigil.serve.disk import open_to_read
from vigil.serve.lines import read_lines, seq_of
from vigil.serve.segments import segment_numbers, segment_path
from vigil.serve.store_folder import session_folder, session_ids

FILE = "index.sqlite"
CACHE_KIB = 256
"""SQLite's own 2 MiB make nothing faster here: 100 us a group either way."""
_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    session TEXT NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, t_mono REAL NOT NULL, t_wall REAL NOT NULL,
    segment INTEGER NOT NULL, PRIMARY KEY (session, seq)
) WITHOUT ROWID
"""
Row = tuple[str, int, str, float, float, int]


class Index:
    """Opened by a store that keeps one, or by `vigil log rebuild`. May be called from any thread."""

    def __init__(self, folder: Path) -> None:
        """Open or make the index of a folder, and bring it up to the log.

        Raises:
            StorageError: the file cannot be made.
        """
        self._folder = folder
        self._lock = threading.Lock()
        self.broken: str | None = None
        """Why the index is no longer kept; the log goes on without it."""
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:  # what lies there is no index: it is only a copy
            with suppress(FileNotFoundError):
                (folder / FILE).unlink()
            self._db = self._open()
        self.catch_up()

    def _open(self) -> sqlite3.Connection:
        path = self._folder / FILE
        try:
            path.touch(mode=0o600)
            db = sqlite3.connect(path, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            raise StorageError(f"the index {path} cannot be made: {error}.") from error
        try:
            for pragma in ("journal_mode=DELETE", "synchronous=OFF", "secure_delete=ON", f"cache_size=-{CACHE_KIB}"):
                db.execute(f"PRAGMA {pragma}")
            db.execute(_TABLE)
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def add(self, session: str, segment: int, events: Iterable[Mapping[str, Any]]) -> None:
        """Note events that lie in file number `segment`."""
        rows = [(session, e["seq"], e["type"], e["t_mono"], e["t_wall"], segment) for e in events]
        self._write("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)

    def forget(self, session: str, *, before_segment: int | None = None) -> None:
        """Drop a session, or what lies in files before one."""
        upto = before_segment if before_segment is not None else 1 << 62
        self._write("DELETE FROM events WHERE session = ? AND segment < ?", [(session, upto)])

    def _write(self, statement: str, rows: list[Any]) -> None:
        with self._lock:
            if self.broken is None:
                try:
                    with self._db:
                        self._db.executemany(statement, rows)
                except sqlite3.Error as error:
                    self.broken = str(error)

    def rows(self, session: str | None = None) -> list[Row]:
        """Everything that is noted, of one session or of all."""
        with self._lock:
            return self._db.execute(
                "SELECT * FROM events WHERE session = ?1 OR ?1 IS NULL ORDER BY session, seq", (session,)
            ).fetchall()

    def catch_up(self) -> None:
        """Note what the log has more, and drop what it has no more."""
        there = session_ids(self._folder)
        newest = {session: (seq, segment) for session, seq, segment in self._newest()}
        for session in newest.keys() - set(there):
            self.forget(session)
        for session in there:
            folder = session_folder(self._folder, session)
            seq, segment = newest.get(session, (0, 0))
            for number in segment_numbers(folder) if folder is not None else ():
                if folder is not None and number >= segment:
                    self._note_file(session, segment_path(folder, number), number, after=seq)

    def _newest(self) -> list[tuple[str, int, int]]:
        with self._lock:
            return self._db.execute("SELECT session, MAX(seq), MAX(segment) FROM events GROUP BY session").fetchall()

    def _note_file(self, session: str, path: Path, number: int, *, after: int) -> None:
        with open_to_read(path) as file:
            bodies = (line.body for line in read_lines(file) if line.body is not None)
            events = [json.loads(body) for body in bodies if (seq_of(body) or 0) > after]
        self.add(session, number, events)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.broken = "it is closed"
            self._db.close()
