"""A real Chromium, driven over its debugging protocol: open a page, press its keys, look at it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from websockets.sync.client import ClientConnection, connect

from tests.serve.serving import ADMIN, Served
from vigil.assets import demo_clip

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
)  # fmt: skip
START_S, WAIT_S = 60.0, 60.0


class Page:
    """One tab."""

    def __init__(self, ws: ClientConnection, target: str, session: str, browser: Browser) -> None:
        self.target = target
        self.requests: list[str] = []
        """Every address that the tab has asked for."""
        self.complaints: list[str] = []
        """Uncaught errors, and what the security policy has refused."""
        self._ws = ws
        self._session = session
        self._browser = browser

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol."""
        return self._browser.call(method, session=self._session, **params)

    def js(self, code: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        reply = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def until(self, code: str, timeout: float = WAIT_S) -> Any:
        """Wait until an expression is true, and what it asks for exists; return it."""
        deadline = time.monotonic() + timeout
        while not (value := self.js(f"(() => {{ try {{ return {code} }} catch {{ return false }} }})()")):
            assert time.monotonic() < deadline, (
                f"not within {timeout} s: {code}\n{self.text('body')}\n{self.complaints}"
            )
            time.sleep(0.05)
        return value

    def text(self, selector: str) -> str:
        """What a part of the page says."""
        return str(self.js(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element."""
        found = f"document.querySelector({json.dumps(selector)})"
        x, y = self.js(
            f"(() => {{ const box = {found}; box.scrollIntoView({{block: 'nearest'}});"
            "const b = box.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def choose_file(self, selector: str, path: Path) -> None:
        """Give a file to a field for one, as a person does in the window that it opens."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def key(self, key: str) -> None:
        """Press a key that has a name or is one character."""
        code = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32}.get(key, 0)
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        down = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=down, key=key, text=text, windowsVirtualKeyCode=code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def look(self, width: int, height: int, *, dark: bool = False, scale: float = 1, phone: bool = False) -> None:
        """The size and the colours that the page is shown in."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Save what is seen."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", targetId=self.target)

    def hear(self, message: dict[str, Any]) -> None:
        """An event of the protocol."""
        params = message["params"]
        match message["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"])[:500])
            case "Log.entryAdded" if params["entry"]["source"] in ("security", "javascript"):
                self.complaints.append(params["entry"]["text"])


class Browser:
    """A Chromium that runs."""

    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws
        self._id = 0
        self._pages: dict[str, Page] = {}

    def call(self, method: str, *, session: str | None = None, **params: Any) -> dict[str, Any]:
        """One command of the protocol; events that come before its answer go to their tabs."""
        self._id += 1
        more = {} if session is None else {"sessionId": session}
        self._ws.send(json.dumps({"id": self._id, "method": method, "params": params, **more}))
        while True:
            message = json.loads(self._ws.recv(timeout=START_S))
            if message.get("id") == self._id:
                assert "error" not in message, (method, message["error"])
                reply: dict[str, Any] = message["result"]
                return reply
            page = self._pages.get(message.get("sessionId", ""))
            if page is not None and "method" in message:
                page.hear(message)

    def open(self, url: str, *, width: int = 1280, height: int = 800, phone: bool = False) -> Page:
        """A new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self._ws, target, session, self)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.look(width, height, phone=phone)
        page.call("Page.navigate", url=url)
        page.until(f"location.href.startsWith({json.dumps(url.split('#')[0])}) && document.readyState === 'complete'")
        return page


@contextmanager
def chromium(folder: Path, *flags: str) -> Iterator[Browser]:
    """Run a browser with a profile of its own in a folder."""
    assert CHROMIUM is not None
    profile = folder / "profile"
    args = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        note, deadline = profile / "DevToolsActivePort", time.monotonic() + START_S
        while not (note.exists() and len(lines := note.read_text().splitlines()) == 2):
            assert time.monotonic() < deadline, "the browser does not start"
            assert process.poll() is None, "the browser has stopped"
            time.sleep(0.05)
        with connect(f"ws://127.0.0.1:{lines[0]}{lines[1]}", max_size=None, compression=None, ping_interval=None) as ws:
            yield Browser(ws)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def clip_to_y4m(path: Path) -> None:
    """The form in which Chromium's camera takes a file."""
    with av.open(str(demo_clip())) as clip, path.open("wb") as out:
        out.write(b"YUV4MPEG2 W256 H256 F8:1 Ip A1:1 C420\n")
        for frame in clip.decode(video=0):
            out.write(b"FRAME\n" + frame.reformat(format="yuv420p").to_ndarray().tobytes())


def open_page(browser: Browser, served: Served, **more: Any) -> Page:
    """The page as the printed address opens it."""
    return browser.open(f"http://127.0.0.1:{served.port}/#token={ADMIN}", **more)


def ask(page: Page, text: str) -> None:
    """By keyboard alone."""
    page.key("/")
    page.until("document.activeElement.id === 'question'")
    page.type(text)
    page.key("Enter")


def log_of(served: Served) -> list[dict[str, Any]]:
    """The events of the one session that is open, as the server has kept them."""
    (name,) = served.gate.hub.active
    with served.http as http:
        return [json.loads(line) for line in http.get(f"/v1/sessions/{name}/events?limit=9999").text.splitlines()]
