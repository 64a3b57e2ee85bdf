"""The card for people and the pictures: what they show of a run, and what they say of what is lacking."""

from __future__ import annotations

import math
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vigil.errors import OutputError
from vigil.eval.speed.card import TITLES, number, show
from vigil.eval.speed.figures import REQUIRED, Bound, Figure, Part, Results
from vigil.eval.speed.plots import draw

ABOUT = {
    "scale": "tiny", "device": "cpu", "dtype": "float32", "machine": "x86_64 CPU, 2 cores", "torch": "2.13.0",
    "load_1min": 0.25, "read_gb_per_s": 9.876, "matmul_gflop_per_s": 12345.6,
}  # fmt: skip


def card(*figures: Figure, rows: tuple[dict[str, Any], ...] = (), part: str = "decode", **more: Any) -> str:
    """What is printed, runs of spaces as one."""
    paper = StringIO()
    results = Results(ABOUT | more.pop("about", {}), {part: Part(figures, rows)}, **more)
    show(results, Console(file=paper, width=200))
    return "\n".join(" ".join(line.split()) for line in paper.getvalue().splitlines())


# ---- the card -------------------------------------------------------------------------------------------------------


def test_the_head_tells_machine_load_and_rates() -> None:
    head = card().splitlines()[:2]
    assert head[0] == "vigil bench --scale tiny on x86_64 CPU, 2 cores, float32, torch 2.13.0"
    assert head[1] == (
        "load 0.25, reads 9.9 GB/s, multiplies 12,346 GFLOP/s; times are CPU time of one thread unless a table says "
        "otherwise"
    )
    assert "times are the wall clock, device synchronised" in card(about={"device": "cuda:0"})


@pytest.mark.parametrize(
    ("figure", "line"),
    [
        (
            Figure("decode_tokens_per_s", 23.324, "tiny in float32", Bound("bandwidth", 0.6037)),
            "decode_tokens_per_s 23.3 /s 60% bandwidth spoken tokens per second after all frames, one stream",
        ),
        (
            Figure("decoder_prefill_ratio_twin", 21.16, "8 frames", Bound("arithmetic", 0.954)),
            "decoder_prefill_ratio_twin 21.2 x 95% arithmetic >= 20 decoder's share of that prefill, twin by ours",
        ),
        (
            Figure("decode_ratio_1024_over_16", 0.9958, "window 64"),
            "decode_ratio_1024_over_16 0.996 x <= 1.1 time per spoken token after the longest stream by that after 16 "
            "frames, under a window",
        ),
        (
            Figure("decode_bound_fraction", 0.6, "tiny"),
            "decode_bound_fraction 0.600 of the tokens per second that reading weights and memory would allow",
        ),
        (Figure("ttft_ratio_qwen", None, "none", reason="it is not here"), "ttft_ratio_qwen - it is not here"),
    ],
    ids=["bound", "floor", "ceiling", "plain", "absent"],
)
def test_a_figure_is_a_line_with_unit_bound_target_and_meaning(figure: Figure, line: str) -> None:
    lines = card(figure).splitlines()
    assert line in lines
    assert lines[lines.index(line) + 1] == figure.setting, "and its setting below"


@pytest.mark.parametrize(
    ("figure", "colour"),
    [
        (Figure("decoder_prefill_ratio_twin", 21.0, ""), "\x1b[32m21.0 x"),
        (Figure("decoder_prefill_ratio_twin", 19.0, ""), "\x1b[31m19.0 x"),
        (Figure("gap_p95_ratio", 1.9, ""), "\x1b[31m1.90 x"),
    ],
)
def test_a_target_that_is_met_is_green_and_one_that_is_missed_is_red(figure: Figure, colour: str) -> None:
    paper = StringIO()
    show(Results(ABOUT, {"gaps": Part((figure,))}), Console(file=paper, width=200, force_terminal=True, no_color=False))
    assert colour in paper.getvalue()


def test_a_figure_without_a_target_has_no_colour() -> None:
    paper = StringIO()
    part = Part((Figure("decode_tokens_per_s", 23.3, ""),))
    show(Results(ABOUT, {"decode": part}), Console(file=paper, width=200, force_terminal=True))
    assert "\x1b[32m" not in paper.getvalue()
    assert "\x1b[31m" not in paper.getvalue()


def test_rows_share_a_table_whose_columns_are_those_of_all_of_them() -> None:
    rows = (
        {"who": "vigil", "frames": 16, "ms_per_token": 1.0 / 3, "in_real_time": True},
        {"who": "twin", "frames": 1024, "ms_per_token": math.nan, "in_real_time": False},
        {"who": "qwen: not installed"},
        {"design": "beside", "frames": 2, "ms_per_token": None},
    )
    lines = card(rows=rows).splitlines()
    table = lines[lines.index("who frames ms per token in real time design") :]
    assert table[1:5] == ["vigil 16 0.333 yes", "twin 1,024 - no", "qwen: not installed", "2 beside"]


def test_each_part_stands_under_its_title_and_a_part_without_rows_has_no_table() -> None:
    lines = card(Figure("bytes_per_frame", 640, "plain"), part="memory").splitlines()
    assert TITLES["memory"] in lines
    assert "bytes_per_frame 640 B frame memory of one frame" in lines
    assert not any(line.startswith("who") for line in lines)


@pytest.mark.parametrize(
    ("interrupted", "why"),
    [(False, "its part was not asked for (--parts)"), (True, "interrupted before it was measured")],
)
def test_what_is_not_here_is_named_with_the_reason(interrupted: bool, why: str) -> None:
    text = " ".join(card(Figure("decode_tokens_per_s", 1.0, ""), interrupted=interrupted).split())
    assert text.endswith(f": {why}")
    for name in REQUIRED:
        assert (name in text.partition("not here: ")[2]) == (name != "decode_tokens_per_s")


def test_a_figure_that_was_tried_and_has_no_value_is_not_among_those_that_are_not_here() -> None:
    absent = tuple(Figure(name, None, "", reason="why not") for name in REQUIRED)
    assert "not here" not in card(*absent)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "-"), (0, "0"), (0.00001234, "0.0000123"), (0.9999, "1.000"), (9.995, "9.99"), (99.96, "100.0"),
        (999.4, "999"), (1000.0, "1,000"), (-0.5, "-0.500"), (-1234.0, "-1,234"), (12, "12"), (True, "1"),
    ],
)  # fmt: skip
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


# ---- the pictures ---------------------------------------------------------------------------------------------------

Drawn = dict[str, list[tuple[str, str, dict[str, list[tuple[float, float]]]]]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """File name -> per panel its title, its axis, and the points of each line, as they are when the file is written."""
    mpl = pytest.importorskip("matplotlib.figure")
    found: Drawn = {}
    save = mpl.Figure.savefig

    def spy(self: Any, path: Path, **how: Any) -> None:
        panels = []
        for axes in self.axes:
            assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
            lines = {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}
            panels.append((axes.get_title(), axes.get_xlabel(), lines))
        found[path.name] = panels
        save(self, path, **how)

    monkeypatch.setattr(mpl.Figure, "savefig", spy)
    return found


def offline_row(who: str, frames: int, ttft_s: float, decoder_s: float) -> dict[str, Any]:
    return {"who": who, "frames": frames, "ttft_s": ttft_s, "decoder_s": decoder_s}


def test_the_pictures_show_the_rows_that_were_measured(drawn: Drawn, tmp_path: Path) -> None:
    offline = (
        offline_row("vigil", 64, 2.0, 0.2),
        offline_row("vigil", 16, 1.0, 0.1),
        offline_row("twin", 64, 3.0, 2.5),
    )
    asked = ({"who": "vigil", "frames_seen": 16, "question_ms": 125.0},)
    spoken = ({"who": "no window", "frames_seen": 1024, "ms_per_token": 9.0},)
    results = Results(ABOUT, {
        "matched": Part((), offline), "paper": Part((), offline[:1]), "question": Part((), asked),
        "decode": Part((), spoken),
    })  # fmt: skip
    assert [path.name for path in draw(results, tmp_path / "new")] == ["speed-frames.png", "speed-stream.png"]
    assert drawn["speed-frames.png"] == [
        ("TTFT, offline (s)", "frames", {"vigil": [(16, 1.0), (64, 2.0)], "twin": [(64, 3.0)]}),
        ("decoder's share of it (s)", "frames", {"vigil": [(16, 0.1), (64, 0.2)], "twin": [(64, 2.5)]}),
        ("question to first text, streaming (ms)", "frames", {"vigil": [(16, 125.0)]}),
    ]
    assert drawn["speed-stream.png"] == [
        ("time per spoken token (ms)", "s of stream at 1 frame/s", {"no window": [(1024, 9.0)]})
    ]
    assert all((tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG") for name in drawn)


def test_a_row_that_says_why_somebody_is_lacking_is_no_point(drawn: Drawn, tmp_path: Path) -> None:
    rows = (offline_row("vigil", 16, 1.0, 0.1), {"who": "qwen: not installed"})
    draw(Results(ABOUT, {"paper": Part((), rows)}), tmp_path)
    assert [set(lines) for _, _, lines in drawn["speed-frames.png"]] == [{"vigil"}, {"vigil"}]


def test_parts_that_were_not_measured_leave_no_picture(drawn: Drawn, tmp_path: Path) -> None:
    assert draw(Results(ABOUT, {"memory": Part(())}), tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    asked = Part((), ({"who": "vigil", "frames_seen": 16, "question_ms": 125.0},))
    assert [path.name for path in draw(Results(ABOUT, {"question": asked}), tmp_path)] == ["speed-frames.png"]
    assert len(drawn["speed-frames.png"]) == 1


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_flag(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    results = Results(ABOUT, {"paper": Part((), (offline_row("vigil", 16, 1.0, 0.1),))})
    with pytest.raises(OutputError, match=r"file/x cannot be written: Not a directory\. Choose another --plots\."):
        draw(results, tmp_path / "file" / "x")


def test_pictures_without_matplotlib_say_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OutputError, match=r"pip install 'vigil-video\[eval\]'"):
        draw(Results(ABOUT), tmp_path)
