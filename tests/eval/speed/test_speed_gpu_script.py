"""`benchmarks/gpu/measure.py`, on a CPU at a very small scale."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from very_small import SMALL

import vigil
from vigil.eval.speed import scales

FOLDER = Path(vigil.__file__).parent.parent / "benchmarks" / "gpu"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not part of the package")
CPU = torch.device("cpu")
sys.path.insert(0, str(FOLDER))


def test_parity_is_exact_in_fp32_and_rounded_in_bf16() -> None:
    import measure

    found = measure.parity(SMALL, CPU)
    assert len(found) == 6
    for case, differs in found.items():
        assert differs["largest_difference"] < (1e-4 if "float32" in case else 0.5), case
    assert all(found[case]["relative"] > 1e-4 for case in found if "bfloat16" in case)


def test_padding_skipped_is_measured_beside_exact_with_its_difference() -> None:
    import measure

    found = measure.encoder(SMALL, CPU)
    assert found["exact_frames_per_s"] > 0
    assert found["padding_skipped_frames_per_s"] > 0
    assert 0 < found["relative_difference"] < 2


def test_a_step_is_printed_and_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import measure

    monkeypatch.setitem(scales.SCALES, "tiny", SMALL)
    words = ["measure.py", "weights", "prefill", "--scale", "tiny", "--device", "cpu", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    measure.main()
    weights, prefill = map(json.loads, capsys.readouterr().out.splitlines())
    assert all(weights[kind]["tokens_per_s"] > 0 for kind in ("model", "int8", "fp8"))
    assert prefill["padding_skipped_ttft_s"] > 0
    assert json.loads((tmp_path / "weights.json").read_text()) == weights
