"""What a model notices in real video (hard cuts between shots that you name, dimming, freezing) and what it makes up.

    python benchmarks/real_cuts.py --shot kitchen.mp4@0-9.5 --shot street.mp4@2-8 --model nano --json out.json

Shots are pieces of video files without a cut inside. They are strung together at random, some dimmed a little or
mirrored as a whole; in a second and a third run the light fails or the picture freezes for some seconds. A change is
noticed if an answer starts within 2 s of it; every other answer is a false alarm, whatever it says. Every shot needs
2 s or more.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vigil
from vigil.config import StreamConfig
from vigil.eval.matching import match
from vigil.model.model import VideoModel
from vigil.stream.source import open_source
from vigil.types import Say

LATE_S = 2.0
REQUESTS = {
    "cut": "Tell me when the scene changes.",
    "dark": "Tell me when it gets dark.",
    "freeze": "Tell me when the picture freezes.",
}

Shot = list[NDArray[np.uint8]]


def read_shot(spec: str, fps: float) -> Shot:
    """Frames of `FILE@START-END`, in seconds."""
    file, _, span = spec.rpartition("@")
    start_s, _, end_s = span.partition("-")
    with open_source(Path(file), fps=fps) as source:
        return [frame.image for frame in source if float(start_s) <= frame.time_s <= float(end_s)]


def string_together(shots: Sequence[Shot], rng: random.Random, num_frames: int) -> tuple[Shot, list[int]]:
    """Random pieces of shots, two neighbours never of the same one, and the frames at which they meet."""
    frames: Shot = []
    cuts: list[int] = []
    last = -1
    while len(frames) < num_frames:
        last = rng.choice([index for index in range(len(shots)) if index != last])
        length = min(len(shots[last]), rng.randint(4, 14))
        start = rng.randint(0, len(shots[last]) - length)
        change = rng.choice(
            [lambda x: x, lambda x: x, lambda x: (x * 0.7).astype(np.uint8), lambda x: x[:, ::-1].copy()]
        )
        if frames:
            cuts.append(len(frames))
        frames += [change(image) for image in shots[last][start : start + length]]
    return frames, cuts


def spells(num_frames: int, rng: random.Random) -> list[tuple[int, int]]:
    """Spans of 4 to 8 frames, at least 6 apart."""
    spans, at = [], rng.randint(4, 10)
    while at + 8 < num_frames:
        spans.append((at, at + rng.randint(4, 8)))
        at = spans[-1][1] + rng.randint(6, 14)
    return spans


def disturb(frames: Shot, spans: list[tuple[int, int]], what: str) -> Shot:
    """Frames with the light down, or the picture standing still, within the spans."""
    out = list(frames)
    for start, end in spans:
        for index in range(start, min(end, len(out))):
            out[index] = (frames[index] * 0.12).astype(np.uint8) if what == "dark" else out[start - 1].copy()
    return out


def starts_of_speech(model: VideoModel, frames: Shot, request: str, fps: float) -> list[float]:
    """When each answer to a standing request begins (s)."""
    first: dict[int, float] = {}
    with vigil.Session(model, config=StreamConfig(fps=fps, tokens_per_s=8.0)) as live:
        live.ask(request, standing=True, at_s=0.0)
        for event in live.watch([(image, index / fps) for index, image in enumerate(frames)], speed="max"):
            if isinstance(event, Say):
                first.setdefault(event.answer, event.time_s)
    return list(first.values())


def main() -> None:
    """Put cuts between real shots, and print how often and how soon they are told."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--shot", action="append", required=True, metavar="FILE@START-END")
    flags.add_argument("--model", default="nano")
    flags.add_argument("--fps", type=float, default=2.0)
    flags.add_argument("--trials", type=int, default=20)
    flags.add_argument("--frames", type=int, default=60, help="of each trial")
    flags.add_argument("--json", type=Path)
    args = flags.parse_args()
    model = vigil.load(args.model)
    shots = [read_shot(spec, args.fps) for spec in args.shot]
    found: dict[str, dict[str, float]] = {}
    for what, request in REQUESTS.items():
        rng = random.Random(0)
        due = noticed = spoken = num_frames = 0
        for _ in track(range(args.trials), what, console=Console(stderr=True)):
            if what == "cut":
                frames, at = string_together(shots, rng, args.frames)
            else:  # one shot, played to and fro
                shot = rng.choice([shot for shot in shots if len(shot) >= 8])
                to_and_fro = shot + shot[-2:0:-1]
                frames = (to_and_fro * (args.frames // len(to_and_fro) + 1))[: args.frames]
                spans = spells(len(frames), rng)
                frames, at = disturb(frames, spans, what), [start for start, _ in spans]
            starts = starts_of_speech(model, frames, request, args.fps)
            pairs = match(
                [round(start * 1e6) for start in starts],
                [round(frame / args.fps * 1e6) for frame in at],
                early_us=0,
                late_us=round(LATE_S * 1e6),
            )
            due, noticed, spoken = due + len(at), noticed + len(pairs), spoken + len(starts)
            num_frames += len(frames)
        minutes = num_frames / args.fps / 60
        found[what] = {
            "changes": due,
            "noticed": noticed / due,
            "false_alarms_per_min": (spoken - noticed) / minutes,
            "minutes": minutes,
        }
    table = Table("request", "changes", f"noticed within {LATE_S:g} s", "false alarms per minute")
    for what, row in found.items():
        table.add_row(
            REQUESTS[what], f"{row['changes']:.0f}", f"{row['noticed']:.0%}", f"{row['false_alarms_per_min']:.2f}"
        )
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps({"model": args.model, "fps": args.fps, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
