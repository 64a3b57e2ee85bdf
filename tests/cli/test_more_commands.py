"""The commands that make data, train and measure: their arguments and what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import tiny_model

from vigil.cli import main
from vigil.model.weights import save
from vigil.train.stages import NANO


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A folder with a tiny random model."""
    save(tiny_model(), tmp_path / "tiny")
    return str(tmp_path / "tiny")


@pytest.mark.parametrize("command", ["train", "world", "eval", "synth"])
def test_help_fits_a_screen_and_shows_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0
    assert text.startswith(f"usage: vigil {command}")
    assert "examples:" in text
    assert "exit codes:" in text
    assert len(text.splitlines()) <= 48
    assert max(map(len, text.splitlines())) <= 90


def test_a_dry_run_of_training_names_the_stages_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "nano", "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "1,6" in out.splitlines()[0]
    assert [line.split(":")[0] for line in out.splitlines()[1:]] == [make.__name__ for make in NANO]
    assert not (tmp_path / "run").exists()


def test_rendered_scenes_can_be_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scenes"
    assert main(["world", "render", "--out", str(out), "--scenes", "2", "--seconds", "6", "--scale", "1"]) == 0
    assert len(list(out.glob("*.mp4"))) == 2
    captions = [json.loads(line) for line in (out / "captions.jsonl").read_text().splitlines()]
    assert [row["id"] for row in captions] == ["world:val:0", "world:val:1"]
    assert main(["synth", str(out / "captions.jsonl"), "--out", str(tmp_path / "q.jsonl")]) == 0
    assert "no fault" in capsys.readouterr().err or (tmp_path / "q.jsonl").is_file()


def test_behaviour_prints_json_with_controls(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["eval", "behaviour", "--model", model, "--split", "val", "--scenes", "1", "--seconds", "12", "--json"])
        == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert set(result["speak_f1_2s"]) == {"value", "lo", "hi", "n"}
    blind = {"always_silent", "always_talk", "blind", "echo_after_k", "parse_attack"}
    assert set(result["controls"]) == blind | {"text_only", "recent_4", "recent_16", "oracle"}
    assert "twa_now_oracle" in result


def test_causality_is_told_in_a_line_each(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "causality", "--model", model, "--split", "val", "--scenes", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("streaming: 0 violations in 1 trials")
    assert lines[2] == "forward with leak: 1 violations in 1 trials"


def test_a_log_without_its_truth_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "log", "run.jsonl"]) == 2
    assert "wants FILE and --truth FILE" in capsys.readouterr().err
