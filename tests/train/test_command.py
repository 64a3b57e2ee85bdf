"""`vigil train`, from the words on the line to the numbers on the screen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import tiny_model
from tests.train.tiny import curve
from vigil.cli import export, train
from vigil.errors import ConfigError
from vigil.model.weights import save


def run(*words: object) -> None:
    train.run(train.parser().parse_args(list(map(str, words))))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the tiny model."""
    save(tiny_model(), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("module", [train, export])
def test_the_help_fits_a_screen_and_has_every_flag(module: object) -> None:
    text, flags = module.HELP, module.parser()._actions  # type: ignore[attr-defined]
    assert len(text.splitlines()) <= 42
    assert max(map(len, text.splitlines())) <= 80
    for flag in flags:
        assert flag.dest in ("help", "recipe") or any(f"  {name} " in text for name in flag.option_strings or ["MODEL"])


def test_a_stage_is_trained_from_a_folder_and_its_model_can_be_trained_on(model: Path, tmp_path: Path) -> None:
    first = (
        "realtime_sft",
        "--init",
        model,
        "--steps",
        2,
        "--per-step",
        2,
        "--lr",
        0.001,
        "--loss",
        "focal",
        "--mask-turn-end",
    )
    run(*first, "--out", tmp_path / "a", "--bf16", "--recompute", "--accumulate", 2)
    assert [step for (step,) in curve(tmp_path / "a", "step")] == [2]
    run(
        "offline_sft", "--init", tmp_path / "a" / "realtime_sft", "--steps", 1, "--per-step", 1, "--out", tmp_path / "b"
    )
    assert (tmp_path / "b" / "offline_sft" / "model.safetensors").is_file()


def test_a_dry_run_counts_the_samples_of_each_kind_and_trains_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    (tmp_path / "t.jsonl").write_text("\n".join([json.dumps(talk)] * 10))
    run("offline_sft", "--init", model, "--data", tmp_path / "t.jsonl", "--dry-run", "--out", tmp_path / "o")
    out = capsys.readouterr().out
    assert "1 steps of 32 examples, lr 1e-05, loss uniform" in out
    assert "t.jsonl: 10 text examples, 32 drawn (3.2 passes)" in out
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nano", "--loss", "focal", "--bf16"), "recipe of its own; leave out --bf16 --loss"),
        (("alignment", "--processes", "2"), "torchrun --nproc-per-node N -m vigil.train"),
        (("pretrain",), "Run vigil train --help"),
        (("temporal", "--lora", "0"), "Run vigil train --help"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run(*words, "--out", tmp_path)


def test_the_module_that_torchrun_starts_is_the_same_command() -> None:
    command = [sys.executable, "-m", "vigil.train", "--help"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == train.HELP
