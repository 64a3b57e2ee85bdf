"""Every kind of source gives the right pictures at the right times, and says in one line what it cannot open."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from videos import CORNERS, cut, grey, read, ten

from vigil.errors import ConfigError, MediaError, ShapeError, SourceError
from vigil.stream import _media
from vigil.stream.source import open_source


def test_a_file_gives_its_own_time_stamps_and_pictures(tmp_path: Path) -> None:
    times, pictures, source = read(ten(tmp_path / "a.mp4"))
    assert times == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert pictures == list(range(10))
    assert (source.name, source.duration_s, source.warnings) == ("a.mp4", pytest.approx(1.0), [])


@pytest.mark.parametrize(("fps", "expected"), [(1, [0]), (2, [0, 5]), (3, [0, 4, 7]), (4, [0, 3, 5, 8])])
def test_each_sample_is_the_first_picture_at_or_after_its_instant(
    tmp_path: Path, fps: float, expected: list[int]
) -> None:
    times, pictures, _ = read(ten(tmp_path / "a.mkv"), fps)
    assert pictures == expected
    assert times == [i / 10 for i in expected]


def test_at_its_own_rate_every_picture_is_kept_although_stamps_are_rounded(tmp_path: Path) -> None:
    path = ten(tmp_path / "a.mkv", times_ms=[0, 33, 67, 100, 133, 167, 200, 233, 267, 300])
    assert read(path, 30.0)[1] == list(range(10))


def test_a_variable_frame_rate_keeps_true_times_and_never_repeats_a_picture(tmp_path: Path) -> None:
    path = ten(tmp_path / "vfr.mp4", times_ms=[0, 40, 80, 900, 1010, 1050, 4200, 4300, 5100, 9000])
    assert read(path, 1.0)[:2] == ([0.0, 1.01, 4.2, 5.1, 9.0], [0, 4, 6, 8, 9])


def test_times_count_from_the_first_picture(tmp_path: Path) -> None:
    assert read(ten(tmp_path / "late.ts", times_ms=[7000 + 100 * i for i in range(10)]))[0][:2] == [0.0, 0.1]


@given(steps=st.lists(st.floats(-30.0, 5000.0) | st.just(0.0), min_size=1, max_size=40), fps=st.floats(0.05, 60.0))
def test_times_strictly_increase_and_never_flood_whatever_the_stamps(steps: list[float], fps: float) -> None:
    stamps = np.cumsum(steps).tolist()
    with open_source([(grey(0), t) for t in stamps], fps=fps) as source:
        times = [frame.time_s for frame in source]
    assert times[0] == 0.0
    assert all(a < b for a, b in pairwise(times))
    slots = [math.floor((t + 1e-3) * fps) for t in times]
    assert len(set(slots)) == len(slots)


def test_a_jump_forward_costs_one_frame_and_a_wrapped_clock_goes_on() -> None:
    stamps = [0.0, 1.0, 90000.0, 90001.0, 5.0, 6.0, 7.0]  # hours ahead, then a clock that starts again
    times, pictures, _ = read([(grey(10 * i), t) for i, t in enumerate(stamps)], 1.0)
    assert times == [0.0, 1.0, 90000.0, 90001.0, 90002.0, 90003.0]
    assert pictures == [0, 1, 2, 3, 5, 6]


def test_a_late_picture_is_left_out() -> None:
    stamps = [0.0, 1.0, 0.5, 2.0]
    assert read([(grey(10 * i), t) for i, t in enumerate(stamps)], 10.0)[1] == [0, 1, 3]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("/no/such/clip.mp4", "/no/such/clip.mp4 does not exist"),
        ("rtsp://user:secret@", "this rtsp:// address cannot be understood."),
        ("file:///clip.mp4", "file: addresses are not opened."),
        ("/dev/null", "null is not a file or a folder."),
        ("bad\0name", "badname does not exist"),
    ],
)
def test_what_cannot_be_opened_is_a_source_error_of_one_line(spec: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(spec, fps=1.0)
    assert str(caught.value).startswith(message)
    assert "secret" not in str(caught.value)


def test_a_picture_above_the_limit_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_media, "MAX_PIXELS", 16 * 15)
    with pytest.raises(MediaError, match=r"a.mkv is too large: 16x16, the limit is 240 pixels"):
        open_source(ten(tmp_path / "a.mkv"), fps=1.0)
    Image.new("1", (4097, 4096)).save(tmp_path / "big.png")
    with pytest.raises(MediaError, match=r"big.png is too large: 4097x4096"):
        open_source(tmp_path / "big.png", fps=1.0)


def test_a_folder_is_read_in_natural_order_at_the_rate_of_sampling(tmp_path: Path) -> None:
    for i in (10, 9, 1, 2):
        Image.fromarray(grey(10 * i)).save(tmp_path / f"shot{i}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._shot1.png").write_text("left by another system")
    times, pictures, source = read(tmp_path, 4.0)
    assert (times, pictures) == ([0.0, 0.25, 0.5, 0.75], [1, 2, 9, 10])
    assert source.duration_s == 1.0


def test_a_bad_image_in_a_folder_leaves_its_time_empty_and_is_counted(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(grey(10 * i)).save(tmp_path / f"{i}.png")
    cut(tmp_path / "1.png", 0.6)
    times, pictures, source = read(tmp_path, 1.0)
    assert (times, pictures) == ([0.0, 2.0], [0, 2])
    assert source.warnings == [f"{tmp_path.name}: 1 of 3 images could not be decoded and were left out."]
    cut(tmp_path / "0.png", 0.6)
    cut(tmp_path / "2.png", 0.6)
    with pytest.raises(MediaError, match="none of its 3 images can be decoded"):
        read(tmp_path)


def test_a_folder_without_images_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match=f"folder {tmp_path.name} holds no images"):
        open_source(tmp_path, fps=1.0)


def test_an_image_is_one_frame_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn to the right
    Image.fromarray(CORNERS).save(tmp_path / "photo.png", exif=exif)
    with open_source(tmp_path / "photo.png", fps=1.0) as source:
        (frame,) = source
    np.testing.assert_array_equal(frame.image, np.rot90(CORNERS, -1))


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_keeps_the_time_of_each_step(tmp_path: Path, ending: str) -> None:
    first, *rest = (Image.fromarray(grey(10 * i)) for i in range(0, 12, 3))
    path = tmp_path / f"moving.{ending}"
    first.save(path, save_all=True, append_images=rest, duration=[500, 1000, 200, 100])
    assert read(path)[:2] == ([0.0, 0.5, 1.5, 1.7], [0, 3, 6, 9])


def test_a_damaged_animation_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    first, *rest = (Image.fromarray(grey(10 * i)) for i in range(4))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=rest, duration=500)
    times, pictures, source = read(cut(tmp_path / "moving.gif", 0.6))
    assert 0 < len(pictures) < 4
    assert pictures == list(range(len(pictures)))
    assert source.warnings == [f"moving.gif is damaged: only its first {len(times)} pictures could be decoded."]


def test_sixteen_bit_greyscale_keeps_its_upper_byte(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 70 * 256 + 5, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read(tmp_path / "deep.png")[1] == [7]


def test_given_pictures_may_be_arrays_or_pillow_images() -> None:
    items = [(grey(10), 3.0), (Image.fromarray(grey(20)), 3.5), (Image.new("L", (2, 2), 30), 4.0)]
    assert read(iter(items))[:2] == ([0.0, 0.5, 1.0], [1, 2, 3])


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((4, 4), dtype=np.uint8)], ids=["float", "grey"])
def test_a_given_array_of_another_kind_is_refused_with_its_shape(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match=r"picture 0 is \w+ \[4, 4.*Give uint8 \[height, width, 3\]"):
        read([(image, 0.0)])


@pytest.mark.parametrize("fps", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_rate_is_refused(fps: float) -> None:
    with pytest.raises(ConfigError, match="fps must be a number above 0, got"):
        open_source([], fps=fps)


def test_pictures_are_taken_only_when_asked_for_and_none_is_kept() -> None:
    alive: list[weakref.ref[NDArray[np.uint8]]] = []

    def pictures() -> Iterator[tuple[NDArray[np.uint8], float]]:
        for i in range(100):
            image = grey(i)
            alive.append(weakref.ref(image))
            yield image, float(i)
            del image

    with open_source(pictures(), fps=1.0) as source:
        assert alive == []
        for count, frame in enumerate(source, start=1):
            assert len(alive) == count
            del frame
            assert sum(ref() is not None for ref in alive) <= 1


def test_a_closed_source_gives_no_more_frames(tmp_path: Path) -> None:
    with open_source(ten(tmp_path / "a.mkv"), fps=10) as source:
        frames = iter(source)
        next(frames)
    assert list(frames) == []
    source.close()
    unread = open_source(tmp_path / "a.mkv", fps=10)
    unread.close()
    assert list(unread) == []


def test_a_source_may_be_closed_while_another_thread_waits_for_a_frame() -> None:
    asked, closed = threading.Event(), threading.Event()
    got: list[float] = []

    def slow() -> Iterator[tuple[NDArray[np.uint8], float]]:
        yield grey(0), 0.0
        asked.set()
        assert closed.wait(20)
        yield grey(0), 1.0
        yield grey(0), 2.0

    source = open_source(slow(), fps=1.0)
    reader = threading.Thread(target=lambda: got.extend(frame.time_s for frame in source))
    reader.start()
    assert asked.wait(20)
    source.close()
    closed.set()
    reader.join(20)
    assert got == [0.0, 1.0]  # the one that was under way, and none after it


def test_an_opened_source_is_taken_as_it_is() -> None:
    source = open_source([(grey(10), 0.0)], fps=2.0)
    assert open_source(source, fps=2.0) is source


def test_opening_a_source_module_does_not_load_the_decoder() -> None:
    code = "import sys, vigil.stream.source; sys.exit('av' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
