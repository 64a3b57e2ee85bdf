"""The decoder child: what it refuses, what it may cost, and that the server outlives it (M4, M5, S7, S8)."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from tests.serve.serving import jpeg
from tests.stream.videos import cut, grey, write_video
from vigil.serve.children import Decoder, DecoderGone, DecoderHopeless, resident_bytes
from vigil.serve.decoder import TooLarge, Undecodable, check_size, decode_image
from vigil.serve.limits import Limits
from vigil.serve.pipe import REPLY, Status
from vigil.serve.refusal import Refusal

LIMITS = Limits(decode_s=60)
T = TypeVar("T")


def with_child(work: Callable[[Decoder], Awaitable[T]], limits: Limits = LIMITS) -> T:
    """Run something with a real child process."""

    async def run() -> T:
        child = Decoder(limits, wanted_px=128)
        try:
            return await work(child)
        finally:
            await child.close()

    return asyncio.run(run())


def encoded(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(out, kind)
    return out.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be enormous."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def huge_jpeg(side: int) -> bytes:
    """A small picture whose header says that it is enormous."""
    data = bytearray(jpeg(0))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_are_decoded(kind: str) -> None:
    image_HWC = decode_image(encoded(kind), LIMITS, wanted_px=128)
    assert image_HWC.shape == (30, 40, 3)
    assert np.abs(image_HWC.mean((0, 1)) - [200, 30, 60]).max() < 4


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size() -> None:
    assert decode_image(encoded("JPEG", (1920, 1080)), LIMITS, wanted_px=128).shape == (135, 240, 3)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "JPEG2000"])
def test_other_formats_are_refused_whatever_they_are_called(kind: str) -> None:  # M5
    with pytest.raises(Undecodable):
        decode_image(encoded(kind), LIMITS, wanted_px=128)


@pytest.mark.parametrize(
    "data",
    [
        huge_png(30_000, 30_000),
        huge_png(16_000, 16_000),
        huge_jpeg(16_000),
        encoded("PNG", (5000, 100)),
        encoded("PNG", (8, 8)),
    ],
    ids=["900 MP", "256 MP", "jpeg of 256 MP", "a side too long", "too small"],
)
def test_sizes_are_refused_by_the_header(data: bytes) -> None:  # M5
    before = resident_bytes(os.getpid())
    with pytest.raises(TooLarge):
        decode_image(data, LIMITS, wanted_px=128)
    assert resident_bytes(os.getpid()) - before < 40 << 20


def test_sizes_by_hand() -> None:
    check_size(4096, 4096, LIMITS)
    for width, height in ((15, 100), (4097, 100)):
        with pytest.raises(TooLarge):
            check_size(width, height, LIMITS)


def test_of_an_animation_only_the_first_picture_is_read() -> None:  # M5
    out = io.BytesIO()
    pages = [Image.new("RGB", (20, 20), (value, 0, 0)) for value in (10, 250)]
    pages[0].save(out, "PNG", save_all=True, append_images=pages[1:])
    assert decode_image(out.getvalue(), LIMITS, wanted_px=128)[0, 0, 0] == 10


def test_a_child_decodes_refuses_and_goes_on() -> None:
    async def work(child: Decoder) -> None:
        assert (await child.image(jpeg(1))).shape == (24, 32, 3)
        for bad, code in (
            (b"\xff\xd8\xff cut", "bad_image"),
            (huge_png(30_000, 30_000), "too_large"),
            (b"", "bad_image"),
        ):
            with pytest.raises(Refusal, match=code):
                await child.image(bad)
        assert (await child.image(encoded("PNG"))).shape == (30, 40, 3)

    with_child(work)


def test_a_child_that_is_killed_is_replaced_until_it_is_hopeless() -> None:  # M4
    async def work(child: Decoder) -> None:
        for number in (signal.SIGKILL, signal.SIGSEGV):
            await child.image(jpeg(1))
            assert child._process is not None
            os.kill(child._process.pid, number)
            await child._process.wait()
        assert (await child.image(jpeg(1))).shape == (24, 32, 3)
        child._deaths.extend([asyncio.get_running_loop().time()] * 5)
        await child._end()
        with pytest.raises(DecoderHopeless):
            await child.image(jpeg(1))

    with_child(work)


def test_a_child_that_hangs_is_killed_in_time() -> None:  # M4, and the control: without a deadline it waits for ever
    async def work(child: Decoder) -> None:
        await child.warm()
        assert child._process is not None
        pid = child._process.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(DecoderGone):
            await child.image(jpeg(1))
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    with_child(work, replace(LIMITS, decode_s=0.2))


@pytest.mark.parametrize(
    "reply",
    [
        REPLY.pack(Status.FRAME, 10, 10, 0.0, 301),
        REPLY.pack(Status.FRAME, 0, 10, 0.0, 0),
        REPLY.pack(Status.FRAME, 5000, 10, 0.0, 150_000),
        REPLY.pack(Status.OPENED, 1, 1, 0.0, 2**31),
        REPLY.pack(99, 1, 1, 0.0, 0),
    ],
    ids=["length", "zero", "too wide", "name too long", "status"],
)
def test_what_a_child_says_is_checked_before_it_is_read(reply: bytes) -> None:  # T5
    class Process:
        stdout = asyncio.StreamReader

    async def run() -> None:
        pipe = asyncio.StreamReader()
        pipe.feed_data(reply)
        process = Process()
        process.stdout = pipe  # type: ignore[assignment]
        with pytest.raises(ValueError):  # noqa: PT011
            await Decoder(LIMITS, wanted_px=1)._read(process)  # type: ignore[arg-type]

    asyncio.run(run())


def test_a_video_is_sampled_and_a_cut_one_gives_what_it_holds(tmp_path: Path) -> None:  # M2
    whole = write_video(tmp_path / "clip.mkv", [grey(9 * i) for i in range(30)])

    async def frames(child: Decoder, path: Path, fps: float, start_s: float = 0.0) -> list[float]:
        await child.open_file(path, fps=fps, start_s=start_s)
        times = []
        while (frame := await child.next_frame()) is not None:
            times.append(round(frame[0], 2))
        return times

    async def work(child: Decoder) -> None:
        assert await frames(child, whole, 1.0) == [0.0, 1.0, 2.0]
        assert await frames(child, whole, 2.0, 1.5) == [1.5, 2.0, 2.5]
        assert 3 < len(await frames(child, cut(whole, 0.5), 1000.0)) < 30
        picture = tmp_path / "picture"
        picture.write_bytes(jpeg(1))
        assert await frames(child, picture, 1.0) == [0.0]

    with_child(work)


PLAYLISTS = {
    "m3u8": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:PORT/x.ts\n",
    "concat": b"ffconcat version 1.0\nfile http://127.0.0.1:PORT/x.mp4\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video PORT RTP/AVP 96\n",
    "dash": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:PORT/</BaseURL></MPD>',
}


def test_no_container_makes_the_child_call_anybody(tmp_path: Path) -> None:  # S7, S8
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = str(listener.getsockname()[1]).encode()

    async def work(child: Decoder) -> None:
        for name, content in PLAYLISTS.items():
            for ending in ("", ".mp4", f".{name}"):
                path = tmp_path / f"{name}{ending}"
                path.write_bytes(content.replace(b"PORT", port))
                with pytest.raises(Refusal, match="bad_image"):
                    await child.open_file(path, fps=1.0)

    with listener:
        with_child(work)
        with pytest.raises(BlockingIOError):
            listener.accept()
