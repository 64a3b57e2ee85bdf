"""How soon a camera that freezes or goes away is noticed, and how soon it is back, in real time (C1, C2; tier N)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.serve.figures import keep
from tests.serve.serving import PATIENT, Client, jpeg, serving

FRAME_S = 0.1
ROUNDS = 10


class Switched:
    """Motion JPEG over HTTP that freezes, or is switched off and on again, at one address."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.is_frozen = threading.Event()
        self._off = threading.Event()
        self.on()

    def on(self) -> None:
        """Answer again."""
        self._off.clear()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def off(self) -> None:
        """Hang up, and answer nobody."""
        self._off.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while not self._off.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                peer.recv(4096)
                peer.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n")
                self._film(peer)

    def _film(self, peer: socket.socket) -> None:
        number = 0
        while not self._off.wait(FRAME_S):
            if not self.is_frozen.is_set():
                number += 1
                image = jpeg(number, (64, 48))
                head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                peer.sendall(head.encode() + image + b"\r\n")


@pytest.fixture
def camera() -> Iterator[Switched]:
    camera = Switched()
    yield camera
    camera.off()


def seconds_until(client: Client, kind: str, since_s: float) -> float:
    """From some moment to the next message of a type that comes after it."""
    while client.next(60)["type"] != kind:
        continue
    return time.monotonic() - since_s


@pytest.mark.tier_n
@pytest.mark.timeout(1200)
def test_a_frozen_camera_is_noticed_in_time_and_is_back_in_time(camera: Switched) -> None:  # C1, C2
    with serving(cameras={"door": f"http://127.0.0.1:{camera.port}/"}, limits=PATIENT) as served:
        client = served.session(sources=[])
        noticed, back = [], []
        for number in range(ROUNDS):  # a source of its own each time, so that back-off begins anew
            client.done(client.command("source.add", source=number, kind="camera", name="door", fps=10))
            client.until("input.frame.perceived", source=number)
            freezes = number % 2 == 0
            (camera.is_frozen.set if freezes else camera.off)()
            noticed.append((freezes, seconds_until(client, "source.lost", time.monotonic())))
            (camera.is_frozen.clear if freezes else camera.on)()
            since_s = time.monotonic()
            seconds_until(client, "source.discontinuity", since_s)
            back.append(seconds_until(client, "input.frame.perceived", since_s))
            client.done(client.command("source.remove", source=number))
        discontinuities = sum(row["type"] == "source.discontinuity" for row in client.events)
        figures = {
            "rounds": ROUNDS,
            "frozen_noticed_max_s": round(max(s for freezes, s in noticed if freezes), 2),
            "gone_noticed_max_s": round(max(s for freezes, s in noticed if not freezes), 2),
            "back_max_s": round(max(back), 2),
            "discontinuities": discontinuities,
        }
        keep("C1-C2", **figures)
        assert figures["frozen_noticed_max_s"] <= 3
        assert figures["back_max_s"] <= 5
        assert discontinuities == ROUNDS


def test_the_camera_of_these_tests_films_and_stops(camera: Switched) -> None:
    def first_bytes() -> bytes:
        with socket.create_connection(("127.0.0.1", camera.port), timeout=30) as peer:
            peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return peer.recv(15)

    assert first_bytes().startswith(b"HTTP/1.0 200")
    camera.off()
    with pytest.raises(ConnectionRefusedError):
        first_bytes()
    camera.on()
    assert first_bytes().startswith(b"HTTP/1.0 200")
