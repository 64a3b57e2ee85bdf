"""How much nano sees and says in real time on this machine. See `vigil.eval.speed.live`.

    python benchmarks/streams.py [--fps 8 16 32] [--streams 1 2 4 8 16] [--seconds 10] [--save]

First one stream at each of several rates, speaking without end at 20 tokens/s; then several streams at 1 frame/s, each
speaking at 4 tokens/s.
"""

from __future__ import annotations

import argparse

import torch
from common import model_named, report

from vigil.eval.speed.live import ONE_PACE, best, run

PACE = 4.0
"""Tokens per second of each of many streams."""


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--fps", type=float, nargs="+", default=[8.0, 16.0, 32.0])
    flags.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    flags.add_argument("--seconds", type=float, default=10.0)
    flags.add_argument("--save", action="store_true")
    args = flags.parse_args()
    torch.set_num_threads(1)
    model = model_named("nano")
    run(model, streams=1, fps=4.0, pace=4.0, seconds=2.0)  # warm
    fast = [run(model, streams=1, fps=fps, pace=ONE_PACE, seconds=args.seconds) for fps in args.fps]
    many = [run(model, streams=num, fps=1.0, pace=PACE, seconds=args.seconds) for num in args.streams]
    held = {"frames_per_s": best(fast, "frames_per_s"), "streams_at_1fps": int(best(many, "streams"))}
    report("streams", fast + many, save=args.save, **held)


if __name__ == "__main__":
    main()
