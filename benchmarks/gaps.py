"""Law 3 as a figure: do the gaps between spoken tokens grow while frames arrive? See `vigil.eval.speed.gaps`.

python benchmarks/gaps.py [--model tiny] [--fps 1 2 4 8] [--pace 20] [--tokens 300] [--save]
"""

from __future__ import annotations

import argparse

import torch
from common import model_named, report

from vigil.eval.speed.gaps import compare, worst


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--model", choices=("nano", "tiny"), default="tiny")
    flags.add_argument("--fps", type=float, nargs="+", default=[1.0, 2.0, 4.0, 8.0])
    flags.add_argument("--pace", type=float, default=20.0, help="tokens/s; 0: as fast as it can")
    flags.add_argument("--tokens", type=int, default=300)
    flags.add_argument("--save", action="store_true")
    args = flags.parse_args()
    torch.set_num_threads(1)
    rows = compare(model_named(args.model), args.fps, pace=args.pace, num_tokens=args.tokens)
    ratios = {"gap_p95_ratio": worst(rows, "beside"), "gap_p95_ratio_blocking": worst(rows, "blocking")}
    report("gaps", rows, save=args.save, model=args.model, pace=args.pace, **ratios)


if __name__ == "__main__":
    main()
