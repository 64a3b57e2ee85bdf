"""Pictures as they go over the wire."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from vigil.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixels = bytes | NDArray[np.uint8] | Image

MAX_SIDE_PX = 1280
"""A larger picture is made smaller: models look at far fewer pixels."""
JPEG_QUALITY = 85


def encoded(image: Pixels) -> bytes:
    """A picture as JPEG; one that is encoded already (bytes) stays as it is.

    Args:
        image: JPEG, PNG or WebP bytes, RGB pixels uint8 [H, W, 3], or a Pillow image.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(image, bytes):
        return image
    picture = _picture(image)
    picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def _picture(image: Any) -> Image:
    from PIL import Image

    if isinstance(image, Image.Image):
        return image.convert("RGB")
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or str(dtype) != "uint8":
        found = f"{type(image).__name__} {shape or ''} {dtype or ''}".rstrip()
        raise ConfigError(f"{found} is no picture. Give RGB pixels uint8 [H, W, 3], a Pillow image, or JPEG bytes.")
    return Image.fromarray(image)
