"""A whole run at a very small scale, its card and pictures, and a run that is interrupted."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from very_small import SMALL

from vigil.eval.speed import offline, qwen
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.card import number, show
from vigil.eval.speed.contestants import Ours
from vigil.eval.speed.figures import DEFINITIONS, REQUIRED, Results
from vigil.eval.speed.machine import Rates
from vigil.eval.speed.plots import draw
from vigil.eval.speed.run import PARTS, measure

CPU = torch.device("cpu")


def last(runs: Iterator[Results]) -> Results:
    """What a whole run gives."""
    return deque(runs, maxlen=1).pop()


@pytest.fixture(scope="module")
def whole() -> Results:
    """Every part but the 1080p video, which alone takes seconds."""
    return last(measure(SMALL, CPU, [name for name in PARTS if name != "video"], lambda text: None))


def test_a_run_gives_every_required_figure(whole: Results) -> None:
    told = whole.to_json()
    absent = {"ttft_ratio_qwen", "decode_ratio_qwen"} if qwen.why_not() else set()
    assert {name for name in REQUIRED if told[name] is None} == absent
    assert {figure.name for figure in whole.figures} <= set(DEFINITIONS)
    assert all(figure.setting for figure in whole.figures)
    json.dumps(told, allow_nan=False)


def test_the_encoder_rests_while_tokens_are_spoken(whole: Results) -> None:
    assert whole.to_json()["encoder_passes_per_token"] == 0


def test_an_answer_needs_at_most_two_steps_beyond_its_prompt(whole: Results) -> None:
    assert 0 <= whole.to_json()["ttft_question_steps"] <= 2


def test_bytes_per_frame_are_those_of_the_keys_and_values(whole: Results) -> None:
    told = whole.to_json()
    assert told["bytes_per_frame"] == 2 * 5 * 2 * 8 * 4
    assert told["bytes_per_frame_11b"] == 3_309_568
    assert told["bytes_per_frame_small_11b"] < 3_309_568 / 4


def test_twin_and_qwen_stand_beside_us_with_equal_frames(whole: Results) -> None:
    rows = whole.parts["matched"].rows
    names = {"vigil", "twin"} | (set() if qwen.why_not() else {"qwen matched"})
    assert {(row["who"], row["frames"]) for row in rows if "frames" in row} == {(n, f) for n in names for f in (2, 8)}
    ours, twin = (next(r for r in rows if r["who"] == n and r["frames"] == 8) for n in ("vigil", "twin"))
    assert ours["vision_tokens"] == twin["vision_tokens"] == 8 * 5


def test_the_card_shows_figures_with_their_meaning_setting_and_bound(whole: Results) -> None:
    paper = StringIO()
    show(whole, Console(file=paper, width=160))
    text = " ".join(paper.getvalue().split())
    for words in (
        "ttft_question_s",
        "question to first visible text",
        "of bound",
        "bandwidth",
        "frames seen",
        "blocking",
    ):
        assert words in text
    assert "not here" not in text


def test_pictures_are_drawn_against_frames_and_length_of_the_stream(whole: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert [path.name for path in draw(whole, tmp_path)] == ["speed-frames.png", "speed-stream.png"]
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())


def test_without_transformers_the_row_and_the_figures_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen, "why_not", lambda: "transformers is not here")
    results = last(measure(SMALL, CPU, ["paper"], lambda text: None))
    told = results.to_json()
    assert told["ttft_ratio_qwen"] is told["decode_ratio_qwen"] is None
    assert told["reasons"]["decode_ratio_qwen"] == "transformers is not here"
    assert any("transformers is not here" in row["who"] for row in results.parts["paper"].rows)


def test_what_was_measured_offline_is_shared_by_parts() -> None:
    bench = Bench(SMALL, CPU, Rates(1e10, 1e11))
    first = offline.run(bench, bench.vigil(), 2)
    assert offline.run(bench, bench.vigil(), 2) is first
    assert bench.vigil() is bench.vigil()


def test_a_reply_has_the_length_that_was_asked_for() -> None:
    said: list[int] = []

    class Counted(Ours):
        def say(self, token: int) -> int:
            said.append(token)
            return super().say(token)

    bench = Bench(SMALL, CPU, Rates(1e10, 1e11))
    who = Counted(bench.vigil().model, 4)
    offline.run(bench, who, 2)
    assert said == [offline.TOKEN] * (1 + SMALL.reply_tokens), "one to warm up, then the reply"


def test_an_interrupt_leaves_what_was_measured_before(monkeypatch: pytest.MonkeyPatch) -> None:
    from vigil.cli import bench as command

    def stop(bench: Bench) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(PARTS, "decode", stop)  # type: ignore[arg-type]
    results = command.measured(SMALL, CPU, ["memory", "decode", "live"])
    told = results.to_json()
    assert results.interrupted
    assert list(results.parts) == ["memory"]
    assert told["bytes_per_frame"] > 0
    assert "interrupted" in told["reasons"]["decode_tokens_per_s"]


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    runs: Iterator[Results] = measure(SMALL, CPU, ["memory"], lambda text: None)
    next(runs)
    runs.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (3, "3"), (3309568, "3,309,568"), (0.0421, "0.0421"), (12.345, "12.3"), (1234.5, "1,234")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
