"""The page in a real Chromium, before a real server: what a person sees, presses and loses the connection of."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import ScriptedModel
from tests.serve.browser import CHROMIUM, Browser, Page, ask, log_of, open_page
from tests.serve.serving import ADMIN, Served, serving
from tests.serve.test_hostile import wait_for
from vigil.model.tokens import SILENCE

pytestmark = [
    pytest.mark.tier_p,
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
MARKUP = '<img src="x" onerror="document.title=1"> & <b>bold</b>'
CALM = "!['speaking', 'thinking'].includes(document.querySelector('#quiet').dataset.mood)"
COUNT_OPENINGS = """
globalThis.openings = 0;
new MutationObserver((changes) => {
  const states = [...changes.map((change) => change.oldValue), changes[0].target.dataset.state];
  openings += states.filter((state, at) => at && state === "open" && states[at - 1] !== "open").length;
}).observe(document.querySelector("#connection"), { attributeFilter: ["data-state"], attributeOldValue: true });
"""  # looking now and then would miss a connection that is back at once
SAID = "[...document.querySelectorAll('#feed .answer .words')].map(e => e.textContent)"


@pytest.fixture
def quiet() -> Iterator[Served]:
    """A server whose model never speaks."""
    with serving() as served:
        yield served


def told(browser: Browser, served: Served, model: ScriptedModel, *script: str) -> Page:
    """The page, whose question is open, and a model that says its script from the next frame on."""
    page = open_page(browser, served)
    page.until("document.querySelector('#quiet').dataset.mood === 'thinking'")
    model.script, model.used = ScriptedModel(*script).script, 0
    return page


def cut(served: Served) -> None:
    """Every connection is lost."""
    served.call(lambda: [view.end(1012) for live in served.gate.hub.active.values() for view in live.views])


def test_the_demo_is_answered_by_itself_and_asks_nobody_else(browser: Browser, nano: Served) -> None:
    page = open_page(browser, nano)
    page.until("document.querySelector('#feed .answer .words')?.textContent.length > 1")
    first_s = page.js("performance.now()") / 1000
    print(f"first answer {first_s:.1f} s after opening the page")
    assert page.text("#feed .question p") == "What colour is the light?"
    assert page.until("document.querySelector('#feed .answer img.thumb')?.naturalWidth") == 256
    assert page.js("location.hash") == ""  # the token is gone from the address bar
    assert page.until("document.querySelector('#pins .pin') !== null")
    mine = (f"http://127.0.0.1:{nano.port}/", f"ws://127.0.0.1:{nano.port}/", f"blob:http://127.0.0.1:{nano.port}/")
    assert [address for address in page.requests if not address.startswith((*mine, "data:image/svg+xml"))] == []
    assert page.complaints == []


def test_a_camera_is_watched_and_each_answer_shows_the_frame_it_had_seen(browser: Browser, nano: Served) -> None:
    page = open_page(browser, nano)
    page.until("document.querySelector('#connection').dataset.state === 'open'")
    page.click("[data-source=camera]")
    page.until("document.querySelector('[data-source=camera]').ariaPressed === 'true'")
    page.until("Number(document.querySelector('#seen').textContent) > 1")
    ask(page, "What colour is the light?")
    page.until("document.querySelector('#feed .answer .words')?.textContent.includes('light')")
    assert "saw frame" in page.text("#feed .answer small")
    assert page.until("document.querySelector('#feed .answer img.thumb')?.naturalWidth") == 256


def test_a_revised_answer_is_struck_through_and_followed_by_the_new_one(browser: Browser) -> None:
    model = ScriptedModel()
    with serving(model) as served:
        page = told(browser, served, model, "Red.", SILENCE, SILENCE, "Green.")
        page.until("document.querySelector('#feed ins')?.textContent === 'Green.'")
        assert page.js("document.querySelector('#feed del').textContent") == "Red."
        assert page.js("document.querySelectorAll('#feed .answer').length") == 1
        assert page.js("document.querySelector('#said').textContent") == "Corrected: Green."


def test_silence_is_shown_as_calm_and_not_as_a_message(browser: Browser, quiet: Served) -> None:
    page = open_page(browser, quiet)
    page.until("document.querySelector('#connection').dataset.state === 'open'")
    page.click("[data-source=camera]")
    page.until("document.querySelector('[data-source=camera]').ariaPressed === 'true'")  # the demo has gone
    page.until("document.querySelector('#quiet').dataset.mood === 'quiet'")
    assert page.text("#mood").startswith("Watching, quiet for")
    page.until("Number(document.querySelector('#seen').textContent) > 1")
    assert page.js("[...document.querySelectorAll('#feed li')].map((node) => node.outerHTML)") == []


def test_escape_interrupts_an_answer(browser: Browser) -> None:
    model = ScriptedModel()
    with serving(model, tokens_per_s=8) as served:
        page = told(browser, served, model, "A very long answer that nobody wants to hear to its end." * 4)
        page.until("document.querySelector('#quiet').dataset.mood === 'speaking'")
        page.key("Escape")
        page.until("document.querySelector('#feed .answer small')?.textContent.includes('interrupted')")


def test_after_lost_connections_nothing_is_missing_and_nothing_is_shown_twice(browser: Browser) -> None:
    model = ScriptedModel()
    with serving(model, tokens_per_s=32) as served:
        page = told(browser, served, model, "One two three four five six seven eight nine ten eleven twelve. " * 4)
        page.js(COUNT_OPENINGS)
        for number in range(3):
            page.until("document.querySelector('#quiet').dataset.mood === 'speaking'")
            cut(served)
            if number == 1:
                ask(page, "Again?")
            page.until(f"openings > {number}")
        page.until("document.querySelectorAll('#feed .question').length === 2")
        wait_for(lambda: [row["type"] for row in log_of(served)].count("answer.done") == 2, 60)
        page.until(CALM)
        rows = log_of(served)
    done = [row["text"].strip() for row in rows if row["type"] == "answer.done"]
    asked = [row["text"] for row in rows if row["type"] == "input.text.accepted"]
    assert page.js(SAID) == done
    assert asked == ["What colour is the light?", "Again?"]
    assert page.js("[...document.querySelectorAll('#feed .question p')].map(e => e.textContent)") == asked


def test_two_tabs_are_two_sessions(browser: Browser, quiet: Served) -> None:
    pages = [open_page(browser, quiet) for _ in range(2)]
    for number, page in enumerate(pages):
        page.until("document.querySelector('#connection').dataset.state === 'open'")
        ask(page, f"Question of tab {number}?")
    for number, page in enumerate(pages):
        page.until(f"document.querySelector('#feed').textContent.includes('Question of tab {number}?')")
        assert f"tab {1 - number}" not in page.text("#feed")
    assert len(quiet.gate.hub.active) == 2


def test_markup_stays_text(browser: Browser) -> None:
    model = ScriptedModel()
    with serving(model) as served:
        page = told(browser, served, model, MARKUP)
        page.until(f"{SAID}[0]?.length === {len(MARKUP)}")
        ask(page, MARKUP)
        page.until(f"[...document.querySelectorAll('#feed p')].some(e => e.textContent === {json.dumps(MARKUP)})")
        assert page.js(f"{SAID}[0]") == MARKUP
        assert page.js("document.querySelectorAll('#feed b, #feed img:not(.thumb)').length") == 0
        assert page.js("document.title") == "vigil"


def test_a_session_is_saved_as_the_server_has_it(browser: Browser, tmp_path: Path) -> None:
    model = ScriptedModel()
    with serving(model) as served:
        page = told(browser, served, model, "Hello & <you>.")
        page.until(f"{SAID}[0] === 'Hello & <you>.'")
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        saved = {kind: save(page, tmp_path, kind) for kind in ("srt", "vtt", "jsonl")}
        rows = log_of(served)
    lines = [json.loads(line) for line in saved["jsonl"].splitlines()]
    assert lines == rows[: len(lines)]
    number, times, said = saved["srt"].strip().split("\n")
    assert (number, said) == ("1", "Hello & <you>.")
    assert len(times) == len("00:00:00,000 --> 00:00:00,000")
    assert saved["vtt"].startswith("WEBVTT\n\n1\n00:00:0")
    assert saved["vtt"].endswith("Hello &amp; &lt;you&gt;.\n")


def save(page: Page, folder: Path, kind: str) -> str:
    """Choose a format in the menu; what comes."""
    page.click("#menu summary")
    page.click(f"[data-save={kind}]")
    path, deadline = folder / f"vigil-demo.{kind}", time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, page.text("#problem")
        time.sleep(0.05)
    return path.read_text(encoding="utf-8")


def test_a_wrong_token_is_asked_for_again(browser: Browser, quiet: Served) -> None:
    page = browser.open(f"http://127.0.0.1:{quiet.port}/#token=wrong")
    page.until("document.querySelector('#door').open")
    page.js("document.querySelector('#token').focus()")
    page.type(ADMIN)
    page.key("Enter")
    page.until("document.querySelector('#connection').dataset.state === 'open'")


def test_every_control_can_be_reached_and_has_a_name_for_screen_readers(browser: Browser, quiet: Served) -> None:
    page = open_page(browser, quiet)
    page.until("document.querySelectorAll('.idea').length > 0")
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "checkbox", "combobox", "DisclosureTriangle"}
    controls = [node for node in tree if node.get("role", {}).get("value") in roles and not node["ignored"]]
    assert len(controls) >= 9
    assert [node for node in controls if not node["name"]["value"].strip()] == []
    reached = set()
    for _ in range(40):
        page.key("Tab")
        reached.add(page.js("document.activeElement.id || document.activeElement.dataset.source || ''"))
    assert {"demo", "camera", "screen", "file", "fps", "question", "standing", "feed"} <= reached


@pytest.mark.parametrize(("width", "height"), [(360, 640), (390, 844), (844, 390), (1280, 800), (1920, 1080)])
def test_nothing_sticks_out_at_any_size(browser: Browser, quiet: Served, width: int, height: int) -> None:
    page = open_page(browser, quiet, width=width, height=height, phone=width < 900)
    page.until("document.querySelector('#connection').dataset.state === 'open'")
    assert page.js("document.documentElement.scrollWidth") <= width
    assert page.js("document.querySelector('#question').getBoundingClientRect().bottom") <= height
    assert page.js("document.querySelector('#video').getBoundingClientRect().height") >= 120


def test_the_client_alone_does_each_command_once_over_lost_connections(browser: Browser, quiet: Served) -> None:
    page = browser.open(f"http://127.0.0.1:{quiet.port}/")
    page.js(
        "import('/page/vigil.js').then(({ Vigil }) => { window.events = []; window.done = [];"
        f"window.vigil = new Vigil({{ token: '{ADMIN}', open: {{ sources: [{{ source: 0, kind: 'push' }}] }} }});"
        "vigil.addEventListener('event', ({ detail }) => events.push(detail)); })"
    )
    page.until("vigil.isOpen")
    for number in range(6):
        page.js(
            f"void vigil.command('input.text', {{ text: 'Question {number}', mode: 'queue', answer_by_s: null }})"
            ".then(({ cmd }) => done.push(cmd))"
        )
        cut(quiet)
    page.until("done.length === 6")
    assert page.js("done") == [1, 2, 3, 4, 5, 6]
    assert page.js("events.map(e => e.seq)") == list(range(1, page.js("events.length") + 1))
    asked = "events.filter(e => e.type === 'input.text.accepted').map(e => e.text)"
    assert page.js(asked) == [f"Question {number}" for number in range(6)]


def test_the_client_alone_goes_on_after_a_refused_command(browser: Browser, quiet: Served) -> None:
    page = browser.open(f"http://127.0.0.1:{quiet.port}/")
    told = page.js(
        f"import('/page/vigil.js').then(async ({{ Vigil }}) => {{ const vigil = new Vigil({{ token: '{ADMIN}' }});"
        "const calls = [['source.remove', { source: 3 }], ['input.text', { text: '', mode: 'queue' }],"
        "  ['input.text', { text: 'Well?', mode: 'queue' }]];"
        "const results = await Promise.allSettled(calls.map((call) => vigil.command(...call)));"
        "return results.map(({ reason, value }) => reason?.message ?? value.cmd); })"
    )
    assert told == ["not_found", "bad_message", 1]
