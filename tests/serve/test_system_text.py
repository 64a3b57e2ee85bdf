"""The system text of a session may change while it lives; what the model could not remember is refused."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.fakes import ScriptedModel, tiny_config, tiny_model
from tests.serve.durable_fakes import CREATED, Disk, open_store
from tests.serve.serving import Client, Served, serving
from vigil.errors import StorageError
from vigil.model.interleave import twin_of
from vigil.model.tokens import SILENCE

OLD, NEW = "Be brief.", "Canary: be kind."


def heard(model: ScriptedModel) -> list[int]:
    """Everything that the model is fed from now on."""
    fed: list[int] = []
    decode = model.decode

    def decode_and_note(input_ids_T, *args, **named):  # type: ignore[no-untyped-def]
        fed.extend(input_ids_T.tolist())
        return decode(input_ids_T, *args, **named)

    model.decode = decode_and_note  # type: ignore[method-assign]
    return fed


def update(client: Client, system: str) -> dict[str, object]:
    """Change the system text; the event that says so."""
    done = client.done(client.command("session.update", system=system))
    return client.until("session.updated", seq=done["seq"])


def system_of(served: Served, client: Client) -> str:
    """The system text that a session goes by."""
    return served.gate.hub.active[client.ready["session_id"]].settings.system


def test_the_model_reads_the_new_text_and_nobody_else_does() -> None:
    model = ScriptedModel(SILENCE, SILENCE, SILENCE, "Yes.")
    with serving(model) as served:
        client = served.session(system=OLD)
        client.frame(1)
        client.until("input.frame.perceived")
        fed = heard(model)
        assert update(client, NEW)["system_changed"]
        client.ask("Well?", answer_by_s=20)
        client.until("answer.done")
        assert NEW in model.tokenizer.decode(fed)
        assert OLD not in model.tokenizer.decode(fed)
        assert not [text for text in client.texts if "Canary" in text]


def test_the_same_text_and_the_same_command_change_nothing() -> None:
    model = ScriptedModel()
    with serving(model) as served:
        client = served.session(system=OLD)
        assert not update(client, OLD)["system_changed"]
        first = update(client, NEW)
        client.send(type="session.update", cmd=client.cmd, system="Another one.")
        assert client.done(client.cmd)["seq"] == first["seq"]
        assert system_of(served, client) == NEW


def test_it_is_there_after_a_restart(tmp_path: Path) -> None:
    with serving(folder=tmp_path) as served:
        client = served.session(system=OLD)
        update(client, NEW)
    with serving(folder=tmp_path) as served:
        back = served.client()
        back.resume(client.ready, after=0)
        back.until("session.recovered")
        assert system_of(served, back) == NEW
        assert served.gate.hub.active[client.ready["session_id"]].owner != ""
        assert not [text for text in back.texts if "Canary" in text]


def test_what_the_model_could_not_remember_is_refused_and_the_session_lives() -> None:
    with serving(tiny_model()) as served:
        half = served.gate.hub.runner.stream.text_tokens // 2
        client = served.session()
        for fields in (
            {"type": "session.update", "system": "x" * (half // 2 + 1)},
            {"type": "input.text", "text": "x" * (half + 1), "mode": "interrupt"},
        ):
            client.send(cmd=1, **fields)
            assert client.error() == "too_large"
        client.done(client.ask("x" * half))
        client.frame(1)
        client.until("input.frame.perceived")
        other = served.client()
        other.send(type="session.open", client_id="me", open_id="too-long-1", system="x" * (half // 2 + 1))
        assert other.error() == "too_large"


def test_a_model_that_keeps_its_frames_in_its_text_is_not_ready_for_it() -> None:
    with serving(tiny_model(twin_of(tiny_config()))) as served:
        client = served.session()
        client.send(type="session.update", cmd=1, system=NEW)
        assert client.error() == "not_ready"
        client.done(client.command("session.update", sampling={"seed": 3}))


class Crash(BaseException):
    """The machine stops here."""


def kept_after_a_crash(folder: Path, call: int) -> tuple[bool, str, bool]:
    """Lose power at system call number `call` of an update: was it acknowledged, what is kept, did it come so far."""
    disk = Disk()

    def stop(name: str) -> None:
        if len(disk.calls) == call:
            raise Crash

    store = open_store(folder, files=disk)
    log = store.create(CREATED, private={"system": OLD})
    disk.calls.clear()
    disk.before = stop
    is_safe = False
    try:
        updated = log.append({"type": "session.updated", "system_changed": True}, private={"system": NEW})
        is_safe = updated.durable.exception(20) is None
    except StorageError:
        pass
    has_crashed = len(disk.calls) >= call
    disk.before = lambda name: None
    store.close()
    disk.lose_power(random.Random(call))
    with open_store(folder, files=Disk()) as again:
        return is_safe, str(again.resume(log.id).log.head.private["system"]), has_crashed


def test_a_power_cut_at_any_system_call_of_an_update_loses_no_text_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    kept, call, has_crashed = set(), 0, True
    while has_crashed:
        call += 1
        is_safe, system, has_crashed = kept_after_a_crash(tmp_path / str(call), call)
        assert system == NEW or not is_safe, f"power cut at call {call}"
        kept.add(system)
    assert kept == {OLD, NEW}
    assert call > 6
