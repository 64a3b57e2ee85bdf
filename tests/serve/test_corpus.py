"""Hostile files through the decoder child: frames or one typed error, in time, and the server lives (M1, M3, M6)."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serve.figures import keep
from tests.serve.hostile_media import corpus, corrupt, encoded
from tests.serve.serving import serving
from tests.stream.videos import ten
from vigil.serve.children import Decoder, DecoderGone, resident_bytes
from vigil.serve.limits import Limits
from vigil.serve.refusal import Refusal

LIMITS = Limits(decode_s=60)
MOST_FRAMES = 50
NOT_MEDIA = {"empty", "one byte", "zeros", "noise", "text", "html", "playlist", "concat", "sdp", "dash", "sound"}


async def outcome(child: Decoder, path: Path, most: int = MOST_FRAMES) -> str:
    """What becomes of a file: "frames", or the code of its error."""
    num_frames, newest = 0, -1.0
    try:
        await child.open_file(path, fps=1000.0)
        while num_frames < most and (frame := await child.next_frame()) is not None:
            assert frame[0] > newest, "times strictly increase"
            num_frames, newest = num_frames + 1, frame[0]
    except Refusal as refusal:
        return "frames" if num_frames else refusal.code
    except DecoderGone:
        return "died"
    return "frames" if num_frames else "nothing"


def with_child(work: Callable[[Decoder], Awaitable[None]], limits: Limits = LIMITS) -> None:
    """Run something with a real child process."""

    async def run() -> None:
        child = Decoder(limits, wanted_px=128)
        try:
            await work(child)
        finally:
            await child.close()

    asyncio.run(run())


def children() -> set[str]:
    """Processes whose parent is this one, zombies included."""
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return set(path.read_text().split())


def test_m1_every_hostile_file_gives_frames_or_one_typed_error(tmp_path: Path) -> None:
    files = corpus(tmp_path)
    before = children()
    results: dict[str, str] = {}
    slowest_s, most_mib = 0.0, 0.0

    async def work(child: Decoder) -> None:
        nonlocal slowest_s, most_mib
        await child.warm()
        for name, path in files.items():
            began = time.process_time()
            results[name] = await outcome(child, path)
            slowest_s = max(slowest_s, time.process_time() - began)
            assert child._process is not None
            most_mib = max(most_mib, resident_bytes(child._process.pid) / 2**20)

    with_child(work)
    keep("M1", files=len(files), child_mib=round(most_mib), with_frames=Counter(results.values())["frames"])
    assert len(files) >= 28
    assert set(results.values()) <= {"frames", "bad_image", "too_large"}
    assert {name for name in NOT_MEDIA if results[name] == "frames"} == set()
    assert all(results[name] == "too_large" for name in ("png of 900 MP", "png of 256 MP"))
    whole = ("whole mkv", "whole mp4", "half an mkv", "odd sizes", "ten bits", "time jumps", "webp", "animated png")
    assert {name for name in whole if results[name] != "frames"} == set()
    assert most_mib <= 300
    assert children() == before


def test_m1_control_without_a_deadline_a_file_that_hangs_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    ended: list[str] = []

    async def work(child: Decoder) -> None:
        await child.warm()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                ended.append(await outcome(child, path))

    with_child(work, replace(LIMITS, decode_s=0.3))
    assert ended == ["died"]
    with_child(work, replace(LIMITS, decode_s=600))
    assert ended == ["died"]


def mutate(folder: Path, count: int) -> Counter[str]:
    """What becomes of many damaged files."""
    rng = random.Random(20261123)
    bases = [ten(folder / f"base.{ending}").read_bytes() for ending in ("mp4", "mkv", "avi", "ts")]
    bases += [encoded(kind, (200, 150)) for kind in ("JPEG", "PNG", "WEBP")]
    results: Counter[str] = Counter()
    path = folder / "mutated"

    async def work(child: Decoder) -> None:
        for number in range(count):
            base = bases[number % len(bases)]
            data = corrupt(base, rng.choice((0.0001, 0.001, 0.01, 0.1)), rng)
            path.write_bytes(data[: rng.choice((len(data), rng.randrange(1, len(data))))])
            results[await outcome(child, path, most=10)] += 1
            child._deaths.clear()

    with_child(work)
    return results


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_m3_three_hundred_damaged_files_kill_nobody(tmp_path: Path) -> None:
    assert set(mutate(tmp_path, 300)) <= {"frames", "nothing", "bad_image", "too_large"}


@pytest.mark.tier_r
@pytest.mark.timeout(7200)
def test_m3_twenty_thousand_damaged_files_kill_nobody(tmp_path: Path) -> None:
    results = mutate(tmp_path, 20_000)
    keep("M3", files=20_000, child_died=results["died"], with_frames=results["frames"])
    assert results["died"] <= 100  # of the children: they are there to die, but each death costs a session a second


@pytest.mark.parametrize("fps", [1e6, 1e9, 0, -1, float("nan"), float("inf"), 10**400, "1"])
def test_m6_a_rate_that_makes_no_sense_is_clamped_or_refused(fps: float) -> None:
    with serving() as served:
        client = served.session(sources=[])
        text = f'{{"type": "source.add", "cmd": 1, "source": 0, "kind": "push", "fps": {fps!r}}}'
        client.ws.send(text.replace("nan", "NaN").replace("inf", "Infinity").replace("'", '"'))
        if fps == 1e6:
            client.done(1)
            opened = client.until("source.opened")
            assert opened["fps"] == served.gate.hub.limits.media_fps
        else:
            assert client.error() in ("bad_message", "bad_json")
