"""Sessions that many pull at: half-open peers, two that resume at once, cuts at every token, fifty beside each other.

W5, W10, W12 and S10 of the catalogue.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import ScriptedModel
from tests.serve.serving import ADMIN, CROWD, PATIENT, Client, Served, serving
from vigil.model.tokens import ELLIPSIS, SILENCE


def test_w5_a_client_that_answers_no_ping_is_noticed_and_its_seat_is_given_up(tmp_path: Path) -> None:
    limits = replace(PATIENT, ping_s=0.5, seat_s=0.5)
    with serving(folder=tmp_path / "log", limits=limits) as served:
        request = (
            f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: vigil.v1\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
        )
        opening = json.dumps({"type": "session.open", "client_id": "me", "open_id": "half-open"}).encode()
        with socket.create_connection(("127.0.0.1", served.port)) as peer:
            peer.sendall(request.encode())
            assert b" 101 " in peer.recv(1000)
            peer.sendall(bytes([0x81, 0x80 | len(opening)]) + bytes(4) + opening)
            hub, patience = served.gate.hub, threading.Event()
            seen = [False, False]
            for _ in range(1500):
                seen[0] |= bool(hub.active)
                seen[1] = seen[0] and not hub.active and hub.load == 0
                if seen[1]:
                    break
                patience.wait(0.02)
            assert seen == [True, True]


def contest(served: Served, rounds: int) -> None:
    """Two sockets take control of one session at once; one of them has it then, and no event is lost."""
    ready = served.session("contested", sources=[]).ready
    for number in range(rounds):
        pair = [served.client() for _ in range(2)]
        threads = [threading.Thread(target=client.resume, args=(ready, 0)) for client in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        live = served.gate.hub.active[ready["session_id"]]
        assert served.call(lambda live=live: (len(live.views), live.controller in live.views)) == (1, True), number
        for client in pair:
            client.close()
        served.sockets.close()


@pytest.mark.tier_p
@pytest.mark.timeout(600)
def test_w10_three_hundred_times_two_that_resume_at_once_leave_one_winner(tmp_path: Path) -> None:
    with serving(folder=tmp_path / "log", limits=replace(CROWD, seat_s=600)) as served:
        contest(served, 300)


def test_w12_an_interruption_at_every_token_keeps_the_order() -> None:
    with serving(ScriptedModel(SILENCE, "x" * 10_000), tokens_per_s=20) as served:
        client = served.session(sources=[])
        client.ask("0?")
        for number in range(1, 9):
            for _ in range(number):
                client.until("answer.delta", answer_id=number)
            client.ask(f"{number}?")
            client.until("answer.started", answer_id=number + 1)
        kinds = [row["type"] for row in client.events if row["type"] not in ("answer.delta", "source.opened")]
        order = ["input.text.accepted", "answer.done", "turn.interrupted", "turn.started", "answer.started"]
        starts = [at for at, kind in enumerate(kinds) if kind == "input.text.accepted"][1:]
        assert [kinds[at : at + 5] for at in starts] == [order] * 8
        ends = [(row["answer_id"], row["rev"]) for row in client.events if row["type"] == "answer.done"]
        assert ends == [(number, 1) for number in range(1, 9)]


def test_w12_a_revision_at_every_token_closes_each_once() -> None:
    script = [part for length in range(1, 9) for part in ("x" * length, ELLIPSIS)]
    with serving(ScriptedModel(SILENCE, *script, SILENCE)) as served:
        client = served.session(sources=[])
        client.ask(answer_by_s=20)
        client.until("answer.done", rev=8)
        done = [row for row in client.events if row["type"] == "answer.done"]
        assert [(row["rev"], row["status"], row["text"]) for row in done] == [
            (rev, "superseded", "x" * rev) for rev in range(1, 9)
        ]


def crossings(served: Served, clients: list[Client], say: Callable[[int], str]) -> int:
    """How many sessions have heard what was said to another one."""
    for number, client in enumerate(clients):
        client.done(client.ask(say(number)))
    for client in clients:
        client.send(type="ping", id=1)
        client.until("pong")
    told = ["".join(client.texts) for client in clients]
    return sum(
        say(other) in told[number] for number in range(len(told)) for other in range(len(told)) if other != number
    )


@pytest.mark.tier_p
def test_s10_fifty_sessions_do_not_hear_each_other(siege: Served) -> None:
    clients = [siege.session(f"parallel-{i:02d}", sources=[]) for i in range(50)]
    assert crossings(siege, clients, lambda number: f"canary-{number:03d}") == 0
