"""Tiny videos for tests, made with PyAV: picture i is grey with the mean 10 * i, so a frame tells which one it is."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from vigil.stream.source import Source, open_source

if TYPE_CHECKING:
    from vigil.stream.source import SourceSpec

MS = Fraction(1, 1000)


NOISE_HWC = np.random.default_rng(0).integers(-9, 10, (16, 16, 3))


def grey(value: int) -> NDArray[np.uint8]:
    """A picture with a given mean, and noise on it so that its packet has a natural size."""
    return np.clip(NOISE_HWC + value, 0, 255).astype(np.uint8)


def write_video(
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    times_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv444p",
    options: dict[str, str] | None = None,
) -> Path:
    """Write images losslessly enough to tell them apart, by default 10 per second."""
    times_ms = times_ms or [100 * i for i in range(len(images))]
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=10, options={"crf": "1"} if codec == "libx264" else {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.gop_size = pixels, 2
        stream.time_base = stream.codec_context.time_base = MS
        for image_HWC, time_ms in zip(images, times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(image_HWC, "rgb24")
            frame.pts, frame.time_base = time_ms, MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def ten(path: Path, *, times_ms: Sequence[int] | None = None, options: dict[str, str] | None = None) -> Path:
    """A video of 10 pictures, 1 s long unless `times_ms` says otherwise, with the means 0, 10, ..., 90."""
    return write_video(path, [grey(10 * i) for i in range(10)], times_ms=times_ms, options=options)


def cut(path: Path, part: float) -> Path:
    """Keep only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def read(spec: SourceSpec, fps: float = 1000.0) -> tuple[list[float], list[int], Source]:
    """Times (ms resolution) and picture indices of all frames."""
    with open_source(spec, fps=fps) as source:
        frames = list(source)
    assert all(f.image.dtype == np.uint8 and f.image.shape[2] == 3 and f.image.flags.c_contiguous for f in frames)
    return [round(f.time_s, 3) for f in frames], [round(float(f.image.mean()) / 10) for f in frames], source


CORNERS = np.zeros((16, 32, 3), dtype=np.uint8)
CORNERS[:8, :16] = [255, 0, 0]  # red top left, green top right, blue bottom left, black bottom right
CORNERS[:8, 16:] = [0, 255, 0]
CORNERS[8:, :16] = [0, 0, 255]
