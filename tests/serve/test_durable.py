"""The event log: numbers without gaps, safe before shown, resumed exactly, commands once, and what a crash leaves."""

from __future__ import annotations

import json
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from durable_fakes import CREATED, Disk, Time, fill, note, open_store, problems

from vigil.errors import BadSequence, ConfigError, StorageError
from vigil.serve.durable import Entry, Gap, SessionLog, Store, StoreConfig
from vigil.serve.segments import segment_numbers
from vigil.serve.state import State


def seqs(log: SessionLog, after: int = 0) -> list[int | Gap]:
    return [item.seq if isinstance(item, Entry) else item for item in log.replay(after=after)]


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line[9:]) for path in sorted(folder.rglob("*.log")) for line in path.read_text().splitlines()]


def wait(event: threading.Event) -> None:
    assert event.wait(20)


# ---- E1, E3: numbers, and resuming anywhere ----------------------------------------------------------------------


@pytest.mark.parametrize("level", ["strict", "process", "off"])
def test_resuming_after_any_event_gives_all_that_follow_with_the_same_bytes(tmp_path: Path, level: str) -> None:
    with open_store(tmp_path / "log", level=level, recent_events=5, segment_bytes=3000) as store:
        log = store.create(CREATED)
        acknowledged = {1: next(iter(log.replay(after=0))).json} | fill(log, 60)  # type: ignore[union-attr]
        for after in range(62):
            items = list(log.replay(after=after))
            assert {item.seq: item.json for item in items if isinstance(item, Entry)} == {
                seq: text for seq, text in acknowledged.items() if seq > after
            }
            assert not any(isinstance(item, Gap) for item in items)
    assert level == "off" or len(segment_numbers(tmp_path / "log" / "sessions" / log.id)) > 2


def test_a_large_file_is_entered_near_the_event_that_is_wanted(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", level="process", recent_events=1) as store:
        log = store.create(CREATED)
        for i in range(4000):
            log.append(note(i))
        log.flush()
        for after in (0, 1, 1999, 3999, 4000, 4001):
            assert seqs(log, after) == list(range(after + 1, 4002))


def test_many_threads_append_and_every_reader_sees_one_order(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        log = store.create(CREATED)
        seen: list[int] = []
        log.subscribe(lambda head: seen.extend(i for i in range(seen[-1] + 1 if seen else 2, head + 1)))
        threads = [threading.Thread(target=fill, args=(log, 25)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log.flush()
        assert seqs(log) == list(range(1, 102))
        assert seen == list(range(2, 102))
        assert log.wait(after=50, timeout_s=0) == 101


def test_the_wire_form_is_the_record_and_its_fields_come_in_order(tmp_path: Path) -> None:
    time = Time()
    with open_store(tmp_path / "log", time=time) as store:
        log = store.create(CREATED)
        time.pass_s(1.5)
        appended = log.append({"type": "input.text.accepted", "turn": 1, "text": "é\u2028\ud800"}, by=("c", 1))
        appended.durable.result(20)
    assert appended.entry.json == (
        '{"seq":2,"type":"input.text.accepted","t_mono":1.5,"t_wall":1800000001.5,"epoch":1,'
        '"by":{"client_id":"c","cmd":1},"turn":1,"text":"\\u00e9\\u2028\\ud800"}'
    )
    (path,) = tmp_path.rglob("*.log")
    assert appended.entry.json.encode() == path.read_bytes().splitlines()[2][9:]


def test_the_ring_of_level_off_says_what_it_no_longer_has() -> None:
    with open_store(None, ring_events=10) as store:
        log = store.create(CREATED)
        fill(log, 20)
        assert seqs(log, 3) == [Gap(4, 11, "memory"), *range(12, 22)]
        assert seqs(log, 11) == list(range(12, 22))


# ---- E2: nothing is shown before it is safe ----------------------------------------------------------------------


@pytest.mark.parametrize("level", ["strict", "process"])
def test_an_event_is_shown_only_once_it_is_as_safe_as_its_level_says(tmp_path: Path, level: str) -> None:
    disk = Disk()
    with open_store(tmp_path / "log", files=disk, level=level) as store:
        log = store.create(CREATED)
        shown: list[int] = []
        disk.before = lambda call: shown.append(log.durable)
        disk.calls.clear()
        assert log.append(note(1)).durable.result(20) == 2
        assert disk.calls == (["write", "datasync"] if level == "strict" else ["write"])
        assert set(shown) == {1}
        assert log.durable == 2


def test_a_group_shares_one_sync_and_holds_at_most_32_events(tmp_path: Path) -> None:
    disk = Disk()
    with open_store(tmp_path / "log", files=disk) as store:
        log = store.create(CREATED)
        inside, go = threading.Event(), threading.Event()

        def hold(call: str) -> None:
            if call == "datasync" and not inside.is_set():
                inside.set()
                assert go.wait(20)

        disk.before = hold
        log.append(note(0))
        assert inside.wait(20)
        disk.calls.clear()
        for i in range(100):
            log.append(note(i))
        go.set()
        log.flush(20)
        assert disk.calls.count("datasync") == 4  # 32 + 32 + 32 + 4


def test_a_full_queue_makes_the_producer_wait_and_drops_nothing(tmp_path: Path) -> None:
    disk, go = Disk(), threading.Event()
    with open_store(tmp_path / "log", files=disk, queue_events=8) as store:
        log = store.create(CREATED)
        disk.before = lambda call: wait(go)
        producer = threading.Thread(target=lambda: [log.append(note(i)) for i in range(100)])
        producer.start()
        producer.join(0.2)
        assert producer.is_alive()
        go.set()
        producer.join(20)
        log.flush(20)
        assert seqs(log) == list(range(1, 102))


# ---- E4: commands ------------------------------------------------------------------------------------------------


def test_a_command_takes_effect_once_and_its_number_lies_in_the_record_of_its_effect(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", recent_events=1) as store:
        log = store.create(CREATED)
        for cmd in (1, 2, 3):
            log.append({"type": "session.updated", "system_changed": False}, by=("c", cmd))
        with pytest.raises(BadSequence, match=r"command 3 of c: the next one is 4\."):
            log.append(note(0), by=("c", 3))
        with pytest.raises(BadSequence, match=r"command 5 of c: the next one is 4\."):
            log.append(note(0), by=("c", 5))
        log.flush()
        assert (log.applied("c"), log.applied("d"), log.durable) == (3, 0, 4)
        for cmd in (1, 2, 3):
            effect = log.effect("c", cmd)
            assert effect is not None
            assert effect.seq == effect.durable.result() == cmd + 1
        assert log.effect("c", 4) is None
        assert log.effect("d", 1) is None


def test_a_command_sent_again_before_its_effect_is_safe_waits_for_the_same_event(tmp_path: Path) -> None:
    disk, go = Disk(), threading.Event()
    with open_store(tmp_path / "log", files=disk) as store:
        log = store.create(CREATED)
        disk.before = lambda call: wait(go)
        first = log.append(note(0), by=("c", 1))
        again = log.effect("c", 1)
        assert again is first
        assert not first.durable.done()
        go.set()
        assert first.durable.result(20) == 2


def test_text_that_looks_like_a_command_is_not_taken_for_one(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", recent_events=1) as store:
        log = store.create(CREATED)
        log.append(
            {"type": "note", "text": '"by":{"client_id":"c","cmd":1}', "x": {"by": {"client_id": "c", "cmd": 1}}}
        )
        log.append(note(0), by=("c", 1)).durable.result(20)
        effect = log.effect("c", 1)
        assert effect is not None
        assert effect.seq == 3


# ---- E6, E7: the next life ---------------------------------------------------------------------------------------


def crashed(folder: Path, time: Time, *events: dict[str, object]) -> None:
    """A session whose process just stopped existing."""
    store = open_store(folder, time=time)
    log = store.create(CREATED, private={"token": "secret"})
    for event in events:
        log.append(event)
    log.flush()
    os.close(store._lock_fd or -1)


STARTED = {"type": "answer.started", "answer_id": 1, "turn": 0, "rev": 1}
DELTA = {
    "type": "answer.delta",
    "answer_id": 1,
    "rev": 1,
    "i": 0,
    "text": " A cat",
    "evidence": {"source": 0, "ts": 2.0},
}


def test_after_a_crash_open_revisions_are_interrupted_before_anything_else_is_taken(tmp_path: Path) -> None:
    time = Time()
    crashed(tmp_path / "log", time, STARTED, DELTA)
    time.pass_s(100.0)
    with open_store(tmp_path / "log", time=time) as store:
        (recovered,) = store.recover()
        log = recovered.log
        assert recovered.interrupted == ({"answer_id": 1, "rev": 1},)
        *_, last = log.replay(after=0)
        assert isinstance(last, Entry)
        done = last.event
        assert (done["seq"], done["epoch"], done["t_mono"]) == (4, 2, 100.0)
        assert (done["type"], done["status"], done["finish"]) == ("answer.done", "interrupted", "fault")
        assert (done["text"], done["evidence"]) == ("A cat", DELTA["evidence"])
        assert log.head.private == {"token": "secret"}
        assert log.state.open == {}
        assert log.state.settings["system"] == "Be brief."
        assert problems({}, log) == []


def test_a_closed_session_stays_closed_and_can_be_read(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        log = store.create(CREATED, session_id="a")
        log.append({"type": "session.closed", "reason": "client"}).durable.result(20)
        with pytest.raises(StorageError, match="session a is closed"):
            log.append(note(0))
    assert [row.get("rec", row.get("type")) for row in lines(tmp_path)] == [
        "epoch",
        "session.created",
        "session.closed",
        "seal",
    ]
    with open_store(tmp_path / "log") as store:
        assert store.recover() == []
        again = store.get("a")
        assert again is not None
        assert again.is_closed
        assert seqs(again) == [1, 2]
        with pytest.raises(StorageError, match=r"session a is closed \(client\)"):
            store.resume("a")
        with pytest.raises(StorageError, match=r"there is no session b\. `vigil log list`"):
            store.resume("b")
        assert store.get("b") is None


def test_who_writes_to_a_session_at_rest_is_refused_and_harms_no_other(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        other = store.create(CREATED, session_id="other")
        for number in range(20):
            log = store.create(CREATED, session_id=f"rests-{number}")
            written: list[int] = []

            def write(log: SessionLog = log, written: list[int] = written) -> None:
                with suppress(StorageError):
                    while True:
                        written.append(log.append(note(len(written))).seq)

            writer = threading.Thread(target=write)
            writer.start()
            other.append(note(number))
            store.rest(log.id)
            writer.join(10)
            assert seqs(store.get(log.id)) == list(range(1, len(written) + 2)), "what was taken is safe"
            with pytest.raises(StorageError, match=f"session {log.id} has no seat"):
                log.append(note(0))
        other.flush(5)
        assert seqs(other) == list(range(1, 22))


def test_a_session_that_nobody_has_seen_leaves_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "log"):
        (tmp_path / "log" / "sessions" / "born-dead").mkdir()
    with open_store(tmp_path / "log") as store:
        assert store.recover() == []
    assert list((tmp_path / "log" / "sessions").iterdir()) == []


def test_t_mono_goes_on_and_never_back(tmp_path: Path) -> None:
    time = Time()
    with open_store(tmp_path / "log", time=time) as store:
        log = store.create(CREATED, session_id="a")
        time.pass_s(10.0)
        assert log.append(note(0)).entry.event["t_mono"] == 10.0
        time.wall_s -= 3e8
        time.mono_s += 5.0
        assert log.append(note(0)).entry.event["t_mono"] == 15.0
    with open_store(tmp_path / "log", time=time) as store:  # the wall clock stands before the last event
        log = store.resume("a").log
        assert log.append(note(0)).entry.event["t_mono"] == 15.0
        time.pass_s(1.0)
        assert log.append(note(0)).entry.event["t_mono"] == 16.0
    time.pass_s(60.0)
    with open_store(tmp_path / "log", time=time) as store:
        assert store.resume("a").log.append(note(0)).entry.event["t_mono"] == 76.0


def test_the_state_is_the_fold_of_the_log_whatever_was_written_where(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", segment_bytes=300, group_events=1) as store:
        log = store.create(CREATED)
        log.append({"type": "input.text.accepted", "turn": 1, "text": "Who?"}, by=("c", 1))
        log.append({"type": "source.opened", "source": 0, "name": "door"})
        log.append(STARTED)
        log.append(DELTA)
        log.append({"type": "answer.revised", "answer_id": 1, "rev": 2, "supersedes": 1})
        log.append({**DELTA, "rev": 2, "text": "A dog"})
        log.append({"type": "input.frames.total", "source": 0, "received": 9, "perceived": 9, "newest_ts": 8.0})
        log.append({"type": "session.updated", "system": "Be long.", "system_changed": True}, by=("c", 2))
        log.flush()
        folded = State()
        for item in log.replay(after=0):
            assert isinstance(item, Entry)
            folded.apply(item.event)
        assert folded.digest() == log.state.digest()
        state = log.state
    assert (state.applied, state.settings["system"], state.sources["0"]["name"]) == ({"c": 2}, "Be long.", "door")
    assert state.open["1"] == {"turn": 0, "answer_id": 1, "rev": 2, "text": "A dog", "evidence": DELTA["evidence"]}
    assert (state.turns, state.totals["0"]["newest_ts"]) == ([{"turn": 1, "text": "Who?"}], 8.0)
    assert len(segment_numbers(next((tmp_path / "log" / "sessions").iterdir()))) > 2


def test_a_session_whose_first_file_is_damaged_is_never_removed(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        store.create(CREATED, session_id="a")
    (path,) = tmp_path.rglob("*.log")
    path.write_bytes(b"\0" * 50)
    with open_store(tmp_path / "log") as store:
        assert store.recover() == []
        assert store.unreadable == {"a": "there is no session a. `vigil log list` shows what there is."}
        store.expire()
    assert path.read_bytes() == b"\0" * 50


def test_a_store_that_cannot_open_lets_the_folder_go(tmp_path: Path) -> None:
    (tmp_path / "log" / "index.sqlite").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"the index .* cannot be made"):
        open_store(tmp_path / "log", index=True)
    open_store(tmp_path / "log").close()


# ---- one writer, private files, nothing left ---------------------------------------------------------------------


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        log = store.create(CREATED)
        with pytest.raises(StorageError, match="is being written by another vigil"):
            open_store(tmp_path / "log")
        fill(log, 3)
        assert seqs(log) == [1, 2, 3, 4]
    open_store(tmp_path / "log").close()


def test_only_the_owner_may_read_and_a_link_is_never_followed(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        log = store.create(CREATED, session_id="a")
        for path in (tmp_path / "log").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert log.durable == 1
    (tmp_path / "log" / "sessions" / "b").symlink_to(tmp_path / "log" / "sessions" / "a")
    (tmp_path / "log" / "sessions" / "a" / "00000002.log").symlink_to("/etc/passwd")
    with open_store(tmp_path / "log") as store:
        assert store.get("b") is None
        with pytest.raises(StorageError, match=r"00000002\.log cannot be read"):
            store.resume("a")
        assert store.recover() == []
        assert list(store.unreadable) == ["a"]


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\0", "A", "é", "-a", "x" * 65])
def test_an_id_is_never_a_path(tmp_path: Path, name: str) -> None:
    with open_store(tmp_path / "log") as store:
        assert store.get(name) is None
        assert store.delete(name) is False
        if name:
            with pytest.raises(ConfigError, match="cannot be the id of a session"):
                store.create(CREATED, session_id=name)


def test_a_deleted_session_leaves_no_byte(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", segment_bytes=500) as store:
        log = store.create({**CREATED, "system": "canary"})
        fill(log, 20)
        assert store.delete(log.id)
        assert not store.delete(log.id)
        with pytest.raises(StorageError, match="it was deleted"):
            log.append(note(0))
        assert list((tmp_path / "log" / "sessions").iterdir()) == []
    assert not any(b"canary" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_deletion_that_a_crash_cut_off_is_finished(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        log = store.create(CREATED)
    folder = tmp_path / "log" / "sessions"
    (folder / log.id).rename(folder / f".gone-{log.id}")
    with open_store(tmp_path / "log") as store:
        assert store.ids() == []
    assert list(folder.iterdir()) == []


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="group_events must be 1 to 32, got 33"):
        StoreConfig(group_events=33)
    with pytest.raises(ConfigError, match="segment_bytes must be above 0, got 0"):
        StoreConfig(segment_bytes=0)
    with pytest.raises(ConfigError, match="keep_s must be above 0, or None, got -1"):
        StoreConfig(keep_s=-1)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(StorageError, match="cannot be used for the log: File exists"):
        Store(tmp_path / "log")
