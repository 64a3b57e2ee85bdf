"""The machine itself: how fast it reads memory and multiplies matrices, and a clock that fits it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

READ_BYTES = {"cpu": 256 << 20, "cuda": 2 << 30}
"""Larger than any cache."""
MATMUL_SIDE = {"cpu": 1536, "cuda": 8192}
REPEATS = 5


def quantile(values: list[float], q: float) -> float:
    """Empirical quantile; NaN where there is nothing."""
    return float(np.quantile(values, q)) if values else float("nan")


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds of work. On a CPU those that this thread spent, so that other programs disturb them little; on a GPU
    those on the wall, once everything that was launched is done.
    """

    device: torch.device

    def now_s(self) -> float:
        """A reading; only differences mean something."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.thread_time()

    def time_s(self, work: Callable[[], object]) -> float:
        """Seconds that this takes."""
        start_s = self.now_s()
        work()
        return self.now_s() - start_s


@dataclass(frozen=True, slots=True)
class Rates:
    """The best of several measurements: what bounds everything else."""

    bytes_per_s: float
    """Reading memory, one thread of a CPU or a whole GPU."""
    flops_per_s: float
    """Multiplying large square matrices."""


def rates_of(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure a machine.

    Memory is read by a sum and by the product of a matrix with a vector, whichever is faster: on some machines the
    product is bound by arithmetic.
    """
    clock, kind = Clock(device), device.type
    width = 4096
    weights = torch.ones(READ_BYTES[kind] // dtype.itemsize // width, width, dtype=dtype, device=device)
    vector = torch.ones(width, dtype=dtype, device=device)
    read_s = min(_best_s(clock, weights.sum), _best_s(clock, lambda: weights @ vector))
    side = MATMUL_SIDE[kind]
    square = torch.ones(side, side, dtype=dtype, device=device)
    return Rates(weights.nbytes / read_s, 2 * side**3 / _best_s(clock, lambda: square @ square))


def _best_s(clock: Clock, work: Callable[[], object]) -> float:
    work()
    return min(clock.time_s(work) for _ in range(REPEATS))


def facts(device: torch.device) -> dict[str, Any]:
    """What a result was measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{name}, {os.cpu_count()} cores",
        "load_1min": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
