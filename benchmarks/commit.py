"""How long an event takes until it is safe, and how many fit into a second.

    python benchmarks/commit.py [FOLDER] [--events 5000]

Prints one JSON line for each case, with machine and date: `alone` (one event after the other, no waiting for a group),
`paced` (50 events a second as a session makes them, groups of 10 ms), `burst` (as fast as one producer can, groups of
32), and `eight` (eight sessions at once). FOLDER is where the log is written: its disk is what is measured. On a busy
machine only `cpu_us_per_event` means something.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vigil.serve.durable import SessionLog, Store, StoreConfig

EVENT = {"type": "answer.delta", "answer_id": 1, "rev": 1, "i": 0, "text": " something happens at the door"}
PACED_PER_S = 50.0


class Stopwatch:
    """Seconds from `append` to safe, for every event."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def append(self, log: SessionLog) -> Future[int]:
        """Append one event and time it."""
        start_s = time.perf_counter()
        durable = log.append(EVENT).durable
        durable.add_done_callback(lambda done: self.seconds.append(time.perf_counter() - start_s))
        return durable

    def percentile_ms(self, share: float) -> float:
        """A percentile in milliseconds."""
        ordered = sorted(self.seconds)
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def measure(folder: Path, name: str, run: Callable[[Store, Stopwatch], None], **config: Any) -> dict[str, Any]:
    """Run one case in a folder of its own."""
    groups: list[float] = []
    settings = StoreConfig(ballast_bytes=0, low_bytes=0, critical_bytes=0, **config)
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        Store(Path(place), settings, on_commit=lambda seconds, events: groups.append(seconds)) as store,
    ):
        watch = Stopwatch()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        run(store, watch)
        elapsed_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    groups.sort()
    return {
        "case": name,
        "level": settings.level,
        "events": len(watch.seconds),
        "events_per_s": round(len(watch.seconds) / elapsed_s),
        "cpu_us_per_event": round(1e6 * cpu_s / len(watch.seconds), 1),
        "safe_p50_ms": watch.percentile_ms(0.50),
        "safe_p99_ms": watch.percentile_ms(0.99),
        "commit_p50_ms": round(1000 * groups[len(groups) // 2], 3),
        "commit_p99_ms": round(1000 * groups[int(0.99 * len(groups))], 3),
        "groups": len(groups),
    }


def begin(store: Store) -> SessionLog:
    """A new session."""
    return store.create({"type": "session.created", "model": "none"})


def alone(store: Store, watch: Stopwatch, *, events: int) -> None:
    """One event after the other."""
    log = begin(store)
    for _ in range(events):
        watch.append(log).result()


def paced(store: Store, watch: Stopwatch, *, events: int) -> None:
    """Events at a steady pace, whether or not those before are safe."""
    log, start_s = begin(store), time.perf_counter()
    for i in range(events):
        time.sleep(max(0.0, start_s + i / PACED_PER_S - time.perf_counter()))
        watch.append(log)
    log.flush()


def burst(store: Store, watch: Stopwatch, *, events: int) -> None:
    """As fast as one producer can."""
    log = begin(store)
    for _ in range(events):
        watch.append(log)
    log.flush()


def eight(store: Store, watch: Stopwatch, *, events: int) -> None:
    """Eight sessions, each as fast as it can."""
    threads = [threading.Thread(target=burst, args=(store, watch), kwargs={"events": events // 8}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("folder", nargs="?", type=Path, default=Path.cwd())
    flags.add_argument("--events", type=int, default=5000)
    args = flags.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    date = datetime.now(UTC).date().isoformat()
    n = args.events
    cases: list[tuple[str, Callable[[Store, Stopwatch], None], dict[str, Any]]] = [
        ("alone", lambda s, w: alone(s, w, events=n // 5), {"group_s": 0.0}),
        ("paced", lambda s, w: paced(s, w, events=min(n, 250)), {}),
        ("burst", lambda s, w: burst(s, w, events=n), {}),
        ("burst", lambda s, w: burst(s, w, events=n), {"level": "process"}),
        ("eight", lambda s, w: eight(s, w, events=n), {}),
    ]
    for name, run, config in cases:
        print(json.dumps({**measure(args.folder, name, run, **config), "machine": machine, "date": date}), flush=True)


if __name__ == "__main__":
    main()
