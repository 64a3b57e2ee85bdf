"""Video in: files, folders of images, live sources and your own pictures become frames with true times, sampled.

    with open_source("kitchen.mp4", fps=2.0) as source:
        for frame in source:
            print(frame.time_s, frame.image.shape)

Everything is lazy: a frame is decoded when it is asked for, and none is kept.
"""

from __future__ import annotations

import math
import stat
import unicodedata
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vigil.errors import ConfigError, MediaError, ShapeError, SourceError
from vigil.stream._reel import Picture, Reel, Rgb, sample
from vigil.stream.address import address_of
from vigil.stream.notices import Notice
from vigil.types import Frame

if TYPE_CHECKING:
    from PIL import Image

    from vigil.stream.live import LiveConfig

RawImage: TypeAlias = "NDArray[np.uint8] | Image.Image"
SourceSpec: TypeAlias = "str | Path | Source | Iterable[tuple[RawImage, float]]"

_KEPT_FORMATS = "\u200c\u200d"  # joiners: without them some scripts and emoji fall apart


def printable(text: str) -> str:
    """Make text safe to print on one line: no control or direction characters, no line breaks, no lone surrogates."""
    kept = []
    for char in text:
        category = unicodedata.category(char)
        if char in "\t\n\r" or category in ("Zl", "Zp"):
            kept.append(" ")
        elif category == "Cs":
            kept.append("\N{REPLACEMENT CHARACTER}")
        elif category not in ("Cc", "Cf") or char in _KEPT_FORMATS:
            kept.append(char)
    return "".join(kept)


class Source:
    """An opened video source, to be iterated once.

    `name` is safe to print. `duration_s` is None where it is not known. `warnings` holds lines such as "clip.mkv is cut
    short: ..."; it is complete when the last frame has been read.
    """

    is_live = False
    """Frames come when they come, and it may freeze, break and come back."""
    on_notice: Callable[[Notice], None]
    """Called with what a live source says besides its frames; set it before the first frame is asked for."""

    def __init__(self, name: str, reel: Reel, *, fps: float) -> None:
        self.name = name
        self.fps = fps
        self.duration_s = reel.duration_s
        self.on_notice = lambda notice: None
        self.warnings = reel.warnings
        self._reel = reel
        self._is_closed = False
        self._frames = self._sampled()

    def _sampled(self) -> Generator[Frame, None, None]:
        try:
            for frame in sample(self._reel.pictures, self.fps):
                yield frame
                if self._is_closed:
                    return
        finally:
            self._reel.close()

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def read_at(self, fps: float) -> None:
        """Sample at another rate (Hz); before the first frame is asked for."""
        self.fps = fps

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give no more frames, and free the file; from any thread, and as often as you like."""
        self._is_closed = True
        try:
            self._frames.close()
        except ValueError:  # another thread is waiting for a frame; the file is freed when it has come
            return
        self._reel.close()


def open_source(spec: SourceSpec, *, fps: float, live: LiveConfig | None = None) -> Source:
    """Open a file, a folder of images, a live source, or any iterable of (image, seconds), read at `fps` (Hz).

    A live source is a camera (`camera:0`, `/dev/video0`), the screen (`screen:`), or an address that begins with
    rtsp://, rtsps://, http:// or https://; this waits for its first picture, and `live` says how patient it is. An
    image of an iterable is a uint8 RGB array [H, W, 3] or a Pillow image. Sampling: for each k the first picture at or
    after k / fps seconds, with the time that the source gave it. A `Source` is returned as it is.

    Raises:
        ConfigError: `fps` is not a finite number above 0.
        SourceError: there is no such file, it may not be read, it is a folder without images, or a live source that
            cannot be reached or may not be opened.
        MediaError: it was opened, but holds nothing that can be decoded.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ConfigError(f"fps must be a number above 0, got {fps}.")
    if isinstance(spec, Source):
        return spec
    if spec == "":
        raise SourceError("the source's name is empty. Give a file or a folder of images.")
    if isinstance(spec, (str, Path)):
        address = address_of(spec)
        if address is not None:
            from vigil.stream.live import LiveSource

            return LiveSource(address, fps=fps, config=live).open()
        path = Path(spec)
        name = printable(path.name or str(path))
        return Source(name, _open_path(spec, path, name, fps), fps=fps)
    return Source("frames", Reel(pictures=_given(spec)), fps=fps)


def _open_path(spec: str | Path, path: Path, name: str, fps: float) -> Reel:
    from vigil.stream import _images, _media

    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise SourceError(f"{printable(str(spec))} does not exist or cannot be reached. Check the path.") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise SourceError(f"{name} is not a file or a folder. Cameras are /dev/video*; pipes are not opened.")
    try:
        if stat.S_ISDIR(mode):
            return _images.open_folder(path, name, fps)
        path.open("rb").close()
    except PermissionError as error:
        raise SourceError(f"{name} may not be read: permission denied. Change its permissions.") from error
    if path.suffix.lower() in _images.FORMATS:
        return _images.open_image(path, name)
    return _media.open_media(path, name)


def _given(items: Iterable[tuple[RawImage, float]]) -> Iterator[Picture]:
    """Read the caller's own pictures."""
    for index, (image, time_s) in enumerate(items):
        if not math.isfinite(time_s):
            raise MediaError(f"picture {index} has the time {time_s} s. Give seconds as a finite number.")
        yield float(time_s), partial(_given_rgb, image, index)


def _given_rgb(image: RawImage, index: int) -> Rgb:
    if not isinstance(image, np.ndarray):
        from vigil.stream._images import to_rgb

        return to_rgb(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ShapeError(
            f"picture {index} is {image.dtype} {list(image.shape)}. Give uint8 [height, width, 3] or a Pillow image."
        )
    return np.ascontiguousarray(image)
