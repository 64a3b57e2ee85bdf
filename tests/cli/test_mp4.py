"""An MP4 that is written while its pictures come: exact times, true colours, its texts, and constant memory."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vigil.cli import mp4
from vigil.cli.mp4 import Mp4, _Sink
from vigil.cli.subtitles import Cue
from vigil.errors import OutputError

WIDTH, HEIGHT = 96, 64


def plain(*colour: int) -> NDArray[np.uint8]:
    return np.full((HEIGHT, WIDTH, 3), colour, dtype=np.uint8)


def pictures(path: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    """Times and pictures as a player gets them."""
    with av.open(str(path)) as container:
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def texts(path: Path) -> list[tuple[float, float, str]]:
    """Begin, end and text of what the text track shows."""
    found = []
    with av.open(str(path)) as container:
        for packet in container.demux(subtitles=0):
            text = bytes(packet)[2:].decode()
            if text:
                assert packet.pts is not None
                assert packet.duration is not None
                start_s = float(packet.pts * packet.time_base)
                found.append((start_s, start_s + float(packet.duration * packet.time_base), text))
    return found


COLOURS = [(200, 30, 30), (30, 160, 60), (40, 60, 190), (240, 242, 246), (17, 19, 24)]
TIMES_S = [0.0, 1.0, 1.125, 1.126, 9.5]


def test_pictures_come_back_at_their_times_in_their_colours(tmp_path: Path) -> None:
    file = Mp4(tmp_path / "out.mp4", width_px=WIDTH, height_px=HEIGHT)
    for colour, time_s in zip(COLOURS, TIMES_S, strict=True):
        file.picture(plain(*colour), time_s)
    file.finish(12.0)
    found = pictures(tmp_path / "out.mp4")
    assert [time_s for time_s, _ in found] == pytest.approx(TIMES_S, abs=1e-9)
    for colour, (_, image) in zip(COLOURS, found, strict=True):
        assert image.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_allclose(image.mean(axis=(0, 1)), colour, atol=5)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration == 12_000_000
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.colorspace, codec.color_primaries, codec.color_trc) == ("h264", 1, 1, 1)


def test_cues_are_in_a_track_of_their_own_with_their_times(tmp_path: Path) -> None:
    cues = [Cue(0.5, 2.0, "A <b>house</b> appears."), Cue(3.125, 5.0, "Grün, \u706f"), Cue(5.0, 8.0, "x" * 3000)]
    file = Mp4(tmp_path / "out.mp4", width_px=WIDTH, height_px=HEIGHT)
    for second in range(9):
        file.picture(plain(second, 0, 0), float(second))
        for cue in [cue for cue in cues if second - 1 < cue.end_s <= second]:
            file.cue(cue)
    file.finish(9.0)
    assert texts(tmp_path / "out.mp4") == [pytest.approx((cue.start_s, cue.end_s, cue.text)) for cue in cues]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration == 9_000_000


def test_until_it_is_finished_it_has_another_name(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("what was there before")
    file = Mp4(path, width_px=WIDTH, height_px=HEIGHT)
    file.picture(plain(0, 0, 0), 0.0)
    assert path.read_text() == "what was there before"
    assert file.part.name == "out.mp4.part"
    file.finish(1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert len(pictures(path)) == 1


def test_without_h264_it_is_mpeg_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp4, "ENCODERS", {"no_such_encoder": {}, "mpeg4": mp4.ENCODERS["mpeg4"]})
    file = Mp4(tmp_path / "out.mp4", width_px=WIDTH, height_px=HEIGHT)
    for index, colour in enumerate(COLOURS):
        file.picture(plain(*colour), index / 8)
    file.finish(1.0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    for colour, (_, image) in zip(COLOURS, pictures(tmp_path / "out.mp4"), strict=True):
        np.testing.assert_allclose(image.mean(axis=(0, 1)), colour, atol=8)


@contextmanager
def no_file_above(num_bytes: int) -> Iterator[None]:
    """A disk on which no file may become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def failure(file: Mp4, index: int) -> OutputError | None:
    """Why one more picture could not be written."""
    try:
        file.picture(noise(index), float(index))
    except OutputError as error:
        return error
    return None


def test_a_full_disk_is_an_error_at_once_and_leaves_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = Mp4(tmp_path / "out.mp4", width_px=WIDTH, height_px=HEIGHT)
    with no_file_above(600_000):
        error = next(filter(None, (failure(file, index) for index in range(500))))  # before the end
    assert str(error) == f"{tmp_path}/out.mp4 cannot be written: File too large. Choose another place."
    assert str(failure(file, 600)) == str(error)
    with pytest.raises(OutputError, match="File too large"):
        file.finish(700.0)
    assert list(tmp_path.iterdir()) == []
    del file
    assert capfd.readouterr() == ("", "")  # the muxer says nothing of its own


def test_a_disk_that_is_full_only_at_the_end_leaves_nothing_either(tmp_path: Path) -> None:
    file = Mp4(tmp_path / "out.mp4", width_px=WIDTH, height_px=HEIGHT)
    for index in range(5):
        file.picture(noise(index), float(index))
    with no_file_above(1000), pytest.raises(OutputError, match="File too large"):
        file.finish(5.0)
    assert list(tmp_path.iterdir()) == []


def test_what_only_fits_in_part_is_not_taken_for_written(tmp_path: Path) -> None:
    sink = _Sink(tmp_path / "out")
    with no_file_above(10):
        assert sink.write(b"x" * 25) == 25  # the muxer goes on
    assert (tmp_path / "out").read_bytes() == b"x" * 10
    with pytest.raises(OSError, match="File too large"):
        sink.check()
    assert (sink.seek(3), sink.tell(), sink.write(b"more")) == (3, 0, 4)
    assert (tmp_path / "out").read_bytes() == b"x" * 10


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere/out.mp4 cannot be written: No such file or directory"):
        Mp4(tmp_path / "nowhere" / "out.mp4", width_px=WIDTH, height_px=HEIGHT)
