"""The one thread that writes: it gathers events into groups, writes them, makes them safe, and only then shows them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from vigil.errors import StorageError
from vigil.serve.store_config import StoreConfig


class Commits(Protocol):
    """A log, as the writer sees it."""

    def commit(self, items: Sequence[Item]) -> None:
        """Write the items of one group, make them safe, publish them. Called by the writer only; raises nothing."""

    def reject(self, items: Sequence[Item], cause: str) -> None:
        """Tell those who wait that these items will never be safe."""


@dataclass(slots=True, eq=False)
class Item:
    """One event on its way to the disk."""

    log: Commits
    record: dict[str, Any]
    text: str
    line: bytes
    done: Future[int]
    private: Mapping[str, Any] | None = None
    """What the owner of the log keeps with the session from this event on; None: as before."""


class Writer:
    """Group commit. A group closes `group_s` after its first event, or with `group_events` events."""

    def __init__(self, config: StoreConfig, *, on_commit: Callable[[float, int], None] | None = None) -> None:
        """Start the thread.

        Args:
            on_commit: called by the thread after each group with its duration (s) and number of events.
        """
        self._config = config
        self._queue: queue.Queue[Item | None] = queue.Queue(config.queue_events)
        self.on_commit = on_commit
        self._failed = ""
        """Why the thread takes no more events."""
        self.stopping = threading.Event()
        """Set when there is no more time to wait for space."""
        self._thread = threading.Thread(target=self._work, name="vigil-log", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand an event over; waits while the queue is full.

        Raises:
            StorageError: the thread has ended.
        """
        while not self._failed:
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            if self._failed:  # the thread ended meanwhile, and may not have seen the item
                self._empty([])
            return
        raise StorageError(f"the event log has stopped: {self._failed}.")

    def close(self, timeout_s: float) -> bool:
        """Write what is on its way, and end the thread; False where that took too long and was given up."""
        deadline_s = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            self.stopping.set()
            self._queue.put(None)
        self._thread.join(max(0.0, deadline_s - time.monotonic()))
        if not self._thread.is_alive():
            return True
        self.stopping.set()
        self._thread.join()
        return False

    def _work(self) -> None:
        group: list[Item] = []
        try:
            while not self._failed:
                group, is_last = self._take()
                self._commit(group)
                group = []
                if is_last:
                    self._failed = "it is closed"
        except BaseException as error:
            self._failed = f"{type(error).__name__} in its thread"
            raise
        finally:
            self._empty(group)

    def _take(self) -> tuple[list[Item], bool]:
        """Wait for the next group; also whether it is the last one."""
        item = self._queue.get()
        if item is None:
            return [], True
        group = [item]
        deadline_s = time.monotonic() + self._config.group_s
        while len(group) < self._config.group_events:
            try:
                wait_s = deadline_s - time.monotonic()
                item = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
        return group, False

    def _commit(self, group: list[Item]) -> None:
        started_s = time.monotonic()
        by_log: dict[Commits, list[Item]] = {}
        for item in group:
            by_log.setdefault(item.log, []).append(item)
        for log, items in by_log.items():
            log.commit(items)
        if self.on_commit is not None and group:
            self.on_commit(time.monotonic() - started_s, len(group))

    def _empty(self, group: list[Item]) -> None:
        """Nobody may wait for ever for what this thread will not write any more."""
        left = list(group)
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is not None:
                left.append(item)
        for item in left:
            if not item.done.done():
                item.log.reject([item], self._failed)
