"""`vigil eval bench` and docs/benchmarks.md: the list, what is missing, and a whole run on a small folder."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_folders import folder_of

from vigil.cli import eval_bench, main
from vigil.errors import SourceError
from vigil.eval.benchmarks import BENCHMARKS, benchmark
from vigil.eval.benchmarks.offline import HEADER, OFFLINE, offline_cells

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "benchmarks.md"
PAPER = """OCRBench, MMStar, MMBench-CN, MMBench-EN, MMMU, RealWorldQA, MuirBench, SEED-Bench, MME-RealWorld, POPE,
CV-Bench, V*, AI2D, VisuLogic, VLMs-are-blind, ZeroBench, VideoMME, EgoSchema, LongVideoBench, MLVU, LVBench,
TempCompass, VSI-Bench, Video-Holmes"""


def rows_of(title: str) -> list[tuple[str, ...]]:
    """The cells of the table below a heading of the page, its header first."""
    part = PAGE.read_text(encoding="utf-8").split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|") and not set(line) <= set("|- ")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_every_offline_benchmark_of_the_paper_has_a_row() -> None:
    assert [row.name for row in OFFLINE] == [name.strip() for name in PAPER.replace("\n", " ").split(",")]


def test_the_page_and_the_command_show_the_same_table() -> None:
    assert rows_of("Offline, by plug-in") == [HEADER, *offline_cells()]


def test_the_page_names_source_revision_and_licence_of_each_streaming_benchmark() -> None:
    header, *rows = rows_of("Streaming")
    assert header == ("name", "benchmark", "revision", "size", "licence")
    found = [benchmark(name) for name in BENCHMARKS]
    assert rows[: len(found)] == [
        (one.name, one.title, one.download.revision, one.download.size, one.download.licence) for one in found
    ]


def test_the_list_is_printed_for_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "bench", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(row.task in text for row in OFFLINE)
    assert all(name in text for name in BENCHMARKS)
    assert main(["eval", "bench", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [tuple(row.values()) for row in listed["offline"]] == offline_cells()


def test_missing_data_is_exit_code_3_with_one_clear_line_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "bench", "rtv", "--data", str(tmp_path)]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"vigil: RTV-Bench is not in {tmp_path}: QA.json not found. Download it yourself:"
    assert "licence: none stated: no right to redistribute" in lines


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nope", "--data", "."], "there is no benchmark 'nope'"),
        (["rtv"], "wants NAME and --data DIR"),
        (["rtv", "--data", ".", "--judge", "http://x", "m"], "--judge rates replies of proactive"),
        (["rtv", "--data", ".", "--limit", "0"], "not a whole number of at least 1"),
    ],
)
def test_wrong_arguments_are_exit_code_2(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "bench", *argv]) == 2
    assert message in capsys.readouterr().err


def test_the_help_names_every_flag_and_fits_a_screen() -> None:
    lines = eval_bench.HELP.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 42
    for flag in eval_bench.parser()._actions:
        for name in flag.option_strings:
            assert name in ("-h", "--help") or f"\n  {name} " in eval_bench.HELP


def test_a_run_prints_both_scorers_and_keeps_logs_items_and_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = folder_of("omnimmi", tmp_path, with_videos=True), tmp_path / "out"
    argv = ["eval", "bench", "omnimmi", "--data", str(folder), "--out", str(out), "--limit", "1"]
    assert main(argv) == 0
    text = capsys.readouterr().out
    for part in (
        "official",
        "strict",
        "PT balanced",
        "recent_16",
        "published: MOSS-VL-Realtime: PA accuracy 66",
        "no CI",
    ):
        assert part in text
    items = [json.loads(line) for line in (out / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["item"] for row in items} == {"PA-0000", "PT-0000", "PT-0000-addressed"}
    kept = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert main([*argv, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == kept
    assert main([*argv[:-1], "2", "--model", "nano-offline"]) == 2  # another model may not go on in this folder


def test_a_file_that_is_not_the_pinned_one_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of("rtv", tmp_path)
    assert main(["eval", "bench", "rtv", "--data", str(folder)]) == 3
    said = capsys.readouterr().err
    assert "QA.json is not the pinned revision" in said
    assert "2 of 2 videos of RTV-Bench" in said


DATA = os.environ.get("VIGIL_BENCH_DATA", "")


def checker() -> Any:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("check_annotations", ROOT / "tools" / "check_annotations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not DATA, reason="VIGIL_BENCH_DATA names no folder with streamingbench, ovo, rtv and river")
@pytest.mark.parametrize("name", ["streamingbench", "ovo", "rtv", "river"])
def test_figures_that_need_only_annotations_reproduce(name: str) -> None:
    figures = checker().CHECKS[name](Path(DATA) / name)
    assert [figure.line() for figure in figures if not figure.is_right] == []


def test_the_checking_script_sees_that_other_annotations_give_other_figures(tmp_path: Path) -> None:
    figures = checker().river(folder_of("river", tmp_path))
    assert "DIFFERS Streaming answers: expected 3662, found 3.00" in [figure.line() for figure in figures]
    with pytest.raises(SourceError, match="is not in"):
        checker().rtv(tmp_path / "nothing")


def test_the_best_echo_is_tried_at_the_beginning_of_every_window() -> None:
    module = checker()
    assert module.best_echo([5.0, 6.5, 20.0], 0, 2) == pytest.approx(200 / 3)
    assert module.best_echo([5.0, 6.5, 20.0], 1, 0) == pytest.approx(100 / 3)
    assert module.Figure("a", 43.8, 43.84).is_right
    assert not module.Figure("a", 43.8, 43.9).is_right
    assert not module.Figure("a", 43.8, None).is_right
