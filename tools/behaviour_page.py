"""Write docs/behaviour.md from what `vigil eval` printed with --json.

    vigil eval behaviour --json > runs/eval/behaviour.json
    vigil eval behaviour --roles alert --json > runs/eval/alert.json
    vigil eval behaviour --held-out --scenes 60 --json > runs/eval/held.json
    vigil eval behaviour --seconds 240 --scenes 30 --json > runs/eval/long.json
    vigil eval l5 --trials 100 --json > runs/eval/l5.json
    vigil eval causality --scenes 1000 --json > runs/eval/causality.json
    python tools/behaviour_page.py runs/eval docs/behaviour.md --date 2026-11-23

Files that are missing leave their sections out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from textwrap import wrap
from typing import Any

ROWS = {
    "Timely silence": {
        "speak_f1_2s": "F1 of speech against what was due, within 2 s",
        "speak_precision_2s": "precision",
        "speak_recall_2s": "recall",
        "false_speech_per_min": "false speech per minute of due silence",
        "silence_recall": "silent slots among those due silent",
        "alert_hit": "alert on a named thing within 2 s",
        "alert_early": "alert before it appears",
        "alert_false_alarm": "alert though it never appears",
        "answer_guarantee_1s": "direct questions answered within 1 s",
    },
    "Answer revision": {
        "rev_f1_2s": "F1 of revisions within 2 s",
        "rev_f1_auc": "the same over 1 to 10 s",
        "rev_latency_median_s": "median delay of a revision (s)",
        "wrongful_rev_per_min": "right answers revised to wrong ones, per minute",
        "churn_per_min": "uncredited changes of answer per minute",
        "explicitness": "revisions marked as such",
    },
    "Continuous perception": {
        "twa_now": "share of time with the right current answer",
        "pl_slope": "slope of perception lag within an utterance",
        "el_mean_s": "excess lag (s)",
        "on_time_ingest": "frames perceived in time while speaking",
        "frame_loss": "frames lost",
    },
    "Content": {
        "content_exact": "matched replies whose whole text is right",
        "content_exact_named": "the same, questions that name a thing",
        "offline_accuracy_before": "offline questions after the video, `nano-offline`",
        "offline_accuracy_after": "the same questions, `nano`",
    },
}
ALERTS = ("alert_hit", "alert_early", "alert_false_alarm", "speak_f1_2s", "false_speech_per_min")
HELD = ("speak_f1_2s", "rev_f1_2s", "twa_now", "content_exact", "content_exact_named", "offline_accuracy_after")
OTHER_SCENES = {
    "alert": (
        ALERTS,
        "## Alerts alone",
        "",
        "`--roles alert`: 200 scenes, every question an alert on a named thing.",
    ),
    "held": (
        HELD,
        "## Things never shown in training",
        "",
        "`--held-out --scenes 60`: every scene has a colour-shape pair or a layout that no training scene has.",
    ),
    "long": (
        HELD,
        "## Clips four times as long",
        "",
        "`--seconds 240 --scenes 30`: training never shows more than 60 frames.",
    ),
}
CONTROLS = {
    "always_silent": "silent",
    "always_talk": "talk",
    "blind": "blind",
    "echo_after_k": "echo",
    "text_only": "no frames",
    "recent_4": "recent 4",
    "recent_16": "recent 16",
    "oracle": "oracle",
}


MEASURED = """
200 held-out test scenes of 60 s at 1 fps, half of them drawn, half camera footage; one conversation each; free-
running greedy decoding through the streaming session; 8 tokens a second; clock `free` (computation costs nothing,
so lags are those of the design, not of the machine). Intervals are 95 %, bootstrapped over videos; *n* is the
number of streams in which the number is defined. Controls: always silent; a reply in every slot; the most common
reply of each kind of question at its usual time, fitted on other videos (blind); the question repeated after the
best delay (echo); the model without frames; the model asked afresh about the newest 4 or 16 frames every 2 s; and
the true text started on the frame of each change at the same pace (oracle), which shows what the pace alone costs.
Hash of the logs:
"""
L5 = """
`vigil eval l5`: six labelled tiles, "State the colour of each item ...". In the middle of the reply a tile that was
not yet named changes (F: the new colour is said in its place, `pfc`), or one that was (B: the model says the new
colour within 10 s, `bcr`), or nothing, or only the background (N, D: anything revised counts against it, `frr`).
Clock `cost`: 2 frames and 10 tokens a second; `nl5` is corrected by the best control that sees nothing. Trials of
each kind:
"""
CAUSALITY = """
`vigil eval causality --scenes 1000`: test scenes of 10 s, each carried on in two ways from a random frame on.
Nothing that was said, decided or logged before that frame may differ. The last row shows that the check can fail.
"""


def fold(text: str) -> list[str]:
    """A paragraph in lines of a page's width."""
    return wrap(" ".join(text.split()), 120)


def number(value: float | None) -> str:
    """Two digits, or a dash."""
    return "-" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def interval(row: dict[str, Any]) -> str:
    """The 95 % interval of an estimate."""
    return "no CI" if row["lo"] is None else f"{number(row['lo'])} to {number(row['hi'])}"


def table(found: dict[str, Any], rows: dict[str, str]) -> list[str]:
    """One line for each metric, with the controls beside it."""
    controls = {name: label for name, label in CONTROLS.items() if name in found["controls"]}
    lines = [
        "| | key | nano | 95 % | n | " + " | ".join(controls.values()) + " |",
        "|---" * (5 + len(controls)) + "|",
    ]
    for key, words in rows.items():
        if key in found:
            row = found[key]
            beside = [number(found["controls"][name].get(key, {}).get("value")) for name in controls]
            cells = [words, f"`{key}`", f"**{number(row['value'])}**", interval(row), str(row["n"]), *beside]
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def behaviour(found: dict[str, Any]) -> list[str]:
    """The main tables."""
    lines: list[str] = []
    for title, rows in ROWS.items():
        lines += [f"## {title}", "", *table(found, rows)]
    if "offline_loss" in found:
        loss = found["offline_loss"]
        lines += [
            f"Real-time training cost {100 * loss['value']:.1f} points of offline accuracy "
            f"({100 * loss['lo']:.1f} to {100 * loss['hi']:.1f}, the same questions, paired by video).",
            "",
        ]
    return lines


def l5(found: dict[str, Any]) -> list[str]:
    """Contradiction in the middle of a reply."""
    keys = ("l5", "nl5", "pfc", "bcr", "frr", "delay_s", "stale", "collateral", "redundant", "tokens", "discarded")
    lines = [
        "## L5",
        "",
        *fold(f"{L5} {found['run']['trials']}."),
        "",
        "| | " + " | ".join(keys) + " |",
        "|---" * (1 + len(keys)) + "|",
    ]
    for name, row in found["systems"].items():
        cells = [number(row[key]["value"] if isinstance(row[key], dict) else row[key]) for key in keys]
        lines.append(f"| {'**nano**' if name == 'system' else name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def causality(found: dict[str, Any]) -> list[str]:
    """What was said before a frame must not depend on it."""
    lines = [
        "## Causality",
        "",
        *fold(CAUSALITY),
        "",
        "| form | violations | trials | rate below (95 %) |",
        "|---|---|---|---|",
    ]
    for name, row in found.items():
        bound = "" if row["upper_bound"] is None else f"{row['upper_bound']:.4f}"
        words = "the same weights with the released code's masks" if "leak" in name else name
        lines.append(f"| {words} | {row['violations']:,} | {row['trials']:,} | {bound} |")
    return [*lines, ""]


def main() -> None:
    """Read what is there, write the page."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("folder", type=Path)
    flags.add_argument("page", type=Path)
    flags.add_argument("--date", required=True)
    flags.add_argument("--notes", type=Path, help="text that is put at the end")
    args = flags.parse_args()
    files = ("behaviour", "alert", "held", "long", "l5", "causality")
    texts = {name: args.folder / f"{name}.json" for name in files}
    found = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in texts.items() if path.is_file()}
    lines = [
        "# Behaviour of nano",
        "",
        f"Measured on {args.date}, two shared CPU cores, by",
        "",
        "```sh",
        "vigil eval behaviour --split test --scenes 200",
        "```",
        "",
        *fold(f"{MEASURED} `{found['behaviour']['run']['log_sha256'][:16]}`."),
        "",
        *behaviour(found["behaviour"]),
    ]
    for name, (keys, *words) in OTHER_SCENES.items():
        if name in found:
            rows = {key: label for group in ROWS.values() for key, label in group.items() if key in keys}
            lines += [*words, "", *table(found[name], rows)]
    for name, section in (("l5", l5), ("causality", causality)):
        if name in found:
            lines += section(found[name])
    if args.notes:
        lines.append(args.notes.read_text(encoding="utf-8").rstrip() + "\n")
    args.page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
