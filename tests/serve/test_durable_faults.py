"""D2 to D4: short writes, I/O errors, failed syncs, full disks, power cuts. What was acknowledged stays."""

from __future__ import annotations

import errno
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from durable_fakes import CREATED, Disk, after_crash, fill, note, open_store, problems

from vigil.errors import StorageError
from vigil.serve import tape
from vigil.serve.disk import Files
from vigil.serve.durable import Appended, SessionLog, Store
from vigil.serve.lines import decode


def started(folder: Path, disk: Disk, **config: object) -> tuple[Store, SessionLog, dict[int, str]]:
    """A store with three acknowledged events."""
    store = open_store(folder, files=disk, **config)
    log = store.create(CREATED)
    return store, log, fill(log, 3)


def why(appended: Appended) -> str:
    """The error of an event that will never be safe."""
    return str(appended.durable.exception(20))


RECORD_BYTES = 130
"""More than the line of `note(3)` has."""


def test_d2_a_disk_that_takes_one_byte_at_a_time_takes_all(tmp_path: Path) -> None:
    disk = Disk()
    store, log, acknowledged = started(tmp_path / "log", disk)
    disk.piece = 1
    acknowledged |= fill(log, 5)
    store.close()
    assert after_crash(tmp_path / "log", acknowledged) == []


@pytest.mark.parametrize("room", range(0, RECORD_BYTES, 9))
def test_d2_a_disk_that_is_full_at_any_byte_of_a_record_is_cut_back_and_nothing_is_lost(
    tmp_path: Path, room: int
) -> None:
    disk = Disk()
    store, log, acknowledged = started(tmp_path / "log", disk, waits_for_space=False)
    disk.room = room
    appended = log.append(note(3))
    if (error := appended.durable.exception(20)) is None:
        acknowledged[appended.seq] = appended.entry.json
    else:
        assert f"session {log.id} is read-only: no space left on the device." in str(error)
        assert store.health().state == "failed"
        with pytest.raises(StorageError, match="no space left"):
            log.append(note(4))
    (path,) = tmp_path.rglob("*.log")
    assert all(decode(line) for line in path.read_bytes().splitlines(keepends=True))
    assert problems(acknowledged, log) == []
    store.close()
    assert after_crash(tmp_path / "log", acknowledged) == []


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_d2_a_disk_that_is_full_at_each_byte_of_a_record(tmp_path: Path) -> None:
    for room in range(RECORD_BYTES):
        folder = tmp_path / str(room)
        folder.mkdir()
        test_d2_a_disk_that_is_full_at_any_byte_of_a_record_is_cut_back_and_nothing_is_lost(folder, room)


def test_d2_the_ballast_lets_a_full_disk_take_what_is_open(tmp_path: Path) -> None:
    disk = Disk()
    store, log, acknowledged = started(tmp_path / "log", disk, waits_for_space=False, ballast_bytes=4096)
    assert (tmp_path / "log" / "ballast").stat().st_size == 4096
    disk.room = 10
    acknowledged |= fill(log, 3)
    assert not (tmp_path / "log" / "ballast").exists()
    disk.room = 50_000
    assert store.health().state == "ok"
    assert (tmp_path / "log" / "ballast").stat().st_size == 4096
    store.close()
    assert after_crash(tmp_path / "log", acknowledged) == []


@pytest.mark.parametrize("segment_bytes", [64_000, 1], ids=["in a file", "where a file ends"])
def test_d2_a_server_waits_for_space_and_goes_on_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment_bytes: int
) -> None:
    monkeypatch.setattr(tape, "SPACE_RETRY_S", 0.001)
    disk = Disk()
    store, log, acknowledged = started(tmp_path / "log", disk, segment_bytes=segment_bytes)
    refused = threading.Event()
    disk.before = lambda call: refused.set() if disk.calls.count("truncate") > 3 else None
    disk.room = 60
    waiting = [log.append(note(i)) for i in range(5)]
    assert refused.wait(20)
    assert store.health().state == "full"
    assert log.durable == 4
    with pytest.raises(StorageError, match=r"no new session: no space left"):
        store.create(CREATED)
    disk.room = 100_000
    acknowledged |= {item.durable.result(20): item.entry.json for item in waiting}
    assert store.health().state == "ok"
    store.close()
    assert after_crash(tmp_path / "log", acknowledged) == []


def test_d2_a_server_that_stops_on_a_full_disk_tells_those_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "SPACE_RETRY_S", 0.001)
    disk = Disk()
    store, log, acknowledged = started(tmp_path / "log", disk)
    disk.room = 0
    waiting = [log.append(note(i)) for i in range(70)]
    assert store.close(timeout_s=0.05) is False
    assert {why(item) for item in waiting} == {f"session {log.id} is read-only: no space left on the device."}
    disk.room = None
    assert after_crash(tmp_path / "log", acknowledged) == []


@pytest.mark.parametrize("call", ["write", "datasync"])
def test_d2_an_io_error_makes_the_session_read_only_and_is_never_tried_again(tmp_path: Path, call: str) -> None:
    disk = Disk()
    store, log, acknowledged = started(tmp_path / "log", disk)
    other = store.create(CREATED)
    disk.fails = {call: errno.EIO}
    disk.calls.clear()
    appended = log.append(note(3))
    assert "read-only" in why(appended)
    with pytest.raises(StorageError, match=r"is read-only: .*\. Mend the disk, then start again\."):
        log.append(note(4))
    with pytest.raises(StorageError, match="is read-only"):
        log.flush()
    assert disk.calls.count(call) == 1
    assert log.wait(after=99, timeout_s=20) == log.durable == 4
    assert (store.health().state, store.health().takes_sessions) == ("failed", False)
    disk.fails = {}
    assert fill(other, 2)  # one bad file does not stop the others
    assert problems(acknowledged, log) == []
    store.close()
    disk.lose_power()
    with open_store(tmp_path / "log") as again:
        recovered = {item.log.id: item.log for item in again.recover()}
        assert problems(acknowledged, recovered[log.id]) == []


def test_d2_a_failed_session_is_taken_up_again_once_the_disk_is_mended(tmp_path: Path) -> None:
    disk = Disk()
    store, log, acknowledged = started(tmp_path / "log", disk)
    disk.fails = {"datasync": errno.EIO}
    assert why(log.append(note(3)))
    disk.fails = {}
    again = store.resume(log.id).log
    acknowledged |= fill(again, 2)
    assert problems(acknowledged, again) == []
    assert store.health().state == "ok"
    store.close()


def test_d2_control_a_sync_that_fails_in_silence_is_found_out(tmp_path: Path) -> None:
    class Liar(Disk):
        def datasync(self, fd: int) -> None:
            if "datasync" not in self.fails:
                super().datasync(fd)

    disk = Liar()
    store, log, acknowledged = started(tmp_path / "log", disk)
    disk.fails = {"datasync": errno.EIO}
    acknowledged |= fill(log, 2)
    store.close()
    disk.lose_power()
    assert after_crash(tmp_path / "log", acknowledged) == ["event 5 is lost", "event 6 is lost"]


def test_an_exception_in_the_thread_of_the_log_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda args: died.set())
    store, log, acknowledged = started(tmp_path / "log", disk)

    def breaks(call: str) -> None:
        raise MemoryError

    disk.before = breaks
    waiting = [log.append(note(i)) for i in range(3)]
    assert "MemoryError in its thread" in why(waiting[0])
    assert died.wait(20)
    disk.before = lambda call: None
    with pytest.raises(StorageError, match="MemoryError in its thread"):
        log.append(note(4))
    store.close()
    assert after_crash(tmp_path / "log", acknowledged) == []


# ---- D3: a small file system that fills up -----------------------------------------------------------------------


@pytest.fixture
def eight_mib(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB; needs the right to mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "vigil-test", str(place)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if made.returncode:
        pytest.skip("no right to mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_d3_a_small_disk_that_fills_up_stops_recordings_first_then_sessions_and_never_the_log(
    eight_mib: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "SPACE_RETRY_S", 0.001)
    mib = 1 << 20
    store = open_store(eight_mib / "log", files=Files(), ballast_bytes=mib, low_bytes=4 * mib, critical_bytes=2 * mib)
    old = store.create(CREATED)
    old.append({"type": "session.closed", "reason": "client"}).durable.result(20)
    log = store.create(CREATED)
    acknowledged = fill(log, 3)
    states = [store.health().state]
    recording = (eight_mib / "recording").open("wb", buffering=0)
    while recording.write(bytes(mib // 2)) and store.health().state == "ok":
        pass
    states.append(store.health().state)  # low: this is where recordings stop
    assert store.expire() == [old.id]
    while store.health().state == "low":
        recording.write(bytes(mib // 2))
    states.append(store.health().state)
    with pytest.raises(StorageError, match="no new session: almost no space left"):
        store.create(CREATED)
    filled = 0
    while filled < 8 * mib:  # somebody else takes the rest
        try:
            filled += recording.write(bytes(4096)) or 0
        except OSError:
            break
    acknowledged |= fill(log, 200)
    assert not (eight_mib / "log" / "ballast").exists()
    recording.truncate(0)
    states.append(store.health().state)
    assert states == ["ok", "low", "critical", "ok"]
    store.close()
    recording.close()
    assert after_crash(eight_mib / "log", acknowledged) == []


# ---- D4: a crash at every call, with the unsynced part lost, kept in part, or with holes --------------------------


class Crash(BaseException):
    """The machine stops here."""


def crash_at(folder: Path, call: int, chance: random.Random, *, level: str = "strict") -> tuple[list[str], bool]:
    """Write until system call number `call`, lose power there, and take the log up; also whether it came so far."""
    disk = Disk()
    acknowledged: dict[int, str] = {}
    appended: list[Appended] = []

    def stop(name: str) -> None:
        if len(disk.calls) == call:
            raise Crash

    store = open_store(folder, files=disk, segment_bytes=700, level=level)
    log = store.create(CREATED)
    disk.calls.clear()
    disk.before = stop
    try:
        for i in range(12):
            appended.append(log.append(note(i)))
            appended[-1].durable.exception(20)
    except StorageError:
        pass
    acknowledged |= {a.durable.result(): a.entry.json for a in appended if not a.durable.exception(20)}
    has_crashed = len(disk.calls) >= call
    disk.before = lambda name: None
    store.close()
    disk.lose_power(chance)
    return after_crash(folder, acknowledged), has_crashed


def test_d4_a_power_cut_at_any_system_call_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    chance, call, has_crashed = random.Random(11), 0, True
    while has_crashed:
        call += 1
        found, has_crashed = crash_at(tmp_path / str(call), call, chance)
        assert found == [], f"power cut at call {call}"
    assert call > 40


def test_d4_control_showing_events_before_their_sync_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    chance = random.Random(11)
    found = [crash_at(tmp_path / str(call), call, chance, level="process")[0] for call in range(1, 10)]
    assert any(found)
