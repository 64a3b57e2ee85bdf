"""How a live source and its decoder child talk: one JSON line there, fixed headers and raw bytes back, no pickle."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Literal, get_args

REPLY = struct.Struct(">BHHdIII")
"""status, width (px), height (px), time (s), damaged packets so far, check sum of the newest picture (0: not made),
bytes that follow."""
MAX_NOTE = 64
MAX_SIDE_PX = 4096

Why = Literal[
    "refused", "unauthorized", "not_found", "denied", "busy", "timeout", "not_video", "too_large",
    "closed", "frozen", "stuck", "undecodable", "silent", "nonsense", "died",
]  # fmt: skip
"""Why a child gave up; from "silent" on, what its parent saw instead."""
WHYS: tuple[str, ...] = get_args(Why)


class Status(IntEnum):
    """What a child says."""

    OPENED = 0
    """The first picture has come; the codec's name follows. The time is the length of a file (s), 0 of a live one."""
    FRAME = 1
    """Pixels follow: width x height x 3 bytes, RGB. The time is that of arrival, on the monotonic clock."""
    ALIVE = 2
    """Pictures still come, none of them was due."""
    END = 3
    """A file is at its end."""
    LOST = 4
    """The reason follows, a `Why`."""
