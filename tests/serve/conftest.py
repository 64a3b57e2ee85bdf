"""What the tests of the server share. No test of the log leaves its writing thread behind for the tests after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vigil
from tests.serve.browser import Browser, chromium, clip_to_y4m
from tests.serve.serving import CROWD, Served, serving
from vigil.serve.writer import Writer


@pytest.fixture(autouse=True)
def no_writer_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tests that play a crash abandon their store; its thread ends here."""
    writers: list[Writer] = []
    begin = Writer.__init__

    def begin_and_note(writer: Writer, *args: object, **named: object) -> None:
        begin(writer, *args, **named)  # type: ignore[arg-type]
        writers.append(writer)

    monkeypatch.setattr(Writer, "__init__", begin_and_note)
    yield
    for writer in writers:
        writer.close(0.5)


@pytest.fixture
def siege(tmp_path: Path) -> Iterator[Served]:
    """A server with room for a crowd."""
    with serving(folder=tmp_path / "log", limits=CROWD, seats=1500) as served:
        yield served


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose camera shows the demo clip."""
    folder = tmp_path_factory.mktemp("browser")
    clip_to_y4m(folder / "camera.y4m")
    with chromium(folder, f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}") as browser:
        yield browser


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server that a user has."""
    with serving(vigil.load("nano"), folder=tmp_path_factory.mktemp("nano"), tokens_per_s=4.0) as served:
        yield served
