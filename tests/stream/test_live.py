"""Live sources against real servers: they freeze, break, come back, send damage, and never show a password (C1, C2)."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from cameras import Camera, Rtsp, Transport, access_units, jpeg, noise_video, until, web_file

from vigil.errors import ConfigError, MediaError, SourceError, SourceLost
from vigil.stream._live_child import LOOK_S, Lost, Stillness
from vigil.stream._live_pipe import REPLY, Status
from vigil.stream._live_process import LiveProcess
from vigil.stream.address import Address, address_of
from vigil.stream.live import Backoff, LiveConfig, LiveSource
from vigil.stream.notices import Found, Notice, Outage, Return
from vigil.stream.source import Source, open_source
from vigil.types import Frame

SLOW = LiveConfig(open_s=30, read_s=30, first_s=30, freeze_s=30, still_s=30, stale_s=30)
"""For machines that have other things to do: nothing times out."""
QUICK = replace(SLOW, read_s=1.0, freeze_s=1.0)


class Viewer:
    """Reads a source in a thread, and remembers what came."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.frames: list[Frame] = []
        self.notices: list[Notice] = []
        self.error: BaseException | None = None
        source.on_notice = self.notices.append
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        try:
            self.frames.extend(iter(self.source))
        except SourceError as error:
            self.error = error

    def outages(self) -> list[str]:
        """Causes of the losses so far."""
        return [notice.cause for notice in self.notices if isinstance(notice, Outage)]

    def returns(self) -> list[str]:
        """Causes of the returns so far."""
        return [notice.cause for notice in self.notices if isinstance(notice, Return)]


@contextmanager
def viewing(source: Source) -> Iterator[Viewer]:
    """Read a source; at the end it is closed, and its thread and its child are gone."""
    viewer = Viewer(source)
    viewer.thread.start()
    try:
        yield viewer
    finally:
        source.close()
        viewer.thread.join(30)
        assert not viewer.thread.is_alive()
        assert getattr(source, "_process", None) is None


def live(spec: str | Address, config: LiveConfig = SLOW, fps: float = 20.0, longest_s: float = 0.0) -> LiveSource:
    """A source that is not open yet; it waits for `longest_s` before each attempt to come back."""
    address = spec if isinstance(spec, Address) else address_of(spec)
    assert address is not None
    return LiveSource(address, fps=fps, config=config, backoff=Backoff(draw=lambda low, high: longest_s))


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera() as camera:
        yield camera


def rising(frames: list[Frame]) -> bool:
    return all(a.time_s < b.time_s for a, b in pairwise(frames))


def test_frames_come_with_times_of_arrival_at_the_rate_that_was_asked_for(camera: Camera) -> None:
    with viewing(live(camera.url, fps=5.0)) as viewer:
        until(lambda: len(viewer.frames) >= 4)
        times_s = [frame.time_s for frame in viewer.frames[:4]]
        assert viewer.frames[0].image.shape == (48, 64, 3)
    assert rising(viewer.frames)
    assert times_s[3] - times_s[0] > 0.4  # 0.6 s for three periods; the camera sends one each 0.05 s
    assert [notice for notice in viewer.notices if isinstance(notice, Found)] == [Found(64, 48, "mjpeg")]


def test_a_camera_that_freezes_is_noticed_and_one_without_limits_never_notices(camera: Camera) -> None:  # C2
    with viewing(live(camera.url, QUICK)) as viewer, viewing(live(camera.url, SLOW)) as control:
        until(lambda: viewer.frames and control.frames)
        camera.is_frozen.set()
        until(lambda: len(viewer.outages()) >= 1)
        assert set(viewer.outages()) == {"frozen"}
        assert control.outages() == []
        camera.is_frozen.clear()
        until(lambda: viewer.returns())
        seen = len(viewer.frames)
        until(lambda: len(viewer.frames) > seen + 2)
    assert rising(viewer.frames)


def test_a_camera_stuck_on_one_picture_is_lost_until_the_picture_changes(camera: Camera) -> None:
    with (
        viewing(live(camera.url, replace(SLOW, still_s=0.5))) as viewer,
        viewing(live(camera.url, replace(SLOW, still_s=None))) as control,
    ):
        until(lambda: viewer.frames and control.frames)
        camera.is_stuck.set()
        until(lambda: viewer.outages())
        assert viewer.outages() == ["frozen"]
        requests = len(camera.requests)
        until(lambda: len(camera.requests) > requests)  # it has connected again ...
        seen = len(control.frames)
        until(lambda: len(control.frames) > seen + 10)
        assert viewer.returns() == []  # ... and does not take the old picture for a new one
        assert control.outages() == []  # where a still picture is no fault, it goes on
        camera.is_stuck.clear()
        until(lambda: viewer.returns())


def test_a_camera_that_was_switched_off_comes_back_in_the_same_source(camera: Camera) -> None:  # C1
    with viewing(live(camera.url, longest_s=0.1)) as viewer:
        for number in (1, 2):
            until(lambda number=number: viewer.frames and len(viewer.returns()) == number - 1)
            camera.off()
            until(lambda: "refused" in viewer.outages()[-1:])
            camera.on()
            until(lambda number=number: len(viewer.returns()) == number)
            seen = len(viewer.frames)
            until(lambda seen=seen: len(viewer.frames) > seen)
    assert rising(viewer.frames)
    assert viewer.outages()[0] == "closed"
    returns = [notice for notice in viewer.notices if isinstance(notice, Return)]
    assert [(r.epoch, r.cause) for r in returns] == [(2, "reconnect"), (3, "reconnect")]
    assert all(r.gap_s > 0 for r in returns)


def test_damage_is_stepped_over_and_counted(camera: Camera) -> None:
    source = live(camera.url)
    with viewing(source) as viewer:
        until(lambda: viewer.frames)
        camera.is_damaged.set()
        seen = len(viewer.frames)
        until(lambda: len(viewer.frames) > seen + 5)
    assert viewer.outages() == []
    (warning,) = source.warnings
    assert "of its packets could not be decoded" in warning


def test_pictures_of_another_size_are_a_discontinuity(camera: Camera) -> None:  # C4
    with viewing(live(camera.url)) as viewer:
        until(lambda: viewer.frames)
        camera.size = (32, 32)
        until(lambda: viewer.frames[-1].image.shape == (32, 32, 3))
    assert viewer.returns() == ["resolution"]
    assert viewer.outages() == []


def test_a_transport_stream_over_http_is_read_damaged_or_not_and_ends_as_a_loss(tmp_path: Path) -> None:  # M2
    data = noise_video(tmp_path / "a.ts", num_frames=200).read_bytes()
    with Transport(data=data, num_parts=100) as camera, viewing(live(camera.url, fps=1000.0)) as viewer:
        until(lambda: viewer.frames)
        camera.is_damaged.set()
        until(lambda: viewer.outages())
        until(lambda: viewer.returns())
    assert viewer.outages()[0] == "closed"
    assert len(viewer.frames) > 10


def test_rtsp_is_read_freezes_and_comes_back(tmp_path: Path) -> None:
    units = access_units(noise_video(tmp_path / "a.h264", codec="libx264"))
    with Rtsp(access_units=units) as camera, viewing(live(camera.url, QUICK)) as viewer:
        until(lambda: len(viewer.frames) > 2)
        camera.is_frozen.set()
        until(lambda: viewer.outages())
        camera.is_frozen.clear()
        until(lambda: viewer.returns())
        assert viewer.outages()[0] == "frozen"
    assert rising(viewer.frames)


def test_a_file_of_the_web_plays_at_its_own_pace_and_ends(tmp_path: Path) -> None:
    data = noise_video(tmp_path / "clip.mp4", num_frames=20, fps=20).read_bytes()
    with web_file(data) as url, open_source(url, fps=20.0, live=SLOW) as source:
        assert source.duration_s == pytest.approx(1.0)
        viewer = Viewer(source)
        viewer._read()
    assert viewer.outages() == []
    assert viewer.frames[-1].time_s > 0.6
    assert len(viewer.frames) > 5


def test_a_device_is_read_and_one_that_was_unplugged_is_lost() -> None:
    address = Address(
        kind="camera", url="testsrc=size=64x48:rate=20:duration=1,realtime", shown="camera:0", format="lavfi"
    )
    with viewing(live(address, replace(SLOW, patience_s=0.001), longest_s=1.0)) as viewer:
        until(lambda: viewer.error is not None)
    assert viewer.frames
    assert isinstance(viewer.error, SourceLost)
    assert viewer.error.exit_code == 4
    assert "camera:0 has been away" in str(viewer.error)


def test_a_device_whose_driver_hangs_is_noticed_by_the_parent() -> None:  # M4
    address = Address(kind="camera", url="testsrc=size=64x48:rate=20,realtime", shown="camera:0", format="lavfi")
    source = live(address, replace(SLOW, freeze_s=0.5))
    with viewing(source) as viewer:
        until(lambda: viewer.frames)
        assert source._process is not None
        os.kill(source._process._process.pid, signal.SIGSTOP)
        until(lambda: viewer.returns())
        assert viewer.outages() == ["frozen"]


def test_a_child_that_dies_is_replaced_until_it_is_hopeless(camera: Camera) -> None:  # M4
    source = live(camera.url)
    with viewing(source) as viewer:
        for number in range(5):
            until(lambda number=number: len(viewer.outages()) == number and source._process is not None)
            process = source._process
            assert process is not None
            process._process.kill()
            until(lambda number=number: len(viewer.outages()) > number)
        until(lambda: viewer.error is not None)
    assert set(viewer.outages()) == {"decoder"}
    assert "died 5 times" in str(viewer.error)


def test_closing_wakes_a_source_that_waits_for_the_next_attempt(camera: Camera) -> None:
    with viewing(live(camera.url, replace(SLOW, patience_s=None), longest_s=1e6)) as viewer:
        until(lambda: viewer.frames)
        camera.off()
        until(lambda: viewer.outages())  # `viewing` closes it, and fails where that does not wake it


def test_a_frame_that_is_asked_for_while_the_source_is_being_closed_is_none(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, go_on, end = threading.Event(), threading.Event(), LiveSource._end_process
    source = live(camera.url)
    frames = iter(source)
    next(frames)

    def end_slowly(source: LiveSource) -> None:
        closing.set()
        assert go_on.wait(30)
        end(source)

    monkeypatch.setattr(LiveSource, "_end_process", end_slowly)
    with ThreadPoolExecutor(2) as threads:
        closed = threads.submit(source.close)
        assert closing.wait(30)
        asked = threads.submit(next, frames, None)
        assert not wait([asked], timeout=0.1).done
        go_on.set()
        assert asked.result(30) is None
        closed.result(30)


def test_closing_wakes_a_source_that_waits_for_its_first_picture() -> None:
    with Camera() as camera:
        camera.is_frozen.set()
        with viewing(live(camera.url)):
            until(lambda: camera.requests)


@pytest.mark.parametrize(
    ("status", "kind", "error", "message"),
    [
        ("404 Not Found", "text/html", SourceError, "has no such stream"),
        ("401 Unauthorized", "text/html", SourceError, "refuses the user or the password"),
        ("302 Found\r\nLocation: http://127.0.0.1:9/", "text/html", SourceError, "cannot be opened"),
        ("200 OK", "text/html", MediaError, "sends no video that can be read"),
    ],
)
def test_what_cannot_be_opened_is_one_line_without_the_address(
    status: str, kind: str, error: type[Exception], message: str
) -> None:
    with web_file(b"<html>not a video</html>" * 50, status=status, kind=kind) as url:
        with pytest.raises(error, match=message) as caught:
            open_source(url, fps=1.0, live=SLOW)
        assert "canary" not in str(caught.value)
        assert "clip.mp4" not in str(caught.value)


def test_a_camera_that_is_off_is_not_opened() -> None:
    with Camera() as camera:
        pass
    with pytest.raises(SourceError, match="cannot be opened") as caught:
        open_source(camera.url, fps=1.0, live=SLOW)
    assert "canary" not in str(caught.value)


PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nURL\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile URL\n",
    "dash": b'<?xml version="1.0"?><MPD><BaseURL>URL</BaseURL></MPD>',
}


KINDS = {"hls": "application/vnd.apple.mpegurl", "concat": "text/plain", "dash": "application/dash+xml"}


def calls(name: str, *, formats: bool = True) -> int:
    """How often a playlist at an address has another machine called; without the list of formats as the control."""
    with Transport(data=b"x" * 376) as victim:
        body = PLAYLISTS[name].replace(b"URL", f"http://127.0.0.1:{victim.port}/a.ts".encode())
        with web_file(body, kind=KINDS[name]) as url:
            address = address_of(url)
            assert address is not None
            if not formats:
                address.options.pop("format_whitelist")
            with pytest.raises((MediaError, SourceError)):
                live(address, replace(SLOW, open_s=5, read_s=2)).open()
        return len(victim.requests)


@pytest.mark.parametrize("name", list(PLAYLISTS))
def test_no_playlist_makes_the_child_call_anybody(name: str) -> None:  # S7
    assert calls(name) == 0


def test_without_the_list_of_formats_a_playlist_does_make_it_call() -> None:  # the control
    assert calls("hls", formats=False) > 0


def test_a_password_is_in_no_list_of_processes_and_in_no_notice(camera: Camera) -> None:  # S4
    camera.wants_password = True
    source = live(camera.url)
    with viewing(source) as viewer:
        until(lambda: viewer.frames)
        assert source._process is not None
        pid = source._process._process.pid
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert b"_live_child" in told
        assert b"canary" not in told
        camera.off()
        until(lambda: viewer.outages())
        assert "canary" not in f"{viewer.notices} {source.name} {source.warnings} {source._address!r}"
    assert any(b"Authorization: Basic" in request for request in camera.requests)  # the camera itself got it


def test_a_wait_grows_is_drawn_and_starts_again_after_a_healthy_time() -> None:
    longest = Backoff(draw=lambda low, high: high)
    assert [longest.next_s(0.0) for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert longest.attempt == 8
    assert longest.next_s(61.0) == 0.5
    drawn = {Backoff().next_s(0.0) for _ in range(50)}
    assert len(drawn) > 20
    assert all(0 <= wait_s <= 0.5 for wait_s in drawn)
    longest.attempt = 10**6
    assert longest.next_s(0.0) == 30.0


def test_stillness_by_hand() -> None:
    still = Stillness(2.0, None)
    assert still.is_fresh(1, 0.0)
    assert still.is_fresh(2, 1.0)
    assert still.is_fresh(2, 1.0 + LOOK_S / 2)  # too soon to look
    assert still.is_fresh(2, 2.9)
    assert still.is_fresh(3, 3.2)  # it moved
    assert still.is_fresh(3, 5.1)
    with pytest.raises(Lost, match="stuck"):
        still.is_fresh(3, 5.4)
    again = Stillness(2.0, 3)
    assert [again.is_fresh(3, at_s) for at_s in (0.0, 5.0, 50.0)] == [False] * 3
    assert again.is_fresh(4, 50.1)


@pytest.mark.parametrize(
    "reply",
    [
        REPLY.pack(Status.FRAME, 10, 10, 0.0, 0, 0, 301),
        REPLY.pack(Status.FRAME, 0, 10, 0.0, 0, 0, 0),
        REPLY.pack(Status.FRAME, 5000, 10, 0.0, 0, 0, 150_000),
        REPLY.pack(Status.OPENED, 1, 1, 0.0, 0, 0, 2**31),
        REPLY.pack(99, 1, 1, 0.0, 0, 0, 0),
        REPLY.pack(Status.LOST, 0, 0, 0.0, 0, 0, 4) + b"what",
    ],
    ids=["length", "zero", "too wide", "name too long", "status", "reason"],
)
def test_what_a_child_says_is_checked_before_it_is_read(reply: bytes) -> None:  # T5
    with pytest.raises(ValueError):  # noqa: PT011
        LiveProcess._next(object.__new__(LiveProcess), io.BytesIO(reply))


@pytest.mark.parametrize(
    ("spec", "url", "shown", "has_secret"),
    [
        ("rtsp://u:p@cam.local:554/a?b=1#c", "rtsp://u:p@cam.local:554/a?b=1", "rtsp://cam.local:554", True),
        ("HTTPS://[::1]/x", "https://[::1]/x", "https://[::1]", False),
        ("http://u:a%40b@10.0.0.7/v", "http://u:a%40b@10.0.0.7/v", "http://10.0.0.7", True),
        ("camera:0", "/dev/video0", "camera:0", False),
        ("/dev/video3", "/dev/video3", "camera:3", False),
        ("7", "/dev/video7", "camera:7", False),
        ("screen::1", ":1", "screen:", False),
    ],
)
def test_addresses_that_are_opened(spec: str, url: str, shown: str, has_secret: bool) -> None:
    address = address_of(spec)
    assert address is not None
    assert (address.url, address.shown, address.has_secret) == (url, shown, has_secret)
    assert "p@" not in repr(address)


REFUSED = [
    "file:/etc/passwd", "file:///etc/passwd", "concat:a.mp4|b.mp4", "subfile,,start,0,end,9,,:a.mp4",
    "data:video/mp4,x", "pipe:0", "tcp://127.0.0.1:1", "udp://239.0.0.1:1", "ftp://h/a.mp4", "rtmp://h/a", "crypto:a", "cache:http://h/a",
    "hls+http://h/a", "lavfi:testsrc", "gopher://h", "rtp://h:1", "screen:host:0", "screen::0;x", "camera:../sda",
    "http://h/list.m3u8", "https://h/live.mpd?x=1", "rtsp://h/a.sdp", "rtsp://user:pa/canary@host/x",
    "rtsp://user:12?canary@host/x", "http://u:canary@b@c/d@e", "http:///nohost", "http://h:99999/", "http://h/a b",
]  # fmt: skip


@pytest.mark.parametrize("spec", REFUSED)
def test_addresses_that_are_refused_say_why_and_repeat_no_password(spec: str) -> None:  # S6, S7
    with pytest.raises(SourceError) as caught:
        address_of(spec)
    assert "canary" not in str(caught.value)
    assert "user" not in str(caught.value).replace("//user:password@", "")
    assert "\n" not in str(caught.value)


def test_what_is_there_is_a_path_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("camera:0", "file:x", "0"):
        (tmp_path / name).write_bytes(b"")
        assert address_of(name) is None
    assert address_of("clip: part 2.mp4") is None
    assert address_of(tmp_path / "kitchen.mp4") is None


def test_without_a_screen_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(SourceError, match="there is no X11 screen here"):
        address_of("screen:")
    monkeypatch.setenv("DISPLAY", ":99")
    with pytest.raises(SourceError, match="screen: cannot be opened"):
        open_source("screen:", fps=1.0, live=SLOW)


def test_a_camera_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"camera:987 does not exist \(/dev/video987\)"):
        open_source("camera:987", fps=1.0, live=SLOW)


@pytest.mark.parametrize("changes", [{"freeze_s": 0.0}, {"patience_s": -1.0}, {"open_s": float("inf")}])
def test_impossible_limits_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        LiveConfig(**changes)


def test_a_still_jpeg_of_one_number_is_the_same_bytes() -> None:
    assert jpeg(3) == jpeg(3) != jpeg(4)
