"""How good are answers that need memory, against the memory they may use, for each policy?

    python benchmarks/memory_curve.py [--scenes 60] [--seconds 120] [--entries 4 8 16 32 64] [--save]

nano watches scenes of two minutes and is asked at their end about what is no longer to be seen: "have you seen a
NAME?" (gone for at least ten frames, or never there), "where was the NAME last?", and how many times something
happened. Entries are what the frame memory may hold, each as large as a frame; the text lane is bounded along with
them, or it would remember for the frames. Beside the curve stands a stream whose two lanes never fill, and the answers
to the same questions when nothing was seen (`blind`: one black frame).
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from asking import Image, Needle, gone_for, images, needle_of, stage_scenes, watch_together
from common import RESULTS, machine

from vigil.config import Retention, StreamConfig
from vigil.model import load
from vigil.model.model import VideoModel
from vigil.stream.budget import budget_of

LEAST_GONE = 10
"""Frames for which a thing has been out of sight when it is asked about."""
PATIENCE_S = 10.0
"""How long an answer may take."""
KINDS = ("seen", "unseen", "last_seen", "times")
POLICIES: tuple[tuple[Retention, str], ...] = (
    ("window", "model"), ("keyframes", "model"), ("pool", "model"), ("merge", "model"), ("window", "int8"),
    ("window", "fp8"), ("merge", "int8"),
)  # fmt: skip
Case = tuple[list[Image], Needle]


def cases(num: int, seconds: float) -> list[Case]:
    """Scenes, each with one question at its end; the kinds of question take turns."""
    found: list[Case] = []
    for scene in stage_scenes(20 * num, seconds=seconds, first=10_000):
        last, kind = scene.num_frames - 1, KINDS[len(found) % len(KINDS)]
        if kind == "unseen":
            needle = needle_of(scene, "seen", last, subjects=scene.distractors)
        elif kind == "times":
            needle = needle_of(scene, "times", last)
        else:
            needle = needle_of(scene, kind, last, subjects=gone_for(scene, last, LEAST_GONE))
        if needle is not None:
            found.append((images(scene), needle))
        if len(found) == num:
            break
    return found


def config_of(entries: int, retention: Retention, storage: str) -> StreamConfig:
    """Lanes of so many entries; text for as many silent slots, the question and a little more."""
    return StreamConfig(
        memory_frames=entries,
        retention=retention,
        frame_storage=storage,  # type: ignore[arg-type]
        pool_frames=2 if entries < 8 else 4,
        recent_frames=max(1, entries // 4),
        text_tokens=2 * entries + 96,
    )


def score(model: VideoModel, asked: list[Case], config: StreamConfig, *, blind: bool = False) -> dict[str, float]:
    """Share of right answers, over all and by kind."""
    clips = [[clip[0] * 0] if blind else clip for clip, _ in asked]
    answers = watch_together(model, config, clips, [needle.question for _, needle in asked], PATIENCE_S)
    right: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for number, (answer, (_, needle)) in enumerate(zip(answers, asked, strict=True)):
        right[KINDS[number % len(KINDS)]].append(answer is not None and needle.is_answered_by(answer))
    everything = [answered for group in right.values() for answered in group]
    return {
        "all": sum(everything) / len(everything),
        **{kind: sum(group) / len(group) for kind, group in right.items() if group},
    }


def half_width(share: float, num: int) -> float:
    """Half a 95 % interval of a share, as if questions were independent."""
    return 1.96 * math.sqrt(share * (1 - share) / num)


def plot(result: dict[str, Any], path: Path) -> None:
    """One line per policy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for retention, storage in POLICIES:
        rows = [row for row in result["rows"] if (row["retention"], row["storage"]) == (retention, storage)]
        label = retention if storage == "model" else f"{retention}, {storage}"
        axis.plot([row["num_bytes"] / 2**20 for row in rows], [row["all"] for row in rows], marker="o", label=label)
    axis.axhline(result["unbounded"]["all"], color="black", linestyle=":", label="nothing ever goes")
    axis.axhline(result["blind"]["all"], color="gray", linestyle="--", label="blind")
    axis.set(xscale="log", xlabel="frame memory (MiB)", ylabel="right answers that need memory", ylim=(0, 1))
    axis.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print and keep."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--scenes", type=int, default=60)
    flags.add_argument("--seconds", type=float, default=120.0)
    flags.add_argument("--entries", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    flags.add_argument("--save", action="store_true", help="keep JSON and plot under results/")
    args = flags.parse_args()
    torch.set_num_threads(1)
    model, asked = load("nano", device="cpu"), cases(args.scenes, args.seconds)
    rows: list[dict[str, Any]] = []
    for retention, storage in POLICIES:
        for entries in args.entries:
            config = config_of(entries, retention, storage)
            shares = score(model, asked, config)
            num_bytes = budget_of(model.config, config, bytes_per_number=4).num_bytes
            rows.append({
                "retention": retention, "storage": storage, "entries": entries, "num_bytes": num_bytes, **shares,
                "half_width": half_width(shares["all"], len(asked)),
            })  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    result = {
        "benchmark": "memory_curve", **machine(), "questions": len(asked), "seconds": args.seconds, "rows": rows,
        "unbounded": score(model, asked, StreamConfig(memory_frames=1024, text_tokens=8192)),
        "blind": score(model, asked, StreamConfig(), blind=True),
    }  # fmt: skip
    if args.save:
        RESULTS.mkdir(exist_ok=True)
        name = f"{result['date']}-memory-curve"
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        plot(result, RESULTS / f"{name}.png")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
