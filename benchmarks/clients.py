"""How long do the server's clients wait beyond what the model itself needs?

    python benchmarks/clients.py [--clients 8] [--seconds 60] [--chats 0] [--save]

`vigil serve` runs nano in a process of its own. Each client is a WebSocket that does what the page does: 1 frame/s of
the demo clip as JPEG (the clients are out of step with each other), one direct question every 10 s, and it is told of
every decision. `--chats` adds clients of /v1/chat/completions that ask about 4 pictures, one request after the other.

Two latencies, over all clients:

    frame   from sending a frame to being told what the model decided on it, less the model's own time: encoding one
            frame and one step of speech on it, measured in this process before the server starts, with nothing beside
    event   from the moment an event is made (its `t_mono`) to its arrival, which holds group commit, fdatasync and
            socket; the clocks are brought together by the fastest `pong`

Nobody starves: every client is told a decision on at least 95 % of its frames, and each question is answered, or
reported as unanswered, within 12 s.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from common import report
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from vigil.assets import demo_clip
from vigil.config import StreamConfig
from vigil.eval.speed.machine import quantile
from vigil.model import load
from vigil.serve.frames import ClientFrame, pack_frame
from vigil.stream.journal import Moment, Question
from vigil.stream.perceiver import Perceiver
from vigil.stream.session import Session
from vigil.stream.source import open_source
from vigil.types import Frame

QUESTION_S = 10.0
WIDEST_PX = 640
"""As the page sends them."""
ENOUGH = 0.95


def pictures() -> list[Image.Image]:
    """The demo clip at 1 frame/s."""
    with open_source(demo_clip(), fps=1.0) as source:
        return [Image.fromarray(frame.image) for frame in source]


def jpeg(picture: Image.Image) -> bytes:
    """As a browser encodes it."""
    out = io.BytesIO()
    small = picture.copy()
    small.thumbnail((WIDEST_PX, WIDEST_PX))
    small.save(out, "JPEG", quality=80)
    return out.getvalue()


def own_s(images: list[Image.Image]) -> float:
    """What the model alone needs for one frame: the encoder, and a step of speech."""
    model = load("nano", device="cpu")
    session, perceiver, took = Session(model, config=StreamConfig()), Perceiver(model), []
    session.open(Moment(0.0, 0.0))
    session.hear(Question("What happens?", True, None), Moment(0.1, 0.1))
    for index in range(30):
        now = Moment(1.0 + index, 1.0 + index)
        while session.due_s is not None and session.due_s < now.time_s:
            session.step(Moment(session.due_s, session.due_s))
        began_s = time.perf_counter()
        frame = Frame(np.asarray(images[index % len(images)]), now.time_s)
        session.see(perceiver.perceive(index, frame), now)
        took.append(time.perf_counter() - began_s)
    return quantile(took[5:], 0.5)


@dataclass
class Watcher:
    """One client, and what it has seen."""

    number: int
    images: list[bytes]
    frame_s: list[float] = field(default_factory=list)
    arrivals: list[tuple[float, float]] = field(default_factory=list)
    """`t_mono` of an event, and when it came."""
    offset_s: float = float("inf")
    asked: dict[int, float] = field(default_factory=dict)
    settled_s: list[float] = field(default_factory=list)
    dropped: int = 0
    errors: int = 0
    skipped: int = 0
    credit: int = 4
    _waiting: list[float] = field(default_factory=list)

    async def run(self, url: str, token: str, seconds: float) -> None:
        """Watch and ask."""
        headers = {"Authorization": f"Bearer {token}"}
        protocols = [Subprotocol("vigil.v1")]
        async with connect(url, subprotocols=protocols, additional_headers=headers, compression=None) as ws:
            opening = {
                "type": "session.open",
                "client_id": "page",
                "open_id": f"benchmark-{self.number:03d}",
                "sources": [{"source": 0, "kind": "push"}],
                "policy": {"silence": "each"},
            }
            await ws.send(json.dumps(opening))
            listening = asyncio.create_task(self._listen(ws))
            await asyncio.sleep(2.0 + self.number / 8)  # out of step; the decoder child has started
            await self._talk(ws, seconds)
            await asyncio.sleep(QUESTION_S + 2.0)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _talk(self, ws: ClientConnection, seconds: float) -> None:
        began_s, cmd = time.monotonic(), 0
        for number in range(1, int(seconds) + 1):
            await asyncio.sleep(max(0.0, began_s + number - 1 - time.monotonic()))
            if (number - 1) % QUESTION_S == self.number % QUESTION_S:
                cmd += 1
                self.asked[cmd] = time.monotonic()
                ask = {"type": "input.text", "cmd": cmd, "text": "What do you see?", "mode": "interrupt"}
                await ws.send(json.dumps({**ask, "answer_by_s": QUESTION_S}))
            await ws.send(json.dumps({"type": "ping", "id": number}))
            if len(self._waiting) >= self.credit:  # as the page does: left out
                self.skipped += 1
                continue
            self._waiting.append(time.monotonic())
            image = self.images[(number + self.number) % len(self.images)]
            await ws.send(pack_frame(ClientFrame(0, len(self._waiting), number * 1_000_000, image)))

    async def _listen(self, ws: ClientConnection) -> None:
        sent: dict[int, float] = {}
        async for text in ws:
            now_s, row = time.monotonic(), json.loads(text)
            match row["type"]:
                case "pong":
                    self.offset_s = min(self.offset_s, now_s - row["t_mono"])
                case "input.frame.perceived":
                    sent[row["frame_no"]] = self._waiting[row["frame_no"] - 1]
                case "decision" if sent:
                    self.frame_s += [now_s - at_s for at_s in sent.values()]
                    sent.clear()
                case "answer.delta" if sent:  # it was speaking: the frame fell into the answer
                    self.frame_s += [now_s - at_s for at_s in sent.values()]
                    sent.clear()
                case "input.frames.dropped":
                    self.dropped += row["count"]
                case "input.credit":
                    self.credit = row["up_to"]
                case "error":
                    self.errors += 1
                case "answer.started" | "input.text.unanswered" if row["turn"] in self.asked:
                    self.settled_s.append(now_s - self.asked.pop(row["turn"]))
            if "seq" in row and row["type"] != "command.done":
                self.arrivals.append((row["t_mono"], now_s))

    @property
    def event_s(self) -> list[float]:
        """From made to arrived, of every event."""
        return [now_s - t_mono - self.offset_s for t_mono, now_s in self.arrivals]


async def chat(url: str, token: str, images: list[bytes], over: asyncio.Event) -> int:
    """Ask about pictures again and again; how many answers came."""
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(image).decode()}}
        for image in images[:4]
    ]
    content = [*parts, {"type": "text", "text": "What do you see?"}]
    body = {"model": "nano", "messages": [{"role": "user", "content": content}]}
    answers = 0
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=120, verify=False) as http:
        while not over.is_set():
            answers += (await http.post(f"{url}/v1/chat/completions", json=body)).status_code == 200
    return answers


@contextmanager
def server(folder: Path, clients: int) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """`vigil serve` on nano: the process, its address, and its token."""
    command = [sys.executable, "-m", "vigil", "serve", "--port", "0", "--data", str(folder)]
    with subprocess.Popen([*command, "--max-sessions", str(clients)], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            while "serving nano at " not in line:
                assert line, "the server did not start"
                line = process.stderr.readline()
            address = line.split("serving nano at ")[1].split()[0].rstrip("/")
            yield process, address, (folder / "token").read_text().split()[-1]
        finally:
            process.terminate()
            process.wait(60)


def cpu_s(pid: int) -> float:
    """Processor time of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(address: str, token: str, watchers: list[Watcher], seconds: float, chats: int) -> int:
    """All clients at once; the number of chat answers beside."""
    over = asyncio.Event()
    asking = [asyncio.create_task(chat(address, token, watchers[0].images, over)) for _ in range(chats)]
    url = address.replace("http://", "ws://") + "/v1/stream"
    await asyncio.gather(*(watcher.run(url, token, seconds) for watcher in watchers))
    over.set()
    return sum(await asyncio.gather(*asking))


def row(watcher: Watcher, own: float, seconds: float) -> dict[str, Any]:
    """One client's figures."""
    beyond = [max(0.0, value - own) for value in watcher.frame_s]
    return {
        "client": watcher.number,
        "decided": len(watcher.frame_s),
        "of": int(seconds),
        "dropped": watcher.dropped,
        "skipped": watcher.skipped,
        "errors": watcher.errors,
        "settled": len(watcher.settled_s),
        "open": len(watcher.asked),
        "slowest_answer_s": max(watcher.settled_s, default=0.0),
        "frame_p50_ms": 1000 * quantile(beyond, 0.5),
        "frame_p95_ms": 1000 * quantile(beyond, 0.95),
        "event_p95_ms": 1000 * quantile(watcher.event_s, 0.95),
    }


def main() -> None:
    """Measure, print and keep."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--clients", type=int, default=8)
    flags.add_argument("--seconds", type=float, default=60.0)
    flags.add_argument("--chats", type=int, default=0)
    flags.add_argument("--save", action="store_true", help="keep JSON under results/")
    args = flags.parse_args()
    torch.set_num_threads(1)
    images = pictures()
    own = own_s(images)
    watchers = [Watcher(number, [jpeg(image) for image in images]) for number in range(args.clients)]
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), args.clients) as (process, address, token):
        before_s, began_s = cpu_s(process.pid), time.monotonic()
        answers = asyncio.run(measure(address, token, watchers, args.seconds, args.chats))
        share = (cpu_s(process.pid) - before_s) / (time.monotonic() - began_s)
    rows = [row(watcher, own, args.seconds) for watcher in watchers]
    frames = [max(0.0, value - own) for watcher in watchers for value in watcher.frame_s]
    events = [value for watcher in watchers for value in watcher.event_s]
    starved = [r["client"] for r in rows if r["decided"] < ENOUGH * r["of"] or r["open"] or r["slowest_answer_s"] > 12]
    figures = {
        "clients": args.clients,
        "seconds": args.seconds,
        "chats": args.chats,
        "chat_answers": answers,
        "model_own_ms": round(1000 * own, 2),
        "frame_p50_ms": round(1000 * quantile(frames, 0.5), 1),
        "frame_p95_ms": round(1000 * quantile(frames, 0.95), 1),
        "event_p50_ms": round(1000 * quantile(events, 0.5), 1),
        "event_p95_ms": round(1000 * quantile(events, 0.95), 1),
        "server_cores": round(share, 3),
        "starved": starved,
    }
    report("clients", rows, save=args.save, **figures)


if __name__ == "__main__":
    main()
