"""Clients that mean harm, or cannot help it, over real sockets (W1, W2, W4, W5, W8, W10, S10)."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.fakes import ScriptedModel
from tests.serve.serving import ADMIN, PATIENT, Served, serving
from tests.serve.test_protocol import POISON
from vigil.model.tokens import SILENCE
from vigil.serve.events import event
from vigil.serve.refusal import CODES

MANY = replace(PATIENT, errors=10**6, control_burst=10**6)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(folder=tmp_path_factory.mktemp("log"), limits=MANY, seats=64) as server:
        yield server


def test_poison_leaves_the_socket_open_and_the_replay_whole(served: Served) -> None:  # W2
    client = served.session("poisoned-1")
    for text, code in POISON.values():
        client.ws.send(text)
        assert client.error() == code
    for data in (b"", b"\x02" * 40, b"\x01\x00\x00\x00", bytes(100)):
        client.ws.send(data)
        assert client.error() == "bad_message"
    client.frame(1, image=b"\xff\xd8\xff\xe0 cut")
    assert client.error() == "bad_image"
    client.done(client.ask("Still \u202e there? \U0001f600"))
    client.close()
    back = served.client()
    back.resume(client.ready, after=0)
    back.until("resume.done")
    assert back.lines[: len(client.lines)] == client.lines


def test_a_thousand_mutated_messages_get_a_typed_reply_each(served: Served) -> None:  # W1, a part of it
    client, rng = served.session("fuzzed-001"), random.Random(3)
    base = json.dumps({"type": "input.end", "cmd": 1, "source": 5})
    for _ in range(1000):
        chars = list(base)
        for _ in range(3):
            chars[rng.randrange(len(chars))] = rng.choice('{}[]":,\\0aA \u00e9')
        client.ws.send("".join(chars))
        assert client.error() in CODES
    client.send(type="ping", id=1)
    client.until("pong")


def test_bytes_that_are_no_text_close_with_1007_and_too_many_with_1009(served: Served) -> None:  # W8
    client = served.session("not-utf-8")
    client.ws.send(b"\xff\xfe", text=True)
    assert client.close_code() == 1007
    client = served.session("too-big-1")
    with suppress(ConnectionClosed):
        client.ws.send(bytes(3 << 20))
    assert client.close_code() in (1009, 1006)  # 1006: cut before everything was sent


def test_too_many_errors_close_the_socket() -> None:
    with serving() as served:
        client = served.session()
        for _ in range(21):
            client.ws.send("{")
        assert client.close_code() == 1008


def test_more_messages_than_the_rate_are_refused_and_consume_no_number() -> None:  # T7
    with serving(limits=replace(PATIENT, control_burst=5, controls_per_s=0.001)) as served:
        client = served.session()
        for number in range(4):
            client.send(type="ping", id=number)
        client.send(type="ping", id=9)
        error = client.until("error")
        assert error["code"] == "rate_limited"
        assert error["retry_after_s"] > 0


def test_handshakes_that_never_end_are_cut() -> None:  # W8
    limits = replace(PATIENT, auth_s=0.3)
    with serving(limits=limits) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as peer:
            peer.settimeout(8)
            assert peer.recv(1) == b""
        silent = served.raw(origin=f"http://127.0.0.1:{served.port}")
        assert silent.close_code() == 4401
        idle = served.client()
        assert idle.close_code() == 1008


def test_no_seat_is_given_twice() -> None:  # G1, W6
    with serving(seats=1) as served:
        first = served.session("first-one")
        second = served.client()
        second.send(type="session.open", client_id="me", open_id="second-one")
        error = second.until("error")
        assert error["code"] == "capacity"
        assert error["retry_after_s"] > 0
        assert second.close_code() == 1013
        first.done(first.command("session.close", mode="now"))
        first.close_code()
        served.session("third-one")


def test_sockets_are_limited_per_session_and_per_token() -> None:
    with serving(limits=replace(PATIENT, sockets_per_session=2, sockets_per_token=3)) as served:
        owner = served.session()
        ids = {"session_id": owner.ready["session_id"], "view_token": owner.ready["view_token"]}
        for code in (None, 1013):
            looking = served.client()
            looking.send(type="session.attach", after=0, **ids)
            if code is None:
                looking.until("session.ready")
            else:
                assert looking.close_code() == code
        served.client().open("other-001")
        assert served.client().close_code() == 1013


def test_two_that_resume_at_once_leave_one_winner(served: Served) -> None:  # W10
    ready = served.session("contested").ready
    clients = [served.client() for _ in range(4)]
    threads = [threading.Thread(target=client.resume, args=(ready, 0)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live = served.gate.hub.active[ready["session_id"]]
    assert served.call(lambda: len(live.views)) == 1
    assert served.call(lambda: live.controller in live.views)


def test_an_answer_goes_on_when_its_reader_has_gone(tmp_path: Path) -> None:  # W5
    with serving(ScriptedModel(SILENCE, "Nobody hears this.", SILENCE), folder=tmp_path, tokens_per_s=40) as served:
        client = served.session()
        client.ask()
        client.until("answer.delta")
        client.ws.socket.close()
        looking = served.client()
        ids = {"session_id": client.ready["session_id"], "view_token": client.ready["view_token"]}
        looking.send(type="session.attach", after=0, **ids)
        assert looking.until("answer.done")["text"] == "Nobody hears this."


def test_a_reader_that_stands_still_is_cut_and_loses_nothing() -> None:  # W4
    limits = replace(MANY, send_stall_s=0.3)
    with serving(limits=limits) as served:
        request = (
            "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: vigil.v1\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
        ).replace("PORT", str(served.port))
        owner = served.session()
        live = served.gate.hub.active[owner.ready["session_id"]]
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", served.port))
            slow.sendall(request.encode())
            assert b" 101 " in slow.recv(1000)
            ids = {"session_id": owner.ready["session_id"], "view_token": owner.ready["view_token"]}
            slow.sendall(masked(json.dumps({"type": "session.attach", "after": 0, **ids}).encode()))
            wait_for(lambda: served.call(lambda: len(live.views)) == 2)
            loud = event("input.text.accepted", turn=1, text="x" * 60_000)
            for _ in range(20):
                served.call(lambda: [live.record(loud) for _ in range(10)])
                owner.send(type="ping", id=1)
                owner.until("pong")
            wait_for(lambda: served.call(lambda: len(live.views)) == 1)
            assert served.call(served.gate.hub.metrics.send_stalls._value.get) == 1
            again = served.client()
            again.send(type="session.attach", after=0, **ids)
            again.until("resume.done", timeout=20)
            assert [row["seq"] for row in again.events] == list(range(1, len(again.events) + 1))
            assert len(again.events) >= 200


def test_sessions_do_not_hear_each_other(served: Served) -> None:  # S10
    clients = [served.session(f"parallel-{i:02d}") for i in range(8)]
    for number, client in enumerate(clients):
        client.done(client.ask(f"canary-{number}"))
    for number, client in enumerate(clients):
        told = "".join(client.texts)
        assert all((f"canary-{other}" in told) == (other == number) for other in range(8))


def masked(payload: bytes) -> bytes:
    """A text message as a client frames it, with a mask of zeros."""
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0x80 | 126]) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def wait_for(is_true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    done = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if is_true():
            return
        done.wait(0.02)
    raise AssertionError("it did not happen")
