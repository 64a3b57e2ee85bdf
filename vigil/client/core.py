"""The protocol of `/v1/stream` from a client's side, without a socket, a thread or a clock of its own.

    core = Core(Opening.new(...), clock=time.monotonic)
    core.connected()                                             # a socket is open
    while (message := core.next()) is not None: send(message)    # until it has nothing more to say
    core.hear(text)                                              # a message came
    core.wait_s                                                  # when to ask `next` again, if nothing comes
    core.lost(code)                                              # the socket has gone; dial again unless `is_over`
    core.rows                                                    # durable events: each once, in order, none missing

Whoever drives it may lose the connection between any two of these calls.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vigil.client.commands import Command, Commands
from vigil.client.errors import CLOSES, refused
from vigil.client.lane import Lane, Pace, Picture
from vigil.errors import ConfigError, SourceLost, VigilError

Row = dict[str, Any]
CLOSE_NORMAL = 1000
CLOSE_LOST = 1006
LAST_WORDS = ("input.end", "session.close")
"""Commands that wait until the last frame has gone."""
FRAME_BURST = 4
DEFAULT_LIMITS: dict[str, Any] = {
    "text_bytes": 8 << 10, "frame_bytes": 2 << 20, "frames_per_s": 10.0, "controls_per_s": 20.0, "queue_frames": 4
}  # fmt: skip
"""Until the server has told its own."""


class Broken(Exception):
    """This connection is of no use any more: drop it and dial again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """All that another process needs to go on with a session. Keep it secret: it gives control."""

    url: str
    """Where the session is. Of many replicas behind one address, only one has it."""
    session_id: str
    resume_token: str = field(repr=False)
    client_id: str
    after: int
    """Number of the newest event that was taken."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How a session is begun, gone on with, or looked at: the first message of every connection."""

    message: Mapping[str, Any]
    after: int = 0
    client_id: str = field(default_factory=lambda: secrets.token_hex(8))

    @classmethod
    def new(cls, sources: Sequence[Mapping[str, Any]], **settings: Any) -> Opening:
        """A new session. However often this is sent, it is one session."""
        given = {name: value for name, value in settings.items() if value is not None}
        spelled(given)
        opening = {"type": "session.open", "open_id": secrets.token_hex(16), "sources": list(sources), **given}
        return cls(opening)

    @classmethod
    def resume(cls, saved: Saved) -> Opening:
        """A session that another process has left."""
        keys = {"session_id": saved.session_id, "resume_token": saved.resume_token}
        return cls({"type": "session.resume", **keys}, saved.after, saved.client_id)

    @classmethod
    def attach(cls, session_id: str, view_token: str, after: int = 0) -> Opening:
        """A look at somebody else's session."""
        return cls({"type": "session.attach", "session_id": session_id, "view_token": view_token}, after)

    @property
    def controls(self) -> bool:
        """May send frames and commands."""
        return bool(self.message["type"] != "session.attach")


class Core:
    """One session, over as many connections as it takes."""

    def __init__(self, opening: Opening, *, clock: Callable[[], float]) -> None:
        """`clock` gives seconds, never backwards."""
        self.opening = opening
        self.rows: deque[Row] = deque()
        """Durable events that nobody has taken yet. A gap in the server's log stands in its place as `resume.gap`."""
        self.newest: dict[str, Row] = {}
        """Of the messages that may be missed, the newest of each type."""
        self.seq = opening.after
        """Number of the newest event that came."""
        self.session: Row = {}
        """The newest `session.ready`, with the tokens of an earlier one."""
        self.limits = DEFAULT_LIMITS
        self.is_open = False
        self.is_over = False
        self.error: VigilError | None = None
        """Why it is over, unless it has ended in good order."""
        self.lanes: dict[int, Lane] = {}
        self.commands = Commands(opening.client_id)
        self._clock = clock
        self._has_greeted = True
        self._is_closed = False
        self._frame_pace = Pace(10.0, FRAME_BURST)
        self._ready_at = 0.0

    @property
    def now_s(self) -> float:
        """Seconds since the session began, on the server's clock."""
        return self.session["t_mono"] + self._clock() - self._ready_at if self.session else 0.0

    # ---- what is put in --------------------------------------------------------------------------------------

    def command(self, type_: str, /, **fields: Any) -> Command:
        """Have something done once, as soon as there is a connection. Raises: VigilError: it never will be."""
        self.check()
        if not self.opening.controls:
            raise ConfigError("this session is only looked at. Open or resume one to control it.")
        spelled(fields)
        if type_ in LAST_WORDS:
            for lane in self.lanes.values():
                if fields.get("mode") == "now":
                    lane.leave_out()
                self._report(lane)
        return self.commands.add(type_, **fields)

    def frame(self, source: int, image: bytes, ts: float | None = None) -> Picture:
        """Take an encoded frame in. It goes out as soon as the server has room; until then a newer one replaces it.

        Raises:
            ConfigError: `ts` is negative or before the one before, the image is too large, or the source is not open.
            SourceLost: the source or the session has ended.
        """
        self.check()
        lane = self.lane(source)
        if lane.is_ended:
            raise SourceLost(f"source {source} has ended and takes no more frames. Add it again.")
        if self.session and not lane.credit:
            raise ConfigError(f"source {source} is not open for frames. Add it first, as Push().")
        if ts is None:
            ts = max(self.now_s, lane.newest_ts)
        if not lane.newest_ts <= ts <= 1e9:
            raise ConfigError(f"time_s is {ts}, and the frame before was at {lane.newest_ts}. Give times that go on.")
        if len(image) > self.limits["frame_bytes"]:
            raise ConfigError(f"the picture has {len(image)} bytes, more than {self.limits['frame_bytes']}. Shrink it.")
        picture = Picture(ts, image)
        lane.hold(picture)
        return picture

    def lane(self, source: int) -> Lane:
        """The frames of a source."""
        if not 0 <= source < 16:
            raise ConfigError(f"source is {source}. Use a number from 0 to 15.")
        return self.lanes.setdefault(source, Lane(source))

    def check(self) -> None:
        """Raises: VigilError: the session is over."""
        if self.is_over:
            raise self.error or SourceLost("the session has ended. Open a new one.")

    def end(self, error: VigilError | None = None) -> None:
        """No connection is wanted any more."""
        if not self.is_over:
            self.is_over, self.is_open, self.error = True, False, error
            self.commands.fail(error or SourceLost("the session has ended, and this was not done. Open a new one."))

    # ---- the connection --------------------------------------------------------------------------------------

    def connected(self) -> None:
        """A socket is open."""
        self._has_greeted = False

    def lost(self, code: int) -> None:
        """The socket is gone, with this close code."""
        self.is_open, self._has_greeted = False, True
        if code == CLOSE_NORMAL or self._is_closed:
            self.end()
        elif code in CLOSES:
            kind, why = CLOSES[code]
            self.end(kind(why))

    @property
    def wait_s(self) -> float | None:
        """Seconds until `next` may have something to say by itself; None if only a message can change that."""
        if not self.is_open:
            return None
        now = self._clock()
        waits = [None if self._waits_for_frames else self.commands.wait_s(now)]
        if any(lane.may_go for lane in self.lanes.values()):
            waits.append(self._frame_pace.wait_s(now))
        return min((wait for wait in waits if wait is not None), default=None)

    def next(self) -> str | bytes | None:
        """What to send now; None if there is nothing. Whatever it gives counts as sent."""
        if not self._has_greeted:
            self._has_greeted = True
            return self._greeting()
        if not self.is_open:
            return None
        now = self._clock()
        for lane in self.lanes.values():
            if lane.may_go and not self._frame_pace.wait_s(now):
                self._frame_pace.take(now)
                message = lane.next(int(self.limits["queue_frames"]))
                self._report(lane)
                return message
        if self._waits_for_frames:
            return None
        return self.commands.next(now, text_bytes=int(self.limits["text_bytes"]))

    @property
    def _waits_for_frames(self) -> bool:
        first = self.commands.first
        if first is None or first.type not in LAST_WORDS:
            return False
        return any(lane.has_frame for lane in self.lanes.values())

    def _greeting(self) -> str:
        message = dict(self.opening.message)
        if message["type"] == "session.open" and self.session:
            keys = {name: self.session[name] for name in ("session_id", "resume_token")}
            message = {"type": "session.resume", **keys}
        if message["type"] != "session.open":
            message["after"] = self.seq
        if self.opening.controls:
            message["client_id"] = self.opening.client_id
        return spelled(message)

    def _report(self, lane: Lane) -> None:
        """Tell what was left out before the frame that has just gone."""
        skipped = lane.report()
        if skipped is not None:
            self.commands.add("input.skipped", **skipped)

    # ---- what comes in ---------------------------------------------------------------------------------------

    def hear(self, text: str) -> None:
        """A text message came. Raises: Broken: this connection must not go on."""
        message: Row = json.loads(text)
        kind = message["type"]
        if "seq" in message and kind != "command.done":
            self._event(message)
        elif kind == "resume.gap":
            if message["to"] > self.seq:
                self.seq = message["to"]
                self.rows.append(message)
        elif kind == "session.ready":
            self._ready(message)
        elif kind == "command.done":
            self.commands.done(message)
        elif kind == "error":
            self._refused(message)
        elif kind == "input.credit":
            self.lane(message["source"]).credit = message["up_to"]
        if "seq" not in message:
            self.newest[kind] = message

    def _event(self, row: Row) -> None:
        if row["seq"] <= self.seq:
            return
        if row["seq"] > self.seq + 1:
            raise Broken  # never a hole: ask for it again
        self.seq = row["seq"]
        self.rows.append(row)
        self.commands.effect(row)
        if row["type"] == "session.closed":
            self._is_closed = True
        elif row["type"] == "source.opened" and row["kind"] == "push":
            self.lane(row["source"]).opened(int(self.limits["queue_frames"]))
        elif row["type"] == "source.ended" and row["source"] in self.lanes:
            self.lanes[row["source"]].ended()

    def _ready(self, ready: Row) -> None:
        self.session = {**self.session, **ready}
        self.limits = {**self.limits, **ready["limits"]}
        self._frame_pace = Pace(float(self.limits["frames_per_s"]), FRAME_BURST)
        self._ready_at = self._clock()
        self.is_open = "talk" in ready["roles"]
        self.commands.resumed(ready["applied_cmd"], per_s=float(self.limits["controls_per_s"]))
        for key, received in ready["received"].items():
            self.lane(int(key)).resumed(received, ready["credit"][key])

    def _refused(self, error: Row) -> None:
        if self.is_open:
            self.commands.refuse(error, self._clock())
        elif self.session or error["code"] in ("rate_limited", "not_ready"):
            raise Broken  # it knew the session before: try again in a while
        else:
            self.end(refused("to open the session", error["code"]))


def spelled(fields: Mapping[str, Any]) -> str:
    """As JSON. Raises: ConfigError: it cannot be."""
    try:
        return json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"this cannot be sent: {error}. Use text, finite numbers, lists and dicts.") from error
