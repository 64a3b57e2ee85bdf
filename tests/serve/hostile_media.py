"""Files that are damaged, odd, or made to do harm; each small, and built anew for every run."""

from __future__ import annotations

import io
import random
import struct
import wave
import zipfile
import zlib
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.stream.videos import cut, grey, ten, write_video


def encoded(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(out, kind)
    return out.getvalue()


def bomb_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be enormous."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def corrupt(data: bytes, share: float, rng: random.Random) -> bytes:
    """Change a share of the bytes behind the first 200."""
    damaged = bytearray(data)
    for _ in range(max(1, int(len(data) * share))):
        damaged[rng.randrange(min(200, len(data) - 1), len(data))] = rng.randrange(256)
    return bytes(damaged)


def animated() -> bytes:
    """A PNG of two pictures."""
    out = io.BytesIO()
    pages = [Image.new("RGB", (20, 20), (value, 0, 0)) for value in (10, 250)]
    pages[0].save(out, "PNG", save_all=True, append_images=pages[1:])
    return out.getvalue()


def sound() -> bytes:
    """A second of nothing to hear, and nothing to see."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    return out.getvalue()


def sound_only_mp4(path: Path) -> Path:
    """A film without a picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def corpus(folder: Path) -> dict[str, Path]:
    """Name to file; 31 of them."""
    rng = random.Random(7)
    small = [grey(9 * i) for i in range(20)]
    wide = [np.ascontiguousarray(np.tile(image, (2, 3, 1))[:31, :33]) for image in small]
    whole = ten(folder / "whole.mkv").read_bytes()
    film = ten(folder / "film.mp4").read_bytes()
    raw = {
        "empty": b"",
        "one byte": b"\0",
        "zeros": bytes(1 << 20),
        "noise": rng.randbytes(100_000),
        "text": b"Nothing to see here.\n" * 1000,
        "html": b"<html><video src='http://127.0.0.1:9/x'></html>",
        "playlist": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
        "concat": b"ffconcat version 1.0\nfile http://127.0.0.1:9/x.mp4\n",
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "dash": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
        "header alone": film[:40],
        "damaged mkv": corrupt(whole, 0.01, rng),
        "damaged mp4": corrupt(film, 0.1, rng),
        "doubled mp4": film + film,
        "cut jpeg": encoded("JPEG")[:200],
        "damaged jpeg": corrupt(encoded("JPEG", (300, 200)), 0.05, rng),
        "png of 900 MP": bomb_png(30_000, 30_000),
        "png of 256 MP": bomb_png(16_000, 16_000),
        "gif": encoded("GIF"),
        "animated png": animated(),
        "webp": encoded("WEBP"),
        "sound": sound(),
    }
    files = {"whole mkv": folder / "whole.mkv", "whole mp4": folder / "film.mp4"}
    for name, data in raw.items():
        files[name] = folder / name.replace(" ", "-")
        files[name].write_bytes(data)
    with zipfile.ZipFile(folder / "archive", "w") as archive:
        archive.writestr("x.mp4", film)
    jumps = [0, 100, 200, 100_000, 100_100, 100_200, 5_000_000, 5_000_100, 5_000_200, 5_000_300]
    return files | {
        "archive": folder / "archive",
        "half an mp4": cut(ten(folder / "half.mp4"), 0.5),
        "half an mkv": cut(ten(folder / "half.mkv"), 0.5),
        "odd sizes": write_video(folder / "odd.mkv", wide, codec="ffv1", pixels="bgr0"),
        "time jumps": ten(folder / "jumps.mkv", times_ms=jumps),
        "ten bits": write_video(folder / "bits.mkv", small, codec="ffv1", pixels="yuv444p10le"),
        "a film without a picture": sound_only_mp4(folder / "deaf.mp4"),
    }
