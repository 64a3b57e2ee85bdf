"""Which pictures of a source are kept, by hand and against the rule said slowly; and what a child process is given."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import picture
from hypothesis import given
from hypothesis import strategies as st

from vigil.errors import SourceError
from vigil.stream._confine import KEPT_VARIABLES, child_command, child_environment
from vigil.stream._reel import MAX_STEP_BACK_S, TOLERANCE_S, Rgb, sample
from vigil.stream.source import open_source, printable


def kept(stamps_s: list[float], fps: float) -> list[tuple[int, float]]:
    """Number and time of each picture that is kept; the others are never converted."""
    loaded: list[int] = []

    def load(number: int) -> Callable[[], Rgb]:
        def rgb() -> Rgb:
            loaded.append(number)
            return np.full((1, 1, 3), number, np.uint8)

        return rgb

    frames = list(sample([(stamp, load(i)) for i, stamp in enumerate(stamps_s)], fps))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == loaded
    return [(number, round(frame.time_s, 6)) for number, frame in zip(loaded, frames, strict=True)]


@pytest.mark.parametrize(
    ("stamps_s", "fps", "expected"),
    [
        ([], 1.0, []),
        ([5.0], 1.0, [(0, 0.0)]),
        ([0.0, 0.4, 0.8, 1.2, 1.6, 2.0], 1.0, [(0, 0.0), (3, 1.2), (5, 2.0)]),
        ([0.0, 0.4, 0.8, 1.2, 1.6, 2.0], 2.0, [(0, 0.0), (2, 0.8), (3, 1.2), (4, 1.6), (5, 2.0)]),
        ([0.0, 1.0, 2.0], 4.0, [(0, 0.0), (1, 1.0), (2, 2.0)]),
        ([0.0, 0.9995, 2.0], 1.0, [(0, 0.0), (1, 0.9995), (2, 2.0)]),
        ([0.0, 0.998, 2.0], 1.0, [(0, 0.0), (2, 2.0)]),
        ([3.0, 4.0, 5.0], 1.0, [(0, 0.0), (1, 1.0), (2, 2.0)]),
        ([-2.0, -1.0, 0.0], 1.0, [(0, 0.0), (1, 1.0), (2, 2.0)]),
        ([0.0, 1.0, 1.0, 1.0, 2.0], 1.0, [(0, 0.0), (1, 1.0), (4, 2.0)]),
        ([0.0, 2.0, 1.0, 3.0], 1.0, [(0, 0.0), (1, 2.0), (3, 3.0)]),
        ([0.0, 5.0, 5.5, 6.0], 1.0, [(0, 0.0), (1, 5.0), (3, 6.0)]),
        ([100.0, 101.0, 0.0, 1.0], 1.0, [(0, 0.0), (1, 1.0), (3, 2.0)]),
    ],
    ids=[
        *("none", "one", "slower", "faster", "no-repeats", "a-little-early", "too-early", "from-the-first", "negative"),
        *("equal", "late", "a-jump", "a-clock-that-starts-again"),
    ],
)
def test_kept_pictures_by_hand(stamps_s: list[float], fps: float, expected: list[tuple[int, float]]) -> None:
    assert kept(stamps_s, fps) == expected


@pytest.mark.parametrize(("step_back_s", "goes_on"), [(MAX_STEP_BACK_S - 0.5, False), (MAX_STEP_BACK_S + 0.5, True)])
def test_a_small_step_back_is_a_late_picture_and_a_large_one_a_new_count(step_back_s: float, goes_on: bool) -> None:
    stamps = [0.0, 100.0, 100.0 - step_back_s, 101.0 - step_back_s]
    assert (kept(stamps, 1.0)[-1] == (3, 101.0)) is goes_on


@given(
    steps_s=st.lists(st.floats(0.0, 3.0), max_size=25),
    fps=st.sampled_from((0.5, 1.0, 2.0, 7.0)),
)
def test_each_instant_gets_the_first_picture_at_or_after_it(steps_s: list[float], fps: float) -> None:
    stamps = [round(sum(steps_s[:n]), 3) for n in range(len(steps_s))]
    found = kept(stamps, fps)
    times = [time_s - stamps[0] for time_s in stamps] if stamps else []
    expected: dict[int, float] = {}
    for k in range(int(sum(steps_s) * fps) + 2):
        number = next((i for i, time_s in enumerate(times) if time_s >= k / fps - TOLERANCE_S), None)
        if number is not None:
            expected.setdefault(number, round(times[number], 6))
    assert found == [(number, pytest.approx(time_s)) for number, time_s in expected.items()]


# ---- names and files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("a\tb\nc\rd", "a b c d"),
        ("a\x1b[31mred", "a[31mred"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("a\u2028b", "a b"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ("👩\u200d🍳 é", "👩\u200d🍳 é"),
    ],
    ids=["plain", "blanks", "escape", "direction", "line", "surrogate", "joined"],
)
def test_a_name_is_printed_on_one_line_and_moves_no_cursor(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(text=st.text(max_size=30))
def test_printing_is_done_once(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    assert "\n" not in printable(text)


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x")
    whole = Path.open

    def refused(self: Path, *args: object, **rest: object) -> object:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return whole(self, *args, **rest)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(SourceError, match=r"clip\.mp4 may not be read: permission denied\. Change its permissions"):
        open_source(path, fps=1.0)


def test_a_given_array_is_read_in_place_and_one_with_gaps_is_copied() -> None:
    whole = picture(0)
    with open_source([(whole, 0.0), (whole[::2, ::2], 1.0)], fps=1.0) as source:
        first, second = (frame.image for frame in source)
    assert first is whole
    assert second.flags.c_contiguous
    assert np.array_equal(second, whole[::2, ::2])


# ---- child processes ------------------------------------------------------------------------------------------------


def test_a_child_gets_none_of_the_secrets_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary@proxy")
    monkeypatch.setenv("HF_TOKEN", "canary")
    monkeypatch.setenv("LANG", "de_AT.UTF-8")
    monkeypatch.setenv("DISPLAY", ":7")
    given_env = child_environment()
    assert "canary" not in str(given_env)
    assert not {"HTTPS_PROXY", "HF_TOKEN", "DISPLAY"} & given_env.keys()
    assert {name for name in KEPT_VARIABLES if name in os.environ} <= given_env.keys()
    assert given_env["LANG"] == "de_AT.UTF-8"
    assert child_environment("DISPLAY", "XAUTHORITY")["DISPLAY"] == ":7"
    assert given_env["OMP_NUM_THREADS"] == "1"


def test_a_child_imports_nothing_from_the_folder_it_is_started_in() -> None:
    assert child_command("vigil.x", "a", "b") == (sys.executable, "-P", "-m", "vigil.x", "a", "b")
