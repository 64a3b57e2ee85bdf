"""L4, L6 and L1 where they concern the log: a session of any length costs the same, and its fold is its state."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest
from durable_fakes import CREATED, open_store

from vigil.serve.durable import Entry, SessionLog
from vigil.serve.state import State


def answers(log: SessionLog, count: int, revisions: int) -> None:
    """Answers that are revised again and again."""
    for answer_id in range(1, count + 1):
        log.append({"type": "input.text.accepted", "turn": answer_id, "text": "And now?"}, by=("c", answer_id))
        log.append({"type": "answer.started", "answer_id": answer_id, "turn": answer_id, "rev": 1})
        for rev in range(1, revisions + 1):
            if rev > 1:
                log.append({"type": "answer.revised", "answer_id": answer_id, "rev": rev, "supersedes": rev - 1})
            log.append({"type": "answer.delta", "answer_id": answer_id, "rev": rev, "i": 0, "text": f"{rev} cats"})
            is_last = answer_id == count and rev == revisions
            status = "final" if rev == revisions else "superseded"
            if not is_last:
                log.append({"type": "answer.done", "answer_id": answer_id, "rev": rev, "status": status, "text": "x"})
    log.flush(60)


def fold_is_state(folder: Path, count: int, revisions: int) -> None:
    with open_store(folder, level="process", segment_bytes=200_000) as store:
        log = store.create(CREATED)
        answers(log, count, revisions)
        live = log.state.digest()
        folded = State()
        for item in log.replay(after=0):
            assert isinstance(item, Entry)
            folded.apply(item.event)
        assert folded.digest() == live
        assert list(log.state.open) == [str(count)]
    with open_store(folder) as store:
        scanned = store.get(log.id)
        assert scanned is not None
        assert scanned.state.digest() == live  # from the newest file alone
        (recovered,) = store.recover()
        assert recovered.interrupted == ({"answer_id": count, "rev": revisions},)


def test_l6_the_fold_of_the_log_is_the_live_state(tmp_path: Path) -> None:
    fold_is_state(tmp_path / "log", 20, 10)


@pytest.mark.tier_p
@pytest.mark.timeout(900)
def test_l6_a_thousand_answers_with_fifty_revisions_each(tmp_path: Path) -> None:
    """A tenth of the catalogue's answers: 150,000 events."""
    fold_is_state(tmp_path / "log", 1000, 50)


def test_l6_control_a_fold_that_forgets_one_event_is_found_out(tmp_path: Path) -> None:
    with open_store(tmp_path / "log") as store:
        log = store.create(CREATED)
        answers(log, 2, 2)
        folded = State()
        for item in log.replay(after=0):
            assert isinstance(item, Entry)
            if item.seq != 5:
                folded.apply(item.event)
        assert folded.digest() != log.state.digest()


def test_l4_a_log_that_grows_holds_no_more_memory_and_no_more_files(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", level="process", segment_bytes=50_000, recent_events=64) as store:
        log = store.create(CREATED)

        def grow(count: int) -> tuple[int, int]:
            for i in range(count):
                log.append({"type": "note", "i": i, "text": "x" * 100})
            log.flush(60)
            gc.collect()
            return tracemalloc.get_traced_memory()[0], len(list(Path("/proc/self/fd").iterdir()))

        tracemalloc.start()
        try:
            grow(600)
            before, fds = grow(10)
            after, fds_after = grow(1500)
        finally:
            tracemalloc.stop()
        assert after - before < 60_000
        assert fds_after == fds


def test_sessions_that_come_and_go_leave_no_file_open(tmp_path: Path) -> None:
    with open_store(tmp_path / "log", level="process") as store:
        fds = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(30):
            log = store.create(CREATED)
            log.append({"type": "session.closed", "reason": "client"}).durable.result(20)
        assert len(list(Path("/proc/self/fd").iterdir())) == fds
        store.expire()
        assert len(store._logs) == 0
