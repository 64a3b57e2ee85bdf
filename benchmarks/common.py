"""What the benchmarks share: a model by its name, and results as a table and as JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import torch

from vigil.eval.speed.contestants import build
from vigil.eval.speed.machine import facts
from vigil.eval.speed.scales import tiny_config
from vigil.model import VideoModel, load

RESULTS = Path(__file__).parent / "results"


def model_named(name: str) -> VideoModel:
    """`nano`, or `tiny`: that of `vigil bench --scale tiny`, with random weights and nano's tokenizer."""
    if name == "nano":
        return load("nano", device="cpu")
    return build(tiny_config(), torch.device("cpu"), torch.float32)


def machine() -> dict[str, Any]:
    """What a result was measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return {**facts(torch.device("cpu")), "commit": commit.stdout.strip()}


def report(name: str, rows: list[dict[str, Any]], *, save: bool, **figures: Any) -> None:
    """Print rows as a table, then everything as one JSON line; `save` also keeps it under results/."""
    columns = list(rows[0])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    for line in (columns, *cells):
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    result = {"benchmark": name, **machine(), **figures, "rows": rows}
    print(json.dumps(result))
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{result['date']}-{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
