"""MPEG transport streams of any length, made from one encoded picture: what counts in them is the clock.

Axes: N pictures, K packets of a picture.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

PACKET = 188
CLOCK_HZ = 90_000
WRAP = 1 << 33
"""The clock counts so far, and begins at 0 again: after 26.5 h."""
WRAP_S = WRAP / CLOCK_HZ
TABLE_PID, VIDEO_PID = 0x1000, 0x100
BLOCK = 9000
"""Pictures that are made at once."""


def _one_picture() -> tuple[bytes, bytes]:
    """The tables of a stream of MPEG-2 video, in two packets, and one encoded picture."""
    out = io.BytesIO()
    with av.open(out, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=30, options={"g": "1"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        image_HWC = np.full((32, 32, 3), 128, np.uint8)
        coded = [*stream.encode(av.VideoFrame.from_ndarray(image_HWC, "rgb24")), *stream.encode()]
        picture = bytes(coded[0])
        container.mux(coded)
    data = out.getvalue()
    tables: dict[int, bytes] = {}
    for at in range(0, len(data), PACKET):
        packet = data[at : at + PACKET]
        tables.setdefault((packet[1] & 0x1F) << 8 | packet[2], packet)
    return tables[0] + tables[TABLE_PID], picture


def _packed(picture: bytes) -> NDArray[np.uint8]:
    """One picture in packets [K, 188], with a clock of 0."""
    stamped = b"\x00\x00\x01\xe0\x00\x00\x80\x80\x05\x21\x00\x01\x00\x01" + picture
    packets = []
    for start in range(0, len(stamped), PACKET - 4):
        part = stamped[start : start + PACKET - 4]
        gap = PACKET - 4 - len(part)
        filling = b"" if not gap else bytes([gap - 1]) + (b"\x00" + b"\xff" * (gap - 2) if gap > 1 else b"")
        first = 0x40 if start == 0 else 0
        head = bytes([0x47, first | VIDEO_PID >> 8, VIDEO_PID & 0xFF, 0x30 if gap else 0x10])
        packets.append(np.frombuffer(head + filling + part, np.uint8))
    return np.stack(packets)


def transport_stream(seconds: float, *, first_s: float = 0.0, fps: int = 30) -> Iterator[bytes]:
    """A stream of so many seconds, whose clock reads `first_s` at its first picture, in blocks."""
    tables, picture = _one_picture()
    one_KP = _packed(picture)
    clock_at = 4 + (1 + int(one_KP[0, 4]) if one_KP[0, 3] & 0x20 else 0) + 9
    num_pictures = round(seconds * fps)
    for start in range(0, num_pictures, BLOCK):
        number_N = np.arange(start, min(start + BLOCK, num_pictures), dtype=np.int64)
        clock_N = (round(first_s * CLOCK_HZ) + number_N * CLOCK_HZ // fps) % WRAP
        block_NKP = np.repeat(one_KP[None], len(number_N), axis=0)
        block_NKP[:, 0, clock_at] = 0x21 | (clock_N >> 30 & 7) << 1
        block_NKP[:, 0, clock_at + 1] = clock_N >> 22 & 0xFF
        block_NKP[:, 0, clock_at + 2] = (clock_N >> 15 & 0x7F) << 1 | 1
        block_NKP[:, 0, clock_at + 3] = clock_N >> 7 & 0xFF
        block_NKP[:, 0, clock_at + 4] = (clock_N & 0x7F) << 1 | 1
        counter_NK = (number_N[:, None] * len(one_KP) + np.arange(len(one_KP))) % 16
        block_NKP[:, :, 3] |= counter_NK.astype(np.uint8)
        yield tables + block_NKP.tobytes()
