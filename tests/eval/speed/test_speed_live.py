"""Gaps, live streams and memory: what is run, and the sums by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Self

import pytest
import torch
from very_small import SMALL, small_config

from vigil.config import StreamConfig
from vigil.eval.speed import gaps, live, memory
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.contestants import Ours, build
from vigil.eval.speed.figures import Bound, Figure, Part
from vigil.eval.speed.gaps import Blocking, Gaps, gaps_of
from vigil.eval.speed.machine import Clock, Rates
from vigil.eval.speed.talk import Chatter, Mouth, camera
from vigil.model import VideoModel
from vigil.model.interleave import twin_of
from vigil.stream.budget import entry_bytes
from vigil.stream.engine import Engine
from vigil.stream.policy import Threshold
from vigil.stream.source import open_source
from vigil.types import Ended

CPU = torch.device("cpu")
CLOCK = Clock(CPU)
PER_FRAME = 5


@pytest.fixture(scope="module")
def ours() -> VideoModel:
    return build(small_config(), CPU, torch.float32)


@pytest.fixture(scope="module")
def twin() -> VideoModel:
    return build(twin_of(small_config()), CPU, torch.float32)


@pytest.fixture
def bench(ours: VideoModel, twin: VideoModel) -> Bench:
    """A bench on which both models have been made."""
    made = {"vigil": Ours(ours, 4), "twin": Ours(twin, 4)}
    return Bench(SMALL, CPU, Rates(bytes_per_s=1e9, flops_per_s=1e9), _made=dict(made))


def by_name(part: Part) -> dict[str, Figure]:
    return {figure.name: figure for figure in part.figures}


# ---- gaps -----------------------------------------------------------------------------------------------------------


def test_gaps_are_divided_by_those_without_frames_of_the_same_design(
    ours: VideoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, float, float, int]] = []
    p95 = {("Engine", 0.0): 10.0, ("Engine", 1.0): 11.0, ("Engine", 4.0): 13.0}
    p95 |= {("Blocking", 0.0): 20.0, ("Blocking", 1.0): 30.0, ("Blocking", 4.0): 90.0}

    def prescribed(engine: Engine, *, fps: float, pace: float, num_tokens: int) -> Gaps:
        asked.append((type(engine).__name__, fps, pace, num_tokens))
        ms = p95[type(engine).__name__, fps]
        return Gaps(p50_ms=1.0, p95_ms=ms, p99_ms=99.0, work_p95_ms=ms / 2 + fps, frames_per_s=fps)

    monkeypatch.setattr(gaps, "gaps_of", prescribed)
    rows = gaps.compare(ours, (1.0, 4.0), pace=3.0, num_tokens=7)
    assert asked == [(kind, fps, 3.0, 7) for kind in ("Engine", "Blocking") for fps in (0.0, 1.0, 4.0, 0.0)]
    assert [(row["design"], row["fps"], row["gap_ratio"]) for row in rows] == [
        ("beside", 1.0, pytest.approx(1.1)), ("beside", 4.0, pytest.approx(1.3)),
        ("blocking", 1.0, pytest.approx(1.5)), ("blocking", 4.0, pytest.approx(4.5)),
    ]  # fmt: skip
    assert rows[1]["work_ratio"] == pytest.approx((6.5 + 4.0) / 5.0)
    assert (rows[0]["without_p95_ms"], rows[0]["gap_p99_ms"], rows[0]["gap_p50_ms"]) == (10.0, 99.0, 1.0)
    assert gaps.worst(rows, "beside") == pytest.approx(1.3)
    assert gaps.worst(rows, "blocking") == pytest.approx(4.5)


def test_the_figure_of_gaps_is_that_of_the_worst_rate(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"design": design, "gap_ratio": ratio, "gap_p95_ms": ms}
        for design, ratio, ms in (("beside", 1.1, 4.0), ("beside", 1.2, 8.0), ("blocking", 3.0, 30.0))
    ]
    monkeypatch.setattr(gaps, "compare", lambda *given, **how: rows)
    part = gaps.gaps(bench)
    figures = by_name(part)
    assert (figures["gap_p95_ratio"].value, figures["gap_p95_ratio_blocking"].value) == (1.2, 3.0)
    assert figures["gap_p95_ratio"].setting == (
        "frames at 8 /s, one stream speaking as fast as it can, 20 gaps each, wall clock"
    )
    bound = figures["gap_p95_ratio"].bound
    assert bound is not None
    weights = 4 * (sum(p.numel() for p in bench.vigil().model.decoder.parameters()) - 1010 * 32)
    read_ms = 1e3 * (weights + 2 * 4 * 2 * 8 * 64 * PER_FRAME) / 1e9
    assert bound == Bound("bandwidth", pytest.approx(read_ms / 8.0)), "against the longest gap of our own design"
    assert figures["gap_p95_ratio_blocking"].bound is None
    paced = replace(bench, scale=replace(SMALL, gap_pace=4.0))
    assert "speaking 4 tokens/s" in by_name(gaps.gaps(paced))["gap_p95_ratio"].setting


def test_without_frames_none_is_seen_while_it_speaks(ours: VideoModel) -> None:
    found = gaps_of(Engine(ours), fps=0.0, pace=0.0, num_tokens=10)
    assert found.frames_per_s == 0
    assert 0 < found.p50_ms <= found.p95_ms <= found.p99_ms


@pytest.mark.parametrize(("kind", "num_threads"), [(Engine, 2), (Blocking, 1)])
def test_the_control_sees_and_speaks_in_one_thread_and_the_engine_in_two(
    ours: VideoModel, kind: type[Engine], num_threads: int
) -> None:
    looked: set[int] = set()
    spoke: set[int] = set()
    over = threading.Event()

    class Watched(kind):  # type: ignore[misc, valid-type]
        def look(self) -> bool:
            looked.add(threading.get_ident())
            return bool(super().look())

        def speak(self) -> tuple[bool, float | None]:
            spoke.add(threading.get_ident())
            found: tuple[bool, float | None] = super().speak()
            return found

    def note(event: object) -> None:
        if isinstance(event, Ended):
            over.set()

    with Watched(ours) as engine, open_source(camera(20.0, 0.2), fps=20.0) as source:
        engine.watch(
            source, config=StreamConfig(fps=20.0), speed="max", policy=Threshold(0.0), sampler=Chatter(ours),
            on_event=note,
        )  # fmt: skip
        assert over.wait(20)
    assert len(looked | spoke) == num_threads
    assert (looked == spoke) == (num_threads == 1)


# ---- live streams ---------------------------------------------------------------------------------------------------


def test_climbing_ends_with_the_first_step_that_is_not_held(ours: VideoModel, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, float]] = []

    def prescribed(model: VideoModel, *, streams: int, fps: float, pace: float, seconds: float) -> dict[str, Any]:
        tried.append((streams, fps))
        return {"streams": streams, "fps": fps, "in_real_time": streams < 8}

    monkeypatch.setattr(live, "run", prescribed)
    rows = live.climb(ours, [(2, 1.0), (4, 1.0), (8, 1.0), (16, 1.0)], pace=1.0, seconds=1.0)
    assert tried == [(2, 1.0), (4, 1.0), (8, 1.0)]
    assert live.best(rows, "streams") == 4
    assert live.best(rows[2:], "streams") == 0, "nothing was held"
    assert live.best([], "streams") == 0


class Prescribed:
    """An engine whose streams are over at once, with given totals; it speaks a given number of words."""

    ends: Sequence[tuple[int, int, float | None]] = ()
    words = 0

    def __init__(self, model: VideoModel, config: object) -> None:
        self.num_rows, self.num_passes, self._watched = 6, 4, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def watch(self, source: object, *, trace: Callable[..., None], on_event: Callable[..., None], **how: Any) -> None:
        perceived, dropped, lag_s = self.ends[self._watched]
        self._watched += 1
        for _ in range(self.words):
            trace("ran", tokens=1)
            trace("fed", ids=[1])
        on_event(
            Ended(
                seq=1, time_s=1.0, wall_s=1.0, frame=0, reason="eof", received=perceived + dropped,
                perceived=perceived, dropped=dropped, pending=0, lag_p95_s=lag_s,
            )
        )  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "words", "held"),
    [
        ([(10, 0, 1.0), (10, 0, 0.2)], 19, True),
        ([(10, 0, 1.01), (10, 0, 0.2)], 20, False),
        ([(10, 0, 0.1), (9, 1, 0.1)], 20, False),
        ([(10, 0, 0.1), (10, 0, None)], 18, False),
    ],
    ids=["held", "late", "dropped", "slow of speech"],
)
def test_real_time_is_nothing_dropped_frames_within_a_second_and_95_percent_of_the_pace(
    ours: VideoModel, monkeypatch: pytest.MonkeyPatch, ends: list[Any], words: int, held: bool
) -> None:
    monkeypatch.setattr(live, "Engine", type("Given", (Prescribed,), {"ends": ends, "words": words}))
    slept: list[float] = []
    monkeypatch.setattr(live, "time", SimpleNamespace(process_time=iter([2.0, 5.0]).__next__, sleep=slept.append))
    row = live.run(ours, streams=2, fps=5.0, pace=10.0, seconds=2.0)
    assert slept == [2.0]
    assert row["in_real_time"] is held
    assert row["words_per_s_each"] == words / 2.0
    assert row["frames_per_s"] == sum(perceived for perceived, _, _ in ends) / 2.0
    assert (row["dropped"], row["lag_p95_s"]) == (sum(n for _, n, _ in ends), max(lag or 0.0 for _, _, lag in ends))
    assert (row["rows_a_pass"], row["cores_used"]) == (1.5, 1.5)


def test_the_figures_of_live_streams_tell_what_was_tried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[int, float, float]] = []

    def prescribed(model: VideoModel, *, streams: int, fps: float, pace: float, seconds: float) -> dict[str, Any]:
        ran.append((streams, fps, pace))
        held = fps <= 16.0 and streams <= 4
        return {"streams": streams, "fps": fps, "frames_per_s": fps * streams, "in_real_time": held}

    monkeypatch.setattr(live, "run", prescribed)
    scale = replace(SMALL, live_model="own", live_fps=(8.0, 16.0, 32.0, 64.0), live_streams=(2, 4, 8), live_pace=3.0)
    part = live.live(replace(bench, scale=scale))
    assert ran[1:] == [(1, 8.0, 20.0), (1, 16.0, 20.0), (1, 32.0, 20.0), (2, 1.0, 3.0), (4, 1.0, 3.0), (8, 1.0, 3.0)]
    figures = by_name(part)
    assert (figures["frames_per_s"].value, figures["streams_at_1fps"].value) == (16.0, 4)
    assert isinstance(figures["streams_at_1fps"].value, int)
    assert figures["frames_per_s"].setting == (
        "small, one stream of 640 x 360 px at 20 tokens/s, rates tried: 8, 16, 32, 64, 0.5 s each"
    )
    assert figures["streams_at_1fps"].setting == "small, 3 tokens/s each, numbers tried: 2, 4, 8, 0.5 s each"
    assert figures["frames_per_s"].bound == Bound("arithmetic", pytest.approx(16.0 * 669_696 / 1e9))
    assert len(part.rows) == 6


def test_nano_has_another_encoder_and_so_no_bound_and_is_loaded_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"streams": 1, "fps": 8.0, "frames_per_s": 8.0, "in_real_time": True}
    monkeypatch.setattr(live, "run", lambda model, **how: held)
    figures = by_name(live.live(bench))
    assert figures["frames_per_s"].setting.startswith("nano, one stream")
    assert figures["frames_per_s"].bound is None
    assert bench.live_model() is bench.live_model()
    assert bench.live_model().config.vision.kind == "conv"


# ---- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 8])
def test_bytes_per_frame_are_measured_as_they_are_reckoned(ours: VideoModel, frames: int) -> None:
    measured = memory.held_per_frame(ours, StreamConfig(memory_frames=frames))
    assert measured == entry_bytes(ours.config, bytes_per_number=4) == 2 * 1 * PER_FRAME * 2 * 8 * 4


def test_the_table_of_memory_sets_each_against_the_plain_one(bench: Bench) -> None:
    part = memory.memory(bench)
    figures = by_name(part)
    plain, small, twin = part.rows
    assert plain == {"who": "vigil", "memory": "plain", "bytes_per_frame": 640, "of_plain": 1.0}
    assert small["bytes_per_frame"] == figures["bytes_per_frame_small"].value
    assert small["of_plain"] == pytest.approx(small["bytes_per_frame"] / 640)
    assert small["of_plain"] < 1 / 8, "8 bits instead of 32, and four frames in one"
    assert twin["bytes_per_frame"] == 4 * 640, "every layer keeps them, not one of four"
    assert figures["bytes_per_frame_11b"].value == 3_309_568
    assert figures["bytes_per_frame_small"].setting.endswith("all but 32 of them 4 frames each; reckoned")


# ---- who talks ------------------------------------------------------------------------------------------------------


def test_a_talker_speaks_for_itself_and_needs_a_tokenizer() -> None:
    model = build(small_config(), CPU, torch.float32)
    assert not Chatter(model).is_greedy
    model.tokenizer = None
    with pytest.raises(AssertionError):
        Chatter(model)
    assert not Mouth().is_open


@pytest.mark.parametrize(("fps", "seconds", "num"), [(2.0, 1.4, 2), (0.001, 2000.0, 2), (30.0, 0.1, 3), (1.0, 0.5, 0)])
def test_a_camera_gives_the_frames_of_its_length(fps: float, seconds: float, num: int) -> None:
    frames = list(camera(fps, seconds, seed=3))
    assert [round(at_s * fps) for _, at_s in frames] == list(range(num))
    assert all(image.shape == (360, 640, 3) for image, _ in frames)


def test_two_cameras_with_one_seed_see_the_same() -> None:
    first, again, other = (next(camera(1.0, 1.0, seed=seed))[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
