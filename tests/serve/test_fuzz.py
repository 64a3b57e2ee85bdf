"""W1: hostile messages in thousands. Each gets one typed reply, and the server is as it was."""

from __future__ import annotations

import json
import random
import struct
import threading

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.serve.figures import keep
from tests.serve.serving import Served, resident_mib
from vigil.serve import sockets
from vigil.serve.limits import Limits
from vigil.serve.protocol import Message
from vigil.serve.refusal import CODES, Refusal

SEED = 20261123
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
