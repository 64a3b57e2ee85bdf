"""Plot a training run's curves: `python tools/plot_training.py runs/nano/train.jsonl docs/nano.png`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

CURVES = {
    "val_things_right": "things in cells named right",
    "val_word_right": "words right, given the true words before",
    "val_silence_right": "silences right",
}


def main() -> None:
    """Read the log, draw one panel, write the picture."""
    source, picture = map(Path, sys.argv[1:3])
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    start, ticks = 0, []
    for stage in stages:
        own = [row for row in rows if row["stage"] == stage]
        for colour, (key, label) in zip(("C0", "C1", "C2"), CURVES.items(), strict=True):
            points = [(start + row["step"], row[key]) for row in own if row[key] > 0]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=label if stage == stages[-1] else None)
        axes.axvline(start, color="0.8", linewidth=0.8)
        ticks.append((start + own[-1]["step"] / 2, stage))
        start += own[-1]["step"]
    for x, stage in ticks:
        axes.text(x, 0.03, stage, ha="center", color="0.4")
    axes.set(xlabel="step", ylabel="share, validation scenes", ylim=(0, 1.02), xlim=(0, start))
    axes.legend(edgecolor="none", framealpha=1, loc="lower right", bbox_to_anchor=(1, 0.1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
