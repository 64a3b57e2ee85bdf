"""C6 and L5: clocks that jump change nothing; what is too old goes, exactly, and whoever asks for it is told so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from durable_fakes import CREATED, Disk, Time, fill, note, open_store, problems

from vigil.serve.disk import Clock
from vigil.serve.durable import Entry, Gap, SessionLog, Store
from vigil.serve.segments import segment_numbers

HOUR, DAY = 3600.0, 86_400.0
EXPIRE_S = 1200.0
"""How often what is too old is removed."""


def closed(store: Store, name: str) -> SessionLog:
    log = store.create(CREATED, session_id=name)
    log.append({"type": "session.closed", "reason": "client"}).durable.result(20)
    return log


def jumps(folder: Path, time: Time, clock: Clock, jump_s: float) -> list[str]:
    """What a jump of the wall clock breaks."""
    store = Store(folder, open_store(None).config, clock=clock)
    log = store.create(CREATED, session_id="open")
    closed(store, "done")
    acknowledged = fill(log, 5)
    time.pass_s(10.0)
    time.wall_s += jump_s
    found = [f"{name} expired" for name in store.expire()]
    acknowledged |= fill(log, 5)
    found += problems(acknowledged, log)
    times = [item.event["t_mono"] for item in log.replay(after=0) if isinstance(item, Entry)]
    found += ["t_mono went back"] if times != sorted(times) else []
    found += ["t_mono jumped"] if times[-1] > 100 else []
    store.close()
    return found


@pytest.mark.parametrize("jump_s", [HOUR, -HOUR, -10 * 365 * DAY, 10 * 365 * DAY, -HOUR / 2])
def test_c6_a_wall_clock_that_jumps_expires_nothing_and_reorders_nothing(tmp_path: Path, jump_s: float) -> None:
    time = Time()
    assert jumps(tmp_path / "log", time, time.clock(), jump_s) == []


def test_c6_control_ages_on_the_wall_clock_are_found_out(tmp_path: Path) -> None:
    time = Time()
    assert jumps(tmp_path / "log", time, Clock(lambda: time.wall_s, lambda: time.wall_s), 10 * 365 * DAY) == [
        "done expired",
        "t_mono jumped",
    ]


def test_a_session_goes_once_its_last_event_is_older_than_it_is_kept(tmp_path: Path) -> None:
    time = Time()
    with open_store(tmp_path / "log", time=time) as store:
        closed(store, "a")
        time.pass_s(DAY)
        assert store.expire() == []
        time.pass_s(1.0)
        assert store.expire() == ["a"]
        assert store.get("a") is None


def test_sessions_of_an_earlier_process_age_by_the_time_between(tmp_path: Path) -> None:
    time = Time()
    with open_store(tmp_path / "log", time=time) as store:
        closed(store, "a")
        fill(store.create(CREATED, session_id="broke-off"), 3)
        store.create(CREATED, session_id="for-ever", keep_s=10 * DAY)
    time.pass_s(DAY / 2)
    with open_store(tmp_path / "log", time=time) as store:
        assert store.expire() == []
        time.mono_s += DAY / 2 + 1
        assert store.expire() == ["a", "broke-off"]
        assert store.ids() == ["for-ever"]


def test_a_session_at_rest_holds_no_file_ages_and_can_be_taken_up_again(tmp_path: Path) -> None:
    time = Time()
    with open_store(tmp_path / "log", time=time) as store:
        for name in ("comes-back", "stays-away"):
            fill(store.create(CREATED, session_id=name), 3)
            store.rest(name)
        held = [Path(f"/proc/self/fd/{fd}").resolve() for fd in os.listdir("/proc/self/fd")]  # noqa: PTH208
        assert not any(path.is_relative_to(tmp_path / "log" / "sessions") for path in held)
        log = store.resume("comes-back").log
        assert problems(fill(log, 2, start=3), log) == []
        time.pass_s(DAY + 1.0)
        fill(log, 1)
        assert store.expire() == ["stays-away"]


def test_without_a_limit_nothing_ever_goes(tmp_path: Path) -> None:
    time = Time()
    with open_store(tmp_path / "log", time=time, keep_s=None) as store:
        closed(store, "a")
        time.pass_s(1000 * DAY)
        assert store.expire() == []


def test_closed_sessions_of_level_off_go_as_well() -> None:
    time = Time()
    with open_store(None, time=time) as store:
        closed(store, "a")
        store.create(CREATED, session_id="b")
        assert store.expire() == ["a"]
        assert store.ids() == ["b"]


def test_little_space_takes_the_oldest_closed_sessions_and_never_those_kept_for_ever(tmp_path: Path) -> None:
    time, disk = Time(), Disk()
    with open_store(tmp_path / "log", time=time, files=disk, low_bytes=5000) as store:
        for name in ("first", "second", "third"):
            closed(store, name)
            time.pass_s(1.0)
        store.create(CREATED, session_id="open")
        disk.room = 4000
        assert store.health().state == "low"
        assert store.expire() == ["first", "second"]
        assert store.health().state == "ok"
    with open_store(tmp_path / "kept", time=time, files=disk, low_bytes=1 << 30, keep_s=None) as store:
        closed(store, "a")
        assert store.expire() == []


def days(folder: Path, num_days: int, *, every_s: float, segment_bytes: int) -> None:
    """Live for days; what is too old goes, and the log is what it has to be."""
    time = Time()
    with open_store(folder, time=time, level="process", segment_bytes=segment_bytes, recent_events=1) as store:
        log = store.create(CREATED, session_id="a")
        path, written = folder / "sessions" / "a", {1: 0.0}
        for _ in range(int(num_days * DAY / EXPIRE_S)):
            for i in range(int(EXPIRE_S / every_s)):
                time.pass_s(every_s)
                appended = log.append(note(i))
                written[appended.seq] = appended.entry.event["t_mono"]
            log.flush(20)
            store.expire()
            first = next(item for item in log.replay(after=0) if isinstance(item, Entry))
            oldest_s = log.now() - written[first.seq]
            kept_s = min(DAY, log.now())
            assert kept_s - 1e-6 <= oldest_s <= kept_s + HOUR + EXPIRE_S + 2 * every_s
        numbers = segment_numbers(path)
        assert numbers[0] > 1 or num_days <= 1
        assert len(numbers) <= 30
        head = log.durable
        items = list(log.replay(after=10))
        assert items[0] == Gap(11, first.seq - 1, "retention")
        assert [item.seq for item in items[1:] if isinstance(item, Entry)] == list(range(first.seq, head + 1))


def test_l5_three_days_of_log_keep_one_day_exactly(tmp_path: Path) -> None:
    days(tmp_path / "log", 3, every_s=60.0, segment_bytes=1 << 20)


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_l5_thirty_days_of_log_keep_one_day_exactly(tmp_path: Path) -> None:
    """At one event per 30 s instead of ten per second, so that it takes seconds and not an hour."""
    days(tmp_path / "log", 30, every_s=30.0, segment_bytes=1 << 20)
