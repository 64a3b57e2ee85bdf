"""A server that runs for long with real clients, while things go wrong; what it costs, and whether anything was lost.

Clients are those of `vigil.client`, behind a proxy that cuts and stalls their connections. Each keeps what it was
given, and at the end that is compared with the server's own log, and the frames with its account.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx

import vigil.client
from tests.client.cutting import Proxy, Row, cutting
from tests.serve.nursery import Nursery, Server
from tests.serve.serving import ADMIN, jpeg
from tests.serve.test_cameras_night import Switched
from vigil.serve.children import resident_bytes

HEADERS = {"Authorization": f"Bearer {ADMIN}"}
CAMERA = 1
"""Source number of the operator's camera; source 0 is what a client sends."""
PICTURES = [jpeg(number, (320, 240)) for number in range(16)]
COMING_BACK = vigil.client.Reconnect(first_s=0.05, last_s=1.0)
KEEP_S = 30 * 86_400.0
PAIRS = 500
"""Readings that a slope is taken from at most; more are thinned out evenly."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The server at one moment."""

    at_s: float
    rss_mib: float
    files: int
    is_ready: bool


@dataclass(slots=True)
class Talker:
    """One session: sends pictures, asks, and takes every event. Runs in a thread of its own until `stop` is set."""

    session: vigil.client.Session
    stop: threading.Event
    fps: float
    ask_every_s: float
    rows: list[Row] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    ages_ms: list[tuple[float, float]] = field(default_factory=list)
    """When, and how old the newest frame was when the model could read it."""
    drops_next: bool = False
    """Planted: the next event is thrown away."""
    error: BaseException | None = None

    def run(self) -> None:
        """Talk, then close the session and take what is left."""
        try:
            self._talk()
            self.session.close(drain=True)
            while (row := self.session.next_row(timeout_s=120)) is not None:
                self.rows.append(row)
        except BaseException as error:  # noqa: BLE001 - carried over, and told as a problem
            self.error = error

    def _talk(self) -> None:
        begun_s = time.monotonic()
        asks_s = begun_s + self.ask_every_s
        while not self.stop.is_set():
            self.session.frame(PICTURES[self.sent % len(PICTURES)])
            self.sent += 1
            if time.monotonic() >= asks_s:
                self.asked.append(f"Question {len(self.asked) + 1}?")
                self.session.ask(self.asked[-1])
                asks_s = time.monotonic() + self.ask_every_s
            seen = self.session.newest.get("input.frame.perceived")
            if seen is not None:
                self.ages_ms.append((time.monotonic(), seen["age_ms"]))
            self._take(until_s=begun_s + self.sent / self.fps)

    def _take(self, until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0 and not self.stop.is_set():
            try:
                row = self.session.next_row(timeout_s=left_s)
            except TimeoutError:
                return
            if row is None:
                raise AssertionError("the session has ended by itself")
            if self.drops_next:
                self.drops_next = False
            else:
                self.rows.append(row)

    def problems(self, log: list[Row]) -> list[str]:
        """What was lost, doubled or not accounted for."""
        if self.error is not None:
            return [f"a client failed: {self.error!r}"]
        found = []
        if self.rows != log:
            found.append(f"{len(self.rows)} events given, {len(log)} in the log, or others")
        if [row["text"] for row in log if row["type"] == "input.text.accepted"] != self.asked:
            found.append("questions are missing, doubled or out of order")
        totals = {row["source"]: row for row in log if row["type"] == "input.frames.total"}
        for number, total in totals.items():
            if total["received"] != total["perceived"] + sum(total["dropped"].values()) + total["pending"]:
                found.append(f"source {number} does not add up: {total}")
        if totals[0]["received"] + self.session.skipped != self.sent or totals[0]["pending"]:
            found.append(f"{self.sent} frames, {self.session.skipped} of them left out: {totals[0]}")
        return found


@dataclass
class Soak:
    """What runs."""

    server: Server
    proxy: Proxy
    camera: Switched
    talkers: list[Talker]
    readings: list[Reading] = field(default_factory=list)

    def read(self) -> None:
        """Look at the server once."""
        try:
            is_ready = httpx.get(f"http://127.0.0.1:{self.server.port}/readyz", headers=HEADERS, timeout=5).is_success
        except httpx.HTTPError:
            is_ready = False
        files = len(os.listdir(f"/proc/{self.server.pid}/fd"))  # noqa: PTH208 - the folder is no real one
        self.readings.append(Reading(time.monotonic(), resident_bytes(self.server.pid) / 2**20, files, is_ready))

    def read_for(self, seconds: float) -> None:
        """Look once per second for a while."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.read()
            threading.Event().wait(max(0.0, min(1.0, end_s - time.monotonic())))


Fault = Callable[[Soak, float], None]
"""Does its harm to a soak, and undoes it after so many seconds."""


def connections_break(soak: Soak, seconds: float) -> None:
    """W5: all clients are cut off."""
    soak.proxy.cut()


def nobody_reads(soak: Soak, seconds: float) -> None:
    """W4, W5: connections stay, and nothing passes."""
    soak.proxy.is_held = True
    soak.read_for(seconds)
    soak.proxy.cut()
    soak.proxy.is_held = False


def camera_goes(soak: Soak, seconds: float) -> None:
    """C1: the camera is switched off."""
    soak.camera.off()
    soak.read_for(seconds)
    soak.camera.on()


def camera_freezes(soak: Soak, seconds: float) -> None:
    """C2: no more pictures, and the connection stays."""
    soak.camera.is_frozen.set()
    soak.read_for(seconds)
    soak.camera.is_frozen.clear()


def decoders_die(soak: Soak, seconds: float) -> None:
    """M4: all children of the server are killed, that of the camera among them."""
    for task in Path(f"/proc/{soak.server.pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread, or a child, that has ended just now
            for child in (task / "children").read_text().split():
                os.kill(int(child), signal.SIGKILL)


def a_stranger_rages(soak: Soak, seconds: float) -> None:
    """W1, W11: nonsense, and more frames than there is room for."""
    client = soak.server.client(open_id=f"raging-{len(soak.readings):06d}", sources=[{"source": 0, "kind": "push"}])
    for number in range(1, 15):
        client.ws.send('{"type": "ping"')
        client.frame(number, image=PICTURES[0])
    client.ws.socket.close()


FAULTS: tuple[Fault, ...] = (
    camera_freezes, connections_break, camera_goes, nobody_reads, decoders_die, a_stranger_rages,
)  # fmt: skip


@contextmanager
def soaking(
    nursery: Nursery, folder: Path, *, sessions: int, fps: float = 2.0, ask_every_s: float = 60.0, **how: Any
) -> Iterator[Soak]:
    """A server with its clients; the first of them watches a camera, too."""
    camera, stop = Switched(), threading.Event()
    with ExitStack() as stack:
        stack.callback(camera.off)
        proxy = stack.enter_context(cutting())
        limits = {"keep_s": KEEP_S, "seat_s": 600.0, **how.pop("limits", {})}
        hosts, cameras = [f"127.0.0.1:{proxy.port}"], {"door": f"http://127.0.0.1:{camera.port}/"}
        server = nursery.start(folder, hosts=hosts, cameras=cameras, limits=limits, **how)
        proxy.server_port = server.port
        client = stack.enter_context(
            vigil.client.connect(f"http://127.0.0.1:{proxy.port}", token=ADMIN, reconnect=COMING_BACK)
        )
        talkers = [Talker(client.session(), stop, fps, ask_every_s) for _ in range(sessions)]
        talkers[0].session.add(CAMERA, vigil.client.Camera("door", fps=1.0))
        threads = [threading.Thread(target=talker.run) for talker in talkers]
        for thread in threads:
            thread.start()
        try:
            yield Soak(server, proxy, camera, talkers)
        finally:
            stop.set()
            for thread in threads:
                thread.join(300)


def harm(soak: Soak, faults: Iterable[Fault], *, every_s: float, lasts_s: float, seconds: float = math.inf) -> None:
    """One fault after the other, for so long at most."""
    end_s = time.monotonic() + seconds
    for fault in faults:
        soak.read_for(min(every_s, end_s - time.monotonic()))
        if time.monotonic() >= end_s:
            return
        fault(soak, lasts_s)


def log_of(server: Server, session_id: str) -> list[Row]:
    """All events of a session, as the server has kept them."""
    rows: list[Row] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=HEADERS, timeout=60) as http:
        while True:
            text = http.get(f"/v1/sessions/{session_id}/events?after={len(rows)}&limit=10000").text
            if not text:
                return rows
            rows += [json.loads(line) for line in text.splitlines()]


def problems(soak: Soak) -> list[str]:
    """What went wrong for any of the clients; after `soaking` has ended."""
    return [found for talker in soak.talkers for found in talker.problems(log_of(soak.server, talker.session.id))]


def slope_per_h(points: list[tuple[float, float]]) -> float:
    """By how much a value grows in an hour: the median over all pairs of readings (Theil and Sen), times in s."""
    step = -(-len(points) // PAIRS)
    pairs = combinations(points[::step], 2)
    return 3600 * statistics.median((b - a) / (t - s) for (s, a), (t, b) in pairs if t > s)


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]
