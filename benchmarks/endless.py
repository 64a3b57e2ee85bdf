"""Does a stream of any length run in the same memory, at the same speed, with the same answers?

    python benchmarks/endless.py [--hours 24] [--retention window] [--memory 64] [--text 256] [--storage model] [--save]

nano watches one stream at 1 frame/s in virtual time, one session from beginning to end. It repeats an hour of 60
scenes, each with a question about itself in its second half: every hour asks the same about the same, so hours can be
compared question by question. Time is CPU time of the one thread that does everything. Drift is the endurance drift of
the evaluation: the Theil-Sen slope per hour over one sample a minute, as a share of the median; over the whole run it
should stay within 2 %. The encoder's work does not depend on what is remembered, so its time is the control: what a
busy machine does to all three times is not in `see_ratio` and `word_ratio`, which are shares of it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from pathlib import Path
from typing import Any, get_args

import torch
from asking import Image, Needle, Stepper, images, needle_of, stage_scenes
from common import RESULTS, machine

from vigil.config import Retention, StreamConfig
from vigil.eval.stats import median, theil_sen
from vigil.model import load

SCENE_S = 60
KINDS = ("where", "present", "count", "count_named", "colour", "last_seen", "state", "seen")
FLAT = 0.02
MEASURES = (
    "see_ms", "word_ms", "perceive_ms", "see_ratio", "word_ratio", "lane_bytes", "rss_bytes", "max_position",
)  # fmt: skip


def hour() -> tuple[list[list[Image]], list[Needle]]:
    """Sixty scenes with one question each."""
    clips: list[list[Image]] = []
    needles: list[Needle] = []
    for number, scene in enumerate(stage_scenes(4 * 60, seconds=SCENE_S)):
        kind = KINDS[len(clips) % len(KINDS)]
        needle = needle_of(scene, kind, 32 + number % 20)
        if needle is not None and len(clips) < 60:
            clips.append(images(scene))
            needles.append(needle)
    assert len(clips) == 60, "the world has a question of each kind in most scenes"
    return clips, needles


def rss_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def sample(stepper: Stepper, evicted: int) -> dict[str, float]:
    """One minute's medians, and what is held now; starts the next minute."""
    session, minute = stepper.session, {}
    for name, seconds in (("see_ms", stepper.see_s), ("word_ms", stepper.word_s), ("perceive_ms", stepper.perceive_s)):
        minute[name] = 1000 * (median(seconds) or float("nan"))
        seconds.clear()
    for name in ("see", "word"):
        minute[f"{name}_ratio"] = minute[f"{name}_ms"] / minute["perceive_ms"]
    held = [frame for entry in session._frames.frames for frame in entry]
    minute["lane_bytes"] = session.num_bytes
    minute["rss_bytes"] = rss_bytes()
    minute["max_position"] = max(len(session._ledger) - 1, *session._frames.positions)
    minute["frames_held"] = len(held)
    minute["frames_lost_track_of"] = stepper._num_frames - len(held) - evicted
    return minute


def drift(minutes: list[dict[str, float]], name: str) -> dict[str, Any]:
    """Slope per hour as a share of the median, with its interval, and what it comes to over the run."""
    points = [(n / 60, minute[name]) for n, minute in enumerate(minutes) if minute[name] == minute[name]]
    slope, middle = theil_sen([x for x, _ in points], [y for _, y in points]), median([y for _, y in points])
    if slope is None or not middle:
        return {"median": middle, "per_hour": None}
    share, run = slope.value / middle, points[-1][0]
    return {
        "median": middle,
        "per_hour": share,
        "interval": [slope.lo / middle, slope.hi / middle],
        "over_run": share * run,
        "flat": abs(share * run) <= FLAT,
    }


def run(config: StreamConfig, hours: float) -> dict[str, Any]:
    """Watch, ask and measure."""
    clips, needles = hour()
    evicted = 0

    def count(kind: str, **fields: Any) -> None:
        nonlocal evicted
        evicted += kind == "evict"

    stepper = Stepper(load("nano", device="cpu"), config, trace=count)
    gc.collect()
    minutes: list[dict[str, float]] = []
    right: list[bool] = []
    start_s = time.perf_counter()
    for number in range(round(hours * 60)):
        clip, needle = clips[number % 60], needles[number % 60]
        for frame, image in enumerate(clip):
            stepper.frame(image)
            if frame == needle.frame:
                stepper.ask(needle.question)
        stepper.until(stepper.now_s + 0.999)
        right.append(bool(stepper.answers) and needle.is_answered_by(stepper.answers[0]))
        minutes.append(sample(stepper, evicted))
    by_hour = [right[n : n + 60] for n in range(0, len(right), 60)]
    whole = [answered for answered in by_hour if len(answered) == 60]
    return {
        "hours": hours,
        "frames": stepper._num_frames,
        "ran_s": time.perf_counter() - start_s,
        "accuracy_by_hour": [sum(answered) / len(answered) for answered in by_hour],
        "answers_unlike_hour_1": [sum(a != b for a, b in zip(whole[0], now, strict=True)) for now in whole[1:]],
        "answers_unlike_hour_2": [sum(a != b for a, b in zip(whole[1], now, strict=True)) for now in whole[2:]],
        "frames_lost_track_of": max(minute["frames_lost_track_of"] for minute in minutes),
        "drift": {name: drift(minutes[1:], name) for name in MEASURES},
        "minutes": {name: [minute[name] for minute in minutes] for name in MEASURES},
    }


def plot(result: dict[str, Any], path: Path) -> None:
    """Memory, time and accuracy over the hours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.subplots(4, 1)
    minutes = result["minutes"]
    hours = [n / 60 for n in range(len(minutes["see_ms"]))]
    for name, label in (("see_ms", "frame and decision"), ("word_ms", "word"), ("perceive_ms", "encoder")):
        axes[0].plot(hours, minutes[name], label=label, linewidth=0.8)
    axes[0].set_ylabel("CPU ms")
    axes[0].legend(loc="upper right")
    axes[1].plot(hours, [b / 2**20 for b in minutes["lane_bytes"]], label="both lanes")
    axes[1].plot(hours, [b / 2**20 for b in minutes["rss_bytes"]], label="process")
    axes[1].set_ylabel("MiB")
    axes[1].legend(loc="center right")
    axes[2].plot(hours, minutes["max_position"], linewidth=0.8)
    axes[2].set_ylabel("largest position")
    axes[3].plot([n + 0.5 for n in range(len(result["accuracy_by_hour"]))], result["accuracy_by_hour"], marker="o")
    axes[3].set_ylim(0, 1)
    axes[3].set_ylabel("needles found")
    axes[3].set_xlabel("hours of stream")
    for axis in axes[:3]:
        axis.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print and keep."""
    default = StreamConfig(memory_frames=60, text_tokens=256)
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--hours", type=float, default=24.0)
    flags.add_argument("--retention", choices=get_args(Retention), default=default.retention)
    flags.add_argument("--storage", choices=["model", "int8", "fp8"], default=default.frame_storage)
    flags.add_argument("--memory", type=int, default=default.memory_frames, metavar="FRAMES")
    flags.add_argument("--text", type=int, default=default.text_tokens, metavar="TOKENS")
    flags.add_argument("--save", action="store_true", help="keep JSON and plot under results/")
    args = flags.parse_args()
    torch.set_num_threads(1)
    config = StreamConfig(
        retention=args.retention, frame_storage=args.storage, memory_frames=args.memory, text_tokens=args.text
    )
    setting = {"retention": args.retention, "storage": args.storage, "memory": args.memory, "text": args.text}
    result = {"benchmark": "endless", **machine(), **setting, **run(config, args.hours)}
    if args.save:
        RESULTS.mkdir(exist_ok=True)
        name = f"{result['date']}-endless-{args.retention}-{args.storage}-{args.hours:g}h"
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        plot(result, RESULTS / f"{name}.png")
    del result["minutes"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
