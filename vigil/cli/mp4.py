"""An MP4 file that is written while its pictures come: one video track, one text track, in constant memory.

Until it is finished it is called FILE.part. (It is not written in fragments, which would play before: FFmpeg's muxer
aborts the process when a text track has pauses between them.) Axes: H height, W width, C colour channel (RGB).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

from vigil.cli.subtitles import Cue, move_into_place, not_writable

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

    from vigil.cli.strip import Rgb

ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "tune": "zerolatency", "crf": "20"},
    "mpeg4": {"flags": "+qscale", "global_quality": "354"},
}
"""The first that is there is used; options for text that stays sharp. 354 is a quantizer of 3 (times 118)."""
TICK = Fraction(1, 1000)
BT709 = 1
"""Number of that standard in H.273, for primaries, transfer and matrix; without it players guess the colours."""
JUMP_PICTURES = 24
"""Pictures between two places that a player can jump to, at most."""
LONGEST_TEXT = 16_000
"""Characters of a text that surely fit into a packet of 64 KiB."""
_STYLE = b"""\
[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""How players show the track of texts, unless they have a mind of their own."""


class Mp4:
    """Pictures and cues at their times (s), each in order of time."""

    def __init__(self, path: Path, *, width_px: int, height_px: int) -> None:
        """Begin the file; width and height are even.

        Raises:
            OutputError: it cannot be written.
        """
        import av

        self.path = path
        whole = path.resolve()  # a link stays one
        self.part = whole.with_name(whole.name + ".part")
        self._held: av.Packet[VideoStream] | None = None
        try:
            self._sink = _Sink(self.part)
        except OSError as error:
            raise not_writable(path, error) from error
        self._container = av.open(self._sink, mode="w", format="mp4")
        self._video = self._add_video(width_px, height_px)
        self._text = self._container.add_stream("mov_text")
        self._text.codec_context.subtitle_header = _STYLE
        self._text.time_base = TICK

    def _add_video(self, width_px: int, height_px: int) -> VideoStream:
        import av
        from av.video.reformatter import ColorRange

        name = next(name for name in ENCODERS if name in av.codecs_available)
        video = cast("VideoStream", self._container.add_stream(name, rate=25, options=ENCODERS[name]))
        video.width, video.height, video.pix_fmt = width_px, height_px, "yuv420p"
        codec = video.codec_context
        codec.gop_size = JUMP_PICTURES
        video.time_base = codec.time_base = TICK
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = ColorRange.MPEG
        return video

    def picture(self, image_HWC: Rgb, time_s: float) -> None:
        """Show a picture from this time on. Raises OutputError."""
        import av
        from av.video.reformatter import Colorspace

        rgb = av.VideoFrame.from_ndarray(image_HWC, format="rgb24")
        frame = rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        frame.pts, frame.time_base = ticks(time_s), TICK
        with self._writing():
            for packet in self._video.encode(frame):
                self._mux(packet)

    def cue(self, cue: Cue) -> None:
        """Add a text to the track of texts. Raises OutputError."""
        import av

        text = cue.text[:LONGEST_TEXT].encode()
        packet = av.Packet(2 + len(text))  # filled: one made of bytes may outlive them in the muxer's queue (PyAV 17)
        packet.update(len(text).to_bytes(2, "big") + text)
        packet.stream, packet.time_base = self._text, TICK
        packet.pts = packet.dts = ticks(cue.start_s)
        packet.duration = ticks(cue.end_s) - ticks(cue.start_s)
        with self._writing():
            self._container.mux(packet)

    def finish(self, end_s: float) -> None:
        """The last picture is shown until `end_s`; the file gets its name. Raises OutputError."""
        with self._writing():
            for packet in self._video.encode():
                self._mux(packet)
            self._mux(None, until=ticks(end_s))
            self._container.close()
            self._sink.check()
            self._sink.close()
            move_into_place(self.part, self.path.resolve())

    def _mux(self, packet: av.Packet[VideoStream] | None, until: int | None = None) -> None:
        """Write the picture before this one, now that it is known how long it is shown."""
        held, self._held = self._held, packet
        if held is not None:
            end = until if packet is None else packet.pts
            assert held.pts is not None
            assert end is not None
            held.duration = max(1, end - held.pts)
            self._container.mux(held)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A file that cannot be written to its end is removed, and its muxer closed: neither is used again.

        Left to the garbage collector, the muxer may write to what is gone already.
        """
        try:
            self._sink.check()
            yield
            self._sink.check()
        except OSError as error:
            self._container.close()
            self.part.unlink(missing_ok=True)
            raise not_writable(self.path, error) from error


class _Sink:
    """The file as the muxer writes it. An error waits for `check`: one that is raised inside the muxer may get lost."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it; nothing, once that has failed."""
        rest = memoryview(data)
        try:
            while rest and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
            self._file.close()
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another place of the file."""
        return self._file.seek(offset, whence) if self._error is None else offset

    def tell(self) -> int:
        """The place where the next bytes go."""
        return self._file.tell() if self._error is None else 0

    def check(self) -> None:
        """Raises OSError: something could not be written."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file, once all of it is on the disk. Raises OSError."""
        os.fsync(self._file.fileno())
        self._file.close()


def ticks(time_s: float) -> int:
    """A time as the file keeps it."""
    return round(time_s / TICK)
