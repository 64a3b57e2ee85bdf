"""The page around the numbers: its shell and its sections, the streams that are shown and its looks."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from event_logs import frame, log_of, truth_of
from page_tree import Node, light, tree

from vigil.eval.behaviour import report
from vigil.eval.report.document import document, many, scrollable, section
from vigil.eval.report.markup import tag
from vigil.eval.report.page import PageConfig, make_page
from vigil.eval.report.pictures import CELL_PX
from vigil.eval.report.stream_view import index, stream_section
from vigil.eval.report.streams import Stream
from vigil.world.render import write_video

FAST = PageConfig(replicates=10)
CSS = files("vigil.eval.report").joinpath("page.css").read_text(encoding="utf-8")
SCRIPT = files("vigil.eval.report").joinpath("page.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> Node:
    return tree(make_page([light(), light("two"), light("three")], replace(FAST, num_streams=2)))


# ---- the shell ------------------------------------------------------------------------------------------------------


def test_a_document_is_one_page_in_english_with_its_title() -> None:
    html = document(tag("header"), tag("p", "main <part>"), title="a <title>")
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert html.endswith("</html>\n")
    root = tree(html)
    assert root.one("title").text == "a <title> · vigil"
    assert root.one("main").text == "main <part>"
    assert root.one("a", of="skip").attrs["href"] == "#scores", "a keyboard can skip the head"
    assert any(meta.attrs.get("charset") == "utf-8" for meta in root.all("meta"))
    assert any(meta.attrs.get("name") == "viewport" for meta in root.all("meta"))


def test_a_section_has_its_anchor_and_a_lead_only_where_there_is_something_to_say() -> None:
    full = tree(section("here", "Title", "lead", tag("p", "body"))).one("section")
    assert (full.attrs["id"], full.one("h2").text, full.one("p", of="lead").text) == ("here", "Title", "lead")
    assert tree(section("here", "Title", "")).all("p", of="lead") == []


def test_a_wide_box_is_reached_by_the_keyboard_and_has_a_name() -> None:
    box = tree(scrollable("Scores & more", tag("table"), data_end=3)).one("div", of="wide")
    assert (box.attrs["tabindex"], box.attrs["role"], box.attrs["aria-label"]) == ("0", "region", "Scores & more")
    assert box.attrs["data-end"] == "3"


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "stream", "1 stream"), (2, "stream", "2 streams"), (0, "stream", "0 streams"), (0.5, "minute", "0.5 minutes")],
)
def test_a_number_and_its_noun_agree(count: float, noun: str, text: str) -> None:
    assert many(count, noun) == text


def test_the_head_tells_what_ran(page: Node) -> None:
    head = page.one("header")
    assert head.one("h1").text == "tiny3 streams, 0.5 minutes of video"
    assert "clock cost · policy argmax · seed 0 · 1 frame per second · log " in head.text
    streams = [light(), light("two"), light("three")]
    own = report([(one.log, one.truth) for one in streams], replicates=10)
    assert head.one("code").text == own["run"]["log_sha256"][:12]
    assert [link.attrs["href"] for link in head.one("nav").all("a")] == [
        "#scores", "#latency", "#calibration", "#run", "#streams"
    ]  # fmt: skip
    assert {"scores", "latency", "calibration", "run", "streams"} <= {
        one.attrs.get("id") for one in page.all("section")
    }


# ---- looks ----------------------------------------------------------------------------------------------------------


def test_the_theme_is_that_of_the_reader_until_it_is_chosen_and_needs_no_script(page: Node) -> None:
    choices = page.one("fieldset", of="theme").all("input")
    assert [one.attrs["id"] for one in choices] == ["theme-auto", "theme-light", "theme-dark"]
    assert ["checked" in one.attrs for one in choices] == [True, False, False]
    assert {one.attrs["name"] for one in choices} == {"theme"}
    assert "color-scheme: light dark;" in CSS
    for name in ("light", "dark"):
        assert f":root:has(#theme-{name}:checked) {{ color-scheme: {name}; }}" in CSS
    assert "theme" not in SCRIPT


def test_every_colour_has_a_light_and_a_dark_side() -> None:
    root = CSS[CSS.index(":root {") : CSS.index("}", CSS.index(":root {"))]
    colours = [line for line in root.splitlines() if "#" in line]
    assert len(colours) >= 8
    assert all("light-dark(#" in line for line in colours)
    rest = CSS.replace(root, "")
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;,) ])", rest) == [], "elsewhere only variables are used"
    used, defined = set(re.findall(r"var\((--[a-z-]+)\)", CSS)), set(re.findall(r"(--[a-z-]+):", CSS))
    assert used <= defined


def test_a_page_can_be_printed_and_read_without_a_script(page: Node) -> None:
    assert "@media print" in CSS
    assert all("hidden" in one.attrs for one in page.all("div", of="preview")), "only the script shows previews"
    assert all("open" in one.attrs for one in page.all("details") if one.all("ol"))


def test_what_the_script_looks_for_is_on_the_page(page: Node) -> None:
    stream = tree(stream_section(light(), 0))
    classes = {name for one in (page, stream) for node in one.all() for name in node.classes}
    wanted = set(re.findall(r"querySelector(?:All)?\(\"\.([a-z-]+)\"\)", SCRIPT))
    assert wanted == {"scrub", "wide", "timeline", "cursor", "preview"}
    assert wanted - {"preview"} <= classes, "a preview is there where there are pictures"
    attributes = {name for node in stream.all() for name in node.attrs}
    assert {"data-from", "data-text", "data-end", "data-step"} <= attributes


def test_marks_that_a_reader_must_tell_apart_have_a_style(page: Node) -> None:
    styled = set(re.findall(r"\.([a-z0-9-]+)", CSS))
    for name in ("speech", "revision", "off", "extra", "quiet", "spoke", "state", "event", "null", "right", "stale",
                 "struck", "link", "flag", "asked", "dropped", "blindmark", "oraclemark", "interval", "curve", "c2",
                 "chip", "silence", "missed"):  # fmt: skip
        assert name in styled, name


# ---- streams --------------------------------------------------------------------------------------------------------


def test_every_stream_has_a_line_and_those_that_are_shown_a_link(page: Node) -> None:
    table = page.one("table", of="index")
    rows = [[cell.text for cell in row.children if isinstance(cell, Node)] for row in table.one("tbody").all("tr")]
    assert [row[0] for row in rows] == ["one", "two", "three"]
    assert rows[0][1:] == ["10", "1", "0.67", "0.84", "1", "1"]
    assert [link.attrs["href"] for link in table.all("a")] == ["#stream-0", "#stream-1"]
    assert [one.attrs["id"] for one in page.all("section", of="stream")] == ["stream-0", "stream-1"]


def test_an_index_says_whether_all_are_shown() -> None:
    streams = [light(), light("two")]
    assert (
        "2 streams in the order of the logs; all shown in full below, none picked by hand."
        in tree(index(streams, 2)).text
    )
    assert "the first 1 shown in full" in tree(index(streams, 1)).text
    assert len(tree(index(streams, 0)).one("table").all("a")) == 0


def test_a_stream_without_a_truth_has_dashes_for_its_shares() -> None:
    quiet = Stream(name="quiet", log=log_of(*frame(0, 0.0), end_s=2.5), truth=truth_of())
    (row,) = tree(index([quiet], 1)).one("tbody").all("tr")
    assert [cell.text for cell in row.all("td")] == ["2.5", "0", "–", "–", "0", "0"]


def test_a_stream_in_full_tells_its_length_its_questions_and_where_its_pictures_come_from() -> None:
    part = tree(stream_section(light("kitchen"), 7)).one("section", of="stream")
    assert part.attrs["id"] == "stream-7"
    assert part.one("h3").text == "kitchen"
    assert part.all("p", of="note")[0].text == (
        "10 s, 10 frames; 1 colour, 1 event. No pictures: the log names no world scene, and no --video was given."
    )
    box = part.one("div", of="wide")
    assert (box.attrs["data-end"], box.attrs["data-step"]) == ("10", "1")
    assert part.all("div", of="preview") == []
    nobody = Stream(name="x", log=log_of(end_s=2.0), truth=truth_of())
    assert "2 s, 0 frames; no question." in tree(stream_section(nobody, 0)).text


def test_streams_have_ids_of_their_own_in_every_drawing() -> None:
    first, second = (tree(stream_section(light(), n)) for n in (0, 1))
    ids = [{node.attrs["id"] for node in one.all() if "id" in node.attrs} for one in (first, second)]
    assert ids[0] & ids[1] == set()


def filmed(tmp_path: Path, num: int = 3) -> Stream:
    """A stream that watched a video of so many seconds, each darker than the next."""
    shades = np.linspace(20, 220, num).round().astype(np.uint8)
    write_video(np.stack([np.full((48, 64, 3), s, dtype=np.uint8) for s in shades]), 1.0, tmp_path / "v.mp4", scale=2)
    log = log_of(*(row for i in range(num) for row in frame(i, float(i))), end_s=float(num))
    return Stream(name="v", log=log, truth=truth_of(), video=tmp_path / "v.mp4")


def test_a_preview_knows_the_time_of_each_cell_and_the_sheet(tmp_path: Path) -> None:
    part = tree(stream_section(filmed(tmp_path), 4))
    preview = part.one("div", of="preview")
    assert preview.attrs["data-cells"] == "0:0 1:1 2:2"
    assert preview.attrs["data-sheet"] == "sheet-4"
    assert (preview.attrs["data-wide"], preview.attrs["data-high"]) == ("88", str(CELL_PX))
    symbol = part.one("symbol")
    assert symbol.attrs["id"] == "sheet-4"
    assert {use.attrs["href"] for use in part.all("use")} == {"#sheet-4"}
    assert (symbol.one("image").attrs["href"] or "").startswith("data:image/jpeg;base64,")
