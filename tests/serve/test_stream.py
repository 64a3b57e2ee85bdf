"""Sessions over a real socket: order, resume, commands, interruption, revision, silence, frames (E1 to E7)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.fakes import Odds, ScriptedModel
from tests.serve.serving import PATIENT, Client, Served, jpeg, kinds, serving
from tests.serve.test_hostile import wait_for
from vigil.model.tokens import ELLIPSIS, SILENCE
from vigil.serve.answers import Turn
from vigil.serve.runner import Report, Seat
from vigil.types import Asked, Silence

MOMENT = {"seq": 1, "time_s": 1.0, "wall_s": 1.0, "frame": -1}
SILENT = {"first_s": 0.0, "last_s": 1.0, "frames": 1, "p_silence_mean": 1.0, "p_silence_min": 1.0}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory):
    """A server whose model never speaks."""
    with serving(folder=tmp_path_factory.mktemp("log"), seats=64) as served:
        yield served


def answers(client: Client) -> list[str]:
    """What was said, as "1.1 started", "1.1 Hi", "1.1 final"."""
    said = []
    for row in client.events:
        if row["type"].startswith("answer."):
            what = {"answer.started": "started", "answer.revised": "revised"}.get(row["type"])
            said.append(f"{row['answer_id']}.{row['rev']} {what or row.get('status') or row['text']}")
    return said


def test_events_are_numbered_without_gaps_and_ready_comes_first(quiet: Served) -> None:  # E1
    client = quiet.session("numbered-1")
    client.frame(1)
    client.until("input.frame.perceived")
    client.ask()
    client.done(1)
    client.done(client.command("session.close", mode="now"))
    assert client.rows[0]["type"] == "session.ready"
    assert [row["seq"] for row in client.events] == list(range(1, len(client.events) + 1))
    assert kinds(client.events)[0] == "session.created"
    assert kinds(client.events)[-1] == "session.closed"
    times = [row["t_mono"] for row in client.events]
    assert times == sorted(times)  # E7
    assert client.close_code() == 1000


def test_two_sockets_see_the_same_bytes(quiet: Served) -> None:  # E1
    client = quiet.session("same-bytes")
    client.done(client.ask())
    looking = quiet.client()
    looking.send(
        type="session.attach",
        session_id=client.ready["session_id"],
        view_token=client.ready["view_token"],
        after=0,
    )
    client.done(client.command("session.close", mode="now"))
    looking.until("session.closed")
    assert looking.lines == client.lines


def test_resume_gives_exactly_what_is_missing_and_the_same_bytes(quiet: Served) -> None:  # E3
    client = quiet.session("resume-me")
    for number in range(1, 4):
        client.done(client.ask(f"Question {number}?"))
    client.close()
    seen = client.lines[:4]
    back = quiet.client()
    back.resume(client.ready, after=4)
    back.until("resume.done")
    assert (seen + back.lines)[: len(client.lines)] == client.lines
    assert back.ready["applied_cmd"] == 3


def test_after_a_restart_a_session_goes_on(tmp_path: Path) -> None:  # E2, E3, E4, E6
    with serving(
        ScriptedModel(SILENCE, SILENCE, "A long answer to be cut."), folder=tmp_path, tokens_per_s=4
    ) as served:
        client = served.session("restarted")
        client.frame(1)
        client.until("input.frame.perceived")
        client.done(client.ask("What is it?"))
        client.until("answer.delta")
        served.server.should_exit = True
        assert client.close_code() == 1012
    with serving(folder=tmp_path) as served:
        back = served.client()
        ready = back.resume(client.ready, after=0)
        assert (ready["epoch"], ready["applied_cmd"], ready["received"]) == (2, 1, {"0": 1})
        recovered = back.until("session.recovered")
        assert recovered["turns_restored"] == 1
        assert [row["seq"] for row in back.events] == list(range(1, len(back.events) + 1))
        assert back.lines[: len(client.lines)] == client.lines
        assert answers(back)[-1] == "1.1 interrupted"
        back.frame(2)
        back.until("input.frame.perceived", frame_no=2)
        back.done(back.ask("And now?"))
        back.until("turn.started", turn=2)


def test_the_same_open_id_gives_the_same_session(quiet: Served) -> None:  # E4
    first, again = quiet.session("twice-opened"), quiet.session("twice-opened")
    assert first.ready["session_id"] == again.ready["session_id"]
    assert first.close_code() == 4000
    assert quiet.session("another-one").ready["session_id"] != again.ready["session_id"]


def test_a_command_sent_again_returns_what_it_did_and_does_nothing(quiet: Served) -> None:  # E4
    client = quiet.session("again-again")
    done = client.done(client.ask("Once?"))
    client.send(type="input.text", cmd=1, text="Once?", mode="interrupt")
    assert client.done(1) == done
    client.done(client.ask("Twice?"))
    client.send(type="input.text", cmd=1, text="Once?", mode="interrupt")
    assert client.done(1) == done
    accepted = [row["text"] for row in client.events if row["type"] == "input.text.accepted"]
    assert accepted == ["Once?", "Twice?"]
    assert all(row["by"] == {"client_id": "me", "cmd": i} for i, row in enumerate(client.events, 1) if "by" in row) or [
        row["by"]["cmd"] for row in client.events if "by" in row
    ] == [1, 2]


def test_a_command_out_of_order_or_refused_consumes_no_number(quiet: Served) -> None:  # E4
    client = quiet.session("order-001")
    client.send(type="input.text", cmd=3, text="Too early", mode="interrupt")
    error = client.until("error")
    assert (error["code"], error["expected"], error["cmd"]) == ("bad_sequence", 1, 3)
    client.send(type="source.remove", cmd=1, source=9)
    assert client.error() == "not_found"
    client.cmd = 0
    assert client.done(client.ask())["cmd"] == 1


def test_an_interruption_comes_in_its_order() -> None:  # W12
    with serving(ScriptedModel(SILENCE, "One.", SILENCE, SILENCE, "Two."), tokens_per_s=20) as served:
        client = served.session()
        client.ask("First?")
        client.until("answer.delta")
        client.ask("Second?")
        client.until("answer.done", answer_id=1)
        client.until("turn.started", turn=2)
        rows = [row["type"] for row in client.events]
        after = rows[rows.index("input.text.accepted", rows.index("answer.started")) :]
        order = [kind for kind in after if kind != "answer.delta"]
        assert order[:4] == ["input.text.accepted", "answer.done", "turn.interrupted", "turn.started"]
        cut = next(row for row in client.events if row["type"] == "answer.done")
        assert (cut["status"], cut["finish"]) == ("interrupted", "cancel")


def test_an_answer_cut_within_its_first_character_has_a_beginning_too() -> None:  # E6
    model = ScriptedModel(SILENCE, "é", SILENCE, "Two.")
    with serving(model, tokens_per_s=1) as served:
        client = served.session()
        client.ask("First?")
        client.until("answer.started", answer_id=1)
        client.ask("Second?")
        client.until("turn.started", turn=2)
        client.ask("Third?")
        client.until("turn.started", turn=3)
        assert answers(client)[:3] == ["1.1 started", "1.1 ", "1.1 interrupted"]


def test_an_answer_streams_with_evidence_and_one_end() -> None:  # E5, E6
    with serving(ScriptedModel(SILENCE, SILENCE, "Hi.")) as served:
        client = served.session()
        client.frame(1)
        client.until("input.frame.perceived")
        client.ask()
        done = client.until("answer.done")
        assert answers(client) == ["1.1 started", "1.1 H", "1.1 i", "1.1 .", "1.1 final"]
        deltas = [row for row in client.events if row["type"] == "answer.delta"]
        assert [row["i"] for row in deltas] == [0, 1, 2]
        assert all(row["evidence"]["frame_no"] == 1 for row in deltas)
        assert (done["text"], done["tokens"], done["finish"]) == ("Hi.", 3, "silence")


def test_a_revision_closes_the_one_before() -> None:  # E6
    script = ScriptedModel(SILENCE, SILENCE, "Red", ELLIPSIS, "Blue", SILENCE)
    with serving(script) as served:
        client = served.session()
        client.frame(1)
        client.until("input.frame.perceived")
        client.ask(answer_by_s=5)
        client.until("answer.done", rev=2)
        assert [line for line in answers(client) if " " in line and len(line) > 5] == [
            "1.1 started",
            "1.1 superseded",
            "1.2 revised",
            "1.2 final",
        ]
        revised = next(row for row in client.events if row["type"] == "answer.revised")
        assert (revised["supersedes"], revised["cause"]) == (1, "cut")


def test_cancel_stops_the_answer_and_its_effect_carries_the_command() -> None:  # E4
    with serving(ScriptedModel(SILENCE, "A very long answer."), tokens_per_s=20) as served:
        client = served.session()
        client.ask()
        client.until("answer.delta")
        cancel = client.command("answer.cancel")
        client.done(cancel)
        rows = client.events
        cut = next(row for row in rows if row["type"] == "turn.interrupted")
        assert cut["next_turn"] is None
        assert cut["by"] == {"client_id": "me", "cmd": cancel}
        assert rows[rows.index(cut) - 1]["status"] == "interrupted"
        client.command("answer.cancel")
        assert client.error() == "not_found"


@pytest.mark.parametrize("end", [SILENCE, ELLIPSIS])
def test_cancel_of_an_answer_that_has_just_ended_has_its_effect_too(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model ends it, or gives it up and then has nothing to say, before it reads that it is to stop."""
    interrupts: list[Seat] = []
    interrupt = Seat.interrupt
    monkeypatch.setattr(Seat, "interrupt", lambda seat: interrupts.append(seat))
    with serving(ScriptedModel(SILENCE, "An answer.", end, SILENCE), tokens_per_s=20) as served:
        client = served.session()
        client.ask()
        client.until("answer.delta")
        cancel = client.command("answer.cancel")
        done = client.until("answer.done")
        interrupt(interrupts[0])
        client.done(cancel)
        assert done["status"] == {SILENCE: "final", ELLIPSIS: "superseded"}[end]
        assert client.done(client.ask("Again?"))["cmd"] == cancel + 1


def test_what_the_model_says_after_the_end_of_a_session_is_not_written(tmp_path: Path) -> None:
    """A step that takes too long is not waited for; once it ends, its events come too late."""
    with serving(folder=tmp_path / "log", limits=replace(PATIENT, seat_s=0.1)) as served:
        client, other = served.session("open-late1"), served.session("open-other")
        live = served.gate.hub.active[client.ready["session_id"]]
        client.close()
        store = served.gate.hub.store
        wait_for(lambda: live.over.is_set() and live.id not in store._logs, 20)
        head = store.get(live.id).durable
        live.dialogue.answers.asked.append(Turn(1))
        for late in (Asked(**MOMENT, turn=1, text="?", standing=True), Silence(**MOMENT, **SILENT)):
            served.call(partial(live._report, Report(event=late)))
        assert other.done(other.ask("Are you there?"))["cmd"] == 1
        assert store.get(live.id).durable == head
        again = served.client()
        again.resume(client.ready, after=0)
        assert again.done(again.ask("And you?"))["cmd"] == 1


def test_a_session_that_fails_says_so_here_and_there_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel(SILENCE, SILENCE, "Half an answer", SILENCE)
    decode = model.decode

    def fails_once(*args: Any, **named: Any) -> Tensor:
        if model.used == 6:
            model.used += 1
            raise RuntimeError("planted")
        return decode(*args, **named)

    with serving(model) as served:
        other, client = served.session("open-good"), served.session("open-bad1")
        model.decode = fails_once  # type: ignore[method-assign]
        client.ask()
        closed = client.until("session.closed")
        assert closed["reason"] == "error"
        assert [line.split()[1] for line in answers(client)][-1] == "interrupted"
        assert other.done(other.ask("And you?"))["cmd"] == 1
        other.until("turn.started", turn=1)
    (record,) = [record for record in caplog.records if record.name == "vigil.serve" and record.exc_info]
    assert (client.ready["session_id"] in record.getMessage(), str(record.exc_info[1])) == (True, "planted")


def test_commands_behind_a_cancel_keep_their_order() -> None:  # E4
    with serving(ScriptedModel(SILENCE, "A very long answer."), tokens_per_s=4) as served:
        client = served.session()
        client.ask()
        client.until("answer.delta")
        client.command("answer.cancel")
        last = client.ask("Next?")
        client.done(last)
        assert [row["by"]["cmd"] for row in client.events if "by" in row] == [1, 2, 3]


def test_silence_is_an_event_and_never_an_empty_answer(quiet: Served) -> None:
    client = quiet.session("silence-1")
    for number in (1, 2, 3):
        client.frame(number)
        client.until("input.frame.perceived", frame_no=number)
    client.ask()
    silence = client.until("silence")
    assert silence["frames"] == 4  # the opening slot and three frames
    assert silence["p_silence"]["mean"] == 1.0
    assert answers(client) == []


def test_every_decision_is_told_where_the_policy_says_so(quiet: Served) -> None:
    client = quiet.session("decisions-1", policy={"silence": "each"})
    client.frame(1)
    decision = client.until("decision")
    assert decision["speak"] is False


def test_sensitivity_decides_when_to_speak() -> None:
    odds = [Odds("x", 0.6)] * 4
    with serving(ScriptedModel(*odds)) as served:
        client = served.session(policy={"sensitivity": 0.7})
        client.until("answer.started")
    with serving(ScriptedModel(*odds)) as served:
        client = served.session(policy={"sensitivity": 0.5})
        client.done(client.ask())
        client.done(client.command("session.close", mode="now"))
        assert answers(client) == []


def test_an_update_holds_from_the_next_decision_on() -> None:
    with serving(ScriptedModel(*[Odds("x", 0.6)] * 3, "yyyy")) as served:
        client = served.session()
        client.done(client.ask())
        done = client.done(client.command("session.update", policy={"sensitivity": 0.9}, sampling={"max_tokens": 2}))
        updated = next(row for row in client.events if row["seq"] == done["seq"])
        assert updated["policy"]["sensitivity"] == 0.9
        client.ask("Now?")
        assert client.until("answer.done")["tokens"] == 2


def test_ceilings_win(quiet: Served) -> None:
    client = quiet.session("ceilings-1", sampling={"max_tokens": 10**9}, keep_s=1e9)
    created = client.until("session.created")
    assert created["sampling"]["max_tokens"] == client.ready["limits"]["answer_tokens"] == 512
    assert created["keep_s"] == 86_400


def test_a_question_that_cannot_be_answered_is_reported() -> None:  # L6, section 9
    with serving() as served:
        client = served.session()
        client.ask("One?", answer_by_s=0.1)
        client.ask("Two?", answer_by_s=0.1)
        gone = client.until("input.text.unanswered")
        assert (gone["turn"], gone["cause"]) == (1, "interrupted")
        gone = client.until("input.text.unanswered")
        assert (gone["turn"], gone["cause"]) == (2, "deadline")


def test_a_deadline_makes_a_silent_model_speak() -> None:
    with serving(ScriptedModel(*[Odds("y", 0.9)] * 9)) as served:
        client = served.session()
        client.frame(1)
        client.until("input.frame.perceived")
        client.done(client.ask(answer_by_s=0))
        client.until("answer.started")


def test_queued_questions_wait_for_the_answer_before() -> None:
    with serving(ScriptedModel(SILENCE, "One.", SILENCE, "Two.", SILENCE), tokens_per_s=50) as served:
        client = served.session()
        client.ask("First?", answer_by_s=9)
        client.until("answer.delta")
        client.ask("Second?", mode="queue", answer_by_s=9)
        client.until("answer.done", answer_id=2)
        assert [row["status"] for row in client.events if row["type"] == "answer.done"] == ["final", "final"]


def test_a_question_waits_for_the_frame_it_is_about() -> None:
    with serving(ScriptedModel(SILENCE, SILENCE, "Seen.", SILENCE)) as served:
        client = served.session()
        client.ask(after_frame={"source": 0, "frame_no": 1})
        client.frame(1)
        started = client.until("answer.started")
        assert started["evidence"]["frame_no"] == 1


# ---- frames ------------------------------------------------------------------------------------------------------


def test_every_frame_is_accounted_for(quiet: Served) -> None:  # E5
    client = quiet.session("accounts-1")
    client.frame(1, 1.0)
    client.frame(1, 1.0)  # again: ignored and not counted
    client.frame(3, 3.0)  # a gap: refused and not counted
    assert client.until("error")["expected"] == 2
    client.frame(2, 0.5)
    assert client.error() == "bad_timestamp"
    client.frame(3, 3.0, image=b"\xff\xd8\xff not a picture")
    assert client.error() == "bad_image"
    client.frame(4, 4.0)
    client.until("input.frame.perceived", frame_no=4)
    client.done(client.command("session.close", mode="drain"))
    total = next(row for row in client.events if row["type"] == "input.frames.total")
    assert total["received"] == 4
    assert total["perceived"] == 2
    assert total["dropped"] == {"bad_timestamp": 1, "undecodable": 1}
    assert total["pending"] == 0
    runs = [row for row in client.events if row["type"] == "input.frames.dropped"]
    assert {row["reason"]: row["count"] for row in runs} == total["dropped"]


def test_a_client_within_its_credit_loses_nothing_and_one_beyond_it_does() -> None:  # W11
    with serving(limits=replace(PATIENT, frame_burst=200, frames_per_s=1000, errors=1000)) as served:
        client = served.session()
        sent, credit = 0, 4
        while sent < 20:
            while sent < min(credit, 20):
                sent += 1
                client.frame(sent)
            credit = client.until("input.credit")["up_to"]
        client.until("input.frame.perceived", frame_no=20)
        for number in range(21, 61):
            client.frame(number)
        client.done(client.command("session.close", mode="drain"))
        total = next(row for row in client.events if row["type"] == "input.frames.total")
        assert set(total["dropped"]) <= {"over_credit"}
        assert total["received"] == 60 == total["perceived"] + total["dropped"]["over_credit"]


def test_skipped_frames_are_counted_apart(quiet: Served) -> None:  # E5
    client = quiet.session("skipped-1")
    client.done(client.command("input.skipped", source=0, first_ts=1, last_ts=2, count=7))
    client.done(client.command("session.close", mode="now"))
    closed = client.events[-1]
    assert closed["usage"]["frames"]["skipped"] == 7
    assert closed["usage"]["frames"]["received"] == 0


def test_a_source_can_be_added_ended_and_removed(quiet: Served) -> None:
    client = quiet.session("sources-1")
    client.done(client.command("source.add", source=3, kind="push", fps=2))
    client.frame(1, source=3)
    client.until("input.frame.perceived", source=3)
    client.done(client.command("input.end", source=3))
    client.frame(2, source=3)
    assert client.error() == "not_found"
    client.done(client.command("source.remove", source=0))
    ended = [(row["source"], row["cause"]) for row in client.events if row["type"] == "source.ended"]
    assert ended == [(3, "client"), (0, "removed")]


def test_what_is_sent_is_what_is_in_the_log(quiet: Served) -> None:  # E2
    client = quiet.session("log-lines")
    client.done(client.ask('Gr\u00fc\u00dfe \u202e \U0001f600 "quotes"'))
    client.done(client.command("session.close", mode="now"))
    with quiet.http as http:
        body = http.get(f"/v1/sessions/{client.ready['session_id']}/events").text
    assert body.splitlines() == client.lines
    assert body.isascii()
    accepted = next(json.loads(line) for line in body.splitlines() if "accepted" in line)
    assert accepted["text"] == 'Gr\u00fc\u00dfe \u202e \U0001f600 "quotes"'


def test_jpeg_helper_is_a_picture() -> None:
    assert jpeg(1).startswith(b"\xff\xd8\xff")
