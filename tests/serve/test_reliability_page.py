"""The page about reliability names only tests that exist, and says what was measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reliability_page", ROOT / "tools" / "reliability_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_test_that_the_page_names_exists(tool: ModuleType) -> None:
    tests = tool.known_tests(ROOT / "tests")
    assert tool.unknown(tests) == []
    first = next(iter(tool.catalogue()[0][2]))
    assert tool.unknown({name: file for name, file in tests.items() if name != first}) == [first]


def test_every_threat_has_a_test(tool: ModuleType) -> None:
    for threat, _, ids in tool.THREATS:
        assert tool.rows_of(ids), threat


def test_figures_are_told_where_they_were_measured_and_left_out_elsewhere(tool: ModuleType) -> None:
    figures = {"W9": {"reconnects": 7, "events": 8, "lost": 0}}
    page = tool.page(figures, tool.known_tests(ROOT / "tests"), date="2026-11-23", where="here")
    assert "7, 8 events, 0 lost" in page
    assert "hostile messages:" not in page
    assert "2026-11-23 (here)" in page
