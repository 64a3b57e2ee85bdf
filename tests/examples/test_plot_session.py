"""The notebook that draws a session: its cells run in order, in one namespace, and the picture shows what happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BOOK = Path(__file__).parents[2] / "examples" / "plot_session.ipynb"


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    """What the notebook's names stand for after its last cell."""
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    found: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads(BOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{BOOK.name}:{cell['id']}", "exec"), found)
    yield found
    found["plt"].close(found["figure"])


def test_the_notebook_keeps_no_outputs() -> None:
    book = json.loads(BOOK.read_text(encoding="utf-8"))
    assert book["nbformat"] == 4
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 3
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_it_has_seen_every_frame_and_measured_each(names: dict[str, Any]) -> None:
    assert names["frames_s"] == pytest.approx([float(second) for second in range(20)])
    assert len(names["lags_ms"]) == 20
    assert all(0 <= lag_ms for lag_ms in names["lags_ms"])
    assert all(0 <= p <= 1 for p in names["p_silence"])


def test_what_it_draws_is_what_happened(names: dict[str, Any]) -> None:
    story, sure, late = names["figure"].axes
    written = [text.get_text() for text in story.texts]
    said = [event.text for event in names["spoken"]]
    assert "A house appears." in said
    assert [text for text in written if text in said] == said
    assert [event.text for event in names["asked"]] == [text for text in written if text not in said]
    taken_back = [text.get_text() for text in story.texts if text.get_color() == names["RED"]]
    assert taken_back == ["The light is red.", "The light is yellow.", "The light is red."]
    assert len(sure.collections[-1].get_offsets()) == len(names["slots"]) > 20
    assert len(late.patches) == 20


def test_no_two_of_its_texts_lie_on_each_other(names: dict[str, Any]) -> None:
    names["figure"].canvas.draw()
    boxes = [text.get_window_extent() for text in names["figure"].axes[0].texts]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]
    frame = names["figure"].bbox
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
