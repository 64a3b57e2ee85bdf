"""The downloaded files: where they are found, how their fields are read, what a person is told who lacks them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from bench_folders import folder_of
from hypothesis import given
from hypothesis import strategies as st

from vigil.errors import ConfigError, DataError, SourceError
from vigil.eval.benchmarks import BENCHMARKS, benchmark
from vigil.eval.benchmarks.base import AnnotationFile
from vigil.eval.benchmarks.data import (
    field,
    find_annotations,
    find_video,
    fingerprints,
    load_json,
    number,
    numbers,
    offered,
    records,
    require,
    require_videos,
    seconds,
    slug,
    texts,
    what_to_download,
)


def touch(folder: Path, *names: str, text: str = "[]") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (["src/data/q.json", "q.json", "annotations/q.json"], "src/data/q.json"),  # the full path comes first
        (["q.json", "annotations/q.json"], "q.json"),
        (["annotations/q.json"], "annotations/q.json"),
        (["data/q.json"], None),
        ([], None),
    ],
)
def test_annotations_lie_under_their_path_or_their_name(there: list[str], found: str | None, tmp_path: Path) -> None:
    touch(tmp_path, *there)
    files = find_annotations(tmp_path, AnnotationFile(path="src/data/q.json"))
    assert [path.relative_to(tmp_path).as_posix() for path in files] == ([found] if found else [])


def test_a_pattern_finds_all_files_in_order_and_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "annotations/b.json", "annotations/a.json", "annotations/c.txt", "annotations/d.json/e")
    files = find_annotations(tmp_path, AnnotationFile(path="annotations/*.json"))
    assert [path.name for path in files] == ["a.json", "b.json"]


def test_json_lines_are_read_as_a_list_is_and_places_count_from_1(tmp_path: Path) -> None:
    touch(tmp_path, "a.jsonl", text='{"x": 1}\n\n{"x": 2}\n')
    touch(tmp_path, "b.json", text='[{"x": 1}, {"x": 2}]')
    assert load_json(tmp_path, "a.jsonl") == [("a.jsonl record 1", {"x": 1}), ("a.jsonl record 2", {"x": 2})]
    assert [row for _, row in load_json(tmp_path, "b.json")] == [{"x": 1}, {"x": 2}]
    with pytest.raises(SourceError, match=r"c\.json is not in"):
        load_json(tmp_path, "c.json")


def test_fingerprints_tell_the_pinned_file_from_another_and_from_one_that_none_is_pinned_for(tmp_path: Path) -> None:
    folder = folder_of("rtv", tmp_path)
    text = (folder / "QA.json").read_bytes()
    found = fingerprints(benchmark("rtv"), folder)
    assert found == {"QA.json": {"sha256": hashlib.sha256(text).hexdigest(), "is_pinned": False}}
    river = fingerprints(benchmark("river"), folder_of("river", tmp_path))
    assert len(river) == 4
    assert {row["is_pinned"] for row in river.values()} == {None}
    ours = benchmark("rtv")
    pinned = AnnotationFile(path="QA.json", sha256=hashlib.sha256(text).hexdigest()[:16])
    download = type(ours.download)(**{**_fields(ours.download), "files": (pinned,)})
    pinned_here = type(ours)(**{**vars(ours), "download": download})
    assert fingerprints(pinned_here, folder)["QA.json"]["is_pinned"] is True


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


@pytest.mark.parametrize(
    ("there", "video", "found"),
    [
        (["a.mp4"], "a.mp4", "a.mp4"),
        (["videos/a.mp4"], "a.mp4", "videos/a.mp4"),
        (["src_videos/a.mp4"], "./videos/deep/a.mp4", "src_videos/a.mp4"),  # by its bare name
        (["videos/deep/a.mp4", "a.mp4"], "deep/a.mp4", "a.mp4"),  # the folder itself before its parts
        (["videos/deep/a.mp4"], "deep/a.mp4", "videos/deep/a.mp4"),
        (["chunked_videos/a.mp4"], "./a.mp4", "chunked_videos/a.mp4"),
        (["other/a.mp4"], "a.mp4", None),
        (["a.mp4/b"], "a.mp4", None),  # a folder is no video
        ([], "", None),
    ],
)
def test_where_a_video_may_lie(there: list[str], video: str, found: str | None, tmp_path: Path) -> None:
    touch(tmp_path, *there)
    path = find_video(tmp_path, video)
    assert (None if path is None else path.relative_to(tmp_path).as_posix()) == found


def test_all_videos_are_found_or_counted(tmp_path: Path) -> None:
    folder = folder_of("ovo", tmp_path)
    cases = benchmark("ovo").read(folder)
    videos = sorted({case.video for case in cases})
    touch(folder, *(f"src_videos/{video}" for video in videos))
    found = require_videos(benchmark("ovo"), folder, cases)
    assert {video: path.name for video, path in found.items()} == {video: video for video in videos}
    (folder / "src_videos" / videos[0]).unlink()
    with pytest.raises(
        SourceError, match=rf"1 of {len(videos)} videos of OVO-Bench are not in .*, first {videos[0]}\."
    ):
        require_videos(benchmark("ovo"), folder, cases)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_who_lacks_the_files_is_told_all_that_there_is_to_know(name: str, tmp_path: Path) -> None:
    one = benchmark(name)
    text = what_to_download(one)
    assert [line.split(":")[0] for line in text.splitlines() if not line.startswith("  ")] == [
        *("from", "pinned revision", "annotations", "videos", "size", "licence", "then"),
    ]
    for file in one.download.files:
        assert f"  {file.path}" in text
        assert file.sha256 in text
        assert len(file.sha256) in (0, 16)
    assert text.endswith(f"then: vigil eval bench {name} --data DIR")
    with pytest.raises(SourceError, match="Download it yourself"):
        require(one, tmp_path)
    require(one, folder_of(name, tmp_path / "there"))


def test_only_the_files_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = folder_of("omnimmi", tmp_path)
    (folder / "proactive_turntaking.json").unlink()
    with pytest.raises(SourceError, match=r"omnimmi: proactive_turntaking\.json not found"):
        require(benchmark("omnimmi"), folder)


def test_a_benchmark_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"no benchmark 'OVO'. Choose among streamingbench, ovo, rtv, river"):
        benchmark("OVO")


@pytest.mark.parametrize(
    ("row", "says"),
    [({}, "lacks the field 'x'"), ([], "lacks the field 'x'"), (None, "lacks"), ({"x": 3}, "'x' = 3, which is of the")],
)
def test_a_field_is_there_and_of_its_type_or_refused(row: Any, says: str) -> None:
    with pytest.raises(DataError, match=rf"^here .*{says}"):
        field(row, "x", str, where="here")
    assert field({"x": "a"}, "x", str, where="here") == "a"
    assert field({"x": 3}, "x", (str, int), where="here") == 3


@pytest.mark.parametrize("wrong", [True, float("nan"), float("inf"), "3", None, [3]])
def test_a_number_is_a_finite_one(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"^here has "):
        number({"x": wrong}, "x", where="here")
    assert [number({"x": right}, "x", where="here") for right in (3, 0.5, -1)] == [3.0, 0.5, -1.0]


def test_numbers_may_be_spelt_and_counted() -> None:
    assert numbers({"x": [1, "2.5", 3.0]}, "x", where="here") == [1.0, 2.5, 3.0]
    assert numbers({"x": []}, "x", where="here", exactly=0) == []
    for wrong in ([True], ["one"], [None], [10**400], ["nan"], [[1]]):
        with pytest.raises(DataError, match=r"^here has .* where a number must be"):
            numbers({"x": wrong}, "x", where="here")
    with pytest.raises(DataError, match=r"^here has 3 numbers in 'x', where 2 must be"):
        numbers({"x": [1, 2, 3]}, "x", where="here", exactly=2)


def test_records_carry_their_places_and_texts_are_texts() -> None:
    assert records({"x": [{"a": 1}, {}]}, "x", where="here") == [("here x 1", {"a": 1}), ("here x 2", {})]
    assert texts({"x": ["a", 1, None]}, "x", where="here") == ["a", "1", "None"]


@pytest.mark.parametrize(
    ("answer", "option"), [("A", "x"), ("B", "y"), ("C", None), ("a", None), ("", None), ("AB", None)]
)
def test_the_option_that_a_letter_names(answer: str, option: str | None) -> None:
    if option is not None:
        assert offered(answer, ["x", "y"], where="here") == option
        return
    with pytest.raises(DataError, match=rf"^here has the answer '{answer}', which is none of its 2 options"):
        offered(answer, ["x", "y"], where="here")


@pytest.mark.parametrize(
    ("stamp", "value"), [("00:00:00", 0.0), (" 02:03 ", 123.0), ("10:00:00.5", 36000.5), ("90", 90.0), ("1:60", 120.0)]
)
def test_time_stamps_by_hand(stamp: str, value: float) -> None:
    assert seconds(stamp, where="here") == value


@pytest.mark.parametrize("stamp", ["", ":", "1:", "-1:00", "1:2:3x", "1e3", "1 :2", "00.00.01 h"])
def test_what_is_no_time_is_refused(stamp: str) -> None:
    with pytest.raises(DataError, match=r"^here has the time .*, which must be HH:MM:SS"):
        seconds(stamp, where="here")


@given(st.lists(st.text(max_size=80), min_size=2, max_size=4, unique=True))
def test_slugs_are_file_names_and_no_two_texts_share_one(names: list[str]) -> None:
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(slugs)
    assert all(0 < len(one) <= 69 and not set(one) & set('/\\:*?"<>| \n\0') and one not in (".", "..") for one in slugs)


def test_a_name_that_is_one_already_is_left_alone() -> None:
    assert slug("Retro-Memory_1.2") == "Retro-Memory_1.2"
    assert slug("a/b").startswith("a-b-")
    assert slug("x" * 61) != slug("x" * 62)


# What others report

NOT_A_SCORE = {"mean of real-time and backward"}
"""Given by its publishers in this form alone."""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_published_figures_stand_under_the_name_of_the_score_they_are_compared_with(name: str, tmp_path: Path) -> None:
    one = benchmark(name)
    official = {score.name for score in one.scores(one.read(folder_of(name, tmp_path))) if score.scorer == "official"}
    for row in one.published:
        assert row.source
        assert set(row.values) - NOT_A_SCORE <= official
        assert all(0 < value <= 100 for value in row.values.values())


@pytest.mark.parametrize(
    ("name", "system", "figures"),
    [
        ("streamingbench", "MOSS-VL-Realtime", (82.9, 56.4, 50.4, 60.0)),
        ("streamingbench", "SimpleStream (4 frames)", (80.59,)),
        ("ovo", "human", (93.2, 92.3, 91.3, 92.8)),
        ("ovo", "Streamo-7B", (67.4, 49.2, 57.0, 57.9)),
        ("omnimmi", "IXC2.5-OL", (14.5,)),
        ("proactive", "MMDuet2", (53.3, 33.6, 43.4, 28.9, 39.8)),
    ],
)
def test_some_published_figures_as_their_sources_state_them(name: str, system: str, figures: tuple[float, ...]) -> None:
    (row,) = [row for row in benchmark(name).published if row.system == system]
    assert tuple(row.values.values()) == figures


def test_triples_and_totals_of_the_published_rows_agree() -> None:
    """OVO-Bench: the total is the mean of the three categories, so a slip in one of them would show."""
    for row in benchmark("ovo").published:
        if "total" in row.values and row.system != "human":  # whose total is stated otherwise
            parts = [row.values[part] for part in ("real-time", "backward", "forward")]
            assert row.values["total"] == pytest.approx(sum(parts) / 3, abs=0.21)
    for row in benchmark("proactive").published:
        if len(row.values) == 5:
            *parts, mean = row.values.values()
            assert mean == pytest.approx(sum(parts) / 4, abs=0.06)
