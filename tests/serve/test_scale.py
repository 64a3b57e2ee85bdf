"""Many replicas behind one address: the parts of it here, and two real ones where Ray is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from vigil.cli import main
from vigil.errors import ConfigError
from vigil.serve.build import Options
from vigil.serve.scale import ReplicaConfig, check_room, entry_app, replica_configs, under


def ask(loads: Mapping[int, float], path: str, method: str = "GET") -> httpx.Response:
    """What the entry answers."""

    async def known() -> Mapping[int, float]:
        return loads

    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(entry_app(known))
        async with httpx.AsyncClient(transport=transport, base_url="http://vigil.example") as client:
            return await client.request(method, path)

    return asyncio.run(asking())


@pytest.mark.parametrize(
    ("loads", "path", "to"),
    [
        ({0: 0.5, 1: 0.25, 2: 0.75}, "/", "/1/"),
        ({0: 0.5, 1: 0.5}, "/livez", "/0/livez"),
        ({3: 0.0}, "/v1/sessions/x/events?after=3", "/3/v1/sessions/x/events?after=3"),
    ],
)
def test_whoever_comes_is_sent_to_the_replica_with_most_room(loads: dict[int, float], path: str, to: str) -> None:
    reply = ask(loads, path)
    assert (reply.status_code, reply.headers["location"]) == (307, to)


def test_what_is_sent_is_sent_on_with_its_method() -> None:
    assert ask({0: 0.0}, "/v1/chat/completions", "POST").status_code == 307  # a 302 would turn it into a GET


@pytest.mark.parametrize("loads", [{}, {0: 1.0, 1: 1.0}], ids=["none", "full"])
def test_where_there_is_no_room_it_says_so_and_when_to_come_back(loads: dict[int, float]) -> None:
    reply = ask(loads, "/")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")


def test_a_replica_that_is_away_is_waited_for_and_nobody_is_sent_elsewhere() -> None:
    assert ask({0: 0.0}, "/1/v1/sessions/x/events").status_code == 503
    assert ask({0: 0.0}, "/1").status_code == 503
    sent: list[Any] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def loads() -> Mapping[int, float]:
        return {0: 0.0}

    scope = {"type": "websocket", "path": "/1/v1/stream", "headers": [], "subprotocols": ["vigil.v1"]}
    asyncio.run(entry_app(loads)(scope, receive, send))  # type: ignore[arg-type]
    assert [(m["type"], m.get("subprotocol"), m.get("code")) for m in sent] == [
        ("websocket.accept", "vigil.v1", None),
        ("websocket.close", None, 1013),
    ]


def test_the_entry_tells_which_replicas_there_are() -> None:
    assert ask({1: 0.5, 0: 0.25}, "/replicas").json() == {"replicas": {"/0": 0.25, "/1": 0.5}}


@pytest.mark.parametrize(
    ("path", "seen"), [("/7/v1/stream", "/v1/stream"), ("/7/", "/"), ("/7", "/"), ("/v1/stream", "/v1/stream")]
)
def test_an_application_under_a_path_does_not_know_of_it(path: str, seen: str) -> None:
    got: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.append((scope["path"], scope["root_path"], scope["extensions"]["vigil"]["abort"](4008)))

    scope = {"type": "websocket", "path": path, "root_path": "/7", "extensions": {}}
    asyncio.run(under("/7", app)(scope, None, None))  # type: ignore[arg-type]
    assert got == [(seen, "", None)]


def test_each_replica_has_a_path_of_its_own() -> None:
    assert [ReplicaConfig(number=n, options=Options()).prefix for n in (0, 11)] == ["/0", "/11"]


def test_replicas_share_their_tokens_and_nothing_else_that_they_write(tmp_path: Path) -> None:
    configs = replica_configs(Options(data=tmp_path, cameras=(("door", "rtsp://h/x"),)), 2)
    assert [config.options.data for config in configs] == [tmp_path / "replica-0", tmp_path / "replica-1"]
    assert {config.options.tokens for config in configs} == {tmp_path / "token"}
    assert {config.options.secret for config in configs} == {tmp_path / "secret"}
    assert {config.options.cameras for config in configs} == {(("door", "rtsp://h/x"),)}


@pytest.mark.parametrize(
    ("replicas", "num_gpus", "message"),
    [(3, 0.0, "3 replicas want 3 CPUs, and Ray has 2"), (2, 0.5, "2 replicas want 1 GPUs, and Ray has 0")],
)
def test_replicas_that_would_wait_for_ever_are_refused(replicas: int, num_gpus: float, message: str) -> None:
    check_room(2, 0.0, {"CPU": 2.0})
    with pytest.raises(ConfigError, match=message):
        check_room(replicas, num_gpus, {"CPU": 2.0})


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
@pytest.mark.parametrize("flags", [["--replicas", "2"], ["--drain", "0"]])
def test_without_ray_it_says_what_to_install(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *flags]) == 2
    assert capsys.readouterr().err == "vigil: many replicas need Ray. Run pip install 'vigil-video[serve,scale]'.\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (extra scale)")
def test_clients_of_two_replicas_stay_where_they_are_and_come_back_after_a_drain(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    script = Path(__file__).parent / "scaled.py"
    command = [sys.executable, str(script), str(tmp_path), str(port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("{")]  # Ray itself prints, too
    told = json.loads(line)
    assert told["page"] == 1
    assert told["places"] == ["/0", "/1"]
    assert told["logs"] == [True, True]
    assert told["third"] == "/0"
    assert told["turns"] == [2, 1, 3, 2]
    assert told["first"] == list(range(1, len(told["first"]) + 1))
    assert told["second"] == list(range(1, len(told["second"]) + 1))
