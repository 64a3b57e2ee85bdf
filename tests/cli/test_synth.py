"""`vigil synth`: making records from captions and checking them, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vigil.cli import synth
from vigil.data.records import read_records, write_records
from vigil.errors import ConfigError, DataError, OutputError, SourceError

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"


def run(*words: object) -> None:
    synth.run(synth.parser().parse_args([str(word) for word in words]))


def test_the_help_fits_one_screen() -> None:
    lines = synth.HELP.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert len(lines) <= 45


def test_scenes_become_records_that_pass_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "train.jsonl"
    run("world:train:0-19", "--out", out, "--report", tmp_path / "report")
    told = capsys.readouterr()
    assert told.out == ""
    assert "records of 20 videos in" in told.err
    assert (tmp_path / "report" / "report.png").stat().st_size > 10_000
    run("check", out, "--captions", "world:train:0-19")
    assert "records checked against their captions" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_a_file_of_each_format_goes_through_synth_and_check(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(EXAMPLES / name, "--out", tmp_path / "out.jsonl")
    run("check", tmp_path / "out.jsonl", "--captions", EXAMPLES / name)
    err = capsys.readouterr().err
    assert "no fault" in err
    assert ("skipped: 1 " in err) == (name in ("llava.json", "sharegpt4video.jsonl"))


def test_same_seed_same_file(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("world:train:0-4", "--out", tmp_path / name, "--seed", seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_the_released_form(tmp_path: Path) -> None:
    run("world:train:0-4", "--out", tmp_path / "moss.jsonl", "--format", "moss")
    samples = [json.loads(line) for line in (tmp_path / "moss.jsonl").read_text().splitlines()]
    assert samples
    assert all(sample["videos"][0].startswith("[RealTime QA][INFO]") for sample in samples)


def test_faults_are_listed_and_end_in_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("world:train:0-9", "--out", tmp_path / "good.jsonl")
    records = list(read_records(tmp_path / "good.jsonl"))
    write_records(tmp_path / "bad.jsonl", records)
    text = (tmp_path / "bad.jsonl").read_text().replace('"text": "The', '"text": "<|silence|>The', 1)
    (tmp_path / "bad.jsonl").write_text(text)
    capsys.readouterr()
    with pytest.raises(DataError, match=r"bad.jsonl has 1 faults"):
        run("check", tmp_path / "bad.jsonl", "--captions", "world:train:0-9")
    assert "shape: '<|silence|>The" in capsys.readouterr().out
    with (tmp_path / "bad.jsonl").open("a") as out:
        out.write('{"id": "cut", "turns"\n[1, 2]\n')
    with pytest.raises(DataError, match=r"bad.jsonl has 3 faults"):
        run("check", tmp_path / "bad.jsonl")  # world scenes are their own captions
    told = capsys.readouterr()
    last = len(records)
    assert f"file: shape: bad.jsonl line {last + 1} is not JSON" in told.out
    assert f"file: shape: bad.jsonl line {last + 2} is not a record" in told.out
    assert "against their captions" in told.err


def test_an_empty_file_is_not_without_fault(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match=r"empty\.jsonl holds no record"):
        run("check", tmp_path / "empty.jsonl")


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("world:train:0-1",), ConfigError, "--out is missing"),
        (("nowhere.jsonl", "--out", "x"), SourceError, "there is no caption file nowhere.jsonl"),
        (("world:train:a-b", "--out", "x"), DataError, "is no range of scenes"),
        (("check", "nowhere.jsonl"), SourceError, "there is no file nowhere.jsonl"),
        (("world:train:5-2", "--out", "x"), DataError, "is no range of scenes"),
        (("world:train:0-1", "--out", "/dev/null"), OutputError, "/dev/null is no regular file"),
        (("a", "b"), ConfigError, "one CAPTIONS or check FILE is wanted, got a b"),
        (("world:train:0", "--out", "x", "--llm", "http://h/v1"), ConfigError, "--llm and --model go together"),
        (("world:train:0", "--out", "x", "--workers", "0"), ConfigError, "Run vigil synth --help"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    words: tuple[str, ...], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        run(*words)
    assert not list(tmp_path.iterdir())
