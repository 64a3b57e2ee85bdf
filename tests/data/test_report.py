"""Numbers and plots of a file of records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.data.test_check import ALERT, GOOD, NEVER, record
from vigil.data.report import measure, summary, write_report
from vigil.errors import OutputError


def test_measures_by_hand() -> None:
    offline = replace(record(replace(GOOD, ask_s=12.0, replies=GOOD.replies[:1])), offline=True)
    stats = measure([record(GOOD), record(ALERT), record(NEVER), offline], words_per_s=4.0)
    assert stats.wait_s == [0.0, 3.5]
    assert stats.words == [4, 4, 4, 3, 4]
    assert stats.silence == [9 / 12, 11 / 12, 1.0]
    assert stats.never == {"alert": 1}
    assert (stats.records, stats.offline, stats.revisions) == (4, 1, 2)
    assert stats.roles == {("state", False): 1, ("alert", False): 2, ("state", True): 1}
    assert summary(stats)["live_questions_without_reply"] == pytest.approx(1 / 3)


def test_nothing_measured_is_null_not_zero() -> None:
    assert summary(measure([]))["wait_median_s"] is None
    assert summary(measure([]))["silence_mean"] is None


def test_a_report_is_a_picture_and_its_numbers(tmp_path: Path) -> None:
    picture = write_report(measure([record(GOOD), record(ALERT), record(NEVER)]), tmp_path / "report")
    with Image.open(picture) as image:
        assert image.size[0] > 1000
    assert json.loads((tmp_path / "report" / "report.json").read_text())["records"] == 3


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"the report cannot be written to .*Choose another folder"):
        write_report(measure([]), tmp_path / "file")
