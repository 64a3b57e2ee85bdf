"""Every command of docs/hf.md and docs/data-card.md runs; the cards' figures are those of the pages they come from."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.hf.hub import Hub
from vigil.assets import demo_clip
from vigil.cli import main
from vigil.model.weights import find_folder

pytest.importorskip("transformers", reason="vigil.hf needs transformers: pip install 'vigil-video[hf]'")

ROOT = Path(__file__).parents[2]
PAGE, DATA_CARD = (ROOT / "docs" / name for name in ("hf.md", "data-card.md"))


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_s_code_runs_in_the_order_in_which_it_stands(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub(monkeypatch)
    shutil.copyfile(demo_clip(), tmp_path / "clip.mp4")
    shutil.copytree(folders["training"], tmp_path / "released")
    (tmp_path / "page.py").write_text("\n".join(blocks(PAGE, "python")))
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path("page.py")
    assert capsys.readouterr().out.splitlines() == ["The light is green."] * 2
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= hub.files.keys()
    assert names["model"].config.network.vision.kind == "tile_vit"


def test_the_page_names_the_versions_that_the_extra_allows() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["hf"] == ["transformers>=5.0,<6"]
    assert 'pip install "vigil-video[hf]"' in blocks(PAGE, "sh")[0]
    assert "`transformers` 5.0.0 " in PAGE.read_text()


def test_the_data_card_s_commands_make_records_without_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in blocks(DATA_CARD, "sh")[0].splitlines():
        command, *arguments = shlex.split(line.replace("--scenes 8", "--scenes 2"))
        assert command == "vigil"
        assert main(arguments) == 0
    assert (tmp_path / "talks.jsonl").read_text().count("\n") > 2


def figures(text: str) -> set[str]:
    """Decimal fractions and numbers of thousands."""
    return set(re.findall(r"(?<![\w.:])\d+\.\d+(?![\w.])|\d+,\d{3}", text))


@pytest.mark.parametrize("card", [DATA_CARD, find_folder("nano") / "README.md"], ids=["data card", "model card"])
def test_no_card_has_a_figure_that_its_sources_lack(card: Path) -> None:
    sources = "".join((ROOT / "docs" / name).read_text() for name in ("behaviour.md", "nano.md"))
    found = figures(card.read_text())
    assert len(found) > 5
    assert found - figures(sources) - {"2.0"} == set()
