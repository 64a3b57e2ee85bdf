"""Runs end to end with nano on real video files: every row, both scorers, what is kept, and going on after a cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_folders import NOTHING, VIDEO_S, folder_of

import vigil
from vigil.errors import ConfigError, SourceError
from vigil.eval.benchmarks import BENCHMARKS, benchmark
from vigil.eval.benchmarks.base import Case, Mark, Score, Stream, first_answer, polled, share
from vigil.eval.benchmarks.data import find_video, require, require_videos, seconds, slug
from vigil.eval.benchmarks.rules import Replies, constant
from vigil.eval.benchmarks.runner import (
    MAIN,
    MANDATORY,
    Arm,
    BenchConfig,
    Keeper,
    Played,
    Polled,
    arms_of,
    blind_arms,
    limited,
    play_all,
    play_case,
)
from vigil.eval.benchmarks.table import Tallies, tabulate
from vigil.eval.benchmarks.watching import Video, watch_stream
from vigil.eval.door import Ask, VirtualClock
from vigil.eval.log import read_log
from vigil.eval.session_door import ModelSystem
from vigil.eval.watcher import WatcherSystem
from vigil.world.render import write_video

CONFIG = BenchConfig()


@lru_cache(maxsize=1)
def nano() -> Any:
    return vigil.load("nano")


def run(
    name: str, folder: Path, keeper: Keeper, *, limit: int | None = 1, rows: Sequence[str] = ()
) -> tuple[list[Case], list[Played]]:
    cases = limited(benchmark(name).read(folder), limit)
    videos = {case.video: found for case in cases if (found := find_video(folder, case.video))}
    arms = arms_of(cases, ModelSystem(nano()), Polled(nano(), CONFIG), CONFIG)
    kept = [arm for arm in arms if arm.name in rows] if rows else arms
    return cases, list(play_all(cases, kept, videos, CONFIG, keeper=keeper))


@pytest.mark.parametrize("name", ["river", "proactive"])
def test_nano_runs_end_to_end_with_every_row_of_the_table(name: str, tmp_path: Path) -> None:
    cases, played = run(name, folder_of(name, tmp_path, with_videos=True), NOTHING)
    result = tabulate(benchmark(name), cases, played, run={"model": "nano"}, config=CONFIG)
    assert set(MANDATORY) | {"oracle"} <= set(result["systems"])
    assert result["states"]["system"]["unseen"] == 0
    assert sum(result["states"]["system"].values()) > 0
    assert all(set(row["systems"]) == set(result["systems"]) for row in result["scores"])
    assert {row["scorer"] for row in result["scores"]} == {score.scorer for score in benchmark(name).scores(cases)}
    assert len(played) == len(cases) * len(result["systems"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["streamingbench", "ovo", "rtv", "omnimmi"])
def test_nano_runs_the_large_benchmarks_end_to_end(name: str, tmp_path: Path) -> None:
    cases, played = run(name, folder_of(name, tmp_path, with_videos=True), NOTHING, limit=None)
    result = tabulate(benchmark(name), cases, played, run={"model": "nano"}, config=CONFIG)
    assert result["states"]["system"]["unseen"] == 0
    assert set(MANDATORY) <= set(result["systems"])


def test_nano_goes_through_the_official_stand_still_and_the_strict_stream(tmp_path: Path) -> None:
    folder = folder_of("streamingbench", tmp_path, with_videos=True)
    both = [case for case in benchmark("streamingbench").read(folder) if case.id == "real-0000"]
    arm = Arm(MAIN, lambda case, stream: ModelSystem(nano()), sees=True)
    keeper = Keeper(tmp_path / "out", {})
    for case in both:
        path = find_video(folder, case.video)
        assert path is not None
        play_case(case, arm, Video(path, 1.0), BenchConfig(token_s=2.0), keeper=keeper)
    official, strict = (
        read_log(next((tmp_path / "out" / "logs" / MAIN / scorer).rglob("*.jsonl")))
        for scorer in ("official", "strict")
    )
    assert [prompt.t for prompt in official.prompts] == [prompt.t for prompt in strict.prompts] == [5.0]
    assert [frame.t for frame in official.frames] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert [frame.t for frame in strict.frames][:8] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def test_a_run_that_was_cut_short_goes_on_without_playing_anything_again(tmp_path: Path) -> None:
    folder = folder_of("river", tmp_path, with_videos=True)
    out = tmp_path / "out"
    rows = [MAIN, "recent_4", "oracle"]
    _, first = run("river", folder, Keeper(out, {"a": 1}), rows=rows)
    logs = sorted(out.rglob("*.jsonl"))
    assert not list(out.rglob("*.part"))
    for video in folder.rglob("*.mp4"):
        video.unlink()
    stamps = {log: log.stat().st_mtime_ns for log in logs}
    _, again = run("river", folder, Keeper(out, {"a": 1}), rows=rows)
    assert [one.line() for one in again] == [one.line() for one in first]
    assert {log: log.stat().st_mtime_ns for log in out.rglob("*.jsonl")} == stamps
    logs[0].unlink()
    run("river", folder, Keeper(out, {"a": 1}), rows=rows)
    assert logs[0].exists()


def test_a_folder_of_another_setting_is_refused(tmp_path: Path) -> None:
    Keeper(tmp_path, {"model": "nano"})
    with pytest.raises(ConfigError, match="holds a run with another setting"):
        Keeper(tmp_path, {"model": "other"})


def test_a_table_without_a_mandatory_row_is_not_written(tmp_path: Path) -> None:
    cases = benchmark("river").read(folder_of("river", tmp_path))
    played = list(play_all(cases, blind_arms(cases), {}, CONFIG, keeper=NOTHING))
    with pytest.raises(ConfigError, match="without the rows system, text_only, recent_4, recent_16"):
        tabulate(benchmark("river"), cases, played, run={}, config=CONFIG)


def test_a_video_that_cannot_be_decoded_counts_as_wrong_and_is_counted(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    case = toy_case("B", video="broken.mp4")
    arm = Arm("nano", lambda case, stream: WatcherSystem("right", lambda: Replies(["B"])), sees=True)
    played = play_case(case, arm, Video(broken, 1.0), CONFIG, keeper=NOTHING)
    assert (played.mark.sums, played.unseen) == ({"right": 0.0, "items": 1.0}, 1)


def toy_case(answer: str, *, video: str = "a.mp4", scorer: str = "strict", number: int = 0) -> Case:
    def play() -> Any:
        log = yield polled("answer", "Which?\nA. a\nB. b", at_s=3.0, scorer="strict")
        said = first_answer(log, scorer="strict")
        sums = {"right": float(said.state == "read" and said.text == answer), "items": 1.0}
        return Mark(sums=sums, replies=(said.text,), states=(said.state,))

    return Case(
        id=f"toy-{number}", task="toy", video=video, scorer="strict", play=play, oracle=constant(answer), blind={}
    )


SLOW_SPEECH = BenchConfig(token_s=4.0)


@pytest.mark.parametrize(
    ("words", "state"), [("B", "read"), ("B it is", "late"), (None, "unanswered")], ids=["in-time", "late", "silent"]
)
def test_a_strict_answer_must_be_finished_within_ten_seconds(words: str | None, state: str) -> None:
    arm = Arm("slow", lambda case, stream: WatcherSystem("slow", lambda: Replies([words or ""])), sees=False)
    assert play_case(toy_case("B"), arm, None, SLOW_SPEECH, keeper=NOTHING).mark.states == (state,)


def test_an_answer_that_is_finished_later_than_ten_seconds_is_late_though_the_stream_goes_on() -> None:
    stream = Stream(id="s", asks=(Ask(t=0.0, text="?"), Ask(t=20.0, text="?")), end_s=40.0)
    system = WatcherSystem("slow", lambda: Replies(["B it is", "B so"]))
    log = watch_stream(system, stream, [], clock=SLOW_SPEECH.virtual)
    assert [first_answer(log, k, scorer="strict").state for k in (0, 1, 2)] == ["late", "read", "unanswered"]
    assert first_answer(log, scorer="official").state == "read"


def test_the_interval_resamples_videos_and_needs_ten_of_them() -> None:
    score = Score(name="s", scorer="strict", definition="", of=share("right", "items"))

    def rows(videos: int) -> list[Played]:
        return [
            Played(
                arm=arm,
                case=toy_case("A", video=f"{n}.mp4", number=n),
                mark=Mark(sums={"right": float(n % 2), "items": 1.0}),
            )
            for arm in MANDATORY
            for n in range(videos)
        ]

    def row_of(videos: int) -> dict[str, Any]:
        toy = benchmark("river")
        only = type(toy)(**{**vars(toy), "scores": lambda cases: [score]})
        row: dict[str, Any] = tabulate(only, [], rows(videos), run={}, config=CONFIG)["scores"][0]
        return row

    assert (row_of(8)["value"], row_of(8)["lo"]) == (50.0, None)
    assert 15 <= row_of(10)["lo"] < 50 < row_of(10)["hi"] <= 85


def test_tallies_are_added_per_video() -> None:
    rows = [
        Played(arm="x", case=toy_case("A", video=v), mark=Mark(sums={"right": r, "items": 1.0}))
        for v, r in (("a", 1.0), ("a", 0.0), ("b", 1.0))
    ]
    tallies = Tallies(rows)
    assert tallies.sums_VK.tolist() == [[1.0, 2.0], [1.0, 1.0]]


def test_limit_takes_the_first_of_each_task_under_each_scorer(tmp_path: Path) -> None:
    cases = limited(benchmark("ovo").read(folder_of("ovo", tmp_path)), 1)
    assert len(cases) == 2 * 12
    assert [case.id for case in cases if case.task == "CRR"] == ["CRR-12", "CRR-12"]


def test_case_ids_are_file_names_and_told_apart(tmp_path: Path) -> None:
    for name in BENCHMARKS:
        cases = benchmark(name).read(folder_of(name, tmp_path))
        ids = [(case.scorer, case.id) for case in cases]
        assert len(set(ids)) == len(ids)
        assert all("/" not in case.id and case.id for case in cases)
    assert slug("a/b") != slug("a b")


def video_of(path: Path, seconds_long: int) -> Path:
    frames_FHWC = np.arange(seconds_long, dtype=np.uint8)[:, None, None, None] * np.ones((32, 32, 3), np.uint8) * 10
    write_video(frames_FHWC, 1.0, path, scale=1)
    return path


@pytest.mark.parametrize("cache_bytes", [1 << 20, 0, 10_000], ids=["kept", "never-kept", "overflowing"])
def test_a_clip_has_the_same_frames_whether_the_video_is_kept_or_decoded_again(
    tmp_path: Path, cache_bytes: int
) -> None:
    video = Video(video_of(tmp_path / "v.mp4", 8), 1.0, cache_bytes=cache_bytes)
    clip = Stream(id="s", asks=(), start_s=2.0, end_s=3.0)
    whole = Stream(id="s", asks=(), end_s=20.0)
    for _ in range(2):
        assert [t for t, _ in video.frames(clip)] == [0.0, 1.0, 2.0, 3.0]
        assert [round(image.mean() / 10) for _, image in video.frames(clip)] == [2, 3, 4, 5]
        assert [t for t, _ in video.frames(whole)] == [float(t) for t in range(8)]


class Counter:
    """Answers each question with the number of frames it has seen."""

    interrupts_itself = False

    def __init__(self) -> None:
        self.seen = 0
        self.is_asked = False

    def see(self, image: object, t: float) -> None:
        self.seen += 1

    def hear(self, text: str, t: float, *, standing: bool) -> None:
        self.is_asked = True

    def reply(self, t: float) -> str | None:
        if not self.is_asked:
            return None
        self.is_asked = False
        return str(self.seen)


def frames(count: int) -> list[tuple[float, Any]]:
    return [(float(t), np.zeros((1, 1, 3), np.uint8)) for t in range(count)]


def test_a_question_comes_after_the_frame_of_its_moment_and_a_stream_that_holds_gets_no_later_one() -> None:
    system, clock = WatcherSystem("counter", Counter), VirtualClock(mode="free", fps=1.0)
    for stream, seen in (
        (Stream(id="s", asks=(Ask(t=3.0, text="?"),), end_s=9.0, holds=True), 4),
        (Stream(id="s", asks=(Ask(t=3.0, text="?"),), end_s=9.0), 10),
    ):
        log = watch_stream(system, stream, frames(12), clock=clock)
        assert [speech.text for speech in log.speech] == ["4"]
        assert len(log.frames) == seen


def test_a_stream_that_is_over_when_answered_ends_when_the_answer_is_closed() -> None:
    stream = Stream(id="s", asks=(Ask(t=3.0, text="?"),), end_s=63.0, holds=True, is_over_when_answered=True)
    clock = VirtualClock(mode="free", fps=1.0)
    assert watch_stream(WatcherSystem("c", Counter), stream, frames(4), clock=clock).end.t == 4.0
    silent = WatcherSystem("s", lambda: Replies([]))
    assert watch_stream(silent, stream, frames(4), clock=clock).end.t == 63.0


def test_missing_annotations_are_named_first_and_then_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as found:
        require(benchmark("ovo"), tmp_path)
    first, *rest = str(found.value).splitlines()
    assert first.endswith("data/ovo_bench_new.json not found. Download it yourself:")
    assert any("c34093f9a072" in line for line in rest)
    assert any("dc4a90daf26764dc" in line for line in rest)
    assert any("CC BY-NC-SA 4.0" in line for line in rest)


def test_missing_videos_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    folder = folder_of("rtv", tmp_path)
    cases = benchmark("rtv").read(folder)
    video_of(folder / "a.mp4", 2)
    with pytest.raises(SourceError, match=r"1 of 2 videos of RTV-Bench are not in .*, first b\.mp4"):
        require_videos(benchmark("rtv"), folder, cases)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "holds a dict"), ("[", "is not JSON"), ('[{"task": "EPM"}]', "lacks the field 'gt'")],
    ids=["no-list", "no-json", "no-field"],
)
def test_a_file_in_another_format_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ovo_bench_new.json").write_text(text, encoding="utf-8")
    with pytest.raises(Exception, match=message):
        benchmark("ovo").read(tmp_path)


@pytest.mark.parametrize(("stamp", "value"), [("00:01:05", 65.0), ("01:00:00", 3600.0), ("1:05.5", 65.5), ("7", 7.0)])
def test_times_are_read(stamp: str, value: float) -> None:
    assert seconds(stamp, where="here") == value


def test_lines_of_items_name_replies_and_states(tmp_path: Path) -> None:
    arm = Arm(MAIN, lambda case, stream: WatcherSystem("b", lambda: Replies(["B"])), sees=False)
    row = json.loads(play_case(toy_case("B"), arm, None, CONFIG, keeper=NOTHING).line())
    assert (row["system"], row["item"], row["replies"], row["states"]) == ("system", "toy-0", ["B"], ["read"])
    assert len(row["logs"]) == 1


def test_every_frame_of_the_fixture_videos_is_seen(tmp_path: Path) -> None:
    folder = folder_of("rtv", tmp_path, with_videos=True)
    path = find_video(folder, "a.mp4")
    assert path is not None
    assert len(list(Video(path, 1.0).frames(Stream(id="s", asks=(), end_s=99.0)))) == VIDEO_S
