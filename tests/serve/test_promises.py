"""E1 to E6 against a model of a client that knows what must come back, in any order of doings (W3, W9)."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from tests.fakes import ScriptedModel
from tests.serve.figures import keep
from tests.serve.serving import ADMIN, CROWD, Client, Served, serving
from vigil.model.tokens import ELLIPSIS, SILENCE
from vigil.serve.durable import SessionLog
from vigil.serve.views import View

SEED = 20261123
TALK = [SILENCE, *[part for _ in range(4000) for part in ("One word.", SILENCE, SILENCE, "Two", ELLIPSIS, "Three")]]
DOINGS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "cancel", "update", "again", "ahead", "drop"]), st.integers(0, 10**6)),
    min_size=50,
    max_size=50,
)
BESIDE = 8
REPLY_S = 60.0
LARGE = [HealthCheck.data_too_large, HealthCheck.too_slow, HealthCheck.large_base_example]
END_OF = {"answer.started": "begun", "answer.revised": "begun", "answer.done": "done"}


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = ScriptedModel(*TALK)
    with serving(model, folder=tmp_path_factory.mktemp("log"), limits=CROWD, seats=1500) as served:
        yield served


class Model:
    """A client that keeps what it was told, and says what breaks a promise."""

    def __init__(self, served: Served, name: str) -> None:
        self.served = served
        self.client = served.client()
        self.ready = self.client.open(name, sources=[])
        self.told: dict[int, str] = {}
        self.done: dict[int, dict[str, Any]] = {}
        self.sent: dict[int, dict[str, Any]] = {}

    def do(self, what: str, number: int) -> None:
        """One thing that a client may do."""
        commands = {
            "ask": {"type": "input.text", "text": f"Q{number}", "mode": ("queue", "interrupt")[number % 2]},
            "cancel": {"type": "answer.cancel"},
            "update": {"type": "session.update", "policy": {"min_gap_s": float(number % 3)}},
        }
        if what == "drop":
            self.drop(number)
        elif what == "again" and self.sent:
            cmd = 1 + number % len(self.sent)
            assert self._reply({**self.sent[cmd], "cmd": cmd}) == self.done[cmd], "a command has done two things"
        elif what == "ahead":
            reply = self._reply({**commands["ask"], "cmd": len(self.sent) + 2})
            assert (reply["code"], reply["expected"]) == ("bad_sequence", len(self.sent) + 1)
        elif what in commands:
            cmd = len(self.sent) + 1
            reply = self._reply({**commands[what], "cmd": cmd})
            if reply["type"] == "command.done":
                self.sent[cmd], self.done[cmd] = commands[what], reply
            else:
                assert (what, reply["code"]) == ("cancel", "not_found")

    def _reply(self, message: dict[str, Any]) -> dict[str, Any]:
        self.client.send(**message)
        deadline = time.monotonic() + REPLY_S
        while True:
            assert time.monotonic() < deadline, f"no reply within {REPLY_S} s to {message}"
            row = self.client.next(30)
            if row["type"] in ("command.done", "error") and row.get("cmd") == message["cmd"]:
                return row

    def _hang_up(self) -> None:
        """Take what has come; the server's list of sockets need not keep it for the rest of the night."""
        self.take()
        self.client.close()
        self.client.rows.clear()
        self.client.texts.clear()

    def drop(self, number: int) -> None:
        """Hang up, come back, and ask for what came after some event."""
        self._hang_up()
        self.client = self.served.client()
        after = number % (len(self.told) + 1)
        self.client.resume(self.ready, after=after)
        assert self.client.ready["applied_cmd"] == len(self.sent), "E4"
        self.client.until("resume.done")
        self.take(after)

    def take(self, after: int | None = None) -> None:
        """Keep what was told, and compare it with what was told before."""
        rows, lines = self.client.events, self.client.lines
        if rows:
            first = rows[0]["seq"] if after is None else after + 1
            assert [row["seq"] for row in rows] == list(range(first, first + len(rows))), "E1, E3: a gap or a double"
        for row, line in zip(rows, lines, strict=True):
            assert self.told.setdefault(row["seq"], line) == line, "E3: other bytes"

    def finish(self) -> None:
        """Close the session and look at its whole log."""
        reply = self._reply({"type": "session.close", "mode": "now", "cmd": len(self.sent) + 1})
        assert reply["type"] == "command.done"
        self._hang_up()
        known = self.served.gate.hub.store.get(self.ready["session_id"])
        assert isinstance(known, SessionLog)
        entries = [item for item in known.replay(after=0) if hasattr(item, "json")]
        assert {entry.seq: entry.json for entry in entries}.items() >= self.told.items(), "E2"
        events = [entry.event for entry in entries]
        ends = {"begun": [], "done": []}
        for row in events:
            if row["type"] in END_OF:
                ends[END_OF[row["type"]]].append((row["answer_id"], row["rev"]))
        assert ends["begun"] == ends["done"] == sorted(set(ends["done"])), "E6"
        by = [row["by"]["cmd"] for row in events if "by" in row]
        assert by == list(range(1, len(self.sent) + 2)), "E4: each command once, in order"


def walk(served: Served, rounds: int) -> None:
    """Any doings of `BESIDE` clients beside each other, 50 each, in so many rounds."""
    names = iter(range(10**6))

    def one(doings: list[tuple[str, int]]) -> None:
        model = Model(served, f"walk-{rounds}-{next(names):06d}")
        for what, number in doings:
            model.do(what, number)
        model.finish()

    @seed(SEED)
    @settings(max_examples=rounds, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=LARGE)
    @given(st.lists(DOINGS, min_size=BESIDE, max_size=BESIDE))
    def all_at_once(doings: list[list[tuple[str, int]]]) -> None:
        with ThreadPoolExecutor(BESIDE) as clients:
            list(clients.map(one, doings))

    all_at_once()


def test_w3_four_hundred_doings_keep_every_promise(talking: Served) -> None:
    walk(talking, 1)


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_w3_two_thousand_doings_keep_every_promise(talking: Served) -> None:
    walk(talking, 5)
    keep("W3", steps=2000, violations=0)


@pytest.mark.tier_n
@pytest.mark.timeout(7200)
def test_w3_two_hundred_thousand_doings_keep_every_promise(talking: Served) -> None:
    walk(talking, 500)
    keep("W3-night", steps=200_000, violations=0)


def test_w3_control_a_resume_that_repeats_an_event_is_found_out(
    talking: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = View.follow

    def follow_one_back(view: View, log: SessionLog, *, after: int) -> None:
        follow(view, log, after=max(0, after - 1))

    monkeypatch.setattr(View, "follow", follow_one_back)
    model = Model(talking, "walk-control")
    for _ in range(3):
        model.do("ask", 1)
    with pytest.raises(AssertionError, match="E1, E3"):
        model.drop(3)
    model.client.close()


# ---- W9 --------------------------------------------------------------------------------------------------------------


class Proxy:
    """A bad network: each connection is cut, by a reset, after a random number of bytes from the server."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self._to, self._rng = port, rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._threads = [thread for thread in self._threads if thread.is_alive()]
                for pair in ((near, far, 1 << 30), (far, near, self._rng.randrange(200, 6000))):
                    self._threads.append(threading.Thread(target=self._carry, args=pair))
                    self._threads[-1].start()

    def _carry(self, source: socket.socket, sink: socket.socket, left: int) -> None:
        """Carry bytes in pieces of any size until `left` have passed or an end hangs up."""
        with suppress(OSError):
            while left > 0 and (data := source.recv(min(left, 1500))):
                sink.sendall(data)
                left -= len(data)
        for end in (source, sink):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        for thread in self._threads:
            thread.join(10)


def through(port: int, ready: dict[str, Any], told: dict[int, str], client_id: str) -> None:
    """Resume over the bad network and read until it is cut."""
    headers = {"Authorization": f"Bearer {ADMIN}"}
    url = f"ws://127.0.0.1:{port}/v1/stream"
    try:
        with connect(
            url, subprotocols=["vigil.v1"], additional_headers=headers, compression=None, close_timeout=0.1
        ) as ws:
            client = Client(ws)
            after = max(told, default=0)
            try:
                client.resume(ready, after=after, client_id=client_id)
                client.close_code(0.5)
            except (ConnectionClosed, TimeoutError):
                pass
            for row, line in zip(client.events, client.lines, strict=True):
                assert row["seq"] == max(told, default=0) + 1, "E3: a gap or a double"
                told[row["seq"]] = line
    except (InvalidHandshake, ConnectionClosed, OSError, EOFError):
        return


def reconnects(served: Served, count: int) -> int:
    """Come back again and again over a bad network while something is said; how many events came."""
    owner = served.client()
    ready = owner.open(f"network-{count}", sources=[])
    looking = {"session_id": ready["session_id"], "resume_token": ready["resume_token"]}
    proxy, told = Proxy(served.port, random.Random(SEED)), dict[int, str]()
    live = served.gate.hub.active[ready["session_id"]]
    try:
        for number in range(count):
            by = ("owner", number + 1)
            text = f"Question {number}? " + "x" * (number % 300)
            served.call(
                lambda text=text, by=by: live.dialogue.accept(
                    text, interrupts=True, about=None, answer_by_s=None, by=by
                )
            )
            through(proxy.port, looking, told, "me")
    finally:
        proxy.close()
    last = served.client()
    last.resume(looking, after=max(told, default=0), client_id="me")
    last.until("resume.done")
    told |= {row["seq"]: line for row, line in zip(last.events, last.lines, strict=True)}
    known = served.gate.hub.store.get(ready["session_id"])
    assert known is not None
    there = {entry.seq: entry.json for entry in known.replay(after=0) if hasattr(entry, "json")}
    assert {seq: there[seq] for seq in told} == told
    assert sorted(told) == list(range(1, len(told) + 1))
    return len(told)


def test_w9_ten_reconnects_over_a_bad_network_lose_nothing(talking: Served) -> None:
    assert reconnects(talking, 10) > 20


@pytest.mark.tier_n
@pytest.mark.timeout(1800)
def test_w9_five_hundred_reconnects_over_a_bad_network_lose_nothing(talking: Served) -> None:
    events = reconnects(talking, 500)
    keep("W9", reconnects=500, events=events, lost=0)
