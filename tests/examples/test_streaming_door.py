from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "streaming_door.py"


def test_the_rule_hears_the_dark_in_time_and_pays_for_a_false_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    found = runpy.run_path(str(EXAMPLE))
    assert found["dark_s"] == [7.0, 17.0]
    assert [speech.tau_first for speech in found["log"].speech][:2] == [7.1, 17.1]
    assert found["score"] == pytest.approx(2 * 2 / (3 + 2))  # 2 of 3 replies match 2 events
    assert "F1 within 2 s 0.80" in capsys.readouterr().out
