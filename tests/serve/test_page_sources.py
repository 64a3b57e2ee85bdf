"""Everything that the page can watch, in a real Chromium: files, the screen, a camera, the operator's camera."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from tests.serve.browser import CHROMIUM, Browser, Page, ask, log_of, open_page
from tests.serve.figures import keep
from tests.serve.serving import PATIENT, Served, serving
from tests.serve.test_cameras_night import Switched
from tests.serve.test_hostile import wait_for
from vigil.assets import demo_clip

pytestmark = [
    pytest.mark.tier_p,
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
SEEN = "Number(document.querySelector('#seen').textContent)"
NOTES = "[...document.querySelectorAll('#feed .note p')].map(e => e.textContent)"
OPENINGS = 5
PROMISED_S = 3.0


@pytest.fixture
def door() -> Iterator[Switched]:
    """A camera of the operator."""
    camera = Switched()
    yield camera
    camera.off()


def chosen(page: Page, name: str) -> bool:
    """Whether a button for a source is the pressed one."""
    return bool(page.js(f"document.querySelector('[data-source=\"{name}\"]').ariaPressed === 'true'"))


@contextmanager
def connected(browser: Browser, served: Served) -> Iterator[Page]:
    """The page, which has begun with the clip; it is closed again, so that it takes no time from other tests."""
    page = open_page(browser, served)
    try:
        page.until("document.querySelector('#connection').dataset.state === 'open'")
        yield page
    finally:
        page.close()


@pytest.fixture
def page(browser: Browser, nano: Served) -> Iterator[Page]:
    """The page of the server that a user has."""
    with connected(browser, nano) as page:
        yield page


def old_film(path: Path) -> Path:
    """Six seconds in a form that browsers do not play."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(30):
            image = np.full((96, 128, 3), 8 * number, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        film.mux(stream.encode())
    return path


def newest_source(served: Served) -> dict[str, object]:
    """What the newest session watches, as its log says."""
    live = list(served.gate.hub.active.values())[-1]
    return dict(live.log.state.sources["0"])


def accounts(page: Page) -> tuple[int, int, int]:
    """Frames seen, dropped and not sent, as the page shows them."""
    seen, dropped, skipped = (int(page.text(name)) for name in ("#seen", "#dropped", "#skipped"))
    return seen, dropped, skipped


def test_a_file_is_played_here_and_watched(page: Page, nano: Served) -> None:
    page.choose_file("#file", demo_clip())
    page.until("document.querySelector('[data-source=file]').ariaPressed === 'true'")
    page.until(f"{SEEN} > 1")
    assert page.js("document.querySelector('#video').src").startswith("blob:")
    assert not any("/v1/uploads" in address for address in page.requests)  # it stays on this machine
    ask(page, "What colour is the light?")
    page.until("document.querySelector('#feed .answer .words')?.textContent.includes('light')")
    assert newest_source(nano)["kind"] == "push"
    assert page.text("#problem") == ""


def test_a_file_that_the_browser_cannot_play_is_played_by_the_server(page: Page, nano: Served, tmp_path: Path) -> None:
    path = old_film(tmp_path / "old.avi")
    page.choose_file("#file", path)
    page.until("document.querySelector('#remote').textContent === 'old.avi: played by the server'")
    assert page.js("document.querySelector('#video').hidden")
    page.until(f"{SEEN} > 1")
    assert newest_source(nano)["kind"] == "upload"
    assert page.text("#problem") == ""


def test_a_file_that_is_no_video_is_said_to_be_none(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("Nothing to see here.")
    page.choose_file("#file", path)
    page.until(f"{NOTES}.includes('The pictures of this source cannot be decoded.')")
    page.until("document.querySelector('#mood').textContent === 'The video has ended'")


def test_the_screen_is_watched(page: Page) -> None:
    page.click("[data-source=screen]")
    page.until("document.querySelector('[data-source=screen]').ariaPressed === 'true'")
    page.until(f"{SEEN} > 1")
    surface = page.js("document.querySelector('#video').srcObject.getVideoTracks()[0].getSettings().displaySurface")
    assert surface in ("monitor", "window", "browser")
    assert page.text("#problem") == ""


def test_the_end_of_sharing_is_the_end_of_the_video(page: Page) -> None:
    page.click("[data-source=screen]")
    page.until(f"{SEEN} > 0")
    page.js(
        "(() => { const [track] = document.querySelector('#video').srcObject.getVideoTracks();"
        "track.stop(); track.dispatchEvent(new Event('ended')); })()"  # what the browser's own button does
    )
    page.until("document.querySelector('#mood').textContent === 'The video has ended'")
    page.until("document.querySelector('#connection').dataset.state === 'open'")


def test_a_camera_of_the_operator_is_watched_lost_and_back(browser: Browser, door: Switched) -> None:
    with (
        serving(cameras={"door": f"http://user:canary@127.0.0.1:{door.port}/"}, limits=PATIENT) as served,
        connected(browser, served) as page,
    ):
        page.click('[data-source="@door"]')
        page.until(f"{SEEN} > 1")
        assert chosen(page, "@door")
        assert not chosen(page, "demo")
        assert page.text("#remote") == "door: the picture stays on the server"
        assert page.js("document.querySelector('#video').hidden")
        door.off()
        page.until(f"{NOTES}.some(text => text.startsWith('The source is lost: '))")
        wait_for(lambda: [row["type"] for row in log_of(served)].count("source.lost") > 2)
        door.on()
        page.until(f"{NOTES}.some(text => text.startsWith('The source is back after '))")
        assert page.js(f"{NOTES}.filter(text => text.startsWith('The source is lost: ')).length") == 1
        before = page.js(SEEN)
        page.until(f"{SEEN} > {before}")
        assert "canary" not in page.js("document.documentElement.outerHTML")


def test_what_is_seen_dropped_and_not_sent_is_what_the_server_has_counted(page: Page, nano: Served) -> None:
    page.click("[data-source=camera]")
    page.until(f"{SEEN} > 4")
    page.js("document.querySelector('#video').srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    page.until("document.querySelector('#mood').textContent === 'The video has ended'")
    eye = list(nano.gate.hub.active.values())[-1].eye
    wait_for(lambda: not nano.call(lambda: eye.is_busy))
    totals = nano.call(eye.totals)
    assert totals["received"] == totals["perceived"] + totals["dropped"] > 4
    page.until(f"{SEEN} === {totals['perceived']}")
    assert accounts(page) == (totals["perceived"], totals["dropped"], totals["skipped"])


def test_the_demo_is_answered_within_three_seconds(browser: Browser, nano: Served) -> None:
    times_s = []
    for _ in range(OPENINGS):
        page = open_page(browser, nano)
        page.until("document.querySelector('#feed .answer .words')?.textContent.length > 1")
        times_s.append(page.js("performance.now()") / 1000)
        page.close()
    keep("PAGE", openings=OPENINGS, median_s=round(statistics.median(times_s), 2), most_s=round(max(times_s), 2))
    assert statistics.median(times_s) <= PROMISED_S
