"""Still and animated images through Pillow, as reels."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vigil.errors import MediaError, SourceError
from vigil.stream._reel import Picture, Reel, Rgb

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".apng": "PNG", ".gif": "GIF", ".webp": "WEBP", ".bmp": "BMP",
    ".ppm": "PPM", ".pgm": "PPM",
}  # fmt: skip
"""File endings that are read as images, and the Pillow format behind each."""
MAX_PIXELS = 4096 * 4096
"""Largest picture that is decoded; its RGB form takes 48 MiB."""
DEFAULT_DELAY_S = 0.1
"""How long a picture of an animation stays when the file says 0, as browsers do."""
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow was seen to raise on damaged files."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's own warnings about damaged files off stderr; ours say which file it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def to_rgb(image: Image.Image) -> Rgb:
    """Convert any Pillow image to [H, W, 3] uint8, turned upright by its EXIF orientation."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        grey_HW = (np.asarray(upright) >> 8).astype(np.uint8)
        return np.stack([grey_HW] * 3, axis=-1)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
    return np.array(upright.convert("RGB"))


def open_image(path: Path, name: str) -> Reel:
    """Open one image file; an animated one gives a picture for each of its steps.

    Raises:
        MediaError: the file is not an image, or larger than `MAX_PIXELS`.
    """
    image = _open(path, name)
    reel = Reel(pictures=iter(()), close=image.close)
    reel.pictures = _steps(image, name, reel.warnings)
    return reel


def open_folder(path: Path, name: str, fps: float) -> Reel:
    """Open a folder of images, in natural order (2.jpg before 10.jpg), one picture every 1 / fps seconds.

    An image that cannot be read leaves its time empty and becomes a warning.

    Raises:
        SourceError: the folder holds no images.
        MediaError (while it is read): none of its images can be read.
    """
    files = sorted(
        (f for f in path.iterdir() if f.suffix.lower() in FORMATS and not f.name.startswith(".")), key=_natural
    )
    if not files:
        endings = " ".join(sorted(FORMATS))
        raise SourceError(f"folder {name} holds no images. Images are files that end in {endings}.")
    reel = Reel(pictures=iter(()), duration_s=len(files) / fps)
    reel.pictures = _pages(files, name, fps, reel.warnings)
    return reel


def _pages(files: list[Path], name: str, fps: float, notes: list[str]) -> Iterator[Picture]:
    """Yield one picture per readable file; open each only when its turn comes."""
    num_bad = 0
    for index, file in enumerate(files):
        try:
            with quiet(), _open(file, f"{name}/{file.name}") as image:
                rgb_HWC = to_rgb(image)
        except (MediaError, *DAMAGE):
            num_bad += 1
            continue
        yield index / fps, partial(np.asarray, rgb_HWC)
    if num_bad == len(files):
        raise MediaError(f"folder {name}: none of its {num_bad} images can be decoded. Check the files.")
    if num_bad:
        notes.append(f"{name}: {num_bad} of {len(files)} images could not be decoded and were left out.")


def _steps(image: Image.Image, name: str, notes: list[str]) -> Iterator[Picture]:
    """Yield each step of an animation; a still image has one, at 0 s."""
    time_s = 0.0
    for index in count():
        try:
            with quiet():
                image.seek(index)
                rgb_HWC = to_rgb(image)
        except DAMAGE as error:
            if index == 0:
                raise MediaError(f"{name} is damaged: its picture cannot be decoded. Save it again.") from error
            if not isinstance(error, EOFError):  # the plain end
                notes.append(f"{name} is damaged: only its first {index} pictures could be decoded.")
            return
        yield time_s, partial(np.asarray, rgb_HWC)
        time_s += float(image.info.get("duration", 0)) / 1000 or DEFAULT_DELAY_S


def _open(path: Path, name: str) -> Image.Image:
    """Open an image and check its size by the header, before any pixel is decoded."""
    try:
        with quiet():
            image = Image.open(path, formats=[FORMATS[path.suffix.lower()]])
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name} is too large: more than {MAX_PIXELS} pixels. Scale it down first.") from error
    except DAMAGE as error:
        raise MediaError(f"{name} is not an image that can be decoded. Check the file, or its ending.") from error
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width}x{image.height}"
        image.close()
        raise MediaError(f"{name} is too large: {size}, the limit is {MAX_PIXELS} pixels. Scale it down first.")
    return image


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sort key that reads digits as numbers, so that 2.jpg comes before 10.jpg."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
