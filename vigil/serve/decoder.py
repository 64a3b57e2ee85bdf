"""The decoder child: the only process that looks inside media from strangers. Started by `vigil.serve.children`.

It reads requests on stdin and answers on stdout, has no network where the system allows that, little memory, no core
dumps and a low priority. What goes wrong is a status, never a text.
"""

from __future__ import annotations

import ctypes
import io
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vigil.errors import VigilError
from vigil.serve.frames import image_format
from vigil.serve.limits import Limits
from vigil.serve.pipe import MAX_CODEC, REPLY, REQUEST, Op, Status

if TYPE_CHECKING:
    from vigil.stream._reel import Picture, Rgb

MEMORY_BYTES = 2 << 30
CPU_S_PER_REQUEST = 30
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
LIVE_OPTIONS = {"max_redirects": "0", "rtsp_transport": "tcp", "probesize": "5000000", "analyzeduration": "5000000"}
PROTOCOLS = {"http": "http,tcp", "https": "https,tls,tcp", "rtsp": "rtsp,rtp,tcp", "rtsps": "rtsps,rtsp,rtp,tls,tcp"}
LIVE_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpjpeg,rtsp"
LIVE_TIMEOUT_S = (5.0, 2.0)
"""To open, and between two reads."""
MAX_BAD_PACKETS = 200


class TooLarge(Exception):
    """Beyond the limits."""


class Undecodable(Exception):
    """Not an image, or damaged."""


def confine(*, network: bool) -> None:
    """Give up what decoding does not need. What the system does not offer is left out."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not network and sys.platform == "linux":
        ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)


def renew_cpu_budget() -> None:
    """Allow `CPU_S_PER_REQUEST` more seconds of processor time; then the kernel ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S_PER_REQUEST, hard))


def decode_image(data: bytes, limits: Limits, *, wanted_px: int) -> Rgb:
    """Decode a JPEG, PNG or WebP; size by the header before any pixel, and a large JPEG at a fraction of its size.

    Shapes: -> [H, W, 3]. Of an animation only the first picture is read.

    Raises:
        TooLarge, Undecodable.
    """
    from PIL import Image

    from vigil.stream._images import DAMAGE, quiet, to_rgb

    kind = image_format(data)
    if kind is None:
        raise Undecodable
    try:
        with quiet(), Image.open(io.BytesIO(data), formats=[kind]) as image:
            check_size(image.width, image.height, limits)
            image.draft("RGB", (wanted_px, wanted_px))
            return to_rgb(image)
    except Image.DecompressionBombError as error:
        raise TooLarge from error
    except (*DAMAGE, MemoryError) as error:
        raise Undecodable from error


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raises: TooLarge."""
    sides = (min(width, height), max(width, height))
    if sides[0] < limits.min_side_px or sides[1] > limits.max_side_px or width * height > limits.max_pixels:
        raise TooLarge


class Child:
    """Answers requests until stdin ends."""

    def __init__(self, limits: Limits, requests: BinaryIO, replies: BinaryIO, *, wanted_px: int) -> None:
        self._limits = limits
        self._requests = requests
        self._replies = replies
        self._wanted_px = wanted_px
        self._frames: Iterator[tuple[float, Rgb]] = iter(())

    def serve(self) -> None:
        """The loop."""
        while len(head := self._requests.read(REQUEST.size)) == REQUEST.size:
            op, length, fps, start_s = REQUEST.unpack(head)
            renew_cpu_budget()
            try:
                self._answer(Op(op), self._requests.read(length), fps, start_s)
            except TooLarge:
                self._reply(Status.TOO_LARGE)
            except (Undecodable, VigilError, MemoryError):
                self._reply(Status.BAD)

    def _answer(self, op: Op, body: bytes, fps: float, start_s: float) -> None:
        if op is Op.IMAGE:
            self._send(0.0, decode_image(body, self._limits, wanted_px=self._wanted_px))
        elif op is Op.FILE:
            self._open_file(Path(os.fsdecode(body)), fps, start_s)
        elif op is Op.NEXT:
            frame = next(self._frames, None)
            if frame is None:
                self._reply(Status.END)
            else:
                self._send(*frame)
        else:
            self._live(body.decode(), fps)

    def _open_file(self, path: Path, fps: float, start_s: float) -> None:
        from vigil.stream._media import open_media

        with path.open("rb") as file:
            head = file.read(12)
        duration_s = 0.0
        if image_format(head) is not None:
            self._frames = iter([(0.0, decode_image(path.read_bytes(), self._limits, wanted_px=self._wanted_px))])
        else:
            reel = open_media(path, "upload")
            duration_s = reel.duration_s or 0.0
            if duration_s > self._limits.media_s:
                raise TooLarge
            self._frames = self._sampled(reel.pictures, fps, start_s)
        self._reply(Status.OPENED, time_s=duration_s)

    def _sampled(self, pictures: Iterator[Picture], fps: float, start_s: float) -> Iterator[tuple[float, Rgb]]:
        from vigil.stream._reel import sample

        for frame in sample(dropwhile(lambda picture: picture[0] < start_s, pictures), fps):
            if frame.time_s > self._limits.media_s:
                raise TooLarge
            yield start_s + frame.time_s, frame.image

    def _live(self, address: str, fps: float) -> None:
        """Read a live source until it goes away; times are those of arrival."""
        import av

        scheme = address.partition("://")[0].lower()
        if scheme not in PROTOCOLS:
            raise Undecodable
        options = {**LIVE_OPTIONS, "protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": LIVE_FORMATS}
        try:
            with av.open(address, mode="r", timeout=LIVE_TIMEOUT_S, options=options) as container:
                self._watch(container, fps)
        except (av.FFmpegError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                sys.exit(0)
            self._reply(Status.LOST)

    def _watch(self, container: object, fps: float) -> None:
        import av
        from av.container import InputContainer

        from vigil.stream._media import upright_rgb

        assert isinstance(container, InputContainer)
        if not container.streams.video:
            raise Undecodable
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec.width * codec.height > self._limits.max_pixels:
            raise TooLarge
        codec.options = {"max_pixels": str(self._limits.max_pixels)}
        codec.thread_count = 2
        name = codec.name.encode()[:MAX_CODEC]
        self._reply(Status.OPENED, codec.width, codec.height, body=name)
        next_s, bad, packets = 0.0, 0, container.demux(stream)
        while bad <= MAX_BAD_PACKETS:
            renew_cpu_budget()
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except av.error.InvalidDataError:
                bad, packets = bad + 1, container.demux(stream)
                continue
            if packet is None:
                break
            for frame in frames:
                bad, now_s = 0, time.monotonic()
                if now_s >= next_s:
                    next_s = max(next_s + 1 / fps, now_s - 1 / fps)
                    self._send(now_s, upright_rgb(frame))
        self._reply(Status.END if bad <= MAX_BAD_PACKETS else Status.BAD)

    def _send(self, time_s: float, rgb_HWC: Rgb) -> None:
        height, width, _ = rgb_HWC.shape
        if height > self._limits.max_side_px or width > self._limits.max_side_px:
            raise TooLarge
        self._reply(Status.FRAME, width, height, time_s, rgb_HWC.tobytes())

    def _reply(self, status: Status, width: int = 0, height: int = 0, time_s: float = 0.0, body: bytes = b"") -> None:
        self._replies.write(REPLY.pack(status, width, height, time_s, len(body)))
        self._replies.write(body)
        self._replies.flush()


def main() -> None:
    """`python -m vigil.serve.decoder WANTED_PX NETWORK`: from here on stdout belongs to the pipe alone."""
    wanted_px, network = int(sys.argv[1]), sys.argv[2] == "network"
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    confine(network=network)
    Child(Limits(), sys.stdin.buffer, replies, wanted_px=wanted_px).serve()


if __name__ == "__main__":
    main()
