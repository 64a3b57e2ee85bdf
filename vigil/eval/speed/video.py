"""Decoding and resizing of a 1080p video, which every model has to pay before it sees anything."""

from __future__ import annotations

import tempfile
import time
from fractions import Fraction
from pathlib import Path
from statistics import median

import numpy as np

from vigil.errors import VigilError
from vigil.eval.speed import offline, qwen
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import Contestant
from vigil.eval.speed.figures import Figure, Part, Row
from vigil.stream.source import open_source

HEIGHT, WIDTH = 1080, 1920
NAMES = ("ttft_video_s", "ttft_video_ratio_qwen", "ttft_video_ratio_twin")
LOOKED_AT = 32
"""Frames of the video that are decoded and resized; a longer video is reckoned from their median."""


def write_clip(path: Path, num_frames: int) -> None:
    """Write a 1080p video, H.264 at 1 frame/s: a gradient with noise that moves, which costs about what film costs.

    Raises:
        ImportError: PyAV is not installed.
    """
    import av

    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    base = np.stack((across // 8, down // 5, (across + down) // 12), axis=-1) % 256
    grain = random.integers(-12, 13, (HEIGHT, WIDTH, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1)
        for n in range(num_frames):
            image = np.clip(np.roll(base, 16 * n, axis=1) + np.roll(grain, 7 * n, axis=0), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def costs_s(who: list[Contestant], path: Path) -> tuple[float, dict[str, float]]:
    """Seconds to decode one frame, and to resize it for each contestant; medians, processor time of all threads."""
    decode: list[float] = []
    resize: dict[str, list[float]] = {one.name: [] for one in who}
    with open_source(path, fps=1.0) as source:
        frames, start = iter(source), time.process_time()
        for frame in frames:
            decode.append(time.process_time() - start)
            for one in who:
                start = time.process_time()
                one.resize(frame.image)
                resize[one.name].append(time.process_time() - start)
            start = time.process_time()
    return median(decode), {name: median(times) for name, times in resize.items()}


def video(bench: Bench) -> Part:
    """Add to each offline TTFT what decoding and resizing cost: stages that follow one another on both sides."""
    num = bench.scale.frames
    setting = f"{num} frames decoded from 1080p H.264 and resized one after the other, then as offline"
    who: list[Contestant] = [bench.vigil(), bench.twin()]
    theirs = bench.qwen("qwen", bench.scale.qwen.frame_px)
    who += [] if theirs is None else [theirs]
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench.note("writing a 1080p video")
            path = Path(folder) / "clip.mp4"
            write_clip(path, LOOKED_AT)
            bench.note("decoding and resizing")
            decode_s, resize_s = costs_s(who, path)
    except (ImportError, VigilError) as error:
        return Part(tuple(Figure(name, None, setting, reason=f"no video could be decoded: {error}") for name in NAMES))
    ttft_s: dict[str, float] = {}
    rows: list[Row] = []
    for one in who:
        found = offline.run(bench, one, num)
        ttft_s[one.name] = num * (decode_s + resize_s[one.name]) + found.ttft_s
        rows.append(
            {"who": one.name, "frames": num, "decode_s": num * decode_s, "resize_s": num * resize_s[one.name],
             "encoder_s": found.encode_s, "decoder_s": found.prefill_s, "ttft_s": ttft_s[one.name]}
        )  # fmt: skip
    ours = ttft_s["vigil"]
    figures = (
        Figure("ttft_video_s", ours, setting),
        Figure("ttft_video_ratio_twin", ttft_s["twin"] / ours, setting),
        Figure(
            "ttft_video_ratio_qwen", ttft_s["qwen"] / ours if theirs else None, setting,
            reason="" if theirs else qwen.why_not(),
        ),
    )  # fmt: skip
    return Part(figures, tuple(rows))
