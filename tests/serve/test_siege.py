"""Many hostile messages, sessions and sockets: the parts of tier P that count in thousands (W1, W5-W7, W10-12, S10)."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.fakes import ScriptedModel
from tests.serve.figures import keep
from tests.serve.serving import ADMIN, PATIENT, Client, Served, serving
from vigil.model.tokens import ELLIPSIS, SILENCE
from vigil.serve import sockets
from vigil.serve.children import resident_bytes
from vigil.serve.limits import Limits
from vigil.serve.live import Live
from vigil.serve.protocol import Message
from vigil.serve.refusal import CODES, Refusal
from vigil.serve.sessions import Hub

SEED = 20261123
MANY = replace(
    PATIENT, errors=10**7, control_burst=10**7, seat_s=0.1, seats=1500, sockets_per_ip=10**4, sockets_per_token=10**4
)
BASES = (
    '{"type": "input.end", "cmd": 9, "source": 5}',
    '{"type": "ping", "id": 7}',
    '{"type": "session.update", "cmd": 9, "policy": {"sensitivity": 0.5}, "sampling": {"seed": 3}}',
    '{"type": "source.add", "cmd": 9, "source": 3, "kind": "upload", "upload_id": "abc", "fps": 2.5}',
    '{"type": "session.resume", "session_id": "x", "resume_token": "y", "client_id": "z", "after": 0}',
    '{"type": "input.text", "cmd": 9, "text": "Hi", "mode": "interrupt", "after_frame": {"source": 0, "frame_no": 2}}',
)
CHARS = '{}[]":,\\0e+-.aA \u00e9\u2028\U0001f600'
BATCH = 100


@pytest.fixture
def siege(tmp_path: Path) -> Iterator[Served]:
    with serving(folder=tmp_path / "log", limits=MANY, seats=1500) as served:
        yield served


def resident_mib() -> float:
    gc.collect()
    return resident_bytes(os.getpid()) / 2**20


# ---- W1 --------------------------------------------------------------------------------------------------------------


def hostile(rng: random.Random) -> str | bytes:
    """A message that was sound before something happened to it; each gets exactly one reply."""
    if rng.random() < 0.2:
        head = struct.pack(">BBHQq", rng.choice((0, 1, 1, 1, 2, 255)), rng.choice((0, 0, 1)), rng.randrange(9), 1, 1)
        return head[: rng.choice((20, 20, 20, 3))] + rng.randbytes(rng.randrange(40))
    chars = list(rng.choice(BASES))
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(chars))
        chars[at : at + rng.randrange(3)] = rng.choice(CHARS) * rng.choice((1, 1, 2, 70))
    return "".join(chars)


def besiege(ws: ClientConnection, count: int, rng: random.Random) -> list[str]:
    """Send hostile messages; what is wrong with the replies."""
    problems: list[str] = []
    try:
        for start in range(0, count, BATCH):
            for _ in range(min(BATCH, count - start)):
                ws.send(hostile(rng))
            replies = 0
            while replies < min(BATCH, count - start):
                row = json.loads(ws.recv(timeout=60))
                if row["type"] in ("error", "pong"):
                    replies += 1
                    if row.get("code", "gone") not in CODES:
                        problems.append(f"code {row['code']}")
    except ConnectionClosed as closed:
        problems.append(f"closed with {closed.rcvd and closed.rcvd.code}")
    except TimeoutError:
        problems.append("a message got no reply")
    return problems


def fuzz(served: Served, count: int, num_sockets: int) -> list[str]:
    """The same over some sockets at once."""
    clients = [served.session(f"fuzzed-{i:03d}", sources=[]) for i in range(num_sockets)]
    problems: list[str] = []

    def work(number: int) -> None:
        problems.extend(besiege(clients[number].ws, count // num_sockets, random.Random(SEED + number)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(num_sockets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not problems:
        clients[0].send(type="ping", id=10**6)
        clients[0].until("pong", id=10**6)
    return problems


def test_w1_two_thousand_hostile_messages_over_two_sockets_get_a_typed_reply_each(siege: Served) -> None:
    assert fuzz(siege, 2000, 2) == []


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_w1_a_hundred_thousand_hostile_messages(siege: Served) -> None:
    problems = fuzz(siege, 10_000, 1)
    before_mib = resident_mib()
    problems += fuzz(siege, 90_000, 8)
    grown_mib = resident_mib() - before_mib
    errors = siege.call(siege.gate.hub.metrics.errors.labels(code="internal")._value.get)
    keep("W1", messages=100_000, problems=len(problems), unhandled=int(errors), grown_mib=round(grown_mib, 1))
    assert problems == []
    assert errors == 0
    assert grown_mib <= 10


def test_w1_control_a_handler_that_expects_only_wrong_json_is_found_out(
    siege: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = sockets.parse_message

    def careless(text: str, limits: Limits) -> Message:
        try:
            json.loads(text)["type"].lower()
        except json.JSONDecodeError as error:
            raise Refusal("bad_json") from error
        return sound(text, limits)

    monkeypatch.setattr(sockets, "parse_message", careless)
    monkeypatch.setattr(sockets.log, "error", lambda *args, **named: None)
    assert fuzz(siege, 2000, 1) != []


# ---- W6, W7 ----------------------------------------------------------------------------------------------------------


def counts(served: Served) -> dict[str, float]:
    """What must not grow."""
    return {
        "fds": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - the folder is no real one
        "threads": threading.active_count(),
        "tasks": served.call(lambda: len(asyncio.all_tasks())),
        "locks": served.call(lambda: len(served.gate.hub._locks)),
        "logs": len(served.gate.hub.store._logs),
    }


def churn(served: Served, count: int, start: int) -> None:
    """Open, use and close sessions; one third hangs up without a word. Then wait until all are gone."""
    for number in range(start, start + count):
        client = served.raw(additional_headers={"Authorization": f"Bearer {ADMIN}"})
        client.open(f"churned-{number:06d}", sources=[])
        client.done(client.ask(f"Number {number}?"))
        if number % 3:
            client.done(client.command("session.close", mode="now"))
            client.close_code(30)
        else:
            client.ws.socket.shutdown(socket.SHUT_RDWR)
        served.sockets.close()
    patience = threading.Event()
    for _ in range(3000):
        if not served.gate.hub.active and not served.gate.hub.sockets:
            return
        patience.wait(0.02)
    raise AssertionError("sessions are left")


GROWN = 2
"""More of anything than before the rounds is a leak; fewer may be on their way."""


def leaks(served: Served, per_round: int, rounds: int, *, patience_s: float = 30.0) -> dict[str, float]:
    """By how much each count grows over the rounds after the first one, once what is on its way has gone."""
    churn(served, per_round, 0)
    before, before_mib = counts(served), resident_mib()
    for number in range(1, rounds):
        churn(served, per_round, number * per_round)
    until_s = time.monotonic() + patience_s
    while True:
        grown = {name: value - before[name] for name, value in counts(served).items()}
        if max(grown.values()) <= GROWN or time.monotonic() > until_s:
            return {**grown, "mib": round(resident_mib() - before_mib, 2)}
        threading.Event().wait(0.05)


def test_w6_closed_and_abandoned_sessions_leave_nothing(siege: Served) -> None:
    grown = leaks(siege, 12, 3)
    assert max(grown[name] for name in ("fds", "threads", "tasks", "locks", "logs")) <= GROWN


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_w6_three_times_a_thousand_sessions_leave_nothing(siege: Served) -> None:
    grown = leaks(siege, 1000, 3)
    keep("W6", sessions=3000, **grown)
    assert max(grown[name] for name in ("fds", "threads", "tasks", "locks", "logs")) <= GROWN
    assert grown["mib"] <= 2  # 1 MiB per round


def test_w6_control_sessions_that_are_kept_are_found_out(siege: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    end = Hub.end

    async def end_and_keep(hub: Hub, live: Live, *args: object, **named: object) -> None:
        await end(hub, live, *args, **named)  # type: ignore[arg-type]
        kept.append(os.open("/dev/null", os.O_RDONLY))

    monkeypatch.setattr(Hub, "end", end_and_keep)
    try:
        assert leaks(siege, 6, 2, patience_s=3.0)["fds"] > GROWN
    finally:
        for fd in kept:
            os.close(fd)


@pytest.mark.tier_p
def test_w7_five_hundred_idle_sockets_cost_little_and_stop_nobody(tmp_path: Path) -> None:
    with serving(folder=tmp_path / "log", limits=replace(MANY, auth_s=600, ping_s=600), seats=4) as served:
        active = served.session("active-01", sources=[])
        active.ask()
        before_mib = resident_mib()
        for _ in range(500):
            served.client()
        grown_kib = 1024 * (resident_mib() - before_mib) / 500  # both ends of each
        active.done(active.ask("Still there?"))
        keep("W7", sockets=500, kib_per_socket_both_ends=round(grown_kib, 1))
        assert grown_kib <= 2 * 64  # the client's end, with its thread, takes more than ours


# ---- W5, W10, W12 ----------------------------------------------------------------------------------------------------


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
    with serving(folder=tmp_path / "log", limits=replace(MANY, seat_s=600)) as served:
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


# ---- S10 -------------------------------------------------------------------------------------------------------------


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
