"""`vigil bench`: its help, its flags, and what goes where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vigil.cli import bench, main
from vigil.eval.speed import machine, scales
from vigil.eval.speed.run import PARTS
from vigil.eval.speed.scales import TINY


def test_the_parts_that_the_flags_take_are_those_that_there_are() -> None:
    assert bench.NAMES == tuple(PARTS)


def test_parts_run_in_their_order_however_they_are_named() -> None:
    assert bench.parser().parse_args(["--parts", "gaps,memory"]).parts == ("memory", "gaps")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--parts", "memory,speed"], "'speed' is no part; there are memory, question"),
        (["--scale", "7b"], "invalid choice: '7b'"),
        (["--device", "toaster"], "--device 'toaster' is no device"),
        (["--device", "meta"], "--device must be cpu or cuda, got 'meta'"),
    ],
)
def test_a_wrong_flag_is_one_line_and_code_2(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *flags]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--scale", "11b"]) == 2
    assert "torch sees no GPU here" in capsys.readouterr().err


def test_the_help_fits_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: vigil bench ")
    assert len(text.splitlines()) <= 34
    assert max(map(len, text.splitlines())) <= 82


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny scale with a model that is made at once."""
    import sys

    sys.path.insert(0, str(Path(__file__).parent.parent / "eval" / "speed"))
    from very_small import SMALL

    assert TINY.name in scales.SCALES
    monkeypatch.setitem(scales.SCALES, "tiny", SMALL)
    monkeypatch.setitem(machine.READ_BYTES, "cpu", 1 << 20)
    monkeypatch.setitem(machine.MATMUL_SIDE, "cpu", 64)


@pytest.mark.usefixtures("quick")
def test_json_is_the_last_line_of_stdout_and_the_card_goes_to_stderr(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["bench", "--parts", "memory", "--json", "--save", str(tmp_path / "speed.json")]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["bytes_per_frame"] > 0
    assert told["reasons"]["frames_per_s"] == "its part was not asked for (--parts)"
    assert json.loads((tmp_path / "speed.json").read_text()) == told
    assert "bytes_per_frame" in err


@pytest.mark.usefixtures("quick")
def test_without_json_the_card_is_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--parts", "memory"]) == 0
    out = capsys.readouterr().out
    assert "Memory per frame" in out
    assert not out.splitlines()[-1].startswith("{")


@pytest.mark.usefixtures("quick")
def test_a_file_that_cannot_be_written_is_code_5(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "--parts", "memory", "--save", str(tmp_path / "no" / "where.json")]) == 5
    assert "Choose another --save" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_an_interrupted_run_shows_what_it_has_and_ends_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(bench: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(PARTS, "question", stop)  # type: ignore[arg-type]
    assert main(["bench", "--parts", "memory,question", "--json"]) == 130
    told = json.loads(capsys.readouterr().out)
    assert told["interrupted"] is True
    assert told["bytes_per_frame"] > 0
    assert "interrupted" in told["reasons"]["ttft_question_s"]
