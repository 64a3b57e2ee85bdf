"""What 8 bits cost in quality: weights, frame memory, or both.

    python benchmarks/eight_bits.py [--scenes 40] [--layers] [--save]

nano watches test scenes of 60 s as `vigil eval behaviour` does, with weights and frame memory as they are and in 8
bits. `same_text` is the share of scenes in which the same was said at the same times; the other figures are those of
the behaviour table. `--layers` also gives the error of one matrix product at the sizes of the 11B model, for weights
drawn from a normal distribution and from one with heavy tails (Student's t, 4 degrees of freedom), against float32.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, get_args

import torch
from common import report
from torch import nn

from vigil.config import Storage, StreamConfig
from vigil.data.truth import truth_of
from vigil.eval.behaviour import summarize
from vigil.eval.log import Log
from vigil.eval.rows import HeadRow, TokRow
from vigil.eval.run import BehaviourConfig, scenes
from vigil.eval.truth import Truth, parse_truth
from vigil.eval.writer import LogWriter
from vigil.model import load
from vigil.model.model import VideoModel
from vigil.model.quant import CodedLinear, Codes, quantise
from vigil.stream.session import Session
from vigil.world.captions import describe
from vigil.world.render import render

ARMS: tuple[tuple[Codes | None, Storage], ...] = (
    (None, "model"), (None, "int8"), (None, "fp8"), ("int8", "model"), ("fp8", "model"), ("int8", "int8"),
)  # fmt: skip
SHOWN = ("speak_f1_2s", "false_speech_per_min", "rev_f1_2s", "twa_now", "content_exact", "content_exact_named")
LAYERS = {"q, o": (4096, 4096), "k, v": (1024, 4096), "gate, up": (14336, 4096), "down": (4096, 14336)}
"""Output and input channels at 11B."""


def watch(model: VideoModel, storage: Storage, config: BehaviourConfig) -> list[tuple[Log, Truth]]:
    """All scenes, as `vigil eval behaviour` watches them."""
    head = HeadRow(
        v=1, clock="free", w0=0.0, speed=1.0, fps=config.fps, model="nano", seed=config.seed, policy="greedy", cost=None
    )
    pairs = []
    for scene, record in scenes(config):
        writer = LogWriter(head)
        stream = StreamConfig(fps=config.fps, tokens_per_s=config.tokens_per_s, frame_storage=storage)
        with Session(model, config=stream, trace=writer.trace) as session:
            for turn in record.turns:
                if turn.question:
                    session.ask(turn.question, standing=turn.standing, at_s=turn.ask_s)
            for event in session.watch([(image, i / config.fps) for i, image in enumerate(render(scene))], speed="max"):
                writer.event(event)
        truth = parse_truth(json.dumps(row) for row in truth_of(record, describe(scene)))
        pairs.append((writer.log(), truth))
    return pairs


def spoken(log: Log) -> list[tuple[float, str]]:
    """Everything that was said, and when."""
    return [(row.w, row.text) for row in log.rows if isinstance(row, TokRow)]


def layer_errors() -> list[dict[str, Any]]:
    """Relative error of a product with random inputs."""
    torch.manual_seed(0)
    rows = []
    for name, (outputs, inputs) in LAYERS.items():
        for drawn in ("normal", "heavy tails"):
            shape = (outputs, inputs)
            weight = torch.randn(shape) if drawn == "normal" else torch.distributions.StudentT(4.0).sample(shape)
            linear = nn.Linear(inputs, outputs, bias=False).requires_grad_(False)
            linear.weight.data = weight
            x = torch.randn(4, inputs)
            right = linear(x)
            row: dict[str, Any] = {"layer": name, "weights": drawn}
            for codes in get_args(Codes):
                row[codes] = float((CodedLinear(linear, codes)(x) - right).norm() / right.norm())
            half = linear.to(torch.bfloat16)(x.bfloat16()).float()
            row["bf16"] = float((half - right).norm() / right.norm())
            rows.append(row)
    return rows


def main() -> None:
    """Measure, print and keep."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--scenes", type=int, default=40)
    flags.add_argument("--layers", action="store_true")
    flags.add_argument("--save", action="store_true", help="keep the result under results/")
    args = flags.parse_args()
    torch.set_num_threads(1)
    config = BehaviourConfig(num_scenes=args.scenes)
    rows: list[dict[str, Any]] = []
    plain: list[list[tuple[float, str]]] = []
    for codes, storage in ARMS:
        model = load("nano", device="cpu")
        if codes is not None:
            quantise(model, codes)
        pairs = watch(model, storage, config)
        said = [spoken(log) for log, _ in pairs]
        plain = plain or said
        found = summarize(pairs, replicates=200)
        row: dict[str, Any] = {"weights": codes or "model", "memory": storage}
        row["same_text"] = sum(a == b for a, b in zip(plain, said, strict=True)) / len(said)
        rows.append(row | {name: found[name]["value"] for name in SHOWN})
        print(json.dumps(rows[-1]), flush=True)
    report("eight-bits", rows, save=args.save, scenes=args.scenes, layers=layer_errors() if args.layers else [])


if __name__ == "__main__":
    main()
