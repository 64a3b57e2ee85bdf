"""What the child of a live source says, and that it leaves at once, without a process and without a pipe."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from videos import grey, write_video

from vigil.stream import _live_child
from vigil.stream._live_child import Stillness, Watcher
from vigil.stream._live_pipe import REPLY, Status

Said = list[tuple[Status, tuple[int, int], bytes]]


class Pipe(io.RawIOBase):
    """The far end of a pipe: keeps what has left the child."""

    def __init__(self) -> None:
        self.arrived = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.arrived += bytes(data)
        return len(bytes(data))


def said(pipe: Pipe) -> Said:
    """What has arrived, message by message."""
    found: Said = []
    data = bytes(pipe.arrived)
    while data:
        code, width, height, _, _, _, length = REPLY.unpack(data[: REPLY.size])
        found.append((Status(code), (width, height), data[REPLY.size : REPLY.size + length]))
        data = data[REPLY.size + length :]
    return found


def watched(url: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Said:
    """What a child says of an address, to its last word; nothing may be held back behind it."""
    monkeypatch.setattr(_live_child, "renew_cpu_budget", lambda: None)  # it is this process that it would limit
    request = {"url": url, "format": None, "options": {}, "open_s": 5.0, "read_s": 5.0, "fps": 1000.0}
    pipe = Pipe()
    held = io.BufferedWriter(pipe, buffer_size=1 << 20)
    Watcher({**request, "still_s": None, "stuck": None, **changes}, held).run()
    return said(pipe)


def test_a_file_is_opened_shown_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mkv", [grey(40), grey(200)], codec="ffv1", pixels="bgr0")
    told = watched(str(path), monkeypatch)
    opened, first, second, end = (message for message in told if message[0] is not Status.ALIVE)
    height, width, _ = grey(0).shape
    assert opened == (Status.OPENED, (width, height), b"ffv1")
    for (status, size, body), shade in ((first, 40), (second, 200)):
        assert (status, size) == (Status.FRAME, (width, height))
        assert np.array_equal(np.frombuffer(body, np.uint8), grey(shade).ravel())
    assert end == (Status.END, (0, 0), b"")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [("none.mp4", None, b"not_found"), ("a.mp4", b"no video at all", b"not_video"), ("a.mkv", b"", b"not_video")],
)
def test_what_cannot_be_opened_is_lost_with_a_reason(
    name: str, content: bytes | None, why: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ((status, _, note),) = watched(str(tmp_path / name), monkeypatch)
    assert (status, note) == (Status.LOST, why)


# ---- stillness ------------------------------------------------------------------------------------------------------


def test_a_picture_that_was_frozen_before_is_not_fresh_until_it_changes() -> None:
    still = Stillness(2.0, stuck=7)
    assert [still.is_fresh(7, at_s) for at_s in (0.0, 1.0, 5.0)] == [False, False, False]
    assert still.is_fresh(8, 6.0)
    assert still.newest == 8


@pytest.mark.parametrize(("at_s", "is_lost"), [(1.9, False), (2.0, True)])
def test_a_picture_may_stay_the_same_for_so_long(at_s: float, is_lost: bool) -> None:
    still = Stillness(2.0, stuck=None)
    assert still.is_fresh(7, 0.0)
    if is_lost:
        with pytest.raises(_live_child.Lost) as caught:
            still.is_fresh(7, at_s)
        assert caught.value.why == "stuck"
    else:
        assert still.is_fresh(7, at_s)
