"""The files of the page, as they are and as they are served; what they do is in test_page_browser.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from tests.serve.serving import serving
from vigil.assets import demo_clip
from vigil.serve.app import PAGE

HTML = (PAGE / "index.html").read_text(encoding="utf-8")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGE.glob("*.js"))}
STYLE = (PAGE / "style.css").read_text(encoding="utf-8")
VOID = {"meta", "link", "img", "input"}


class Elements(HTMLParser):
    """Every element with its attributes and the words inside it, or, where it holds none, those of its label."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        element = (tag, dict(attrs), [])
        if tag == "input" and self._open[-1][0] == "label":
            element = (tag, dict(attrs), self._open[-1][2])
        self.found.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """It must be the one that was opened last."""
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        """Text belongs to all elements around it."""
        for _, _, words in self._open:
            words.append(data.strip())


ELEMENTS = Elements(HTML).found


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """Somebody without a token."""
    with (
        serving() as served,
        httpx.Client(base_url=f"http://127.0.0.1:{served.port}", verify=False, trust_env=False) as client,
    ):
        yield client


def test_the_page_and_all_that_it_names_is_served_without_a_token(http: httpx.Client) -> None:
    named = {value for _, attrs, _ in ELEMENTS for key in ("src", "href") if (value := attrs.get(key))}
    imported = {f"/page/{name}" for text in SCRIPTS.values() for name in re.findall(r'from "\./([\w.]+)"', text)}
    others = {name for text in SCRIPTS.values() for name in re.findall(r'"(/page/[\w.]+)"', text)}
    assert {"/page/app.js", "/page/vigil.js", "/page/ticker.js", "/page/demo.mp4"} <= named | imported | others
    for address in sorted({"/"} | named | imported | others):
        assert http.get(address).status_code == 200, address


def test_the_policy_allows_nothing_but_this_server_and_nothing_inline(http: httpx.Client) -> None:
    policy = http.get("/").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in policy


def test_nothing_is_inline() -> None:
    for tag, attrs, words in ELEMENTS:
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")]
        if tag in ("script", "style"):
            assert attrs.get("src")
            assert not "".join(words)


def test_no_file_names_an_address_outside() -> None:
    for name, text in {"index.html": HTML, "style.css": STYLE, **SCRIPTS}.items():
        assert not re.findall(r"(?:https?:|wss?:)?//[a-z0-9-]+\.[a-z]", text.replace("// ", "")), name
    assert "url(" not in STYLE


def test_no_script_makes_markup_of_text() -> None:
    for name, text in SCRIPTS.items():
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function", text
        )
        assert not found, name


def test_every_id_that_a_script_asks_for_exists_once() -> None:
    ids = [attrs["id"] for _, attrs, _ in ELEMENTS if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = {name for text in SCRIPTS.values() for name in re.findall(r'byId\("([\w-]+)"\)', text)}
    assert wanted <= set(ids)
    assert set(re.findall(r"#([a-z][\w-]*)", re.sub(r"#[0-9a-f]{3,8}\b", "", STYLE))) <= set(ids)


def test_every_control_has_a_name() -> None:
    labels = {attrs.get("for") for tag, attrs, _ in ELEMENTS if tag == "label"}
    for tag, attrs, words in ELEMENTS:
        if tag in ("button", "summary"):
            assert "".join(words), attrs
        if tag in ("input", "select") and "hidden" not in attrs:
            assert attrs.get("id") in labels or "aria-label" in attrs or words, attrs


def test_the_demo_clip_can_be_read_from_the_middle(http: httpx.Client) -> None:
    reply = http.get("/page/demo.mp4", headers={"range": "bytes=100-199"})
    assert (reply.status_code, reply.headers["content-type"]) == (206, "video/mp4")
    assert reply.content == demo_clip().read_bytes()[100:200]
