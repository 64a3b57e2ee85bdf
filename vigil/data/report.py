"""What a file of records looks like: numbers, and four plots (waiting times, silence, reply lengths, roles)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from vigil.data.records import Record, Turn
from vigil.errors import OutputError


@dataclass(slots=True, kw_only=True)
class RecordStats:
    """Measures of many records."""

    records: int = 0
    offline: int = 0
    wait_s: list[float] = field(default_factory=list)
    """Per live question with a reply: from the question to the first reply (s)."""
    never: Counter[str] = field(default_factory=Counter)
    """Per role: live questions that get no reply."""
    silence: list[float] = field(default_factory=list)
    """Per live record: share of frames during which nothing is said, at the pace given."""
    words: list[int] = field(default_factory=list)
    """Per reply: its length."""
    roles: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """Questions per (role, is offline)."""
    revisions: int = 0
    """Live replies that revise another."""


def measure(records: Iterable[Record], *, words_per_s: float = 4.0) -> RecordStats:
    """Measure records as if their replies were spoken at a pace in words per second."""
    stats = RecordStats()
    for record in records:
        stats.records += 1
        stats.offline += record.offline
        for turn in record.turns[1:]:
            stats.roles[turn.kind, record.offline] += 1
            stats.words += [len(reply.text.split()) for reply in turn.replies]
            if record.offline:
                continue
            stats.revisions += max(len(turn.replies) - 1, 0) * (not turn.standing)
            if turn.replies:
                stats.wait_s.append(turn.replies[0].time_s - turn.ask_s)
            else:
                stats.never[turn.kind] += 1
        if not record.offline:
            stats.silence.append(_silent_share(record, words_per_s))
    return stats


def _silent_share(record: Record, words_per_s: float) -> float:
    num_frames = max(1, math.ceil(record.duration_s * record.fps - 1e-6))
    speaking: set[int] = set()
    for turn in record.turns:
        speaking |= _speaking(turn, record.fps, words_per_s)
    return 1 - len(speaking & set(range(num_frames))) / num_frames


def _speaking(turn: Turn, fps: float, words_per_s: float) -> set[int]:
    """Numbers of the frames after which, before the next one, something is said."""
    frames: set[int] = set()
    for reply in turn.replies:
        first = math.floor(reply.time_s * fps + 1e-6)
        length = max(1, math.ceil(len(reply.text.split()) / words_per_s * fps))
        frames |= set(range(first, first + length))
    return frames


def summary(stats: RecordStats) -> dict[str, Any]:
    """The numbers of the report; a mean or median of nothing is null."""
    questions = stats.roles.total()
    live = sum(n for (_, is_offline), n in stats.roles.items() if not is_offline)
    return {
        "records": stats.records,
        "offline_records": stats.offline,
        "questions": questions,
        "live_questions_without_reply": stats.never.total() / live if live else None,
        "wait_median_s": median(stats.wait_s) if stats.wait_s else None,
        "answered_at_once": fmean(wait == 0 for wait in stats.wait_s) if stats.wait_s else None,
        "silence_mean": fmean(stats.silence) if stats.silence else None,
        "words_mean": fmean(stats.words) if stats.words else None,
        "words_max": max(stats.words, default=None),
        "revisions": stats.revisions,
        "roles": {
            f"{role}{' (offline)' if is_offline else ''}": n for (role, is_offline), n in sorted(stats.roles.items())
        },
        "without_reply": dict(sorted(stats.never.items())),
    }


def write_report(stats: RecordStats, folder: Path) -> Path:
    """Write `report.json` and `report.png` into a folder; return the picture's path.

    Raises:
        OutputError: the folder cannot be written.
    """
    picture = folder / "report.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = json.dumps(summary(stats), indent=2, ensure_ascii=False) + "\n"
        (folder / "report.json").write_text(numbers, encoding="utf-8")
        _plot(stats, picture)
    except OSError as error:
        raise OutputError(
            f"the report cannot be written to {folder}: {error.strerror}. Choose another folder."
        ) from error
    return picture


def _plot(stats: RecordStats, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1, 1.2))
    blue, grey, orange = "#3b6fb6", "#b0b7c3", "#e08a3c"
    wait = figure.add_subplot(grid[0, 0])
    top = math.ceil(max(stats.wait_s, default=0.0)) + 1
    wait.hist(stats.wait_s, bins=range(0, top + 1), color=blue, edgecolor="white")
    wait.set(title="Waiting time", xlabel="question to first reply (s)", ylabel="live questions", yscale="log")
    silence = figure.add_subplot(grid[1, 0])
    silence.hist(stats.silence, bins=[i / 20 for i in range(21)], color=blue, edgecolor="white")
    silence.set(title="Silence", xlabel="share of frames in which nothing is said", ylabel="live records", xlim=(0, 1))
    words = figure.add_subplot(grid[2, 0])
    longest = max(stats.words, default=0)
    step = max(1, math.ceil(longest / 40))
    words.hist(stats.words, bins=[i - 0.5 for i in range(1, longest + step + 2, step)], color=blue, edgecolor="white")
    words.set(title="Length of replies", xlabel="words", ylabel="replies")
    roles = figure.add_subplot(grid[:, 1])
    names = sorted(
        {role for role, _ in stats.roles}, key=lambda role: stats.roles[role, False] + stats.roles[role, True]
    )
    never = [stats.never[role] for role in names]
    replied = [stats.roles[role, False] - stats.never[role] for role in names]
    offline = [stats.roles[role, True] for role in names]
    roles.barh(names, replied, color=blue, label="live, with a reply")
    roles.barh(names, never, left=replied, color=orange, label="live, never a reply")
    roles.barh(names, offline, left=[a + b for a, b in zip(replied, never, strict=True)], color=grey, label="offline")
    roles.set(title="Roles", xlabel="questions")
    roles.legend(loc="lower right", frameon=False)
    for axes in (wait, silence, words, roles):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{stats.records:,} records, {stats.roles.total():,} questions, {len(stats.words):,} replies")
    figure.savefig(path, dpi=110)
