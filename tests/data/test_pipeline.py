"""Captions in, checked records out: the same file whatever the workers, and after any interruption."""

from __future__ import annotations

import importlib.util
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.scenes import object_film
from vigil.data.chunks import Parts, in_chunks, write_atomically
from vigil.data.pipeline import (
    Chunk,
    ChunkResult,
    PipelineConfig,
    make_records,
    run_chunk,
    run_ray,
    run_workers,
    with_other_events,
)
from vigil.data.records import Record, read_records
from vigil.data.synthesize import SynthConfig, synthesize
from vigil.errors import ConfigError, DataError, OutputError
from vigil.types import Caption, DenseCaptions

FILMS = [object_film(seed) for seed in range(10)]
CONFIG = PipelineConfig(chunk_videos=3, seed=5)


def make(out: Path, config: PipelineConfig = CONFIG, **more: object) -> Counter[str]:
    return make_records(FILMS, out, config, source="films", **more)  # type: ignore[arg-type]


def test_items_are_numbered_off_in_order() -> None:
    assert list(in_chunks("abcdefg", 3)) == [(0, ["a", "b", "c"]), (1, ["d", "e", "f"]), (2, ["g"])]


def test_the_file_holds_checked_records_and_the_counts_add_up(tmp_path: Path) -> None:
    counts = make(tmp_path / "out.jsonl")
    records = list(read_records(tmp_path / "out.jsonl"))
    assert counts["videos"] == 10
    assert counts["records"] == len(records) > 30
    assert not list(tmp_path.glob("out.jsonl.*"))


def test_two_processes_give_the_same_file_as_one(tmp_path: Path) -> None:
    make(tmp_path / "one.jsonl")
    make(tmp_path / "two.jsonl", replace(CONFIG, workers=2))
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_the_size_of_chunks_changes_nothing(tmp_path: Path) -> None:
    make(tmp_path / "one.jsonl")
    make(tmp_path / "two.jsonl", replace(CONFIG, chunk_videos=7))
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    make(tmp_path / "whole.jsonl")
    done: list[int] = []

    def stopping(chunks: Iterator[Chunk], config: PipelineConfig) -> Iterator[ChunkResult]:
        for result in run_workers(chunks, config):
            if result.number == 2:
                raise KeyboardInterrupt
            yield result

    def note(result: ChunkResult) -> None:
        done.append(result.number)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out.jsonl", run=stopping, on_chunk=note)
    assert not (tmp_path / "out.jsonl").exists()
    assert done == [0, 1]
    counts = make(tmp_path / "out.jsonl", on_chunk=note)
    assert done == [0, 1, 2, 3]
    assert counts["videos"] == 10
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_parts_of_another_run_are_never_joined(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.jsonl", {"seed": 1})
    parts.commit(0, ["{}"], Counter(records=1))
    with pytest.raises(DataError, match=r"out.jsonl.parts holds the unfinished parts of a run with other settings"):
        Parts(tmp_path / "out.jsonl", {"seed": 2})
    assert Parts(tmp_path / "out.jsonl", {"seed": 1}).done == {0}


def test_a_half_written_chunk_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.jsonl", {})
    (parts.folder / "00000000.jsonl.partial").write_text("half", encoding="utf-8")
    assert Parts(tmp_path / "out.jsonl", {}).done == set()
    write_atomically(tmp_path / "a", "new")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a", "out.jsonl.parts"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"out.jsonl.parts cannot be written"):
        Parts(tmp_path / "file" / "out.jsonl", {})


def test_a_record_that_breaks_a_rule_is_rejected_and_counted() -> None:
    def late(captions: DenseCaptions, rng: random.Random) -> list[Record]:
        good, *_ = (r for r in synthesize(captions, rng=rng) if not r.offline and r.turns[1].replies)
        turn = good.turns[1]
        empty = replace(turn, replies=(replace(turn.replies[0], text=" "), *turn.replies[1:]))
        return [good, replace(good, turns=(good.turns[0], empty, *good.turns[2:]))]

    result = run_chunk((0, FILMS[:2]), CONFIG, write=late)
    assert result.counts == {"videos": 2, "records": 2, "rejected shape": 2}
    assert len(result.lines) == 2


def test_the_moss_form_has_no_offline_records() -> None:
    result = run_chunk((0, FILMS[:3]), replace(CONFIG, form="moss", synth=SynthConfig(records_per_video=6)))
    assert result.counts["left out offline"] > 0
    assert len(result.lines) == result.counts["records"]
    assert all("messages" in json.loads(line) for line in result.lines)


def test_events_of_other_videos_come_from_captions_without_facts() -> None:
    told = DenseCaptions(id="t", duration_s=9.0, captions=(Caption(start_s=1.0, end_s=2.0, text="A man sings."),))
    assert with_other_events(SynthConfig(), [told, FILMS[0]], 0).other_events == ("A man sings.",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"workers": 0}, "workers and chunk_videos must be 1 or more, got 0, 64"),
        ({"form": "csv"}, "form must be"),
        ({"form": "moss", "synth": SynthConfig(fps=2.0)}, "the moss form has 1 frame per second, got fps 2.0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PipelineConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (extra scale)")
@pytest.mark.filterwarnings("ignore")  # Ray warns about its own settings
def test_ray_gives_the_same_file(tmp_path: Path) -> None:
    make(tmp_path / "one.jsonl")
    make(tmp_path / "ray.jsonl", run=run_ray)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "ray.jsonl").read_bytes()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'vigil-video\[scale\]'"):
        next(run_ray(iter([]), CONFIG))
