"""Recompute, from downloaded annotations alone, the figures that stand in docs/benchmarks.md. No video is opened.

    python tools/check_annotations.py streamingbench ~/StreamingBench
    python tools/check_annotations.py ovo ~/OVO-Bench

Each line says what is expected at the pinned revision and what was found; the exit code is 1 if any differs. The rules
run through the same door as a model, on blank frames; what depends on times alone is computed from the times.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from vigil.errors import VigilError
from vigil.eval.benchmarks import benchmark
from vigil.eval.benchmarks.base import Case
from vigil.eval.benchmarks.data import load_json, seconds
from vigil.eval.benchmarks.rtv_items import Probe, probe_of, question_groups, revision_groups, same_question
from vigil.eval.benchmarks.runner import BenchConfig, Keeper, blind_arms, play_all
from vigil.eval.benchmarks.table import Tallies
from vigil.eval.stats import mean

QUICK = 0.02
"""Frames per second where only the question opens a slot (Hz)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it is, what it must be, and what was found."""

    name: str
    expected: float
    found: float | None

    @property
    def is_right(self) -> bool:
        return self.found is not None and abs(self.found - self.expected) < 0.0501

    def line(self) -> str:
        """For people."""
        found = "undefined" if self.found is None else f"{self.found:.2f}"
        return f"{'ok     ' if self.is_right else 'DIFFERS'} {self.name}: expected {self.expected:g}, found {found}"


def blind_values(
    name: str, cases: Sequence[Case], rules: Iterable[str], scorer: str, *, fps: float
) -> dict[tuple[str, str], float | None]:
    """(rule, score) -> value."""
    wanted = set(rules)
    own = [case for case in cases if scorer in case.served]
    arms = [arm for arm in blind_arms(own) if arm.name in wanted]
    played = list(play_all(own, arms, {}, BenchConfig(fps=fps), keeper=Keeper(None, {})))
    tallies = {arm.name: Tallies([one for one in played if one.arm == arm.name]) for arm in arms}
    scores = [score for score in benchmark(name).scores(cases) if score.scorer == scorer]
    return {(rule, score.name): tallies[rule].value(score) for rule in tallies for score in scores}


def percent(hits: Iterable[bool]) -> float | None:
    """Share of True."""
    share = mean([float(hit) for hit in hits])
    return None if share is None else 100 * share


def streamingbench(folder: Path) -> list[Figure]:
    """Section StreamingBench."""
    cases = [case for case in benchmark("streamingbench").read(folder) if case.task != "PO"]
    found = blind_values("streamingbench", cases, ["longest_option", "majority_letter"], "official", fps=QUICK)
    rows = [row for _, group in load_json(folder, "src/data/questions_proactive.json") for row in group["questions"]]
    waits = [
        seconds(row["ground_truth_time_stamp"], where="proactive") - seconds(row["time_stamp"], where="proactive")
        for row in rows
    ]
    leaks = [row["ground_truth_output"] in row["question"] for row in rows]
    longest = {score: value for (rule, score), value in found.items() if rule == "longest_option"}
    return [
        Figure("real-time, longest option", 43.8, longest["real-time"]),
        Figure("  Event Understanding", 55.3, longest.get("real-time/Event Understanding")),
        Figure("  Action Perception", 53.8, longest.get("real-time/Action Perception")),
        Figure("  Counting", 29.0, longest.get("real-time/Counting")),
        Figure("real-time, majority letter per task", 26.5, found["majority_letter", "real-time"]),
        Figure("contextual, longest option", 29.2, longest["contextual"]),
        Figure("SQA, longest option", 26.0, longest["SQA"]),
        Figure("PO, output stands in the question", 97.6, percent(leaks)),
        Figure("PO official, echo after 7 s, in time", 52.4, percent(abs(7 - wait) <= 2 for wait in waits)),
        Figure(
            "PO official, echo after 7 s, right",
            51.6,
            percent(abs(7 - wait) <= 2 and leak for wait, leak in zip(waits, leaks, strict=True)),
        ),
        Figure("PO strict window, echo after 7 s", 45.6, percent(-1 <= 7 - wait <= 2 for wait in waits)),
        Figure("PO window [0, 2], echo after 7 s", 38.8, percent(0 <= 7 - wait <= 2 for wait in waits)),
    ]


def ovo(folder: Path) -> list[Figure]:
    """Section OVO-Bench."""
    cases = benchmark("ovo").read(folder)
    rules = [
        "special_or_majority",
        "special_or_longest",
        "majority_letter",
        "longest_option",
        "constant",
        "order_known",
    ]
    found = blind_values("ovo", cases, rules, "official", fps=QUICK)
    forward = [case for case in cases if case.scorer == "strict" and case.task in ("REC", "SSR")]
    timed = blind_values("ovo", forward, ["constant", "count_every_10_s"], "strict", fps=1.0)
    rows = [row for _, row in load_json(folder, "data/ovo_bench_new.json")]
    waits = [row["clue_time"] - row["ask_time"] for row in rows if row["task"] == "CRR"]
    counts = [
        sum(t <= test["realtime"] for t in row["end_times"]) == test["count"]
        for row in rows
        if row["task"] == "REC"
        for test in row["test_info"]
    ]
    return [
        Figure("HLD, special option", 100.0, found["special_or_majority", "HLD"]),
        Figure("backward, special option, else majority letter", 53.0, found["special_or_majority", "backward"]),
        Figure("backward, special option, else longest", 55.5, found["special_or_longest", "backward"]),
        Figure("real-time, majority letter", 25.9, found["majority_letter", "real-time"]),
        Figure("real-time, longest option", 23.7, found["longest_option", "real-time"]),
        Figure("SSR, Yes", 67.2, found["constant", "SSR"]),
        Figure("CRR, Yes", 60.0, found["constant", "CRR"]),
        Figure("REC, 1", 20.5, found["constant", "REC"]),
        Figure("forward, constants", 49.2, found["constant", "forward"]),
        Figure("CRR, order known", 100.0, found["order_known", "CRR"]),
        Figure("SSR, order known", 93.6, found["order_known", "SSR"]),
        Figure("REC, order known", 28.5, found["order_known", "REC"]),
        Figure("REC, probes that agree with the event times", 692, float(sum(counts))),
        Figure("CRR strict, best echo in [0, 2] s", 25.0, best_echo(waits, 0, 2)),
        Figure("CRR strict, best echo in [0, 5] s", 37.5, best_echo(waits, 0, 5)),
        Figure("REC strict TWA, always 0", 29.2, timed["constant", "REC TWA"]),
        Figure("REC strict TWA, one more every 10 s", 34.3, timed["count_every_10_s", "REC TWA"]),
        Figure("SSR strict TWA, always none", 44.1, timed["constant", "SSR TWA"]),
    ]


def best_echo(waits_s: Sequence[float], early_s: float, late_s: float) -> float | None:
    """Share of waits that the best constant delay meets; it is enough to try those at a window's beginning."""
    tries = [wait_s - early_s for wait_s in waits_s]
    shares = [percent(-early_s - 1e-9 <= k - wait_s <= late_s + 1e-9 for wait_s in waits_s) for k in tries]
    return max((share for share in shares if share is not None), default=None)


def rtv(folder: Path) -> list[Figure]:
    """Section RTV-Bench."""
    cases = benchmark("rtv").read(folder)
    found = blind_values("rtv", cases, ["kth_letter", "letter_a"], "official", fps=QUICK)
    probes = [probe_of(row, where) for where, row in load_json(folder, "QA.json")]
    groups, kept = question_groups(probes), revision_groups(probes)
    pairs = [(a, b, k) for group in kept for k, (a, b) in enumerate(pairwise(group))]
    changed = [(a, b, k) for a, b, k in pairs if a.at_s != b.at_s and differ(a, b)]
    sizes = [len(a.options) for a, _, _ in changed]
    return [
        Figure("questions grouped by video and text", 2889, float(len(groups))),
        Figure("  with more than one probe", 1086, float(sum(len(group) > 1 for group in groups))),
        Figure("  kept", 1046, float(len(kept))),
        Figure("  their videos", 547, float(len({group[0].video for group in kept}))),
        Figure("  their probes", 2658, float(sum(map(len, kept)))),
        Figure("pairs with a change", 1581, float(len(changed))),
        Figure("pairs without", 25, float(sum(a.at_s != b.at_s and not differ(a, b) for a, b, _ in pairs))),
        Figure("pairs at one time", 6, float(sum(a.at_s == b.at_s for a, b, _ in pairs))),
        Figure("k-th letter, per probe", 55.6, percent(is_kth(p, k) for group in kept for k, p in enumerate(group))),
        Figure("k-th letter, PCA", 46.9, percent(is_kth(a, k) and is_kth(b, k + 1) for a, b, k in changed)),
        Figure("uniform guess, PCA", 9.9, _hundred(mean([1 / size**2 for size in sizes]))),
        Figure("without replacement, PCA", 15.9, _hundred(mean([1 / (size * (size - 1)) for size in sizes]))),
        Figure("official accuracy, k-th letter", 47.2, found["kth_letter", "accuracy"]),
        Figure("official score, k-th letter", 6.7, found["kth_letter", "score"]),
        Figure("official accuracy, letter A", 35.6, found["letter_a", "accuracy"]),
        Figure("official score, letter A", 4.2, found["letter_a", "score"]),
    ]


def differ(a: Probe, b: Probe) -> bool:
    """Whether another option is right."""
    return same_question(a.truth) != same_question(b.truth)


def is_kth(probe: Probe, k: int) -> bool:
    """Whether the k-th letter (from 0) is right; after the last, the last."""
    letters = list(probe.options)
    return letters[min(k, len(letters) - 1)] == probe.answer


def _hundred(share: float | None) -> float | None:
    return None if share is None else 100 * share


def river(folder: Path) -> list[Figure]:
    """Section RIVER."""
    cases = benchmark("river").read(folder)
    choices = [case for case in cases if not case.task.startswith("Pro-Response")]
    found = blind_values("river", choices, ["majority_letter", "longest_option"], "strict", fps=QUICK)
    rows: list[Any] = [row for _, row in load_json(folder, "annotations/*.json")]
    alerts = [row for row in rows if row["question_type"].startswith("Pro-Response-Instant")]
    streams = [row for row in rows if row["question_type"].startswith("Pro-Response-Streaming")]
    waits = [float(row["time_reference"]) - float(row["question_time"]) for row in alerts]
    return [
        Figure("choices, majority letter", 26.6, found["majority_letter", "choices"]),
        Figure("choices, longest option", 26.3, found["longest_option", "choices"]),
        Figure("Instant items", 377 + 363 + 348 + 230, float(len(alerts))),
        Figure("Instant, hours of waiting", 209, float(round(sum(waits) / 3600))),
        Figure("Instant, best delay in [-1, 2] s", 7.2, best_echo(waits, 1, 2)),
        Figure("Instant, best delay in [-1, 5] s", 13.8, best_echo(waits, 1, 5)),
        Figure("Instant, best delay in [-1, 10] s", 22.0, best_echo(waits, 1, 10)),
        Figure("Instant, best delay in [-2, 2] s", 9.3, best_echo(waits, 2, 2)),
        Figure("Streaming videos", 246, float(len(streams))),
        Figure("Streaming questions", 1223, float(sum(len(row["question_id"]) for row in streams))),
        Figure(
            "Streaming answers", 3662, float(sum(len(v) for row in streams for v in row["correct_answer"].values()))
        ),
    ]


CHECKS: dict[str, Callable[[Path], list[Figure]]] = {
    "streamingbench": streamingbench,
    "ovo": ovo,
    "rtv": rtv,
    "river": river,
}


def main() -> int:
    """Check one folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CHECKS)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    try:
        figures = CHECKS[args.name](args.folder)
    except VigilError as error:
        print(f"check_annotations: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(figure.line() for figure in figures))
    return 0 if all(figure.is_right for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
