"""Video files through PyAV, as reels: tolerant of damage, turned upright, one decoded frame at a time.

Letters in names: H height, W width, C colour channel (RGB).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from vigil.errors import MediaError, SourceLost
from vigil.stream._reel import Picture, Reel, Rgb

if TYPE_CHECKING:
    import av
    from av.buffer import Buffer
    from av.container import InputContainer
    from av.video.stream import VideoStream

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg"
"""Containers that are tried. Playlists, SDP and concatenations are not among them: they make the reader open more."""
MAX_PIXELS = 4096 * 4096
"""Largest frame that is decoded; its RGB form takes 48 MiB."""
MAX_FILE_BYTES = 2 << 30
MAX_DURATION_S = 6 * 3600.0
MAX_FPS = 120
TS_PACKETS = 5
TS_HEAD_BYTES = TS_PACKETS * 204
"""So much of a file tells whether it is a transport stream."""
MAX_BAD_PACKETS = 200
"""Damaged packets in a row after which the rest of a file is given up."""


def open_media(path: Path, name: str) -> Reel:
    """Open the first video stream of a file.

    Raises:
        MediaError: it is no video, holds no video stream, or is beyond `MAX_FILE_BYTES`, `MAX_DURATION_S`, `MAX_FPS` or
            `MAX_PIXELS`.
    """
    import av

    num_bytes = path.stat().st_size
    if num_bytes > MAX_FILE_BYTES:
        raise MediaError(
            f"{name} is too large: {num_bytes / 2**30:.2f} GiB, the limit is {MAX_FILE_BYTES / 2**30:g}. Cut it first."
        )
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        container = av.open(f"file:{path.absolute()}", mode="r", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise MediaError(_why_not_opened(path, name)) from error
    try:
        stream = video_stream(container, name)
        duration_s = _duration_s(container, stream)
        _check_length(name, duration_s, stream.average_rate)
    except BaseException:
        container.close()
        raise
    warnings: list[str] = []  # not the reel: it would hold what holds it, and the decoder has threads
    pictures = _Decoder(container, stream, name).pictures(duration_s, warnings, cut_short=is_cut_short(path))
    return Reel(pictures=pictures, duration_s=duration_s, warnings=warnings, close=container.close)


def _check_length(name: str, duration_s: float | None, fps: Fraction | None) -> None:
    if duration_s is not None and duration_s > MAX_DURATION_S:
        hours = f"{duration_s / 3600:.1f} h, the limit is {MAX_DURATION_S / 3600:g} h"
        raise MediaError(f"{name} is too long: {hours}. Cut it into parts.")
    if fps is not None and fps > MAX_FPS:
        rate = f"{float(fps):g} frames per second, the limit is {MAX_FPS}"
        raise MediaError(f"{name} has {rate}. Convert it to fewer.")


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Find the first video stream that is not a cover picture, and set the limits of its decoder; others are ignored.

    Raises:
        MediaError: there is none, its codec is not available, or its frames are larger than `MAX_PIXELS`.
    """
    streams = [s for s in container.streams.video if "attached_pic" not in str(s.disposition)]
    if not streams:
        raise MediaError(f"{name} has no video stream, only sound or data. Give a file with pictures.")
    stream = streams[0]
    codec = stream.codec_context
    if codec is None:
        raise MediaError(f"{name} uses a video codec that is not available here. Convert it to H.264.")
    if codec.width * codec.height > MAX_PIXELS:
        size = f"{codec.width}x{codec.height}"
        raise MediaError(f"{name} is too large: {size}, the limit is {MAX_PIXELS} pixels. Scale it down first.")
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    codec.thread_count = 2
    _ignore_all_but(stream, container)
    return stream


def _ignore_all_but(stream: VideoStream, container: InputContainer) -> None:
    """Have the reader step over the packets of other streams, however many: hours of silence are a few megabytes."""
    from av import stream as streams

    for other in container.streams:
        if other.index != stream.index:
            other.discard = streams.Discard.all


class Tolerant:
    """Reads one stream packet by packet, steps over what is damaged, and keeps count of it."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.container, self.stream = container, stream
        self.num_bad = 0
        self.num_bad_in_a_row = 0

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yield every frame that can be decoded; the last packet brings what the decoder still holds.

        Raises:
            av.FFmpegError: the container fails, for another reason than damage; what the decoder holds comes first.
        """
        import av

        try:
            for packet in self.packets():
                yield from self._decoded(packet)
        except av.FFmpegError:
            yield from self._decoded(None)
            raise

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        """Yield the packets, until the end or until `MAX_BAD_PACKETS` in a row were damaged."""
        import av

        packets = self.container.demux(self.stream)
        while self.num_bad_in_a_row <= MAX_BAD_PACKETS:
            try:
                packet = next(packets, None)
            except av.error.InvalidDataError:
                self.count_bad()
                packets = self.container.demux(self.stream)  # a generator that raised is finished
                continue
            if packet is None:
                return
            yield packet

    def _decoded(self, packet: av.Packet[VideoStream] | None) -> list[av.VideoFrame]:
        import av

        assert self.stream.codec_context is not None
        try:
            frames = self.stream.codec_context.decode(packet)
        except av.FFmpegError:
            if packet is not None:
                self.count_bad()
            return []
        if frames:
            self.num_bad_in_a_row = 0
        return frames

    def count_bad(self) -> None:
        """One more packet, or one more place, is damaged."""
        self.num_bad += 1
        self.num_bad_in_a_row += 1


class _Decoder(Tolerant):
    """Reads the stream of a file from front to back, as pictures."""

    def __init__(self, container: InputContainer, stream: VideoStream, name: str) -> None:
        super().__init__(container, stream)
        self.name = name

    def pictures(self, duration_s: float | None, warnings: list[str], *, cut_short: bool) -> Iterator[Picture]:
        """Yield every frame with its presentation time; a frame without one follows the frame before it.

        What is missing is told in `warnings`.

        Raises:
            MediaError: not one frame could be decoded.
            SourceLost: the file went away while it was read.
        """
        first_s = last_s = None
        upright = Upright()
        step_s = float(1 / (self.stream.average_rate or 25))
        for frame in self._until_it_fails():
            time_s = frame.time if frame.pts is not None else (0.0 if last_s is None else last_s + step_s)
            first_s = time_s if first_s is None else first_s
            if time_s - first_s > MAX_DURATION_S:
                warnings.append(f"{self.name} goes on after {MAX_DURATION_S / 3600:g} h; the rest is left out.")
                return
            last_s = time_s
            yield time_s, partial(upright, frame)
        if first_s is None or last_s is None:
            damage = f"{self.num_bad} damaged packets"
            raise MediaError(f"{self.name} holds no frame that can be decoded ({damage}). Save or convert it again.")
        self._note_damage(warnings, duration_s or 0.0, last_s - first_s + step_s, cut_short)

    def _until_it_fails(self) -> Iterator[av.VideoFrame]:
        import av

        try:
            yield from self.frames()
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise SourceLost(f"{self.name} can no longer be read. Check its disk, and start again.") from error
            self.count_bad()

    def _note_damage(self, warnings: list[str], whole_s: float, decoded_s: float, cut_short: bool) -> None:
        missing_s = whole_s - decoded_s
        if cut_short:
            of_all = f" of {whole_s:.1f} s" if missing_s > 0 else ""
            warnings.append(f"{self.name} is cut short: decoded as far as it goes, {decoded_s:.1f} s{of_all}.")
        elif missing_s > max(1.0, 0.05 * whole_s):
            warnings.append(f"{self.name} has no frame that can be decoded in its last {missing_s:.1f} s.")
        if self.num_bad > cut_short:  # a cut spoils the last packet by itself
            warnings.append(f"{self.name} is damaged: {self.num_bad} of its packets could not be decoded.")


class Upright:
    """Converts frames to 8-bit RGB, and turns or mirrors them as their display matrix says.

    The matrix maps a stored pixel (x, y) to (a x + c y, b x + d y); any multiple of 90 degrees and any mirroring is
    exact, other angles are rounded to the nearest of these. One converter serves all frames of a stream: a frame's own
    would have threads, and live until the next collection of reference cycles.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Rgb:
        """Shapes: -> [H, W, 3]."""
        rgb_HWC = cast("Rgb", self._reformatter.reformat(frame, format="rgb24").to_ndarray())
        side_data = cast("Mapping[str, Buffer]", frame.side_data)
        if "DISPLAYMATRIX" not in side_data:
            return np.ascontiguousarray(rgb_HWC)
        a, b, _, c, d, *_ = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), dtype=np.int32)
        if abs(int(a)) < abs(int(c)):
            rgb_HWC = rgb_HWC.swapaxes(0, 1)
            a, d = c, b
        return np.ascontiguousarray(rgb_HWC[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def _why_not_opened(path: Path, name: str) -> str:
    """Say in one line why a file is no video; library messages are left out, they hold paths and log lines."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        return f"{name} is empty (0 bytes). Copy or record it again."
    if head[4:8] == b"ftyp":
        return f"{name} is cut short before its index (moov), so no frame can be found. Copy or record it again."
    return f"{name} is not a video that can be decoded. Give an mp4, mkv, webm, avi or mpeg-ts file."


def is_cut_short(path: Path) -> bool:
    """Tell from the sizes that a container states whether the file ends before they do; MPEG-TS, mp4, Matroska, AVI."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(TS_HEAD_BYTES)
        if head[4:8] == b"ftyp":
            ends = _mp4_ends(file, size)
        elif head[:4] == b"\x1aE\xdf\xa3":
            ends = _matroska_ends(file, size)
        elif head[:4] == b"RIFF":
            ends = iter([8 + int.from_bytes(head[4:8], "little")])
        else:
            packet_bytes = _ts_packet_bytes(head)
            ends = iter([-(-size // packet_bytes) * packet_bytes] if packet_bytes else [])
        return any(end > size for end in ends)


def _ts_packet_bytes(head: bytes) -> int | None:
    """Size of the packets of an MPEG transport stream, which begin with the same byte each; None for another file.

    188 bytes, with a time in front 192 (Blu-ray), or with a check sum behind 204.
    """
    for packet_bytes, first in ((188, 0), (192, 4), (204, 0)):
        marks = head[first::packet_bytes][:TS_PACKETS]
        if len(marks) == TS_PACKETS and set(marks) == {0x47}:
            return packet_bytes
    return None


def _mp4_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield where each top-level box says it ends; size 0 means the end of the file, 1 a 64-bit size."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length == 0:
            return
        position += max(length, 8)
        yield position


def _matroska_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield where each element of known size says it ends, going into segments and clusters of unknown size."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(12)
        id_bytes = 9 - head[0].bit_length()
        first = head[id_bytes] if id_bytes < len(head) else 0
        size_bytes = 9 - first.bit_length()
        body = position + id_bytes + size_bytes
        all_ones = (1 << 7 * size_bytes) - 1
        length = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & all_ones
        position = body if length == all_ones else body + length  # all ones: unknown size, its children follow
        yield position
