"""Work in chunks: all of it arrives in order, a chunk is there whole or not at all, and two runs are never mixed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.data import chunks
from vigil.data.chunks import Parts, in_chunks, write_atomically
from vigil.errors import DataError, OutputError


@given(length=st.integers(0, 30), size=st.integers(1, 7))
def test_chunks_hold_every_item_once_in_order(length: int, size: int) -> None:
    numbered = list(in_chunks(range(length), size))
    assert [number for number, _ in numbered] == list(range(-(-length // size)))
    assert [item for _, chunk in numbered for item in chunk] == list(range(length))
    assert all(len(chunk) == size for _, chunk in numbered[:-1])


def test_no_item_is_taken_before_its_chunk_is_asked_for() -> None:
    taken: list[int] = []
    source = (taken.append(i) or i for i in range(10))  # type: ignore[func-returns-value]
    chunks_of_3 = in_chunks(source, 3)
    next(chunks_of_3)
    assert taken == [0, 1, 2]


def commit(parts: Parts, number: int, *lines: str, **counts: int) -> None:
    parts.commit(number, lines, Counter(counts))


def test_chunks_are_joined_in_order_whatever_the_order_they_came_in(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.jsonl", {"seed": 1})
    commit(parts, 10, "k", kept=1)
    commit(parts, 2, "c", "d", kept=2, rejected=1)
    commit(parts, 0)
    counts = parts.finish()
    assert (tmp_path / "out.jsonl").read_text() == "c\nd\nk\n"
    assert counts == {"kept": 3, "rejected": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"], "the parts are gone"


def test_a_run_is_taken_up_after_the_chunks_that_are_there(tmp_path: Path) -> None:
    commit(Parts(tmp_path / "out.jsonl", {"seed": 1}), 3, "a", kept=1)
    again = Parts(tmp_path / "out.jsonl", {"seed": 1})
    assert again.done == {3}
    commit(again, 4, "b", kept=1)
    assert again.finish() == {"kept": 2}
    assert (tmp_path / "out.jsonl").read_text() == "a\nb\n"


def test_a_chunk_that_is_half_written_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(tmp_path / "out.jsonl", {})

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chunks.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        commit(parts, 0, "a")
    monkeypatch.undo()
    assert Parts(tmp_path / "out.jsonl", {}).done == set()


@pytest.mark.parametrize("other", [{"seed": 2}, {"seed": 1, "more": 0}, {}])
def test_parts_of_other_settings_are_refused_and_left_alone(other: dict[str, int], tmp_path: Path) -> None:
    commit(Parts(tmp_path / "out.jsonl", {"seed": 1}), 0, "a")
    with pytest.raises(DataError, match=r"out\.jsonl\.parts holds the unfinished parts of a run with other settings"):
        Parts(tmp_path / "out.jsonl", other)
    assert Parts(tmp_path / "out.jsonl", {"seed": 1}).done == {0}


def test_settings_are_compared_as_json_says_them(tmp_path: Path) -> None:
    Parts(tmp_path / "out.jsonl", {"roles": ("a", "b")})
    assert Parts(tmp_path / "out.jsonl", {"roles": ["a", "b"]}).done == set()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written: .*Choose another --out"):
        Parts(tmp_path / "file" / "out.jsonl", {})


def test_an_output_that_cannot_be_replaced_is_one_clear_line_and_the_parts_stay(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.jsonl", {})
    commit(parts, 0, "a")
    (tmp_path / "out.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"out\.jsonl cannot be written"):
        parts.finish()
    assert Parts(tmp_path / "out.jsonl", {}).done == {0}


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, json.dumps("old"))

    def full(fd: int) -> None:
        raise OSError("full")

    monkeypatch.setattr(chunks.os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, json.dumps("new"))
    assert path.read_text() == '"old"'
    monkeypatch.undo()
    write_atomically(path, json.dumps("new é"))
    assert json.loads(path.read_text(encoding="utf-8")) == "new é"
