"""The offline protocols: what is timed how often, what is made of the times, and which rows are shown."""

from __future__ import annotations

from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from contestant import Prescribed, prescribe
from very_small import SMALL

from vigil.eval.speed import offline, qwen
from vigil.eval.speed.bench import Bench
from vigil.eval.speed.figures import Bound, Figure, Part
from vigil.eval.speed.machine import Rates
from vigil.eval.speed.offline import Offline, matched, noise, paper, run

CPU = torch.device("cpu")


def bench(**changes: Any) -> Bench:
    return Bench(SMALL, CPU, Rates(bytes_per_s=1e10, flops_per_s=1e10), **changes)


def found(name: str, encode_s: float, prefill_s: float, token_s: float, *, frames: int = 8, tokens: int = 5) -> Offline:
    return Offline(
        name=name, frames=frames, vision_tokens=frames * tokens, encode_s=encode_s, prefill_s=prefill_s,
        token_s=token_s, encode_bound=0.5, prefill_bound=0.25, token_bound=0.8,
    )  # fmt: skip


def by_name(part: Part) -> dict[str, Figure]:
    return {figure.name: figure for figure in part.figures}


# ---- one measurement ------------------------------------------------------------------------------------------------


def test_the_first_token_comes_after_the_encoder_and_the_prefill() -> None:
    one = found("vigil", 0.2, 0.3, 0.01, frames=4)
    assert one.ttft_s == pytest.approx(0.5)
    assert one.ttft_bound == pytest.approx((0.5 * 0.2 + 0.25 * 0.3) / 0.5), "each stage counts by its time"
    assert one.row() == {
        "who": "vigil",
        "frames": 4,
        "vision_tokens": 20,
        "encoder_s": 0.2,
        "decoder_s": 0.3,
        "ttft_s": pytest.approx(0.5),
        "ms_per_token": pytest.approx(10.0),
        "of_bound: encoder": 0.5,
        "decoder": 0.25,
        "token": 0.8,
    }


@pytest.mark.parametrize("num", [1, 2, 15, 16, 17, 40])
def test_noise_has_as_many_frames_as_are_wanted_and_is_the_same_each_time(num: int) -> None:
    frames_FHWC = noise(num, (4, 6))
    assert frames_FHWC.shape == (num, 4, 6, 3)
    assert frames_FHWC.dtype == torch.uint8
    assert torch.equal(frames_FHWC, noise(num, (4, 6)))
    assert frames_FHWC.float().std() > 50
    if num > 16:
        assert torch.equal(frames_FHWC[16], frames_FHWC[0])
        assert not torch.equal(frames_FHWC[1], frames_FHWC[0])


def test_what_is_over_soon_is_timed_three_times_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    prescribe(monkeypatch, iter([0.9, 0.1, 0.3, 0.4, 0.2, 0.6, 0.03, 0.01, 0.02]))
    who = Prescribed()
    one = run(bench(), who, 2)
    assert (one.encode_s, one.prefill_s, one.token_s) == (0.3, 0.4, 0.02)
    assert [what for what, _ in who.asked] == [
        *("encode", "prefill", "say"),  # to warm up
        *("encode", "encode", "encode", "prefill", "prefill", "prefill"),
        *("say", "say", "say", "say"),  # the first one is not timed
    ]
    assert [count for what, count in who.asked if what == "prefill"] == [4, *[SMALL.reply_tokens] * 3]


def test_what_takes_a_second_or_more_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prescribe(monkeypatch, chain([1.0, 5.0], repeat(0.01)))
    who = Prescribed()
    one = run(bench(), who, 2)
    assert (one.encode_s, one.prefill_s) == (1.0, 5.0)
    assert [what for what, _ in who.asked].count("encode") == 2, "to warm up, and once"


def test_fractions_of_the_bounds_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    prescribe(monkeypatch, chain([2.0, 4.0], repeat(0.8)))
    one = run(bench(), Prescribed(), 6)
    assert one.encode_bound == pytest.approx(6e9 / 1e10 / 2.0)
    assert one.prefill_bound == pytest.approx(2e9 / 1e10 / 4.0)
    assert one.token_bound == pytest.approx(4e9 / 1e10 / 0.8)
    assert one.vision_tokens == 15.0


def test_a_contestant_is_warmed_up_once_and_what_runs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    prescribe(monkeypatch, repeat(0.01))
    told: list[str] = []
    here, who = bench(note=told.append), Prescribed("twin")
    run(here, who, 2)
    run(here, who, 8)
    run(here, who, 8)
    assert told == ["twin: warming up", "twin: 2 frames offline", "twin: 8 frames offline"]
    assert sorted(here.offline) == [("twin", 2), ("twin", 8)]


# ---- the parts ------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench on which everything has been measured, in round numbers."""
    here = bench()
    monkeypatch.setattr(qwen, "why_not", lambda: "")
    monkeypatch.setattr(Bench, "qwen", lambda self, name, frame_px: SimpleNamespace(name=name))
    for one in (
        found("vigil", 0.2, 0.3, 0.01),
        found("twin", 0.3, 1.2, 0.015),
        found("qwen", 2.0, 3.0, 0.04, tokens=30),
        found("qwen matched", 0.5, 0.75, 0.03, tokens=4),
        *(found(name, 0.1, 0.1, 0.01, frames=2) for name in ("vigil", "twin", "qwen matched")),
    ):
        here.offline[one.name, one.frames] = one
    return here


def test_the_papers_protocol_divides_theirs_by_ours(filled: Bench) -> None:
    part = paper(filled)
    figures = by_name(part)
    assert figures["ttft_ratio_qwen"].value == pytest.approx(5.0 / 0.5)
    assert figures["decode_ratio_qwen"].value == pytest.approx(0.04 / 0.01)
    assert figures["ttft_ratio_qwen"].bound == Bound("arithmetic", pytest.approx(0.35))
    assert figures["decode_ratio_qwen"].bound == Bound("bandwidth", 0.8), "the bound of our own side"
    assert figures["ttft_ratio_qwen"].setting == (
        "8 frames of 1080p, 40 against 240 vision tokens, reply of 4 forced tokens"
    )
    assert [(row["who"], row["frames"]) for row in part.rows] == [("vigil", 2), ("vigil", 8), ("qwen", 8)]


def test_the_matched_protocol_compares_with_the_twin_and_with_qwen(filled: Bench) -> None:
    part = matched(filled)
    figures = by_name(part)
    assert figures["ttft_ratio_twin"].value == pytest.approx(1.5 / 0.5)
    assert figures["decoder_prefill_ratio_twin"].value == pytest.approx(1.2 / 0.3)
    assert figures["decode_ratio_twin"].value == pytest.approx(1.5)
    assert figures["ttft_ratio_qwen_matched"].value == pytest.approx(1.25 / 0.5)
    assert figures["decoder_prefill_ratio_twin"].bound == Bound("arithmetic", 0.25)
    assert figures["ttft_ratio_twin"].setting == "8 resized frames, 40 vision tokens each side, one prompt"
    assert figures["ttft_ratio_qwen_matched"].setting == "8 resized frames, 40 against 32 vision tokens"
    order = [(row["who"], row["frames"]) for row in part.rows]
    assert order == [(who, num) for who in ("vigil", "twin", "qwen matched") for num in (2, 8)]


def test_without_qwen_only_its_own_figure_is_lacking_and_a_row_says_why(
    filled: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "qwen", lambda self, name, frame_px: None)
    monkeypatch.setattr(qwen, "why_not", lambda: "it is not installed")
    part = matched(filled)
    figures = by_name(part)
    assert (figures["ttft_ratio_qwen_matched"].value, figures["ttft_ratio_qwen_matched"].reason) == (
        None,
        "it is not installed",
    )
    assert figures["ttft_ratio_twin"].value == pytest.approx(3.0)
    assert figures["ttft_ratio_twin"].reason == ""
    assert figures["ttft_ratio_qwen_matched"].setting == "8 resized frames, 40 against no vision tokens"
    assert part.rows[-1] == {"who": "qwen: it is not installed"}
    assert "qwen matched" not in {row["who"] for row in part.rows}


def test_each_number_of_frames_that_a_picture_needs_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def measured(here: Bench, who: Any, num: int) -> Offline:
        asked.append((who.name, num))
        return found(who.name, 0.1, 0.1, 0.01, frames=num)

    monkeypatch.setattr(offline, "run", measured)
    monkeypatch.setattr(Bench, "qwen", lambda self, name, frame_px: SimpleNamespace(name=name, frame_px=frame_px))
    monkeypatch.setattr(qwen, "why_not", lambda: "")
    matched(bench())
    names = ("vigil", "twin", "qwen matched")
    assert set(asked) == {(name, num) for name in names for num in (*SMALL.fewer_frames, SMALL.frames)}
