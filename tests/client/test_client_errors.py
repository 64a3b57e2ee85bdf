"""Where the client cannot go on it says so in one clear line, before a real server or none."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

import vigil.client
from tests.client.cutting import QUICK, connected, cutting
from tests.serve.serving import ADMIN, PATIENT, VIEW, Served, serving
from vigil.client import Client, Missing, Reconnect
from vigil.client import pictures as wire
from vigil.errors import CapacityError, ConfigError, SourceError, SourceLost, VigilError


def test_what_a_server_without_memory_has_lost_is_said() -> None:
    with (
        cutting() as proxy,
        serving(gate=proxy.gate, limits=PATIENT) as served,
        vigil.client.connect(f"http://127.0.0.1:{proxy.port}", token=ADMIN, reconnect=QUICK) as client,
    ):
        proxy.server_port = served.port
        session = client.session()
        (live,) = served.gate.hub.active.values()
        served.call(lambda: live.log._recent.popleft())  # the ring has turned
        session.leave()
        first = client.resume(session.saved).next(30)
    assert isinstance(first, Missing)
    assert (first.first, first.seq, first.reason) == (1, 1, "memory")


def test_a_server_that_goes_away_for_good_is_given_up() -> None:
    with cutting() as proxy, serving(gate=proxy.gate) as served:
        proxy.server_port = served.port
        for_long = Reconnect(first_s=0.002, last_s=0.01, give_up_s=0.1)
        with vigil.client.connect(f"http://127.0.0.1:{proxy.port}", token=ADMIN, reconnect=for_long) as client:
            session = client.session()
            proxy.server_port = free_port()
            proxy.cut()
            with pytest.raises(SourceLost, match="no connection for"):
                list(session)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_nobody_there_is_one_clear_line() -> None:
    with vigil.client.connect(f"http://127.0.0.1:{free_port()}", token="x") as client:
        for attempt in (client.session, client.capabilities):
            with pytest.raises(SourceError, match=r"does not answer. Is vigil serve running there\?"):
                attempt()


@pytest.mark.parametrize(("token", "words"), [("wrong", "the token is not the right one"), (VIEW, "does not allow it")])
def test_a_token_that_may_not_is_one_clear_line(quiet: Served, token: str, words: str) -> None:
    with connected(quiet, token) as client, pytest.raises(ConfigError, match=words) as refused:
        client.session()
    assert token not in str(refused.value)


def test_a_full_server_is_one_clear_line() -> None:
    with serving(seats=1) as served, connected(served) as client:
        client.session()
        with pytest.raises(CapacityError, match="the server is full"):
            client.session()


@pytest.mark.parametrize(
    ("url", "token", "words"),
    [
        ("ws://127.0.0.1:1", "t", "Give one as http"),
        ("127.0.0.1:8765", "t", "Give one as http"),
        ("http://127.0.0.1:8765", None, "there is no token"),
    ],
)
def test_a_wrong_address_is_told_before_anything_is_connected(url: str, token: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        vigil.client.connect(url, token=token)


def test_a_client_that_is_closed_does_nothing_more(quiet: Served) -> None:
    client = connected(quiet)
    client.close()
    client.close()
    with pytest.raises(ConfigError, match="the client is closed"):
        client.session()
    assert [thread.name for thread in threading.enumerate() if thread.name == "vigil-client"] == []


def test_an_impossible_way_of_coming_back_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 < first_s <= last_s"):
        Reconnect(first_s=2, last_s=1)


def test_errors_are_those_of_vigil(client: Client) -> None:
    session = client.session()
    with pytest.raises(VigilError) as refused:
        session.ask("")
    assert "\n" not in str(refused.value)


# ---- pictures, and what it needs ----------------------------------------------------------------------------------


def test_pictures_become_jpeg_and_large_ones_smaller() -> None:
    pixels = np.zeros((1500, 3000, 3), np.uint8)
    for image in (pixels, Image.fromarray(pixels), Image.fromarray(pixels).convert("L")):
        data = wire.encoded(image)
        with Image.open(io.BytesIO(data)) as opened:
            assert (opened.format, opened.size, opened.mode) == ("JPEG", (1280, 640), "RGB")
    assert wire.encoded(b"as it is") == b"as it is"
    with pytest.raises(ConfigError, match=r"ndarray \(2, 2\) float64 is no picture"):
        wire.encoded(np.zeros((2, 2)))


def test_the_client_needs_neither_torch_nor_a_server_nor_its_own_extra_to_be_imported() -> None:
    code = (
        "import sys, vigil.client; heavy = {'torch', 'numpy', 'PIL', 'websockets', 'httpx', 'fastapi', 'pydantic'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_missing_package_is_named(quiet: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.asyncio.client", None)
    with connected(quiet) as client, pytest.raises(ConfigError, match=r"pip install 'vigil-video\[client\]'"):
        client.session()
