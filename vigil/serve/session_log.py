"""The log of one session: it numbers events, hands them to the writer, and replays them to any number of readers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigil.errors import BadSequence, StorageError
from vigil.serve.lines import Entry, Gap, dump, encode
from vigil.serve.recovery import Damage
from vigil.serve.segments import Head, read_events
from vigil.serve.state import ENVELOPE, State
from vigil.serve.tape import Shared, Tape
from vigil.serve.writer import Item


@dataclass(frozen=True, slots=True)
class Appended:
    """An event that is on its way."""

    entry: Entry
    durable: Future[int]
    """Its number, once the event is as safe as the level of the session says; or `StorageError`."""

    @property
    def seq(self) -> int:
        """The number that it got."""
        return self.entry.seq


class SessionLog:
    """The events of one session. Made by `Store`; every method may be called from any thread."""

    def __init__(self, shared: Shared, folder: Path | None, head: Head, state: State, *, readonly: bool) -> None:
        """Take a session up where `state` ends. Raises `OSError` where its next file cannot be made."""
        self.id = head.session
        self.head = head
        """`epoch`, `level`, `keep_s` and `private` of this session."""
        self.failed: str | None = None
        """Why nothing can be written any more; None while all is well."""
        self._shared, self._folder = shared, folder
        self._order = threading.Lock()
        """Guards the order of appended events."""
        self._changed = threading.Condition()
        """Guards what is published; never held while something is written or waited for."""
        self._state = state
        self._next = state.head + 1
        self._newest_t = state.t_mono
        self._is_closed = state.closed is not None or readonly
        self._rests = False
        self._applied = dict(state.applied)
        self._coming: dict[tuple[str, int], Appended] = {}
        config = shared.config
        self._recent: deque[Entry] = deque(maxlen=config.ring_events if folder is None else config.recent_events)
        self._wakes: list[Callable[[int], None]] = []
        self._start_mono = shared.clock.mono() - state.t_mono
        if state.head:  # time went on while no process wrote
            self._start_mono -= max(0.0, shared.clock.wall() - state.t_wall)
        self._tape = None if folder is None or readonly else Tape(shared, folder, head)

    # ---- writing ---------------------------------------------------------------------------------------------

    def append(
        self,
        event: Mapping[str, Any],
        *,
        by: tuple[str, int] | None = None,
        private: Mapping[str, Any] | None = None,
    ) -> Appended:
        """Put an event into the log; waits only while the writer's queue is full.

        Args:
            event: `type` and its own fields.
            by: client id and command number, where the event is the effect of a command.
            private: what is kept with the session from now on, in the place of `head.private`; safe before the event.

        Raises:
            StorageError: the session is read-only. BadSequence: `by` is not the next command of that client.
        """
        assert all(name == "type" or name not in event for name in ENVELOPE), f"the log itself sets {ENVELOPE}"
        with self._order:
            self._check_writable()
            if by is not None and by[1] != self.applied(by[0]) + 1:
                raise BadSequence(f"command {by[1]} of {by[0]}: the next one is {self.applied(by[0]) + 1}.")
            t_wall = round(self._shared.clock.wall(), 6)
            record: dict[str, Any] = {"seq": self._next, "type": event["type"], "t_mono": self.now(), "t_wall": t_wall}
            record["epoch"] = self.head.epoch
            if by is not None:
                record["by"] = {"client_id": by[0], "cmd": by[1]}
            record.update(event)
            text = dump(record)
            appended = Appended(Entry(self._next, text), Future())
            self._hand_over(Item(self, record, text, encode(text), appended.durable, private), appended, by)
            self._next, self._newest_t = self._next + 1, record["t_mono"]
            self._is_closed = event["type"] == "session.closed"
        return appended

    def _hand_over(self, item: Item, appended: Appended, by: tuple[str, int] | None) -> None:
        if by is not None:
            self._coming[by] = appended
        try:
            if self._folder is None:
                self._publish([item])
            else:
                self._shared.writer.put(item)
        except StorageError:
            self._coming.pop(by or ("", 0), None)
            raise
        if by is not None:
            self._applied[by[0]] = by[1]

    def applied(self, client_id: str) -> int:
        """Number of the newest command of a client that had an effect; 0 before the first."""
        return self._applied.get(client_id, 0)

    def effect(self, client_id: str, cmd: int) -> Appended | None:
        """What a command did when it came first; None where it has not been applied, or its event has expired."""
        with self._order:
            coming = self._coming.get((client_id, cmd))
            if coming is not None or cmd > self.applied(client_id):
                return coming
        by = {"client_id": client_id, "cmd": cmd}
        needle = dump({"by": by})[1:-1]
        for item in self.replay(after=0):
            if isinstance(item, Entry) and needle in item.json and item.event.get("by") == by:
                done: Future[int] = Future()
                done.set_result(item.seq)
                return Appended(item, done)
        return None

    def close_open_revisions(self) -> list[dict[str, Any]]:
        """After a crash: end what was being said as interrupted; answer_id and rev of each.

        Raises:
            StorageError: the disk does not take it.
        """
        interrupted = []
        for said in self.state.open.values():
            names = {"answer_id": said["answer_id"], "rev": said["rev"]}
            rest = {"text": said["text"].strip(), "evidence": said.get("evidence"), "ttft_ms": None, "tokens": None}
            self.append({"type": "answer.done", **names, "status": "interrupted", "finish": "fault", **rest})
            interrupted.append(names)
        self.flush()
        return interrupted

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was appended is safe.

        Raises:
            StorageError: it will never be. TimeoutError: it took too long.
        """
        with self._order:
            last = self._next - 1
        with self._changed:
            if not self._changed.wait_for(lambda: self._state.head >= last or self.failed, timeout_s):
                raise TimeoutError(f"session {self.id} was not safe after {timeout_s} s.")
        if self.durable < last:
            raise StorageError(f"session {self.id} is read-only: {self.failed}.")

    def _check_writable(self) -> None:
        if self.failed:
            raise StorageError(f"session {self.id} is read-only: {self.failed}. Mend the disk, then start again.")
        if self._is_closed:
            raise StorageError(f"session {self.id} is closed, and takes no more events.")
        if self._rests:
            raise StorageError(f"session {self.id} has no seat, and takes no events until it is resumed.")

    # ---- reading ---------------------------------------------------------------------------------------------

    @property
    def durable(self) -> int:
        """Number of the newest event that may be shown."""
        return self._state.head

    @property
    def is_closed(self) -> bool:
        """It takes no more events."""
        return self._is_closed

    @property
    def has_ended(self) -> bool:
        """`session.closed` is safe, and no file is open any more."""
        return self._state.closed is not None and (self._tape is None or self._tape.is_closed)

    @property
    def state(self) -> State:
        """A copy of the fold of all durable events."""
        with self._changed:
            return State.from_json(self._state.to_json())

    @property
    def newest_t(self) -> float:
        """`t_mono` of the newest event (s)."""
        return self._newest_t

    def now(self) -> float:
        """Seconds since the session started; never goes back, whatever the wall clock does."""
        return max(self._newest_t, round(self._shared.clock.mono() - self._start_mono, 6))

    def replay(self, *, after: int) -> Iterator[Entry | Gap]:
        """Durable events `after` + 1, `after` + 2, ... up to now; a `Gap` where some are gone."""
        with self._changed:
            upto, recent = self._state.head, list(self._recent)
        first = recent[0].seq if recent else upto + 1
        if after + 1 < first:
            if self._folder is None:
                yield Gap(after + 1, first - 1, "memory")
            else:
                yield from read_events(self._folder, after=after, upto=first - 1)
        yield from recent[max(0, after + 1 - first) :]

    def subscribe(self, wake: Callable[[int], None]) -> None:
        """Call `wake` with the number of the newest durable event whenever it grows.

        It runs in the writer's thread, so it may only pass the news on: it must not wait, and not append.
        """
        with self._changed:
            self._wakes.append(wake)

    def unsubscribe(self, wake: Callable[[int], None]) -> None:
        """Stop calling it."""
        with self._changed, suppress(ValueError):
            self._wakes.remove(wake)

    def wait(self, *, after: int, timeout_s: float | None = None) -> int:
        """Wait until an event above `after` may be shown, or nothing can come; the newest number, also in time-out."""
        with self._changed:
            self._changed.wait_for(lambda: self._state.head > after or self.failed or self._state.closed, timeout_s)
            return self._state.head

    # ---- the writer's side -----------------------------------------------------------------------------------

    def commit(self, items: Sequence[Item]) -> None:
        """Write one group, make it safe, show it. Only the writer calls this."""
        if self.failed:
            self.reject(items, self.failed)
            return
        assert self._tape is not None
        data, first, last = b"".join(item.line for item in items), items[0].record, items[-1].record
        private = next((item.private for item in reversed(items) if item.private is not None), None)
        try:
            self._tape.store(data, t_mono=first["t_mono"], last=last["seq"], state=self._state, private=private)
        except OSError as error:
            self.reject(items, error.strerror or str(error))
            return
        if last["type"] == "session.closed":
            self._tape.close(seal=True)
        self._publish(items)
        if self._shared.index is not None:
            self._shared.index.add(self.id, self._tape.head.segment, [item.record for item in items])

    def reject(self, items: Sequence[Item], cause: str) -> None:
        """These events will never be safe: the session becomes read-only."""
        with self._changed:
            self.failed = self.failed or cause
            self._changed.notify_all()
        for item in items:
            item.done.set_exception(StorageError(f"session {self.id} is read-only: {self.failed}."))

    def rest(self, timeout_s: float) -> None:
        """Take no more events, wait until all that came are safe, and close the file.

        Raises:
            StorageError: some never will be. TimeoutError: it took too long. The file stays open.
        """
        self._rests = True  # `flush` waits for whoever is about to append, and nobody comes after that
        self.flush(timeout_s)
        self.stop()

    def stop(self, cause: str | None = None) -> None:
        """Close the file; with a `cause` also give up what is on its way."""
        if self._tape is None:
            return
        self._rests = True
        if cause is not None:
            self._tape.gives_up = True
            self.reject([], cause)
        self._tape.close(seal=False)

    def _publish(self, items: Sequence[Item]) -> None:
        with self._changed:
            for item in items:
                self._recent.append(Entry(item.record["seq"], item.text))
                self._state.apply(item.record)
            head, wakes = self._state.head, list(self._wakes)
            self._changed.notify_all()
        for item in items:
            if (by := item.record.get("by")) is not None:
                self._coming.pop((by["client_id"], by["cmd"]), None)
            item.done.set_result(item.record["seq"])
        for wake in wakes:
            with suppress(RuntimeError):  # its event loop is closed: nobody waits there any more
                wake(head)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """How a session came back."""

    log: SessionLog
    interrupted: tuple[dict[str, Any], ...]
    """answer_id and rev of what was being said; each has got its `answer.done`."""
    damage: tuple[Damage, ...]
    """Places in its files that cannot be read any more; readers get a `Gap` there."""
