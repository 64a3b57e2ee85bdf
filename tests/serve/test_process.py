"""A server as a process: its end in mid-answer, a model that hangs, kill -9, and standing still (C7, C8, C9)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.figures import keep
from tests.serve.nursery import Nursery, Server
from tests.serve.serving import ADMIN, Client
from vigil.model.tokens import SILENCE

LONG = "A long answer that goes on for quite a while, word after word after word."


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def speaking(server: Server, **more: object) -> Client:
    """A client in the middle of an answer."""
    client = server.client(open_id="speaking-1", **more)
    client.ask(answer_by_s=20)
    client.until("answer.delta")
    return client


def status(server: Server, path: str = "/readyz") -> int:
    """What an HTTP request gets; 0 where nobody listens."""
    try:
        url = f"http://127.0.0.1:{server.port}{path}"
        return httpx.get(url, headers={"Authorization": f"Bearer {ADMIN}"}, timeout=30).status_code
    except httpx.TransportError:
        return 0


def open_revisions(folder: Path) -> int:
    """Answers that were begun and not closed."""
    log = "".join(path.read_text() for path in (folder / "sessions").rglob("*.log"))
    begun = log.count('"type":"answer.started"') + log.count('"type":"answer.revised"')
    return begun - log.count('"type":"answer.done"')


def test_sigterm_in_the_middle_of_an_answer_lets_it_end(nursery: Nursery, tmp_path: Path) -> None:  # C7
    server = nursery.start(tmp_path, script=[SILENCE, LONG, SILENCE], tokens_per_s=40)
    client = speaking(server)
    server.kill(signal.SIGTERM)
    client.until("server.going_away")
    assert status(server) == 503
    assert client.close_code(30) == 1012
    assert server.wait() == 0
    done = next(row for row in client.events if row["type"] == "answer.done")
    assert (done["text"], done["status"]) == (LONG, "final")
    assert open_revisions(tmp_path) == 0


def test_an_answer_longer_than_the_drain_is_cut_and_closed(nursery: Nursery, tmp_path: Path) -> None:  # C7
    server = nursery.start(tmp_path, script=[SILENCE, LONG], tokens_per_s=1, limits={"drain_s": 0.5})
    client = speaking(server)
    began = time.monotonic()
    server.kill(signal.SIGTERM)
    assert client.close_code(30) == 1012
    assert server.wait() == 0
    assert time.monotonic() - began < 32
    assert next(row for row in client.events if row["type"] == "answer.done")["status"] == "interrupted"
    assert open_revisions(tmp_path) == 0


@pytest.mark.tier_r
@pytest.mark.timeout(180)
def test_c7_the_whole_drain_takes_no_longer_than_promised(nursery: Nursery, tmp_path: Path) -> None:
    server = nursery.start(tmp_path, script=[SILENCE, LONG], tokens_per_s=0.01)
    client = speaking(server)
    began = time.monotonic()
    server.kill(signal.SIGTERM)
    assert client.close_code(60) == 1012
    assert server.wait() == 0
    exit_s = time.monotonic() - began
    keep("C7", exit_s=round(exit_s, 2))
    assert exit_s <= 32
    assert open_revisions(tmp_path) == 0


def test_a_second_sigterm_does_not_wait(nursery: Nursery, tmp_path: Path) -> None:  # C7
    server = nursery.start(tmp_path, script=[SILENCE, LONG], tokens_per_s=0.01)
    client = speaking(server)
    server.kill(signal.SIGTERM)
    client.until("server.going_away")
    server.kill(signal.SIGTERM)
    assert client.close_code(29) == 1012  # the drain alone would take 30 s
    assert server.wait() == 0
    assert open_revisions(tmp_path) == 0


def test_sigterm_without_anybody_ends_at_once(nursery: Nursery, tmp_path: Path) -> None:  # C7
    server = nursery.start(tmp_path)
    server.kill(signal.SIGTERM)
    assert server.wait() == 0


def test_a_model_that_hangs_ends_the_process_and_loses_nothing(nursery: Nursery, tmp_path: Path) -> None:
    server = nursery.start(tmp_path, script=[SILENCE, LONG], stuck_after=6, limits={"step_s": 3.0})
    client = speaking(server)
    away = client.until("server.going_away")
    assert away["reason"] == "model"
    assert client.close_code(30) == 1012
    assert server.wait() == 6
    done = client.events[-1] if client.events[-1]["type"] == "answer.done" else client.until("answer.done")
    assert (done["status"], done["finish"]) == ("error", "fault")
    assert open_revisions(tmp_path) == 0
    again = nursery.start(tmp_path)
    back = again.client()
    back.resume(client.ready, after=0)
    back.until("session.recovered")
    assert back.lines[: len(client.lines)] == client.lines


def test_a_model_without_a_first_step_never_serves(nursery: Nursery, tmp_path: Path) -> None:
    server = nursery.start(tmp_path, stuck_after=-1, limits={"start_s": 1.0, "step_s": 0.5})
    assert server.port == 0  # it was never said that it serves
    assert server.wait() == 6


def kill_rounds(nursery: Nursery, folder: Path, rounds: int) -> dict[str, int]:
    """Kill a server that talks, again and again; what its client was shown must all come back, byte for byte."""
    seen: dict[int, str] = {}
    figures = {"rounds": 0, "acknowledged": 0, "lost": 0, "gaps": 0}
    ready = None
    for number in range(rounds):
        server = nursery.start(folder, script=[SILENCE, *[LONG] * 60], tokens_per_s=500)
        client = server.client()
        ready = client.open("killed-01", sources=[]) if ready is None else client.resume(ready, after=0)
        client.until("resume.done")
        client.ask(f"Round {number}?")
        until = time.monotonic() + 0.02 * (number % 7)
        while client.next(30)["type"] != "answer.delta" or time.monotonic() < until:
            continue
        server.kill()
        client.close_code(30)
        server.wait()
        there = {row["seq"]: line for row, line in zip(client.events, client.lines, strict=True)}
        figures["lost"] += sum(there.get(seq) != line for seq, line in seen.items())
        figures["gaps"] += sorted(there) != list(range(1, len(there) + 1))
        seen = there
        figures["rounds"], figures["acknowledged"] = number + 1, len(seen)
        client.close()
    return figures


def test_a_killed_server_has_everything_that_its_client_has_seen(nursery: Nursery, tmp_path: Path) -> None:  # D1, C9
    figures = kill_rounds(nursery, tmp_path, 3)
    assert (figures["lost"], figures["gaps"]) == (0, 0)
    assert figures["acknowledged"] > 10


@pytest.mark.tier_n
@pytest.mark.timeout(1800)
def test_a_server_killed_two_hundred_times_loses_nothing(nursery: Nursery, tmp_path: Path) -> None:  # D1, C9
    figures = kill_rounds(nursery, tmp_path, 200)
    keep("D1-server", **figures)
    assert (figures["lost"], figures["gaps"]) == (0, 0)


def test_a_server_that_stood_still_goes_on_without_doubles(nursery: Nursery, tmp_path: Path) -> None:  # C8
    server = nursery.start(tmp_path, limits={"stale_s": 0.5})
    client = server.client(open_id="stopped-1", sources=[{"source": 0, "kind": "push"}])
    client.frame(1)
    client.until("input.frame.perceived", frame_no=1)
    server.kill(signal.SIGSTOP)
    for number in (2, 3):
        client.frame(number)
    time.sleep(1.0)  # wall: as long as the server stands still
    server.kill(signal.SIGCONT)
    client.done(client.ask("Still there?"))
    client.done(client.command("session.close", mode="drain"))
    total = [row for row in client.events if row["type"] == "input.frames.total"][-1]
    assert total["received"] == 3 == total["perceived"] + sum(total["dropped"].values())
    assert [row["seq"] for row in client.events] == list(range(1, len(client.events) + 1))
