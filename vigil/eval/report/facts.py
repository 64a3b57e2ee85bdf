"""What ran, what was counted and what was left out; and the summary that tells what logs cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vigil.errors import ConfigError, DataError
from vigil.eval.behaviour import pace_of
from vigil.eval.jsonl import read_lines
from vigil.eval.report.curves import count_unparsable
from vigil.eval.report.markup import Child, Markup, tag
from vigil.eval.report.scales import spell
from vigil.eval.report.streams import Stream
from vigil.eval.summary import METRICS

CLOCKS = {
    "free": "virtual, computing costs nothing: delays are those of the design, not of a machine",
    "cost": "virtual, every operation costs the declared time while frames keep arriving",
    "wall": "real time on the machine that ran it",
}


def extra_scores(path: Path | None, log_sha256: str) -> dict[str, Any]:
    """Read the JSON that `vigil eval behaviour --json` printed about the same logs; {} without a path.

    Raises:
        SourceError: it cannot be opened. DataError: it is no such JSON. ConfigError: it is about other logs.
    """
    if path is None:
        return {}
    try:
        found = json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise DataError(f"{path.name} is not JSON: {error}. Give what vigil eval behaviour --json printed.") from error
    summary: dict[str, Any] = found if isinstance(found, dict) else {}
    run = summary.get("run")
    if not isinstance(run, dict) or not isinstance(summary.get("controls"), dict):
        raise DataError(f'{path.name} has no "run" and "controls". Give what vigil eval behaviour --json printed.')
    if run.get("log_sha256") != log_sha256:
        raise ConfigError(
            f"{path.name} is about logs with the hash {str(run.get('log_sha256'))[:16]}, these have {log_sha256[:16]}. "
            "Give the summary of the same logs, and the logs in the order in which they ran."
        )
    return summary


def run_facts(streams: Sequence[Stream], result: Mapping[str, Any], *, replicates: int) -> Markup:
    """What ran, as a list of terms."""
    head, pairs = streams[0].log.head, [(stream.log, stream.truth) for stream in streams]
    cost = ", ".join(f"{name} {seconds:g} s" for name, seconds in (head.cost or {}).items())
    fitted = ", ".join(str(value) for values in result["fitted"].values() for value in values)
    facts: list[tuple[str, Child]] = [
        ("log hash (SHA-256)", tag("code", result["run"]["log_sha256"])),
        ("clock", f"{head.clock}: {CLOCKS[head.clock]}" + (f" ({cost})" if cost else "")),
        ("model", head.model),
        ("seed", str(head.seed)),
        ("policy", f"{head.policy}, as the log states it; the log names no threshold beyond it"),
        ("tolerances", "speech 2 s late, 0 s early; alerts 2 s; fixed by the measure before any run, not tuned"),
        ("frames", f"{head.fps:g} per second of video, played at speed {head.speed:g}"),
        ("pace of speech", f"{pace_of(pairs):g} tokens per second of video (median gap); the controls speak at it too"),
        ("averages", "pooled: numerators and denominators are summed over streams, then divided; undefined values are "
                     "left out and counted"),
        ("intervals", f"95 %, {replicates:,} resamples of whole videos; none below 10 videos"),
        ("chance-corrected", "(score - best blind) / (1 - best blind); – where blind scores 1"),
        ("blind", "always silent; always talking; the usual reply at the usual time; the question repeated after a "
                  "fitted wait; replies made to fool a parser; the model without frames, where it was run"),
        ("fitted", f"on other videos than those that are scored: {fitted}"),
        ("oracle", "the true text from the frame of each change on, at the same pace of speech"),
        ("scores", "strict ones; these streams have no published official scorer"),
    ]  # fmt: skip
    return tag("dl", [tag("div", tag("dt", term), tag("dd", what)) for term, what in facts], class_="facts")


def count_list(streams: Sequence[Stream], result: Mapping[str, Any]) -> Markup:
    """What was counted, and what was left out of the scores."""
    pairs = [(stream.log, stream.truth) for stream in streams]
    counts = result["counts"]
    listed = [
        ("streams", len(streams)),
        ("minutes of video", spell(sum(stream.end_s for stream in streams) / 60)),
        ("frames", sum(len(stream.log.frames) for stream in streams)),
        ("frames dropped", counts["dropped_frames"]),
        ("questions with something due", counts["questions"]),
        ("of those unanswered (wrong)", counts["unanswered"]),
        ("things said", counts["speech"]),
        ("unparsable replies (wrong)", count_unparsable(pairs)),
        ("tokens before any frame", counts["blind_tokens"]),
        ("utterances too short for a slope", counts["short_utterances"]),
        ("changes already answered", counts["pre_satisfied_changes"]),
        (f"undefined of {len(METRICS)} metrics", counts["null_metrics"]),
    ]
    return tag("dl", [tag("div", tag("dt", name), tag("dd", str(count))) for name, count in listed], class_="counts")
