"""What a run keeps on disk, part by part: the rest of a source, the lines of `--out`, and the rows of its log."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import Script, traffic_light

from vigil.cli import logged
from vigil.cli.logged import TOTALS_S, Recorder, newer_questions
from vigil.cli.options import Options
from vigil.cli.parser import Question
from vigil.cli.recorded import OutFile, Rest, Start, recorded
from vigil.cli.subtitles import write_whole
from vigil.config import StreamConfig
from vigil.errors import ConfigError, OutputError
from vigil.serve.durable import SessionLog, Store, StoreConfig
from vigil.serve.segments import read_events
from vigil.stream.source import Source, open_source
from vigil.types import Back, Event, Lost, event_to_json

IMAGE = np.zeros((4, 4, 3), dtype=np.uint8)
AT = {"seq": 1, "wall_s": 0.0, "frame": 3}


def source_of(*times_s: float) -> Source:
    return open_source([(IMAGE, time_s) for time_s in times_s], fps=1.0)


# ---- the rest of a source -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after_s", "left"),
    [(0.0, [1.0, 2.0, 3.0]), (1.0, [1.0, 2.0]), (1.5, [0.5, 1.5]), (3.0, []), (99.0, [])],
)
def test_the_rest_is_what_comes_after_and_counts_from_there(after_s: float, left: list[float]) -> None:
    with Rest(source_of(0.0, 1.0, 2.0, 3.0), after_s) as rest:
        assert [frame.time_s for frame in rest] == left


class Watched(Source):
    """A source of ten seconds that notes whether it was closed."""

    def __init__(self, duration_s: float | None) -> None:
        self.name, self.fps, self.warnings, self.duration_s = "clip", 2.0, ["dust"], duration_s
        self.is_closed = False

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(("whole_s", "after_s", "left_s"), [(10.0, 4.0, 6.0), (10.0, 12.0, 0.0), (None, 4.0, None)])
def test_the_rest_is_as_long_as_what_is_left_and_is_the_same_source_otherwise(
    whole_s: float | None, after_s: float, left_s: float | None
) -> None:
    source = Watched(whole_s)
    with Rest(source, after_s) as rest:
        assert rest.duration_s == left_s
        assert (rest.name, rest.fps, rest.warnings) == ("clip", 2.0, ["dust"])
        assert not source.is_closed
    assert source.is_closed


@pytest.mark.parametrize(
    ("given", "after_s", "asked", "expected"),
    [
        ((), 5.0, [], []),
        ((Question("a"),), 0.0, [], [Question("a")]),
        ((Question("a"),), 5.0, [{"text": "a"}], [Question("a")]),
        ((Question("a", standing=True),), 5.0, [{"text": "a", "standing": True}], [Question("a", standing=True)]),
        ((Question("a"), Question("b", at_s=3.0)), 5.0, [{"text": "a"}, {"text": "b"}], [Question("b")]),
        ((Question("b", at_s=7.0),), 5.0, [{"text": "a"}], [Question("a"), Question("b", at_s=2.0)]),
        ((Question("new"),), 5.0, [{"text": "a"}], [Question("new")]),
        ((Question("a", at_s=9.0),), 5.0, [{"text": "a"}], [Question("a"), Question("a", at_s=4.0)]),
    ],
    ids=["none", "first run", "open", "standing", "the last one", "one to come", "a new one", "again later"],
)
def test_a_resumed_run_asks_what_is_new_or_else_what_was_open(
    given: tuple[Question, ...], after_s: float, asked: list[dict[str, Any]], expected: list[Question]
) -> None:
    assert newer_questions(given, after_s=after_s, asked=asked) == expected


def test_every_time_and_number_of_an_event_is_shifted_and_nothing_else() -> None:
    start = Start(time_s=10.0, frames=5, answers=2, turns=1)
    script = Script().silence(1.0, 3.0).dropped(4.0, 2).spoken(5.0, "A cat.", answer=1).ended(7.0)
    for event in script.events:
        before, after = event_to_json(event), event_to_json(start.shift(event))
        moved = {name: after[name] - before[name] for name in before if before[name] != after[name]}
        expected = {"t": 10.0, "first_s": 10.0, "last_s": 10.0, "frame": 5, "answer": 2}
        assert moved == {name: value for name, value in expected.items() if name in before}
        assert start.shift(event).seq == event.seq


# ---- --out ----------------------------------------------------------------------------------------------------------


def test_out_of_a_finite_source_is_written_when_it_is_finished(tmp_path: Path) -> None:
    out = OutFile(tmp_path / "x.jsonl", is_live=False)
    out.add("one")
    assert list(tmp_path.iterdir()) == []
    out.add("two")
    out.finish()
    out.close()
    assert (tmp_path / "x.jsonl").read_text() == "one\ntwo\n"


def test_out_of_a_live_source_that_cannot_be_opened_or_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match=r"cannot be written: Is a directory\. Choose another --out\."):
        OutFile(tmp_path, is_live=True)
    out = OutFile(tmp_path / "x.jsonl", is_live=True)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(OutputError, match=r"x\.jsonl cannot be written: No space left on device"):
        out.add("one")
    out.close()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EROFS])
def test_what_has_nothing_to_sync_is_written_all_the_same(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(descriptor: int) -> None:
        raise OSError(number, "Invalid argument")

    monkeypatch.setattr(os, "fdatasync", cannot)
    out = OutFile(tmp_path / "pipe", is_live=True)
    out.add("one ✓")
    out.close()
    assert (tmp_path / "pipe").read_text(encoding="utf-8") == "one ✓\n"


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    target, link = tmp_path / "target.srt", tmp_path / "link.srt"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, ["a", "b"])
    assert os.read(reader, 99) == b"ab"
    os.close(reader)
    assert pipe.is_fifo()


# ---- nothing to keep ------------------------------------------------------------------------------------------------


def test_a_run_that_keeps_nothing_hands_everything_on_as_it_is() -> None:
    options = Options(source="x")
    with recorded(options) as kept:
        source = source_of(0.0)
        assert kept.rest_of(source, options) is source
        assert kept.options is options
        trace: list[str] = []
        assert kept.trace(lambda kind, **fields: trace.append(kind)) is not None
        kept.begin(source, options)
        assert list(kept.keep(iter(traffic_light()))) == traffic_light()


@pytest.mark.parametrize(
    ("reason", "is_there"), [("eof", True), ("closed", True), ("interrupted", True), ("error", False)]
)
def test_out_is_there_unless_the_run_failed(reason: str, is_there: bool, tmp_path: Path) -> None:
    options = Options(source="x", out=tmp_path / "x.jsonl")
    with recorded(options) as kept:
        source = source_of(0.0)
        kept.rest_of(source, options)
        kept.begin(source, options)
        list(kept.keep(iter(Script().ask(0.0, "Who?").ended(1.0, reason=reason).events)))
    assert (tmp_path / "x.jsonl").exists() is is_there
    if is_there:
        rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
        assert [row["event"] for row in rows] == ["ask", "ended"]
        assert {row["source"] for row in rows} == {source.name}


def test_a_session_that_goes_on_needs_its_folder() -> None:
    with pytest.raises(ConfigError, match="--resume needs --log DIR"), recorded(Options(source="x", resume="abc")):
        pytest.fail("it was opened")


# ---- the log --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path, StoreConfig(group_s=0.0, ballast_bytes=0, waits_for_space=False)) as store:
        yield store


def folder_of(store: Store, log: SessionLog) -> Path:
    assert store.folder is not None
    return store.folder / "sessions" / log.id


def rows_of(store: Store, log: SessionLog) -> list[dict[str, Any]]:
    items = read_events(folder_of(store, log), after=0, upto=10**9)
    return [item.event for item in items if hasattr(item, "event")]


def begun(store: Store, address: str = "clip.mp4", *questions: Question) -> SessionLog:
    stream = StreamConfig(fps=2.0, tokens_per_s=4.0)
    options = Options(source=address, questions=questions, stream=stream, threshold=0.5, model="tiny")
    return logged.begin(store, source_of(0.0), options)


def test_a_session_begins_with_what_runs_and_keeps_its_source_from_readers(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = begun(store, "clip.mp4", Question("Who?", at_s=2.0, standing=True))
    created, opened, turn = rows_of(store, log)
    assert (created["type"], created["model"]) == ("session.created", "tiny")
    assert created["policy"] == {"threshold": 0.5, "fps": 2.0, "tokens_per_s": 4.0}
    assert (opened["kind"], opened["stream_epoch"], opened["source"]) == ("file", 1, 0)
    assert (turn["turn"], turn["cause"]) == (0, "open")
    assert log.head.private == {
        "source": str(tmp_path / "clip.mp4"),
        "questions": [{"text": "Who?", "at_s": 2.0, "standing": True}],
    }
    assert "clip.mp4" not in json.dumps(rows_of(store, log))


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("camera:0", "camera:0"),
        ("rtsp://10.0.0.7/stream", "rtsp://10.0.0.7/stream"),
        ("rtsp://me:secret@10.0.0.7/stream", None),
        ("http://10.0.0.7/stream?token=secret", None),
    ],
)
def test_an_address_is_kept_unless_it_holds_a_secret(address: str, kept: str | None, store: Store) -> None:
    log = begun(store, address)
    assert log.head.private["source"] == kept
    assert b"secret" not in b"".join(path.read_bytes() for path in folder_of(store, log).iterdir() if path.is_file())
    if kept is None:
        with pytest.raises(ConfigError, match=r"or its address held a password\. Give SOURCE"):
            logged.resumed(Options(), log)
    else:
        assert logged.resumed(Options(), log)[0].source == address


def test_a_source_and_questions_of_the_command_line_go_before_those_of_the_log(store: Store) -> None:
    log = begun(store, "camera:0", Question("kept"))
    options, start = logged.resumed(Options(source="camera:1", questions=(Question("given"),)), log)
    assert (options.source, options.questions) == ("camera:1", (Question("given"),))
    assert logged.resumed(Options(), log)[0].questions == (Question("kept"),)
    assert start == Start()


def recorded_rows(store: Store, events: list[Event], *, frames: int = 0, start: Start | None = None) -> list[Any]:
    """What a recorder adds to a log for these events, after so many frames of one second."""
    log = begun(store)
    recorder = Recorder(log, start or Start())
    for index in range(frames):
        recorder.trace("frame", i=index, t=float(index), w=float(index))
        recorder.trace("ready", i=index, t=float(index), w=float(index))
    for event in events:
        recorder.record(event)
    return rows_of(store, log)[3:]


def test_losses_and_returns_of_a_live_source_are_rows(store: Store) -> None:
    lost = Lost(**AT, time_s=3.0, cause="frozen", attempt=2, retry_in_s=0.5)  # type: ignore[arg-type]
    back = Back(**AT, time_s=5.0, epoch=2, cause="reconnect", gap_s=2.0)  # type: ignore[arg-type]
    first, second = recorded_rows(store, [lost, back])
    assert (first["type"], first["cause"], first["attempt"], first["retry_in_s"]) == ("source.lost", "frozen", 2, 0.5)
    assert (second["type"], second["stream_epoch"], second["gap_s"]) == ("source.discontinuity", 2, 2.0)


def test_frames_are_counted_every_ten_seconds_and_at_the_end(store: Store) -> None:
    script = Script().silence(0.0, 4.0).silence(5.0, TOTALS_S).silence(11.0, 12.0).dropped(13.0, 3)
    rows = recorded_rows(store, script.ended(14.0, reason="closed", dropped=3).events, frames=6)
    totals = [row for row in rows if row["type"] == "input.frames.total"]
    assert [(row["received"], row["perceived"], row["dropped"]) for row in totals] == [(6, 6, {}), (9, 6, {"queue": 3})]
    assert totals[-1]["newest_ts"] == 5.0
    assert rows[-1]["type"] == "input.frames.total", "a session that was interrupted can go on, so it is not closed"
    (dropped,) = [row for row in rows if row["type"] == "input.frames.dropped"]
    assert (dropped["first_ts"], dropped["last_ts"], dropped["count"], dropped["reason"]) == (12.0, 13.0, 3, "queue")


def test_an_answer_names_the_newest_frame_and_its_age(store: Store) -> None:
    rows = recorded_rows(store, Script().ask(0.0, "Who?").spoken(5.5, "A cat.").events, frames=6)
    (started,) = [row for row in rows if row["type"] == "answer.started"]
    assert started["evidence"]["ts"] == 5.0
    assert started["evidence"]["lag_ms"] == 500.0
    (done,) = [row for row in rows if row["type"] == "answer.done"]
    assert (done["evidence"]["lag_ms"], done["tokens"]) == (1500.0, None)


def test_a_run_that_goes_on_counts_from_where_it_was(store: Store) -> None:
    start = Start(time_s=20.0, frames=21, answers=4, turns=2)
    script = Script().ask(0.0, "Who?").spoken(1.0, "A cat.").ended(2.0)
    rows = recorded_rows(store, script.events, frames=2, start=start)
    by_type = {row["type"]: row for row in rows}
    assert by_type["input.text.accepted"]["turn"] == 3
    assert by_type["answer.done"]["answer_id"] == 5
    assert by_type["answer.done"]["evidence"]["ts"] == 21.0
    assert by_type["input.frames.total"]["received"] == 23
    assert by_type["input.frames.total"]["newest_ts"] == 21.0
    assert by_type["source.ended"]["last_ts"] == 22.0
    assert by_type["session.closed"]["usage"]["frames"]["received"] == 23
