"""Cameras of the operator: lost, frozen, back again, and never named by a client (C1, C2, S13)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.serve.serving import PATIENT, jpeg, serving
from vigil.serve.live import Live
from vigil.serve.protocol import SourceSpec
from vigil.serve.refusal import Refusal

FRAME_S = 0.05


class FakeCamera:
    """Motion JPEG over HTTP on this machine, as cheap cameras send it. It can freeze, and can be switched off."""

    def __init__(self) -> None:
        self.is_frozen = threading.Event()
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                self._talk(peer)

    def _talk(self, peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n")
        number = 0
        while not self._stop.wait(FRAME_S):
            if not self.is_frozen.is_set():
                number += 1
                image = jpeg(number, (64, 48))
                head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                peer.sendall(head.encode() + image + b"\r\n")

    def off(self) -> None:
        """Switch it off: the connection breaks."""
        self._stop.set()
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    camera = FakeCamera()
    yield camera
    camera.off()


@pytest.mark.timeout(120)
def test_a_camera_that_freezes_is_noticed_and_comes_back(camera: FakeCamera) -> None:  # C1, C2 (wall)
    address = f"http://user:canary-password@127.0.0.1:{camera.port}/stream"
    with serving(cameras={"door": address}, limits=PATIENT) as served:
        client = served.session(sources=[])
        client.done(client.command("source.add", source=0, kind="camera", name="door", fps=10))
        client.until("source.opened", width=64)
        client.until("input.frame.perceived")
        camera.is_frozen.set()
        began = time.monotonic()
        lost = client.until("source.lost")
        assert lost["cause"] in ("frozen", "closed")
        assert time.monotonic() - began < 10
        camera.is_frozen.clear()
        client.until("source.discontinuity", cause="reconnect", stream_epoch=2)
        client.done(client.command("source.remove", source=0))
        with served.http as http:
            told = "".join([*client.texts, http.get("/metrics").text, http.get("/v1/capabilities").text])
        assert "canary-password" not in told
        assert f":{camera.port}" not in told


def test_a_camera_that_is_not_there_is_lost_and_tried_again() -> None:  # C1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with serving(cameras={"door": f"http://127.0.0.1:{port}/"}) as served:
        client = served.session(sources=[])
        client.done(client.command("source.add", source=0, kind="camera", name="door"))
        assert client.until("source.lost")["cause"] == "refused"
        assert client.until("source.lost")["attempt"] == 2


def test_only_names_of_the_operator_are_cameras() -> None:  # S6
    with serving(cameras={"door": "http://127.0.0.1:9/"}) as served:
        client = served.session(sources=[])
        for name in ("window", "door2", "http", "0"):
            client.send(type="source.add", cmd=1, source=0, kind="camera", name=name)
            assert client.error() == "not_found"
        live: Live = next(iter(served.gate.hub.active.values()))

        def add() -> str:
            try:
                live.eye.add(SourceSpec(source=99, kind="push"), by=None)
            except Refusal as refusal:
                return refusal.code
            return "added"

        assert served.call(add) == "bad_message"
