"""M9: the clock of a transport stream begins at 0 again after 26.5 h, and nobody may notice."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from tests.serve.figures import keep
from tests.stream.cameras import Camera
from tests.stream.transport import WRAP_S, transport_stream
from vigil.stream import _live_child
from vigil.stream._live_child import Looking, Watcher
from vigil.stream._live_pipe import REPLY, Status
from vigil.stream.address import address_of
from vigil.stream.source import open_source

FPS = 30
HOURS = 27.0


@dataclass
class Endless(Camera):
    """A transport stream over HTTP without a length, as fast as it is read."""

    head: bytes = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
    seconds: float = 60.0
    first_s: float = 0.0

    def parts(self, is_off: threading.Event) -> Iterator[bytes]:
        """The stream, once."""
        return transport_stream(self.seconds, first_s=self.first_s, fps=FPS)


@dataclass
class Replies(io.RawIOBase):
    """Counts what a child says, and keeps the times of its frames."""

    said: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)
    num_bad: int = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """A header, or a body."""
        if len(data) == REPLY.size:
            status, _, _, time_s, self.num_bad, _, _ = REPLY.unpack(data)
            self.said[Status(status).name] += 1
            if status == Status.FRAME:
                self.times_s.append(time_s)
        return len(data)


@dataclass
class Watched:
    """A stream as the live child read it, in virtual time: each picture comes 1/30 s after the one before."""

    replies: Replies = field(default_factory=Replies)
    num_pictures: int = 0
    media_s: float = 0.0
    """What the stream's own clock reads."""


def watched(camera: Endless, monkeypatch: pytest.MonkeyPatch, *, by_media: bool = False) -> Watched:
    """Run the live child's own code in this process, on a clock that counts pictures, or, planted, the stream's own."""
    seen = Watched()
    frames = Looking.frames

    def counted(looking: Looking) -> Iterator[av.VideoFrame]:
        for frame in frames(looking):
            assert frame.time is not None
            seen.num_pictures, seen.media_s = seen.num_pictures + 1, frame.time
            yield frame

    now = (lambda: seen.media_s) if by_media else (lambda: seen.num_pictures / FPS)
    clock = SimpleNamespace(monotonic=now, sleep=lambda seconds: None)
    monkeypatch.setattr(Looking, "frames", counted)
    monkeypatch.setattr(_live_child, "time", clock)
    monkeypatch.setattr(_live_child, "renew_cpu_budget", lambda: None)
    address = address_of(camera.url)
    assert address is not None
    plain = {"correct_ts_overflow": "0"} if by_media else {}
    request = {"url": address.url, "format": address.format, "options": {**address.options, **plain}}
    limits = {"fps": 1.0, "open_s": 60.0, "read_s": 60.0, "still_s": 2.0, "stuck": None}
    Watcher({**request, **limits}, seen.replies).run()  # type: ignore[arg-type]
    return seen


def problems(seen: Watched, seconds: float) -> list[str]:
    """What a stream of so many seconds should not have."""
    found = []
    if seen.num_pictures != round(seconds * FPS):
        found.append(f"{seen.num_pictures} pictures of {round(seconds * FPS)}")
    if seen.replies.said["OPENED"] != 1 or seen.replies.said["LOST"] != 1 or seen.replies.num_bad:
        found.append(f"it was opened, lost or damaged: {dict(seen.replies.said)}, {seen.replies.num_bad} bad packets")
    steps = [b - a for a, b in zip(seen.replies.times_s, seen.replies.times_s[1:], strict=False)]
    if len(seen.replies.times_s) not in (int(seconds), int(seconds) + 1) or not all(0.9 < step < 1.1 for step in steps):
        found.append(f"{len(seen.replies.times_s)} frames sent in {seconds:g} s, not one per second")
    return found


def written(path: Path, seconds: float, **more: float) -> Path:
    """The same as a file."""
    path.write_bytes(b"".join(transport_stream(seconds, **more)))  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("before_s", [5.0, 90.0], ids=["wraps soon", "wraps late"])
def test_a_recording_in_which_the_clock_wraps_keeps_its_times(tmp_path: Path, before_s: float) -> None:
    path = written(tmp_path / "wraps.ts", before_s + 5, first_s=WRAP_S - before_s, fps=5)
    with open_source(path, fps=1.0) as source:
        times = [frame.time_s for frame in source]
        assert source.warnings == []
        assert source.duration_s == pytest.approx(before_s + 5, abs=0.5)
    assert times == pytest.approx([float(s) for s in range(int(before_s) + 5)], abs=1e-3)


def test_a_live_stream_in_which_the_clock_wraps_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with Endless(seconds=20.0, first_s=WRAP_S - 8) as camera:
        assert problems(watched(camera, monkeypatch), 20.0) == []


def test_m9_control_a_child_that_goes_by_the_clock_of_the_stream_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with Endless(seconds=20.0, first_s=WRAP_S - 8) as camera:
        found = problems(watched(camera, monkeypatch, by_media=True), 20.0)
    assert any("frames sent in 20 s, not one per second" in line for line in found)


@pytest.mark.tier_n
@pytest.mark.timeout(3600)
def test_m9_twenty_seven_hours_of_a_transport_stream_are_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 3600 * HOURS
    with Endless(seconds=seconds) as camera:
        seen = watched(camera, monkeypatch)
    found = problems(seen, seconds)
    keep("M9", hours=HOURS, pictures=seen.num_pictures, problems=len(found))
    assert found == []
