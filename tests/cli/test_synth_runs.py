"""`vigil synth` run by run: what a flag changes in the file, what is told of faults, and a run that is stopped."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vigil.cli import main, synth
from vigil.data import pipeline
from vigil.data.pipeline import ChunkResult
from vigil.data.records import read_records

CAPTIONS = Path(__file__).parents[1] / "data" / "examples" / "talk.vtt"


def made(out: Path, *words: str) -> list[dict[str, Any]]:
    assert main(["synth", "world:train:0-5", "--out", str(out), *words]) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


# ---- flags ----------------------------------------------------------------------------------------------------------


def test_there_are_as_many_conversations_of_a_video_as_are_wanted(tmp_path: Path) -> None:
    one, three = (made(tmp_path / f"{num}.jsonl", "--per-video", str(num)) for num in (1, 3))
    assert max(Counter(record["video"] for record in one).values()) == 1
    assert max(Counter(record["video"] for record in three).values()) == 3
    assert len(one) < len(three)


def test_the_rate_of_frames_is_that_of_the_records(tmp_path: Path) -> None:
    assert {record.get("fps", 1.0) for record in made(tmp_path / "a.jsonl")} == {1.0}
    fast = made(tmp_path / "b.jsonl", "--fps", "2")
    assert {record["fps"] for record in fast} == {2.0}
    times = [reply["time_s"] for record in fast for turn in record["turns"] for reply in turn["replies"]]
    assert any(time_s % 0.5 for time_s in times), "decisions come twice as often"


def test_the_released_form_has_one_frame_a_second(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["synth", "world:train:0", "--out", str(tmp_path / "x"), "--format", "moss", "--fps", "2"]
    assert main(words) == 2
    assert "the moss form has 1 frame per second, got fps 2.0" in capsys.readouterr().err


def test_what_was_made_is_told_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = made(tmp_path / "x.jsonl")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{tmp_path / 'x.jsonl'}: {len(records)} records of 6 videos in ")


@pytest.mark.parametrize("name", ["x.jsonl", "deep/er/x.jsonl"])
def test_the_folder_of_a_file_is_made(name: str, tmp_path: Path) -> None:
    assert made(tmp_path / name)


def test_an_answering_model_has_a_cache_beside_the_file_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str, Path]] = []

    class Writer:
        def __init__(self, config: Any, settings: Any) -> None:
            seen.append((config.url, config.model, config.cache))

        def run(self, chunks: Any, config: Any) -> Any:
            return pipeline.run_workers(chunks, config)

    monkeypatch.setattr("vigil.data.llm.LlmWriter", Writer)
    llm = ["--llm", "http://h/v1", "--model", "m"]
    made(tmp_path / "a.jsonl", *llm)
    made(tmp_path / "b.jsonl", *llm, "--cache", str(tmp_path / "kept"))
    assert seen == [
        ("http://h/v1", "m", tmp_path / "a.jsonl.cache"),
        ("http://h/v1", "m", tmp_path / "kept"),
    ]


# ---- a run that is stopped ------------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_goes_on_where_it_was_and_gives_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        pipeline.PipelineConfig, "__post_init__", lambda self: object.__setattr__(self, "chunk_videos", 2)
    )
    whole = tmp_path / "whole.jsonl"
    made(whole)
    capsys.readouterr()
    ran: list[int] = []
    run_chunk = pipeline.run_chunk

    def stopped(chunk: Any, config: Any) -> ChunkResult:
        ran.append(chunk[0])
        if ran == [0, 1]:
            raise KeyboardInterrupt
        return run_chunk(chunk, config)

    monkeypatch.setattr(pipeline, "run_chunk", stopped)
    part = tmp_path / "part.jsonl"
    words = ["synth", "world:train:0-5", "--out", str(part)]
    assert main(words) == 130
    assert "vigil: stopped; run the same command again to go on." in capsys.readouterr().err
    assert not part.exists(), "a part of a file is none"
    assert main(words) == 0
    assert ran == [0, 1, 1, 2], "what was done is not done again"
    assert part.read_bytes() == whole.read_bytes()
    assert "records of 6 videos" in capsys.readouterr().err


def test_another_run_may_not_go_on_in_the_parts_of_a_stopped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(chunk: Any, config: Any) -> ChunkResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run_chunk", stop)
    words = ["synth", "world:train:0-5", "--out", str(tmp_path / "x.jsonl")]
    assert main(words) == 130
    monkeypatch.undo()
    capsys.readouterr()
    assert main([*words, "--seed", "9"]) == 7
    assert capsys.readouterr().err.count("\n") == 1
    assert main(words) == 0


# ---- checks ---------------------------------------------------------------------------------------------------------


def test_a_long_list_of_faults_is_cut_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "x.jsonl")
    with (tmp_path / "x.jsonl").open("a") as file:
        file.write("{\n" * 25)
    capsys.readouterr()
    assert main(["synth", "check", str(tmp_path / "x.jsonl")]) == 7
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 21
    assert out.splitlines()[-1] == "... and 5 more"
    assert "shape 25" in err.splitlines()[0]
    assert err.splitlines()[-1] == "vigil: x.jsonl has 25 faults. They are listed above."


def test_records_of_a_film_are_checked_in_shape_alone_unless_their_captions_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.jsonl"
    assert main(["synth", str(CAPTIONS), "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["synth", "check", str(out)]) == 0
    assert "records checked in shape and rate only (no --captions) in" in capsys.readouterr().err
    assert main(["synth", "check", str(out), "--captions", str(CAPTIONS), "--report", str(tmp_path / "report")]) == 0
    err = capsys.readouterr().err
    assert f"{len(list(read_records(out)))} records checked against their captions in" in err
    assert "no fault" in err
    assert json.loads((tmp_path / "report" / "report.json").read_text())
    assert f"report: {tmp_path / 'report'}" in err


def test_a_bar_on_a_terminal_counts_videos_records_and_what_was_rejected() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    with synth._Progress(screen) as progress:
        for number in range(2):
            counts = Counter({"videos": 600, "records": 2000, "rejected: late": 3, "rejected: shape": 1})
            progress.add(ChunkResult(number, [], counts))
    assert "1,200 videos, 4,000 records (" in screen.getvalue()
    assert "8 rejected" in screen.getvalue()
    quiet = io.StringIO()
    with synth._Progress(quiet) as progress:
        progress.add(ChunkResult(0, [], Counter(videos=1, records=1)))
    assert quiet.getvalue() == "", "where there is no terminal nothing is drawn"
