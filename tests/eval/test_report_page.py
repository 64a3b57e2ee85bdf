"""The page as a whole: self-contained, well-formed, safe, and true to its logs."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from event_logs import ask, decide, frame, happening, log_of, null, question, say, truth_of, value

from vigil.cli import main
from vigil.errors import ConfigError, DataError
from vigil.eval.behaviour import report
from vigil.eval.log import write_log
from vigil.eval.report.page import PageConfig, make_page
from vigil.eval.report.pictures import COLUMNS
from vigil.eval.report.streams import Stream
from vigil.eval.report.timeline import GUTTER_PX, MARGIN_PX

EVIL = "<script>alert('x')</script><img src=http://evil.example/x onerror=alert(1)> \"' & </title></style>"
FAST = PageConfig(replicates=20)


class Seen(HTMLParser):
    """Elements with their attributes, their text, and what was not closed in order."""

    VOID = frozenset({"meta", "input", "br", "img", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(page)
        self.close()
        self.faults += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.text.append((self.open[-1] if self.open else "", data))

    def values(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]


def seeing(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows, each token having seen the newest frame at 1 fps."""
    return [row | {"vis": int(row["w"])} if row["k"] == "tok" else row for row in rows]


def stream(name: str = "one", text: str = "It is blue.", **head: Any) -> Stream:
    """Ten seconds with a revision, something missed and something that was not due."""
    slots = [row for i in range(10) for row in (*frame(i, float(i)), decide(i + 0.1, "silent", vis=i, p=0.75))]
    log = log_of(
        *slots,
        ask("q1", 0.5, direct=True),
        *seeing(say("1.1", 1.5, "It is red.", q="q1")),
        *seeing(say("1.2", 5.5, text, q="q1", supersedes="1.1")),
        *seeing(say("2.1", 9.5, "Nobody asked.", q=None)),
        end_s=10.0,
        **head,
    )
    truth = truth_of(
        question("q1", 0.5, "state", text="What colour?"),
        value(0.5, 5, "red", alias=["It is red."]),
        value(5, 10, "blue", alias=[text]),
        question("q2", 0.0, "event"),
        happening(3, 4, "a cat", q="q2", accept=["A cat appears."]),
        null(0, 0.5),
    )
    return Stream(name=name, log=log, truth=truth)


@pytest.fixture(scope="module")
def page() -> str:
    return make_page([stream(), stream("two")], FAST)


def test_a_page_is_well_formed_and_its_ids_are_its_own(page: str) -> None:
    seen = Seen(page)
    assert seen.faults == []
    ids = Counter(seen.values("id"))
    assert max(ids.values()) == 1
    assert {name for names in seen.values("aria-labelledby") for name in names.split()} <= ids.keys()
    assert {link[1:] for link in seen.values("href") if link.startswith("#")} <= ids.keys()


def test_a_page_asks_nobody_for_anything(page: str) -> None:
    seen = Seen(page)
    for link in seen.values("href") + seen.values("src"):
        assert link.startswith(("#", "data:"))
    assert "url(" not in page.replace("url(#hatch)", "")
    assert not {tag for tag, _ in seen.elements} & {"link", "iframe", "object", "embed", "base", "form"}
    assert not seen.values("style"), "the policy forbids style attributes"


def test_the_policy_of_a_page_allows_its_own_script_and_style_and_no_other(page: str) -> None:
    policy = next(attrs["content"] or "" for tag, attrs in Seen(page).elements if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert "'sha256-" + base64.b64encode(sha256(text.encode()).digest()).decode() + "'" in policy


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    plain, evil = stream(), stream(EVIL, EVIL, model=EVIL, policy=EVIL)
    evil = Stream(
        name=EVIL,
        log=evil.log,
        truth=truth_of(
            question("q1", 0.5, "state", text=EVIL, role=EVIL),
            value(0.5, 5, "red", alias=["It is red."]),
            value(5, 10, "blue", alias=[EVIL]),
            question("q2", 0.0, "event"),
            happening(3, 4, EVIL, q="q2", accept=[EVIL]),
            null(0, 0.5),
        ),
    )
    safe, attacked = Seen(make_page([plain], FAST)), Seen(make_page([evil], FAST))
    assert [tag for tag, _ in attacked.elements] == [tag for tag, _ in safe.elements]
    assert [set(attrs) for _, attrs in attacked.elements] == [set(attrs) for _, attrs in safe.elements]
    assert attacked.faults == []
    assert ("h1", EVIL) in attacked.text


def test_a_revision_stands_beside_what_it_replaced(page: str) -> None:
    seen = Seen(page)
    assert ("s", "It is red.") in seen.text
    assert ("span", "revises 1.1") in seen.text
    assert ("span", "superseded at 5.5 s") in seen.text
    assert ("span", "nothing was due") in seen.text
    assert ("q", "A cat appears.") in seen.text
    assert any("struck" in name for name in seen.values("class"))


def test_the_numbers_are_those_of_the_measure(page: str) -> None:
    pairs = [(one.log, one.truth) for one in (stream(), stream("two"))]
    result = report(pairs, seed=0, replicates=20)
    words = [text for _, text in Seen(page).text]
    assert result["run"]["log_sha256"] in words
    row = words[words.index("right answer, share of time", words.index("definition")) :][:4]
    assert f"{result['twa_now']['value']:.2f}" in row
    assert "no CI" in row
    assert "Controls not run for these logs: text-only, recent-4, recent-16." in " ".join(words)


def test_the_script_measures_with_the_rulers_of_the_drawing(page: str) -> None:
    assert f"const GUTTER = {GUTTER_PX:g}, MARGIN = {MARGIN_PX:g}, COLUMNS = {COLUMNS};" in page


def test_the_same_logs_give_the_same_page(page: str) -> None:
    assert make_page([stream(), stream("two")], FAST) == page


def test_only_the_first_streams_are_shown_in_full_and_the_page_says_so() -> None:
    page = make_page([stream(), stream("two"), stream("three")], PageConfig(num_streams=2, replicates=20))
    assert len(re.findall(r'<ol class="transcript"', page)) == 2
    assert "3 streams in the order of the logs; the first 2 shown in full below" in page


def test_a_stream_in_which_nothing_happens_has_a_page() -> None:
    quiet = Stream(name="quiet", log=log_of(end_s=0.0, fps=1.0), truth=truth_of())
    seen = Seen(make_page([quiet], FAST))
    assert seen.faults == []


def test_a_summary_adds_its_controls_only_if_it_is_about_these_logs(tmp_path: Path) -> None:
    result = report([(stream().log, stream().truth)], replicates=20)
    result["controls"]["recent_4"] = {"twa_now": {"value": 0.123, "lo": None, "hi": None, "n": 1}}
    file = tmp_path / "summary.json"
    file.write_text(json.dumps(result), encoding="utf-8")
    config = PageConfig(replicates=20, summary=file)
    words = [text for _, text in Seen(make_page([stream()], config)).text]
    assert "recent-4" in words
    assert "0.12" in words
    assert "Controls not run for these logs: text-only, recent-16." in " ".join(words)
    with pytest.raises(ConfigError, match="is about logs with the hash"):
        make_page([stream(text="It is blue!")], config)
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match='has no "run" and "controls"'):
        make_page([stream()], config)


def test_the_command_writes_a_page_from_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path / "a.log.jsonl", stream().log)
    (tmp_path / "a.truth.jsonl").write_text('{"k":"q","q":"q1","t_ask":0.5,"kind":"state"}\n', encoding="utf-8")
    out = tmp_path / "page.html"
    assert main(["eval", "report", str(tmp_path), "--html", str(out), "--streams", "1"]) == 0
    assert "1 streams, 1 in full" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["eval", "report", str(tmp_path), "--html", str(tmp_path)]) == 5
    assert main(["eval", "report", str(tmp_path)]) == 2
    assert main(["eval", "report", str(tmp_path / "nothing"), "--html", str(out)]) == 3


def test_the_help_of_the_command_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["eval", "report", "--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0
    assert text.startswith("usage: vigil eval report")
    assert len(text.splitlines()) <= 48
    assert max(map(len, text.splitlines())) <= 90
