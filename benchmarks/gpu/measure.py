"""Everything that a GPU should measure, in calls of under ten minutes each. Random weights are enough.

    python benchmarks/gpu/measure.py STEP... [--scale 11b] [--device cuda] [--out DIR]

| step | what |
|---|---|
| offline | the paper's protocol, matched vision tokens, decoding counted: `vigil bench` |
| streaming | questions, gaps, live streams, decoding against length, bytes: `vigil bench` |
| parity | bf16 and fp32 on this device against the golden numbers |
| weights | tokens per second with weights as they are, in int8 and in fp8 |
| encoder | frames per second of the vision encoder, exact and with padding skipped, and how far they differ |
| prefill | TTFT of 256 frames of 16:9, exact and with padding skipped |

`all` runs every step. Each prints one JSON line and keeps it as DIR/STEP.json. `--scale tiny --device cpu` runs the
same on a CPU, in minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from vigil.cli.bench import NAMES, device_named, measured
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import Ours, ours
from vigil.eval.speed.machine import facts, rates_of
from vigil.eval.speed.offline import TOKEN, noise
from vigil.eval.speed.run import one_thread
from vigil.eval.speed.scales import SCALES, SpeedScale
from vigil.model.quant import quantise
from vigil.model.vision import TileViT, fit_size
from vigil.model.weights import load

GOLDEN = Path(__file__).parent.parent.parent / "tests" / "golden"
OFFLINE = ("matched", "paper", "video")
KINDS = ("exact", "padding_skipped")
ENCODED = 4
"""Batches of frames that the encoder is timed with."""
Found = dict[str, Any]


def speed(scale: SpeedScale, device: torch.device, parts: tuple[str, ...]) -> Found:
    """`vigil bench` with these parts; its JSON object."""
    results = measured(scale, device, parts)
    if results.interrupted:
        raise KeyboardInterrupt
    return results.to_json()


@torch.inference_mode()
def parity(scale: SpeedScale, device: torch.device) -> Found:
    """Largest difference of the logits from the golden ones, which fp32 on a CPU computed; and of their best tokens."""
    from safetensors.torch import load_file

    found: Found = {}
    cases = ("tiny/average_offline", "tiny/average_interleaved", "tiny_b/average_gaps")
    for case in cases:
        tensors = {name: tensor.to(device) for name, tensor in load_file(GOLDEN / f"{case}.safetensors").items()}
        for dtype in (torch.float32, torch.bfloat16):
            model = load((GOLDEN / case).parent, device=device, dtype=dtype, pooling="average")
            logits = model(
                tensors["input_ids"],
                tensors["pixel_values"].squeeze(2),
                tensors["vision_position_ids"],
                position_ids=tensors["position_ids"],
            ).logits.float()
            wanted = tensors["logits"].float()
            found[f"{case} {str(dtype).removeprefix('torch.')}"] = {
                "largest_difference": float((logits - wanted).abs().max()),
                "relative": float((logits - wanted).norm() / wanted.norm()),
                "same_best_token": float((logits.argmax(-1) == wanted.argmax(-1)).float().mean()),
            }
    return found


def weights(scale: SpeedScale, device: torch.device) -> Found:
    """One spoken token after all frames, with three kinds of weights; a GPU replays a captured step."""
    found: Found = {}
    for kind in ("model", "int8", "fp8"):
        bench = bench_on(scale, device)
        who = ours(scale, device)
        if kind != "model":
            quantise(who.model, kind)  # type: ignore[arg-type]
        features = who.encode(noise(2, who.frame_px))[:1].expand(scale.frames, -1, -1)
        who.prefill(features, scale.reply_tokens)
        who.say(TOKEN)
        token_s = median(bench.clock.time_s(lambda who=who: who.say(TOKEN)) for _ in range(scale.reply_tokens - 1))  # type: ignore[misc]
        found[kind] = {
            "tokens_per_s": 1 / token_s,
            "bound_fraction": who.step_bytes() / bench.rates.bytes_per_s / token_s,
        }
    return found


@torch.inference_mode()
def encoder(scale: SpeedScale, device: torch.device) -> Found:
    """Frames of 16:9 in batches, from host memory to vision tokens, exact and skipping padding."""
    bench, who, found = bench_on(scale, device), ours(scale, device), dict[str, Any]()
    frames = wide_frames(scale.encode_batch * ENCODED, who)
    features = []
    for kind in KINDS:
        skip_padding(who, kind == "padding_skipped")
        who.encode(frames[: scale.encode_batch])
        features.append(who.encode(frames[:1]).float())
        took_s = median(bench.clock.time_s(lambda: who.encode(frames)) for _ in range(3))
        found[f"{kind}_frames_per_s"] = len(frames) / took_s
    exact, skipped = features
    found["relative_difference"] = float((exact - skipped).norm() / exact.norm())
    found["relative_difference_class_token"] = float((exact - skipped)[:, 0].norm() / exact[:, 0].norm())
    found["exact_bound_fraction"] = found["exact_frames_per_s"] * who.encode_flops(1) / bench.rates.flops_per_s
    return found


def prefill(scale: SpeedScale, device: torch.device) -> Found:
    """Offline TTFT of all frames, resized, in host memory, exact and with padding skipped."""
    bench, who, found = bench_on(scale, device), ours(scale, device), dict[str, Any]()
    frames = wide_frames(scale.frames, who)
    for kind in KINDS:
        skip_padding(who, kind == "padding_skipped")
        who.prefill(who.encode(frames[:2]), 4)
        found[f"{kind}_ttft_s"] = bench.clock.time_s(lambda: who.prefill(who.encode(frames), 4))
    return found


def wide_frames(num_frames: int, who: Ours) -> torch.Tensor:
    """Frames of 16:9 on their canvas, black below. Shapes: -> [F, H, W, 3] uint8."""
    frames = noise(num_frames, who.frame_px)
    frames[:, fit_size(1080, 1920, who.frame_px[0])[0] :] = 0
    return frames


def skip_padding(who: Ours, skip: bool) -> None:
    """Let the encoder skip padding from now on, or not; it reads its config in each pass."""
    vision = who.model.vision
    assert isinstance(vision, TileViT)
    vision.config = replace(vision.config, skip_padding=skip)


def bench_on(scale: SpeedScale, device: torch.device) -> Bench:
    """The machine's rates."""
    return Bench(scale, device, rates_of(device, getattr(torch, scale.dtype)))


STEPS: dict[str, Callable[[SpeedScale, torch.device], Found]] = {
    "offline": lambda scale, device: speed(scale, device, OFFLINE),
    "streaming": lambda scale, device: speed(scale, device, tuple(n for n in NAMES if n not in OFFLINE)),
    "parity": parity,
    "weights": weights,
    "encoder": encoder,
    "prefill": prefill,
}


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("steps", nargs="+", choices=[*STEPS, "all"])
    flags.add_argument("--scale", choices=list(SCALES), default="11b")
    flags.add_argument("--device", default="cuda")
    flags.add_argument("--out", type=Path, default=Path("runs") / "gpu")
    args = flags.parse_args()
    device = device_named(args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    for step in STEPS if "all" in args.steps else args.steps:
        with one_thread():
            found = {"step": step, "scale": args.scale, **facts(device), **STEPS[step](SCALES[args.scale], device)}
        line = json.dumps(found)
        (args.out / f"{step}.json").write_text(line + "\n", encoding="utf-8")
        print(line, flush=True)


if __name__ == "__main__":
    main()
