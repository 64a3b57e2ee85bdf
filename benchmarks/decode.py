"""What one spoken token costs, after 16 and after 1,024 frames of stream, with a window of 64 frames and without one.

    python benchmarks/decode.py [--save]

See `vigil.eval.speed.decode`; beside what `vigil bench` measures, here are nano and streams that share a pass.
"""

from __future__ import annotations

import argparse
import time

import torch
from common import model_named, report

from vigil.eval.speed.decode import Speaker, in_turn
from vigil.eval.speed.machine import Clock, quantile
from vigil.stream.feed import feed_together

ROUNDS = 40
BATCH = 8
SETTINGS = ((16, 64), (1024, 64), (16, 1024), (1024, 1024))
"""Frames seen, and the window."""


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--save", action="store_true")
    args = flags.parse_args()
    torch.set_num_threads(1)
    clock = Clock(torch.device("cpu"))
    rows, ratios = [], {}
    for name in ("nano", "tiny"):
        model = model_named(name)
        speakers = [Speaker(model, seen, window, clock) for seen, window in SETTINGS]
        in_turn(speakers, ROUNDS)
        rows += [{**speaker.row(name), "streams_in_a_pass": 1} for speaker in speakers]
        ratios[f"{name}_decode_ratio_1024_over_16"] = speakers[1].ms / speakers[0].ms
        together = [Speaker(model, 64, 64, clock) for _ in range(BATCH)]
        times_ms = []
        for _ in range(ROUNDS):
            wants = [speaker.want() for speaker in together]
            start_s = time.thread_time()
            feed_together(model, wants)
            times_ms.append((time.thread_time() - start_s) * 1e3 / BATCH)
        each = {"who": name, "frames_seen": 64, "window": 64, "ms_per_token": quantile(times_ms, 0.5), "reads_ms": 0.0}
        rows.append({**each, "streams_in_a_pass": BATCH})
    report("decode", rows, save=args.save, **ratios)


if __name__ == "__main__":
    main()
