"""From scenes to pixels: frames as arrays, and videos on disk.

Letters: F frames, H height, W width, C = 3 colour channels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vigil.errors import OutputError, ShapeError
from vigil.types import DenseCaptions
from vigil.world.captions import describe, write_captions
from vigil.world.chance import Draw, generator
from vigil.world.draw_camera import draw_camera
from vigil.world.draw_objects import draw_objects
from vigil.world.panel import draw_panel
from vigil.world.scene import Scene

WIDE = 0.5
"""Share of the footage (without a display) that is wider than high; a display would get too small to read."""
_JPEG_PX = 65_500
"""The tallest picture that JPEG can hold."""
_GRAIN = 1 << 17
DARK_LIGHT = 0.5
"""Light below which a picture is raised to the black level."""
BLACK_LEVEL = np.float32(8)
"""Least mean of a dark picture (grey levels), so that its noise still shows that it is live."""


def render(scene: Scene) -> NDArray[np.uint8]:
    """Draw all frames of a scene, [F, H, W, C], with everything that a poor camera does to them.

    The same scene gives the same frames. Two frames in a row are equal only where the picture is frozen.
    """
    rng = generator(scene.split, scene.seed, purpose=1)
    draw = Draw(rng)
    if scene.footage is None:
        if scene.panels is None:
            frames_FHWC = draw_objects(scene, draw)
        else:
            frames_FHWC = np.stack([draw_panel(panel, scene.config.size_px) for panel in scene.panels])
        return degrade(frames_FHWC, np.ones(scene.num_frames, dtype=np.float32), draw)
    frames_FHWC = degrade(*draw_camera(scene, draw, rng), draw)
    if not scene.footage.has_display and draw.chance(WIDE):
        frames_FHWC = _widened(frames_FHWC, draw.real(0.56, 0.76))
    for frame, moment in enumerate(scene.footage.moments):
        if moment.is_frozen:
            frames_FHWC[frame] = frames_FHWC[frame - 1]
    return frames_FHWC


def _widened(frames_FHWC: NDArray[np.uint8], height: float) -> NDArray[np.uint8]:
    """Frames of a wide camera on a square canvas, as pre-processing leaves them: part of the height, black below."""
    edge, width = frames_FHWC.shape[1:3]
    rows = round(edge * height)
    wide_FHWC = np.zeros_like(frames_FHWC)
    for wide_HWC, frame_HWC in zip(wide_FHWC, frames_FHWC, strict=True):
        wide_HWC[:rows] = np.asarray(Image.fromarray(frame_HWC).resize((width, rows), Image.Resampling.BILINEAR))
    return wide_FHWC


def degrade(frames_FHWC: NDArray[np.uint8], light_F: NDArray[np.float32], draw: Draw) -> NDArray[np.uint8]:
    """Apply the light of each frame, then blur, contrast, tint, noise and compression drawn once for the video.

    Each frame is treated by itself: nothing of a later frame leaks into an earlier one.
    """
    if draw.chance(0.4):
        soften = ImageFilter.BoxBlur(draw.real(0.15, 0.6))
        frames_FHWC = np.stack([np.asarray(Image.fromarray(frame_HWC).filter(soften)) for frame_HWC in frames_FHWC])
    contrast, brightness = draw.real(0.75, 1.2), draw.real(-22, 22)
    gain_C = np.array([contrast * draw.real(0.93, 1.07) for _ in range(3)], dtype=np.float32)
    num_frames, height, width, _ = frames_FHWC.shape
    gain_L = np.tile(gain_C, width)  # over whole lines: numpy is slow where the last axis is short
    x_FHL = frames_FHWC.reshape(num_frames, height, -1) * (light_F[:, None, None] * gain_L)
    lift_L = 128 + np.float32(brightness) - 128 * gain_L
    is_dark_F11 = (light_F < DARK_LIGHT)[:, None, None]
    x_FHL += np.where(is_dark_F11, np.maximum(lift_L, BLACK_LEVEL), lift_L)
    sigma, grain = np.float32(draw.real(1.5, 9.0)), _grain(height * gain_L.size)
    for x_HL in x_FHL:
        start = draw.below(_GRAIN)
        x_HL += sigma * grain[start : start + x_HL.size].reshape(x_HL.shape)
    np.clip(x_FHL, 0, 255, out=x_FHL)
    frames_FHWC = x_FHL.astype(np.uint8).reshape(frames_FHWC.shape)
    return _compressed(frames_FHWC, draw.between(30, 85)) if draw.chance(0.4) else frames_FHWC


@lru_cache(maxsize=4)
def _grain(tail: int) -> NDArray[np.float32]:
    """A long line of unit noise; frames take pieces of it, because fresh noise would cost more than all the drawing."""
    return np.random.default_rng(5).standard_normal(_GRAIN + tail, dtype=np.float32)


def _compressed(frames_FHWC: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Send all frames through JPEG, in tall images of whole 8x8 blocks, so that frames stay apart."""
    at_once = max(1, _JPEG_PX // frames_FHWC.shape[1])
    parts = (frames_FHWC[start : start + at_once] for start in range(0, len(frames_FHWC), at_once))
    return np.concatenate([_through_jpeg(part, quality) for part in parts])


def _through_jpeg(frames_FHWC: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    tall = frames_FHWC.reshape(-1, *frames_FHWC.shape[2:])
    Image.fromarray(tall).save(file, "JPEG", quality=quality, subsampling=0)
    return np.array(Image.open(file)).reshape(frames_FHWC.shape)


def write_video(
    frames_FHWC: NDArray[np.uint8], fps: float, path: Path, *, scale: int = 4, smooth: bool = False
) -> None:
    """Write frames as an H.264 video (yuv420p), each pixel as a square of `scale` pixels, or smoothly enlarged.

    Raises:
        ShapeError: the frames are not [F, H, W, 3], or an edge of the video would be odd.
        OutputError: the file could not be written.
    """
    import av

    if frames_FHWC.ndim != 4 or frames_FHWC.shape[3] != 3 or any(edge * scale % 2 for edge in frames_FHWC.shape[1:3]):
        raise ShapeError(
            f"frames must be [F, H, W, 3] with even edges after scaling by {scale}, got {frames_FHWC.shape}."
        )
    width, height = frames_FHWC.shape[2] * scale, frames_FHWC.shape[1] * scale
    resample = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    try:
        with av.open(str(path), "w") as container:
            rate = Fraction(fps).limit_denominator(1001)
            stream = container.add_stream("libx264", rate=rate, options={"crf": "14", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for frame_HWC in frames_FHWC:
                picture = Image.fromarray(frame_HWC).resize((width, height), resample)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
            container.mux(stream.encode())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}. Choose a folder that exists.") from error


def render_folder(
    scenes: Iterable[Scene], folder: Path, *, scale: int = 4, on_video: Callable[[Path], None] | None = None
) -> Path:
    """Write each scene as an mp4 file, and what is true of all of them to `captions.jsonl`; return that path.

    `on_video` is called with each file as soon as it is written.

    Raises:
        OutputError: the folder or a file could not be written.
    """
    captions_file = folder / "captions.jsonl"

    def write_one(scene: Scene) -> DenseCaptions:
        file = folder / f"{scene.id.replace(':', '-')}.mp4"
        write_video(render(scene), scene.fps, file, scale=scale)
        if on_video is not None:
            on_video(file)
        return replace(describe(scene), video=file.name)

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error}. Choose another one.") from error
    write_captions(captions_file, (write_one(scene) for scene in scenes))
    return captions_file
