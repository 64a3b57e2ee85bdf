"""A run: its parts, by the name that `--parts` takes, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from vigil.eval.speed import decode, gaps, live, memory, offline, question, video
from vigil.eval.speed.bench import Bench, Note
from vigil.eval.speed.figures import Part, Results
from vigil.eval.speed.machine import facts, rates_of
from vigil.eval.speed.scales import SpeedScale

PARTS: dict[str, Callable[[Bench], Part]] = {
    "memory": memory.memory,
    "question": question.question,
    "decode": decode.decode,
    "matched": offline.matched,
    "gaps": gaps.gaps,
    "live": live.live,
    "paper": offline.paper,
    "video": video.video,
}


def measure(scale: SpeedScale, device: torch.device, parts: Sequence[str], note: Note) -> Iterator[Results]:
    """Run parts in order; the results so far after each of them, the same object each time.

    `KeyboardInterrupt` passes through, and what was yielded last holds what was measured until then.
    """
    with one_thread(), torch.inference_mode():
        note("the machine")
        rates = rates_of(device, getattr(torch, scale.dtype))
        about = {
            "scale": scale.name,
            "device": str(device),
            "dtype": scale.dtype,
            **facts(device),
            "read_gb_per_s": rates.bytes_per_s / 1e9,
            "matmul_gflop_per_s": rates.flops_per_s / 1e9,
        }
        bench, results = Bench(scale, device, rates, note), Results(about)
        yield results
        for name in parts:
            results.parts[name] = PARTS[name](bench)
            if device.type == "cuda":
                torch.cuda.empty_cache()  # the engine admits sessions by what is free
            yield results


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch for each channel, as a server would have it; the former number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
