"""The examples that talk to a server, each run against a real one, with real partners at its other end."""

from __future__ import annotations

import json
import re
import runpy
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.fakes import ScriptedModel
from tests.serve.serving import ADMIN, Served, serving
from vigil.client import Upload
from vigil.model.tokens import ELLIPSIS, SILENCE

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIP = Upload("demo", fps=0.2, pace=0)
"""4 pictures of the bundled clip, as fast as they can be seen."""


def run(name: str, *args: Any) -> None:
    """Run an example's main."""
    main: Callable[..., None] = runpy.run_path(str(EXAMPLES / name))["main"]
    main(*args)


def address(served: Served) -> str:
    """What `vigil serve` prints."""
    return f"http://127.0.0.1:{served.port}/#token={ADMIN}"


@contextmanager
def listening(server: socketserver.BaseServer) -> Iterator[int]:
    """A partner in a thread; its port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="test-partner")
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[misc, index]
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


class Webhook(BaseHTTPRequestHandler):
    """Takes alerts; the first time it is out of order."""

    got: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        """One alert."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.got.append((self.headers["idempotency-key"], body))
        self.send_response(500 if len(self.got) == 1 else 204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def test_a_webhook_gets_each_alert_until_it_takes_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    Webhook.got.clear()
    with (
        serving(ScriptedModel(SILENCE, SILENCE, "It boils.", SILENCE)) as served,
        listening(ThreadingHTTPServer(("127.0.0.1", 0), Webhook)) as port,
    ):
        run("webhook_on_alert.py", address(served), f"http://127.0.0.1:{port}/alert", "Tell me when it boils.", CLIP)
    (first, body), again = Webhook.got
    assert again == (first, body)  # the first delivery failed
    assert (body["text"], body["watch_for"], body["id"]) == ("It boils.", "Tell me when it boils.", first)
    assert "It boils." in capsys.readouterr().out


def test_subtitles_grow_by_whole_cues(tmp_path: Path) -> None:
    out = tmp_path / "live.vtt"
    with serving(ScriptedModel(SILENCE, SILENCE, "Red & <hot>", ELLIPSIS, "Blue", SILENCE)) as served:
        run("live_subtitles.py", address(served), str(out), "Describe it.", CLIP)
    head, *cues, end = out.read_text(encoding="utf-8").split("\n\n")
    assert (head, end) == ("WEBVTT", "")
    said = [re.fullmatch(r"(\d+)\n\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}\n(.*)", cue) for cue in cues]
    assert [match and match.groups() for match in said] == [("1", "Red &amp; &lt;hot&gt;"), ("2", "Blue")]
    starts, ends = zip(*(cue.split("\n")[1].split(" --> ") for cue in cues), strict=True)
    assert all(a < b for a, b in zip(starts, ends, strict=True))


class Broker(socketserver.StreamRequestHandler):
    """As much of an MQTT 3.1.1 broker as one publisher needs: connect, publish at QoS 0 and 1, ping, disconnect."""

    connects: ClassVar[list[bytes]] = []
    published: ClassVar[list[tuple[str, str, bool]]] = []

    def handle(self) -> None:
        """One client."""
        while first := self.rfile.read(1):
            body = self.rfile.read(self._length())
            match first[0] >> 4:
                case 1:
                    self.connects.append(body)
                    self.wfile.write(b"\x20\x02\x00\x00")
                case 3:
                    self._publish(first[0], body)
                case 12:
                    self.wfile.write(b"\xd0\x00")
                case 14:
                    return

    def _length(self) -> int:
        length, shift = 0, 0
        while True:
            byte = self.rfile.read(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return length

    def _publish(self, flags: int, body: bytes) -> None:
        at = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:at].decode()
        if flags >> 1 & 3:
            self.wfile.write(b"\x40\x02" + body[at : at + 2])
            at += 2
        self.published.append((topic, body[at:].decode(), bool(flags & 1)))


def test_a_broker_is_told_what_was_said_and_when_nobody_watches_any_more() -> None:
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    Broker.connects.clear()
    Broker.published.clear()
    with (
        serving(ScriptedModel(SILENCE, SILENCE, "A parcel.", SILENCE)) as served,
        listening(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Broker)) as port,
    ):
        run("mqtt_notifier.py", address(served), f"127.0.0.1:{port}", "Tell me when a parcel comes.", CLIP)
    (connect,) = Broker.connects
    assert b"vigil/demo/online\x00\x07offline" in connect  # the will, for when this program dies
    topics = [topic for topic, _, _ in Broker.published]
    assert topics == [
        "homeassistant/sensor/vigil_demo/config", "vigil/demo/online", "vigil/demo/said", "vigil/demo/online"
    ]  # fmt: skip
    said = [payload for _, payload, _ in Broker.published]
    assert json.loads(said[0])["state_topic"] == "vigil/demo/said"
    assert json.loads(said[2])["text"] == "A parcel."
    assert (said[1], said[3]) == ("online", "offline")
    assert all(retained for _, _, retained in Broker.published)
