"""Playing cases: which frames come when, what is kept on disk, and files that cannot be read or written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_folders import FIXTURES, NOTHING
from fakes import ScriptedModel, picture

from vigil.errors import ConfigError, DataError, OutputError
from vigil.eval.baselines import AlwaysTalk
from vigil.eval.benchmarks import benchmark
from vigil.eval.benchmarks.base import Case, Mark, Stream, first_answer, polled
from vigil.eval.benchmarks.rules import Replies, Timetable, constant
from vigil.eval.benchmarks.runner import (
    MAIN,
    ORACLE,
    SEEING,
    Arm,
    BenchConfig,
    Keeper,
    Polled,
    arms_of,
    blind_arms,
    limited,
    play_all,
    play_case,
    setting_of,
)
from vigil.eval.benchmarks.watching import Video, blank_frames, unwatched, watch_stream
from vigil.eval.door import Ask, VirtualClock
from vigil.eval.log import Log, read_log
from vigil.eval.session_door import ModelSystem
from vigil.eval.watcher import WatcherSystem
from vigil.model.tokens import END_OF_TURN
from vigil.types import Frame
from vigil.world.render import write_video

CLOCK = VirtualClock(mode="free", fps=1.0, token_s=0.25)
CONFIG = BenchConfig()


def watch(watcher: Any, stream: Stream, *, num: int = 12) -> Log:
    frames = [(float(t), np.zeros((1, 1, 3), np.uint8)) for t in range(num)]
    return watch_stream(WatcherSystem("w", lambda: watcher), stream, frames, clock=CLOCK)


def asked(*times: float, end_s: float = 10.0, **more: Any) -> Stream:
    return Stream(id="s", asks=tuple(Ask(t=t, text=f"at {t:g}") for t in times), end_s=end_s, **more)


@pytest.mark.parametrize(
    ("end_s", "fps", "times"),
    [(2.0, 1.0, [0.0, 1.0, 2.0]), (1.2, 2.0, [0.0, 0.5, 1.0]), (0.0, 1.0, [0.0]), (0.9, 1.0, [0.0])],
)
def test_blank_frames_come_at_their_rate_up_to_the_end(end_s: float, fps: float, times: list[float]) -> None:
    assert [t for t, _ in blank_frames(asked(end_s=end_s), fps)] == times


def test_frames_end_with_the_stream_or_where_it_holds() -> None:
    assert [frame.t for frame in watch(Replies([]), asked(2.0, end_s=3.5)).frames] == [0.0, 1.0, 2.0, 3.0]
    held = watch(Replies([]), asked(2.0, end_s=9.0, holds=True))
    assert [frame.t for frame in held.frames] == [0.0, 1.0, 2.0]
    assert held.end.t == 9.0
    between = watch(Replies([]), asked(2.5, end_s=9.0, holds=True))
    assert [frame.t for frame in between.frames] == [0.0, 1.0, 2.0]


def test_several_questions_come_in_their_time_also_after_the_last_frame() -> None:
    log = watch(Replies(["a", "b", "c"]), asked(0.0, 1.0, 7.5, end_s=9.0), num=3)
    assert [(prompt.t, prompt.text) for prompt in log.prompts] == [(0.0, "at 0"), (1.0, "at 1"), (7.5, "at 7.5")]
    assert [(speech.tau_first, speech.text) for speech in log.speech] == [(0.0, "a"), (1.0, "b"), (7.5, "c")]


def test_what_is_said_without_a_question_ends_no_stream() -> None:
    stream = asked(5.0, end_s=9.0, is_over_when_answered=True)
    assert watch(AlwaysTalk(), stream).end.t > 5.0  # "Still watching." is closed many times before


@pytest.mark.parametrize(
    ("words", "end_s"),
    [("one", 6.0), ("one two three four five", 7.0), ("x " * 40, 9.0)],
    ids=["short", "longer", "never"],
)
def test_a_stream_ends_at_the_moment_after_its_answer_is_closed(words: str, end_s: float) -> None:
    stream = asked(5.0, end_s=9.0, is_over_when_answered=True)
    log = watch(Replies([words]), stream)
    assert log.end.t == end_s
    assert first_answer(log, scorer="strict").state == ("read" if end_s < 9.0 else "late")


def test_a_stream_that_could_not_be_decoded_is_an_empty_log_of_its_length() -> None:
    log = unwatched(WatcherSystem("x", lambda: Replies([])), asked(2.0, end_s=7.0), clock=CLOCK)
    assert (log.frames, log.prompts, log.speech, log.end.t, log.head.model) == ((), (), (), 7.0, "x")


def test_of_two_answers_the_first_counts_and_text_is_stripped() -> None:
    log = watch(Timetable([(2.0, " B "), (4.0, "C")]), asked(2.0))
    assert first_answer(log, scorer="strict").text == first_answer(log, scorer="official").text == "B"


def test_an_answer_that_was_cut_is_read_officially_and_late_strictly() -> None:
    log = watch(Replies(["B it is I think", "x"]), asked(2.0, 2.5))
    assert [first_answer(log, 0, scorer=scorer).state for scorer in ("official", "strict")] == ["read", "late"]


# Videos


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds, each a grey of its own."""
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    frames_FHWC = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((32, 32, 3), np.uint8) * 40
    write_video(frames_FHWC, 1.0, path, scale=1)
    return path


def test_two_readers_of_one_video_do_not_take_frames_from_each_other(clip: Path) -> None:
    video = Video(clip, 1.0)
    first, second = (video.frames(asked(end_s=9.0)) for _ in range(2))
    turns = [(next(first)[0], next(second)[0]) for _ in range(3)]
    assert turns == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]
    assert [t for t, _ in first] == [t for t, _ in second] == [3.0, 4.0, 5.0]


def test_a_clip_counts_its_times_from_where_it_begins(clip: Path) -> None:
    found = list(Video(clip, 1.0).frames(Stream(id="s", asks=(), start_s=3.0, end_s=1.0)))
    assert [(t, round(image.mean() / 40)) for t, image in found] == [(0.0, 3), (1.0, 4)]
    assert list(Video(clip, 1.0).frames(Stream(id="s", asks=(), start_s=30.0, end_s=5.0))) == []


def test_a_higher_rate_than_the_video_has_gives_the_frames_there_are(clip: Path) -> None:
    assert [t for t, _ in Video(clip, 4.0).frames(asked(end_s=9.0))] == [float(t) for t in range(6)]
    assert [t for t, _ in Video(clip, 0.5).frames(asked(end_s=9.0))] == [0.0, 2.0, 4.0]


def test_a_video_that_is_not_there_leaves_the_stream_unseen_and_its_item_wrong(tmp_path: Path) -> None:
    right = Arm("right", lambda case, stream: WatcherSystem("right", lambda: Replies(["B"])), sees=True)
    played = play_case(toy(), right, Video(tmp_path / "none.mp4", 1.0), CONFIG, keeper=NOTHING)
    assert (played.unseen, played.mark.states) == (1, ("unanswered",))
    blind = Arm("blind", right.system, sees=False)
    assert play_case(toy(), blind, Video(tmp_path / "none.mp4", 1.0), CONFIG, keeper=NOTHING).mark.states == ("read",)


def toy(*, item: str = "toy", num_streams: int = 1) -> Case:
    def play() -> Any:
        texts = []
        for n in range(num_streams):
            log = yield polled(f"stream-{n}", "Which?\nA. a\nB. b", at_s=2.0, scorer="strict")
            texts.append(first_answer(log, scorer="strict"))
        sums = {"items": 1.0, "right": float(all(one.text == "B" for one in texts))}
        return Mark(sums=sums, replies=tuple(t.text for t in texts), states=tuple(t.state for t in texts))

    return Case(id=item, task="toy", video="a.mp4", scorer="strict", play=play, oracle=constant("B"))


# What is kept


def counting(texts: Iterator[str]) -> tuple[Arm, list[str]]:
    """An arm that answers with the next text, and a list of the streams that it was opened for."""
    opened: list[str] = []

    def system(case: Case, stream: Stream) -> WatcherSystem:
        opened.append(f"{case.id}/{stream.id}")
        text = next(texts)
        return WatcherSystem("counting", lambda: Replies([text]))

    return Arm(MAIN, system, sees=False), opened


def test_a_case_that_was_cut_short_goes_on_with_its_next_stream(tmp_path: Path) -> None:
    arm, opened = counting(iter("BBB"))
    keeper = Keeper(tmp_path, {})
    plan = toy(num_streams=3).play()
    stream = next(plan)
    log = watch_stream(arm.system(toy(), stream), stream, blank_frames(stream, 1.0), clock=CONFIG.virtual)
    keeper.keep(MAIN, toy(), stream, log)
    played = play_case(toy(num_streams=3), arm, None, CONFIG, keeper=Keeper(tmp_path, {}))
    assert opened == ["toy/stream-0", "toy/stream-1", "toy/stream-2"]  # the first before the cut, once
    assert (played.mark.sums["right"], len(played.hashes), played.hashes[0]) == (1.0, 3, log.hash)
    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jsonl"))
    assert kept == [f"logs/system/strict/toy/stream-{n}.jsonl" for n in range(3)]


def test_a_part_that_was_being_written_is_not_taken_for_a_log(tmp_path: Path) -> None:
    arm, opened = counting(iter("BB"))
    play_case(toy(), arm, None, CONFIG, keeper=Keeper(tmp_path, {}))
    (log,) = tmp_path.rglob("stream-0.jsonl")
    log.rename(log.with_suffix(".part"))
    play_case(toy(), arm, None, CONFIG, keeper=Keeper(tmp_path, {}))
    assert opened == ["toy/stream-0"] * 2
    assert read_log(log).speech[0].text == "B"


def test_a_kept_log_that_was_damaged_is_named_and_not_scored(tmp_path: Path) -> None:
    arm, _ = counting(iter("BB"))
    play_case(toy(), arm, None, CONFIG, keeper=Keeper(tmp_path, {}))
    (log,) = tmp_path.rglob("stream-0.jsonl")
    log.write_bytes(log.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"stream-0\.jsonl line \d+ "):
        play_case(toy(), arm, None, CONFIG, keeper=Keeper(tmp_path, {}))


def test_logs_of_different_rows_cases_and_scorers_do_not_overwrite_each_other(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, {})
    cases = limited(benchmark("ovo").read(FIXTURES / "ovo"), 1)[:4]
    arms = [arm for arm in blind_arms(cases) if arm.name in ("always_silent", ORACLE)]
    played = list(play_all(cases, arms, {}, CONFIG, keeper=keeper))
    assert len(played) == 8
    assert len(list(tmp_path.rglob("*.jsonl"))) == 8
    again = list(play_all(cases, arms, {}, CONFIG, keeper=keeper))
    assert [one.mark for one in again] == [one.mark for one in played]


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, {})
    (tmp_path / "logs").write_text("a file where a folder must be", encoding="utf-8")
    arm, _ = counting(iter("B"))
    with pytest.raises(OutputError, match=r"stream-0\.jsonl cannot be written: .*Choose another folder"):
        play_case(toy(), arm, None, CONFIG, keeper=keeper)
    (tmp_path / "result.json").mkdir()
    with pytest.raises(OutputError, match=r"result\.json cannot be written"):
        keeper.write("result.json", "{}")
    Keeper(None, {}).write("result.json", "{}")  # without a folder there is nothing to write


def test_the_setting_of_a_run_holds_all_that_its_logs_hang_on(tmp_path: Path) -> None:
    setting = setting_of("ovo", "nano", CONFIG, {"a.json": {"sha256": "ab", "is_pinned": True}})
    assert setting == {
        **{"benchmark": "ovo", "model": "nano", "annotations": {"a.json": "ab"}},
        "config": {"fps": 1.0, "token_s": 0.25, "clock": "free", "poll_hz": 0.5},
    }
    Keeper(tmp_path, setting)
    Keeper(tmp_path, setting_of("ovo", "nano", CONFIG, {"a.json": {"sha256": "ab", "is_pinned": None}}))
    for other in (
        setting_of("ovo", "nano", BenchConfig(fps=2.0), {"a.json": {"sha256": "ab"}}),
        setting_of("ovo", "nano", CONFIG, {"a.json": {"sha256": "cd"}}),
        setting_of("rtv", "nano", CONFIG, {"a.json": {"sha256": "ab"}}),
    ):
        with pytest.raises(ConfigError, match="another setting"):
            Keeper(tmp_path, other)


# Rows


def test_the_rows_are_the_model_its_controls_the_generic_ones_the_rules_and_the_oracle() -> None:
    cases = benchmark("ovo").read(FIXTURES / "ovo")
    arms = arms_of(cases, ModelSystem(ScriptedModel()), Polled(ScriptedModel(), CONFIG), CONFIG)
    assert [arm.name for arm in arms][:7] == [MAIN, *SEEING, "always_silent", "always_talk", "parse_attack"]
    assert arms[-1].name == ORACLE
    rules = {rule for case in cases for rule in case.blind}
    assert {arm.name for arm in arms[7:-1]} == rules
    assert {arm.name for arm in arms if arm.sees} == {MAIN, "recent_4", "recent_16"}


def test_a_rule_that_says_nothing_about_a_case_is_silent_there() -> None:
    cases = benchmark("ovo").read(FIXTURES / "ovo")
    (longest,) = [arm for arm in blind_arms(cases) if arm.name == "longest_option"]
    probe = next(case for case in cases if case.task == "CRR" and case.scorer == "strict")
    assert play_case(probe, longest, None, CONFIG, keeper=NOTHING).mark.states == ("unanswered",)


def test_a_polled_model_answers_no_longer_than_a_strict_answer_may_take() -> None:
    model = ScriptedModel("a" * 60, END_OF_TURN)
    frames = [Frame(picture(0), 0.0), Frame(picture(1), 1.0)]
    said = Polled(model, BenchConfig(token_s=0.25)).answer(frames, "Which?")
    assert said == "a" * 40  # 10 s at four tokens a second
    assert Polled(ScriptedModel("B", END_OF_TURN), BenchConfig(token_s=4.0)).answer(frames, "Which?") == "B"


def test_dropped_frames_of_the_run_are_counted(clip: Path) -> None:
    arms = arms_of([toy()], ModelSystem(ScriptedModel()), Polled(ScriptedModel(), CONFIG), CONFIG)
    text_only = next(arm for arm in arms if arm.name == "text_only")
    played = play_case(toy(), text_only, Video(clip, 1.0), CONFIG, keeper=NOTHING)
    assert (played.dropped, played.unseen, played.hashes) == (13, 0, ())  # blank frames up to 12 s, none of them seen
