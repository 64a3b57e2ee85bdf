"""Commands, each done exactly once whatever happens to the connection. Knows no socket.

Only the oldest is on its way: a refused one consumes no number, and the next one then takes its place. Its number is
sent again after a lost connection, and the server says again what it did. The event that is its effect names it, so
that nothing hangs on an answer that was lost.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from vigil.client.errors import refused
from vigil.client.lane import Pace
from vigil.errors import ConfigError, VigilError

NAMELESS = {"bad_json", "bad_message", "unknown_type", "storage"}
"""Errors that a command can cause and that do not name it."""
SHARE, BURST = 0.8, 20
"""Of the rate that a server takes, so that it is never met."""


@dataclass(eq=False)
class Command:
    """Something that the server shall do."""

    type: str
    fields: dict[str, Any]
    is_done: bool = False
    seq: int | None = None
    """The event that is its effect; None also where that event has expired."""
    result: dict[str, Any] = field(default_factory=dict)
    error: VigilError | None = None


class Commands:
    """The commands of one session, oldest first."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._queue: deque[Command] = deque()
        self._number = 1
        """Of the oldest, once it is sent."""
        self._is_sent = False
        self._was_sent = False
        self._applied = 0
        self._not_before = 0.0
        self._pace = Pace(1.0, BURST)

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def first(self) -> Command | None:
        """The one that is on its way, or is the next to go."""
        return self._queue[0] if self._queue else None

    def add(self, type_: str, /, **fields: Any) -> Command:
        """Put a command behind the others."""
        command = Command(type_, fields)
        self._queue.append(command)
        return command

    def resumed(self, applied: int, *, per_s: float) -> None:
        """A new connection; the server has applied the commands up to this number, and takes so many messages."""
        self._applied = applied
        self._pace = Pace(SHARE * per_s, BURST)
        self._is_sent = False
        if not self._was_sent:
            self._number = max(self._number, applied + 1)

    # ---- going out -------------------------------------------------------------------------------------------

    def wait_s(self, now: float) -> float | None:
        """Seconds until the first one may go; None if there is nothing to send."""
        if not self._queue or self._is_sent:
            return None
        return max(self._pace.wait_s(now), self._not_before - now, 0.0)

    def next(self, now: float, *, text_bytes: int) -> str | None:
        """The message to send, if there is one that may go now."""
        while self.wait_s(now) == 0:
            command = self._queue[0]
            too_long = [key for key, value in command.fields.items() if _num_bytes(value) > text_bytes]
            if too_long:
                self._end(error=ConfigError(f"{too_long[0]} is longer than {text_bytes} bytes. Shorten it."))
                continue
            self._pace.take(now)
            self._is_sent = self._was_sent = True
            return json.dumps({"type": command.type, "cmd": self._number, **command.fields}, allow_nan=False)
        return None

    # ---- coming in -------------------------------------------------------------------------------------------

    def effect(self, row: dict[str, Any]) -> None:
        """An event came; it may be what the command did."""
        by = row.get("by", {})
        if by.get("client_id") == self._client_id and self._is_current(by["cmd"]):
            self._end(seq=row["seq"], result={"turn": row["turn"]} if "turn" in row else {})

    def done(self, message: dict[str, Any]) -> None:
        """`command.done`, which matters only where the event itself could not be had."""
        if self._is_current(message["cmd"]):
            self._end(seq=message["seq"], result=message["result"])

    def refuse(self, error: dict[str, Any], now: float) -> None:
        """`error`, which may concern the command or a frame."""
        code, number = error["code"], error.get("cmd")
        if code == "rate_limited" and (number is None or self._is_current(number)):
            self._not_before, self._is_sent = now + float(error.get("retry_after_s") or 1.0), False
            return
        if not self._is_current(number) and not (number is None and code in NAMELESS and self._is_sent):
            return
        if code == "bad_sequence" and error.get("expected") is not None:
            self._number, self._is_sent = error["expected"], False
        elif code == "gone" and self._number <= self._applied:
            self._end()  # it was done long ago, and what it did has expired
        else:
            self._end(error=refused(self._queue[0].type, code))

    def fail(self, error: VigilError) -> None:
        """Nothing more will be done."""
        while self._queue:
            self._end(error=error)

    def _is_current(self, number: int | None) -> bool:
        return bool(self._queue) and self._was_sent and number == self._number

    def _end(
        self, *, seq: int | None = None, result: dict[str, Any] | None = None, error: VigilError | None = None
    ) -> None:
        command = self._queue.popleft()
        command.is_done, command.seq, command.result, command.error = True, seq, result or {}, error
        self._number += error is None
        self._is_sent = self._was_sent = False


def _num_bytes(value: object) -> int:
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else 0
