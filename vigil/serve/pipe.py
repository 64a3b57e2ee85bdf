"""How the server and its decoder child talk: fixed headers, raw bytes, no pickle. Both sides import only this."""

from __future__ import annotations

import struct
from enum import IntEnum

REQUEST = struct.Struct(">BIdd")
"""op, bytes that follow, frames per second, start (s)."""
REPLY = struct.Struct(">BHHdI")
"""status, width (px), height (px), time (s), bytes that follow."""
MAX_CODEC = 64


class Op(IntEnum):
    """What the server asks for."""

    IMAGE = 1
    """Decode the image that follows."""
    FILE = 2
    """Open the file whose path follows; frames are asked for one by one."""
    NEXT = 3
    """The next frame of the file."""


class Status(IntEnum):
    """How it went."""

    FRAME = 0
    """Pixels follow: width x height x 3 bytes, RGB."""
    OPENED = 1
    """Name of the codec follows; the time field holds the length of a file (s), 0 where it is not known."""
    END = 2
    BAD = 3
    """Not an image or video that can be decoded."""
    TOO_LARGE = 4
    """Beyond the limits on sides, pixels or length."""
