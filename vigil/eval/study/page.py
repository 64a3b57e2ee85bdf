"""docs/study.md: what was compared, the tables, the decisions, and how far they agree with what has been published."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

from vigil.eval.study import plots, tables
from vigil.eval.study.arms import STUDIES, Letter
from vigil.eval.study.designs import Costs
from vigil.eval.study.results import Results
from vigil.eval.study.scale import StudyScale
from vigil.eval.study.scoring import TOKENS_PER_S
from vigil.eval.study.tables import FrameCost
from vigil.eval.study.verdicts import verdicts

Times = dict[str, list[dict[str, Any]]]
"""Row label -> per seed, what `timing.timed` found."""
SUPPORTS: Mapping[Letter, str] = {
    "A": (
        "Both networks have the same encoder, vision tokens, tokenizer, starting numbers, samples in the same order, "
        "steps and optimiser; the twin has self-attention layers where the other reads frames, and its vision tokens "
        "stand in the text at the rotary position of their placeholder. On the cost clock every token of a pass costs "
        "the same, decoded or prefilled; a frame beside the text costs only its keys and values, by their share of "
        "the multiplications, and no word waits for it. So lag, stall and nL5 show what the *design* costs, whatever "
        "the machine; the table of times shows one machine. It does not show how either design scales with size, and "
        "prefilling is dearer here than on an accelerator, where tokens that are prefilled together cost far less "
        "than decoded ones: read the lags of the twins as an upper bound."
    ),
    "B": (
        "Every arm sees the same videos, questions, tokens and frames for the same number of steps. In the second, "
        "nothing after the first answer of a turn is learnt; in the third, the later replies say something else at "
        "the same times and of the same length. So a difference is due to what the later replies teach, not to how "
        "much is seen. It does not show how many revisions are enough."
    ),
    "C": (
        "Only the loss differs. The tuned rows take the threshold on P(silence) with the least C(.3) among those that "
        "answer 95 % of direct questions within 1 s on validation scenes: they tell what a loss teaches from where it "
        "sets the operating point. Confidence is that of a run that is forced to be silent; an event counts as wrong "
        "if the free run gave no right reply to it within 2 s."
    ),
    "D": (
        "The same model before and after real-time training, on the same questions. Replay takes the place of "
        "real-time samples, so that more of it also means less real-time data. What is forgotten by a model of this "
        "size with this little training says little about a large one; that every task is printed is the point."
    ),
}
PAPER = {"first_token": (9.94, 1.95), "tokens_per_s": (14.3, 38.4)}
"""arXiv 2606.07639, 256 frames on one H200: the decoder-only model, and the one with cross-attention."""


def section(
    results: Results, times: Times, docs: Path, *, parameters: Mapping[str, int], costs_of: Mapping[str, FrameCost]
) -> str:
    """One study: its picture (drawn into `docs`), tables and decisions."""
    study = results.study
    picture = plots.draw(results, times, docs / f"study-{study.letter.lower()}.png")
    sizes = "; ".join(f"{label}: {parameters[label]:,}" for label in results.labels)
    decided = "\n".join(
        f"- {'**holds**' if one.holds else '**does not hold**'}: {one.claim}. {one.because}."
        for one in verdicts(results)
    )
    return (
        f"## {study.letter}. {study.title}\n\nHeld fixed: {study.held_fixed}. Parameters: {sizes}."
        f"{_hash(results)}\n\n"
        f"![study {study.letter}]({picture.name})\n\n{_tables(results, times, costs_of)}\n\n"
        f"**Decisions fixed in advance**\n\n{decided}\n\n"
        f"**What this supports, and what not.** {SUPPORTS[study.letter]}\n"
    )


def _hash(results: Results) -> str:
    return "" if results.study.letter == "D" else f" Hash of the logs: `{results.log_hash[:16]}`."


def keep(results: Results, times: Times, folder: Path, text: str) -> None:
    """Write down what a study adds to the page, and every number behind it."""
    letter, scale = results.study.letter, results.scale.name
    part = {"section": text, "agreement": agreement(results, times)}
    (folder / f"{scale}-{letter}.page.json").write_text(json.dumps(part, indent=1) + "\n", encoding="utf-8")
    (folder / f"{scale}-{letter}.json").write_text(to_json(results) + "\n", encoding="utf-8")


def write_page(scale: StudyScale, folder: Path, docs: Path) -> Path:
    """Write `study.md` from all studies of this scale that have been run so far."""
    kept = [folder / f"{scale.name}-{letter}.page.json" for letter in STUDIES]
    parts = [json.loads(path.read_text(encoding="utf-8")) for path in kept if path.is_file()]
    sections = [part["section"] for part in parts]
    agreed = [line for part in parts for line in part["agreement"]]
    text = "\n".join([_head(scale), *sections, "## Agreement with what has been published\n", *agreed])
    path = docs / "study.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _tables(results: Results, times: Times, costs_of: Mapping[str, FrameCost]) -> str:
    letter, scale = results.study.letter, results.scale
    if letter == "A":
        parts = [
            "On the cost clock:",
            tables.by_rows(results, tables.A1),
            "Differences, paired within each seed:",
            tables.paired(results, tables.A1),
            f"Time of one processor thread, {scale.timed_frames} frames, {scale.forced_tokens} forced tokens, and what "
            "the decoder multiplies and keeps for one frame:",
            tables.speed_table(results, times, costs_of),
            "**A2**: the same designs in long streams (seed 0); the question comes 20 s before the end.",
            tables.lengths_table(times),
        ]
    elif letter == "B":
        parts = [tables.by_rows(results, tables.B), "Differences:", tables.paired(results, tables.B)]
    elif letter == "C":
        parts = [
            tables.by_rows(results, tables.C),
            "Differences:",
            tables.paired(results, tables.C),
            "With the threshold on P(silence) tuned on validation scenes:",
            tables.by_rows(results, tables.C_TUNED),
        ]
    else:
        parts = [tables.offline_table(results), tables.shares_table(results)]
    return "\n\n".join(parts)


def _head(scale: StudyScale) -> str:
    costs = Costs()
    stages = f"{scale.vision_steps} + {scale.offline_steps} + {scale.realtime_steps}"
    return f"""# Controlled comparisons

Made by `vigil eval study all --scale {scale.name}` on {date.today().isoformat()}; do not edit by hand.

Small models on the procedural world, trained from scratch, that differ in one thing. {scale.seeds} seeds; {stages}
steps (vision, offline, real time) of {scale.videos_per_step} videos with 4 conversations each;
{scale.scenes} held-out scenes of {scale.scene_s:g} s at 1 fps and {TOKENS_PER_S:g} tokens a second, greedy decoding;
{scale.l5_trials} L5 trials of each kind at 2 fps and 10 tokens a second. Cost clock: {costs.token_s:g} s for each token
of a pass, decoded or prefilled, and {costs.encode_s:g} s to encode a frame.

Cells: **mean over seeds**, lowest to highest seed. Differences: mean (lowest to highest seed; in how many seeds the
95 % interval excludes 0, paired bootstrap over scenes, trials or videos, {scale.replicates} resamples). "-": undefined.
A decision holds only where it holds in every seed. Arms that several studies share are the same runs.
"""


def agreement(results: Results, times: Times) -> list[str]:
    """How the numbers compare with published ones."""
    letter = results.study.letter
    first = results.labels[0]
    if letter == "A":
        speeds = [[one["speed"] for one in times[label]] for label in results.labels[:2]]
        ours, theirs = (mean(speed["first_token_offline_s"] for speed in seeds) for seeds in speeds)
        our_ms, their_ms = (mean(speed["ms_per_token"] for speed in seeds) for seeds in speeds)
        slow, quick = PAPER["first_token"]
        low, high = PAPER["tokens_per_s"]
        return [
            f"- **Time to the first token.** Published: {quick} s against {slow} s ({slow / quick:.1f} times; other "
            f"data, other language model, a third of the vision tokens). Here, all else equal: {ours:.3f} s against "
            f"{theirs:.3f} s ({theirs / ours:.1f} times).",
            f"- **Tokens per second.** Published: {high} against {low} ({high / low:.1f} times). Here: "
            f"{1000 / our_ms:.0f} against {1000 / their_ms:.0f} ({their_ms / our_ms:.1f} times).",
        ]
    if letter == "B":
        auc = {label: results.spread(label, "rev_f1_auc").mean for label in results.labels}
        text = ", ".join(f"{label} {_number(value)}" for label, value in auc.items())
        return [f"- **Revision.** Published: shown by examples, not measured. Here, RevF1-AUC: {text}."]
    if letter == "C":
        recall = {label: results.spread(label, "silence_recall").mean for label in results.labels}
        speech = {label: results.spread(label, "speak_f1_2s").mean for label in results.labels}
        text = "; ".join(f"{label} {_number(recall[label])} / {_number(speech[label])}" for label in results.labels)
        return [
            "- **Silence.** Published: uniform weights teach a model to stay silent (arXiv 2608.15045). Here, silence "
            f"recall / F1 of speech: {text}."
        ]
    after = results.labels[1]
    change = results.differences(after, "offline").spread.mean
    return [
        "- **Offline ability.** Published, before to after real-time training: mean of nine video tasks 51.85 to "
        "52.98, with single tasks from +2.7 to -13 points (arXiv 2606.07639, read from its chart). Here, "
        f"{first} to {after}: {_number(None if change is None else 100 * change, '+.1f')} points."
    ]


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def to_json(results: Results) -> str:
    """Every number behind the tables, as JSON; null where it is undefined or not finite."""
    rows = {
        label: [{name: _finite(one.value) for name, one in seed.items()} for seed in results.measures[label]]
        for label in results.labels
    }
    return json.dumps(rows, indent=1, allow_nan=False)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
