"""The tables A to D as Markdown: the mean over seeds, the range over seeds, and paired differences to the first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vigil.eval.study.measures import Measure
from vigil.eval.study.results import Differences, Results, Spread
from vigil.eval.study.verdicts import offline_tasks, signed

Column = tuple[str, str, int]
"""Heading, name of the measure, digits."""

A1: tuple[Column, ...] = (
    ("PL slope", "pl_slope", 2),
    ("EL (s)", "el_mean_s", 3),
    ("IOR", "on_time_ingest", 2),
    ("stall", "decode_stall", 2),
    ("nL5", "l5_nl5", 2),
    ("TWA", "twa_now", 2),
    ("RevF1-AUC", "rev_f1_auc", 2),
    ("F1@2", "speak_f1_2s", 2),
    ("AG(1)", "answer_guarantee_1s", 2),
    ("TTFT (s)", "ttft_s", 2),
    ("offline", "offline", 2),
)
B: tuple[Column, ...] = (
    ("RevF1@1", "rev_f1_1s", 2),
    ("@2", "rev_f1_2s", 2),
    ("@5", "rev_f1_5s", 2),
    ("@10", "rev_f1_10s", 2),
    ("AUC", "rev_f1_auc", 2),
    ("latency (s)", "rev_latency_median_s", 2),
    ("stale", "share_stale", 2),
    ("churn/min", "churn_per_min", 2),
    ("churn/min, constant truth", "churn_constant_per_min", 2),
    ("wrongful/min", "wrongful_rev_per_min", 2),
    ("FRR on N, D", "l5_frr", 2),
    ("BCR", "l5_bcr", 2),
    ("offline", "offline", 2),
)
C: tuple[Column, ...] = (
    ("silence precision", "silence_precision", 2),
    ("recall", "silence_recall", 2),
    ("F1@2", "speak_f1_2s", 2),
    ("false speech/min", "false_speech_per_min", 2),
    ("C(.3)", "cost_0.3", 2),
    ("AURC", "aurc", 3),
    ("ECE", "ece", 3),
    ("AG(1)", "answer_guarantee_1s", 2),
    ("tokens per reply", "reply_tokens", 1),
)
C_TUNED: tuple[Column, ...] = tuple(
    (heading, f"tuned_{name}", digits) for heading, name, digits in C if name not in ("aurc", "ece")
)
"""The same, with the threshold on P(silence) tuned on validation scenes."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def cell(spread: Spread, digits: int) -> str:
    """Mean and range; "-" where it is nowhere defined."""
    if spread.mean is None:
        return "not reached" if any(value is not None for value in spread.values) else "-"
    text = f"**{spread.mean:.{digits}f}** {min(spread.defined):.{digits}f} to {max(spread.defined):.{digits}f}"
    missing = len(spread.values) - len(spread.defined)
    return text + (f" ({missing} undefined)" if missing else "")


def difference_cell(differences: Differences, digits: int = 3) -> str:
    """Mean difference, its range, and in how many seeds its interval excludes 0."""
    spread = differences.spread
    if spread.mean is None:
        return "-"
    found = differences.num_above + differences.num_below
    return (
        f"{spread.mean:+.{digits}f} ({min(spread.defined):+.{digits}f} to {max(spread.defined):+.{digits}f}; "
        f"{found} of {len(differences.estimates)})"
    )


def by_rows(results: Results, columns: Sequence[Column]) -> str:
    """One row per arm, then the controls on the same scenes."""
    rows = []
    for label in results.labels:
        cells = [cell(results.spread(label, name), digits) for _, name, digits in columns]
        rows.append([label, *cells])
    for name, measures in results.controls.items():
        known = [(measures.get(column.removeprefix("tuned_")), digits) for _, column, digits in columns]
        rows.append([f"*control: {name.replace('_', ' ')}*", *(_control(one, digits) for one, digits in known)])
    return table(["", *(heading for heading, _, _ in columns)], rows)


def _control(one: Measure | None, digits: int) -> str:
    value = None if one is None else one.value
    return "-" if value is None or abs(value) == float("inf") else f"{value:.{digits}f}"


def paired(results: Results, columns: Sequence[Column]) -> str:
    """Differences of every other arm to the first one."""
    first, *others = results.labels
    rows = [[label, *(difference_cell(results.differences(label, name)) for _, name, _ in columns)] for label in others]
    return table([f"less {first}", *(heading for heading, _, _ in columns)], rows)


class FrameCost(NamedTuple):
    """What one frame costs a network."""

    multiplications: float
    """Of the decoder."""
    kv_bytes: int


def speed_table(results: Results, times: dict[str, list[dict[str, Any]]], costs_of: Mapping[str, FrameCost]) -> str:
    """What the machine took, one row per arm; twins share a network, so they share these numbers."""
    names = ("first_token_offline_s", "first_token_stream_s", "ms_per_token", "ms_per_frame")
    rows = []
    for label in results.labels:
        speeds = [one["speed"] for one in times[label]]
        spreads = [Spread(tuple(speed[name] for speed in speeds)) for name in names]
        cells = [cell(spread, 4 if name.endswith("_s") else 2) for spread, name in zip(spreads, names, strict=True)]
        cost = costs_of[label]
        rows.append([label, *cells, f"{cost.multiplications / 1e6:.2f}", f"{cost.kv_bytes:,}"])
    waits = ("first token after the video (s)", "first token in a stream (s)")
    return table(["", *waits, "ms/token", "ms/frame", "M multiplications/frame", "KV bytes/frame"], rows)


def lengths_table(times: dict[str, list[dict[str, Any]]]) -> str:
    """Table A2: rows are arm and length."""
    rows = []
    for label, seeds in times.items():
        for row in seeds[0]["lengths"]:
            twa = "-" if row["twa"] is None else f"{row['twa']:.2f}"
            minutes = row["length_s"] / 60
            rows.append([label, f"{minutes:g}", f"{row['ms_per_frame']:.2f}", f"{row['bytes'] / 1024:,.0f}", twa])
    return table(["", "minutes", "ms/frame, all in", "KiB of keys and values", "TWA at the end"], rows)


def offline_table(results: Results) -> str:
    """Table D: a row per task, before and after, and the paired differences."""
    before, *after = results.labels
    rows = []
    for task in ("offline", *offline_tasks(results)):
        cells = [cell(results.spread(label, task), 2) for label in results.labels]
        changes = [difference_cell(results.differences(label, task)) for label in after]
        cells = [cells[0], *(f"{own}<br>{change}" for own, change in zip(cells[1:], changes, strict=True))]
        name = "**all questions**" if task == "offline" else task.removeprefix("offline_")
        rows.append([name, _control(results.controls["blind"].get(task), 2), *cells])
    return table(["task", "*blind*", before, *after], rows)


def shares_table(results: Results) -> str:
    """Share of the offline tasks whose paired difference excludes 0, by seed and on both sides."""
    tasks = offline_tasks(results)
    rows = []
    for label in results.labels[1:]:
        found = [results.differences(label, task) for task in tasks]
        whole = len(tasks) * results.scale.seeds
        lost, won = sum(one.num_below for one in found), sum(one.num_above for one in found)
        mean = signed(results.differences(label, "offline").spread.mean)
        rows.append([label, mean, f"{lost / whole:.0%}", f"{won / whole:.0%}"])
    return table(["", "mean difference", "task and seed: loss excludes 0", "gain excludes 0"], rows)
