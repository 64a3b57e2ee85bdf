"""A client's protocol driven by hand: the server and the clock are played message by message."""

from __future__ import annotations

import json
import struct
from typing import Any

from vigil.client.core import Core, Opening

LIMITS = {"text_bytes": 20, "frame_bytes": 100, "frames_per_s": 10.0, "controls_per_s": 20.0, "queue_frames": 4}
PUSH = {"source": 0, "kind": "push"}
USAGE = {"frames": {"received": 5, "perceived": 3, "dropped": 1}}


class Hand:
    """Plays the server and the clock."""

    def __init__(self, opening: Opening | None = None) -> None:
        self.now_s = 0.0
        self.core = Core(opening or Opening.new([PUSH]), clock=lambda: self.now_s)

    def out(self) -> list[dict[str, Any]]:
        """Everything that is sent now; a frame as its header's fields and its image."""
        sent = []
        while (message := self.core.next()) is not None:
            if isinstance(message, str):
                sent.append(json.loads(message))
            else:
                _, _, source, number, ts_us = struct.unpack_from(">BBHQq", message)
                sent.append({"source": source, "frame_no": number, "ts_us": ts_us, "image": message[20:]})
        return sent

    def hear(self, kind: str, /, **fields: Any) -> None:
        """A message of the server."""
        self.core.hear(json.dumps({"type": kind, **fields}))

    def event(self, seq: int, kind: str = "turn.started", /, **fields: Any) -> None:
        """A durable event."""
        self.hear(kind, seq=seq, t_mono=float(seq), t_wall=0.0, epoch=1, **fields)

    def ready(self, *, applied: int = 0, received: int = 0, credit: int = 4, **more: Any) -> None:
        """A connection that the server accepts."""
        if self.core._has_greeted:
            self.core.connected()
        self.greeting = self.out()[0]
        sources = {"received": {"0": received}, "credit": {"0": credit}}
        keys = {"session_id": "s", "resume_token": "r", "view_token": "v", "limits": LIMITS, "roles": ["view", "talk"]}
        self.hear("session.ready", t_mono=5.0, applied_cmd=applied, **{**keys, **sources, **more})

    def lose(self, code: int = 1006) -> None:
        """The connection breaks."""
        self.core.lost(code)
