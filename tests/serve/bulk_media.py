"""Small pictures in files that are full of something else: hours of silent sound, a million subtitle tracks."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np

from tests.stream.videos import grey

SILENT_OPUS = b"\xf8\xff\xfe"
"""20 ms of nothing."""
TRACKS, FIRST_NUMBER = b"\x16\x54\xae\x6b", b"\xd7\x81\x01"
"""Ids of the table of tracks, and of the number of the first one with the number."""
SOUND_TRACK = 2


def matroska(path: Path, *, sound: bool = False) -> Path:
    """Ten pictures, as a live Matroska stream, which nothing says the end of; with a track of sound, too."""
    with av.open(str(path), "w", format="matroska", options={"live": "1"}) as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 16, 16, "yuv420p"
        audio = container.add_stream("libopus", rate=48_000, layout="mono") if sound else None
        for number in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey(10 * number), "rgb24")))
        container.mux(video.encode())
        if audio is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), "s16", "mono")
            silence.sample_rate = 48_000
            container.mux(audio.encode(silence))
            container.mux(audio.encode())
    return path


def silent_sound(path: Path, num_bytes: int) -> Path:
    """Ten pictures, and behind them so much silent Opus: 25 MB are 15 h of it."""
    head = matroska(path, sound=True).read_bytes()
    per_cluster = 1600  # times in a cluster are 16 bits of ms
    blocks = np.zeros((per_cluster, 9), np.uint8)
    blocks[:] = np.frombuffer(bytes([0xA3, 0x87, 0x80 | SOUND_TRACK, 0, 0, 0x80]) + SILENT_OPUS, np.uint8)
    times_ms = 20 * np.arange(per_cluster)
    blocks[:, 3], blocks[:, 4] = times_ms >> 8, times_ms & 0xFF
    with path.open("wb") as file:
        file.write(head)
        for number in range(-(-num_bytes // blocks.size)):
            stamp = b"\xe7\x88" + struct.pack(">Q", 2000 + 20 * per_cluster * number)
            file.write(b"\x1f\x43\xb6\x75" + _size(len(stamp) + blocks.size) + stamp + blocks.tobytes())
    return path


def subtitle_tracks(path: Path, count: int) -> Path:
    """Ten pictures, and so many tracks of subtitles beside them, all empty."""
    data = matroska(path).read_bytes()
    start = data.rindex(TRACKS, 0, data.index(FIRST_NUMBER)) + len(TRACKS)
    size_bytes = 9 - data[start].bit_length()
    length = int.from_bytes(data[start : start + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    body = start + size_bytes
    tracks = b"".join(_subtitles(number) for number in range(2, count + 2))
    whole = data[:start] + _size(length + len(tracks)) + data[body : body + length] + tracks + data[body + length :]
    path.write_bytes(whole)
    return path


def _subtitles(number: int) -> bytes:
    """One entry of a table of tracks."""
    name = number.to_bytes(4, "big")
    entry = b"\xd7\x84" + name + b"\x73\xc5\x84" + name + b"\x83\x81\x11" + b"\x86\x8bS_TEXT/UTF8"
    return b"\xae" + bytes([0x80 | len(entry)]) + entry


def subtitle_tracks_mp4(path: Path, count: int) -> Path:
    """The same as MP4: a table of contents with so many tracks of text, and nothing else."""
    handler = _box(b"hdlr", bytes(8) + b"text" + bytes(13))
    times = _box(b"mdhd", bytes(12) + struct.pack(">II", 1000, 0) + bytes(4))
    tables = b"".join(_box(kind, bytes(8)) for kind in (b"stsd", b"stts", b"stsc", b"stco")) + _box(b"stsz", bytes(12))
    media = _box(b"mdia", times + handler + _box(b"minf", _box(b"stbl", tables)))
    track = _box(b"trak", _box(b"tkhd", bytes(84)) + media)
    head = _box(b"mvhd", bytes(12) + struct.pack(">II", 1000, 0) + bytes(80))
    with path.open("wb") as file:
        file.write(_box(b"ftyp", b"isom" + bytes(4) + b"isom"))
        file.write(struct.pack(">I", 8 + len(head) + count * len(track)) + b"moov" + head)
        for _ in range(count // 1000):
            file.write(track * 1000)
        file.write(track * (count % 1000))
    return path


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def _size(length: int) -> bytes:
    """A length of Matroska in eight bytes."""
    return (1 << 56 | length).to_bytes(8, "big")
