"""One picture per study. Dots are seeds, bars and lines their mean."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from vigil.eval.plotting import STYLE
from vigil.eval.study.results import Results
from vigil.eval.study.verdicts import offline_tasks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1b6ca8", "#d1603d", "#8a8d91", "#4f9d69", "#8e6bbf")
PANELS = {"A": 4, "B": 2, "C": 3, "D": 1}
"""Charts side by side."""


def draw(results: Results, times: dict[str, list[dict[str, Any]]], path: Path) -> Path:
    """Draw the picture of a study."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    letter = results.study.letter
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, PANELS[letter], figsize=(10.4, 2.9), layout="constrained")
        if letter == "A":
            _bars(axes[0], results, "l5_nl5", "nL5: contradiction in mid-reply")
            _bars(axes[1], results, "el_mean_s", "excess lag while speaking (s)")
            _first_tokens(axes[2], results, times)
            _lengths(axes[3], times)
        elif letter == "B":
            _revisions(axes[0], results)
            _bars(axes[1], results, "churn_constant_per_min", "churn per min where nothing changes")
        elif letter == "C":
            _bars(axes[0], results, "cost_0.3", "C(.3); always silent is 1")
            axes[0].axhline(1.0, color="black", linewidth=0.8, linestyle=":")
            _bars(axes[1], results, "speak_f1_2s", "F1 of speech, within 2 s")
            _bars(axes[2], results, "silence_recall", "silent slots among those due silent")
        else:
            _tasks(axes, results)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        plt.close(figure)
    return path


def _bars(axes: Axes, results: Results, name: str, title: str) -> None:
    for row, label in enumerate(results.labels):
        spread = results.spread(label, name)
        if spread.mean is not None:
            axes.bar(row, spread.mean, width=0.6, color=COLOURS[row], alpha=0.55)
            axes.plot([row] * len(spread.defined), spread.defined, "o", color=COLOURS[row], markersize=4)
    axes.set_title(title)
    axes.set_xticks(range(len(results.labels)), [fill(label, 12) for label in results.labels], fontsize=7)
    axes.tick_params(axis="x", length=0)


def _first_tokens(axes: Axes, results: Results, times: dict[str, list[dict[str, Any]]]) -> None:
    labels = results.labels[:2]
    for row, label in enumerate(labels):
        seconds = [one["speed"]["first_token_offline_s"] for one in times[label]]
        axes.bar(row, sum(seconds) / len(seconds), width=0.6, color=COLOURS[row], alpha=0.55)
        axes.plot([row] * len(seconds), seconds, "o", color=COLOURS[row], markersize=4)
    axes.set_title(f"first token after {results.scale.timed_frames} frames (s)")
    axes.set_xticks(range(len(labels)), ["cross-attention", "twin"], fontsize=7)


def _lengths(axes: Axes, times: dict[str, list[dict[str, Any]]]) -> None:
    for row, (label, seeds) in enumerate(times.items()):
        lengths = seeds[0]["lengths"]
        minutes, spent = [one["length_s"] / 60 for one in lengths], [one["ms_per_frame"] for one in lengths]
        axes.plot(minutes, spent, "o-", color=COLOURS[row], markersize=4, label=label)
        axes.set_xscale("log")
        axes.set_xticks(minutes, [f"{number:g}" for number in minutes])
        axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_title("ms per frame, by minutes")
    axes.legend(frameon=False, fontsize=6.5)


def _revisions(axes: Axes, results: Results) -> None:
    delays = (1, 2, 5, 10)
    for row, label in enumerate(results.labels):
        spreads = [results.spread(label, f"rev_f1_{delay}s") for delay in delays]
        means = [spread.mean or 0.0 for spread in spreads]
        axes.plot(delays, means, "o-", color=COLOURS[row], markersize=4, label=label)
        low, high = ([pick(spread.defined or [0.0]) for spread in spreads] for pick in (min, max))
        axes.fill_between(delays, low, high, color=COLOURS[row], alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(delays, [str(delay) for delay in delays])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_title("F1 of revisions within D seconds (band: seeds)")
    axes.legend(frameon=False)


def _tasks(axes: Axes, results: Results) -> None:
    tasks = ["offline", *offline_tasks(results)]
    width = 0.8 / len(results.labels)
    for row, label in enumerate(results.labels):
        at = [place + (row - (len(results.labels) - 1) / 2) * width for place in range(len(tasks))]
        means = [results.spread(label, task).mean or 0.0 for task in tasks]
        axes.bar(at, means, width=width, color=COLOURS[row], alpha=0.75, label=label)
    names = ["all", *(task.removeprefix("offline_").replace("_", "\n") for task in tasks[1:])]
    axes.set_xticks(range(len(tasks)), names)
    axes.set_title("share of offline questions answered right")
    axes.legend(frameon=False, ncols=len(results.labels), loc="upper center", bbox_to_anchor=(0.5, -0.2))
