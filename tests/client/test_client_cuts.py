"""Nothing twice and nothing lost, wherever the connection breaks; the same check finds broken clients out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vigil.client
from tests.client.cutting import QUICK, cutting, log_of, violations
from tests.fakes import ScriptedModel
from tests.serve.serving import ADMIN, PATIENT, jpeg, serving
from vigil.client.commands import Commands
from vigil.client.core import Core
from vigil.client.lane import Lane
from vigil.model.tokens import SILENCE

pytestmark = pytest.mark.timeout(300)
FAST = replace(PATIENT, controls_per_s=1e4, frames_per_s=1e4, frame_burst=1000)
SCRIPT = ["An answer of some length.", SILENCE, SILENCE] * 40
DOWN = [0, 1, 100, *range(150, 2400, 61)]
"""Through the handshake, `session.ready`, what is resumed, and on into new events."""
UP = [0, 1, 100, *range(300, 1900, 47)]
"""Through the handshake, the greeting, commands and frames."""


def talk(folder: Path, cuts: list[int], *, upstream: bool, limit: int = 200) -> list[str]:
    """Ask and show pictures while the connection breaks at each of these bytes; what went wrong."""
    asked: list[str] = []
    frames: list[int | None] = []
    rows: list[dict[str, Any]] = []
    with (
        cutting(cuts, upstream=upstream) as proxy,
        serving(ScriptedModel(*SCRIPT), folder=folder, gate=proxy.gate, limits=FAST) as served,
    ):
        proxy.server_port = served.port
        url = f"http://127.0.0.1:{proxy.port}"
        with vigil.client.connect(url, token=ADMIN, reconnect=QUICK) as client:
            session = client.session()
            while (proxy.is_cutting or len(asked) < 3) and len(asked) < limit:
                asked.append(f"Question {len(asked) + 1}?")
                session.ask(asked[-1])
                if len(asked) % 3 == 0:
                    frames.append(session.frame(jpeg(len(frames)), wait=True))
            session.close(drain=True)
            while (row := session.next_row(timeout_s=30)) is not None:
                rows.append(row)
        return violations(rows, log_of(served, session.id), asked=asked, frames=frames)


@pytest.mark.parametrize(("cuts", "upstream"), [(DOWN, False), (UP, True)], ids=["coming", "going"])
def test_nothing_is_missing_or_doubled_wherever_the_connection_breaks(
    tmp_path: Path, cuts: list[int], upstream: bool
) -> None:
    assert talk(tmp_path, cuts, upstream=upstream) == []


def hears_everything(core: Core, row: dict[str, Any]) -> None:
    """Broken: takes what it has had before."""
    core.seq = row["seq"]
    core.rows.append(row)
    core.commands.effect(row)
    core._is_closed |= row["type"] == "session.closed"


def greets_one_early(core: Core) -> str:
    """Broken: asks for the newest event again."""
    message = json.loads(GREETING(core))
    return json.dumps({**message, "after": max(0, message["after"] - 1)} if "after" in message else message)


def asks_anew(commands: Commands, applied: int, *, per_s: float) -> None:
    """Broken: what was on its way becomes a new command."""
    RESUMED(commands, applied, per_s=per_s)
    commands._number = max(commands._number, applied + 1)


def forgets_frames(lane: Lane, received: int, credit: int) -> None:
    """Broken: what had gone out is taken for received."""
    lane.credit = credit
    lane.sent = received


GREETING, RESUMED = Core._greeting, Commands.resumed
BROKEN = {
    "numbers jump": {Core: {"_greeting": greets_one_early, "_event": hears_everything}},
    "questions are": {Commands: {"resumed": asks_anew}},
    "frames are": {Lane: {"resumed": forgets_frames}},
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_client_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: str) -> None:
    for owner, methods in BROKEN[complaint].items():
        for name, method in methods.items():
            monkeypatch.setattr(owner, name, method)
    upstream = complaint == "frames are"
    found = talk(tmp_path, (UP if upstream else DOWN)[20:36], upstream=upstream)
    assert any(line.startswith(complaint) for line in found), found
