"""The decoder child: the only process that looks inside media from strangers. Started by `vigil.serve.children`.

It reads requests on stdin and answers on stdout, has no network where the system allows that, little memory, no core
dumps and a low priority. What goes wrong is a status, never a text. Live sources have children of their own, see
`vigil.stream.live`.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vigil.errors import VigilError
from vigil.serve.frames import image_format
from vigil.serve.limits import Limits
from vigil.serve.pipe import REPLY, REQUEST, Op, Status
from vigil.stream._confine import confine, renew_cpu_budget

if TYPE_CHECKING:
    from vigil.stream._reel import Picture, Rgb


class TooLarge(Exception):
    """Beyond the limits."""


class Undecodable(Exception):
    """Not an image, or damaged."""


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
        self._close: Callable[[], None] = lambda: None

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
        else:
            frame = next(self._frames, None)
            if frame is None:
                self._reply(Status.END)
            else:
                self._send(*frame)

    def _open_file(self, path: Path, fps: float, start_s: float) -> None:
        from vigil.stream._media import open_media

        self._close()  # each file has threads, and threads have stacks, which count against the limit of memory
        with path.open("rb") as file:
            head = file.read(12)
        duration_s = 0.0
        if image_format(head) is not None:
            self._frames = iter([(0.0, decode_image(path.read_bytes(), self._limits, wanted_px=self._wanted_px))])
        else:
            reel = open_media(path, "upload")
            self._close = reel.close
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
    """`python -m vigil.serve.decoder WANTED_PX`: from here on stdout belongs to the pipe alone."""
    wanted_px = int(sys.argv[1])
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    confine(network=False)
    Child(Limits(), sys.stdin.buffer, replies, wanted_px=wanted_px).serve()


if __name__ == "__main__":
    main()
