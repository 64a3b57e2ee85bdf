"""The binary message: 20 bytes that say which frame it is, then a JPEG, PNG or WebP."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal

HEADER = struct.Struct(">BBHQq")
"""kind, flags, source, frame_no, ts_us; big-endian."""
KIND_FRAME = 0x01
MAX_TS_US = 2**53
"""About 285 years; a double holds it exactly."""

MAGIC = {"JPEG": (b"\xff\xd8\xff",), "PNG": (b"\x89PNG\r\n\x1a\n",), "WEBP": (b"RIFF",)}


@dataclass(frozen=True, slots=True)
class ClientFrame:
    """One frame as a client sent it; the image is still encoded."""

    source: int
    frame_no: int
    """1, 2, 3, ... per source."""
    ts_us: int
    """Microseconds since session start, on the client's clock."""
    image: bytes

    @property
    def ts(self) -> float:
        """The same in seconds."""
        return self.ts_us / 1e6


def pack_frame(frame: ClientFrame) -> bytes:
    """Spell a frame as a binary message."""
    return HEADER.pack(KIND_FRAME, 0, frame.source, frame.frame_no, frame.ts_us) + frame.image


def parse_frame(message: bytes, limits: Limits) -> ClientFrame:
    """Read a binary message; the image is not looked at.

    Raises:
        Refusal: `bad_message` for a header that is cut or out of range, `too_large`.
    """
    if len(message) <= HEADER.size:
        raise Refusal("bad_message")
    kind, flags, source, frame_no, ts_us = HEADER.unpack_from(message)
    if kind != KIND_FRAME or flags or source >= limits.sources or frame_no < 1 or not 0 <= ts_us <= MAX_TS_US:
        raise Refusal("bad_message")
    if len(message) - HEADER.size > limits.frame_bytes:
        raise Refusal("too_large")
    return ClientFrame(source, frame_no, ts_us, message[HEADER.size :])


def image_format(image: bytes) -> str | None:
    """Name of the image format by its first bytes; None for any other content."""
    for name, starts in MAGIC.items():
        if image.startswith(starts) and (name != "WEBP" or image[8:12] == b"WEBP"):
            return name
    return None
