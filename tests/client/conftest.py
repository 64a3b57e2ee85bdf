"""What the client's tests share: a session played by hand, and a real server with a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.cutting import connected
from tests.client.hand import Hand
from tests.serve.serving import Served, serving
from vigil.client import Client


@pytest.fixture
def hand() -> Hand:
    """A session that is open."""
    hand = Hand()
    hand.ready()
    return hand


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose model never speaks."""
    with serving(folder=tmp_path_factory.mktemp("log"), seats=64) as served:
        yield served


@pytest.fixture
def client(quiet: Served) -> Iterator[Client]:
    """A client of it."""
    with connected(quiet) as client:
        yield client
