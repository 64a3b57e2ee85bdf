"""`vigil serve` as a process: its flags, its first words, and its end (C7)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from vigil.cli.serve import options, parser
from vigil.errors import ConfigError
from vigil.serve.build import Options


def parsed(*flags: str) -> Options:
    return options(parser().parse_args(list(flags)))


def test_the_defaults_are_this_machine_and_strict() -> None:
    defaults = parsed()
    assert (defaults.host, defaults.port, defaults.durability) == ("127.0.0.1", 8765, "strict")
    assert (defaults.max_sessions, defaults.keep_hours, defaults.compat) == (8, 24, False)


def test_flags_become_options() -> None:
    given = parsed("--port", "0", "--camera", "door=rtsp://u:pw@10.0.0.7/x", "--camera", "desk=http://h/x", "--compat")
    assert given.port == 0
    assert given.cameras == (("door", "rtsp://u:pw@10.0.0.7/x"), ("desk", "http://h/x"))
    assert given.compat


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--host", "0.0.0.0"], "Add --public"),
        (["--media", "a=b"], "belong to --compat"),
        (["--compat-markers"], "belong to --compat"),
        (["--port", "70000"], "not a port"),
        (["--camera", "rtsp://u:secretpw@h"], "give NAME=VALUE"),
        (["--camera", "a/b=x"], "give NAME=VALUE"),
        (["--durability", "none"], "invalid choice"),
        (["--replicas", "0"], "not a whole number of at least 1"),
        (["--gpus", "1"], "belongs to --replicas"),
        (["--drain", "-1"], "expected one argument|no number of a replica"),
    ],
)
def test_wrong_flags_are_told_and_no_password_with_them(flags: list[str], message: str) -> None:  # S13
    with pytest.raises(ConfigError, match=message) as refused:
        parsed(*flags)
    assert "secretpw" not in str(refused.value)


def test_the_help_fits_one_screen() -> None:
    lines = parser().format_help().splitlines()
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 80


@contextmanager
def running(data: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A server process: it, its port, and its token."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vigil", "serve", "--port", str(port), "--data", str(data), *flags]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert f"http://127.0.0.1:{port}/" in line
            token = (data / "token").read_text().split()[-1]
            assert token not in line  # stderr is no terminal here
            yield process, port, token
        finally:
            process.kill()


def until_closed(ws: ClientConnection) -> Iterator[str | bytes]:
    """What is still said."""
    with suppress(ConnectionClosed):
        while True:
            yield ws.recv(timeout=60)


@pytest.mark.timeout(180)
def test_sigterm_tells_everybody_and_ends_with_no_open_answer(tmp_path: Path) -> None:  # C7, S4
    with running(tmp_path) as (process, port, token):
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, verify=False) as client:
            assert client.get("/readyz").status_code == 200
        assert token not in Path(f"/proc/{process.pid}/cmdline").read_text()
        url = f"ws://127.0.0.1:{port}/v1/stream"
        with connect(url, subprotocols=["vigil.v1"], additional_headers=headers, compression=None) as ws:
            opening = {"type": "session.open", "client_id": "me", "open_id": "12345678", "sources": []}
            ws.send(json.dumps(opening))
            kinds: list[str] = []
            while "session.created" not in kinds:
                kinds.append(json.loads(ws.recv(timeout=20))["type"])
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            kinds += [json.loads(text)["type"] for text in until_closed(ws)]
            assert ws.close_code == 1012
        assert "server.going_away" in kinds
        assert process.wait(60) == 0
        assert time.monotonic() - began < 32
        log = "".join(path.read_text() for path in (tmp_path / "sessions").rglob("*.log"))
        assert log.count('"answer.started"') == log.count('"answer.done"')
        assert token not in log


def test_a_port_that_is_taken_is_an_error_of_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "vigil", "serve", "--port", str(port), "--data", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
    assert "Choose another --port" in done.stderr
