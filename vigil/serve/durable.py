"""The event log on disk: what a client has seen is never lost, and every reader sees the same events in the same order.

    store = Store(folder)                                  # one process at a time writes to a folder
    for log in store.recover(): ...                        # sessions that were open when the last process ended
    log = store.create({"type": "session.created", ...})   # its first event becomes seq 1
    appended = log.append({"type": "turn.started", "turn": 1})
    appended.seq, appended.durable.result()                # the number at once; the future when it is safe
    log.append(event, by=("client-7", 3))                  # the effect of command 3 of a client, exactly once
    log.effect("client-7", 3)                              # what command 3 did, if it was sent again
    for item in log.replay(after=41): ...                  # Entry(seq, json), or Gap(first, last, reason)
    log.subscribe(wake); log.unsubscribe(wake)             # wake(head) from the writer's thread; then replay(after=41)
    log.state                                              # fold of the durable events: open revisions, turns, ...
    store.get(id); store.delete(id); store.expire(); store.health(); store.close()

A log sets `seq`, `t_mono`, `t_wall`, `epoch` and `by`; the caller gives `type` and the other fields. All methods may be
called from any thread. `append` waits while 4096 events are on their way to the disk; it never drops one. `create`,
`recover`, `delete`, `expire`, `health` and `replay` of old events use the disk: an event loop calls them in a thread.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from vigil.errors import DataError, StorageError
from vigil.serve.disk import Clock, Files, Guard, Health
from vigil.serve.index import Index
from vigil.serve.lines import Entry, Gap, Level
from vigil.serve.recovery import repair, scan_session
from vigil.serve.retention import drop_folder, expire_files, is_open
from vigil.serve.segments import Head, segment_numbers
from vigil.serve.session_log import Appended, Recovered, SessionLog
from vigil.serve.shelf import Shelves
from vigil.serve.state import State
from vigil.serve.store_config import StoreConfig
from vigil.serve.store_folder import checked, make_session_folder, session_folder, session_ids, take
from vigil.serve.tape import Shared
from vigil.serve.writer import Writer

__all__ = ["Appended", "Entry", "Gap", "Level", "Recovered", "SessionLog", "Store", "StoreConfig"]


class Store:
    """All sessions in one folder, and the thread that writes them."""

    def __init__(
        self,
        folder: Path | None,
        config: StoreConfig | None = None,
        *,
        files: Files | None = None,
        clock: Clock | None = None,
        on_commit: Callable[[float, int], None] | None = None,
    ) -> None:
        """Open a folder, and make it if it is not there. Without a folder every session is at level "off".

        Args:
            on_commit: called by the writer's thread after each group with its duration (s) and number of events.

        Raises:
            StorageError: the folder cannot be written, or another process writes to it.
        """
        self.config = config or StoreConfig()
        self.folder = folder
        self._files, self._clock = files or Files(), clock or Clock()
        self.unreadable: dict[str, str] = {}
        """Sessions that `recover` could not take up, and why."""
        self._logs: dict[str, SessionLog] = {}
        self._lock = threading.RLock()
        self._shelves = Shelves(self._files, self._clock, self.delete)
        self._lock_fd = None if folder is None else take(folder, self._files)
        self._guard = Guard(self._files, folder, self.config)
        try:
            self._guard.health()
            self._index = Index(folder) if folder is not None and self.config.index else None
        except StorageError:
            self._release()
            raise
        self._writer = Writer(self.config, on_commit=on_commit)
        self._shared = Shared(
            config=self.config,
            files=self._files,
            clock=self._clock,
            guard=self._guard,
            writer=self._writer,
            index=self._index,
        )

    # ---- sessions --------------------------------------------------------------------------------------------

    def create(
        self,
        created: Mapping[str, Any],
        *,
        session_id: str | None = None,
        level: Level | None = None,
        keep_s: float | None = None,
        private: Mapping[str, Any] | None = None,
    ) -> SessionLog:
        """Begin a session; `created` becomes its first event, and is safe when this returns.

        Args:
            session_id: default 128 random bits. level, keep_s: as in `StoreConfig`.
            private: plain values that come back with the session (`log.head.private`) and that no client sees.

        Raises:
            StorageError: almost no space is left, the disk does not write, or the session is there already.
        """
        health = self.health()
        if not health.takes_sessions:
            raise StorageError(f"no new session: {health.cause} ({health.free_bytes} bytes free). Free the disk.")
        head = Head(
            session=checked(session_id or secrets.token_hex(16)),
            segment=1,
            epoch=1,
            next=1,
            t_mono=0.0,
            t_wall=self._clock.wall(),
            level="off" if self.folder is None else level or self.config.level,
            keep_s=self.config.keep_s if keep_s is None else keep_s,
            private=dict(private or {}),
        )
        with self._lock:
            self._put_away()
            if head.session in self._logs:
                raise StorageError(f"session {head.session} is there already.")
            try:
                folder = None
                if self.folder is not None and head.level != "off":
                    folder = make_session_folder(self.folder, head.session, self._files)
                log = SessionLog(self._shared, folder, head, State(), readonly=False)
            except OSError as error:
                raise StorageError(f"session {head.session} cannot be written: {error.strerror}.") from error
            self._logs[head.session] = log
        log.append(created).durable.result()
        return log

    def recover(self) -> list[Recovered]:
        """Take up every session that was open when the last process ended. Called once, before new input is taken.

        One that cannot be taken up is left as it is, and `unreadable` says why.
        """
        recovered = []
        for name in self.ids():
            try:
                folder = session_folder(self.folder, name)
                if name not in self._logs and folder is not None and is_open(self._files, folder):
                    recovered.append(self.resume(name))
            except (StorageError, DataError) as error:
                self.unreadable[name] = str(error)
        return recovered

    def resume(self, session_id: str) -> Recovered:
        """Take up one session: cut its torn tail, begin an epoch, and close what was being said as interrupted.

        Raises:
            StorageError: there is no such session, it is closed, or the disk does not let it be taken up.
            DataError: it was written by another version.
        """
        folder = session_folder(self.folder, session_id)
        with self._lock:
            old = self._logs.pop(session_id, None)
            if old is not None:
                old.stop("it is taken up again")
            scan = None if folder is None else scan_session(folder)
            if folder is None or scan is None:
                raise StorageError(f"there is no session {session_id}. `vigil log list` shows what there is.")
            if scan.state.closed is not None:
                raise StorageError(f"session {session_id} is closed ({scan.state.closed}), and takes no more events.")
            try:
                repair(self._files, folder, scan)
                log = SessionLog(self._shared, folder, scan.next_head(), scan.state, readonly=False)
            except OSError as error:
                raise StorageError(f"session {session_id} cannot be taken up: {error.strerror}.") from error
            self._logs[session_id] = log
            self._shelves.drop(session_id)
        return Recovered(log=log, interrupted=tuple(log.close_open_revisions()), damage=tuple(scan.damage))

    def rest(self, session_id: str) -> None:
        """Nobody writes to a session for now: its file is closed, and it leaves the memory until it is taken up."""
        log = self._logs.get(session_id)
        if log is None or log.head.level == "off":
            return
        with suppress(StorageError, TimeoutError):  # a full disk: it stays as it is
            log.rest(5.0)
            with self._lock:
                if self._logs.get(session_id) is log:
                    self._shelves.put(self._logs.pop(session_id))

    def get(self, session_id: str) -> SessionLog | None:
        """A session to read, open or closed; None where there is none."""
        with self._lock:
            log = self._logs.get(session_id)
            if log is not None:
                return log
            folder = session_folder(self.folder, session_id)
            scan = None if folder is None else scan_session(folder)
            if scan is None:
                return None
            return SessionLog(self._shared, folder, scan.head, scan.state, readonly=True)

    def ids(self) -> list[str]:
        """All sessions, on disk and in memory."""
        return sorted({*self._logs, *([] if self.folder is None else session_ids(self.folder))})

    def delete(self, session_id: str) -> bool:
        """Remove a session with everything that was kept of it; False where there is none.

        Raises:
            StorageError: the disk does not let it go.
        """
        with self._lock:
            log = self._logs.pop(session_id, None)
            self._shelves.drop(session_id)
            if log is not None:
                log.stop("it was deleted")
            folder = session_folder(self.folder, session_id)
            self._forget(session_id, None)
            if folder is None:
                return log is not None
            try:
                drop_folder(self._files, folder)
            except OSError as error:
                raise StorageError(f"session {session_id} cannot be deleted: {error.strerror}.") from error
        return True

    def expire(self, bytes_per_s: float = 0.0) -> list[str]:
        """Remove what is older than it is kept, and the oldest closed sessions where space is low; call it each minute.

        Args:
            bytes_per_s: what is being written, recordings included.

        Returns:
            ids of the sessions that are gone as a whole.

        Raises:
            StorageError: the disk does not let something go.
        """
        with self._lock:
            self._shelve()
            before = {*self._logs, *self._shelves}
            try:
                for name, log in list(self._logs.items()):
                    folder = session_folder(self.folder, name)
                    if folder is None and log.has_ended:
                        del self._logs[name]
                    elif folder is not None:
                        expire_files(self._files, folder, now_t=log.now(), keep_s=log.head.keep_s)
                        self._forget(name, folder)
                for name in self._shelves:
                    self._shelves.expire(name, session_folder(self.folder, name))
                    self._forget(name, session_folder(self.folder, name))
            except OSError as error:
                raise StorageError(f"old events cannot be removed: {error.strerror}.") from error
            self._shelves.make_room(lambda: self._guard.health(bytes_per_s).state != "ok")
            return sorted(before - {*self._logs, *self._shelves})

    def _forget(self, name: str, folder: Path | None) -> None:
        if self._index is not None:
            numbers = segment_numbers(folder) if folder is not None else []
            self._index.forget(name, before_segment=numbers[0] if numbers else None)

    def _put_away(self) -> None:
        """Sessions on disk that have been closed leave the memory, except for their age."""
        for name, log in list(self._logs.items()):
            if log.has_ended and log.head.level != "off":
                self._shelves.put(self._logs.pop(name))

    def _shelve(self) -> None:
        """Note the age of every session that nobody writes to."""
        self._put_away()
        for name in self.ids():
            if name not in self._logs and (folder := session_folder(self.folder, name)) is not None:
                self._shelves.find(name, folder)

    def watch_commits(self, on_commit: Callable[[float, int], None]) -> None:
        """Call this from now on; see `on_commit`."""
        self._writer.on_commit = on_commit

    # ---- the whole -------------------------------------------------------------------------------------------

    def health(self, bytes_per_s: float = 0.0) -> Health:
        """How the storage is; for readiness, and for what may still begin.

        Args:
            bytes_per_s: what is being written, recordings included.

        Raises:
            StorageError: the folder is gone.
        """
        health = self._guard.health(bytes_per_s)
        with self._lock:
            failed = next((log.failed for log in self._logs.values() if log.failed), None)
        return health if failed is None else replace(health, state="failed", cause=failed)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what is on its way and stop. Sessions stay as they are, and can be taken up by the next process.

        Returns:
            False where the disk did not take everything in time; those who wait for the rest get `StorageError`.
        """
        if self._lock_fd is None and self.folder is not None:
            return True
        is_complete = self._writer.close(timeout_s)
        with self._lock:
            for log in self._logs.values():
                log.stop()
            if self._index is not None:
                self._index.close()
            self._release()
        return is_complete

    def _release(self) -> None:
        """Let other processes write to the folder."""
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
