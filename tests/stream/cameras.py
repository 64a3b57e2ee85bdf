"""Real servers on this machine that behave as cameras do: motion JPEG and MPEG-TS over HTTP, and RTSP.

Each can be switched off and on again at the same port, can freeze, can be stuck on one picture, and can send damage.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import av
import numpy as np
from PIL import Image

FRAME_S = 0.05


def jpeg(number: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture with noise of its own, as every picture of a camera has."""
    width, height = size
    out = io.BytesIO()
    noise_HWC = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise_HWC).save(out, "JPEG")
    return out.getvalue()


@dataclass
class Camera:
    """Answers every request with an endless stream. Use it as a context."""

    size: tuple[int, int] = (64, 48)
    head: bytes = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n"
    is_frozen: threading.Event = field(default_factory=threading.Event)
    is_stuck: threading.Event = field(default_factory=threading.Event)
    is_damaged: threading.Event = field(default_factory=threading.Event)
    wants_password: bool = False
    num_sent: int = 0
    port: int = 0
    requests: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Camera:
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.on()
        return self

    def __exit__(self, *exc: object) -> None:
        self.off()

    @property
    def url(self) -> str:
        """Its address, with a password."""
        return f"http://user:canary@127.0.0.1:{self.port}/stream"

    def on(self) -> None:
        """Listen, at the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._is_off = threading.Event()
        self._start(self._accept, self._listener, self._is_off)

    def off(self) -> None:
        """The plug is pulled: every connection breaks."""
        self._is_off.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        self._threads.clear()
        self._peers.clear()

    def _start(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, is_off: threading.Event) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            self._start(self._serve, peer, is_off)

    def _serve(self, peer: socket.socket, is_off: threading.Event) -> None:
        with peer, suppress(OSError):
            self.requests.append(peer.recv(4096))
            if self.wants_password and b"Authorization" not in self.requests[-1]:
                peer.sendall(b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
                return
            peer.sendall(self.head)
            for part in self.parts(is_off):
                peer.sendall(part)
                self.num_sent += 1

    def parts(self, is_off: threading.Event) -> Iterator[bytes]:
        """What is sent after the head, at its own pace."""
        for number in count():
            if is_off.wait(FRAME_S):
                return
            if self.is_frozen.is_set():
                continue
            image = jpeg(0 if self.is_stuck.is_set() else number + 1, self.size)
            if self.is_damaged.is_set() and number % 2:
                image = b"\xff\xd8" + b"\x00" * (len(image) - 2)
            head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            yield head.encode() + image + b"\r\n"


def noise_video(path: Path, *, num_frames: int = 40, fps: int = 20, codec: str = "libx264") -> Path:
    """A video without a repeated picture."""
    with av.open(str(path), "w") as container:
        options = {"tune": "zerolatency"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 5
        rng = np.random.default_rng(0)
        for _ in range(num_frames):
            image_HWC = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image_HWC, "rgb24")))
        container.mux(stream.encode())
    return path


@dataclass
class Transport(Camera):
    """MPEG-TS over HTTP without a length: the given file, at its own pace, and then the connection ends."""

    head: bytes = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
    data: bytes = b""
    num_parts: int = 40

    def parts(self, is_off: threading.Event) -> Iterator[bytes]:
        """The file in equal parts."""
        step = -(-len(self.data) // self.num_parts)
        for start in range(0, len(self.data), step):
            if is_off.wait(FRAME_S):
                return
            while self.is_frozen.is_set() and not is_off.wait(FRAME_S):
                pass
            part = bytearray(self.data[start : start + step])
            if self.is_damaged.is_set() and (start // step) % 5 == 3:
                part[len(part) // 3 : 2 * len(part) // 3] = b"\xaa" * (2 * len(part) // 3 - len(part) // 3)
            yield bytes(part)


@dataclass
class Rtsp(Camera):
    """A small RTSP server: one H.264 stream, interleaved over TCP, each NAL unit in a packet of its own."""

    access_units: list[list[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"rtsp://user:canary@127.0.0.1:{self.port}/live"

    def _serve(self, peer: socket.socket, is_off: threading.Event) -> None:
        with peer, suppress(OSError):
            pending = b""
            while b"PLAY" not in (request := self._request(peer, pending)):
                peer.sendall(self._answer(request))
            peer.sendall(self._answer(request))
            self._play(peer, is_off)

    def _request(self, peer: socket.socket, data: bytes) -> bytes:
        while b"\r\n\r\n" not in data:
            more = peer.recv(4096)
            if not more:
                raise OSError("gone")
            data += more
        self.requests.append(data)
        return data

    def _answer(self, request: bytes) -> bytes:
        lines = request.decode().split("\r\n")
        number = next(line.split(":")[1].strip() for line in lines if line.lower().startswith("cseq"))
        head, body = [f"RTSP/1.0 200 OK\r\nCSeq: {number}"], ""
        match lines[0].split()[0]:
            case "OPTIONS":
                head.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY")
            case "DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
                )
                head.append(f"Content-Type: application/sdp\r\nContent-Length: {len(body)}")
            case "SETUP":
                head.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1")
            case _:
                head.append("Session: 1")
        return ("\r\n".join(head) + "\r\n\r\n" + body).encode()

    def _play(self, peer: socket.socket, is_off: threading.Event) -> None:
        sequence = 0
        for number in count():
            if is_off.wait(FRAME_S):
                return
            if self.is_frozen.is_set():
                continue
            units = self.access_units[number % len(self.access_units)]
            for index, unit in enumerate(units):
                marker = 0x80 if index == len(units) - 1 else 0
                stamp = int(number * FRAME_S * 90000)
                packet = bytes([0x80, 96 | marker]) + (sequence % 65536).to_bytes(2, "big")
                packet += (stamp % 2**32).to_bytes(4, "big") + b"vigl" + unit
                peer.sendall(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
                sequence += 1


def access_units(path: Path) -> list[list[bytes]]:
    """The NAL units of each picture of an H.264 file in Annex B form."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    return [[unit for unit in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit] for data in packets]


@contextmanager
def web_file(data: bytes, *, status: str = "200 OK", kind: str = "video/mp4") -> Iterator[str]:
    """A file, or an error, at an address; whole, or from where a range begins."""
    listener = socket.create_server(("127.0.0.1", 0))
    peers: list[threading.Thread] = []

    def answer(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            lines = peer.recv(4096).decode().lower().split("\r\n")
            wanted = next((line for line in lines if line.startswith("range: bytes=")), "range: bytes=0-")
            first = int(wanted.removeprefix("range: bytes=").split("-")[0])
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data) - first}\r\n"
            if status.startswith("200") and first:
                head = head.replace("200 OK", "206 Partial Content")
                head += f"Content-Range: bytes {first}-{len(data) - 1}/{len(data)}\r\n"
            peer.sendall(head.encode() + b"Accept-Ranges: bytes\r\nConnection: close\r\n\r\n" + data[first:])

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peers.append(threading.Thread(target=answer, args=(peer,), daemon=True))
            peers[-1].start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/clip.mp4?token=canary"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for waiting in (thread, *peers):
            waiting.join(30)


def until(is_so: object, limit_s: float = 30.0) -> None:
    """Wait for a condition; fail after a long while."""
    deadline = time.monotonic() + limit_s
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
